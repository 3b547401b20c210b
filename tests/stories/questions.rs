//! Somebody who may decide asks first: the session reads it, and so does the thread of the card.

use countersign_demo::slack::{Message, Workspace};
use countersign_shared::{
    api::{Problem, QuestionAsked},
    request::{Choice, State},
};
use reqwest::Method;

use crate::{
    evidence::said,
    harness::{CHANNEL, PATIENCE, Story, people::Colleague},
};

const DELETE: &str = "delete from orders where id = 5";

impl Colleague<'_> {
    /// Presses Ask and types a question.
    async fn asks(&self, id: &str, question: &str) {
        self.presses("ask", id).await;
        let form = self.sees_form("question").await;
        self.submits(&form, &[("question", question)]).await;
    }
}

impl Story {
    /// The messages in the thread of a card that ask something, once there are so many.
    async fn questions(&self, card: &Message, count: usize) -> Vec<Message> {
        let asked = |workspace: &Workspace| {
            let mut thread = workspace.thread(CHANNEL, &card.ts);
            thread.retain(|one| one.shown().contains("asks about request"));
            (thread.len() >= count).then_some(thread)
        };
        self.workspace.wait_for(PATIENCE, asked).await.expect("questions in the thread")
    }

    /// Asks by the control API.
    async fn asks(&self, who: &str, id: &str, question: &str) -> Result<QuestionAsked, Problem> {
        let body = serde_json::json!({ "question": question });
        let answer = self.calls(who, Method::POST, &format!("v1/requests/{id}/questions"), Some(body)).await?;
        Ok(serde_json::from_value(answer).expect("an answer"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_reaches_the_session_and_the_thread_and_decides_nothing() {
    let story = Story::begin().await;
    let (ana, priya, ben) = (story.linked("ana").await, story.linked("priya").await, story.linked("ben").await);
    let session = story.logs_in("ana").await;
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    let card = story.card_says(&id, "Waits for").await;
    let before = story.request("priya", &id).await;
    ben.asks(&id, "may I?").await;
    ben.is_told("You may not decide on this request").await;
    ana.asks(&id, "may I?").await;
    ana.is_told("your own").await;
    let hostile = "is <!channel> *this* <@U0PRIYA0003>\nthe \u{202E}right https://evil.example order?";
    priya.asks(&id, hostile).await;
    let told = session.is_told("asks about request").await;
    let read = "is <!channel> *this* <@U0PRIYA0003> the \\u{202E}right https://evil.example order?";
    assert_eq!(told, format!("priya@acme.dev asks about request {id}: {read}"));
    let thread = story.questions(&card, 1).await;
    let text = serde_json::to_string(&thread[0].blocks).expect("blocks");
    assert!(text.contains(&format!("\"user_id\":\"{}\"", ana.user())), "she is mentioned: {text}");
    assert_eq!(text.matches("\"type\":\"user\"").count(), 1, "and nobody else: {text}");
    assert!(!text.contains("\"type\":\"link\"") && !text.contains("mrkdwn") && !text.contains("broadcast"), "{text}");
    assert!(text.contains("\\\\u{202E}right") && text.contains("<!channel>"), "as it is: {text}");
    assert!(!thread[0].text.contains("order?"), "what is pushed says that there is a question: {}", thread[0].text);
    priya.is_told("Nothing is decided by it").await;
    // The same from a terminal; and the same again is none.
    let command = |question: &'static str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&story.world.facts.config).args(["requests", "ask", &id, question]);
        let token = story.world.idp.token_for("dario").expect("a token");
        command.env("COUNTERSIGN_TOKEN", token).kill_on_drop(true).output()
    };
    for says in ["the session that waits reads it", "already"] {
        let output = command("and order 6?").await.expect("the binary");
        assert!(output.status.success() && said(&output).contains(says), "{}", said(&output));
    }
    let told = session.is_told("asks about request").await;
    assert_eq!(told, format!("dario@acme.dev asks about request {id}: and order 6?"));
    story.questions(&card, 2).await;
    let after = story.request("priya", &id).await;
    let unasked = countersign_shared::api::RequestView { questions: Vec::new(), ..after.clone() };
    assert_eq!(
        (after.questions.len(), unasked),
        (2, countersign_shared::api::RequestView { card: after.card, ..before })
    );
    assert!(delete.waits());
    priya.presses("approve", &id).await;
    assert_eq!(delete.ends().await.expect("it runs").affected, [1]);
    priya.presses_after_the_end(&story, &id).await;
    assert_eq!(story.questions(&card, 2).await.len(), 2, "each is said once");
}

impl Colleague<'_> {
    /// Asks about what has run already.
    async fn presses_after_the_end(&self, story: &Story, id: &str) {
        let refused = story.asks("priya", id, "was it right?").await.expect_err("it is over");
        assert!(refused.error.contains("takes no question any more"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_what_nobody_waits_with_is_in_the_thread_and_a_restart_says_it_once() {
    let retry =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\non_hold = \"retry\"");
    let mut story = Story::serves_with(retry).await;
    let session = story.logs_in("ana").await;
    let refused = session.runs(DELETE).gets_refused().await;
    let id = refused.message.split_whitespace().nth(1).expect("an id").to_owned();
    let card = story.card_says(&id, "Waits for").await;
    story.card_is_known(&id).await;
    let asked = story.asks("priya", &id, "why?").await.expect("she may");
    assert!(asked.message.contains("No session waits"), "{}", asked.message);
    story.questions(&card, 1).await;
    story.kills_the_gateway().await;
    story.starts("serve").await;
    story.asks("priya", &id, "still?").await.expect("she may");
    let thread = story.questions(&card, 2).await;
    assert_eq!(thread.len(), 2, "what was said before is not said again");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(story.request("priya", &id).await.state, State::Approved);
    let refused = story.asks("priya", &id, "and now?").await.expect_err("decided");
    assert_eq!(refused.code, "over", "{refused:?}");
}
