//! What a user does: presses, chooses, types. Each method returns when the app has acknowledged, or has failed to,
//! and then the user is told so as in Slack.

use serde_json::{Value, json};

use super::api::{Arguments, content};
use super::deliver::{Attempt, Kind, Undelivered};
use super::message::{Message, View, elements};
use super::payload::{self, Acted};
use super::respond::post_as_answer;
use super::state::State;
use super::{Workspace, events};

/// Why an act was impossible, or came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// No such user.
    #[error("there is no user {0}")]
    NoUser(String),
    /// A deactivated user can't do anything.
    #[error("user {0} is deactivated")]
    Deactivated(String),
    /// No such channel.
    #[error("there is no channel {0}")]
    NoChannel(String),
    /// No such channel, or the user is not in it.
    #[error("user {user} is not in a channel {channel}")]
    NotInChannel {
        /// Who tried.
        user: String,
        /// Where.
        channel: String,
    },
    /// The user sees no such message.
    #[error("user {user} sees no message {ts}")]
    NoMessage {
        /// Who tried.
        user: String,
        /// The message's timestamp.
        ts: String,
    },
    /// The user sees no such view.
    #[error("user {user} has no view {view}")]
    NoView {
        /// Who tried.
        user: String,
        /// The view's id.
        view: String,
    },
    /// Nothing there has this `action_id`.
    #[error("nothing here has the action_id {wanted}; there are: {present}")]
    NoElement {
        /// What was looked for.
        wanted: String,
        /// What is there.
        present: String,
    },
    /// The menu has no option with this value.
    #[error("the element {action_id} does not take {value:?}")]
    NoOption {
        /// The menu.
        action_id: String,
        /// What was looked for.
        value: String,
    },
    /// Not a command that the app declared.
    #[error("{0} is not a valid command")]
    NoCommand(String),
    /// The app did not get it or did not acknowledge it; the user sees an error.
    #[error("the app failed: {0}")]
    AppFailed(#[from] Undelivered),
    /// The app acknowledged with something that can't be shown; the user sees an error.
    #[error("the app answered with something unusable: {0}")]
    BadAnswer(String),
}

