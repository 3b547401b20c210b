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
    // The driver does not wait until it has arrived: it may meet the next statement of hers.
    while let Err(refused) = other.runs("select 1").ends().await {
        assert_eq!(refused.code, "57014", "{refused:?}");
    }
    assert!(update.waits());
}

/// Nothing is held but what can't be seen.
const UNSEEN: &str = r#"
permit (principal, action, resource) unless { action == Action::"opaque" };
permit (principal, action == Action::"opaque", resource) when { context.approvals.count >= 1 };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_somebody_locks_and_a_function_names_keeps_nobody_waiting() {
    let story = Story::under(UNSEEN).await;
    let ana = story.logs_in("ana").await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    for sql in [
        "create function counted() returns bigint begin atomic select count(*) from orders; end",
        "begin; lock table orders in access exclusive mode",
    ] {
        direct.batch_execute(sql).await.expect("a lock");
    }
    ana.runs("create table noted (id int)").ends().await.expect("the catalog is another now");
    ana.runs("select count(*) from products").ends().await.expect("a read passes");
    let mut times_held = 0;
    loop {
        let counted = ana.runs("select counted()");
        tokio::select! {
            _id = ana.is_held() => times_held += 1,
            () = counted.is_over() => {
                counted.ends().await.expect("it can be read again");
                break;
            }
        }
        direct.batch_execute("rollback").await.expect("the lock is gone");
        ana.presses_ctrl_c().await;
        assert_eq!(counted.gets_refused().await.code, "57014");
    }
    assert!(times_held > 0, "nobody can see what it does while the table is locked");
}
