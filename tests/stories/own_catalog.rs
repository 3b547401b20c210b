//! A transaction that changes the catalog: what a name means in it is what it means now, however it came
//! to that. Each case turns a function that only counts into one that deletes.

use crate::harness::{
    Story,
    client::Client,
    server,
    wire::{Script, Wire},
};

/// Nothing is held but what deletes.
const DELETES: &str = r#"
permit (principal, action, resource) unless { action == Action::"delete" };
permit (principal, action == Action::"delete", resource) when { context.approvals.count >= 1 };
"#;
/// Nothing is held but what deletes, and what can't be seen.
const UNSEEN: &str = r#"
permit (principal, action, resource) unless { [Action::"delete", Action::"opaque"].contains(action) };
permit (principal, action in [Action::"delete", Action::"opaque"], resource) when { context.approvals.count >= 1 };
"#;

const COUNTS: &str = "create or replace function f() returns bigint language sql as 'select count(*) from orders'";
const DELETES_ALL: &str =
    "create or replace function f() returns bigint language sql as 'delete from orders; select 1::bigint'";
const USES: &str = "select f()";
const BESIDE: &str = "create table beside (id int)";

/// A function that puts the deleting one in place, by a text that nobody can see.
const TURNS: &str = "create function turns() returns int language plpgsql as $$ begin execute \
     'create or replace function f() returns bigint language sql as ''delete from orders; select 1::bigint''' ; \
     return 1; end $$";
const TURNS_LATER: &str = "create function turns_later() returns trigger language plpgsql as $$ begin perform turns(); \
     return null; end $$";

impl Client {
    async fn does(&self, sql: &str) {
        self.runs(sql).ends().await.unwrap_or_else(|refused| panic!("{sql}: {refused:?}"));
    }

