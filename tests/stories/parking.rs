//! A laptop is closed: what was held waits without its session, and runs when the same person sends it again.

use countersign_shared::{
    api::{Problem, RequestParked},
    request::{Choice, State},
};
use reqwest::Method;

use crate::harness::{Story, client::Client};

const DELETE: &str = "delete from orders where status = 'cancelled'";

impl Story {
    /// Parks by the control API.
    async fn parks(&self, who: &str, id: &str) -> Result<RequestParked, Problem> {
        let answer = self.calls(who, Method::POST, &format!("v1/requests/{id}/park"), None).await?;
        Ok(serde_json::from_value(answer).expect("an answer"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_statement_outlives_its_session_and_its_gateway_and_runs_once_when_it_is_sent_again() {
    let mut story = Story::begin().await;
    let ana = story.linked("ana").await;
    story.linked("priya").await;
    let rows = story.number("select count(*) from orders where status = 'cancelled'").await;
    let session = story.logs_in("ana").await;
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    story.card_says(&id, "Waits for").await;
    for who in ["priya", "ben"] {
        let refused = story.parks(who, &id).await.expect_err("it is hers");
        assert!(refused.error.contains("Only the one who asked"), "{refused:?}");
    }
    assert!(delete.waits());
    ana.types(&format!("park {id}")).await;
    let told = ana.is_told("Parked as request").await;
    let refused = delete.gets_refused().await;
    assert_eq!(refused.code, "42501", "{refused:?}");
    let parked = refused.message.split_whitespace().nth(1).expect("an id").to_owned();
    assert_ne!(parked, id, "what is approved is another digest, so it is another request");
    assert!(told.contains(&parked), "{told}");
    assert!(refused.detail.contains("parked") && refused.hint.contains("send the same text again"), "{refused:?}");
    story.card_says(&id, "Withdrawn by ana@acme.dev: parked").await;
    story.card_says(&parked, "Waits for").await;
    let late = story.decides("priya", &id, Choice::Approve).await.expect_err("the hold is over");
    assert_eq!(late.code, "over", "{late:?}");
    let (old, new) = (story.request("ana", &id).await, story.request("ana", &parked).await);
    assert_eq!((old.state, new.state, &new.session, &new.sql), (State::Withdrawn, State::Pending, &None, &old.sql));
    assert!(new.expires_at > old.expires_at, "it has the time of what is asked ahead");
    let again = story.parks("ana", &parked).await.expect_err("it is parked");
    assert!(again.error.contains("No session waits"), "{again:?}");
    drop(session);
    story.kills_the_gateway().await;
    story.starts("serve").await;
    story.colleague("priya").presses("approve", &parked).await;
    story.card_says(&parked, "Approved").await;
    let ben = story.logs_in("ben").await;
    let his = ben.runs(DELETE);
    assert_ne!(ben.is_held().await, parked, "it is hers");
    ben.presses_ctrl_c().await;
    his.gets_refused().await;
    let other = story.logs_in("ana").await;
    let affected = other.runs(DELETE).ends().await.expect("it runs").affected;
    assert_eq!(affected, [u64::try_from(rows).expect("a count")]);
    assert_eq!(story.request("ana", &parked).await.state, State::Done);
    let next = other.runs(DELETE);
    assert_ne!(other.is_held().await, parked, "once");
    other.presses_ctrl_c().await;
    next.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_its_session_is_not_parked_and_waits_on() {
    let story = Story::under(
        r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read", Action::"set"], resource);
           permit (principal, action, resource) when { context.approvals.count >= 1 };"#,
    )
    .await;
    let delete = "delete from orders where id = 5";
    for (before, text, why) in [
        (Some("begin"), delete, "its transaction is open"),
        (Some("create temp table mine (id int)"), delete, "temporary tables"),
        (None, "delete from orders where id = pg_backend_pid()", "pg_backend_pid"),
        (Some("prepare p as delete from orders where id = 5"), "execute p", "EXECUTE"),
    ] {
        let ana = story.logs_in("ana").await;
        if let Some(before) = before {
            ana.runs(before).ends().await.unwrap_or_else(|no| panic!("{before}: {no:?}"));
        }
        let running = ana.runs(text);
        let id = ana.is_held().await;
        let refused = story.parks("ana", &id).await.expect_err(why);
        assert!(refused.code == "not_parked" && refused.error.contains(why), "{why}: {refused:?}");
        assert!(running.waits());
        assert_eq!(story.request("ana", &id).await.state, State::Pending, "{why}");
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        running.ends().await.unwrap_or_else(|no| panic!("{why}: it goes on: {no:?}"));
    }
    let written = story.everything_written();
    let log = written.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl"));
    let log: String = log.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    assert_eq!(log.matches("\"park\"").count(), 4, "each wish is in the log");
    assert_eq!(log.matches("\"park, not taken\"").count(), 4, "and what came of it");
}

/// One round: approved and parked at once. Whether it was parked.
async fn raced(story: &Story, ana: &Client, sql: &str, parks_first: bool) -> bool {
    let running = ana.runs(sql);
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    let (approving, parking) = if parks_first {
        let (parking, approving) =
            tokio::join!(story.parks("ana", &id), story.decides_on("priya", &view, Choice::Approve));
        (approving, parking)
    } else {
        tokio::join!(story.decides_on("priya", &view, Choice::Approve), story.parks("ana", &id))
    };
    match (running.ends().await, parking) {
        (Ok(answer), Err(_)) => {
            approving.expect("it ran");
            assert_eq!(answer.affected, [1]);
            assert_eq!(story.request("ana", &id).await.state, State::Done);
            false
        }
        (Err(refused), Ok(parked)) => {
            assert_eq!(approving.expect_err("it was parked").code, "over");
            let parked = parked.request.id.to_string();
            assert!(refused.message.contains(&parked), "{refused:?}");
            assert_eq!(story.request("ana", &id).await.state, State::Withdrawn);
            story.decides("priya", &parked, Choice::Approve).await.expect("she may");
            assert_eq!(ana.runs(sql).ends().await.expect("it runs now").affected, [1]);
            true
        }
        (ran, parked) => panic!("both or neither: {ran:?}, {parked:?}, {approving:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_and_parked_at_once_it_runs_once() {
    const ROUNDS: i64 = 60;
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let stock = "select stock::bigint from products where id = 3";
    let before = story.number(stock).await;
    let ana = story.logs_in("ana").await;
    let mut parked = 0;
    for round in 0..ROUNDS {
        let sql = format!("update products set stock = stock + 1 where id = 3 -- {round}");
        parked += i64::from(raced(&story, &ana, &sql, round % 2 == 0).await);
        assert_eq!(story.number(stock).await, before + round + 1, "after round {round}, {parked} of them parked");
    }
    println!("{parked} of {ROUNDS} were parked");
}
