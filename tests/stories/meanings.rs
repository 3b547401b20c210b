//! Two schemas have the same names, and only one may be written: whatever makes a name mean the other between the look
//! and the run writes nothing there. The database is the judge.

use std::fmt::Write as _;

use countersign_shared::request::Choice;

use crate::{
    fidelity::wire::{Wire, bind, close, execute, parse, query, sync},
    harness::{
        Story,
        wire::{Script, Wire as Driver},
    },
};

/// All read, call and make; `tenant_a` alone is written, and nobody is asked.
const ONE_TENANT: &str = r#"
permit (principal, action, resource)
when { [Action::"connect", Action::"call"].contains(action) || action in Action::"read" || action in Action::"ddl" };
permit (principal, action in Action::"write", resource in Schema::"shop/tenant_a");
"#;

const THERE: &str = "
create schema tenant_a; create schema tenant_b;
create table tenant_a.accounts (id int primary key, balance int); insert into tenant_a.accounts values (1, 100);
create table tenant_b.accounts (id int primary key, balance int);
insert into tenant_b.accounts select n, 100 from generate_series(1, 20) n;
create table tenant_b.only_b (id int, balance int); insert into tenant_b.only_b values (1, 100);
create function tenant_a.audit() returns int language sql as 'select 1';
create function public.audit() returns int language sql as 'select 1';
create function tenant_b.audit() returns int language plpgsql as
$$ begin update tenant_b.accounts set balance = 0 where id > 0; return 1; end $$;
create function public.touch(n int default 0) returns int language plpgsql as $$ begin return audit(); end $$;
create function tenant_a.inner_of() returns int language sql as 'select 1';
create function tenant_b.inner_of() returns int language plpgsql as
$$ begin update tenant_b.accounts set balance = 0 where id > 0; return 1; end $$;
create function tenant_a.outer_of() returns int language plpgsql as $$ begin return inner_of(); end $$;
create function tenant_b.outer_of() returns int language sql as 'select 1';
create function public.opens() returns refcursor language plpgsql as
$$ declare c refcursor := 'k'; begin
open c for select set_config('search_path', 'tenant_b,public', true); return c; end $$;
create function public.on_a(n int) returns bool language plpgsql as $$ begin return audit() = 1; end $$;
create operator public.### (leftarg = int, rightarg = int, function = int4larger);
";

