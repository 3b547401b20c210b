//! Who and what is in the workspace when it starts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the workspace hands interactions to the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Over the websocket that `apps.connections.open` returns.
    Socket,
    /// As signed POSTs to `{request_url}/slack/interactive`, `/slack/commands` and `/slack/events`.
    Http {
        /// Where the app listens, without a trailing slash.
        request_url: String,
    },
}

/// Everything that a workspace is made of. Start from `WorkspaceConfig::default()` and change what matters.
#[derive(Clone)]
pub struct WorkspaceConfig {
    /// Where to listen; port 0 picks a free one.
    pub addr: SocketAddr,
    /// The workspace's own team.
    pub team: Team,
    /// The one app that is installed in it.
    pub app: App,
    /// Everybody in it, except the app's bot user, which is added.
    pub people: Vec<Person>,
    /// Its channels. Direct messages are opened when first used.
    pub channels: Vec<Channel>,
    /// Its user groups (`@dba`).
    pub usergroups: Vec<Usergroup>,
    /// Slash commands that the app has declared, with the slash.
    pub commands: Vec<String>,
    /// Events that the app is subscribed to (`app_home_opened`, `message.im`, `user_change`, ...).
    pub events: Vec<String>,
    /// Scopes of the bot token. A method whose scope is missing answers `missing_scope`.
    pub scopes: Vec<String>,
    /// The `xoxb-` token.
    pub bot_token: String,
    /// The `xapp-` token, for Socket Mode.
    pub app_token: String,
    /// The secret that signs requests in HTTP mode.
    pub signing_secret: String,
    /// How interactions are delivered.
    pub mode: Mode,
    /// How long the app has to acknowledge. Slack's own is three seconds.
    pub ack_within: Duration,
    /// How long a `trigger_id` opens a view. Slack's own is three seconds.
    pub trigger_lives: Duration,
    /// How long a `response_url` works. Slack's own is half an hour.
    pub response_url_lives: Duration,
    /// After how long an event that was not acknowledged is sent again. Slack's own: at once, a minute, five minutes.
    pub event_retries: Vec<Duration>,
}

impl Default for WorkspaceConfig {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            team: Team { id: "T0ACME0001".into(), name: "Acme".into(), domain: "acme".into() },
            app: App {
                id: "A0COUNTER1".into(),
                name: "Countersign".into(),
                bot_user_id: "U0BOT00001".into(),
                bot_id: "B0BOT00001".into(),
            },
            people: Vec::new(),
            channels: Vec::new(),
            usergroups: Vec::new(),
            commands: vec!["/access".into()],
            events: Vec::new(),
            scopes: ALL_SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
            bot_token: "xoxb-stand-in-bot-token".into(),
            app_token: "xapp-stand-in-app-token".into(),
            signing_secret: "8f742231b10e8888abcd99yyyzzz85a5".into(),
            mode: Mode::Socket,
            ack_within: Duration::from_secs(3),
            trigger_lives: Duration::from_secs(3),
            response_url_lives: Duration::from_mins(30),
            event_retries: vec![Duration::ZERO, Duration::from_mins(1), Duration::from_mins(5)],
        }
    }
}

/// Every scope that some method of the stand-in asks for.
pub const ALL_SCOPES: &[&str] = &[
    "chat:write",
    "commands",
    "users:read",
    "users:read.email",
    "usergroups:read",
    "im:write",
    "im:read",
    "channels:read",
    "groups:read",
    "channels:history",
    "groups:history",
    "im:history",
    "files:write",
];

/// A workspace's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Team {
    /// `T…`
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The part before `.slack.com`.
    pub domain: String,
}

/// The installed app and its bot user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct App {
    /// `A…`
    pub id: String,
    /// The name beside its messages.
    pub name: String,
    /// The bot's `U…`, author of what it posts.
    pub bot_user_id: String,
    /// The bot's `B…`.
    pub bot_id: String,
}

/// A member of the workspace, with the flags by which an app tells a colleague from a stranger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// `U…`
    pub id: String,
    /// Their team when it is not the workspace's own (Slack Connect).
    #[serde(default)]
    pub team_id: Option<String>,
    /// The handle, `ana`.
    pub name: String,
    /// The full name, `Ana Fernandes`.
    pub real_name: String,
    /// The profile's e-mail; withheld from apps for strangers and without the scope `users:read.email`.
    #[serde(default)]
    pub email: String,
    /// An IANA time zone.
    #[serde(default = "utc")]
    pub tz: String,
    /// Deactivated.
    #[serde(default)]
    pub deleted: bool,
    /// A bot user.
    #[serde(default)]
    pub is_bot: bool,
    /// A multi-channel guest.
    #[serde(default)]
    pub is_restricted: bool,
    /// A single-channel guest.
    #[serde(default)]
    pub is_ultra_restricted: bool,
    /// From another workspace, seen through a shared channel.
    #[serde(default)]
    pub is_stranger: bool,
    /// A workspace admin.
    #[serde(default)]
    pub is_admin: bool,
}

fn utc() -> String {
    "Etc/UTC".to_owned()
}

impl Person {
    /// An ordinary full member.
    pub fn new(id: &str, name: &str, real_name: &str, email: &str) -> Self {
        Self {
            id: id.into(),
            team_id: None,
            name: name.into(),
            real_name: real_name.into(),
            email: email.into(),
            tz: utc(),
            deleted: false,
            is_bot: false,
            is_restricted: false,
            is_ultra_restricted: false,
            is_stranger: false,
            is_admin: false,
        }
    }

