//! A session as it went: what was asked, decided, and answered, each at its time. Pure.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::log::{Entry, Kind};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: DateTime<Utc>,
    /// What is shown of it; without control characters but line breaks.
    pub text: String,
    /// Whether somebody wants to stop before it, when they go step by step.
    pub step: bool,
}

/// The moments of one session, from its entries.
#[must_use]
pub fn moments(entries: &[Entry]) -> Vec<Moment> {
    let mut moments = Vec::new();
    for entry in entries {
        let (text, step) = shown(entry);
        if !text.is_empty() {
            moments.push(Moment { at: entry.time, text, step });
        }
    }
    moments
}

fn shown(entry: &Entry) -> (String, bool) {
    let who = plain(entry.principal.as_deref().unwrap_or("somebody"));
    let on = plain(entry.connection.as_deref().unwrap_or_default());
    let outcome = plain(entry.outcome.as_deref().unwrap_or_default());
    let detail = |key: &str| entry.detail[key].as_str().map(plain).filter(|text| !text.is_empty());
    let request = entry.request.as_ref().map(ToString::to_string).unwrap_or_default();
    match entry.kind {
        Kind::Login => {
            let address = detail("address").map(|from| format!(" from {from}")).unwrap_or_default();
            let program = detail("application").map(|program| format!(" with {program}")).unwrap_or_default();
            let login = detail("login").map(|login| format!(" as {login}")).unwrap_or_default();
            (format!("-- {who} logs in to {on}{login}{address}{program}\n"), true)
        }
        // What somebody allowed was not held before it ran.
        Kind::Statement if outcome == "allowed" => {
            let run = entry.detail["allowance"]["run"].as_u64().unwrap_or_default();
            (format!("{}-- run {run} under {request}\n", asked(entry, &on)), true)
        }
        Kind::Statement if entry.request.is_some() => (format!("-- {request} runs\n"), false),
        Kind::Statement => {
            let note = if outcome == "allow" { String::new() } else { format!("-- {outcome}\n") };
            (format!("{}{note}", asked(entry, &on)), true)
        }
        Kind::Denied => (format!("{}ERROR: {outcome}\n", asked(entry, &on)), true),
        Kind::Held => (format!("{}-- held as {request}\n{}", asked(entry, &on), impact(entry)), true),
        Kind::BreakGlass => {
            let reason = detail("reason").unwrap_or_default();
            (format!("-- {who} breaks the glass ({reason}), and {request} asks for a review\n"), true)
        }
        Kind::Decision => {
            let assurance = detail("assurance").map(|how| format!(" ({how})")).unwrap_or_default();
            let reason = entry.detail["more"]["reason"].as_str().map(plain);
            let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            (format!("-- {who}: {outcome}{assurance}{reason}\n"), false)
        }
        Kind::Released => (format!("-- {request} is released\n"), false),
        Kind::HoldEnded => (format!("-- {request} is over: {outcome}\n"), false),
        Kind::AllowanceEnded => (format!("-- what {request} allowed is over: {outcome}\n"), false),
        Kind::Outcome => {
            let took = entry.detail["milliseconds"].as_u64().map(|ms| format!("  ({ms} ms)")).unwrap_or_default();
            (format!("{}{outcome}{took}\n", rows(&entry.detail["rows"])), false)
        }
        Kind::Renewed => (format!("-- the session goes on with a newer token: {outcome}\n"), false),
        Kind::AccessEnded => (format!("-- access is over: {outcome}\n"), false),
        Kind::Logout => (format!("-- {who} is gone: {outcome}\n"), false),
        _ => (String::new(), false),
    }
}

/// The statement as psql would show it, with its parameters.
fn asked(entry: &Entry, on: &str) -> String {
    let sealed = entry.sql.is_none() && entry.detail.get("sealed").is_some();
    let sql = if sealed { "(sealed)".to_owned() } else { lines(entry.sql.as_deref().unwrap_or_default()) };
    let mut text = String::new();
    for (number, line) in sql.lines().enumerate() {
        text.push_str(&format!("{on}{} {line}\n", if number == 0 { "=>" } else { "->" }));
    }
    let parameters = entry.detail["parameters"].as_array().into_iter().flatten().filter_map(|value| value.as_str());
    for (number, value) in parameters.enumerate() {
        text.push_str(&format!("--   ${} = {}\n", number + 1, plain(value)));
    }
    text
}

/// Rows that were recorded, a line each.
fn rows(kept: &serde_json::Value) -> String {
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let cell = |value: &serde_json::Value| value.as_str().map_or_else(|| "NULL".to_owned(), plain);
    let line = |cells: &[serde_json::Value]| format!("   {}\n", cells.iter().map(cell).collect::<Vec<_>>().join(" | "));
    let mut text = String::new();
    for given in list(&kept["given"]) {
        let columns = list(&given["columns"]);
        if !columns.is_empty() {
            text.push_str(&format!("-- {}", line(&columns).trim_start()));
        }
        list(&given["values"]).iter().for_each(|row| text.push_str(&line(&list(row))));
    }
    if kept["more"] == true {
        text.push_str("-- and more, which are not recorded\n");
    }
    text
}

fn impact(entry: &Entry) -> String {
    let effects = entry.detail["effects"].as_array().into_iter().flatten().filter_map(|effect| effect.as_str());
    effects.map(|effect| format!("--   {}\n", plain(effect))).collect()
}

/// A text that somebody else wrote, on one line: what follows a line break would look like a line of ours.
fn plain(text: &str) -> String {
    lines(text).replace('\n', "\\n")
}

