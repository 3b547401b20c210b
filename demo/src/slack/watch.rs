//! Reading the workspace, and waiting for something to be there.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::config::{Channel, Person, Usergroup};
use super::message::{Message, View};
use super::state::{Call, Notice};
use super::{File, Workspace};

/// Nothing of the kind came in time. Prints what is there instead.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the kind came within {waited:?}; there is:\n{present}")]
pub struct InVain {
    waited: Duration,
    present: String,
}

impl Workspace {
    /// The messages of a channel, oldest first, without ephemeral ones.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.shared.read(|state| state.messages.iter().filter(|message| message.channel == channel).cloned().collect())
    }

    /// One message.
    pub fn message(&self, channel: &str, ts: &str) -> Option<Message> {
        self.shared.read(|state| state.message(channel, ts).cloned())
    }

    /// The replies to a message, oldest first.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<Message> {
        let replies = |message: &Message| message.thread_ts.as_deref() == Some(ts);
        self.messages(channel).into_iter().filter(replies).collect()
    }

    /// What the app and `user` wrote to each other, oldest first.
    pub fn direct_messages(&self, user: &str) -> Vec<Message> {
        self.direct_channel(user).map(|channel| self.messages(&channel)).unwrap_or_default()
    }

    /// The id of the direct message between the app and `user`, if it was ever opened.
    pub fn direct_channel(&self, user: &str) -> Option<String> {
        self.shared.read(|state| {
            let direct = |channel: &&Channel| channel.direct_with.as_deref() == Some(user);
            state.config.channels.iter().find(direct).map(|channel| channel.id.clone())
        })
    }

    /// Opens the direct message between the app and `user`, as a user does who clicks on the app.
    pub fn open_direct_channel(&self, user: &str) -> String {
        self.shared.change(|state| state.direct_message(user).0)
    }

    /// The files that the app has uploaded.
    pub fn files(&self) -> Vec<File> {
        self.shared.read(|state| state.files.clone())
    }

    /// What only `user` sees, in any channel, oldest first.
    pub fn ephemerals(&self, user: &str) -> Vec<Message> {
        self.shared.read(|state| {
            let own = |message: &&Message| message.visible_to.as_deref() == Some(user);
            state.ephemerals.iter().filter(own).cloned().collect()
        })
    }

    /// The modals that `user` has open, the top one last.
    pub fn open_views(&self, user: &str) -> Vec<View> {
        self.shared.read(|state| state.views.iter().filter(|view| view.user == user).cloned().collect())
    }

    /// The app's home tab as `user` sees it.
    pub fn home(&self, user: &str) -> Option<View> {
        self.shared.read(|state| state.homes.get(user).cloned())
    }

    /// What Slack itself told `user`: that the app failed, that there is no such command.
    pub fn notices(&self, user: &str) -> Vec<Notice> {
        self.shared.read(|state| state.notices.iter().filter(|notice| notice.user == user).cloned().collect())
    }

    /// Every call that the app made, oldest first, without tokens.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.read(|state| state.calls.clone())
    }

    /// The calls of one method, oldest first.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.shared.read(|state| state.calls.iter().filter(|call| call.method == method).cloned().collect())
    }

    /// Every acknowledgement that came from the app, oldest first.
    pub fn acknowledgements(&self) -> Vec<Value> {
        self.shared.read(|state| state.acks.clone())
    }

    /// How many Socket Mode connections are open and take deliveries.
    pub fn connections(&self) -> usize {
        self.shared.read(|state| state.connections.iter().filter(|connection| !connection.retiring).count())
    }

    /// Everybody in the workspace.
    pub fn people(&self) -> Vec<Person> {
        self.shared.read(|state| state.config.people.clone())
    }

    /// The user groups.
    pub fn usergroups(&self) -> Vec<Usergroup> {
        self.shared.read(|state| state.config.usergroups.clone())
    }

    /// Waits until `find` answers with something. It is asked at once, and after every change of the workspace.
    ///
    /// # Errors
    /// When the time is up; the error prints what the workspace holds.
    pub async fn wait_for<T>(&self, within: Duration, mut find: impl FnMut(&Self) -> Option<T>) -> Result<T, InVain> {
        let deadline = Instant::now() + within;
        let mut changes = self.shared.changed.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = find(self) {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(InVain { waited: within, present: self.describe() }),
            }
        }
    }

    /// Waits for a message in a channel that `fits`, and answers with it.
    ///
    /// # Errors
    /// When the time is up.
    pub async fn wait_for_message(
        &self,
        channel: &str,
        within: Duration,
        mut fits: impl FnMut(&Message) -> bool,
    ) -> Result<Message, InVain> {
        self.wait_for(within, |workspace| workspace.messages(channel).into_iter().find(|message| fits(message))).await
    }

    /// Waits until the app has a Socket Mode connection.
    ///
    /// # Errors
    /// When the time is up.
    pub async fn wait_for_connection(&self, within: Duration) -> Result<(), InVain> {
        self.wait_for(within, |workspace| (workspace.connections() > 0).then_some(())).await
    }

    /// Everything that somebody can see, for a failed test.
    fn describe(&self) -> String {
        self.shared.read(|state| {
            let mut lines = Vec::new();
            for message in state.messages.iter().chain(&state.ephemerals) {
                let to = message.visible_to.as_deref().map(|user| format!(" (only {user})")).unwrap_or_default();
                lines.push(format!("{} {}{to}: {}", message.channel, message.ts, message.shown()));
            }
            lines.extend(state.views.iter().map(|view| format!("view of {}: {}", view.user, view.shown())));
            lines.extend(state.notices.iter().map(|notice| format!("Slack to {}: {}", notice.user, notice.text)));
            let calls = state.calls.iter().rev().take(20).rev();
            lines.extend(calls.map(|call| format!("call {} -> {}", call.method, call.outcome)));
            lines.push(format!("{} connections", state.connections.len()));
            lines.join("\n")
        })
    }
}
