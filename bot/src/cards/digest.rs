//! The digest: what somebody should look at, with Revoke and Keep.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::api::{
    AccessDigest, DigestGrant, DigestPermission, DigestReview, DigestRole, DigestSecret, DigestToken, Finding,
    GrantView, KeepView,
};
use serde_json::Value;

use super::{
    access::{span, what},
    blocks::{self, Message},
    life,
    visible::{escaped, short},
};

/// How many grants a message shows; it has fifty blocks at most.
const SHOWN: usize = 18;
/// How many lines each of its lists has.
const LINES: usize = 12;

fn matters(digest: &AccessDigest) -> Vec<&DigestGrant> {
    digest.grants.iter().filter(|found| found.finding.matters()).collect()
}

fn idle_roles(digest: &AccessDigest) -> impl Iterator<Item = &DigestRole> {
    digest.roles.iter().filter(|role| role.finding.matters())
}

fn idle_permissions(digest: &AccessDigest) -> impl Iterator<Item = &DigestPermission> {
    digest.permissions.iter().filter(|one| one.finding.matters())
}

/// Whether there is nothing to look at.
#[must_use]
pub fn is_empty(digest: &AccessDigest) -> bool {
    matters(digest).is_empty()
        && idle_roles(digest).next().is_none()
        && idle_permissions(digest).next().is_none()
        && digest.tokens.is_empty()
        && digest.secrets.is_empty()
        && digest.agents.is_empty()
        && digest.sessions.is_empty()
        && digest.reviews.is_empty()
}

fn many(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What is not looked at, and why: unused is something else than not known.
fn rest(digest: &AccessDigest) -> String {
    let words = [
        (Finding::InUse, "in use"),
        (Finding::TooNew, "too new to tell"),
        (Finding::NoData, "older than the records, so that nothing is known"),
        (Finding::Kept, "kept for now"),
    ];
    let of = |findings: Vec<Finding>| {
        let count = |finding| findings.iter().filter(|found| **found == finding).count();
        let counted = words.into_iter().map(|(finding, words)| (count(finding), words));
        let counted = counted.filter(|(number, _)| *number > 0).map(|(number, words)| format!("{number} {words}"));
        counted.collect::<Vec<_>>().join(", ")
    };
    let grants = of(digest.grants.iter().map(|found| found.finding).collect());
    let mut parts = vec![if grants.is_empty() { "no other grants".to_owned() } else { grants }];
    for (what, counted) in [
        ("of roles", of(digest.roles.iter().map(|role| role.finding).collect())),
        ("of policy permissions", of(digest.permissions.iter().map(|one| one.finding).collect())),
    ] {
        if !counted.is_empty() {
            parts.push(format!("{what} {counted}"));
        }
    }
    parts.join("; ")
}

fn last(at: Option<DateTime<Utc>>, what: &str, now: DateTime<Utc>) -> String {
    at.map_or_else(|| format!("never {what}"), |at| format!("last {what} {} ago", ago(at, now)))
}

fn role_line(role: &DigestRole, now: DateTime<Utc>) -> String {
    let (given, used) = (last(role.last_given, "given", now), last(role.last_used, "used", now));
    format!("{}: {given}, {used}", short(&role.role, 63))
}

fn permission_line(one: &DigestPermission, now: DateTime<Utc>) -> String {
    let known = if one.last_used.is_none() {
        format!(" in the {} that it is watched", ago(one.since, now))
    } else {
        String::new()
    };
    format!("{}: {}{known}", short(&one.permission, 150), last(one.last_used, "used", now))
}

fn token_line(token: &DigestToken, now: DateTime<Utc>) -> String {
    let (who, on) = (short(&token.principal, 100), short(&token.connection, 63));
    let until = token.expires_at.format("%Y-%m-%d %H:%M UTC");
    format!("{who} on {on}, issued {} ago, until {until}: session {}", ago(token.issued_at, now), token.session)
}

fn secret_line(secret: &DigestSecret, now: DateTime<Utc>) -> String {
    let least = if secret.at_least { "at least " } else { "" };
    format!("{}, the same for {least}{}", short(&secret.what, 200), ago(secret.since, now))
}

fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span(now - at)
}

/// What is to be said of a grant.
fn finding(found: &DigestGrant, now: DateTime<Utc>) -> String {
    let grant = &found.grant;
    let until = format!("until {}", grant.expires_at.format("%Y-%m-%d %H:%M UTC"));
    match (found.finding, found.last_used) {
        (Finding::Stale, Some(last)) => format!("not used for {}; {until}", ago(last, now)),
        (Finding::NeverUsed, _) => format!("never used since {} ago; {until}", ago(grant.created_at, now)),
        (Finding::FarEnd, _) => format!("as good as without an end: {until}"),
        _ => until,
    }
}

