//! Events that the app subscribed to, and changes to the workspace that cause them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::act::{ActError, check_user};
use super::config::{Person, Usergroup};
use super::deliver::{Attempt, Kind, Undelivered};
use super::message::Message;
use super::payload;
use super::{Shared, Workspace};

impl Workspace {
    /// Replaces a user (by id), or adds one: make them a guest, deactivate them, change their e-mail.
    pub fn set_user(&self, person: Person) {
        let is_new = self.shared.change(|state| {
            if let Some(known) = state.config.people.iter_mut().find(|known| known.id == person.id) {
                known.clone_from(&person);
                return false;
            }
            state.config.people.push(person.clone());
            true
        });
        let kind = if is_new { "team_join" } else { "user_change" };
        let event = self.shared.read(
            |state| json!({"type": kind, "user": person.to_json(state.team(), true), "event_ts": "1700000000.000000"}),
        );
        publish(&self.shared, kind, event);
    }

    /// Changes one user in place.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn change_user(&self, id: &str, change: impl FnOnce(&mut Person)) -> Result<(), ActError> {
        let found = self.shared.read(|state| state.person(id).cloned());
        let mut person = found.ok_or_else(|| ActError::NoUser(id.to_owned()))?;
        change(&mut person);
        self.set_user(person);
        Ok(())
    }

    /// Says who is in a channel; `None`: everybody.
    ///
    /// # Errors
    /// When there is no such channel.
    pub fn set_members(&self, channel: &str, members: Option<&[&str]>) -> Result<(), ActError> {
        self.shared.change(|state| {
            let known = state.config.channels.iter_mut().find(|known| known.id == channel);
            let known = known.ok_or_else(|| ActError::NoChannel(channel.to_owned()))?;
            known.members = members.map(|members| members.iter().map(|&member| member.to_owned()).collect());
            Ok(())
        })
    }

    /// Replaces a user group (by id), or adds one.
    pub fn set_usergroup(&self, group: Usergroup) {
        let event = self.shared.change(|state| {
            let event = json!({"type": "subteam_updated", "subteam": group.to_json(state.team(), true)});
            match state.config.usergroups.iter_mut().find(|known| known.id == group.id) {
                Some(known) => *known = group,
                None => state.config.usergroups.push(group),
            }
            event
        });
        publish(&self.shared, "subteam_updated", event);
    }

    /// `user` opens the app's home tab.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn open_home(&self, user: &str) -> Result<(), ActError> {
        let event = self.shared.change(|state| {
            check_user(state, user)?;
            let (channel, _) = state.direct_message(user);
            let mut event = json!({
                "type": "app_home_opened", "user": user, "channel": channel, "tab": "home",
                "event_ts": state.fresh_ts(),
            });
            if let Some(home) = state.homes.get(user) {
                event["view"] = state.view_json(home);
            }
            Ok::<_, ActError>(event)
        })?;
        publish(&self.shared, "app_home_opened", event);
        Ok(())
    }

    /// Sends an event of any shape, whether the app subscribed to it or not, with Slack's retries, and answers with
    /// how many deliveries it took.
    ///
    /// # Errors
    /// When the last retry failed, too.
    pub async fn send_event(&self, event: Value) -> Result<usize, Undelivered> {
        send(&self.shared, event).await
    }
}

/// Tells the app of a message that a user wrote.
pub(super) fn message_posted(shared: &Arc<Shared>, message: &Message) {
    let (kind, event) = shared.read(|state| {
        let channel = state.channel(&message.channel);
        let channel_type = match channel {
            Some(channel) if channel.direct_with.is_some() => "im",
            Some(channel) if channel.is_private => "group",
            _ => "channel",
        };
        let mut event = state.message_json(message);
        event["channel"] = json!(message.channel);
        event["channel_type"] = json!(channel_type);
        event["event_ts"] = json!(message.ts);
        let kind = match channel_type {
            "im" => "message.im",
            "group" => "message.groups",
            _ => "message.channels",
        };
        (kind, event)
    });
    publish(shared, kind, event);
}

/// Sends an event in the background, if the app subscribed to its kind.
fn publish(shared: &Arc<Shared>, kind: &str, event: Value) {
    if !shared.read(|state| state.config.events.iter().any(|subscribed| subscribed == kind)) {
        return;
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(failure) = send(&shared, event).await {
            tracing::warn!(%failure, "the app missed an event");
        }
    });
}

async fn send(shared: &Arc<Shared>, event: Value) -> Result<usize, Undelivered> {
    let (callback, retries) =
        shared.read(|state| (payload::event_callback(state, event), state.config.event_retries.clone()));
    let mut attempt = Attempt::default();
    loop {
        let failure = match shared.deliver(Kind::Event, &callback, attempt).await {
            Ok(_) => return Ok(attempt.number + 1),
            Err(failure) => failure,
        };
        let Some(pause) = retries.get(attempt.number) else { return Err(failure) };
        let reason = match failure {
            Undelivered::NotAcknowledged(_) => "timeout",
            Undelivered::Status(_) => "http_error",
            _ => "connection_failed",
        };
        attempt = Attempt { number: attempt.number + 1, reason };
        tokio::select! {
            () = shared.stop.cancelled() => return Err(failure),
            () = tokio::time::sleep(*pause) => {}
        }
    }
}