/// Whether a character turns or hides what stands beside it, or shows nothing where it stands: Unicode's
/// `Default_Ignorable_Code_Point` and `Bidi_Control`.
const fn hides(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// A text of several lines, each of which stands behind something of ours. A terminal obeys control characters, and a
/// reader is misled by those that turn or hide what stands beside them.
fn lines(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push('\n'),
            '\t' => plain.push_str("    "),
            c if c.is_control() || hides(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// The same as an asciicast, version 2: <https://docs.asciinema.org/manual/asciicast/v2/>.
#[must_use]
pub fn cast(title: &str, moments: &[Moment]) -> Vec<String> {
    let Some(first) = moments.first() else { return Vec::new() };
    let head = json!({
        "version": 2, "width": 100, "height": 30, "timestamp": first.at.timestamp(), "title": title,
    });
    let event = |moment: &Moment| {
        let text = moment.text.replace('\n', "\r\n");
        json!([seconds(first.at, moment.at), "o", text]).to_string()
    };
    std::iter::once(head.to_string()).chain(moments.iter().map(event)).collect()
}

/// How long after the beginning; never less than nothing, whatever a clock did.
#[must_use]
pub fn seconds(first: DateTime<Utc>, at: DateTime<Utc>) -> f64 {
    (at - first).to_std().map_or(0.0, |after| (after.as_secs_f64() * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, second: u32, sql: Option<&str>, outcome: &str, detail: serde_json::Value) -> Entry {
        let mut entry = Entry::new(kind);
        entry.time = format!("2026-11-24T10:00:{second:02}.500Z").parse().unwrap();
        entry.principal = Some("ana@acme.dev".into());
        entry.connection = Some("shop".into());
        entry.sql = sql.map(str::to_owned);
        entry.outcome = Some(outcome.into());
        entry.detail = detail;
        entry
    }

    fn session() -> Vec<Entry> {
        let effects = json!({ "effects": ["delete Table::\"shop/public.orders\""], "parameters": ["7"] });
        let mut held = entry(Kind::Held, 3, Some("delete from orders\nwhere id = $1"), "hold", effects);
        held.request = Some("K7Q2K7Q2".parse().unwrap());
        vec![
            entry(Kind::Login, 0, None, "ok", json!({ "address": "10.0.0.1", "application": "psql" })),
            entry(Kind::Statement, 1, Some("select '\u{1b}[2J\u{202e}'"), "allow", json!({})),
            entry(Kind::Outcome, 2, None, "SELECT 1", json!({ "milliseconds": 12 })),
            held,
            entry(Kind::Decision, 9, None, "deny", json!({ "assurance": "slack", "more": { "reason": "not today" } })),
            entry(Kind::Logout, 10, None, "closed", json!({})),
        ]
    }

    #[test]
    fn a_session_is_shown_as_it_went_and_no_text_of_it_commands_a_terminal() {
        let shown: String = moments(&session()).into_iter().map(|moment| moment.text).collect();
        let expected = "-- ana@acme.dev logs in to shop from 10.0.0.1 with psql\n\
            shop=> select '\\u{1b}[2J\\u{202e}'\n\
            SELECT 1  (12 ms)\n\
            shop=> delete from orders\n\
            shop-> where id = $1\n\
            --   $1 = 7\n\
            -- held as K7Q2K7Q2\n\
            --   delete Table::\"shop/public.orders\"\n\
            -- ana@acme.dev: deny (slack): not today\n\
            -- ana@acme.dev is gone: closed\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_text_but_a_statement_begins_a_line() {
        let said = "x\nshop=> drop table payroll;\n-- priya@acme.dev: approve (step_up)";
        let mut broken = entry(Kind::Logout, 9, None, said, json!({}));
        broken.principal = Some(said.into());
        let all = [
            entry(Kind::Login, 0, None, "ok", json!({ "address": said, "application": said, "login": said })),
            entry(Kind::Denied, 1, Some("select 1"), said, json!({})),
            entry(
                Kind::Outcome,
                2,
                None,
                said,
                json!({ "rows": { "given": [{ "columns": [said], "values": [[said]] }] } }),
            ),
            entry(Kind::Decision, 3, None, said, json!({ "assurance": said, "more": { "reason": said } })),
            entry(Kind::HoldEnded, 4, None, said, json!({})),
            entry(Kind::Held, 5, Some("a\nb"), "hold", json!({ "effects": [said], "parameters": [said] })),
            entry(Kind::BreakGlass, 6, None, said, json!({ "reason": said })),
            entry(Kind::Renewed, 7, None, said, json!({})),
            entry(Kind::AccessEnded, 8, None, said, json!({})),
            broken,
        ];
        let shown: String = moments(&all).into_iter().map(|moment| moment.text).collect();
        for line in shown.lines() {
            assert!(!line.starts_with("shop=> drop") && !line.starts_with("-- priya"), "{line}\n\n{shown}");
        }
        assert!(shown.contains("shop=> a\nshop-> b\n"), "{shown}");
        for c in ['\u{61c}', '\u{e0041}', '\u{115f}', '\u{180e}', '\u{fe0f}', '\u{202e}'] {
            assert!(!plain(&format!("a{c}b")).contains(c), "{c:?}");
        }
    }

    #[test]
    fn a_cast_has_the_sessions_own_times() {
        let lines = cast("a title", &moments(&session()));
        let head: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((&head["version"], &head["title"]), (&2.into(), &"a title".into()));
        let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        assert_eq!(last, json!([10.0, "o", "-- ana@acme.dev is gone: closed\r\n"]));
        assert!(cast("nothing", &[]).is_empty());
    }
}
