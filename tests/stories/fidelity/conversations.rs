//! What a client says, and how long it then listens; each conversation for a reason. What the server
//! answers is not written here: it is asked, straight and through the gateway.

use super::wire::{bind, close, copy_data, copy_done, copy_fail, describe, execute, flush, parse, query, sync};

/// How long a client listens before it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// So many ReadyForQuery.
    Ready(usize),
    /// So many frames, notices and the gateway's own not counted.
    Frames(usize),
}

/// Something that a client says in one piece.
#[derive(Clone)]
pub struct Step {
    pub send: Vec<u8>,
    pub until: Until,
}

/// Some steps in one session.
pub struct Conversation {
    /// What it is about.
    pub about: &'static str,
    pub steps: Vec<Step>,
    /// Whether it is the same where each statement waits for an approval first; or why not.
    pub held: Result<(), &'static str>,
}

/// Frames, then a wait for one ReadyForQuery.
fn says(frames: &[Vec<u8>]) -> Step {
    Step { send: frames.concat(), until: Until::Ready(1) }
}

/// The same with more of them.
fn says_at_once(frames: &[Vec<u8>], ready: usize) -> Step {
    Step { send: frames.concat(), until: Until::Ready(ready) }
}

/// Frames whose answers are asked for with a Flush.
fn asks(frames: &[Vec<u8>], answers: usize) -> Step {
    Step { send: [frames.concat(), flush()].concat(), until: Until::Frames(answers) }
}

fn simple(texts: &[&str]) -> Vec<Step> {
    texts.iter().map(|sql| says(&[query(sql)])).collect()
}

fn same(about: &'static str, steps: Vec<Step>) -> Conversation {
    Conversation { about, steps, held: Ok(()) }
}

fn allowed_only(about: &'static str, why: &'static str, steps: Vec<Step>) -> Conversation {
    Conversation { about, steps, held: Err(why) }
}

const AT_EXECUTE: &str = "an error of Parse or Bind comes at Execute where the statement waits";

/// Between two conversations in one session: nothing of the one is left to the other.
pub fn between() -> Step {
    let names = ["a", "b", "c", "d", "n", "p", "q", "r", "s", "w"].map(|name| close(b'S', name)).concat();
    let clean = [query("rollback"), names, sync(), query("discard all")];
    Step { send: clean.concat(), until: Until::Ready(3) }
}

/// Everything.
pub fn all() -> Vec<Conversation> {
    [simple_queries(), transactions(), extended(), portals(), errors(), copies(), sessions()]
        .into_iter()
        .flatten()
        .collect()
}

fn simple_queries() -> Vec<Conversation> {
    vec![
        same("values, NULL and an empty text", simple(&["select 1, 'a', null::int, ''", "select 'é', 'x' as \"A b\""])),
        same(
            "no rows and no columns",
            simple(&["select 1 where false", "select", "select from products where id < 3"]),
        ),
        same(
            "several statements in one message",
            simple(&["select 1; update products set stock = stock where id = 1; select 2", "select 1;; ;select 2;"]),
        ),
        same(
            "an error among several undoes them all",
            simple(&[
                "update products set stock = 4711 where id = 1; select 1/0; select 2",
                "select stock from products where id = 1",
            ]),
        ),
        same("a syntax error in a later one", simple(&["select 1; selec 2", "select 3"])),
        same("nothing at all", simple(&["", ";", "  -- a comment", "/* and */ /* another */"])),
        same(
            "transaction control within one message",
            simple(&[
                "begin; select 1; commit; select 2",
                "begin; select 1",
                "select 1/0",
                "select 2",
                "commit; select 3",
            ]),
        ),
        same(
            "notices and warnings with all their fields",
            simple(&[
                "do $$ begin raise notice 'n' using detail = 'd', hint = 'h', errcode = '01234'; raise warning 'w'; end $$",
                "commit",
                "create table if not exists products (id int)",
            ]),
        ),
        same(
            "errors with all their fields",
            simple(&[
                "insert into products (sku, name, price_cents, stock) values ('x', 'y', -1, 1)",
                "insert into order_items values (1, 999999, 1, 1)",
                "select 'x'::int",
                "select nobody",
                "select 1 from nowhere",
                "do $$ begin raise exception 'e' using detail = 'd', hint = 'h', column = 'c', constraint = 'k', datatype = 't', table = 'b', schema = 's'; end $$",
            ]),
        ),
        same(
            "many rows, and a big one",
            simple(&["select n, repeat('x', 20) from generate_series(1, 20000) n", "select repeat('x', 3000000)"]),
        ),
        same(
            "EXPLAIN, SHOW, VALUES, TABLE",
            simple(&[
                "explain (costs off) select 1",
                "show transaction_isolation",
                "values (1, 'a'), (2, 'b')",
                "table products limit 1",
            ]),
        ),
        same(
            "rows of what was written",
            simple(&[
                "update products set stock = stock + 1 where id = 2 returning id, stock",
                "insert into refunds (order_id, amount_cents, reason, created_at) select 1, 5, 'r', '2026-01-01' returning amount_cents, reason",
                "delete from refunds where reason = 'r' returning reason",
            ]),
        ),
    ]
}