fn row(found: &DigestGrant, now: DateTime<Utc>) -> Value {
    let grant = &found.grant;
    let owner = grant.owner.as_deref().map(|owner| format!(", an agent of {}", short(owner, 100))).unwrap_or_default();
    let by = if grant.approved_by.is_empty() {
        "given by policy".to_owned()
    } else {
        short(&format!("approved by {}", grant.approved_by.join(", ")), 200)
    };
    let kept = found
        .kept
        .as_ref()
        .map(|kept| format!(" Kept before by {}: {}", short(&kept.by, 100), short(&kept.reason, 200)));
    blocks::rich(vec![
        blocks::line(vec![
            blocks::bold(&what(grant)),
            blocks::plain(&format!(", {}{owner}: {}.", short(&grant.principal, 100), finding(found, now))),
        ]),
        blocks::line(vec![blocks::plain(&format!(
            "{}, {by}: {}{}",
            grant.id,
            short(&grant.reason, 300),
            kept.unwrap_or_default()
        ))]),
    ])
}

fn buttons(found: &DigestGrant, keep: bool) -> Value {
    let id = found.grant.id.as_str();
    let mut row = vec![blocks::button("revoke", if keep { "Revoke" } else { "Give back" }, Some("danger"), id)];
    if keep {
        row.push(blocks::button("keep", "Keep", None, id));
    }
    blocks::actions(&format!("grant:{id}"), row)
}

fn review_line(review: &DigestReview, now: DateTime<Utc>) -> String {
    let (who, on) = (short(&review.principal, 100), short(&review.connection, 63));
    format!("{}: {who} on {on}, {} ago: {}", review.request, ago(review.at, now), short(&review.reason, 200))
}

fn list(head: &str, mut lines: Vec<String>) -> Option<Value> {
    if lines.is_empty() {
        return None;
    }
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    let lines = lines.iter().map(|line| blocks::line(vec![blocks::plain(line)])).collect();
    Some(blocks::rich(vec![blocks::line(vec![blocks::bold(head)]), blocks::bullets(lines)]))
}

fn line(text: &str) -> Value {
    blocks::rich(vec![blocks::line(vec![blocks::plain(text)])])
}

/// The digest for the channel.
#[must_use]
pub fn message(digest: &AccessDigest) -> Message {
    let (now, found) = (digest.at, matters(digest));
    if is_empty(digest) {
        let text = format!("Access digest: nothing to look at; {}.", rest(digest));
        let blocks = std::iter::once(line(&text)).chain(checkpoint(digest)).collect();
        return Message { blocks, text };
    }
    let text = format!("Access digest: {} to look at.", many(found.len(), "grant"));
    let mut blocks = vec![blocks::header(&format!("Access digest, {}", now.format("%Y-%m-%d")))];
    for found in found.iter().take(SHOWN) {
        blocks.extend([row(found, now), buttons(found, true)]);
    }
    if found.len() > SHOWN {
        let more = format!("{} more are in the table in the thread only.", found.len() - SHOWN);
        blocks.push(line(&more));
    }
    let roles = idle_roles(digest).map(|role| role_line(role, now));
    let permissions = idle_permissions(digest).map(|one| permission_line(one, now));
    let tokens = digest.tokens.iter().map(|token| token_line(token, now));
    let secrets = digest.secrets.iter().map(|secret| secret_line(secret, now));
    let agents = digest.agents.iter().map(|agent| {
        format!("{}, of {}: {}", short(&agent.name, 100), short(&agent.owner, 100), short(&agent.why, 100))
    });
    let sessions = digest.sessions.iter().map(|session| {
        let (who, on) = (short(&session.principal, 100), short(&session.connection, 63));
        format!("{who} on {on}, for {}: {}", ago(session.started_at, now), session.id)
    });
    let reviews = digest.reviews.iter().map(|review| review_line(review, now));
    blocks.extend(list("Run by break-glass, and not reviewed", reviews.collect()));
    blocks.extend(list("Roles that nobody had or used in 30 days", roles.collect()));
    blocks.extend(list("Policy permissions that nobody used in 30 days", permissions.collect()));
    blocks.extend(list("Agents for whom nobody answers", agents.collect()));
    blocks.extend(list("Sessions of more than a day", sessions.collect()));
    blocks.extend(list("Tokens of more than a day that sessions rest on", tokens.collect()));
    blocks.extend(list("Secrets that were not changed in 90 days", secrets.collect()));
    let since = digest.recorded_since.format("%Y-%m-%d");
    let stale = span(TimeDelta::seconds(i64::try_from(digest.stale_after).unwrap_or(i64::MAX / 1_000)));
    blocks.push(line(&format!(
        "Besides: {}. Uses are recorded since {since}; a grant is stale after {stale} without one.",
        rest(digest)
    )));
    blocks.extend(checkpoint(digest));
    Message { text, blocks }
}

