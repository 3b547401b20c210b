//! Several people at once.

use crate::harness::Story;

#[tokio::test(flavor = "multi_thread")]
async fn approving_one_of_two_releases_that_one_alone() {
    let story = Story::begin().await;
    let (ana, ben, priya) = (story.logs_in("ana").await, story.logs_in("ben").await, story.linked("priya").await);
    // The same bytes: an approval is for one session's request, not for a text.
    let sql = "update products set stock = stock + 1 where id = 3";
    let stock = "select stock::bigint from products where id = 3";
    let before = story.number(stock).await;
    let (hers, his) = (ana.runs(sql), ben.runs(sql));
    let (her_id, his_id) = (ana.is_held().await, ben.is_held().await);
    assert_ne!(her_id, his_id);
    priya.presses("approve", &his_id).await;
    assert_eq!(his.ends().await.expect("his runs").affected, [1]);
    story.card_says(&his_id, "UPDATE 1").await;
    assert!(hers.waits());
    assert_eq!(story.number(stock).await, before + 1);
    story.card_says(&her_id, "Waits for").await;
    priya.presses("approve", &her_id).await;
    assert_eq!(hers.ends().await.expect("hers runs").affected, [1]);
    assert_eq!(story.number(stock).await, before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_statement_keeps_nobody_else_waiting() {
    let story = Story::begin().await;
    let (ana, other, ben) = (story.logs_in("ana").await, story.logs_in("ana").await, story.logs_in("ben").await);
    let update = ana.runs("update products set stock = 0");
    ana.is_held().await;
    for client in [&other, &ben] {
        client.runs("select sum(stock) from products").ends().await.expect("a read passes");
    }
    assert!(update.waits());
    // Her other session's Ctrl-C is not this one's.
    other.presses_ctrl_c().await;
    other.runs("select 1").ends().await.expect("a read passes");
    assert!(update.waits());
}
