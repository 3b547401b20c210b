//! The workspace's memory: one value behind one lock. Nothing here waits or does I/O.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::api::files::File;
use super::config::{App, Channel, Mode, Person, Team, Usergroup, WorkspaceConfig};
use super::message::{Message, View};

/// Everything that changes.
pub(super) struct State {
    pub config: WorkspaceConfig,
    pub base: String,
    pub messages: Vec<Message>,
    pub ephemerals: Vec<Message>,
    pub views: Vec<View>,
    pub homes: HashMap<String, View>,
    pub triggers: HashMap<String, Trigger>,
    pub response_urls: HashMap<String, ResponseUrl>,
    pub tickets: Vec<String>,
    pub connections: Vec<Connection>,
    pub next_connection: usize,
    pub awaited: HashMap<String, Awaited>,
    pub faults: HashMap<String, VecDeque<Fault>>,
    pub calls: Vec<Call>,
    pub acks: Vec<Value>,
    pub notices: Vec<Notice>,
    pub files: Vec<File>,
    pub is_down: bool,
    last_ts: i64,
}

/// The right to open one view, soon.
pub(super) struct Trigger {
    pub user: String,
    pub expires: Instant,
    /// The view that it was made in, so that `views.push` knows its stack.
    pub view: Option<String>,
    pub used: bool,
}

/// A place to answer to, five times within half an hour.
pub(super) struct ResponseUrl {
    pub channel: String,
    pub user: String,
    /// The message that was acted on, if one was.
    pub original: Option<String>,
    pub expires: Instant,
    pub uses_left: u8,
}

/// A live websocket.
pub(super) struct Connection {
    pub id: Uuid,
    pub out: mpsc::UnboundedSender<Outgoing>,
    /// It was told to reconnect and gets nothing new.
    pub retiring: bool,
}

/// What the server writes to a websocket.
pub(super) enum Outgoing {
    Text(Value),
    Close,
}

/// Somebody waits for the acknowledgement of an envelope.
pub(super) struct Awaited {
    pub connection: Uuid,
    pub answer: oneshot::Sender<Value>,
}

/// A failure that a test ordered.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    RateLimited { retry_after: u64 },
    Error(String),
    Status(u16),
    Unanswered,
}

/// One call of the Web API or of a `response_url`. Tokens are not kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Call {
    /// `chat.postMessage`, or `response_url`.
    pub method: String,
    /// The arguments, without tokens.
    pub arguments: Value,
    /// `ok`, or Slack's error word.
    pub outcome: String,
}

/// Something that Slack itself tells a user: that the app failed, or that a command does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// Who is told.
    pub user: String,
    /// Where, if it belongs to a channel.
    pub channel: Option<String>,
    /// What they read.
    pub text: String,
    /// When (a timestamp).
    pub ts: String,
}

impl State {
    pub fn new(mut config: WorkspaceConfig, base: String) -> Self {
        let app = &config.app;
        if !config.people.iter().any(|person| person.id == app.bot_user_id) {
            let mut bot = Person::new(&app.bot_user_id, &app.name.to_lowercase(), &app.name, "");
            bot.is_bot = true;
            config.people.push(bot);
        }
        Self {
            config,
            base,
            messages: Vec::new(),
            ephemerals: Vec::new(),
            views: Vec::new(),
            homes: HashMap::new(),
            triggers: HashMap::new(),
            response_urls: HashMap::new(),
            tickets: Vec::new(),
            connections: Vec::new(),
            next_connection: 0,
            awaited: HashMap::new(),
            faults: HashMap::new(),
            calls: Vec::new(),
            acks: Vec::new(),
            notices: Vec::new(),
            files: Vec::new(),
            is_down: false,
            last_ts: 0,
        }
    }

    pub fn team(&self) -> &Team {
        &self.config.team
    }

    pub fn app(&self) -> &App {
        &self.config.app
    }

    pub fn mode(&self) -> &Mode {
        &self.config.mode
    }

    pub fn person(&self, id: &str) -> Option<&Person> {
        self.config.people.iter().find(|person| person.id == id)
    }

    pub fn channel(&self, id: &str) -> Option<&Channel> {
        self.config.channels.iter().find(|channel| channel.id == id)
    }

    pub fn usergroup(&self, id: &str) -> Option<&Usergroup> {
        self.config.usergroups.iter().find(|group| group.id == id)
    }

