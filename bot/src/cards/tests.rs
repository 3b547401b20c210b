//! What a card promises, over all samples.

use countersign_shared::api::{Impact, Outcome, QuestionView, RequestKind, RequestView};
use serde_json::Value;
use url::Url;

use super::{
    blocks::Message,
    request, samples,
    visible::{is_hidden, length},
};

fn base() -> Url {
    Url::parse("https://countersign.acme.dev/").unwrap()
}

fn card(view: &RequestView) -> Message {
    request::card(view, &base())
}

/// Every object with this `type`, at any depth.
fn of_type<'a>(value: &'a Value, kind: &str, found: &mut Vec<&'a Value>) {
    if value["type"] == kind {
        found.push(value);
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| of_type(item, kind, found)),
        Value::Object(fields) => fields.values().for_each(|item| of_type(item, kind, found)),
        _ => {}
    }
}

fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(fields) => fields.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}

fn code_blocks(message: &Message) -> Vec<String> {
    let all = Value::Array(message.blocks.clone());
    let mut found = Vec::new();
    of_type(&all, "rich_text_preformatted", &mut found);
    found.iter().map(|block| block["elements"][0]["text"].as_str().unwrap().to_owned()).collect()
}

fn buttons(message: &Message) -> Vec<String> {
    let all = Value::Array(message.blocks.clone());
    let mut found = Vec::new();
    of_type(&all, "button", &mut found);
    let named = |button: &Value| match &button["url"] {
        Value::Null => format!("{}={}", button["action_id"], button["value"]),
        url => format!("{} opens {url}", button["action_id"]),
    };
    found.iter().map(|button| named(button).replace('"', "")).collect()
}

#[test]
fn a_pending_card_looks_like_this() {
    let message = card(&samples::view());
    let golden: Value = serde_json::from_str(include_str!("testdata/pending.json")).unwrap();
    let actual = serde_json::json!({ "text": message.text, "blocks": message.blocks });
    assert_eq!(actual, golden, "\n{}", serde_json::to_string_pretty(&actual).unwrap());
}

#[test]
fn the_statement_is_shown_exactly() {
    let sql = "SELECT '```' <b>&amp;</b>, *x*, `y`\n\tFROM t -- <!channel>";
    let message = card(&RequestView { sql: sql.into(), ..samples::view() });
    assert_eq!(code_blocks(&message)[0], sql);
    assert_eq!(code_blocks(&message)[1], "$1 = '2020-01-01'");
}

#[test]
fn what_does_not_fit_whole_cannot_be_approved_from_the_card() {
    let details = "details=K7Q2AB9X";
    let whole = ["approve=K7Q2AB9X", "deny=K7Q2AB9X", "ask=K7Q2AB9X", details].map(str::to_owned).to_vec();
    let cut = ["deny=K7Q2AB9X", "ask=K7Q2AB9X", details].map(str::to_owned).to_vec();
    let view = samples::view;
    let effect = view().effects[0].clone();
    let table = [
        ("as it is", view(), &whole),
        ("the longest statement", RequestView { sql: "x".repeat(2_900), ..view() }, &whole),
        ("one character more", RequestView { sql: "x".repeat(2_901), ..view() }, &cut),
        ("characters of two units", RequestView { sql: "𝒙".repeat(1_451), ..view() }, &cut),
        ("long only when spelled out", RequestView { sql: "\u{202E}".repeat(400), ..view() }, &cut),
        ("a long parameter", RequestView { parameters: vec!["x".repeat(3_000)], ..view() }, &cut),
        ("many parameters", RequestView { parameters: vec!["x".into(); 900], ..view() }, &cut),
        ("many effects", RequestView { effects: vec![effect; 26], ..view() }, &cut),
        ("many notes", RequestView { notes: vec!["n".into(); 13], ..view() }, &cut),
        ("a long reason", RequestView { reason: Some("x".repeat(1_001)), ..view() }, &cut),
    ];
    for (case, view, expected) in table {
        let message = card(&view);
        assert_eq!(&buttons(&message), expected, "{case}");
        let text = serde_json::to_string(&message.blocks).unwrap();
        assert_eq!(text.contains("cannot be approved here"), expected == &cut, "{case}");
        assert!(text.contains("https://countersign.acme.dev/requests/K7Q2AB9X"), "{case}");
    }
}