fn transactions() -> Vec<Conversation> {
    vec![
        same("the status byte tells the transaction", simple(&["begin", "select 1", "commit", "begin", "rollback"])),
        same(
            "a failed transaction takes its end alone",
            simple(&["begin", "select 1/0", "select 1", "commit", "select 1"]),
        ),
        same(
            "savepoints",
            simple(&[
                "begin",
                "savepoint a",
                "select 1/0",
                "rollback to a",
                "select 1",
                "release a",
                "release a",
                "rollback",
            ]),
        ),
        same(
            "isolation is set before anything else is asked",
            simple(&[
                "begin",
                "set local search_path = public",
                "set transaction isolation level serializable",
                "show transaction_isolation",
                "commit",
            ]),
        ),
        same(
            "modes of a transaction",
            simple(&[
                "begin isolation level repeatable read read only",
                "select 1",
                "update products set stock = 1 where id = 1",
                "rollback",
                "start transaction deferrable",
                "commit and chain",
                "rollback",
            ]),
        ),
        same(
            "temporary tables in a transaction",
            simple(&[
                "begin",
                "create temp table t (a int) on commit drop",
                "insert into t values (1), (2)",
                "select count(*) from t",
                "commit",
                "select count(*) from t",
            ]),
        ),
        same(
            "a cursor that SQL declares",
            simple(&[
                "begin",
                "declare c scroll cursor for select n from generate_series(1, 9) n",
                "fetch 2 from c",
                "move 2 in c",
                "fetch backward 1 from c",
                "close c",
                "fetch 1 from c",
                "rollback",
            ]),
        ),
        same(
            "a cursor that outlives its transaction",
            simple(&[
                "begin; declare h cursor with hold for select n from generate_series(1, 5) n; commit",
                "fetch 2 from h",
                "close h",
            ]),
        ),
    ]
}