/// One thing that a client sends, and waits for.
enum Step {
    /// A simple Query.
    Q(&'static str),
    /// An extended group, up to and with its Sync.
    X(fn() -> Vec<u8>),
}
use Step::{Q, X};

const TO_A: Step = Q("set search_path = tenant_a, public");
const TO_B: Step = Q("set search_path = tenant_b, public");
const WRITES: Step = Q("update accounts set balance = 7 where id > 0");

fn ways() -> Vec<(&'static str, Vec<Step>)> {
    let declared = "declare c cursor for select set_config('search_path', 'tenant_b,public', true)";
    vec![
        (
            "a cursor sets the path when it is fetched",
            vec![TO_A, Q("begin"), Q(declared), Q("fetch c"), WRITES, Q("commit")],
        ),
        ("or moved", vec![TO_A, Q("begin"), Q(declared), Q("select 1"), Q("move c"), WRITES, Q("commit")]),
        (
            "or fetched by a block",
            vec![
                TO_A,
                Q("begin"),
                Q(declared),
                Q("do $$ declare r record; c refcursor := 'c'; begin fetch c into r; end $$"),
                WRITES,
                Q("commit"),
            ],
        ),
        ("a function opens it", vec![TO_A, Q("begin"), Q("select opens()"), Q("fetch k"), WRITES, Q("commit")]),
        (
            "a portal does",
            vec![
                TO_A,
                Q("begin"),
                X(|| {
                    let sets = "select set_config('search_path', 'tenant_b,public', true)";
                    [parse("", sets), bind("pp", "", &[], 0), sync()].concat()
                }),
                Q("fetch pp"),
                WRITES,
                Q("commit"),
            ],
        ),
        (
            "a block that sets something too is looked at under the names of now",
            vec![
                TO_A,
                Q("begin"),
                TO_B,
                Q("do $$ begin set local work_mem = '4MB'; perform audit(); end $$"),
                Q("commit"),
            ],
        ),
        (
            "so is what takes a lock",
            vec![TO_A, Q("begin"), TO_B, Q("select pg_advisory_lock(1), audit()"), Q("commit")],
        ),
        (
            "the path is set beside code that looks names up",
            vec![TO_A, Q("select set_config('search_path', 'tenant_b,public', true), touch()")],
        ),
        (
            "in a condition",
            vec![TO_A, Q("select touch() where set_config('search_path', 'tenant_b,public', true) <> ''")],
        ),
        (
            "in a query within",
            vec![
                TO_A,
                Q(
                    "with w as materialized (select set_config('search_path', 'tenant_b,public', true) as s) select touch() from w where s <> ''",
                ),
            ],
        ),
        (
            "explained",
            vec![TO_A, Q("explain analyze select set_config('search_path', 'tenant_b,public', true), touch()")],
        ),
        (
            "a portal that has begun goes on by FETCH",
            vec![
                TO_A,
                Q("begin"),
                X(|| {
                    let many = "select touch(n) from generate_series(1, 20) n";
                    [parse("", many), bind("pp", "", &[], 0), execute("pp", 1), sync()].concat()
                }),
                TO_B,
                Q("fetch 10 pp"),
                Q("commit"),
            ],
        ),
        (
            "or by a block's",
            vec![
                TO_A,
                Q("begin"),
                X(|| {
                    let many = "select touch(n) from generate_series(1, 20) n";
                    [parse("", many), bind("pp", "", &[], 0), execute("pp", 1), sync()].concat()
                }),
                TO_B,
                Q("do $$ declare r record; c refcursor := 'pp'; begin fetch c into r; end $$"),
                Q("commit"),
            ],
        ),
        (
            "a portal is bound under one path and run under another",
            vec![
                TO_A,
                Q("begin"),
                X(|| [parse("", "select outer_of()"), bind("pp", "", &[], 0), sync()].concat()),
                TO_B,
                X(|| [execute("pp", 0), sync()].concat()),
                Q("commit"),
            ],
        ),
        (
            "an error before its Close leaves a portal there",
            vec![
                TO_A,
                Q("begin"),
                X(|| {
                    let many = "select touch(n) from generate_series(1, 20) n";
                    [parse("", many), bind("pp", "", &[], 0), execute("pp", 1), sync()].concat()
                }),
                Q("savepoint s"),
                X(|| {
                    let fails = [parse("", "select 1/0"), bind("", "", &[], 0), execute("", 0)].concat();
                    [fails, close(b'P', "pp"), sync()].concat()
                }),
                Q("rollback to s"),
                TO_B,
                Q("fetch 10 pp"),
                Q("commit"),
            ],
        ),
        (
            "what SQL prepared is prepared again, which fails",
            vec![
                Q("set search_path = tenant_a, tenant_b, public"),
                Q("prepare p as update only_b set balance = 7"),
                Q("create table tenant_a.only_b (id int, balance int)"),
                Q("prepare p as update only_b set balance = 7"),
                Q("execute p"),
                Q("drop table tenant_a.only_b"),
            ],
        ),
        (
            "SQL prepared it before something hid what it names",
            vec![
                Q("set search_path = tenant_a, tenant_b, public"),
                Q("prepare p as update only_b set balance = 7"),
                Q("create table tenant_a.only_b (id int, balance int)"),
                Q("execute p"),
                Q("drop table tenant_a.only_b"),
            ],
        ),
        (
            "an EXECUTE under another path that the server did not come to",
            vec![
                Q("set search_path = tenant_a, tenant_b, public"),
                Q("prepare p as update only_b set balance = 7"),
                Q("create table tenant_a.only_b (id int, balance int)"),
                TO_A,
                Q("begin"),
                Q("select 1/0"),
                Q("execute p"),
                Q("rollback"),
                Q("set search_path = tenant_a, tenant_b, public"),
                Q("execute p"),
                Q("drop table tenant_a.only_b"),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_comes_to_mean_something_else_writes_nothing_there() {
    let story = Story::under(ONE_TENANT).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(THERE).await.expect("two tenants");
    let mut told = String::new();
    for (why, steps) in ways() {
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut said = Vec::new();
        for step in steps {
            let out = match step {
                Q(sql) => query(sql),
                X(group) => group(),
            };
            said.push(says(&mut wire, &out).await);
        }
        drop(wire);
        let count = "select (select count(*) from tenant_b.accounts where balance <> 100) + (select count(*) from tenant_b.only_b where balance <> 100)";
        let changed: i64 = direct.query_one(count, &[]).await.expect("a count").get(0);
        if changed > 0 || said.iter().all(Option::is_none) {
            writeln!(told, "{why}: {changed} rows of the other tenant; {said:?}").unwrap();
            direct
                .batch_execute("update tenant_b.accounts set balance = 100; update tenant_b.only_b set balance = 100")
                .await
                .expect("as it was");
        }
    }
    assert!(told.is_empty(), "{told}");
}

/// The SQLSTATE of an error, if there is one, up to ReadyForQuery.
async fn says(wire: &mut Wire, out: &[u8]) -> Option<String> {
    wire.send(out).await;
    let mut error = None;
    loop {
        let frame = wire.frame().await.expect("the session goes on");
        assert_eq!(frame.held(), None, "nobody can approve this");
        match frame.tag {
            b'E' => error = frame.field(b'C'),
            b'Z' => return error,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_prepared_runs_as_what_it_means_now() {
    let story = Story::under(ONE_TENANT).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(THERE).await.expect("two tenants");
    let mut wire = Wire::through(&story, "ana", &[]).await;
    assert_eq!(says(&mut wire, &query("set search_path = tenant_a, tenant_b, public")).await, None);
    let reads = "select balance from only_b";
    let run = || [bind("", "n", &[], 0), execute("", 0), sync()].concat();
    assert_eq!(says(&mut wire, &[parse("n", reads), run()].concat()).await, None);
    assert_eq!(says(&mut wire, &query("create table tenant_a.only_b (balance int)")).await, None);
    assert_eq!(says(&mut wire, &query("insert into tenant_a.only_b values (5), (6)")).await, None);
    wire.send(&run()).await;
    let mut rows = 0;
    loop {
        let frame = wire.frame().await.expect("the session goes on");
        assert_ne!(frame.tag, b'E', "{:?}", frame.field(b'M'));
        rows += usize::from(frame.tag == b'D');
        if frame.tag == b'Z' {
            break;
        }
    }
    assert_eq!(rows, 2, "of the table that its name means now; the server itself would go on with the other");
    // The same again, which the server need not be told anew; and SQL's EXECUTE of it.
    assert_eq!(says(&mut wire, &run()).await, None);
    assert_eq!(says(&mut wire, &query("execute n")).await, None);
    // Names are asked for before one is said to be taken.
    for forgets in ["deallocate n", "deallocate all", "discard all"] {
        assert_eq!(says(&mut wire, &query(forgets)).await, None);
        assert_eq!(says(&mut wire, &[parse("n", "select 1"), run()].concat()).await, None, "after {forgets}");
    }
    assert_eq!(says(&mut wire, &[parse("n", "select 1"), sync()].concat()).await.as_deref(), Some("42P05"));
}

/// As a driver reads rows some at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_goes_on_with_a_function_that_has_cursors_of_its_own() {
    let story = Story::under(ONE_TENANT).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let walks = "create function walks(n int) returns int language plpgsql as
        $$ declare c cursor for select n * 2; x int; begin open c; fetch c into x; close c; return x; end $$";
    direct.batch_execute(walks).await.expect("a function");
    let mut wire = Wire::through(&story, "ana", &[]).await;
    assert_eq!(says(&mut wire, &query("begin")).await, None);
    let sql = "select walks(n) from generate_series(1, 3) n";
    let first = [parse("", sql), bind("rows", "", &[], 0), execute("rows", 1), sync()].concat();
    assert_eq!(says(&mut wire, &first).await, None);
    for _ in 0..2 {
        assert_eq!(says(&mut wire, &[execute("rows", 1), sync()].concat()).await, None, "it goes on");
    }
    assert_eq!(says(&mut wire, &[close(b'P', "rows"), sync()].concat()).await, None);
    assert_eq!(says(&mut wire, &query("commit")).await, None);
}

/// As asyncpg's cursors move.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_only_reads_can_be_moved_and_fetched_from_by_name() {
    let story = Story::under(ONE_TENANT).await;
    let mut wire = Wire::through(&story, "ana", &[]).await;
    assert_eq!(says(&mut wire, &query("begin")).await, None);
    let sql = "select n from generate_series(1, 10) n";
    let first = [parse("", sql), bind("rows", "", &[], 0), execute("rows", 1), sync()].concat();
    assert_eq!(says(&mut wire, &first).await, None);
    assert_eq!(says(&mut wire, &query("move forward 2 from rows")).await, None);
    assert_eq!(says(&mut wire, &query("fetch 3 from rows")).await, None);
    assert_eq!(says(&mut wire, &[execute("rows", 1), sync()].concat()).await, None, "it goes on");
    assert_eq!(says(&mut wire, &query("commit")).await, None);
}

/// A client writes a value by the type that the server told, and so does who reads the card.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_of_the_type_that_was_told_though_its_statement_is_prepared_anew() {
    let story = Story::begin().await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let there = "create schema told_a; create schema told_b;
        create table told_a.prices (id int primary key, price float8); insert into told_a.prices values (1, 0);
        create table told_b.prices (id int primary key, price bigint); insert into told_b.prices values (1, 0);";
    direct.batch_execute(there).await.expect("two of them");
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut driver = Driver::log_in(story.world.facts.listen, "shop", &token).await;
    let path = |schema| Script::default().query(&format!("set search_path = {schema}"));
    assert_eq!(driver.says(path("told_a"), 1).await, ["SET"]);
    let described = Script::default().parse("n", "update prices set price = $1 where id = 1").describe("n").sync();
    driver.says(described, 1).await;
    assert_eq!(driver.says(path("told_b"), 1).await, ["SET"]);

    driver.sends(Script::default().bind_binary("", "n", &[&5_f64.to_be_bytes()]).execute("").sync()).await;
    let id = driver.is_held().await;
    let shown = story.request("priya", &id).await;
    assert_eq!(shown.parameters, ["5"], "{shown:?}");
    story.decides("priya", &id, Choice::Approve).await.expect("an approval");
    assert_eq!(driver.until_ready(1).await, ["UPDATE 1"]);
    assert_eq!(story.number("select price from told_b.prices").await, 5);
    assert_eq!(story.number("select price::bigint from told_a.prices").await, 0);
}

/// A constant is read when a statement is prepared, and by `DateStyle` of then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_reads_its_constants_as_its_card_does() {
    let story = Story::begin().await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let there = "create table due (id int primary key, day date);
        insert into due values (1, '2026-05-06'), (2, '2026-06-20');";
    direct.batch_execute(there).await.expect("two days");
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut driver = Driver::log_in(story.world.facts.listen, "shop", &token).await;
    let style = |style| Script::default().query(&format!("set datestyle = 'ISO, {style}'"));
    let delete = "delete from due where day < '05-07-2026'";
    assert_eq!(driver.says(style("DMY"), 1).await, ["SET"]);
    driver.says(Script::default().parse("n", delete).describe("n").sync(), 1).await;
    driver.says(Script::default().query(&format!("prepare p as {delete}")), 1).await;
    assert_eq!(driver.says(style("MDY"), 1).await, ["SET"]);

    driver.sends(Script::default().bind("", "n").execute("").sync()).await;
    let id = driver.is_held().await;
    assert_eq!(story.request("priya", &id).await.impact[0].rows, Some(1), "before the 7th of May");
    story.decides("priya", &id, Choice::Approve).await.expect("an approval");
    assert_eq!(driver.until_ready(1).await, ["DELETE 1"]);
    assert_eq!(story.number("select count(*) from due").await, 1);
    // SQL's own was read by the 5th of July, and is not prepared anew by anybody.
    assert_eq!(driver.says(Script::default().query("execute p"), 1).await, ["0A000"]);
    assert_eq!(story.number("select count(*) from due").await, 1);
}

/// Somebody has changed a table and not committed that; whoever looks sees the table of before, and whoever runs waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_it_waited_for_a_lock_does_not_stay() {
    let story = Story::begin().await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let there = "create table notes (said text);
        create function notes_it() returns trigger language plpgsql as
        $$ begin insert into notes values ('by a trigger'); return null; end $$;";
    direct.batch_execute(there).await.expect("what a trigger does");
    let change = "begin; create trigger later after update on products for each row execute function notes_it()";
    let ana = story.logs_in("ana").await;
    let update = ana.runs("update products set stock = 7 where id = 3");
    let id = ana.is_held().await;
    direct.batch_execute(change).await.expect("a trigger that nobody sees yet");
    story.decides("priya", &id, Choice::Approve).await.expect("an approval");
    let waits = "select count(*) from pg_locks where not granted and relation = 'products'::regclass";
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(20));
    while story.number(waits).await == 0 {
        looks.tick().await;
    }
    direct.batch_execute("commit").await.expect("everybody sees it now");
    let refused = update.gets_refused().await;
    assert!(refused.detail.contains("was changed while it ran"), "{refused:?}");
    assert_eq!(story.number("select count(*) from notes").await, 0);
    assert_eq!(story.number("select count(*) from products where id = 3 and stock = 7").await, 0);
}

/// What was put off to the end of a transaction is another by then, whoever has replaced it.
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_replaced_before_the_commit_does_not_run_unasked() {
    let policy = r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read"], resource);
        permit (principal, action, resource) when { context.approvals.count >= 1 };"#;
    let story = Story::under(policy).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let later = |body: &str| {
        format!(
            "create or replace function put_off() returns trigger language plpgsql as $$ begin {body} return null; end $$;"
        )
    };
    let trigger = "create constraint trigger later after update on products deferrable initially deferred
        for each row execute function put_off();";
    direct.batch_execute(&format!("{}{trigger}", later(""))).await.expect("a trigger that does nothing");
    let ana = story.logs_in("ana").await;
    ana.runs("begin").ends().await.expect("begin");
    let update = ana.runs("update products set stock = 7 where id = 3");
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("an approval");
    update.ends().await.expect("it runs");
    let orders = story.number("select count(*) from orders").await;
    direct
        .batch_execute(&later("delete from order_items; delete from refunds; delete from orders;"))
        .await
        .expect("another");
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Deny).await.expect("a denial");
    commit.gets_refused().await;
    assert_eq!(story.number("select count(*) from orders").await, orders);
}

/// Where nobody is asked, nothing is refused that the server would run.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_connection_only_observes_what_was_prepared_runs_as_it_did() {
    let story = Story::begin_with(&[("name     = \"shop\"", "name     = \"shop\"\nmode = \"observe\"")]).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut driver = Driver::log_in(story.world.facts.listen, "shop", &token).await;
    let update = "update products set stock = 7 where id = 3";
    let style = |style| Script::default().query(&format!("set datestyle = 'ISO, {style}'"));
    assert_eq!(driver.says(style("DMY"), 1).await, ["SET"]);
    assert_eq!(driver.says(Script::default().query(&format!("prepare p as {update}")), 1).await, ["PREPARE"]);
    assert_eq!(driver.says(style("MDY"), 1).await, ["SET"]);
    assert_eq!(driver.says(Script::default().query("execute p"), 1).await, ["UPDATE 1"]);
}
