//! Review at commit: what policy permits for that alone runs in a transaction, and the COMMIT waits. The database is
//! the judge of what is there, asked beside the gateway.

use std::fs;

use countersign_shared::{
    api::RequestView,
    request::{Choice, State},
};
use tokio_postgres::Client as Direct;

use crate::{
    fidelity::wire::{Wire as Frames, bind, execute, parse, query, sync},
    harness::{
        Story,
        client::{Client, Refused},
        wire::{Script, Wire},
    },
};

/// Rows are written at once, and kept once one person has seen what became of them. All else is free.
const AT_COMMIT: &str = r#"
permit (principal, action, resource)
unless { [Action::"insert", Action::"update", Action::"delete", Action::"merge", Action::"copy_in"].contains(action) };
permit (principal, action in Action::"write", resource)
when { context.approvals.count >= 1 && context.approvals.at_commit };
"#;

/// Everything but reading is permitted for its review at commit alone.
const ALL_AT_COMMIT: &str = r#"
permit (principal, action, resource)
when { [Action::"connect", Action::"approve", Action::"select", Action::"transaction", Action::"set", Action::"temp"].contains(action) };
permit (principal, action, resource) when { context.approvals.count >= 1 && context.approvals.at_commit };
"#;

const TABLES: &str = "
create table goods (id bigint primary key, kind text not null);
create table parts (id bigint primary key, good bigint references goods on delete cascade);
create table noted (what text);
create function note() returns trigger language plpgsql as
$$ begin insert into noted values ('goods'); return null; end $$;
create trigger notes after delete on goods for each row execute function note();
create procedure settle() language plpgsql as $$ begin update goods set kind = 'settled'; commit; end $$;
create function strange() returns int language plpgsql as
$$ begin execute 'update goods set kind = ''strange'''; return 1; end $$;
create function touch(n bigint) returns bigint language sql as
'update public.goods set kind = ''touched'' where id = n returning id';
create sequence numbers";

const ROWS: &str = "
truncate goods, parts, noted;
insert into goods select n, 'a' from generate_series(1, 10) n;
insert into parts select n, n from generate_series(1, 10) n;";

const LEFT: &str = "select count(*) from goods where kind = 'a'";

impl Story {
    /// Makes the tables through the gateway, so that it knows them at once, and fills them beside it.
    async fn with_goods(&self) -> (Client, Direct) {
        let direct = self.world.upstream.connect().await.expect("a way into the database");
        direct.batch_execute(TABLES).await.expect("the tables");
        direct.batch_execute(ROWS).await.expect("the rows");
        (self.logs_in("ana").await, direct)
    }

    async fn wire(&self) -> Wire {
        let token = self.world.idp.token_for("ana").expect("a token");
        Wire::log_in(self.world.facts.listen, "shop", &token).await
    }
}

/// What a card says of rows: `update 3 public.goods`, sorted.
fn rows(view: &RequestView) -> Vec<String> {
    let mut rows: Vec<String> = view
        .impact
        .iter()
        .map(|one| {
            assert!(one.counted && one.done, "{one:?}");
            format!("{} {} {}", one.action, one.rows.expect("a number"), one.table)
        })
        .collect();
    rows.sort();
    rows
}

/// Waits until no transaction of the gateway's holds anything on `goods`.
async fn is_unlocked(direct: &Direct) {
    direct.batch_execute("begin; lock table goods in access exclusive mode; rollback").await.expect("nobody holds it");
}

