//! The row guard: what is approved is so many rows, and a statement that touches more is undone. The database
//! is the judge: of what is left, and of what the client has read.

use countersign_shared::request::Choice;
use tokio_postgres::Client as Direct;

use crate::harness::{
    Story,
    client::{Client, Refused},
    wire::{Script, Wire},
};

/// All writes are held, and everything else is free.
const WRITES: &str = r#"
permit (principal, action, resource)
unless { [Action::"delete", Action::"update", Action::"merge", Action::"insert"].contains(action) };
permit (principal, action in [Action::"delete", Action::"update", Action::"merge", Action::"insert"], resource)
when { context.approvals.count >= 1 };
"#;

/// Ten rows of each kind, in tables that hang together in every way that a write may take.
const TABLES: &str = "
create table parents (id bigint primary key, kind text not null);
create table children (id bigint primary key, parent bigint references parents on delete cascade, kind text);
create table grandchildren (id bigint primary key, child bigint references children on delete cascade);
create table leavers (id bigint primary key, parent bigint references parents on delete set null);
create table parted (id bigint, kind text) partition by list (kind);
create table parted_a partition of parted for values in ('a');
create table parted_b partition of parted for values in ('b');
create table watched (id bigint primary key, kind text);
create table noted (what text);
create function note() returns trigger language plpgsql as
$$ begin insert into noted select 'row' from generate_series(1, (select count(*) from watched where kind = 'z') + 1);
   return null; end $$;
create trigger notes after delete on watched for each row execute function note();
create table copies (id bigint, kind text)";

const ROWS: &str = "
truncate parents, children, grandchildren, leavers, parted, watched, noted, copies;
insert into parents select n, 'a' from generate_series(1, 10) n;
insert into children select n, n, 'a' from generate_series(1, 10) n;
insert into grandchildren select n, n from generate_series(1, 10) n;
insert into leavers select n, n from generate_series(1, 10) n;
insert into parted select n, 'a' from generate_series(1, 10) n;
insert into watched select n, 'a' from generate_series(1, 10) n;";

const ALL: [&str; 8] = ["parents", "children", "grandchildren", "leavers", "parted", "watched", "noted", "copies"];

/// A write that touches ten rows of each table that it means; what somebody else does meanwhile, after which
/// it would touch many more.
const FORMS: [(&str, &str); 12] = [
    ("delete from watched where kind = 'a'", "insert into watched select n, 'a' from generate_series(100, 200) n"),
    (
        "update parents set kind = 'b' where kind = 'a' returning id, kind",
        "insert into parents select n, 'a' from generate_series(100, 200) n",
    ),
    (
        "insert into copies select id, kind from parents where kind = 'a'",
        "insert into parents select n, 'a' from generate_series(100, 200) n",
    ),
    (
        "delete from parents where id <= 10 returning *",
        "insert into children select n, 1, 'a' from generate_series(100, 200) n",
    ),
    (
        "delete from parents where id <= 10",
        "insert into children values (11, 1, 'a'); insert into grandchildren select n, 11 from generate_series(100, 200) n",
    ),
    ("delete from parents where id <= 10", "insert into leavers select n, 1 from generate_series(100, 200) n"),
    (
        "with gone as (delete from children where kind = 'a' returning parent) \
         delete from watched where id in (select parent from gone)",
        "insert into children select n, null, 'a' from generate_series(100, 200) n",
    ),
    (
        "with gone as (delete from watched where kind = 'a' returning id) select id from gone order by id",
        "insert into watched select n, 'a' from generate_series(100, 200) n",
    ),
    (
        "merge into copies c using parents p on c.id = p.id when not matched then insert values (p.id, p.kind)",
        "insert into parents select n, 'a' from generate_series(100, 200) n",
    ),
    (
        "update parted set kind = 'b' where kind = 'a'",
        "insert into parted select n, 'a' from generate_series(100, 200) n",
    ),
    ("delete from parted where kind = 'a'", "insert into parted select n, 'a' from generate_series(100, 200) n"),
    // The trigger writes one row for each, and then many.
    ("delete from watched where kind = 'a'", "insert into watched select n, 'z' from generate_series(100, 120) n"),
];

/// How a client sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Simple,
    Extended,
    InTransaction,
}

impl Story {
    /// Makes the tables through the gateway, so that it knows them at once, and fills them beside it.
    async fn with_rows(&self) -> (Client, Direct) {
        let ana = self.logs_in("ana").await;
        ana.runs(TABLES).ends().await.expect("the tables");
        let direct = self.world.upstream.connect().await.expect("a way into the database");
        direct.batch_execute(ROWS).await.expect("the rows");
        (ana, direct)
    }

