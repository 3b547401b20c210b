//! Colleagues in Slack.

use std::time::Duration;

use countersign_demo::{
    browser::Browser,
    people::Person,
    slack::{Message, Submission, View},
};

use tokio::time::{interval, timeout};

use super::{CHANNEL, PATIENCE, Story};

/// Somebody in Slack.
pub struct Colleague<'a> {
    pub story: &'a Story,
    pub person: Person,
}

impl Story {
    /// The card of a request.
    pub async fn card(&self, id: &str) -> Message {
        let card = self.workspace.wait_for_message(CHANNEL, PATIENCE, |message| message.shown().contains(id)).await;
        card.expect("a card")
    }

    /// Waits until the card of a request says `text`.
    pub async fn card_says(&self, id: &str, text: &str) -> Message {
        let says = |message: &Message| message.shown().contains(id) && message.shown().contains(text);
        let card = self.workspace.wait_for_message(CHANNEL, PATIENCE, says).await;
        card.unwrap_or_else(|in_vain| panic!("no card of {id} says {text:?}: {in_vain}"))
    }

    /// Waits until the gateway has heard where the card of a request is.
    pub async fn card_is_known(&self, id: &str) {
        let mut looks = interval(Duration::from_millis(50));
        let known = async {
            while self.request("priya", id).await.card.is_none() {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, known).await.expect("the bot tells where it posted");
    }

    /// How many cards there are of a request.
    pub fn cards(&self, id: &str) -> usize {
        self.workspace.messages(CHANNEL).iter().filter(|message| message.shown().contains(id)).count()
    }
}

impl Colleague<'_> {
    pub fn user(&self) -> &str {
        &self.person.slack_id
    }

    /// Presses a button of a request's card.
    pub async fn presses(&self, action: &str, id: &str) {
        // Others speak of the request, too.
        let has = |message: &Message| {
            message.shown().contains(id) && message.buttons().iter().any(|button| button.action_id == action)
        };
        let card =
            self.story.workspace.wait_for_message(CHANNEL, PATIENCE, has).await.expect("a card with that button");
        let pressed = self.story.workspace.press(self.user(), CHANNEL, &card.ts, action).await;
        pressed.unwrap_or_else(|error| panic!("{} presses {action}: {error}", self.person.name));
    }

    /// Presses Deny and fills in the reason.
    pub async fn denies(&self, id: &str, reason: &str) {
        self.presses("deny", id).await;
        let view = self.story.workspace.wait_for(PATIENCE, |workspace| workspace.open_views(self.user()).pop()).await;
        let view = view.expect("a form for the reason");
        let submitted = self.story.workspace.submit_view(self.user(), &view.id, &[("reason", reason)]).await;
        assert!(matches!(submitted, Ok(Submission::Closed | Submission::Cleared)), "{submitted:?}");
    }

    /// Waits until the bot tells them alone something that holds `text`; all of what it said.
    pub async fn is_told(&self, text: &str) -> String {
        let told = |workspace: &countersign_demo::slack::Workspace| {
            let mut shown = workspace.ephemerals(self.user()).into_iter().map(|message| message.shown());
            shown.rfind(|shown| shown.contains(text))
        };
        let told = self.story.workspace.wait_for(PATIENCE, told).await;
        told.unwrap_or_else(|in_vain| panic!("{} is not told {text:?}: {in_vain}", self.person.name))
    }

    /// Types `/access …`.
    pub async fn types(&self, text: &str) {
        let typed = self.story.workspace.command(self.user(), CHANNEL, "/access", text).await;
        typed.unwrap_or_else(|error| panic!("{} types {text}: {error}", self.person.name));
    }

    /// Waits for a form that holds the input `block`.
    pub async fn sees_form(&self, block: &str) -> View {
        let has = |view: &View| view.blocks().iter().any(|found| found["block_id"] == block);
        let form =
            |workspace: &countersign_demo::slack::Workspace| workspace.open_views(self.user()).into_iter().find(has);
        self.story.workspace.wait_for(PATIENCE, form).await.expect("a form")
    }

    /// Fills a form and submits it.
    pub async fn submits(&self, view: &View, values: &[(&str, &str)]) {
        let submitted = self.story.workspace.submit_view(self.user(), &view.id, values).await;
        assert!(matches!(submitted, Ok(Submission::Closed | Submission::Cleared)), "{submitted:?}");
    }

    /// Waits until the bot writes them directly something that holds `text`.
    pub async fn is_written(&self, text: &str) -> Message {
        let written = |workspace: &countersign_demo::slack::Workspace| {
            workspace.direct_messages(self.user()).into_iter().rfind(|message| message.shown().contains(text))
        };
        let written = self.story.workspace.wait_for(PATIENCE, written).await;
        written.unwrap_or_else(|in_vain| panic!("{} is not written {text:?}: {in_vain}", self.person.name))
    }

    /// Presses a button of a message that the bot wrote them.
    pub async fn presses_on(&self, message: &Message, action: &str) {
        let pressed = self.story.workspace.press(self.user(), &message.channel, &message.ts, action).await;
        pressed.unwrap_or_else(|error| panic!("{} presses {action}: {error}", self.person.name));
    }

    /// Types `/access link`, signs in, and confirms.
    pub async fn links(&self) {
        let command = self.story.workspace.command(self.user(), CHANNEL, "/access", "link").await;
        command.expect("the command is taken");
        let told = self.is_told("/link/").await;
        self.follows(&told).await;
    }

    /// Follows the link in what they were told, signs in, and confirms.
    pub async fn follows(&self, told: &str) {
        let (_, url) = told.split_once('<').expect("a link");
        let (url, _) = url.split_once('|').expect("a link");
        let mut browser = Browser::new().expect("a browser");
        browser.open(url).await.expect("the sign-in page");
        browser.press(&self.person.email, &[]).await.expect("signing in");
        assert!(browser.shows(&self.person.email) && browser.shows(self.user()), "both accounts: {}", browser.text());
        browser.press("Link these accounts", &[]).await.expect("confirming");
        assert!(browser.shows("You can close this page"), "{}", browser.text());
    }
}
