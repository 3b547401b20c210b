//! The files that the gateway starts from: `countersign.toml`, its secrets, the policies.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::SlackAccess;
use crate::{
    database::Login,
    files::write_secret,
    idp::CLIENT,
    people::{People, Workload},
};

/// The demo's policies, by file name.
pub const POLICIES: [(&str, &str); 4] = [
    ("10-read.cedar", include_str!("policy/10-read.cedar")),
    ("20-write.cedar", include_str!("policy/20-write.cedar")),
    ("30-schema.cedar", include_str!("policy/30-schema.cedar")),
    ("40-people.cedar", include_str!("policy/40-people.cedar")),
];

/// What the config says.
#[derive(Debug)]
pub(super) struct Configuration<'a> {
    pub(super) listen: SocketAddr,
    pub(super) control: SocketAddr,
    pub(super) issuer: &'a str,
    pub(super) people: &'a People,
    pub(super) upstream: &'a Login,
    pub(super) slack: Option<&'a SlackAccess>,
}

/// A text in TOML's quotes; JSON's are a subset of them.
fn quoted(text: &str) -> String {
    json!(text).to_string()
}

impl Configuration<'_> {
    /// Writes everything into `folder`, and tells where the config is. Policies that are there
    /// stay as they are: somebody may have tried something.
    pub(super) fn write(&self, folder: &Path) -> io::Result<PathBuf> {
        let secrets = folder.join("secrets");
        fs::create_dir_all(&secrets)?;
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o700))?;
        let upstream = self.upstream.password.reveal();
        if !upstream.is_empty() {
            write_secret(&secrets.join("shop.password"), upstream)?;
        }
        if let Some(slack) = self.slack {
            write_secret(&secrets.join("slack-app.token"), slack.app_token.reveal())?;
            write_secret(&secrets.join("slack-bot.token"), slack.bot_token.reveal())?;
        }
        let policy = folder.join("policy");
        if !policy.exists() {
            fs::create_dir(&policy)?;
            POLICIES.iter().try_for_each(|(name, text)| fs::write(policy.join(name), text))?;
        }
        let file = folder.join("countersign.toml");
        fs::write(&file, self.text())?;
        Ok(file)
    }

    fn text(&self) -> String {
        let parts = [
            "# Written by `countersign demo` at each start; the policies beside it are yours to change.\n".to_owned(),
            self.gateway(),
            self.identity(),
            self.people.workloads.iter().map(|workload| self.agent(workload)).collect(),
            self.connection(),
            self.slack(),
        ];
        parts.concat()
    }

    fn gateway(&self) -> String {
        format!(
            r#"
[gateway]
listen  = "{}"
control = "{}"
state   = "sqlite://countersign.db"
records = "file://./records"
policy  = "policy"
hold_timeout = "15m"
hold_timeout_in_transaction = "2m"
"#,
            self.listen, self.control
        )
    }

    fn identity(&self) -> String {
        format!(
            r#"
[[identity]]
issuer   = {}
audience = "{CLIENT}"
domains  = ["acme.dev"]
groups   = ["*"]
"#,
            quoted(self.issuer)
        )
    }

    fn agent(&self, workload: &Workload) -> String {
        let Workload { name, subject, owner } = workload;
        format!(
            r"
[[agent]]
name    = {}
issuer  = {}
subject = {}
owner   = {}
",
            quoted(name),
            quoted(self.issuer),
            quoted(subject),
            quoted(owner)
        )
    }

    fn connection(&self) -> String {
        let password = if self.upstream.password.reveal().is_empty() {
            ""
        } else {
            "password = { file = \"secrets/shop.password\" }\n"
        };
        let channel = self.slack.map(|slack| format!("channel  = {}\n", quoted(&slack.channel))).unwrap_or_default();
        format!(
            r#"
[[connection]]
name     = "shop"
upstream = {}
{password}tags     = {{ env = "demo" }}
{channel}"#,
            quoted(&self.upstream.url())
        )
    }

    fn slack(&self) -> String {
        self.slack.map_or_else(String::new, |slack| {
            format!(
                r#"
[slack]
app_token = {{ file = "secrets/slack-app.token" }}
bot_token = {{ file = "secrets/slack-bot.token" }}
channel   = {}
api_url   = {}
"#,
                quoted(&slack.channel),
                quoted(slack.api_url.as_str())
            )
        })
    }
}
