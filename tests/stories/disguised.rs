//! Statements that change something and do not look like it, and ones that wait in a row.

use std::pin::pin;

use futures_util::future::{Either, select};

use crate::harness::Story;

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_in_disguise_does_not_pass_unasked() {
    let story = Story::begin().await;
    let orders = story.number("select count(*) from orders").await;
    let table = [
        "explain analyze /* disguised */ delete from orders",
        "with gone as (/* disguised */ delete from orders returning id) select count(*) from gone",
        "do $$ begin /* disguised */ delete from orders; end $$",
        "prepare gone as delete from orders; execute gone /* disguised */",
        "truncate orders cascade /* disguised */",
        "copy (delete from orders returning id) to stdout /* disguised */",
        "copy orders to program 'cat' /* disguised */",
        "select query_to_xml('delete from orders', true, true, '') /* disguised */",
        "select pg_terminate_backend(pid) from pg_stat_activity /* disguised */",
        "select lo_create(4711) /* disguised */",
        "select nextval('orders_id_seq') /* disguised */",
        "select * into stolen from customers /* disguised */",
        "create rule gone as on update to products do also delete from orders /* disguised */",
        "merge into orders o using refunds r on o.id = r.order_id when matched then delete /* disguised */",
        "set session authorization postgres /* disguised */",
        "select 1; /* disguised */ delete from orders",
        "/* disguised */ begin; delete from orders; commit",
        "alter role app superuser /* disguised */",
        "grant all on orders to public /* disguised */",
        "select dblink_exec('', 'delete from orders') /* disguised */",
        "\u{feff}delete from orders /* disguised */",
    ];
    for sql in table {
        // A session each: one that ended is no proof of anything for the next.
        let ana = story.logs_in("ana").await;
        let ends = pin!(ana.runs(sql).ends());
        let held = pin!(ana.is_held());
        match select(ends, held).await {
            Either::Left((ended, _)) => assert!(ended.is_err(), "it passed: {sql}: {ended:?}"),
            Either::Right((_, ends)) => {
                ana.presses_ctrl_c().await;
                assert_eq!(ends.await.expect_err("withdrawn").code, "57014", "{sql}");
            }
        }
    }
    assert!(!story.database_ran("disguised"));
    assert_eq!(story.number("select count(*) from orders").await, orders);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_after_a_held_statement_waits_behind_it() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let delete = ana.runs("delete from orders where status = 'cancelled'");
    let id = ana.is_held().await;
    let after = ana.runs("select count(*) from orders where status = 'cancelled'");
    story.card(&id).await;
    assert!(delete.waits() && after.waits());
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    assert_eq!(after.ends().await.expect("it runs").rows, [[Some("0".to_owned())]], "in the order they were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reason_that_the_requester_gives_is_on_the_card() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.reason = 'TICKET-17: the carrier lost them'").ends().await.expect("the gateway's own");
    let delete = ana.runs("delete from orders where id = 1");
    let id = ana.is_held().await;
    story.card_says(&id, "TICKET-17: the carrier lost them").await;
    ana.presses_ctrl_c().await;
    delete.gets_refused().await;
    assert!(!story.database_ran("TICKET-17"), "it stays with the gateway");
}