    /// The user object of `users.info`, <https://docs.slack.dev/reference/objects/user-object>.
    pub(super) fn to_json(&self, team: &Team, with_email: bool) -> Value {
        let team_id = self.team_id.as_deref().unwrap_or(&team.id);
        let mut names = self.real_name.splitn(2, ' ');
        let mut user = json!({
            "id": self.id, "team_id": team_id, "name": self.name, "deleted": self.deleted, "color": "9f69e7",
            "real_name": self.real_name, "tz": self.tz, "tz_label": self.tz, "tz_offset": 0,
            "profile": {
                "title": "", "phone": "", "skype": "", "real_name": self.real_name,
                "real_name_normalized": self.real_name, "display_name": self.name,
                "display_name_normalized": self.name, "fields": {}, "status_text": "", "status_emoji": "",
                "status_expiration": 0, "avatar_hash": "g0000000",
                "first_name": names.next().unwrap_or_default(), "last_name": names.next().unwrap_or_default(),
                "team": team_id,
            },
            "is_admin": self.is_admin, "is_owner": false, "is_primary_owner": false,
            "is_restricted": self.is_restricted, "is_ultra_restricted": self.is_ultra_restricted,
            "is_bot": self.is_bot, "is_app_user": false, "is_stranger": self.is_stranger,
            "updated": 1_700_000_000, "is_email_confirmed": true, "who_can_share_contact_card": "EVERYONE",
        });
        if with_email && !self.is_stranger && !self.is_bot {
            user["profile"]["email"] = json!(self.email);
        }
        user
    }
}

/// A channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// `C…`, or `D…` for a direct message.
    pub id: String,
    /// Its name without `#`.
    pub name: String,
    /// Who is in it; `None` means everybody, the bot included.
    pub members: Option<Vec<String>>,
    /// Private channels are hidden from who is not in them.
    pub is_private: bool,
    /// Nothing can be posted to an archived channel.
    pub is_archived: bool,
    /// The other person, for a direct message with the app.
    pub direct_with: Option<String>,
}

impl Channel {
    /// A public channel with everybody in it.
    pub fn public(id: &str, name: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            members: None,
            is_private: false,
            is_archived: false,
            direct_with: None,
        }
    }

    pub(super) fn direct(id: String, person: &str, bot: &str) -> Self {
        Self {
            id,
            name: "directmessage".into(),
            members: Some(vec![person.to_owned(), bot.to_owned()]),
            is_private: true,
            is_archived: false,
            direct_with: Some(person.to_owned()),
        }
    }

    /// Whether `user` is in the channel.
    pub fn has(&self, user: &str) -> bool {
        self.members.as_ref().is_none_or(|members| members.iter().any(|member| member == user))
    }

    /// The conversation object, <https://docs.slack.dev/reference/objects/conversation-object>.
    pub(super) fn to_json(&self, bot: &str) -> Value {
        if let Some(person) = &self.direct_with {
            return json!({
                "id": self.id, "created": 1_700_000_000, "is_im": true, "is_org_shared": false, "user": person,
                "is_archived": self.is_archived, "is_user_deleted": false, "is_open": true, "priority": 0,
            });
        }
        json!({
            "id": self.id, "name": self.name, "name_normalized": self.name, "created": 1_700_000_000,
            "creator": "U0ADMIN001", "is_channel": !self.is_private, "is_group": self.is_private, "is_im": false,
            "is_mpim": false, "is_private": self.is_private, "is_archived": self.is_archived, "is_general": false,
            "is_shared": false, "is_org_shared": false, "is_ext_shared": false, "is_member": self.has(bot),
            "topic": {"value": "", "creator": "", "last_set": 0},
            "purpose": {"value": "", "creator": "", "last_set": 0}, "previous_names": [],
        })
    }
}

/// A user group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usergroup {
    /// `S…`
    pub id: String,
    /// What follows the `@`.
    pub handle: String,
    /// The long name.
    pub name: String,
    /// Its members' ids.
    pub users: Vec<String>,
    /// A disabled group answers only when asked for disabled ones.
    pub disabled: bool,
}

impl Usergroup {
    /// A group of these users.
    pub fn new(id: &str, handle: &str, name: &str, users: &[&str]) -> Self {
        Self {
            id: id.into(),
            handle: handle.into(),
            name: name.into(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            disabled: false,
        }
    }

    /// The user group object, <https://docs.slack.dev/reference/objects/usergroup-object>.
    pub(super) fn to_json(&self, team: &Team, with_users: bool) -> Value {
        let mut group = json!({
            "id": self.id, "team_id": team.id, "is_usergroup": true, "is_subteam": true, "name": self.name,
            "description": "", "handle": self.handle, "is_external": false, "date_create": 1_700_000_000,
            "date_update": 1_700_000_000, "date_delete": i64::from(self.disabled) * 1_700_000_000,
            "auto_type": null, "auto_provision": false, "enterprise_subteam_id": "", "created_by": "U0ADMIN001",
            "updated_by": "U0ADMIN001", "deleted_by": null, "prefs": {"channels": [], "groups": []},
            "user_count": self.users.len(), "channel_count": 0,
        });
        if with_users {
            group["users"] = json!(self.users);
        }
        group
    }
}