impl Workspace {
    /// `user` presses the button `action_id` of a message (an ephemeral one, too).
    ///
    /// # Errors
    /// When there is no such button for them, or the app did not acknowledge.
    pub async fn press(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Result<(), ActError> {
        let payload = self.press_payload(user, channel, ts, action_id)?;
        self.interact(user, Some(channel), &payload).await
    }

    /// The payload of such a press, not delivered: to replay, alter or delay it with `deliver`.
    ///
    /// # Errors
    /// When there is no such button for the user.
    pub fn press_payload(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Result<Value, ActError> {
        self.shared.change(|state| {
            let message = visible_message(state, user, channel, ts)?;
            let (block_id, element) = find(&message.blocks, action_id)?;
            let acted = Acted { user, block_id: &block_id, element: &element, chosen: None };
            Ok(payload::block_actions(state, &acted, &message))
        })
    }

    /// `user` chooses `value` in a menu of a message: an option's value, a user's or channel's id, a date.
    ///
    /// # Errors
    /// When there is no such menu or option for them, or the app did not acknowledge.
    pub async fn choose(
        &self,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        value: &str,
    ) -> Result<(), ActError> {
        let payload = self.shared.change(|state| {
            let message = visible_message(state, user, channel, ts)?;
            let (block_id, element) = find(&message.blocks, action_id)?;
            let chosen = super::submit::chosen(&element, value)?;
            let acted = Acted { user, block_id: &block_id, element: &element, chosen: Some(&chosen) };
            Ok::<_, ActError>(payload::block_actions(state, &acted, &message))
        })?;
        self.interact(user, Some(channel), &payload).await
    }

    /// `user` presses a button in a modal or in the app's home tab.
    ///
    /// # Errors
    /// When there is no such button for them, or the app did not acknowledge.
    pub async fn press_in_view(&self, user: &str, view_id: &str, action_id: &str) -> Result<(), ActError> {
        let payload = self.shared.change(|state| {
            let view = visible_view(state, user, view_id)?;
            let (block_id, element) = find(view.blocks(), action_id)?;
            let acted = Acted { user, block_id: &block_id, element: &element, chosen: None };
            Ok::<_, ActError>(payload::block_actions_in_view(state, &acted, &view))
        })?;
        self.interact(user, None, &payload).await
    }

    async fn interact(&self, user: &str, channel: Option<&str>, payload: &Value) -> Result<(), ActError> {
        let result = self.shared.deliver(Kind::Interactive, payload, Attempt::default()).await;
        if let Err(failure) = result {
            self.shared.change(|state| {
                let name = state.app().name.clone();
                state.notify(user, channel, format!("{name} did not respond ({failure}). Try again."));
            });
            return Err(failure.into());
        }
        Ok(())
    }

    /// `user` types a slash command in a channel. What the app sends along with its acknowledgement is posted.
    ///
    /// # Errors
    /// When there is no such command, or the app did not acknowledge it.
    pub async fn command(&self, user: &str, channel: &str, command: &str, text: &str) -> Result<(), ActError> {
        let payload = self.shared.change(|state| {
            check_in_channel(state, user, channel)?;
            if !state.config.commands.iter().any(|known| known == command) {
                state.notify(user, Some(channel), format!("{command} is not a valid command."));
                return Err(ActError::NoCommand(command.to_owned()));
            }
            Ok(payload::slash_command(state, user, channel, command, text))
        })?;
        let result = self.shared.deliver(Kind::SlashCommand, &payload, Attempt::default()).await;
        self.shared.change(|state| {
            let failure = match result {
                Ok(answer) => match post_answer(state, user, channel, answer) {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                },
                Err(failure) => ActError::AppFailed(failure),
            };
            let word = match &failure {
                ActError::AppFailed(failure) => failure.word(),
                _ => "invalid_command_response",
            };
            state.notify(user, Some(channel), format!("{command} failed with the error \"{word}\""));
            Err(failure)
        })
    }

    /// `user` writes a message; as Slack's clients do, what they type is escaped. The app hears of it if it subscribed to such events.
    ///
    /// # Errors
    /// When the user is not in the channel.
    pub fn say(&self, user: &str, channel: &str, text: &str) -> Result<Message, ActError> {
        let message = self.shared.change(|state| {
            check_in_channel(state, user, channel)?;
            let message = Message {
                channel: channel.to_owned(),
                ts: state.fresh_ts(),
                thread_ts: None,
                user: user.to_owned(),
                from_app: false,
                text: text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
                blocks: Vec::new(),
                metadata: None,
                edited: None,
                edits: 0,
                visible_to: None,
            };
            state.messages.push(message.clone());
            Ok::<_, ActError>(message)
        })?;
        events::message_posted(&self.shared, &message);
        Ok(message)
    }

    /// Delivers a payload of one's own making, as if Slack had sent it: forged, repeated, or late.
    /// Answers with what the app sent along with its acknowledgement.
    ///
    /// # Errors
    /// When the app did not acknowledge.
    pub async fn deliver(&self, kind: Kind, payload: &Value) -> Result<Value, Undelivered> {
        self.shared.deliver(kind, payload, Attempt::default()).await
    }
}

/// Posts the message that came with the acknowledgement of a command, if one did.
fn post_answer(state: &mut State, user: &str, channel: &str, answer: Value) -> Result<(), ActError> {
    let answer = match answer {
        Value::Object(object) => object,
        Value::String(text) => json!({"text": text}).as_object().cloned().unwrap_or_default(),
        _ => return Ok(()),
    };
    let says_something = ["text", "blocks", "attachments"]
        .iter()
        .any(|key| answer.get(*key).is_some_and(|value| !value.is_null() && value.as_str() != Some("")));
    if !says_something {
        return Ok(());
    }
    let arguments = Arguments::from_object(answer);
    let content = content(&arguments)
        .map_err(|refused| ActError::BadAnswer(format!("{} {}", refused.word, refused.details.join("; "))))?;
    post_as_answer(state, channel, user, arguments.text("response_type"), content);
    Ok(())
}

/// Whether `user` can do anything at all.
pub(super) fn check_user(state: &State, user: &str) -> Result<(), ActError> {
    match state.person(user) {
        None => Err(ActError::NoUser(user.to_owned())),
        Some(person) if person.deleted => Err(ActError::Deactivated(user.to_owned())),
        Some(_) => Ok(()),
    }
}

fn check_in_channel(state: &State, user: &str, channel: &str) -> Result<(), ActError> {
    check_user(state, user)?;
    if state.channel(channel).is_some_and(|channel| channel.has(user)) {
        return Ok(());
    }
    Err(ActError::NotInChannel { user: user.to_owned(), channel: channel.to_owned() })
}

fn visible_message(state: &State, user: &str, channel: &str, ts: &str) -> Result<Message, ActError> {
    check_in_channel(state, user, channel)?;
    let ephemeral = state
        .ephemerals
        .iter()
        .find(|message| message.channel == channel && message.ts == ts && message.visible_to.as_deref() == Some(user));
    let found = ephemeral.or_else(|| state.message(channel, ts)).cloned();
    found.ok_or_else(|| ActError::NoMessage { user: user.to_owned(), ts: ts.to_owned() })
}

/// A view that `user` has before them.
pub(super) fn visible_view(state: &State, user: &str, id: &str) -> Result<View, ActError> {
    check_user(state, user)?;
    let view = state.view(id).filter(|view| view.user == user);
    view.cloned().ok_or_else(|| ActError::NoView { user: user.to_owned(), view: id.to_owned() })
}

fn find(blocks: &[Value], action_id: &str) -> Result<(String, Value), ActError> {
    let found = elements(blocks).find(|(_, element)| element["action_id"] == action_id);
    found.map(|(block_id, element)| (block_id.to_owned(), element.clone())).ok_or_else(|| ActError::NoElement {
        wanted: action_id.to_owned(),
        present: elements(blocks)
            .filter_map(|(_, element)| element["action_id"].as_str())
            .collect::<Vec<_>>()
            .join(", "),
    })
}
