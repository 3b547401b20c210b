//! The digest as a table (RFC 4180) that no spreadsheet takes for formulas.

use chrono::{DateTime, SecondsFormat, Utc};
use countersign_shared::api::AccessDigest;

use super::visible::visible_line;

const HEAD: [&str; 14] = [
    "id",
    "principal",
    "owner",
    "connection",
    "role",
    "finding",
    "given",
    "until",
    "last_used",
    "approved_by",
    "reason",
    "kept_until",
    "kept_by",
    "kind",
];

/// A field. What a spreadsheet would run begins with an apostrophe; where it reads lists with semicolons,
/// each part of a field is a field.
fn field(text: &str) -> String {
    let text = visible_line(text);
    let tamed = |part: &str| {
        let runs = part.trim_start().starts_with(['=', '+', '-', '@', '\t', '\r']);
        if runs { format!("'{part}") } else { part.to_owned() }
    };
    let text = text.split(';').map(tamed).collect::<Vec<_>>().join(";");
    if text.contains(['"', ',', '\n', '\r', ';']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// All grants that count, a line each; then roles, permissions, agents, sessions, tokens, secrets and reviews, with what they have
/// of the same columns.
#[must_use]
pub fn table(digest: &AccessDigest) -> String {
    let mut lines = vec![HEAD.join(",")];
    for found in &digest.grants {
        let (grant, kept) = (&found.grant, found.kept.as_ref());
        let fields = [
            grant.id.to_string(),
            grant.principal.clone(),
            grant.owner.clone().unwrap_or_default(),
            grant.connection.clone(),
            grant.role.clone(),
            found.finding.as_str().to_owned(),
            time(grant.created_at),
            time(grant.expires_at),
            found.last_used.map(time).unwrap_or_default(),
            grant.approved_by.join(" "),
            grant.reason.clone(),
            kept.map(|kept| time(kept.until)).unwrap_or_default(),
            kept.map(|kept| kept.by.clone()).unwrap_or_default(),
            "grant".to_owned(),
        ];
        lines.push(fields.map(|text| field(&text)).join(","));
    }
    lines.extend(others(digest).into_iter().map(|other| other.line()));
    lines.join("\r\n") + "\r\n"
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What is no grant.
#[derive(Default)]
struct Other<'d> {
    kind: &'static str,
    id: String,
    principal: &'d str,
    owner: &'d str,
    connection: &'d str,
    role: &'d str,
    finding: &'static str,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    last_used: Option<DateTime<Utc>>,
    reason: &'d str,
}

impl Other<'_> {
    fn line(&self) -> String {
        let at = |at: Option<DateTime<Utc>>| at.map(time).unwrap_or_default();
        let (from, until, used) = (at(self.from), at(self.until), at(self.last_used));
        let fields = [
            self.id.as_str(),
            self.principal,
            self.owner,
            self.connection,
            self.role,
            self.finding,
            from.as_str(),
            until.as_str(),
            used.as_str(),
            "",
            self.reason,
            "",
            "",
            self.kind,
        ];
        fields.map(field).join(",")
    }
}

fn others(digest: &AccessDigest) -> Vec<Other<'_>> {
    let roles = digest.roles.iter().map(|role| Other {
        kind: "role",
        id: role.role.clone(),
        role: &role.role,
        finding: role.finding.as_str(),
        from: role.last_given,
        last_used: role.last_used,
        ..Other::default()
    });
    let permissions = digest.permissions.iter().map(|one| Other {
        kind: "permission",
        id: one.permission.clone(),
        finding: one.finding.as_str(),
        from: Some(one.since),
        last_used: one.last_used,
        ..Other::default()
    });
    let agents = digest.agents.iter().map(|agent| Other {
        kind: "agent",
        id: agent.name.clone(),
        principal: &agent.name,
        owner: &agent.owner,
        reason: &agent.why,
        ..Other::default()
    });
    let sessions = digest.sessions.iter().map(|session| Other {
        kind: "session",
        id: session.id.to_string(),
        principal: &session.principal,
        connection: &session.connection,
        from: Some(session.started_at),
        ..Other::default()
    });
    let tokens = digest.tokens.iter().map(|token| Other {
        kind: "token",
        id: token.session.to_string(),
        principal: &token.principal,
        connection: &token.connection,
        from: Some(token.issued_at),
        until: Some(token.expires_at),
        ..Other::default()
    });
    let secrets = digest.secrets.iter().map(|secret| Other {
        kind: "secret",
        id: secret.what.clone(),
        connection: secret.connection.as_deref().unwrap_or_default(),
        from: Some(secret.since),
        ..Other::default()
    });
    let reviews = digest.reviews.iter().map(|review| Other {
        kind: "break_glass",
        id: review.request.to_string(),
        principal: &review.principal,
        connection: &review.connection,
        from: Some(review.at),
        reason: &review.reason,
        ..Other::default()
    });
    roles.chain(permissions).chain(agents).chain(sessions).chain(tokens).chain(secrets).chain(reviews).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn a_field_is_only_ever_text() {
        let table = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            (" =1", "' =1"),
            ("x;=cmd|'/C calc'!A0; -1;y", "\"x;'=cmd|'/C calc'!A0;' -1;y\""),
            ("a\nb", "a\\nb"),
            ("\u{202E}x", "\\u{202E}x"),
        ];
        for (text, expected) in table {
            assert_eq!(field(text), expected);
        }
        let table = super::table(&samples::digest_of(3));
        assert!(table.lines().all(|line| line.split(',').count() >= HEAD.len()), "{table}");
        for kind in ["grant", "role", "permission", "agent", "session", "token"] {
            assert!(table.lines().any(|line| line.ends_with(&format!(",{kind}"))), "{kind}: {table}");
        }
    }
}
