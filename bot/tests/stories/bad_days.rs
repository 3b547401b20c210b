//! What Slack says no to: archived channels, deleted cards, forms that come too late; and ids of an Enterprise Grid.

use super::*;

fn no(error: &str) -> (StatusCode, Value) {
    (StatusCode::OK, json!({ "ok": false, "error": error }))
}

#[tokio::test]
async fn a_channel_that_is_archived_or_left_gets_the_card_when_it_is_back_and_once() {
    for word in ["is_archived", "not_in_channel", "channel_not_found"] {
        let world = World::new(view()).await;
        world.memory().faults.insert("chat.postMessage".into(), [no(word), no(word)].into());
        let running = world.start();
        world.until(word, |m| m.cards_named == 1).await;
        running.stop().await;
        assert_eq!(posts(&world.memory()), 3, "{word}: two refusals and one card");
    }
}

#[tokio::test]
async fn a_card_that_somebody_deleted_stays_deleted_and_its_request_goes_on() {
    let (world, running) = world_with_card().await;
    world.memory().faults.insert("chat.update".into(), [no("message_not_found")].into());
    world.change("request.updated", |view| view.approvals = vec![ApprovalView { slack: None, ..samples::approval() }]);
    world.until("it was tried", |m| m.called("chat.update").len() == 1).await;
    world.change("request.updated", |view| view.state = State::Void);
    world.until("what comes later is tried, too", |m| m.called("chat.update").len() == 2).await;
    running.stop().await;
    assert_eq!(posts(&world.memory()), 1, "no second card");
}

#[tokio::test]
async fn a_form_that_comes_too_late_is_told_and_nothing_is_decided() {
    let (world, running) = world_with_card().await;
    world.memory().faults.insert("views.open".into(), [no("expired_trigger_id")].into());
    world.press("deny", Some(&shown()));
    world.until("they are told", |m| says(m, "chat.postEphemeral", "form")).await;
    running.stop().await;
    assert!(world.memory().decisions.is_empty());
}

#[test]
fn ids_of_an_enterprise_grid_come_as_they_are() {
    use countersign_bot::slack::decode::{Incoming, interaction};
    let block = shown();
    let payload = json!({
        "type": "block_actions",
        "enterprise": { "id": "E0ACME", "name": "Acme" },
        "is_enterprise_install": true,
        "team": null,
        "user": { "id": "W0PRIYA", "team_id": "T1", "enterprise_user": { "id": "W0PRIYA", "enterprise_id": "E0ACME" } },
        "channel": { "id": "C1" },
        "container": { "type": "message", "message_ts": "1.2", "channel_id": "C1" },
        "trigger_id": "t",
        "actions": [{ "type": "button", "action_id": "approve", "value": samples::id(), "block_id": block }],
    });
    let Some(Incoming::Press(press)) = interaction(&payload) else { panic!("a press") };
    assert_eq!((press.person.user.as_str(), press.person.team.as_deref()), ("W0PRIYA", Some("T1")));
}

/// The figure: `cargo test --release --package countersign-bot --test stories -- --ignored --nocapture acknowledgement`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure, of a machine with nothing else to do; the comment above it is the command"]
async fn acknowledgement_of_a_hundred_events_at_once_takes_two_hundred_milliseconds_at_most() {
    const ROUNDS: usize = 20;
    let (world, running) = world_with_card().await;
    // Nothing behind it answers.
    world.memory().silent = true;
    let mut waits = Vec::new();
    for round in 0..ROUNDS {
        let began = std::time::Instant::now();
        let before = world.memory().acknowledged_at.len();
        for number in 0..100 {
            let payload = json!({ "command": "/access", "text": "status", "user_id": "U1", "team_id": "T1",
                                  "channel_id": "C9", "response_url": world.url("respond"),
                                  "trigger_id": format!("{round}.{number}") });
            world.envelope(&format!("{round}.{number}"), "slash_commands", &payload);
        }
        world.until("all are acknowledged", |m| m.acknowledged_at.len() >= before + 100).await;
        let memory = world.memory();
        waits.extend(memory.acknowledged_at[before..].iter().map(|at| at.duration_since(began)));
    }
    waits.sort_unstable();
    let (half, p99, most) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
    println!("{} envelopes, 100 at once: half {half:?}, p99 {p99:?}, most {most:?}", waits.len());
    assert!(p99 <= std::time::Duration::from_millis(200), "p99 {p99:?}");
    drop(running);
}
