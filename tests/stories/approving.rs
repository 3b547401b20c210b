//! A statement waits, a second person countersigns, and the same connection goes on.

use tokio_postgres::types::Type;

use crate::harness::Story;

const DELETE: &str = "delete from orders where status = 'cancelled'";
const CANCELLED: &str = "select count(*) from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_waits_until_another_person_approves_it_and_then_finishes_on_the_same_connection() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    let read = ana.runs("select count(*) from customers").ends().await.expect("a select passes");
    assert_eq!(read.rows, [[Some("800".to_owned())]]);
    let (mine, priya) = (story.linked("ana").await, story.linked("priya").await);
    let cancelled = story.number(CANCELLED).await;
    assert!(cancelled > 0, "there is something to delete");

    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    for shown in ["ana@acme.dev", "shop", DELETE] {
        assert!(card.shown().contains(shown), "{shown} is not on the card: {}", card.shown());
    }
    mine.presses("approve", &id).await;
    mine.is_told("cannot approve your own request").await;
    assert!(delete.waits(), "her own approval counts for nothing");
    assert_eq!(story.number(CANCELLED).await, cancelled, "nothing is deleted while it waits");
    assert!(!story.database_ran("delete from orders"), "the database has not even seen it");

    priya.presses("approve", &id).await;
    let done = delete.ends().await.expect("it runs");
    assert_eq!(done.affected, [u64::try_from(cancelled).unwrap()]);
    assert_eq!(story.number(CANCELLED).await, 0);
    let card = story.card_says(&id, &format!("DELETE {cancelled}")).await;
    assert!(card.shown().contains("Approved by priya@acme.dev"), "{}", card.shown());
    assert!(card.buttons().is_empty(), "nothing is left to press: {:?}", card.buttons());
    ana.runs("select 1").ends().await.expect("the session lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_shown_to_the_approver_and_bound_as_they_were_sent() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let cancelled = story.number(CANCELLED).await;
    let sql = "delete from orders where status = $1 and id < $2";
    let below = story.number("select count(*) from orders where status = 'cancelled' and id < 700").await;
    let delete = ana.executes(sql, vec![Box::new("cancelled"), Box::new(700_i64)]);
    let id = ana.is_held().await;
    let card = story.card(&id).await;
    for shown in [sql, "cancelled", "700"] {
        assert!(card.shown().contains(shown), "{shown} is not on the card: {}", card.shown());
    }
    assert_eq!(story.number(CANCELLED).await, cancelled);
    assert!(!story.database_ran("delete from orders"), "the database has not run it");
    priya.presses("approve", &id).await;
    assert_eq!(delete.ends().await.expect("it runs"), u64::try_from(below).unwrap());
    assert_eq!(story.number(CANCELLED).await, cancelled - below);
    story.card_says(&id, &format!("DELETE {below}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_asked_for_each_time_that_it_is_run() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let sql = "update products set stock = stock + $1 where id = $2";
    let add = ana.pg.prepare_typed(sql, &[Type::INT4, Type::INT8]).await.expect("preparing runs nothing");
    let stock = story.number("select stock::bigint from products where id = 7").await;
    for round in 1..=2 {
        let pg = ana.pg.clone();
        let statement = add.clone();
        let update = tokio::spawn(async move { pg.execute(&statement, &[&5_i32, &7_i64]).await });
        let id = ana.is_held().await;
        priya.presses("approve", &id).await;
        assert_eq!(update.await.unwrap().expect("it runs"), 1);
        story.card_says(&id, "UPDATE 1").await;
        assert_eq!(story.number("select stock::bigint from products where id = 7").await, stock + 5 * round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_execute_runs_is_shown() {
    let story = Story::begin().await;
    let priya = story.linked("priya").await;
    let ana = story.logs_in("ana").await;
    ana.runs("prepare harmless as delete from orders where status = 'cancelled'").ends().await.expect("a name for it");
    let running = ana.runs("execute harmless");
    let id = ana.is_held().await;
    story.card_says(&id, "delete from orders where status = 'cancelled'").await;
    priya.denies(&id, "not today").await;
    running.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_decides_at_a_terminal_reads_all_that_will_run() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.reason = 'a customer \u{1b}[2J called'").ends().await.expect("it is set");
    let update = ana.executes("update products set stock = $1 where id = $2", vec![Box::new(7_i32), Box::new(3_i64)]);
    let id = ana.is_held().await;
    let shown = story.tells_as("priya", &["requests", "show", &id]).await;
    let text = String::from_utf8(shown.stdout).expect("text");
    for part in [
        "who         ana@acme.dev",
        "why         a customer \\u{1b}[2J called",
        "statement   update products set stock = $1 where id = $2",
        "$1          7",
        "$2          3",
        "rows        update 1 row of public.products",
        "effect      update Table::\"shop/public.products\"",
        "needs       1 person",
    ] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(part)), "{part} in\n{text}");
    }
    ana.presses_ctrl_c().await;
    update.gets_refused().await;
}
