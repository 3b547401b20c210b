//! Who is called by a card, what its channel may read, and where it says what came of it.

use countersign_demo::slack::{Message, Workspace};
use countersign_shared::request::Choice;
use serde_json::Value;

use crate::harness::{CHANNEL, PATIENCE, Story};

const DELETE: &str = "delete from orders where id = 5";

/// The people whom a message mentions.
fn mentioned(message: &Message) -> Vec<String> {
    fn look(value: &Value, found: &mut Vec<String>) {
        if value["type"] == "user" {
            found.extend(value["user_id"].as_str().map(str::to_owned));
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| look(item, found)),
            Value::Object(fields) => fields.values().for_each(|item| look(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    message.blocks.iter().for_each(|block| look(block, &mut found));
    found
}

impl Story {
    /// What the thread of a card says, once it says something.
    async fn thread_says(&self, card: &Message) -> Vec<String> {
        let replies = |workspace: &Workspace| {
            let thread = workspace.thread(CHANNEL, &card.ts);
            let said: Vec<String> = thread.iter().filter(|one| one.ts != card.ts).map(Message::shown).collect();
            (!said.is_empty()).then_some(said)
        };
        self.workspace.wait_for(PATIENCE, replies).await.expect("something in the thread")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_may_decide_is_called_then_those_who_may_and_the_thread_says_what_came_of_it() {
    let change = |config: &str, _: &std::path::Path| {
        assert!(config.contains("hold_timeout = \"15m\""));
        config.replace("hold_timeout = \"15m\"", "hold_timeout = \"30s\"")
    };
    let mut story = Story::serves_with(change).await;
    let (ana, priya, dario) = (story.linked("ana").await, story.linked("priya").await, story.linked("dario").await);
    let session = story.logs_in("ana").await;
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    let card = story.card_says(&id, "is asked first").await;
    let called = mentioned(&card);
    let may = [priya.user().to_owned(), dario.user().to_owned()];
    assert!(called.len() == 1 && may.contains(&called[0]), "one of those who may decide: {called:?}");
    let reminder = story.card_says(&id, "Ends in").await;
    let mut all = mentioned(&reminder);
    all.sort_unstable();
    let mut both = may.to_vec();
    both.sort_unstable();
    assert_eq!(all, both, "then all of them");
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    let done = story.card_says(&id, "DELETE 1").await;
    assert!(mentioned(&done).is_empty() && !done.shown().contains("asked first"), "nobody is called any more");
    let said = story.thread_says(&card).await;
    assert!(said.len() == 1 && said[0].starts_with("DELETE 1 in "), "{said:?}");
    ana.is_written("DELETE 1").await;

    // Whoever starts anew finds that it is said.
    story.kills_the_gateway().await;
    story.starts("serve").await;
    let session = story.logs_in("ana").await;
    let delete = session.runs("delete from orders where id = 6");
    let id = session.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    delete.ends().await.expect("it runs");
    let second = story.card_says(&id, "DELETE 1").await;
    story.thread_says(&second).await;
    assert_eq!(story.thread_says(&card).await.len(), 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_others_read_sees_who_asks_and_where_and_nothing_of_what() {
    let redacted =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\ncard = \"redacted\"");
    let story = Story::serves_with(redacted).await;
    let ana = story.linked("ana").await;
    let priya = story.linked("priya").await;
    let session = story.logs_in("ana").await;
    session.runs("set countersign.reason = 'the secret incident'").ends().await.expect("a reason");
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    let card = story.card_says(&id, " asks to run something on shop").await;
    assert!(card.shown().contains("ana@acme.dev"), "{}", card.shown());
    assert!(mentioned(&card).contains(&priya.user().to_owned()), "who may decide is called all the same");
    assert!(card.buttons().iter().all(|button| button.action_id == "details"), "{:?}", card.buttons());
    let requester = ana.is_written("is held").await;
    assert!(requester.shown().contains(DELETE), "whoever asks knows what");
    story.decides("priya", &id, Choice::Deny).await.expect("on its page, or by command line");
    delete.gets_refused().await;
    story.card_says(&id, "Denied by priya@acme.dev").await;
    let delete = session.runs(DELETE);
    let id = session.is_held().await;
    let card = story.card_says(&id, "asks to run something").await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    delete.ends().await.expect("it runs");
    story.card_says(&id, "It is done").await;
    let said = story.thread_says(&card).await;
    assert!(said.len() == 1 && said[0].contains("It is done"), "{said:?}");
    for message in story.workspace.messages(CHANNEL) {
        let all = format!("{} {:?}", message.text, message.blocks);
        assert!(!all.contains("orders") && !all.contains("secret"), "{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_to_be_looked_at_the_card_is_redacted_while_others_are_in_its_channel() {
    let auto = |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\ncard = \"auto\"");
    let story = Story::serves_with(auto).await;
    let (ana, priya, ben) = (story.linked("ana").await, story.linked("priya").await, story.linked("ben").await);
    let bot = story.workspace.calls_of("auth.test");
    assert!(!bot.is_empty(), "the bot is there");
    let us = story.workspace.people().into_iter().find(|person| person.is_bot).expect("the bot's user").id;
    let session = story.logs_in("ana").await;
    // who is in the channel beside the bot, and whether the card shows what is asked
    let strangers = story.colleague("dario");
    let table: [(&str, Option<Vec<&str>>, bool); 4] = [
        ("everybody", None, false),
        ("who asks and who decides", Some(vec![&us, ana.user(), priya.user()]), true),
        ("and somebody who may not", Some(vec![&us, ana.user(), priya.user(), ben.user()]), false),
        ("and somebody who is not linked", Some(vec![&us, priya.user(), strangers.user()]), false),
    ];
    for (case, members, whole) in table {
        story.workspace.set_members(CHANNEL, members.as_deref()).expect("the channel");
        let delete = session.runs(DELETE);
        let id = session.is_held().await;
        let card = story.card_says(&id, "Waits for").await;
        assert_eq!(card.shown().contains(DELETE), whole, "{case}: {}", card.shown());
        assert_eq!(card.button("approve").is_some(), whole, "{case}");
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        delete.gets_refused().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn details_show_the_request_whole_to_those_who_may_read_it() {
    let redacted =
        |config: &str, _: &std::path::Path| config.replace("[[connection]]", "[[connection]]\ncard = \"redacted\"");
    let story = Story::serves_with(redacted).await;
    let (ana, ben) = (story.linked("ana").await, story.linked("ben").await);
    let (priya, dario) = (story.linked("priya").await, story.colleague("dario"));
    let session = story.logs_in("ana").await;
    let long = format!("{DELETE} and note <> '{}'", "x".repeat(7_000));
    for (sql, approvable) in [(DELETE.to_owned(), true), (long, false)] {
        let delete = session.runs(&sql);
        let id = session.is_held().await;
        let end = &sql[sql.len() - 20..];
        // who presses, what they read, whether they may approve it there
        // Last who ends it, after which the card has no such button.
        let table = [
            (&ana, end, false),
            (&ben, "There is no such request for you", false),
            (&dario, "Sign in once to link your account", false),
            (&priya, end, approvable),
        ];
        for (who, reads, approves) in table {
            who.presses("details", &id).await;
            let says = |workspace: &Workspace| {
                workspace.open_views(who.user()).into_iter().find(|view| view.shown().contains(reads))
            };
            let view = story.workspace.wait_for(PATIENCE, says).await;
            let view = view.unwrap_or_else(|in_vain| panic!("{} does not read {reads}: {in_vain}", who.person.name));
            assert_eq!(view.content.to_string().contains("\"approve\""), approves, "{}", who.person.name);
            assert!(reads == end || !view.shown().contains("orders"), "{}", view.shown());
            if approves {
                story.workspace.press_in_view(who.user(), &view.id, "approve").await.expect("a button in the form");
            } else {
                story.workspace.close_view(who.user(), &view.id).await.expect("it closes");
            }
        }
        if approvable {
            delete.ends().await.expect("what priya read is what runs");
        } else {
            session.presses_ctrl_c().await;
            delete.gets_refused().await;
        }
    }
}
