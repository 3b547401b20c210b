//! Texts that mean to look like something else, in every place where somebody else's words are shown.

use countersign_shared::api::{
    EffectView, Finding, GrantView, QuestionView, RequestView, ReviewAnswer, ReviewChoice, ReviewItem, ReviewView,
    StandIn,
};
use serde_json::Value;
use url::Url;

use super::{
    access, answer, ask, blocks::Message, details, digest, direct, home, life, question, reach, request, review,
    samples, visible::is_hidden,
};

/// What hostile texts are made of: what Slack reads as more than text, what the eye misses, what ends a
/// comment or a code block, and what looks like our own words.
const PIECES: [&str; 40] = [
    "<!channel>",
    "<!here>",
    "<!everyone>",
    "<@U0PRIYA0003>",
    "<#C0APPROVALS>",
    "<!subteam^S1>",
    "@here",
    "@channel",
    "<https://evil.example|the request's page>",
    "https://evil.example",
    "<mailto:a@b|x>",
    "&lt;!channel&gt;",
    "&amp;",
    "```",
    "`",
    "*bold*",
    "_it_",
    "~no~",
    ">quote",
    ":white_check_mark:",
    "\u{202E}",
    "\u{2066}",
    "\u{200B}",
    "\u{200D}",
    "\u{FEFF}",
    "\u{00A0}",
    "\u{3164}",
    "\u{E0041}",
    "\u{FE0F}",
    "\0",
    "\u{1b}[2J",
    "\r",
    "\r\n",
    "\n",
    "\t",
    "-- ",
    "/* */",
    "; DROP TABLE orders",
    "Approved by priya@acme.dev",
    "ѕhоp",
];

/// 1,600 texts, the same each time: every pair of pieces, around a statement.
fn texts() -> impl Iterator<Item = String> {
    let pair = |one: &'static str| PIECES.iter().map(move |other| format!("DELETE {one}FROM{other} orders"));
    PIECES.into_iter().flat_map(pair)
}

fn base() -> Url {
    Url::parse("https://countersign.acme.dev/").unwrap()
}

/// What a reader takes for the statement, read back from the block of code.
fn read_back(shown: &str) -> String {
    let mut text = String::new();
    let mut rest = shown;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\r") {
            text.push('\r');
            // A line of its own follows, which the statement does not have.
            rest = after.strip_prefix('\n').unwrap_or(after);
            if after.starts_with('\n') {
                text.push('\u{E000}');
            }
        } else if let Some((code, after)) = rest.strip_prefix("\\u{").and_then(|rest| rest.split_once('}')) {
            text.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
            rest = after;
        } else {
            text.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    text
}

/// As [`read_back`] gives it, with the mark where a line was added, or was there.
fn expected(sql: &str) -> String {
    sql.replace("\r\n", "\r\u{E000}").replace('\r', "\r\u{E000}").replace("\u{E000}\u{E000}", "\u{E000}")
}

fn walk<'a>(value: &'a Value, found: &mut dyn FnMut(&'a Value)) {
    found(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(fields) => fields.values().for_each(|item| walk(item, found)),
        _ => {}
    }
}

/// Nothing that Slack reads as more than text, nothing that the eye misses, no link but to our own pages.
fn harmless(blocks: &Value, text: Option<&str>, case: &str) {
    walk(blocks, &mut |value| {
        let kind = value["type"].as_str().unwrap_or_default();
        assert!(
            !["mrkdwn", "user", "usergroup", "broadcast", "channel", "emoji", "image"].contains(&kind),
            "{case:?}: {value}"
        );
        if kind == "link" {
            assert!(
                value["url"].as_str().unwrap().starts_with("https://countersign.acme.dev/requests/"),
                "{case:?}: {value}"
            );
        }
        if let Some(text) = value.as_str() {
            assert!(!text.chars().any(is_hidden), "{case:?}: {text:?}");
        }
    });
    if let Some(text) = text {
        assert!(!text.contains(['<', '>']) && !text.chars().any(is_hidden), "{case:?}: {text:?}");
    }
}

fn message(message: &Message, case: &str) {
    harmless(&Value::Array(message.blocks.clone()), Some(&message.text), case);
}

/// mrkdwn that we say to one person: no `<` but of our own dates and links.
fn said(text: &str, case: &str) {
    for part in text.split('<').skip(1) {
        assert!(part.starts_with("!date^"), "{case:?}: {text:?}");
    }
    assert!(!text.chars().any(is_hidden), "{case:?}: {text:?}");
}

