//! Clients that can't wait: refused at once with the request's id, and let through when they come again.

use countersign_shared::request::{Choice, State};

use crate::harness::{Story, client::Refused};

const DELETE: &str = "delete from orders where status = 'cancelled'";

async fn story() -> Story {
    let retry =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\non_hold = \"retry\"");
    Story::gateway_with(retry).await
}

/// The request that it waits for.
fn asked_for(refused: &Refused) -> String {
    assert_eq!(refused.code, "42501", "{refused:?}");
    assert!(refused.hint.contains("Send the same statement again once it is approved"), "{refused:?}");
    let rest = refused.message.strip_prefix("request ").expect("an id");
    rest.strip_suffix(" waits for approval").expect("what it waits for").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_was_approved_runs_when_it_comes_again_and_once() {
    let story = story().await;
    let rows = story.number("select count(*) from orders where status = 'cancelled'").await;
    let ana = story.logs_in("ana").await;
    let id = asked_for(&ana.runs(DELETE).gets_refused().await);
    assert_eq!(asked_for(&ana.runs(DELETE).gets_refused().await), id, "nobody is asked twice");
    let other = ana.runs("delete from orders where status = 'paid'").gets_refused().await;
    assert_ne!(asked_for(&other), id, "another statement is another request");
    story.decides("ana", &id, Choice::Approve).await.expect_err("not her own");
    assert_eq!(asked_for(&ana.runs(DELETE).gets_refused().await), id, "still not");
    let taken = story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert!(taken.message.contains("when it is sent again"), "{}", taken.message);
    // Somebody else's statement is not hers, though it is the same.
    let ben = story.logs_in("ben").await;
    assert_ne!(asked_for(&ben.runs(DELETE).gets_refused().await), id);
    assert_ne!(asked_for(&ana.executes(&format!("{DELETE} "), vec![]).gets_refused().await), id, "byte for byte");
    // In another session of hers, as a pool may do.
    let again = story.logs_in("ana").await;
    assert_eq!(again.runs(DELETE).ends().await.expect("it runs").affected, [u64::try_from(rows).expect("a count")]);
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    let next = asked_for(&again.runs(DELETE).gets_refused().await);
    assert_ne!(next, id, "once");
    story.decides("priya", &next, Choice::Deny).await.expect("she may");
    assert_ne!(asked_for(&again.runs(DELETE).gets_refused().await), next, "a denial is the end of that request");
    assert_eq!(story.times_database_ran(DELETE), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stated_guards_it_when_it_comes_again() {
    let story = story().await;
    let ana = story.logs_in("ana").await;
    let id = asked_for(&ana.runs(DELETE).gets_refused().await);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let before =
        direct.execute("update orders set status = 'cancelled' where status = 'paid'", &[]).await.expect("more");
    assert!(before > 100, "{before}");
    let refused = ana.runs(DELETE).gets_refused().await;
    assert!(refused.message.contains("touched more rows than were approved"), "{refused:?}");
    assert!(story.number("select count(*) from orders where status = 'cancelled'").await > 100, "undone");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_come_at_once_one_runs() {
    let story = story().await;
    let sessions = [story.logs_in("ana").await, story.logs_in("ana").await, story.logs_in("ana").await];
    let update = "update products set stock = stock + 1 where id = 1";
    let stock = story.number("select stock::bigint from products where id = 1").await;
    let id = asked_for(&sessions[0].runs(update).gets_refused().await);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let running: Vec<_> = sessions.iter().map(|session| session.runs(update)).collect();
    let mut ran = 0;
    for one in running {
        ran += usize::from(one.ends().await.is_ok());
    }
    assert_eq!((ran, story.number("select stock::bigint from products where id = 1").await), (1, stock + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_its_session_knows_is_not_asked_for_later() {
    let story = story().await;
    let ana = story.logs_in("ana").await;
    ana.runs("prepare p as delete from orders where id = 1").ends().await.expect("a name for it");
    let refused = ana.runs("execute p").gets_refused().await;
    assert_eq!(refused.code, "0A000", "another session may have another p: {refused:?}");
    ana.runs("create temp table picked as select 1::bigint as id").ends().await.expect("a table of its own");
    let delete = "delete from orders where id in (select id from picked)";
    assert_eq!(ana.runs(delete).gets_refused().await.code, "0A000", "another session may have picked others");
    assert_eq!(story.number("select count(*) from orders where id = 1").await, 1);
}
