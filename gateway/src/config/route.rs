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
    }
}