/// Texts that begin where no transaction is open, what they affect, and what their card says of rows.
const ALONE: [(&str, &[u64], &[&str]); 10] = [
    ("select touch(id) from goods order by id", &[10], &["update 10 public.goods"]),
    ("select touch(id) from goods where id < 5; select 1", &[4, 1], &["update 4 public.goods"]),
    ("update goods set kind = 'b' where id <= 3", &[3], &["update 3 public.goods"]),
    (
        "delete from goods where id <= 2",
        &[2],
        &["delete 2 public.goods", "delete 2 public.parts", "insert 2 public.noted"],
    ),
    ("update goods set kind = 'b' where id <= 4 returning id, kind", &[4], &["update 4 public.goods"]),
    (
        "with gone as (delete from parts where id = 1 returning good) update goods set kind = 'c' where id in (select good from gone)",
        &[1],
        &["delete 1 public.parts", "update 1 public.goods"],
    ),
    (
        "update goods set kind = 'b' where id = 1; delete from parts where id = 5",
        &[1, 1],
        &["delete 1 public.parts", "update 1 public.goods"],
    ),
    ("begin; update goods set kind = 'b' where id = 1; commit", &[0, 1, 0], &["update 1 public.goods"]),
    ("update goods set kind = 'b' where id = 1; commit;", &[1, 0], &["update 1 public.goods"]),
    (
        "select 1; update goods set kind = 'b' where id <= 2 returning id; select 2",
        &[1, 2, 1],
        &["update 2 public.goods"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_has_run_stays_once_its_commit_is_approved() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, direct) = story.with_goods().await;
    for (sql, affected, expected) in ALONE {
        let running = ana.runs(sql);
        let id = ana.is_held().await;
        let view = story.request("priya", &id).await;
        assert!(view.at_commit && view.needed.at_commit, "{sql}: {view:?}");
        assert_eq!(rows(&view), expected, "{sql}: as the server counted");
        assert!(view.sql.starts_with(sql.trim_end_matches(';')), "{sql}: {}", view.sql);
        assert_eq!(story.number(LEFT).await, 10, "{sql}: nobody else sees it");
        assert!(running.waits(), "{sql}");
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        assert_eq!(running.ends().await.expect(sql).affected, affected, "{sql}");
        assert!(story.number(LEFT).await < 10 || sql.starts_with("delete from parts"), "{sql}: it is there");
        let view = story.request("priya", &id).await;
        let outcome = view.outcome.expect("an outcome");
        assert_eq!((view.state, outcome.tag.as_deref()), (State::Done, Some("COMMIT")), "{sql}: {:?}", outcome.error);
        direct.batch_execute(ROWS).await.expect("as before");
    }
    // By messages, as drivers do.
    let running = ana.executes("update goods set kind = $1 where id <= $2", vec![Box::new("x"), Box::new(6_i64)]);
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    assert!(view.sql.contains("-- with $1 = x, $2 = 6"), "{}", view.sql);
    assert_eq!(rows(&view), ["update 6 public.goods"]);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(running.ends().await.expect("it stays"), 6);
    assert_eq!(story.number(LEFT).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_shown_whole_and_in_order_and_its_commit_waits() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, _direct) = story.with_goods().await;
    for sql in ["begin", "select * from goods", "create temp table mine as select 1 as one"] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let update = ana.runs("update goods set kind = 'b' where id <= 3 -- three of them").ends().await.expect("it runs");
    assert_eq!(update.affected, [3]);
    ana.is_told("reviewed at its COMMIT").await;
    assert_eq!(
        ana.runs("select count(*) from goods where kind = 'b'").ends().await.expect("own rows").rows[0][0],
        Some("3".into())
    );
    ana.runs("savepoint s").ends().await.expect("a savepoint");
    ana.executes("delete from parts where id = $1", vec![Box::new(7_i64)]).ends().await.expect("it runs");
    ana.runs("rollback to s").ends().await.expect("back");
    ana.runs("insert into parts values (11, 4)").ends().await.expect("it runs");
    ana.runs("prepare p as update goods set kind = 'p'\n where id = 10").ends().await.expect("it is prepared");
    ana.runs("execute p").ends().await.expect("it runs");
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    let expected = "begin;\ncreate temp table mine as select 1 as one;\n\
                    update goods set kind = 'b' where id <= 3 -- three of them\n;\nsavepoint s;\n\
                    delete from parts where id = $1; -- with $1 = 7\nrollback to s;\ninsert into parts values (11, 4);\n\
                    execute p;\n-- EXECUTE p runs: prepare p as update goods set kind = 'p'\\n where id = 10";
    assert_eq!(view.sql, expected);
    assert!(view.notes.iter().any(|note| note.contains("ROW EXCLUSIVE")), "its locks: {:?}", view.notes);
    assert!(view.notes.iter().any(|note| note.contains("undid")), "{:?}", view.notes);
    assert!(rows(&view).contains(&"update 4 public.goods".to_owned()), "{:?}", view.impact);
    let own = story.decides("ana", &id, Choice::Approve).await.expect_err("nobody approves their own");
    assert_eq!(own.code, "own_request");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    commit.ends().await.expect("it is kept");
    assert_eq!(story.number(LEFT).await, 6);
    assert_eq!(story.number("select count(*) from parts").await, 11, "what was rolled back is not there");
    // The next transaction is another.
    ana.runs("begin; select 1; commit").ends().await.expect("nobody is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_the_hold_otherwise_leaves_nothing() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, direct) = story.with_goods().await;
    let update = "update goods set kind = 'b' where id <= 3 returning id";
    for in_transaction in [false, true] {
        for (end, code) in [("denied", "42501"), ("withdrawn", "57014")] {
            let running = if in_transaction {
                ana.runs("begin").ends().await.expect("begin");
                ana.runs(update).ends().await.expect("it runs");
                ana.runs("commit")
            } else {
                ana.runs(update)
            };
            let id = ana.is_held().await;
            if end == "denied" {
                story.decides("priya", &id, Choice::Deny).await.expect("she may");
            } else {
                ana.presses_ctrl_c().await;
            }
            let refused = running.gets_refused().await;
            assert_eq!(refused.code, code, "{end}: {refused:?}");
            assert!(refused.hint.contains("rolled back"), "{end}: {refused:?}");
            is_unlocked(&direct).await;
            assert_eq!(story.number(LEFT).await, 10, "{end}");
            assert!(story.decides("priya", &id, Choice::Approve).await.is_err(), "{end}: it is over");
            let idle = ana.runs("select pg_current_xact_id_if_assigned() is null").ends().await.expect("it lives");
            assert_eq!(idle.rows[0][0], Some("t".into()), "{end}: no transaction is open");
        }
    }
    // A client that goes, with and without a transaction of its own.
    for in_transaction in [false, true] {
        let gone = story.logs_in("ana").await;
        let running = if in_transaction {
            gone.runs("begin").ends().await.expect("begin");
            gone.runs(update).ends().await.expect("it runs");
            gone.runs("commit")
        } else {
            gone.runs(update)
        };
        let id = gone.is_held().await;
        gone.closes();
        assert_eq!(running.gets_refused().await.code, "closed");
        is_unlocked(&direct).await;
        assert_eq!(story.number(LEFT).await, 10);
        assert!(story.decides("priya", &id, Choice::Approve).await.is_err(), "it is over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_time_and_a_gateway_that_dies_leave_nothing() {
    let mut story = Story::prepared_under(AT_COMMIT).await;
    let file = &story.world.facts.config;
    let config = fs::read_to_string(file).expect("the config");
    let line = config.lines().find(|line| line.starts_with("hold_timeout_in_transaction")).expect("a timeout");
    fs::write(file, config.replace(line, "hold_timeout_in_transaction = \"3s\"")).expect("another config");
    story.starts("gateway").await;
    let (ana, direct) = story.with_goods().await;
    let running = ana.runs("update goods set kind = 'b'");
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    assert!((view.expires_at - view.created_at).num_seconds() <= 3, "its locks are held for that long: {view:?}");
    let refused = running.gets_refused().await;
    assert_eq!(refused.code, "57014", "{refused:?}");
    is_unlocked(&direct).await;
    assert_eq!(story.number(LEFT).await, 10);
    ana.runs("begin").ends().await.expect("begin");
    ana.runs("update goods set kind = 'b'").ends().await.expect("it runs");
    let commit = ana.runs("commit");
    ana.is_held().await;
    story.kills_the_gateway().await;
    assert_eq!(commit.gets_refused().await.code, "closed");
    is_unlocked(&direct).await;
    assert_eq!(story.number(LEFT).await, 10);
}

/// Ways to have a COMMIT come without anybody's approval, after BEGIN and an UPDATE that is reviewed: what the
/// session answers to each, as far as it does not wait.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_lets_it_out_before_somebody_has_approved() {
    let story = Story::under(AT_COMMIT).await;
    let (_ana, direct) = story.with_goods().await;
    let script = Script::default;
    let update = "update goods set kind = 'b'";
    let began = || script().query("begin").query(update);
    // One after the other in texts of their own.
    let texts = [
        "commit",
        "COMMIT",
        "end",
        "End Transaction",
        "commit work",
        "/* c */ commit -- x",
        "commit;",
        ";commit",
        "commit and chain",
        "end and no chain",
        "commit and chain; select 1",
        "commit; begin",
        "select 1; commit",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "prepare c as commit",
        "do $$ begin commit; end $$",
        "do $$ begin execute 'commit'; end $$",
        "call settle()",
        "select strange()",
        "begin; commit",
        "start transaction; end",
        "savepoint s; commit",
        "release s; commit",
        "rollback to s; commit",
        "drop table parts",
        "truncate noted",
        "create table more (id int)",
        "vacuum goods",
        "create index concurrently i on goods (kind)",
        "alter system set work_mem = '4MB'",
        "set role app; commit",
        "set session characteristics as transaction isolation level serializable; commit",
        "set session authorization default",
        "copy goods to program 'cat'",
        "select pg_terminate_backend(pg_backend_pid())",
        "create database other",
        "select lo_create(0)",
        "discard all",
        "reset all; commit",
        "lock goods; commit",
        "begin; update goods set kind = 'c'; commit",
    ];
    for text in texts {
        for ends_with in ["alone", "extended"] {
            let mut wire = story.wire().await;
            assert_eq!(wire.says(began(), 2).await, ["BEGIN", "UPDATE 10"], "{text}");
            let last = match ends_with {
                "alone" => script().query(text),
                _ => script().runs(text).sync(),
            };
            wire.sends(last).await;
            let held = wire.is_held_or_ready(b"TE").await;
            if let Some(id) = held {
                assert_eq!(story.number(LEFT).await, 10, "{text}, {ends_with}: held");
                story.decides("priya", &id, Choice::Deny).await.expect("she may");
                assert_eq!(wire.until_ready(1).await, ["42501"], "{text}, {ends_with}");
            }
            drop(wire);
            is_unlocked(&direct).await;
            assert_eq!(story.number(LEFT).await, 10, "{text}, {ends_with}");
        }
    }
    // In one go, in groups and texts that hide it.
    let groups: Vec<(&str, Script)> = vec![
        ("a group", script().runs(update).runs("commit").sync()),
        ("a group that begins", script().runs("begin").runs(update).runs("commit").sync()),
        ("a group that begins and goes on", script().runs("begin").runs(update).runs("commit").runs("begin").sync()),
        (
            "a statement prepared before",
            script().parse("c", "commit").sync().runs("begin").runs(update).bind("", "c").execute("").sync(),
        ),
        (
            "a portal bound before",
            script().query("begin").parse("c", "commit").bind("p", "c").runs(update).execute("p").sync(),
        ),
        ("two groups at once", script().runs("begin").runs(update).sync().runs("commit").sync()),
        ("a query within a group", script().runs("begin").runs(update).query("commit")),
        ("an implicit block", script().runs(update).runs("select 1").sync()),
        ("an implicit block with a flush", script().runs(update).flush().runs("select 1").sync()),
        ("a query after it", script().runs(update).query("select 1")),
        (
            "a row limit",
            script().parse("", "update goods set kind = 'b' returning id").bind("", "").execute_some("", 2).sync(),
        ),
        (
            "an end that is undone",
            script().runs("begin").runs(update).runs("rollback").runs("begin").runs(update).runs("commit").sync(),
        ),
        ("one text", script().query("begin; update goods set kind = 'b'; commit; select 1")),
        (
            "a failed one that is brought back",
            script()
                .query("begin")
                .query(update)
                .query("savepoint s")
                .query("select 1/0")
                .query("rollback to s; commit"),
        ),
        (
            "the same by messages",
            script()
                .query("begin")
                .query(update)
                .query("savepoint s")
                .query("select 1/0")
                .runs("rollback to s")
                .runs("commit")
                .sync(),
        ),
        (
            "the same with more in between",
            script()
                .query("begin")
                .query(update)
                .query("savepoint s")
                .query("select 1/0")
                .query("rollback to s; select 1; end"),
        ),
        (
            "a cursor that runs at the commit",
            script().query("begin").query("declare c cursor with hold for select touch(id) from goods").query("commit"),
        ),
        ("one text that ends twice", script().query("update goods set kind = 'b'; commit; commit")),
        ("one text that chains", script().query("begin; update goods set kind = 'b'; commit and chain")),
        ("one text that begins in between", script().query("select 1; begin; update goods set kind = 'b'; commit")),
        ("one text that undoes first", script().query("begin; rollback; update goods set kind = 'b'")),
        ("a failed one", script().query("begin; select 1/0").query("commit; update goods set kind = 'b'")),
    ];
    for (case, group) in groups {
        let mut wire = story.wire().await;
        wire.sends(group).await;
        // What fails on purpose comes before.
        let mut held = wire.is_held_or_ready(b"I").await;
        if case.contains("brought back") || case.contains("the same") {
            held = wire.is_held_or_ready(b"I").await;
        }
        if let Some(id) = held {
            assert_eq!(story.number(LEFT).await, 10, "{case}: held");
            story.decides("priya", &id, Choice::Deny).await.expect("she may");
            while !wire.until_ready(1).await.iter().any(|said| said == "42501") {}
        }
        drop(wire);
        is_unlocked(&direct).await;
        assert_eq!(story.number(LEFT).await, 10, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rollback_does_not_undo_never_runs_for_its_review_alone() {
    let story = Story::under(ALL_AT_COMMIT).await;
    let (ana, direct) = story.with_goods().await;
    direct.batch_execute("create table other (id int); create view seen as select * from goods").await.expect("more");
    let refused: [&str; 18] = [
        "select strange()",
        "call settle()",
        "do $$ begin perform strange(); end $$",
        "select nextval('numbers')",
        "select setval('numbers', 100)",
        "insert into goods values (nextval('numbers'), 'n')",
        "select pg_notify('c', 'x')",
        "notify c",
        "truncate noted",
        "create table more (id int)",
        "drop table other",
        "alter table other add x int",
        "vacuum other",
        "copy other to program 'cat > /dev/null'",
        "select pg_reload_conf()",
        "lock table other",
        "update goods set kind = strange()::text",
        "grant select on other to public",
    ];
    for sql in refused {
        for in_transaction in [false, true] {
            if in_transaction {
                ana.runs("begin").ends().await.expect("begin");
            }
            let said: Refused = ana.runs(sql).gets_refused().await;
            assert_eq!(said.code, "42501", "{sql}: {said:?}");
            if in_transaction {
                ana.runs("rollback").ends().await.expect("its end");
            }
        }
        assert!(!story.database_ran(sql), "{sql} did not reach the database");
    }
    // In company of what may.
    let both = ana.runs("update goods set kind = 'b'; select strange()").gets_refused().await;
    assert_eq!(both.code, "42501", "{both:?}");
    assert_eq!(story.number("select last_value from numbers").await, 1);
    assert_eq!(story.number(LEFT).await, 10);
    // Rows of tables do, with what hangs on them.
    for sql in ["update seen set kind = 'b'", "delete from goods", "insert into goods values (20, 'n')"] {
        let running = ana.runs(sql);
        let id = ana.is_held().await;
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        assert_eq!(running.gets_refused().await.code, "42501", "{sql}");
    }
    assert_eq!(story.number(LEFT).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_off_until_the_commit_is_counted_before_anybody_is_asked() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, _direct) = story.with_goods().await;
    ana.runs(
        "create function late() returns trigger language plpgsql set search_path = public as $$ begin
           insert into noted select 'late' from generate_series(1, 100); return null; end $$;
         create constraint trigger late after insert on goods deferrable initially deferred
           for each row execute function late();
         create table strict (id bigint references goods deferrable initially deferred)",
    )
    .ends()
    .await
    .expect("what comes late");
    let running = ana.runs("insert into goods values (20, 'n')");
    let id = ana.is_held().await;
    assert_eq!(rows(&story.request("priya", &id).await), ["insert 1 public.goods", "insert 100 public.noted"]);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    running.ends().await.expect("it stays");
    assert_eq!(story.number("select count(*) from noted").await, 100);
    for in_transaction in [false, true] {
        let insert = "insert into strict values (77)";
        let refused = if in_transaction {
            ana.runs("begin").ends().await.expect("begin");
            ana.runs(insert).ends().await.expect("it runs");
            ana.runs("commit").gets_refused().await
        } else {
            ana.runs(insert).gets_refused().await
        };
        assert_eq!(refused.code, "23503", "as the COMMIT would say: {refused:?}");
        ana.runs("select 1").ends().await.expect("no transaction is left failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_copied_in_and_reviewed_before_it_stays() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, _direct) = story.with_goods().await;
    let alone = ana.runs("copy parts from stdin").gets_refused().await;
    assert_eq!(alone.code, "42501", "{alone:?}");
    assert!(alone.hint.contains("BEGIN"), "{alone:?}");
    ana.runs("begin").ends().await.expect("begin");
    let into = ana.pg.copy_in::<_, bytes::Bytes>("copy parts from stdin").await.expect("it may");
    let mut into = std::pin::pin!(into);
    futures_util::SinkExt::send(&mut into, bytes::Bytes::from_static(b"21\t1\n22\t2\n")).await.expect("data");
    assert_eq!(into.finish().await.expect("it is copied"), 2);
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    assert_eq!(rows(&story.request("priya", &id).await), ["insert 2 public.parts"]);
    assert_eq!(story.number("select count(*) from parts").await, 10);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    commit.ends().await.expect("it stays");
    assert_eq!(story.number("select count(*) from parts").await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_reaches_a_client_before_what_it_tells_of_may_stay() {
    let story = Story::under(AT_COMMIT).await;
    let (_ana, direct) = story.with_goods().await;
    direct
        .batch_execute("insert into goods select n, repeat('x', 300) from generate_series(1000, 2999) n")
        .await
        .expect("rows");
    let update = "update goods set kind = 'y' where id >= 1000 returning id, kind";
    let texts = [
        Script::default().query(update),
        Script::default().runs(update).sync(),
        Script::default().query(&format!("{update}; select 1")),
        Script::default().query(&format!("begin; {update}; commit")),
    ];
    for (at, text) in texts.into_iter().enumerate() {
        for choice in [Choice::Deny, Choice::Approve] {
            let mut wire = story.wire().await;
            wire.sends(text.clone()).await;
            // It asserts that no row came before.
            let id = wire.is_held_before_any_row().await;
            story.decides("priya", &id, choice).await.expect("she may");
            let (rows, said) = wire.until_ready_with_rows(1).await;
            if choice == Choice::Deny {
                assert_eq!((rows, said), (0, vec!["42501".to_owned()]), "{at}");
            } else {
                assert!(rows >= 2000, "{at}: {rows} {said:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_longer_may_stay_does_not() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, direct) = story.with_goods().await;
    // Policy changes while it waits: nobody may approve any more.
    let running = ana.runs("update goods set kind = 'b'");
    let id = ana.is_held().await;
    let other = AT_COMMIT.replace(" && context.approvals.at_commit", "");
    fs::write(story.world.facts.policy.join("only.cedar"), other).expect("another policy");
    let refused = running.gets_refused().await;
    assert_eq!(refused.code, "57014", "what runs before it is approved is permitted no more: {refused:?}");
    is_unlocked(&direct).await;
    assert_eq!(story.number(LEFT).await, 10);
    assert!(story.decides("priya", &id, Choice::Approve).await.is_err());
    // The other way round: what waited to run is to run first by now.
    let running = ana.runs("update goods set kind = 'b'");
    let id = ana.is_held().await;
    assert!(!story.request("priya", &id).await.at_commit);
    fs::write(story.world.facts.policy.join("only.cedar"), AT_COMMIT).expect("another policy");
    assert_eq!(running.gets_refused().await.code, "57014");
    assert!(story.decides("priya", &id, Choice::Approve).await.is_err());
    assert_eq!(story.number(LEFT).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_shows_rows_before_and_after_and_nothing_that_is_classified() {
    let mut story = Story::prepared_under(AT_COMMIT).await;
    let file = &story.world.facts.config;
    let config = fs::read_to_string(file).expect("the config");
    let classify =
        "[[connection]]\nclassify = [{ column = \"public.customers.email\", as = \"pii\", mask = \"redact\" }]";
    fs::write(file, config.replace("[[connection]]", classify)).expect("another config");
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    for in_transaction in [false, true] {
        let update = "update customers set name = 'Nobody Else' where id in (2, 3)";
        let running = if in_transaction {
            ana.runs("begin").ends().await.expect("begin");
            ana.runs(update).ends().await.expect("it runs");
            ana.runs("commit")
        } else {
            ana.runs(update)
        };
        let id = ana.is_held().await;
        let view = story.request("priya", &id).await;
        let sample = view.impact[0].sample.clone().expect("a sample");
        assert_eq!((sample.before.len(), sample.after.len(), sample.missing.clone()), (2, 2, None), "{sample:?}");
        assert!(sample.before[0].starts_with("id = 2, name = ") && !sample.before[0].contains("Nobody"), "{sample:?}");
        assert!(sample.after.iter().all(|row| row.contains("name = Nobody Else, email = ‹pii›")), "{sample:?}");
        let whole = format!("{sample:?}");
        let emails = "select count(*) from customers where id in (2, 3) and position(email in $1) > 0";
        let direct = story.world.upstream.connect().await.expect("a way into the database");
        let shown: i64 = direct.query_one(emails, &[&whole]).await.expect("a number").get(0);
        assert_eq!(shown, 0, "no address is in it: {whole}");
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        running.gets_refused().await;
    }
    // What was there before can't be seen where the transaction has changed it already; the rest is told.
    ana.runs("begin").ends().await.expect("begin");
    ana.runs("update products set stock = 1 where id <= 9").ends().await.expect("it runs");
    ana.runs("delete from products where id = 777").ends().await.expect("it runs");
    ana.runs("update customers set name = 'N' where id = 4").ends().await.expect("it runs");
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    let of = |table: &str| {
        view.impact.iter().find(|one| one.table == table).and_then(|one| one.sample.clone()).expect(table)
    };
    assert_eq!((of("public.products").before.len(), of("public.products").after.len()), (5, 5), "five of nine");
    let customers = of("public.customers");
    assert_eq!((customers.before.len(), customers.after.len()), (0, 1), "{customers:?}");
    assert!(customers.missing.expect("why").contains("before"));
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    commit.ends().await.expect("to look at it has left the transaction as it was");
    assert_eq!(story.number("select count(*) from customers where name = 'N'").await, 1);
}

/// Masked rows are written anew, and stay back as others do.
#[tokio::test(flavor = "multi_thread")]
async fn no_masked_row_reaches_the_client_before_its_commit_is_approved() {
    let mut story = Story::prepared_under(AT_COMMIT).await;
    let file = &story.world.facts.config;
    let config = fs::read_to_string(file).expect("the config");
    let classify =
        "[[connection]]\nclassify = [{ column = \"public.customers.email\", as = \"pii\", mask = \"email\" }]";
    fs::write(file, config.replace("[[connection]]", classify)).expect("another config");
    story.starts("gateway").await;
    let update = "update customers set name = 'N' where id <= 9 returning id, email, name";
    let extended = |text: &str| [parse("", text), bind("", "", &[], 0), execute("", 0), sync()].concat();
    for out in [query(update), query(&format!("select 1; {update}")), extended(update)] {
        let mut wire = Frames::through(&story, "ana", &[]).await;
        wire.send(&out).await;
        let mut tags = Vec::new();
        let id = loop {
            let frame = wire.frame().await.expect("the session goes on");
            if let Some(id) = frame.held() {
                break id;
            }
            tags.push(frame.tag);
        };
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        loop {
            let frame = wire.frame().await.expect("the session goes on");
            tags.push(frame.tag);
            if frame.tag == b'Z' {
                break;
            }
        }
        assert!(!tags.contains(&b'D') && !tags.contains(&b'T'), "{}", tags.escape_ascii());
        assert!(tags.contains(&b'E'), "{}", tags.escape_ascii());
    }
    assert_eq!(story.number("select count(*) from customers where name = 'N'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_commit_that_does_not_come_to_pass_is_used_up() {
    let story = Story::under(AT_COMMIT).await;
    let (_ana, direct) = story.with_goods().await;
    let mut wire = story.wire().await;
    let began = Script::default().query("begin").query("update goods set kind = 'b'").query("savepoint s");
    assert_eq!(wire.says(began, 3).await, ["BEGIN", "UPDATE 10", "SAVEPOINT"]);
    // The server refuses the Bind, which comes after the approval: a parameter too many.
    wire.sends(Script::default().parse("", "commit").bind_with("", "", &["x"]).execute("").sync()).await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["08P01"]);
    wire.sends(Script::default().query("rollback to s").query("commit")).await;
    let again = wire.is_held().await;
    assert_ne!(again, id, "another question");
    assert_eq!(story.number(LEFT).await, 10);
    story.decides("priya", &again, Choice::Deny).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["42501"]);
    is_unlocked(&direct).await;
    assert_eq!(story.number(LEFT).await, 10);
    // AND CHAIN keeps what was approved, and the next transaction is another.
    wire.sends(
        Script::default().query("begin").query("update goods set kind = 'b' where id = 1").query("commit and chain"),
    )
    .await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["COMMIT"]);
    assert_eq!(story.number(LEFT).await, 9);
    assert_eq!(wire.says(Script::default().query("select 1").query("commit"), 2).await, ["SELECT 1", "COMMIT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_slack_a_commit_is_approved_by_what_was_done() {
    let mut story = Story::prepared_under(AT_COMMIT).await;
    story.starts("serve").await;
    let (ana, _direct) = story.with_goods().await;
    let priya = story.linked("priya").await;
    ana.runs("begin").ends().await.expect("begin");
    ana.runs("update goods set kind = 'b' where id <= 3").ends().await.expect("it runs");
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    let shown = story.card(&id).await.shown();
    for words in [
        "update 3 rows of public.goods, done and not committed",
        "asks to keep what this did",
        "Approve 3 rows",
        "update goods set kind = 'b' where id <= 3;",
        "before: id = 1, kind = a",
        "after:  id = 1, kind = b",
        "then it is rolled back",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    priya.presses("approve", &id).await;
    commit.ends().await.expect("it stays");
    story.card_says(&id, "COMMIT").await;
    assert_eq!(story.number(LEFT).await, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_kept_back_ends_the_session_and_leaves_nothing() {
    let story = Story::under(AT_COMMIT).await;
    let (ana, direct) = story.with_goods().await;
    let refused = ana.runs("update goods set kind = 'b' returning repeat('x', 2000000)").gets_refused().await;
    assert_eq!(refused.code, "57P01", "{refused:?}");
    assert!(refused.message.contains("kept back") && refused.message.contains("BEGIN"), "{refused:?}");
    is_unlocked(&direct).await;
    assert_eq!(story.number(LEFT).await, 10);
    assert_eq!(story.waiting("priya").await.len(), 0, "nobody was asked");
}