#[test]
fn a_redacted_card_says_who_and_where_and_nothing_of_what_anybody_wrote() {
    let ended = Outcome {
        by: Some("dario@acme.dev".into()),
        reason: Some("secret why".into()),
        error: Some("23505: Key (email)=(secret@acme.dev) already exists.".into()),
        tag: Some("DELETE 1204".into()),
        milliseconds: Some(3),
    };
    for state in countersign_shared::request::State::ALL {
        for kind in [RequestKind::Statement, RequestKind::Access, RequestKind::Review] {
            let view = RequestView {
                state,
                kind,
                sql: "SELECT 'secret'".into(),
                parameters: vec!["secret".into()],
                reason: Some("secret reason".into()),
                notes: vec!["secret note".into()],
                application: Some("secret application".into()),
                outcome: state.is_final().then(|| ended.clone()),
                approvals: vec![samples::approval()],
                ..samples::view()
            };
            let (by, text) = ("priya@acme.dev".to_owned(), "secret question".to_owned());
            let question = super::question::redacted(&view, &QuestionView { by, text, at: view.created_at }, &base());
            for message in [request::redacted(&view, &base()), request::redacted_outcome(&view), question] {
                let all = format!("{} {:?}", message.text, message.blocks);
                assert!(!all.contains("secret") && !all.contains("orders"), "{state} {kind:?}: {all}");
            }
            let message = request::redacted(&view, &base());
            assert!(message.text.contains("ana@acme.dev on shop"), "{}", message.text);
            let pending = state == countersign_shared::request::State::Pending;
            let open = ["details=K7Q2AB9X".to_owned()];
            assert_eq!(buttons(&message), if pending { &open[..] } else { &[] }, "{state} {kind:?}");
        }
    }
}

