//! Transactions, several statements in one message, and COPY.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use crate::harness::Story;

const DELETE: &str = "delete from orders where status = 'cancelled'";
const CANCELLED: &str = "select count(*) from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_leaves_its_transaction_failed() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    ana.runs("begin").ends().await.expect("begin");
    assert_eq!(ana.runs("drop table refunds").gets_refused().await.code, "42501");
    assert_eq!(ana.runs("select 1").gets_refused().await.code, "25P02");
    assert_eq!(ana.executes("select 1", vec![]).gets_refused().await.code, "25P02");
    ana.runs("rollback").ends().await.expect("rollback");
    ana.runs("select 1").ends().await.expect("the session lives on");
    assert!(!story.database_ran("drop table"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_statement_commits_nothing_of_what_came_before() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let cancelled = story.number(CANCELLED).await;
    ana.runs("begin").ends().await.expect("begin");
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    assert_eq!(ana.runs("drop table refunds").gets_refused().await.code, "42501");
    // PostgreSQL answers COMMIT with ROLLBACK in a failed transaction.
    ana.runs("commit").ends().await.expect("an end");
    assert_eq!(story.number(CANCELLED).await, cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_delete_in_a_transaction_is_there_after_its_commit() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let cancelled = story.number(CANCELLED).await;
    ana.runs("begin").ends().await.expect("begin");
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    assert!(card.shown().contains("A transaction is open"), "{}", card.shown());
    priya.presses("approve", &id).await;
    assert_eq!(delete.ends().await.expect("it runs").affected, [u64::try_from(cancelled).unwrap()]);
    assert_eq!(story.number(CANCELLED).await, cancelled, "nobody else sees it yet");
    ana.runs("commit").ends().await.expect("commit");
    assert_eq!(story.number(CANCELLED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_statements_with_a_forbidden_one_none_runs() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "select 'first one'; drop table refunds",
        "select 'first one'; delete from refunds; drop table refunds; select 2",
        "begin; select 'first one'; drop table refunds; commit",
    ] {
        assert_eq!(ana.runs(sql).gets_refused().await.code, "42501", "{sql}");
    }
    assert!(!story.database_ran("first one") && !story.database_ran("drop table"));
    ana.runs("select 1").ends().await.expect("the session lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_are_approved_as_one() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let both = ana.runs("update products set stock = 11 where id = 5; update products set stock = 12 where id = 6");
    let id = ana.is_held().await;
    story.card(&id).await;
    assert_eq!(story.cards(&id), 1);
    priya.presses("approve", &id).await;
    assert_eq!(both.ends().await.expect("both run").affected, [1, 1]);
    assert_eq!(story.number("select sum(stock)::bigint from products where id in (5, 6)").await, 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_copied_out_at_once_and_in_after_an_approval() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let out = ana.pg.copy_out("copy products to stdout").await.expect("copying out is a read");
    let rows: Vec<_> = out.collect().await;
    assert_eq!(rows.into_iter().filter(Result::is_ok).count(), 120);

    let pg = ana.pg.clone();
    let copy = tokio::spawn(async move {
        let into = pg.copy_in("copy refunds (order_id, amount_cents, reason, created_at) from stdin").await?;
        let mut into = std::pin::pin!(into);
        into.send(Bytes::from_static(b"1\t777\tcopied\t2026-01-01\n2\t777\tcopied\t2026-01-01\n")).await?;
        into.finish().await
    });
    let id = ana.is_held().await;
    let copied = "select count(*) from refunds where reason = 'copied'";
    assert_eq!(story.number(copied).await, 0);
    assert!(!copy.is_finished());
    priya.presses("approve", &id).await;
    assert_eq!(copy.await.unwrap().expect("it is copied"), 2);
    assert_eq!(story.number(copied).await, 2);
    story.card_says(&id, "COPY 2").await;
}