#[test]
fn what_is_shown_is_what_runs_whatever_the_statement() {
    let mut count = 0;
    for sql in texts() {
        let view = RequestView { sql: sql.clone(), parameters: vec![sql.clone()], ..samples::view() };
        let card = request::card(&view, &base());
        message(&card, &sql);
        message(&direct::direct(&view, &base()), &sql);
        let mut code = Vec::new();
        for block in &card.blocks {
            walk(block, &mut |value| {
                if value["type"] == "rich_text_preformatted" {
                    code.push(value["elements"][0]["text"].as_str().unwrap().to_owned());
                }
            });
        }
        assert_eq!(read_back(&code[0]), expected(&sql), "{sql:?}");
        let form = details::details(&view, true, &base());
        harmless(&form["blocks"], None, &sql);
        let mut whole = Vec::new();
        walk(&form["blocks"], &mut |value| {
            if value["type"] == "rich_text_preformatted" {
                whole.push(value["elements"][0]["text"].as_str().unwrap().to_owned());
            }
        });
        assert_eq!(whole, code, "Details say the same: {sql:?}");
        assert_eq!(code[1].lines().count(), 1, "a parameter is one line: {sql:?}");
        count += 1;
    }
    assert_eq!(count, 1_600);
}

/// A review with a grant that waits and one that somebody has looked at.
fn in_review(text: &str, grant: &GrantView) -> ReviewView {
    let item =
        |answer| ReviewItem { grant: grant.clone(), finding: Finding::InUse, last_used: None, answer, own: false };
    let (by, reason, at) = (text.to_owned(), text.to_owned(), grant.created_at);
    let answer = ReviewAnswer { choice: ReviewChoice::Keep, by, at, reason };
    ReviewView {
        id: "REVIEW1234".parse().unwrap(),
        connection: text.to_owned(),
        opened_by: text.to_owned(),
        opened_at: grant.created_at,
        checkpoint: None,
        closed_at: None,
        items: vec![item(None), item(Some(answer))],
    }
}

#[test]
fn no_reason_or_name_pings_links_or_hides() {
    for text in texts() {
        let effect = EffectView { action: text.clone(), object: text.clone() };
        let view = RequestView {
            principal: text.clone(),
            owner: Some(text.clone()),
            reason: Some(text.clone()),
            application: Some(text.clone()),
            address: Some(text.clone()),
            connection: text.clone(),
            notes: vec![text.clone()],
            effects: vec![effect],
            ..samples::view()
        };
        message(&request::card(&view, &base()), &text);
        message(&request::bare_card(&view, &base()), &text);
        message(&direct::direct(&view, &base()), &text);
        let asked = QuestionView { by: text.clone(), text: text.clone(), at: view.created_at };
        message(&question::in_thread(&view, &asked), &text);
        message(&question::redacted(&view, &asked, &base()), &text);
        said(&answer::pending(std::slice::from_ref(&view), &[]), &text);
        let grant = GrantView {
            principal: text.clone(),
            owner: Some(text.clone()),
            connection: text.clone(),
            role: text.clone(),
            reason: text.clone(),
            approved_by: vec![text.clone()],
            ended_by: Some(text.clone()),
            ..samples::grant()
        };
        let now = grant.created_at;
        for told in [life::begun(&grant), life::ends(&grant, now), life::ended(&grant)] {
            message(&told, &text);
        }
        said(&access::status(std::slice::from_ref(&grant), std::slice::from_ref(&view), now), &text);
        said(&access::ended(&grant), &text);
        message(&review::step(&in_review(&text, &grant), now), &text);
        said(&review::begun(&in_review(&text, &grant)), &text);
        assert!(!review::lines(&in_review(&text, &grant)).chars().any(|c| is_hidden(c) && c != '\n'), "{text:?}");
        let stands = StandIn { of: text.clone(), delegate: text.clone(), until: now, slack: None };
        let away = RequestView { stand_ins: vec![stands.clone()], ..view.clone() };
        message(&request::card(&away, &base()), &text);
        message(&reach::stand_in(&away, &text, &base()), &text);
        said(&access::delegated(&stands), &text);
        said(&access::with_stand_ins(String::new(), &[stands], "priya@acme.dev"), &text);
        let mut daily = samples::digest_of(1);
        daily.grants[0].grant = grant.clone();
        daily.agents[0].name.clone_from(&text);
        daily.sessions[0].principal.clone_from(&text);
        message(&digest::message(&daily), &text);
        harmless(&home::view(&text, (&[grant], &[view], &[]), &base(), now), None, &text);
        harmless(&ask::closed(&answer::LINK_TO_ASK.replace('`', ""), None), None, &text);
    }
}
