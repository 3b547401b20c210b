//! Orders of messages that make the gateway and the database mean different things by one name.

use crate::harness::{
    Story,
    wire::{Script, Wire},
};

async fn ana(story: &Story) -> Wire {
    let token = story.world.idp.token_for("ana").expect("a token");
    Wire::log_in(story.world.facts.listen, "shop", &token).await
}

/// A statement that fails when it runs, not before.
const FAILS: &str = "select 1 / (id - id) from orders";

const FAILS_ANYWHERE: &str = "select 1 / 0";

async fn orders(story: &Story) -> i64 {
    story.number("select count(*) from orders").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_waits_for_what_became_of_the_one_before() {
    let story = Story::begin().await;
    let before = orders(&story).await;
    let mut ana = ana(&story).await;
    // The description makes the database know the unnamed DELETE, which nobody has approved.
    let known = Script::default().parse("fails", FAILS).parse("", "delete from orders").describe("").sync();
    assert!(ana.says(known, 1).await.is_empty());
    // The first group fails before its Parse, so that the second binds the DELETE after all.
    let tricked = Script::default().bind("", "fails").execute("").parse("", "select 1").sync();
    let answers = ana.says(tricked.bind("", "").execute("").sync(), 2).await;
    assert_eq!(answers, ["22012", "26000"], "there is no unnamed statement that anybody may run");
    assert_eq!(orders(&story).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_with_many_syncs_is_answered_to_its_end() {
    let story = Story::begin().await;
    let mut ana = ana(&story).await;
    for _ in 0..100 {
        ana.sends(Script::default().runs("select 1")).await;
        // The Sync on its own, so that it comes while the group before is being answered.
        ana.sends(Script::default().sync().runs("select 2")).await;
        ana.sends(Script::default().sync()).await;
    }
    assert_eq!(ana.until_ready(200).await.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_means_what_the_database_has_under_the_name() {
    let story = Story::begin().await;
    let before = orders(&story).await;
    let mut ana = ana(&story).await;
    ana.says(Script::default().query("prepare s as delete from orders"), 1).await;
    // The group fails before its Close and its Parse, so that both names stay as they were.
    let failed = Script::default().runs(FAILS).close("s").parse("s", "select 1").sync();
    assert_eq!(ana.says(failed, 1).await, ["22012"]);
    ana.sends(Script::default().query("execute s")).await;
    ana.is_held().await;
    assert_eq!(orders(&story).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_in_a_group_that_failed_is_dropped_with_it() {
    let story = Story::begin().await;
    let mut ana = ana(&story).await;
    let script = Script::default().runs(FAILS).query("delete from orders").sync().query("select 1");
    assert_eq!(ana.says(script, 2).await, ["22012", "SELECT 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_failed_transaction_do_not_outlive_its_rollback() {
    let scratch = "permit (principal, action in Action::\"write\", resource in Schema::\"shop/scratch\");";
    let story = Story::begin_under(scratch).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("create schema scratch; create table scratch.orders (id int)").await.expect("a playground");
    let before = orders(&story).await;
    let mut ana = ana(&story).await;
    let table = [
        ("begin", "BEGIN"),
        ("set local search_path = scratch", "SET"),
        ("delete from orders", "DELETE 0"),
        (FAILS_ANYWHERE, "22012"),
    ];
    for (sql, answer) in table {
        assert_eq!(ana.says(Script::default().query(sql), 1).await, [answer], "{sql}");
    }
    let group = Script::default().runs("rollback").runs("delete from orders").sync();
    assert_eq!(ana.says(group, 1).await, ["ROLLBACK", "42501"]);
    assert_eq!(orders(&story).await, before, "after the rollback they are others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_ended_in_a_group_is_not_believed_to_be_open() {
    let inside = "permit (principal, action in Action::\"write\", resource) when { context.sql.in_transaction };";
    let story = Story::begin_under(inside).await;
    let before = orders(&story).await;
    let mut ana = ana(&story).await;
    ana.says(Script::default().query("begin"), 1).await;
    ana.sends(Script::default().runs("commit").runs("delete from orders").sync()).await;
    ana.is_held().await;
    assert_eq!(orders(&story).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_says_what_ran_whatever_its_name_means_by_then() {
    let story = Story::begin().await;
    let mut ana = ana(&story).await;
    let secret = "select count(*) from customers";
    let group = Script::default().parse("", secret).bind("p", "").parse("", "select 'decoy'").execute("p").sync();
    assert_eq!(ana.says(group, 1).await, ["SELECT 1"]);
    let recorded = |text: &str| story.everything_written().iter().any(|(_, bytes)| contains(bytes, text));
    assert!(recorded(secret));
    assert!(!recorded("decoy"), "it did not run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_statement_that_was_replaced_before_it_ran_does_not_run() {
    let story = Story::begin().await;
    let mut ana = ana(&story).await;
    let group = Script::default().parse("", "delete from orders").bind("p", "").parse("", "select 1").execute("p");
    assert_eq!(ana.says(group.sync(), 1).await, ["26000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sql_prepared_is_not_run_by_message() {
    let story = Story::begin_under("permit (principal, action, resource) when { context.approvals.count >= 1 };").await;
    let mut ana = ana(&story).await;
    ana.says(Script::default().query("prepare s as delete from orders"), 1).await;
    // Known to the gateway once it has looked.
    ana.says(Script::default().query("select 1"), 1).await;
    assert_eq!(ana.says(Script::default().bind("", "s").execute("").sync(), 1).await, ["0A000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_parameter_runs_no_code_unasked() {
    let story = Story::begin().await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let types = "create table hits (value text);
        create function hit(value text) returns boolean language plpgsql as
          $$ begin insert into hits values (value); return true; end $$;
        create domain tracked as text check (hit(value));
        create domain plain as text check (length(value) < 100)";
    direct.batch_execute(types).await.expect("two domains");
    let oid = async |name: &str| story.number(&format!("select '{name}'::regtype::oid::bigint")).await;
    let (tracked, plain) = (oid("tracked").await, oid("plain").await);
    let mut ana = ana(&story).await;
    for (types, answer) in [(tracked, "0A000"), (plain, "SELECT 1"), (25, "SELECT 1"), (4_000_000_000, "0A000")] {
        let types = [u32::try_from(types).expect("an oid")];
        let script =
            Script::default().parse_typed("", "select $1", &types).bind_with("", "", &["x"]).execute("").sync();
        assert_eq!(ana.says(script, 1).await, [answer], "{types:?}");
    }
    assert_eq!(story.number("select count(*) from hits").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_under_a_held_statement_voids_its_approval() {
    let story = Story::begin().await;
    let priya = story.linked("priya").await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("create table hits (value text)").await.expect("a table");
    let before = orders(&story).await;
    let mut ana = ana(&story).await;
    let scripts = [
        ("orders", Script::default().query("delete from orders where id = 1")),
        ("refunds", Script::default().runs("delete from refunds where id = 1").sync()),
    ];
    for (table, script) in scripts {
        ana.sends(script).await;
        let id = ana.is_held().await;
        let rule = format!("create rule r as on delete to {table} do also insert into hits values ('fired')");
        direct.batch_execute(&rule).await.expect("a rule");
        priya.presses("approve", &id).await;
        assert_eq!(ana.until_ready(1).await, ["57014"], "{table}");
        story.card_says(&id, "not what was approved").await;
    }
    assert_eq!(orders(&story).await, before);
    assert_eq!(story.number("select count(*) from hits").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_comes_later_is_on_the_path_from_then_on() {
    let scratch = "permit (principal, action in Action::\"write\", resource in Schema::\"shop/scratch\");";
    let story = Story::begin_under(scratch).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("create schema scratch; create table scratch.pad (id int)").await.expect("a playground");
    let mut ana = ana(&story).await;
    ana.says(Script::default().query("set search_path = later, scratch"), 1).await;
    assert_eq!(ana.says(Script::default().query("delete from pad"), 1).await, ["DELETE 0"]);
    direct.batch_execute("create schema later; create table later.pad as select 1 id").await.expect("it comes");
    // A first look at the new catalog, however old the last may still be.
    let mut other =
        Wire::log_in(story.world.facts.listen, "shop", &story.world.idp.token_for("ben").expect("a token")).await;
    while other.says(Script::default().query("table later.pad"), 1).await != ["SELECT 1"] {}
    ana.sends(Script::default().query("delete from pad")).await;
    ana.is_held().await;
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The server plans what is bound, and runs what is marked immutable for that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_bound_and_never_executed_runs_no_code_of_the_database() {
    let everything = "permit (principal, action, resource);";
    let story = Story::under(everything).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let there = "create table noted (said text);
        create function notes(t text) returns int language sql as $$ insert into noted values (t) returning 1 $$;
        create function says(t text) returns int language plpgsql immutable as $$ begin perform notes(t); return 1; end $$;";
    direct.batch_execute(there).await.expect("a function that lies about itself");
    let mut wire = ana(&story).await;
    let bound = Script::default().parse("", "select says('bound')").bind("", "").sync();
    assert!(wire.says(bound, 1).await.is_empty(), "no error, and nothing that ran");
    let named = Script::default().parse("n", "select says('named')").describe("n").bind("p", "n").sync();
    assert!(wire.says(named, 1).await.is_empty());
    assert_eq!(story.number("select count(*) from noted").await, 0);
    // Its Execute runs it, behind its entry.
    let ran = Script::default().bind("", "n").execute("").sync();
    assert_eq!(wire.says(ran, 1).await, ["SELECT 1"]);
    assert!(story.number("select count(*) from noted").await > 0);
    let log = std::fs::read_to_string(story.folder().join("records/log/00000001.jsonl")).expect("the log");
    assert!(log.contains("select says('named')") && !log.contains("select says('bound')"), "{log}");
}
