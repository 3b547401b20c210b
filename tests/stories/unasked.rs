//! What a server says without being asked, and what a client may not ask for at the login.

use crate::harness::{
    Story,
    raw::{Heard, cancel, message, query, startup},
};

impl Story {
    /// Somebody else notifies, straight at the database.
    async fn notifies(&self, payload: &str) {
        let direct = self.world.upstream.connect().await.expect("a way into the database");
        direct.batch_execute(&format!("notify news, '{payload}'")).await.expect("a notification");
    }
}

fn is_news(heard: &Heard, payload: &str) -> bool {
    heard.tag == b'A' && heard.body.ends_with(format!("news\0{payload}\0").as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_reaches_a_session_that_says_nothing() {
    let story = Story::begin().await;
    let (mut ana, key) = story.raw_session("ana").await;
    ana.says(&query("listen news")).await;
    ana.until(b'Z').await;
    for payload in ["first", "second"] {
        story.notifies(payload).await;
        let heard = ana.frame().await;
        assert!(is_news(&heard, payload), "{payload}: {heard:?}");
    }
    // And one that waits for somebody.
    ana.says(&query("delete from orders where status = 'cancelled'")).await;
    ana.until(b'N').await;
    story.notifies("third").await;
    let heard = ana.frame().await;
    assert!(is_news(&heard, "third"), "{heard:?}");
    story.raw().await.says(&cancel(&key)).await;
    assert_eq!(ana.until(b'Z').await[0].field(b'C'), "57014");
}

#[tokio::test(flavor = "multi_thread")]
async fn replication_is_refused_at_the_login_and_says_why() {
    let story = Story::begin().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    for value in ["database", "true", "on", "1", "yes", "t", "DATABASE", "nonsense"] {
        let mut raw = story.raw().await;
        raw.says(&startup(0, &[("user", ""), ("database", "shop"), ("replication", value)])).await;
        let refused = raw.frame().await;
        assert_eq!((refused.tag, refused.field(b'S').as_str()), (b'E', "FATAL"), "{value}: {refused:?}");
        assert_eq!(refused.field(b'C'), "0A000", "{value}");
        assert!(refused.field(b'M').contains("replication"), "{value}: {refused:?}");
        assert!(!refused.field(b'H').is_empty(), "{value}: what next?");
        raw.closes().await;
    }
    let mut raw = story.raw().await;
    let heard = raw.logs_in(0, &[("replication", "false")], &token).await;
    assert_eq!(heard.last().map(|last| last.tag), Some(b'Z'), "an ordinary session: {heard:?}");
    raw.says(&query("IDENTIFY_SYSTEM")).await;
    let heard = raw.until(b'Z').await;
    assert_eq!(heard[0].tag, b'E', "what a replication session says is no SQL: {heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_before_anybody_approved_go_nowhere() {
    let story = Story::begin().await;
    let priya = story.linked("priya").await;
    let copied = "select count(*) from refunds where reason = 'copied'";
    let into = "copy refunds (order_id, amount_cents, reason, created_at) from stdin";
    // The client sends its rows without waiting to be asked for them.
    let at_once = [
        query(into),
        message(b'd', b"1\t777\tcopied\t2026-01-01\n"),
        message(b'd', b"2\t777\tcopied\t2026-01-01\n"),
        message(b'c', b""),
    ]
    .concat();
    let (mut ana, key) = story.raw_session("ana").await;
    for way in ["denied", "withdrawn"] {
        ana.says(&at_once).await;
        let notice = ana.until(b'N').await.pop().expect("a notice").field(b'M');
        let id = notice.split_once("approval ").and_then(|(_, rest)| rest.split_whitespace().next()).expect("an id");
        let card = story.card(id).await;
        assert!(card.shown().contains(into), "{}", card.shown());
        let code = if way == "denied" {
            priya.denies(id, "not on a Friday").await;
            "42501"
        } else {
            story.raw().await.says(&cancel(&key)).await;
            "57014"
        };
        let refused = ana.until(b'Z').await;
        assert_eq!(refused.iter().map(|heard| heard.tag).collect::<Vec<_>>(), *b"EZ", "{way}: {refused:?}");
        assert_eq!(refused[0].field(b'C'), code, "{way}");
        assert!(!story.database_ran("copy refunds"), "{way}: the database has not even seen it");
        // The rows were read and dropped, as the server drops them.
        ana.says(&query("select 'on we go'")).await;
        assert_eq!(ana.until(b'Z').await[0].tag, b'T', "{way}");
        assert_eq!(story.number(copied).await, 0, "{way}");
    }
    ana.says(&at_once).await;
    let notice = ana.until(b'N').await.pop().expect("a notice").field(b'M');
    let id = notice.split_once("approval ").and_then(|(_, rest)| rest.split_whitespace().next()).expect("an id");
    priya.presses("approve", id).await;
    let done = ana.until(b'Z').await;
    assert_eq!(done.iter().map(|heard| heard.tag).collect::<Vec<_>>(), *b"GCZ", "{done:?}");
    assert_eq!(story.number(copied).await, 2);
}