    /// What is in all tables, as text.
    async fn left(&self, direct: &Direct) -> Vec<String> {
        let mut left = Vec::new();
        for table in ALL {
            let sql = format!("select coalesce(string_agg(t::text, ' ' order by t::text), '') from {table} t");
            let text: String = direct.query_one(&sql, &[]).await.expect("rows").get(0);
            left.push(format!("{table}: {text}"));
        }
        left
    }

    /// What its rows, its tag, or its error are: sent in one way, and approved once `meanwhile` has happened.
    async fn approved(&self, ana: &Client, sql: &str, way: Way, meanwhile: impl AsyncFnOnce()) -> Result<u64, Refused> {
        if way == Way::InTransaction {
            ana.runs("begin").ends().await.expect("begin");
        }
        let (simple, extended) = match way {
            Way::Extended => (None, Some(ana.executes(sql, vec![]))),
            _ => (Some(ana.runs(sql)), None),
        };
        let over = async {
            match (&simple, &extended) {
                (Some(running), _) => running.is_over().await,
                (_, Some(running)) => running.is_over().await,
                _ => unreachable!("one of them runs"),
            }
        };
        let id = tokio::select! {
            id = ana.is_held() => Some(id),
            () = over => None,
        };
        if let Some(id) = id {
            meanwhile().await;
            self.decides("priya", &id, Choice::Approve).await.expect("she may");
        }
        match (simple, extended) {
            (Some(running), _) => running.ends().await.map(|answer| answer.affected[0]),
            (_, Some(running)) => running.ends().await,
            _ => unreachable!("one of them runs"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_touches_more_than_was_approved_is_undone() {
    for way in [Way::Simple, Way::Extended, Way::InTransaction] {
        let story = Story::under(WRITES).await;
        let (ana, direct) = story.with_rows().await;
        for (sql, more) in FORMS {
            let mut before = Vec::new();
            let refused = story
                .approved(&ana, sql, way, async || {
                    direct.batch_execute(more).await.expect(more);
                    before = story.left(&direct).await;
                })
                .await
                .expect_err(sql);
            assert_eq!(refused.code, "42501", "{way:?} {sql}: {refused:?}");
            assert!(refused.message.contains("touched more rows than were approved"), "{way:?} {sql}: {refused:?}");
            if way == Way::InTransaction {
                assert_eq!(ana.runs("select 1").gets_refused().await.code, "25P02", "{sql}: the transaction is failed");
                ana.runs("rollback").ends().await.expect("its end");
            }
            assert_eq!(story.left(&direct).await, before, "{way:?} {sql}: nothing of it is left");
            assert_eq!(ana.runs("select 1").ends().await.expect("the session lives").rows, [[Some("1".into())]]);
            direct.batch_execute(ROWS).await.expect("as before");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_runs_as_it_would_directly() {
    for way in [Way::Simple, Way::Extended, Way::InTransaction] {
        let story = Story::under(WRITES).await;
        let (ana, direct) = story.with_rows().await;
        for (sql, _) in FORMS {
            let affected = direct.execute(sql, &[]).await.expect(sql);
            let expected = story.left(&direct).await;
            direct.batch_execute(ROWS).await.expect("as before");
            let through = story.approved(&ana, sql, way, async || {}).await.expect(sql);
            if way == Way::InTransaction {
                assert_ne!(story.left(&direct).await, expected, "{sql}: the client ends its own transaction");
                ana.runs("commit").ends().await.expect("its end");
            }
            assert_eq!((through, story.left(&direct).await), (affected, expected), "{way:?} {sql}");
            direct.batch_execute(ROWS).await.expect("as before");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_whole_and_in_order_and_none_before_they_are_counted() {
    let story = Story::under(WRITES).await;
    let (ana, direct) = story.with_rows().await;
    direct
        .batch_execute("insert into watched select n, repeat('x', 300) from generate_series(1000, 2999) n")
        .await
        .expect("rows");
    let delete = "delete from watched where id >= 1000 returning id, kind";
    let running = ana.runs(delete);
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let rows = running.ends().await.expect("it ran").rows;
    let ids: Vec<_> = rows.iter().map(|row| row[0].clone().expect("an id").parse::<i64>().expect("a number")).collect();
    assert_eq!(ids, (1000..3000).collect::<Vec<_>>());
    // By portions, as a driver with a fetch size asks.
    direct.batch_execute("insert into watched select n, 'x' from generate_series(1000, 1004) n").await.expect("rows");
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let portions = Script::default().parse("", delete).bind("", "").execute_some("", 1).execute_some("", 2);
    wire.sends(portions.execute("").sync()).await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["DELETE 2"], "as the server says of the last portion");
    assert_eq!(story.number("select count(*) from watched where id >= 1000").await, 0, "it is committed");
    // Too many: the client sees none of them.
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    wire.sends(Script::default().runs("delete from watched where kind = 'a' returning id").sync()).await;
    let id = wire.is_held().await;
    direct.batch_execute("insert into watched select n, 'a' from generate_series(100, 200) n").await.expect("more");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready_with_rows(1).await, (0, vec!["42501".to_owned()]), "no row, and the error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipelined_group_is_one_transaction_still() {
    let story = Story::under(WRITES).await;
    let (_ana, direct) = story.with_rows().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let delete = "delete from watched where kind = 'a'";
    let before = story.left(&direct).await;
    // What comes after it fails, and takes it along.
    wire.sends(Script::default().runs("create table made (id int)").runs(delete).runs("select 1/0").sync()).await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["DELETE 10", "22012"]);
    assert_eq!(story.left(&direct).await, before, "all of the group is undone");
    assert_eq!(story.number("select count(*) from pg_class where relname = 'made'").await, 0);
    // Everything is well, and the transaction that BEGIN makes of it goes on.
    wire.sends(Script::default().runs(delete).runs("begin").sync()).await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["DELETE 10", "BEGIN"]);
    assert_eq!(story.left(&direct).await, before, "not committed yet");
    assert_eq!(wire.says(Script::default().query("commit"), 1).await, ["COMMIT"]);
    assert_eq!(story.number("select count(*) from watched").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_commit_brings_counts_and_what_it_refuses_is_undone() {
    let story = Story::under(WRITES).await;
    let (ana, direct) = story.with_rows().await;
    ana.runs(
        "create function late() returns trigger language plpgsql as $$ begin
           insert into noted select 'late' from generate_series(1, 100); return null; end $$;
         create constraint trigger late after insert on copies deferrable initially deferred
           for each row execute function late();
         create table strict (id bigint references parents deferrable initially deferred)",
    )
    .ends()
    .await
    .expect("what comes late");
    for way in [Way::Simple, Way::Extended] {
        direct.batch_execute("truncate noted").await.expect("nothing noted");
        let refused = story.approved(&ana, "insert into copies values (1, 'a')", way, async || {}).await;
        let refused = refused.expect_err("a trigger at its end writes a hundred rows");
        assert_eq!(refused.code, "42501", "{way:?}: {refused:?}");
        let refused = story.approved(&ana, "insert into strict values (77)", way, async || {}).await;
        assert_eq!(refused.expect_err("nobody is 77").code, "23503", "{way:?}: the commit would refuse it");
        for table in ["copies", "noted", "strict"] {
            assert_eq!(story.number(&format!("select count(*) from {table}")).await, 0, "{way:?} {table}");
        }
    }
    // It may not hide behind what follows in its group, or behind a Sync that comes late.
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let insert = Script::default().runs("insert into copies values (1, 'a')");
    for (script, why) in [
        (insert.clone().runs("select 1").sync(), "a read follows"),
        (insert.clone().runs("commit").sync(), "it commits by itself"),
        (insert.clone().runs("set constraints all immediate").sync(), "it has it happen by itself"),
        (insert.clone().flush(), "its Sync comes later"),
    ] {
        wire.sends(script).await;
        let id = wire.is_held().await;
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        if why == "its Sync comes later" {
            wire.sends(Script::default().sync()).await;
        }
        assert_eq!(wire.until_ready(1).await, ["42501"], "{why}");
        assert_eq!(story.number("select count(*) from noted").await, 0, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_in_one_text_are_counted_one_by_one() {
    let story = Story::under(WRITES).await;
    let (ana, direct) = story.with_rows().await;
    let texts = [
        "select 1; delete from watched where kind = 'a' ; select 2",
        "begin; delete from watched where kind = 'a'; commit",
        "begin; select 1; delete from watched where kind = 'a' returning id; commit;",
    ];
    for text in texts {
        let before = story.left(&direct).await;
        let running = ana.runs(text);
        let id = ana.is_held().await;
        direct.batch_execute("insert into watched select n, 'a' from generate_series(100, 200) n").await.expect("more");
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        assert_eq!(running.gets_refused().await.code, "42501", "{text}");
        ana.runs("rollback").ends().await.expect("its end, where it had begun");
        direct.batch_execute("delete from watched where id >= 100; truncate noted").await.expect("as before");
        assert_eq!(story.left(&direct).await, before, "{text}");
        let running = ana.runs(text);
        let id = ana.is_held().await;
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        let answer = running.ends().await.expect(text);
        assert!(answer.affected.contains(&10), "{text}: {answer:?}");
        assert_eq!(story.number("select count(*) from watched").await, 0, "{text}");
        direct.batch_execute("insert into watched select n, 'a' from generate_series(1, 10) n").await.expect("again");
        direct.batch_execute("truncate noted").await.expect("again");
    }
    let mixed = ana.runs("delete from watched; commit; delete from parents; begin; select 1").gets_refused().await;
    assert_eq!(mixed.code, "0A000", "{mixed:?}");
    assert!(mixed.hint.contains("one by one"), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_and_the_answer_say_both_numbers_and_the_tolerance() {
    let story =
        Story::changed("serve", |config, _| config.replace("[[connection]]", "[[connection]]\nrow_tolerance = \"2\""))
            .await;
    let ana = story.logs_in("ana").await;
    let rows = story.number("select count(*) from orders where status = 'cancelled'").await;
    let delete = ana.runs("delete from orders where status = 'cancelled'");
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    let limit = u64::try_from(rows).ok().map(|rows| rows + 2);
    assert_eq!((view.impact[0].limit, view.impact[0].counted), (limit, true), "{:?}", view.impact);
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let update =
        "update orders set status = 'cancelled' where id in (select id from orders where status = 'paid' limit 3)";
    assert_eq!(direct.execute(update, &[]).await.expect("three more"), 3);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let refused = delete.gets_refused().await;
    let said = format!("{} rows of public.orders were touched, and {rows} were approved", rows + 3);
    assert!(refused.detail.contains(&said), "{refused:?}");
    let view = story.request("priya", &id).await;
    let error = view.outcome.and_then(|outcome| outcome.error).expect("an outcome");
    assert!(error.contains(&said), "{error}");
}

/// What was put off to the commit may wait as long as any statement.
#[tokio::test(flavor = "multi_thread")]
async fn access_that_ends_ends_what_waits_for_its_commit() {
    let admin = "permit (principal in Group::\"dba\", action == Action::\"administer\", resource);";
    let story = Story::begin_under(admin).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct
        .batch_execute(
            "create table parents (id int primary key); insert into parents values (1);
             create table children (id int, parent int references parents deferrable initially deferred)",
        )
        .await
        .expect("two tables");
    let ana = story.logs_in("ana").await;
    let waits = ana.runs("insert into children values (7, 1)");
    let id = ana.is_held().await;
    let other = story.world.upstream.connect().await.expect("another way into the database");
    other.batch_execute("begin; delete from parents where id = 1").await.expect("a lock");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let count = async |which: &str| {
        let sql = format!("select count(*) from pg_stat_activity where application_name like 'ana%' and {which}");
        direct.query_one(&sql, &[]).await.expect("a count").get::<_, i64>(0)
    };
    while count("wait_event_type = 'Lock'").await == 0 {
        tokio::task::yield_now().await;
    }
    let sessions = story.calls("priya", reqwest::Method::GET, "v1/sessions", None).await.expect("sessions");
    let of_ana = |session: &&serde_json::Value| session["principal"] == "ana@acme.dev";
    let session = sessions.as_array().expect("a list").iter().find(of_ana).expect("hers");
    let path = format!("v1/sessions/{}", session["id"].as_str().expect("an id"));
    let url = story.world.facts.control.join(&path).expect("an address");
    let token = story.world.idp.token_for("priya").expect("a token");
    let ended = reqwest::Client::new().delete(url).bearer_auth(token).send().await.expect("an answer");
    assert!(ended.status().is_success(), "{ended:?}");
    let gone = async {
        while count("true").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, gone).await.expect("its backend is gone, though the lock is not");
    let refused = waits.gets_refused().await;
    assert_eq!(refused.code, "57P01", "{refused:?}");
    other.batch_execute("rollback").await.expect("the lock's end");
    assert_eq!(story.number("select count(*) from children").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_behind_a_guarded_statement_in_its_group_the_session_goes_on() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let update = "update products set stock = stock + 1 where id = 1";
    let stock = story.number("select stock::bigint from products where id = 1").await;
    wire.sends(Script::default().runs(update).runs("select 1/0").sync()).await;
    let id = wire.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["UPDATE 1", "22012"]);
    assert_eq!(story.number("select stock::bigint from products where id = 1").await, stock, "both are undone");
    assert_eq!(wire.says(Script::default().query("select 1").runs("select 2").sync(), 2).await, ["SELECT 1"; 2]);
}