/// Whoever approves under Details must have read there what a card would have said.
#[test]
fn details_say_all_that_a_card_says() {
    let mut compared = 0;
    let all = samples::samples();
    for (at, card) in all.iter().enumerate() {
        let Some(name) = card["name"].as_str().and_then(|name| name.strip_prefix("card: ")) else { continue };
        // Two may have one name; its own comes next.
        let own = format!("form: details: {name}");
        let form = all[at..].iter().find(|sample| sample["name"] == own.as_str()).expect("its details");
        // What does not fit a card is cut there.
        let cut = card.to_string().contains("cannot be approved here") || card.to_string().contains("(cut)");
        let said: Vec<&str> = strings(&form["view"]["blocks"]);
        for block in card["blocks"].as_array().unwrap().iter().filter(|block| block["type"] == "rich_text" && !cut) {
            for text in strings(&block["elements"]) {
                assert!(said.contains(&text), "{name}: {text:?} is not under Details");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn notifications_carry_nothing_that_anybody_wrote() {
    let impact = Impact {
        action: "delete".into(),
        table: "public.orders".into(),
        rows: Some(2),
        counted: true,
        ..Impact::default()
    };
    let ended = Outcome {
        by: Some("dario@acme.dev".into()),
        reason: Some("secret why".into()),
        error: Some("23505: Key (email)=(secret@acme.dev) already exists.".into()),
        ..Outcome::default()
    };
    let told = Outcome { error: None, tag: Some("DELETE 2".into()), ..ended.clone() };
    for state in countersign_shared::request::State::ALL {
        for outcome in [&ended, &told] {
            let view = RequestView {
                state,
                sql: "SELECT 'secret'".into(),
                parameters: vec!["secret".into()],
                reason: Some("secret reason".into()),
                impact: vec![impact.clone(), impact.clone()],
                outcome: state.is_final().then(|| outcome.clone()),
                ..samples::view()
            };
            for message in [request::card(&view, &base()), super::direct::direct(&view, &base())] {
                assert!(!message.text.contains("secret"), "{state}: {}", message.text);
            }
        }
    }
    let text = |view: &RequestView| request::card(view, &base()).text;
    let two = RequestView { impact: vec![impact.clone(), impact], ..samples::view() };
    assert!(text(&two).ends_with("delete 2 rows of public.orders, and 1 more"), "{}", text(&two));
    assert!(text(&samples::view()).ends_with("deletes rows from table public.orders"), "{}", text(&samples::view()));
}

#[test]
fn only_what_is_pending_has_buttons() {
    for state in countersign_shared::request::State::ALL {
        let message = card(&RequestView { state, ..samples::view() });
        assert_eq!(buttons(&message).is_empty(), state != countersign_shared::request::State::Pending, "{state}");
    }
}

#[test]
fn the_buttons_name_what_the_card_shows() {
    let message = card(&samples::view());
    let block_id = message.blocks.last().unwrap()["block_id"].as_str().unwrap();
    assert_eq!(request::read_block_id(block_id), Some((samples::id(), samples::digest())));
    for bad in ["", "request:", "request:K7Q2AB9X", "request:K7Q2AB9X:xyz", "x:K7Q2AB9X:"] {
        assert_eq!(request::read_block_id(bad), None, "{bad}");
    }
}

#[test]
fn no_sample_pings_links_or_hides() {
    for sample in samples::samples() {
        let name = sample["name"].as_str().unwrap();
        let mut parsed = Vec::new();
        of_type(&sample, "mrkdwn", &mut parsed);
        assert!(parsed.is_empty(), "{name}: cards hold no text that Slack parses");
        let text = sample["text"].as_str().unwrap_or_default();
        assert!(!text.contains(['<', '>']), "{name}: {text}");
        let mut kinds = Vec::new();
        for kind in ["user", "usergroup", "broadcast", "channel"] {
            of_type(&sample, kind, &mut kinds);
        }
        // Whom the gateway says is asked, and nobody whom a text names.
        kinds.retain(|mention| mention["user_id"] != samples::APPROVER);
        assert!(kinds.is_empty(), "{name}");
        let hidden = strings(&sample).into_iter().find(|text| text.chars().any(is_hidden));
        assert_eq!(hidden, None, "{name}");
    }
}

#[test]
fn every_sample_is_within_slacks_limits() {
    fn walk(name: &str, value: &Value) {
        if let Some(text) = value["text"].as_str() {
            let limit = if value["type"] == "plain_text" { 150 } else { 3_000 };
            assert!(!text.is_empty() && length(text) <= limit, "{name}: {} characters", length(text));
        }
        if let Some(block_id) = value["block_id"].as_str() {
            assert!(block_id.len() <= 255, "{name}");
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(name, item)),
            Value::Object(fields) => fields.values().for_each(|item| walk(name, item)),
            _ => {}
        }
    }
    let all = samples::samples();
    assert!(all.len() > 40);
    for sample in &all {
        let name = sample["name"].as_str().unwrap();
        if let Some(blocks) = sample.get("blocks") {
            assert!(!sample["text"].as_str().unwrap().is_empty(), "{name}");
            assert!(blocks.as_array().unwrap().len() <= 50, "{name}");
            walk(name, blocks);
        } else {
            walk(name, &sample["view"]);
            let title = sample["view"]["title"]["text"].as_str().unwrap_or_default();
            assert!(length(title) <= 24 && title.is_empty() == (sample["view"]["type"] == "home"), "{name}");
        }
    }
}

/// Writes the samples as JSON lines, for validators that are not written in Rust.
#[test]
fn the_samples_can_be_written_for_other_validators() {
    let lines: Vec<String> = samples::samples().iter().map(Value::to_string).collect();
    assert!(lines.iter().all(|line| !line.contains('\n')));
    if let Some(path) = std::env::var_os("COUNTERSIGN_CARD_SAMPLES") {
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
}
