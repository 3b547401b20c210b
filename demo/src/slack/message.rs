//! A message as the workspace keeps it, and as the wire shows it.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::config::{App, Team};

/// A message in a channel, a direct message, or an ephemeral one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// The channel that it is in.
    pub channel: String,
    /// Its timestamp, which is its identity in the channel.
    pub ts: String,
    /// The message that it answers, if it is in a thread.
    pub thread_ts: Option<String>,
    /// The author's user id.
    pub user: String,
    /// Whether the app posted it.
    pub from_app: bool,
    /// The fallback text, as the app sent it.
    pub text: String,
    /// The blocks, with the `block_id`s that Slack adds.
    pub blocks: Vec<Value>,
    /// Metadata that the app attached.
    pub metadata: Option<Value>,
    /// When it was last edited (a timestamp).
    pub edited: Option<String>,
    /// How often it was edited.
    pub edits: u32,
    /// The only user who sees it, if it is ephemeral.
    pub visible_to: Option<String>,
}

/// A button on a message or in a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Button {
    /// Its `action_id`.
    pub action_id: String,
    /// The block that it is in.
    pub block_id: String,
    /// Its label.
    pub text: String,
    /// Its `value`.
    pub value: String,
    /// `primary`, `danger` or nothing.
    pub style: String,
    /// The page that it opens.
    pub url: String,
}

impl Message {
    /// All text that a person reads on it: the blocks' if there are any, else the fallback text.
    pub fn shown(&self) -> String {
        if self.blocks.is_empty() {
            return self.text.clone();
        }
        let mut lines = Vec::new();
        for block in &self.blocks {
            collect_text(block, &mut lines);
        }
        lines.join("\n")
    }

    /// Its buttons, in the order in which they appear.
    pub fn buttons(&self) -> Vec<Button> {
        buttons(&self.blocks)
    }

    /// The button with this `action_id`.
    pub fn button(&self, action_id: &str) -> Option<Button> {
        self.buttons().into_iter().find(|button| button.action_id == action_id)
    }

    /// The message object of responses and payloads.
    pub(super) fn to_json(&self, team: &Team, app: &App) -> Value {
        let mut message = json!({
            "type": "message", "user": self.user, "text": self.text, "ts": self.ts, "team": team.id,
        });
        if self.from_app {
            message["bot_id"] = json!(app.bot_id);
            message["app_id"] = json!(app.id);
            message["bot_profile"] = bot_profile(team, app);
        }
        if !self.blocks.is_empty() {
            message["blocks"] = json!(self.blocks);
        }
        if let Some(metadata) = &self.metadata {
            message["metadata"] = metadata.clone();
        }
        if let Some(thread) = &self.thread_ts {
            message["thread_ts"] = json!(thread);
            message["parent_user_id"] = json!(self.user);
        }
        if let Some(edited) = &self.edited {
            message["edited"] = json!({"user": self.user, "ts": edited});
        }
        message
    }
}

fn bot_profile(team: &Team, app: &App) -> Value {
    json!({
        "id": app.bot_id, "app_id": app.id, "user_id": app.bot_user_id, "name": app.name, "deleted": false,
        "updated": 1_700_000_000, "team_id": team.id,
        "icons": {
            "image_36": "https://a.slack-edge.com/80588/img/plugins/app/bot_36.png",
            "image_48": "https://a.slack-edge.com/80588/img/plugins/app/bot_48.png",
            "image_72": "https://a.slack-edge.com/80588/img/plugins/app/service_72.png",
        },
    })
}

/// The buttons among `blocks`, in the order in which they appear.
pub(super) fn buttons(blocks: &[Value]) -> Vec<Button> {
    elements(blocks)
        .filter(|(_, element)| element["type"] == "button")
        .map(|(block_id, element)| Button {
            action_id: word(element, "action_id"),
            block_id: block_id.to_owned(),
            text: element["text"]["text"].as_str().unwrap_or_default().to_owned(),
            value: word(element, "value"),
            style: word(element, "style"),
            url: word(element, "url"),
        })
        .collect()
}

/// The interactive elements among `blocks`, each with its block's id.
pub(super) fn elements(blocks: &[Value]) -> impl Iterator<Item = (&str, &Value)> {
    blocks.iter().flat_map(|block| {
        let block_id = block["block_id"].as_str().unwrap_or_default();
        let row = if block["type"] == "actions" { block["elements"].as_array() } else { None };
        let single = ["accessory", "element"].into_iter().filter_map(|key| block.get(key));
        row.into_iter().flatten().chain(single).map(move |element| (block_id, element))
    })
}

fn word(element: &Value, key: &str) -> String {
    element[key].as_str().unwrap_or_default().to_owned()
}

/// Collects every `text` that is shown, in order, buttons' labels last within their block.
fn collect_text(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let Some(text) = object.get("text").and_then(Value::as_str) {
                lines.push(text.to_owned());
            }
            for (key, inner) in without_hidden(object) {
                if key != "text" || inner.is_object() {
                    collect_text(inner, lines);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_text(item, lines)),
        _ => {}
    }
}

/// What a person sees without pressing anything: no confirmation dialogs, no menus.
fn without_hidden(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.iter().filter(|(key, _)| !matches!(key.as_str(), "confirm" | "options" | "option_groups"))
}

/// A modal or home view.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// `V…`
    pub id: String,
    /// Who sees it.
    pub user: String,
    /// The view as the app gave it, with the ids that Slack adds.
    pub content: Value,
    /// Changes with every update.
    pub hash: String,
    /// The view below it in the stack.
    pub previous_view_id: Option<String>,
    /// The bottom of the stack.
    pub root_view_id: String,
    /// What the app said is wrong, by block id.
    pub errors: Map<String, Value>,
}

impl View {
    /// The `callback_id`, or nothing.
    pub fn callback_id(&self) -> &str {
        self.content["callback_id"].as_str().unwrap_or_default()
    }

    /// Its blocks.
    pub fn blocks(&self) -> &[Value] {
        self.content["blocks"].as_array().map_or(&[], Vec::as_slice)
    }

    /// All text that a person reads in it.
    pub fn shown(&self) -> String {
        let mut lines = Vec::new();
        for part in ["title", "blocks", "submit", "close"] {
            collect_text(&self.content[part], &mut lines);
        }
        lines.join("\n")
    }

    /// The view object of responses and payloads, <https://docs.slack.dev/reference/views>.
    pub(super) fn to_json(&self, team: &Team, app: &App, values: Value) -> Value {
        let mut view = self.content.clone();
        let fixed = json!({
            "id": self.id, "team_id": team.id, "app_id": app.id, "app_installed_team_id": team.id,
            "bot_id": app.bot_id, "hash": self.hash, "previous_view_id": self.previous_view_id,
            "root_view_id": self.root_view_id, "state": {"values": values},
        });
        let defaults = json!({
            "private_metadata": "", "callback_id": "", "external_id": "", "clear_on_close": false,
            "notify_on_close": false, "close": null, "submit": null,
        });
        if let (Some(view), Value::Object(fixed), Value::Object(defaults)) = (view.as_object_mut(), fixed, defaults) {
            view.extend(fixed);
            for (key, default) in defaults {
                view.entry(key).or_insert(default);
            }
        }
        view
    }
}