/// The log's newest checkpoint, for whoever wants to know later whether the log was rolled back.
fn checkpoint(digest: &AccessDigest) -> Option<Value> {
    let note = digest.checkpoint.as_deref()?;
    Some(blocks::rich(vec![
        blocks::line(vec![blocks::plain("The log's newest checkpoint, for `audit verify --checkpoint`:")]),
        blocks::code(note),
    ]))
}

/// The digest of one holder's own grants.
#[must_use]
pub fn own(found: &[&DigestGrant], digest: &AccessDigest) -> Message {
    let head = format!("You have {} that you may not need.", many(found.len(), "role"));
    let mut blocks = vec![blocks::rich(vec![blocks::line(vec![blocks::bold(&head)])])];
    for found in found.iter().take(SHOWN) {
        blocks.extend([row(found, digest.at), buttons(found, false)]);
    }
    if found.len() > SHOWN {
        blocks.push(line("There are more: /access status lists them."));
    }
    Message { text: escaped(&head), blocks }
}

/// In place of the buttons of a grant that somebody wants kept.
#[must_use]
pub fn kept(kept: &KeepView) -> Value {
    let until = kept.until.format("%Y-%m-%d");
    line(&format!("Kept until {until} by {}: {}", short(&kept.by, 100), short(&kept.reason, 300)))
}

/// In place of the buttons of a grant that has ended.
#[must_use]
pub fn gone(grant: &GrantView) -> Value {
    line(&format!("It {}.", life::how(grant)))
}

/// The digest as lines, for a terminal.
#[must_use]
pub fn lines(digest: &AccessDigest) -> String {
    let mut lines = Vec::new();
    for found in matters(digest) {
        let grant = &found.grant;
        lines.push(format!(
            "{}  {}  {}: {}",
            grant.id,
            short(&grant.principal, 100),
            what(grant),
            finding(found, digest.at)
        ));
    }
    lines.extend(
        idle_roles(digest).map(|role| format!("role {}: nobody had or used it in 30 days", short(&role.role, 63))),
    );
    lines.extend(idle_permissions(digest).map(|one| format!("permission {}", permission_line(one, digest.at))));
    let agents = digest.agents.iter();
    lines.extend(
        agents
            .map(|agent| format!("agent {}, of {}: {}", short(&agent.name, 100), short(&agent.owner, 100), agent.why)),
    );
    let sessions = digest.sessions.iter();
    lines.extend(sessions.map(|session| {
        let (who, on) = (short(&session.principal, 100), short(&session.connection, 63));
        format!("session {}: {who} on {on}, for {}", session.id, ago(session.started_at, digest.at))
    }));
    lines.extend(digest.tokens.iter().map(|token| format!("token of {}", token_line(token, digest.at))));
    lines.extend(digest.secrets.iter().map(|secret| format!("secret: {}", secret_line(secret, digest.at))));
    lines.extend(digest.reviews.iter().map(|review| format!("break-glass {}", review_line(review, digest.at))));
    lines.push(if lines.is_empty() {
        format!("nothing to look at; {}", rest(digest))
    } else {
        format!("besides: {}", rest(digest))
    });
    if let Some(note) = &digest.checkpoint {
        lines.push(format!("the log's newest checkpoint:\n{}", note.trim_end()));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn a_digest_tells_unused_from_unknown_and_an_empty_one_is_a_line() {
        let message = message(&samples::digest_of(3));
        let shown = serde_json::to_string(&message.blocks).unwrap();
        for part in [
            "not used for 20 d",
            "never used since",
            "1 too new to tell",
            "older than the records",
            "5 too new to tell",
            "of policy permissions 2 in use",
            "never used in the 50 d that it is watched",
            "last used 35 d ago",
            "Tokens of more than a day",
            "on shop, the same for at least 100 d",
            "bot_token, the same for 91 d",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let empty = AccessDigest {
            grants: Vec::new(),
            roles: Vec::new(),
            permissions: Vec::new(),
            agents: Vec::new(),
            sessions: Vec::new(),
            tokens: Vec::new(),
            secrets: Vec::new(),
            ..samples::digest_of(0)
        };
        let message = super::message(&empty);
        assert_eq!(
            (message.text.as_str(), message.blocks.len()),
            ("Access digest: nothing to look at; no other grants.", 1)
        );
        assert_eq!(lines(&empty), "nothing to look at; no other grants");
        let note = "countersign.dev/log/1\n7\nAAAA\n\n\u{2014} countersign.dev/log/1 BBBB\n";
        let signed = AccessDigest { checkpoint: Some(note.into()), ..empty };
        let message = super::message(&signed);
        assert_eq!(message.blocks[1]["elements"][1]["elements"][0]["text"], note, "byte for byte");
        assert!(lines(&signed).ends_with(note.trim_end()));
    }
}
