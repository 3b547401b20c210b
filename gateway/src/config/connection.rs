//! `[[connection]]` and `[[role]]`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    CardContent, ConnectionConfig, Durability, Mode, OnHold, RoleConfig, Whose, classify,
    reader::{Document, Table, nearest},
    secrets::secret,
    upstream, values,
};
use crate::{
    log::seal::{SealSecret, read_secret},
    statement::guard::Tolerance,
};

pub(super) fn read(tables: &[Table<'_>]) -> BTreeMap<String, ConnectionConfig> {
    let mut all = BTreeMap::new();
    for table in tables {
        if let Some(one) = connection(table)
            && let Some(other) = all.insert(one.name.clone(), one)
        {
            let message = format!("there are two connections named {:?}", other.name);
            table.doc.problem(table.at, message, "rename one");
        }
    }
    all
}

fn connection(table: &Table<'_>) -> Option<ConnectionConfig> {
    table.must("name", "what clients say as dbname");
    let name = table.read("name", values::name);
    let upstream = upstream::read(table);
    let logins = upstream::logins(table);
    let tags = table.table("tags").map(|tags| tags.all_texts().into_iter().collect()).unwrap_or_default();
    let mode =
        table.read_or("mode", Mode::Enforce, values::one_of(&[("enforce", Mode::Enforce), ("observe", Mode::Observe)]));
    let durability = table.read_or(
        "durability",
        Durability::Relaxed,
        values::one_of(&[("relaxed", Durability::Relaxed), ("strict", Durability::Strict)]),
    );
    let channel = table.text("channel").map(|found| found.value.to_owned());
    let card = table.read_or(
        "card",
        CardContent::Full,
        values::one_of(&[
            ("full", CardContent::Full),
            ("redacted", CardContent::Redacted),
            ("auto", CardContent::Auto),
        ]),
    );
    let on_hold =
        table.read_or("on_hold", OnHold::Wait, values::one_of(&[("wait", OnHold::Wait), ("retry", OnHold::Retry)]));
    let row_tolerance = table.read("row_tolerance", row_tolerance).map(|found| found.value).unwrap_or_default();
    let record_rows = table.number("record_rows", 0..=10_000).unwrap_or_default();
    let denials = table.number("denials", 1..=10).and_then(|count| u32::try_from(count).ok()).unwrap_or(1);
    let seal = seal(table);
    let days = Duration::from_secs(86_400)..=Duration::from_secs(36_500 * 86_400);
    let record_keep = table.read("record_keep", values::duration(days)).map(|found| found.value);
    if record_keep.is_some() && table.get("seal").is_none() {
        let hint =
            "entries stay as long as the log does; sealed ones end with their keys: seal = { file = \"shop.seal\" }";
        table.doc.problem(table.at, "`record_keep` is for records that are sealed", hint);
    }
    let (classify, on_doubt) = classify::read(table);
    table.finish();
    let (name, upstream) = (name?.value, upstream?);
    Some(ConnectionConfig {
        name,
        upstream,
        logins,
        tags,
        mode,
        channel,
        card,
        durability,
        row_tolerance,
        denials,
        seal,
        record_keep,
        record_rows,
        on_hold,
        classify,
        on_doubt,
    })
}

/// What records are sealed with.
pub(super) fn seal(table: &Table<'_>) -> Option<SealSecret> {
    let text = secret(table, "seal")?;
    let read = read_secret(text.reveal());
    if read.is_none() {
        let hint = "make one: openssl rand -base64 32";
        table.doc.problem(table.at, "`seal` must be 32 bytes in base64", hint);
    }
    read
}

/// `10`, `5%`, `10 or 5%`.
fn row_tolerance(text: &str) -> Result<Tolerance, String> {
    let bad = || "write \"10 or 5%\"".to_owned();
    let number = |text: &str| text.trim().parse::<u32>().map(u64::from).map_err(|_| bad());
    let (mut rows, mut percent) = (None, None);
    for part in text.split(" or ").map(str::trim) {
        let (place, value) = match part.strip_suffix('%') {
            Some(share) => {
                (&mut percent, number(share).and_then(|share| if share <= 100 { Ok(share) } else { Err(bad()) })?)
            }
            None => (&mut rows, number(part)?),
        };
        if place.replace(value).is_some() {
            return Err(bad());
        }
    }
    Ok(Tolerance { rows: rows.unwrap_or(0), percent: percent.unwrap_or(0) })
}

pub(super) fn roles(tables: &[Table<'_>]) -> Vec<RoleConfig> {
    let mut all: Vec<RoleConfig> = Vec::new();
    for table in tables {
        table.must("name", "what /access gives: \"shop-writer\"");
        let name = table.read("name", values::name).map(|found| found.value);
        table.must("max_duration", "the longest grant: \"8h\"");
        let within = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);
        let max_duration = table.read("max_duration", values::duration(within)).map(|found| found.value);
        table.finish();
        let (Some(name), Some(max_duration)) = (name, max_duration) else { continue };
        if all.iter().any(|other| other.name == name) {
            table.doc.problem(table.at, format!("there are two roles named {name:?}"), "rename one");
        }
        all.push(RoleConfig { name, max_duration });
    }
    all
}

/// A login for a role that nobody can have would never be used.
pub(super) fn roles_are_known(doc: &Document, connections: &BTreeMap<String, ConnectionConfig>, roles: &[RoleConfig]) {
    for rule in connections.values().flat_map(|connection| &connection.logins) {
        let Whose::Role(role) = &rule.whose else { continue };
        if roles.iter().any(|known| known.name == *role) {
            continue;
        }
        let hint = match nearest(role, roles.iter().map(|role| role.name.as_str())) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("add [[role]] name = {role:?}, or name a `group`"),
        };
        doc.problem(rule.at, format!("`logins` names the role {role:?}, and there is no such [[role]]"), &hint);
    }
}
