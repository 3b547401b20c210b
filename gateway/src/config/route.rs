//! `[[route]]`: whom a request that waits reaches, one after the other.

use std::{collections::BTreeMap, time::Duration};

use countersign_shared::secret::Secret;
use url::Url;

use super::{
    ConnectionConfig,
    reader::{Table, nearest},
    secrets::secret,
    values,
};

/// How much a request matters, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Reads, and access for a time.
    Low,
    /// Writes.
    Normal,
    /// Changes of the schema, of privileges, of what can't be seen; every row of a table; break-glass.
    High,
}

/// Hours in which a route is silent for what matters less than `below`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuietConfig {
    /// Hour and minute.
    pub from: (u8, u8),
    /// Hour and minute; the next day's where it is not after `from`.
    pub until: (u8, u8),
    /// An IANA name.
    pub timezone: String,
    /// What matters as much as this is told all the same.
    pub below: Severity,
}

/// `[[route]]`. Those that fit a connection are taken in the order of the file.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// For this connection alone.
    pub connection: Option<String>,
    /// For connections with this tag.
    pub tag: Option<(String, String)>,
    /// Where it is said; the connection's channel where there is none.
    pub channel: Option<String>,
    /// Who is mentioned there, `S…`.
    pub usergroup: Option<String>,
    /// Who is called by HTTP: an on-call service. Its address is a secret.
    pub webhook: Option<Secret<String>>,
    /// So long it waits here before the next one is reached, too.
    pub escalate_after: Option<Duration>,
    /// When it is silent for what matters less.
    pub quiet: Option<QuietConfig>,
}

impl RouteConfig {
    /// Whether it is for this connection.
    #[must_use]
    pub fn fits(&self, connection: &ConnectionConfig) -> bool {
        let named = self.connection.as_ref().is_none_or(|name| *name == connection.name);
        named && self.tag.as_ref().is_none_or(|(key, value)| connection.tags.get(key) == Some(value))
    }
}

fn id(text: &str, first: char, what: &str) -> Result<String, String> {
    let fits =
        text.starts_with(first) && text.len() > 1 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if fits { Ok(text.to_owned()) } else { Err(format!("write the id of {what}: \"{first}0123456789\"")) }
}

pub(super) fn read(tables: &[Table<'_>], connections: &BTreeMap<String, ConnectionConfig>) -> Vec<RouteConfig> {
    tables.iter().map(|table| one(table, connections)).collect()
}

fn one(table: &Table<'_>, connections: &BTreeMap<String, ConnectionConfig>) -> RouteConfig {
    let connection = table.read("connection", |text| {
        if connections.contains_key(text) {
            return Ok(text.to_owned());
        }
        let near = nearest(text, connections.keys().map(String::as_str));
        Err(near.map_or_else(|| "name a [[connection]]".to_owned(), |near| format!("did you mean {near:?}?")))
    });
    let tag = table.read("tag", |text| {
        let pair = text.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
        pair.ok_or_else(|| "write a tag and its value: \"env=prod\"".to_owned())
    });
    let channel = table.read("channel", |text| id(text, 'C', "a channel"));
    let usergroup = table.read("usergroup", |text| id(text, 'S', "a user group"));
    let webhook = secret(table, "webhook").filter(|address| {
        let good = Url::parse(address.reveal()).is_ok()
            && values::web_url(address.reveal().split('?').next().unwrap_or_default()).is_ok();
        if !good {
            let hint = "it begins with https://, and may be { env = \"…\" }";
            table.doc.problem(table.at, "the `webhook` of a [[route]] is no address", hint);
        }
        good
    });
    let within = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let escalate_after = table.read("escalate_after", values::duration(within));
    let quiet = table.table("quiet").and_then(|quiet| self::quiet(&quiet));
    table.finish();
    if channel.is_none() && usergroup.is_none() && table.get("webhook").is_none() {
        let hint = "add `channel`, `usergroup` or `webhook`";
        table.doc.problem(table.at, "a [[route]] reaches nobody", hint);
    }
    RouteConfig {
        connection: connection.map(|found| found.value),
        tag: tag.map(|found| found.value),
        channel: channel.map(|found| found.value),
        usergroup: usergroup.map(|found| found.value),
        webhook,
        escalate_after: escalate_after.map(|found| found.value),
        quiet,
    }
}

/// `{ from = "22:00", until = "07:00", timezone = "Europe/Berlin", below = "high" }`.
fn quiet(table: &Table<'_>) -> Option<QuietConfig> {
    let from = table.need("from", "when it begins: \"22:00\"");
    let until = table.need("until", "when it ends: \"07:00\"");
    let timezone = table.need("timezone", "a time zone of the IANA's list: \"Europe/Berlin\"");
    let below = table.read("below", |text| match text {
        "normal" => Ok(Severity::Normal),
        "high" => Ok(Severity::High),
        _ => Err("write \"normal\" or \"high\": what matters as much is told all the same".to_owned()),
    });
    table.finish();
    let (from, until, timezone) = (from?, until?, timezone?);
    let (Ok(from), Ok(until)) = (values::time_of_day(&from.value), values::time_of_day(&until.value)) else {
        table.doc.problem(table.at, "`quiet` has a time that is none", "write times of day: \"22:00\"");
        return None;
    };
    if from == until {
        table.doc.problem(table.at, "`quiet` begins when it ends", "leave it out, or write two different times");
        return None;
    }
    if jiff::tz::TimeZone::get(&timezone.value).is_err() {
        let hint = "name a time zone of the IANA's list: \"Europe/Berlin\"";
        table.doc.problem(table.at, "`quiet` names no time zone", hint);
        return None;
    }
    let below = below.map_or(Severity::High, |found| found.value);
    Some(QuietConfig { from, until, timezone: timezone.value, below })
}
