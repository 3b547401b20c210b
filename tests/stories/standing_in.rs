//! Somebody who is away names who is told in their place. That gives nobody a right.

use crate::{
    asking::story,
    harness::{CHANNEL, PATIENCE},
};

const DELETE: &str = "delete from orders where id = 5";

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_approve_already_is_told_in_anothers_place_until_it_ends() {
    let story = story("").await;
    let (ana, priya, dario) = (story.linked("ana").await, story.linked("priya").await, story.linked("dario").await);
    for (typed, told) in [
        ("delegate", "/access delegate WHO until Mon"),
        ("delegate ana until Mon", "Policy does not let ana@acme.dev approve on shop"),
        ("delegate priya until Mon", "Somebody else has to stand in for you"),
        ("delegate nobody until Mon", "Nobody of that name has signed in yet"),
        ("delegate dario until someday", "no day of the week"),
        ("delegate dario 91d", "not within the next 90 days"),
        ("delegate off", "no such delegation"),
    ] {
        priya.types(typed).await;
        priya.is_told(told).await;
    }
    ana.types("delegate dario until Mon").await;
    ana.is_told("Policy lets you approve nothing").await;

    priya.types(&format!("delegate <@{}|dario> until Mon", dario.user())).await;
    priya.is_told("dario@acme.dev is told of requests in your place until").await;
    priya.types("status").await;
    priya.is_told("`/access delegate off` ends that").await;
    dario.types("status").await;
    dario.is_told("You are told of requests in the place of priya@acme.dev until").await;

    let session = story.logs_in("ana").await;
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    let written = dario.is_written("In the place of priya@acme.dev").await;
    assert!(written.shown().contains(&id) && !written.shown().contains("delete from"), "{}", written.shown());
    story.card_says(&id, "is asked in the place of priya@acme.dev").await;
    // Whoever is away may still decide, and so may whoever stands in: each by their own right.
    dario.presses("approve", &id).await;
    delete.ends().await.expect("it runs");

    priya.types("delegate @dario until Fri").await;
    let told = |workspace: &countersign_demo::slack::Workspace| {
        let said = workspace.ephemerals(priya.user()).into_iter().map(|message| message.shown());
        (said.filter(|said| said.contains("They decide by their own right")).count() == 2).then_some(())
    };
    story.workspace.wait_for(PATIENCE, told).await.expect("told of the second one too");
    priya.types("delegate off").await;
    priya.is_told("Nobody is told of requests in your place any more").await;
    let delete = session.runs("delete from orders where id = 6");
    let id = session.is_held().await;
    let card = story.card(&id).await;
    assert!(!card.shown().contains("in the place of"), "it is over: {}", card.shown());
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    let theirs = story.workspace.direct_messages(dario.user());
    let places = theirs.iter().filter(|message| message.shown().contains("In the place of")).count();
    assert_eq!(places, 1, "told once, and no more when it is over");
    let spoken = story.workspace.messages(CHANNEL).iter().filter(|m| m.shown().contains("In the place of")).count();
    assert_eq!(spoken, 0, "what is for one person is not for the channel");
}