    /// The statement waits for somebody; it is withdrawn, and the transaction undone.
    async fn is_held_for(&self, sql: &str, case: &str) {
        let running = self.runs(sql);
        tokio::select! {
            _id = self.is_held() => {}
            () = running.is_over() => panic!("{case}: it is not held"),
        }
        self.presses_ctrl_c().await;
        assert_eq!(running.gets_refused().await.code, "57014", "{case}");
        self.does("rollback").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_what_the_transaction_made_of_it_last() {
    let story = Story::under(DELETES).await;
    let ana = story.logs_in("ana").await;
    let orders = story.number("select count(*) from orders").await;
    for sql in [COUNTS, TURNS, TURNS_LATER, "create table late (id int)"] {
        ana.does(sql).await;
    }
    ana.does(
        "create constraint trigger late after insert on late deferrable initially deferred for each row \
         execute function turns_later()",
    )
    .await;
    let cases: &[(&str, &[&str])] = &[
        ("it is replaced", &[DELETES_ALL]),
        ("it is replaced twice in one command's time", &[BESIDE, USES, COUNTS, USES, DELETES_ALL]),
        ("a block replaces it", &[BESIDE, USES, "do $$ begin perform turns(); end $$"]),
        ("a function replaces it", &[BESIDE, USES, "select turns()"]),
        (
            "a cursor replaces it when it is read",
            &[BESIDE, "declare c cursor for select turns()", USES, "fetch from c"],
        ),
        (
            "a trigger replaces it when constraints become immediate",
            &[BESIDE, "insert into late values (1)", USES, "set constraints all immediate"],
        ),
        (
            "what was undone is there again",
            &[DELETES_ALL, "savepoint here", COUNTS, USES, "select 1", "rollback to savepoint here"],
        ),
        (
            "what was undone was replaced by as much",
            &["savepoint here", COUNTS, USES, "rollback to savepoint here", "savepoint here", DELETES_ALL],
        ),
        ("after an error", &[DELETES_ALL, "savepoint here", COUNTS, USES, "rollback to savepoint here", "select 2"]),
    ];
    for (case, statements) in cases {
        ana.does("begin").await;
        for sql in *statements {
            ana.does(sql).await;
        }
        ana.is_held_for(USES, case).await;
    }
    assert_eq!(story.number("select count(*) from orders").await, orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_commit_counts_in_a_transaction_that_changed_the_catalog() {
    for (policy, begin) in [(DELETES, "begin"), (UNSEEN, "begin isolation level repeatable read")] {
        let story = Story::under(policy).await;
        let (ana, ben) = (story.logs_in("ana").await, story.logs_in("ben").await);
        ben.does(COUNTS).await;
        for sql in [begin, BESIDE, USES, "insert into beside values (1)"] {
            ana.does(sql).await;
        }
        ben.does(DELETES_ALL).await;
        ana.is_held_for(USES, begin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_does_not_go_by_the_catalog_that_others_see() {
    const READS: &str = "select count(*) from orders";
    for (policy, first) in [(DELETES, READS), (UNSEEN, "select 1")] {
        let story = Story::under(policy).await;
        story.logs_in("ana").await.does(COUNTS).await;
        let token = story.world.idp.token_for("ana").expect("a token");
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        for sql in ["begin", DELETES_ALL, READS] {
            wire.says(Script::default().query(sql), 1).await;
        }
        wire.sends(Script::default().runs(first).runs(USES).sync()).await;
        wire.is_held().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_does_not_go_on_with_a_function_that_became_another() {
    let story = Story::under(DELETES).await;
    let ben = story.logs_in("ben").await;
    ben.does(COUNTS).await;
    let orders = story.number("select count(*) from orders").await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    wire.says(Script::default().query("begin"), 1).await;
    let first = Script::default().parse("", "select f() from generate_series(1, 3)").bind("rows", "");
    wire.says(first.execute_some("rows", 1).sync(), 1).await;
    wire.says(Script::default().execute_some("rows", 1).sync(), 1).await;
    ben.does(DELETES_ALL).await;
    wire.sends(Script::default().execute("rows").sync()).await;
    wire.is_held().await;
    assert_eq!(story.number("select count(*) from orders").await, orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_does_not_go_on_where_what_an_operator_or_a_domain_runs_became_another() {
    let runs = |what: &str| {
        format!(
            "create or replace function g(a int, b int) returns int language plpgsql as $$ begin {what} return a; end $$"
        )
    };
    let story = Story::under(DELETES).await;
    let ben = story.logs_in("ben").await;
    ben.does(&runs("")).await;
    ben.does("create operator ### (leftarg = int, rightarg = int, function = g)").await;
    ben.does("create domain checked as int check (g(value, 1) > 0)").await;
    let orders = story.number("select count(*) from orders").await;
    let token = story.world.idp.token_for("ana").expect("a token");
    ben.does("create table numbers as select n from generate_series(1, 3) n").await;
    for sql in ["select n ### 1 from numbers", "select n::checked from numbers"] {
        ben.does(&runs("")).await;
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        wire.says(Script::default().query("begin"), 1).await;
        let first = Script::default().parse("", sql).bind("rows", "");
        wire.says(first.execute_some("rows", 1).sync(), 1).await;
        ben.does("create table if not exists beside (id int)").await;
        wire.says(Script::default().execute_some("rows", 1).sync(), 1).await;
        ben.does(&runs("delete from orders;")).await;
        wire.sends(Script::default().execute("rows").sync()).await;
        wire.is_held().await;
        assert_eq!(story.number("select count(*) from orders").await, orders, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_is_read_once_for_one_change() {
    let story = Story::under(DELETES).await;
    let ana = story.logs_in("ana").await;
    ana.does("begin").await;
    ana.does(BESIDE).await;
    let began = server().log_position();
    for number in 0..20 {
        ana.does(&format!("insert into beside values ({number})")).await;
        ana.does("select count(*) from beside").await;
    }
    let log = server().log_since(began).expect("the server's log");
    let database = format!("db={} ", story.world.upstream.database);
    let of_hers = |line: &&str| line.contains("app=ana") && line.contains(&database);
    let reads = log.lines().filter(of_hers).filter(|line| line.contains("SELECT DISTINCT proname")).count();
    assert_eq!(reads, 1, "{log}");
    ana.does("rollback").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_can_read_the_catalog_what_names_something_is_opaque_and_the_session_lives() {
    const COUNT: &str = "select count(*) from orders";
    let story = Story::under(UNSEEN).await;
    let ana = story.logs_in("ana").await;
    ana.does(COUNT).await;
    let locker = server().superuser(&story.world.upstream.database).connect().await.expect("a way past the gateway");
    locker.batch_execute("begin; lock table pg_catalog.pg_policy in access exclusive mode").await.expect("a lock");
    // What was known before counts for half a second; then it is asked for in vain.
    let held = loop {
        let running = ana.runs(COUNT);
        tokio::select! {
            _id = ana.is_held() => break running,
            () = running.is_over() => {}
        }
    };
    ana.presses_ctrl_c().await;
    assert_eq!(held.gets_refused().await.code, "57014");
    ana.does("begin").await;
    ana.does("rollback").await;
    locker.batch_execute("rollback").await.expect("the lock is gone");
    ana.does(COUNT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_cannot_be_looked_into_is_not_taken_for_what_others_see() {
    let story = Story::under(UNSEEN).await;
    story.logs_in("ben").await.does(COUNTS).await;
    // A busy server gives up even a savepoint in that time: then the session ends, and another is tried.
    for _ in 0..20 {
        let ana = story.logs_in("ana").await;
        for sql in ["begin", DELETES_ALL, "set local statement_timeout = '1ms'"] {
            ana.does(sql).await;
        }
        let running = ana.runs(USES);
        tokio::select! {
            Some(_held) = ana.is_held_or_gone() => {
                ana.presses_ctrl_c().await;
                assert_eq!(running.gets_refused().await.code, "57014");
                return;
            }
            () = running.is_over() => {}
        }
        assert!(running.ends().await.is_err(), "the server gives up each look at the catalog, and it ran");
    }
    panic!("each session ended, and none was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_leaves_no_lock_and_no_setting_in_the_clients_transaction() {
    const LOCKS: &str = "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'relation' \
         and relation in ('customers'::regclass, 'order_totals'::regclass)";
    let story = Story::under(DELETES).await;
    let ana = story.logs_in("ana").await;
    for sql in ["begin", "set local lock_timeout = '7s'", BESIDE, "insert into beside values (1)"] {
        ana.does(sql).await;
    }
    let asks = async |sql: &str| ana.runs(sql).ends().await.expect(sql).rows[0][0].clone().expect("a value");
    assert_eq!(asks(LOCKS).await, "0", "what the view names is nobody's");
    assert_eq!(asks("show lock_timeout").await, "7s");
    assert_eq!(asks("select count(*) from beside").await, "1");
    ana.does("rollback").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_transaction_changed_counts_for_others_once_it_is_over_whatever_begins_then() {
    for end in ["commit and chain", "commit; begin"] {
        let story = Story::under(DELETES).await;
        let (ana, ben) = (story.logs_in("ana").await, story.logs_in("ben").await);
        ben.does(COUNTS).await;
        for sql in ["begin", DELETES_ALL] {
            ana.does(sql).await;
        }
        // The catalog that all share is read after the change, and before its commit.
        ben.does(USES).await;
        ana.does(end).await;
        ben.is_held_for(USES, end).await;
        ana.does("rollback").await;
    }
}