    pub fn message(&self, channel: &str, ts: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.channel == channel && message.ts == ts)
    }

    pub fn message_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|message| message.channel == channel && message.ts == ts)
    }

    pub fn view(&self, id: &str) -> Option<&View> {
        self.views.iter().find(|view| view.id == id).or_else(|| self.homes.values().find(|view| view.id == id))
    }

    /// A timestamp later than every earlier one: seconds, a dot, microseconds.
    pub fn fresh_ts(&mut self) -> String {
        self.last_ts = Utc::now().timestamp_micros().max(self.last_ts + 1);
        format!("{}.{:06}", self.last_ts / 1_000_000, self.last_ts % 1_000_000)
    }

    /// The direct message between `user` and the app, opened if it was not. The flag says whether it was.
    pub fn direct_message(&mut self, user: &str) -> (String, bool) {
        if let Some(channel) = self.config.channels.iter().find(|channel| channel.direct_with.as_deref() == Some(user))
        {
            return (channel.id.clone(), true);
        }
        let id = fresh_id('D');
        let channel = Channel::direct(id.clone(), user, &self.config.app.bot_user_id);
        self.config.channels.push(channel);
        (id, false)
    }

    /// A `trigger_id` with which the app may open one view for `user`.
    pub fn grant_trigger(&mut self, user: &str, view: Option<&str>) -> String {
        let id = format!("{}.{}.{}", Utc::now().timestamp_millis(), 4_000_000_000_u32, Uuid::new_v4().simple());
        let expires = Instant::now() + self.config.trigger_lives;
        let trigger = Trigger { user: user.to_owned(), expires, view: view.map(str::to_owned), used: false };
        self.triggers.insert(id.clone(), trigger);
        id
    }

    /// A `response_url` for what `user` just did in `channel`.
    pub fn grant_response_url(&mut self, kind: &str, user: &str, channel: &str, original: Option<&str>) -> String {
        let key = format!("{}/{}", Utc::now().timestamp_micros(), Uuid::new_v4().simple());
        let response = ResponseUrl {
            channel: channel.to_owned(),
            user: user.to_owned(),
            original: original.map(str::to_owned),
            expires: Instant::now() + self.config.response_url_lives,
            uses_left: 5,
        };
        self.response_urls.insert(key.clone(), response);
        format!("{}/{kind}/{}/{key}", self.base, self.config.team.id)
    }

    /// Removes and returns the failure that is ordered for this call, if one is.
    pub fn take_fault(&mut self, method: &str) -> Option<Fault> {
        [method, "*"].iter().find_map(|name| self.faults.get_mut(*name)?.pop_front())
    }

    pub fn order_fault(&mut self, method: &str, times: usize, fault: &Fault) {
        self.faults.entry(method.to_owned()).or_default().extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub fn note_call(&mut self, method: &str, arguments: Value, outcome: &str) {
        self.calls.push(Call { method: method.to_owned(), arguments, outcome: outcome.to_owned() });
    }

    /// Tells `user` something in Slack's own name.
    pub fn notify(&mut self, user: &str, channel: Option<&str>, text: String) {
        let ts = self.fresh_ts();
        self.notices.push(Notice { user: user.to_owned(), channel: channel.map(str::to_owned), text, ts });
    }

    /// Adds a message of the app.
    pub fn post(&mut self, channel: &str, thread_ts: Option<String>, content: Content) -> Message {
        let message = Message {
            channel: channel.to_owned(),
            ts: self.fresh_ts(),
            thread_ts,
            user: self.config.app.bot_user_id.clone(),
            from_app: true,
            text: content.text,
            blocks: content.blocks,
            metadata: content.metadata,
            edited: None,
            edits: 0,
            visible_to: None,
        };
        self.messages.push(message.clone());
        message
    }

    /// Adds a message of the app that only `user` sees.
    pub fn post_ephemeral(&mut self, channel: &str, user: &str, content: Content) -> Message {
        let mut message = self.post(channel, None, content);
        self.messages.pop();
        message.visible_to = Some(user.to_owned());
        self.ephemerals.push(message.clone());
        message
    }

    /// Opens a view for `user`, above `below` if there is one.
    pub fn show_view(&mut self, user: &str, content: Value, below: Option<&str>) -> View {
        let id = fresh_id('V');
        let root = below.and_then(|id| self.view(id)).map_or_else(|| id.clone(), |view| view.root_view_id.clone());
        let view = View {
            id,
            user: user.to_owned(),
            content,
            hash: fresh_hash(),
            previous_view_id: below.map(str::to_owned),
            root_view_id: root,
            errors: Map::new(),
        };
        self.views.push(view.clone());
        view
    }

    /// Replaces a view's content in place.
    pub fn change_view(&mut self, id: &str, content: Value) -> Option<View> {
        let view = self.views.iter_mut().chain(self.homes.values_mut()).find(|view| view.id == id)?;
        view.content = content;
        view.hash = fresh_hash();
        view.errors = Map::new();
        Some(view.clone())
    }

    pub fn view_json(&self, view: &View) -> Value {
        view.to_json(self.team(), self.app(), json!({}))
    }

    pub fn message_json(&self, message: &Message) -> Value {
        message.to_json(self.team(), self.app())
    }
}

/// What the app puts into a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub text: String,
    pub blocks: Vec<Value>,
    pub metadata: Option<Value>,
}

/// An id of Slack's shape: a letter and ten capitals or digits.
pub(super) fn fresh_id(letter: char) -> String {
    let random = Uuid::new_v4().simple().to_string().to_uppercase();
    format!("{letter}0{}", random.chars().take(9).collect::<String>())
}

pub(super) fn fresh_hash() -> String {
    let random = Uuid::new_v4().simple().to_string();
    format!("{}.{}", Utc::now().timestamp(), random.chars().take(8).collect::<String>())
}

/// Whether a deadline lies ahead.
pub(super) fn is_alive(expires: Instant) -> bool {
    expires.saturating_duration_since(Instant::now()) > Duration::ZERO
}