fn extended() -> Vec<Conversation> {
    let select = || [parse("", "select $1::int + 1, $2::text"), bind("", "", &[Some("41"), None], 0)];
    vec![
        same(
            "a statement with parameters",
            vec![says(&[&select()[..], &[describe(b'P', ""), execute("", 0), sync()]].concat())],
        ),
        same(
            "binary results",
            vec![says(&[
                parse("", "select 1::int4, 2::int8, 'x'::text, true, 1.5::float8, null::date"),
                bind("", "", &[], 1),
                describe(b'P', ""),
                execute("", 0),
                sync(),
            ])],
        ),
        same(
            "a named statement, used often",
            vec![
                says(&[parse("s", "select $1::int"), describe(b'S', "s"), sync()]),
                says(&[bind("", "s", &[Some("1")], 0), execute("", 0), sync()]),
                says(&[bind("", "s", &[Some("2")], 1), describe(b'P', ""), execute("", 0), sync()]),
                says(&[close(b'S', "s"), sync()]),
                says(&[close(b'S', "s"), close(b'P', "none"), sync()]),
            ],
        ),
        same(
            "a description alone, of a read and of a write",
            vec![
                says(&[parse("", "select id, sku from products where id = $1"), describe(b'S', ""), sync()]),
                says(&[parse("w", "delete from refunds where id = $1"), describe(b'S', "w"), sync()]),
                says(&[parse("r", "delete from refunds where id = $1 returning id"), describe(b'S', "r"), sync()]),
                says(&[bind("", "w", &[Some("-1")], 0), describe(b'P', ""), execute("", 0), sync()]),
                says(&[bind("", "r", &[Some("-1")], 1), describe(b'P', ""), execute("", 0), sync()]),
            ],
        ),
        same(
            "answers asked for piece by piece, as some drivers do",
            vec![
                asks(&[parse("", "select $1::int"), describe(b'S', "")], 3),
                asks(&[bind("", "", &[Some("5")], 0)], 1),
                asks(&[execute("", 0)], 2),
                says(&[sync()]),
            ],
        ),
        same(
            "a description of a write, asked for before it ends",
            vec![
                asks(&[parse("d", "delete from refunds where id = $1"), describe(b'S', "d")], 3),
                says(&[sync()]),
                says(&[bind("", "d", &[Some("-1")], 0), execute("", 0), sync()]),
            ],
        ),
        same(
            "a portal's description, asked for before it runs",
            vec![
                asks(
                    &[
                        parse("", "delete from refunds where id = $1 returning id, reason"),
                        bind("", "", &[Some("-1")], 1),
                        describe(b'P', ""),
                    ],
                    3,
                ),
                says(&[execute("", 0), sync()]),
            ],
        ),
        same(
            "a pipeline of several groups",
            vec![says_at_once(
                &[
                    parse("", "select 1"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    parse("", "update products set stock = stock where id = 3"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    parse("", "select 3"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                ],
                3,
            )],
        ),
        same(
            "several statements in one group are one transaction",
            vec![
                says(&[
                    parse("a", "update products set stock = 1234 where id = 4"),
                    bind("", "a", &[], 0),
                    execute("", 0),
                    parse("b", "select 1/(n - $1::int) from generate_series(0, 1) n"),
                    bind("", "b", &[Some("0")], 0),
                    execute("", 0),
                    parse("c", "select 2"),
                    bind("", "c", &[], 0),
                    execute("", 0),
                    sync(),
                ]),
                says(&[query("select stock from products where id = 4")]),
            ],
        ),
        same(
            "an error drops what follows, up to the Sync",
            vec![says_at_once(
                &[
                    parse("", "select 1/(n - $1::int) from generate_series(0, 1) n"),
                    bind("", "", &[Some("0")], 0),
                    execute("", 0),
                    execute("", 0),
                    close(b'S', "x"),
                    sync(),
                    parse("", "select 2"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    sync(),
                ],
                3,
            )],
        ),
        same(
            "a pipeline in a transaction",
            vec![says_at_once(
                &[
                    parse("", "begin"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    parse("", "select 1"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    parse("", "select 1/(n - $1::int) from generate_series(0, 1) n"),
                    bind("", "", &[Some("0")], 0),
                    execute("", 0),
                    sync(),
                    parse("", "select 3"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    parse("", "commit"),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                ],
                5,
            )],
        ),
        same(
            "nothing to run, in the extended protocol",
            vec![
                says(&[
                    parse("", ""),
                    describe(b'S', ""),
                    bind("", "", &[], 0),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                ]),
                says(&[parse("", " -- a comment"), bind("", "", &[], 0), execute("", 0), sync()]),
            ],
        ),
        same("Sync and Flush alone", vec![says_at_once(&[sync(), flush(), sync(), flush(), flush(), sync()], 3)]),
        same(
            "COPY within an open group, with its rows in one piece",
            vec![
                asks(&[parse("q", "select id from refunds limit 1"), describe(b'S', "q")], 3),
                says(&[
                    query("copy refunds (order_id, amount_cents, reason, created_at) from stdin"),
                    copy_data("1\t7\tcopied\t2026-01-01\n"),
                    copy_done(),
                ]),
                says(&[query("delete from refunds where reason = 'copied'")]),
            ],
        ),
        same(
            "a Query that fails within an open group undoes the group",
            vec![
                says_at_once(
                    &[
                        parse("q", "update products set stock = 4242 where id = 7"),
                        bind("", "q", &[], 0),
                        execute("", 0),
                        query("select 1/0"),
                    ],
                    1,
                ),
                says(&[query("select stock from products where id = 7")]),
            ],
        ),
        same(
            "the description of a cursor that SQL declared",
            vec![
                says(&[query("begin")]),
                says(&[query("declare c cursor for select 1 as a, 'x' as b")]),
                says(&[describe(b'P', "c"), sync()]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "a Query within an open group",
            vec![says_at_once(
                &[
                    parse("q", "select 1"),
                    bind("", "q", &[], 0),
                    execute("", 0),
                    query("select 2"),
                    bind("", "q", &[], 0),
                    execute("", 0),
                    sync(),
                ],
                2,
            )],
        ),
        same(
            "what psql asks for \\gdesc",
            vec![
                says(&[query("prepare p as select 1 as first, 2 as second")]),
                says(&[parse("", "execute p"), sync()]),
                says(&[describe(b'S', ""), sync()]),
                says(&[parse("", "explain execute p"), sync()]),
                says(&[describe(b'S', ""), sync()]),
            ],
        ),
        allowed_only(
            "a value on which the plan itself fails, at Bind",
            AT_EXECUTE,
            vec![says(&[parse("", "select 1/$1::int"), bind("", "", &[Some("0")], 0), execute("", 0), sync()])],
        ),
        allowed_only(
            "statements of SQL's PREPARE and of the protocol are one kind",
            "SQL reaches no statement that waits",
            vec![
                says(&[query("prepare p (int) as select $1 + 1")]),
                says(&[query("execute p (1)")]),
                says(&[parse("n", "select $1::int * 2"), sync()]),
                says(&[query("execute n (21)")]),
                says(&[query("deallocate n")]),
                says(&[bind("", "n", &[Some("1")], 0), sync()]),
                says(&[query("deallocate all")]),
                says(&[query("execute p (1)")]),
            ],
        ),
        same(
            "settings by the extended protocol",
            vec![
                says(&[
                    parse("", "set timezone = 'Europe/Berlin'"),
                    bind("", "", &[], 0),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                ]),
                says(&[parse("", "show timezone"), bind("", "", &[], 0), describe(b'P', ""), execute("", 0), sync()]),
            ],
        ),
    ]
}

fn portals() -> Vec<Conversation> {
    let five = |portal: &str| [parse("", "select n from generate_series(1, 5) n"), bind(portal, "", &[], 0)].concat();
    vec![
        same(
            "row limits within one group",
            vec![says(&[five(""), execute("", 2), execute("", 2), execute("", 2), execute("", 0), sync()])],
        ),
        same("a limit that is just met", vec![says(&[five(""), execute("", 5), execute("", 5), sync()])]),
        same(
            "row limits across groups, in a transaction",
            vec![
                says(&[query("begin")]),
                says(&[five("a"), execute("a", 2), sync()]),
                says(&[five("b"), describe(b'P', "b"), execute("b", 1), sync()]),
                says(&[execute("a", 2), sync()]),
                says(&[execute("b", 0), execute("a", 0), sync()]),
                says(&[close(b'P', "a"), execute("a", 1), sync()]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "a portal ends with its transaction",
            vec![says(&[five("a"), execute("a", 2), sync()]), says(&[execute("a", 2), sync()])],
        ),
        same(
            "an unnamed portal ends with the next Bind or Query",
            vec![
                says(&[query("begin")]),
                says(&[five(""), execute("", 1), sync()]),
                says(&[execute("", 1), sync()]),
                says(&[query("select 0")]),
                says(&[execute("", 1), sync()]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "a write with a row limit runs once and whole",
            vec![
                says(&[query("begin")]),
                says(&[
                    parse("", "update products set stock = stock + 1 where id < 6 returning id"),
                    bind("w", "", &[], 0),
                    execute("w", 2),
                    sync(),
                ]),
                says(&[execute("w", 0), sync()]),
                says(&[query("select sum(stock) from products where id < 6")]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "a finished portal runs no second time",
            vec![
                says(&[query("begin")]),
                says(&[
                    parse("", "update products set stock = stock where id = 1"),
                    bind("w", "", &[], 0),
                    execute("w", 0),
                    sync(),
                ]),
                says(&[execute("w", 0), sync()]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "several portals of one statement",
            vec![
                says(&[query("begin")]),
                says(&[parse("s", "select n from generate_series(1, $1::int) n"), sync()]),
                says(&[bind("x", "s", &[Some("3")], 0), bind("y", "s", &[Some("2")], 1), sync()]),
                says(&[execute("x", 1), execute("y", 1), execute("x", 0), execute("y", 0), sync()]),
                says(&[query("commit")]),
            ],
        ),
        same(
            "a statement may be closed while its portal lives",
            vec![
                says(&[query("begin")]),
                says(&[
                    parse("s", "select n from generate_series(1, 4) n"),
                    bind("p", "s", &[], 0),
                    execute("p", 1),
                    sync(),
                ]),
                says(&[close(b'S', "s"), sync()]),
                says(&[execute("p", 0), sync()]),
                says(&[query("commit")]),
            ],
        ),
    ]
}

fn errors() -> Vec<Conversation> {
    vec![
        allowed_only(
            "a syntax error at Parse",
            AT_EXECUTE,
            vec![
                says(&[parse("", "selec 1"), bind("", "", &[], 0), execute("", 0), sync()]),
                says(&[bind("", "", &[], 0), sync()]),
            ],
        ),
        allowed_only(
            "a value that does not fit, at Bind",
            AT_EXECUTE,
            vec![
                says(&[parse("", "select $1::int"), bind("", "", &[Some("x")], 0), execute("", 0), sync()]),
                says(&[bind("", "", &[Some("1")], 0), execute("", 0), sync()]),
            ],
        ),
        allowed_only(
            "another number of parameters than the statement has",
            AT_EXECUTE,
            vec![says(&[parse("", "select $1::int"), bind("", "", &[], 0), execute("", 0), sync()])],
        ),
        allowed_only(
            "several statements in one Parse",
            AT_EXECUTE,
            vec![says(&[parse("", "select 1; select 2"), bind("", "", &[], 0), execute("", 0), sync()])],
        ),
        same(
            "names that are taken, or unknown",
            vec![
                says(&[parse("s", "select 1"), sync()]),
                says(&[parse("s", "select 2"), sync()]),
                says(&[bind("", "none", &[], 0), sync()]),
                says(&[describe(b'S', "none"), sync()]),
                says(&[describe(b'P', "none"), sync()]),
                says(&[execute("none", 0), sync()]),
                says(&[query("begin")]),
                says(&[bind("p", "s", &[], 0), bind("p", "s", &[], 0), sync()]),
                says(&[query("rollback")]),
            ],
        ),
        same(
            "an unnamed statement is replaced, and lost by a Query",
            vec![
                says(&[parse("", "select 1"), sync()]),
                says(&[parse("", "select 2"), bind("", "", &[], 0), execute("", 0), sync()]),
                says(&[query("select 3")]),
                says(&[bind("", "", &[], 0), sync()]),
            ],
        ),
        same(
            "a failed transaction, in the extended protocol",
            vec![
                says(&[query("begin")]),
                says(&[query("select 1/0")]),
                says(&[parse("", "select 1"), bind("", "", &[], 0), execute("", 0), sync()]),
                says(&[parse("", "rollback"), bind("", "", &[], 0), execute("", 0), sync()]),
            ],
        ),
        same(
            "COPY data where none is awaited",
            vec![says(&[copy_data("x"), copy_done(), copy_fail("no"), query("select 1")])],
        ),
    ]
}

fn copies() -> Vec<Conversation> {
    const INTO: &str = "copy refunds (order_id, amount_cents, reason, created_at) from stdin";
    const ROWS: &str = "1\t7\tcopied\t2026-01-01\n2\t8\tcopied\t2026-01-02\n";
    let gone = || says(&[query("delete from refunds where reason = 'copied'")]);
    vec![
        same(
            "rows out, in all formats",
            simple(&[
                "copy (select id, sku from products order by id limit 3) to stdout",
                "copy (select id, sku from products order by id limit 3) to stdout (format csv, header)",
                "copy (select id, sku from products order by id limit 3) to stdout (format binary)",
                "copy (select 1/(3 - n) from generate_series(1, 5) n) to stdout",
            ]),
        ),
        same(
            "rows in",
            vec![
                Step { send: query(INTO), until: Until::Frames(1) },
                says(&[copy_data(&ROWS[..9]), copy_data(&ROWS[9..]), copy_done()]),
                gone(),
            ],
        ),
        same(
            "rows in that the client gives up",
            vec![
                Step { send: query(INTO), until: Until::Frames(1) },
                says(&[copy_data(ROWS), copy_fail("had enough")]),
                gone(),
            ],
        ),
        same(
            "rows in that are wrong",
            vec![
                Step { send: query(INTO), until: Until::Frames(1) },
                says(&[copy_data("1\tseven\n"), copy_data(ROWS), copy_done()]),
                says(&[query("select 1")]),
                gone(),
            ],
        ),
        same(
            "rows that are sent before the server asks for them",
            vec![says(&[query(INTO), copy_data(ROWS), copy_done()]), gone()],
        ),
        same(
            "rows in, between other statements of one message",
            vec![
                says(&[
                    query(&format!("select 1; {INTO}; select 2; {INTO}; select 3")),
                    copy_data(ROWS),
                    copy_done(),
                    copy_data(ROWS),
                    copy_done(),
                ]),
                gone(),
            ],
        ),
        same(
            "rows in by the extended protocol",
            vec![
                asks(&[parse("", INTO), bind("", "", &[], 0), describe(b'P', ""), execute("", 0)], 4),
                says(&[copy_data(ROWS), copy_done(), sync()]),
                gone(),
            ],
        ),
        same(
            "rows in by the extended protocol, given up and wrong",
            vec![
                asks(&[parse("", INTO), bind("", "", &[], 0), execute("", 0)], 3),
                says(&[copy_data(ROWS), copy_fail("had enough"), sync()]),
                asks(&[parse("", INTO), bind("", "", &[], 0), execute("", 0)], 3),
                says(&[copy_data("x\ty\n"), copy_data(ROWS), copy_done(), sync()]),
                gone(),
            ],
        ),
        same(
            "a Sync sent too early is not taken for the group's end",
            vec![
                says(&[
                    parse("", INTO),
                    bind("", "", &[], 0),
                    execute("", 0),
                    sync(),
                    copy_data(ROWS),
                    copy_done(),
                    sync(),
                ]),
                gone(),
            ],
        ),
        same(
            "rows out by the extended protocol",
            vec![says(&[
                parse("", "copy (values (1), (2)) to stdout"),
                bind("", "", &[], 0),
                describe(b'P', ""),
                execute("", 0),
                sync(),
            ])],
        ),
    ]
}

fn sessions() -> Vec<Conversation> {
    vec![
        same(
            "what the server says of itself when it changes",
            simple(&[
                "set timezone = 'Europe/Berlin'",
                "set datestyle = 'German'; set intervalstyle = 'iso_8601'",
                "begin; set local timezone = 'UTC'; select 1; rollback",
                "select set_config('TimeZone', 'UTC', false)",
                "reset timezone",
                "set client_encoding = 'UTF8'",
                "set names 'utf8'",
                "set standard_conforming_strings = on",
            ]),
        ),
        same(
            "notifications, of oneself",
            simple(&[
                "listen news",
                "notify news, 'first'",
                "begin",
                "notify news, 'second'",
                "select 1",
                "commit",
                "unlisten *",
                "notify news",
            ]),
        ),
        same(
            "the session's own leftovers",
            simple(&[
                "create temp table leftover (a int)",
                "select count(*) from leftover",
                "discard temp",
                "select count(*) from leftover",
            ]),
        ),
        same("roles", simple(&["set role none", "reset role", "select current_user = session_user"])),
        same(
            "advisory locks",
            simple(&["select pg_advisory_lock(7)", "select pg_advisory_unlock(7)", "select pg_advisory_unlock(7)"]),
        ),
    ]
}
