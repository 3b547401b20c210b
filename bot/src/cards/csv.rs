//! The digest as a table (RFC 4180) that no spreadsheet takes for formulas.

use countersign_shared::api::AccessDigest;

use super::visible::visible_line;

const HEAD: [&str; 13] = [
    "grant",
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

/// All grants that count, a line each.
#[must_use]
pub fn table(digest: &AccessDigest) -> String {
    let mut lines = vec![HEAD.join(",")];
    for found in &digest.grants {
        let (grant, kept) = (&found.grant, found.kept.as_ref());
        let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
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
        ];
        lines.push(fields.map(|text| field(&text)).join(","));
    }
    lines.join("\r\n") + "\r\n"
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
    }
}
