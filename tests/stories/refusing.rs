//! Statements that do not run, and what their client reads.

use crate::harness::{PATIENCE, Story};

const DELETE: &str = "delete from orders where status = 'cancelled'";
const CANCELLED: &str = "select count(*) from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_reaches_the_client_with_its_reason() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let cancelled = story.number(CANCELLED).await;
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    priya.denies(&id, "finance still counts them").await;
    let refused = delete.gets_refused().await;
    assert_eq!(refused.code, "42501");
    assert!(refused.message.contains("priya@acme.dev"), "{refused:?}");
    assert!(refused.detail.contains("finance still counts them"), "{refused:?}");
    assert!(!refused.hint.is_empty(), "what next: {refused:?}");
    story.card_says(&id, "Denied by priya@acme.dev: finance still counts them").await;
    assert_eq!(story.number(CANCELLED).await, cancelled);
    ana.runs("select 1").ends().await.expect("the session lives on");
    assert!(!story.database_ran("delete from orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_withdraws_and_the_session_lives_on() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    // What is over before its card is posted gets none.
    story.card(&id).await;
    ana.presses_ctrl_c().await;
    assert_eq!(delete.gets_refused().await.code, "57014");
    story.card_says(&id, "Withdrawn").await;
    let delete = ana.executes("delete from orders where id = $1", vec![Box::new(1_i64)]);
    let second = ana.is_held().await;
    assert_ne!(second, id, "another request");
    story.card(&second).await;
    ana.presses_ctrl_c().await;
    assert_eq!(delete.gets_refused().await.code, "57014", "by the extended protocol, too");
    story.card_says(&second, "Withdrawn").await;
    ana.runs("select 1").ends().await.expect("the session lives on");
    assert!(!story.database_ran("delete from orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_withdraws() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let _delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    story.card(&id).await;
    ana.closes();
    story.card_says(&id, "Withdrawn").await;
    assert!(!story.database_ran("delete from orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_table_is_refused_at_once_in_the_policys_words() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let refused = ana.runs("drop table refunds").gets_refused().await;
    assert_eq!(refused.code, "42501");
    let said = format!("{} {}", refused.message, refused.detail);
    assert!(said.contains("Tables are dropped by the release pipeline only"), "{refused:?}");
    let refused = ana.executes("drop table refunds", vec![]).gets_refused().await;
    assert_eq!(refused.code, "42501", "by the extended protocol, too: {refused:?}");
    assert!(story.number("select count(*) from refunds").await > 0);
    assert!(!story.database_ran("drop table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_as_postgresql_tells_them() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    for (sql, code, why) in [
        ("selct 1", "42601", "not SQL"),
        ("select * from ordrs", "42P01", "no such table"),
        ("delete from ordrs", "42P01", "nothing to ask anybody about"),
        ("select 1/0", "22012", "the database's own error"),
        ("select * from customers where emial = 'x'", "42703", "no such column"),
    ] {
        let refused = ana.runs(sql).gets_refused().await;
        assert_eq!(refused.code, code, "{why}: {sql}: {refused:?}");
        let refused = ana.executes(sql, vec![]).gets_refused().await;
        assert_eq!(refused.code, code, "{why}, extended: {sql}: {refused:?}");
    }
    ana.runs("select 1").ends().await.expect("the session lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_when_access_ends_is_stopped_at_the_database() {
    const RUNNING: &str = "select count(*) from pg_stat_activity where query like 'select pg_sleep(600)%'";
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let sleep = ana.runs("select pg_sleep(600)");
    until(async || story.number(RUNNING).await == 1).await;
    story.ends_sessions("ana").await;
    assert_eq!(sleep.gets_refused().await.code, "57P01");
    until(async || story.number(RUNNING).await == 0).await;
}

async fn until(so: impl AsyncFn() -> bool) {
    let asking = async { while !so().await {} };
    tokio::time::timeout(PATIENCE, asking).await.expect("it comes to be so");
}
