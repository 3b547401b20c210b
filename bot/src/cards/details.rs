//! What stays off a card, in a form of one person's own: the request whole, as far as Slack has room for it.

use countersign_shared::{
    api::{RequestKind, RequestView},
    request::State,
};
use serde_json::{Value, json};
use url::Url;

use super::{
    allow,
    blocks::{self, TEXT_LIMIT},
    effects, impact, outcome,
    request::{asks, block_id, fits, own_notes, parameters, reason_fits, stands, what_it_is},
    steps,
    visible::{length, short, visible},
};

/// So many blocks of code show one text; Slack takes a hundred blocks in all.
const PIECES: usize = 12;
/// So many effects, notes and questions are listed.
const LISTED: usize = 100;
/// How long one of them may be, in UTF-16 units.
const ITEM: usize = 300;

/// While it is looked up: a trigger is good for three seconds.
#[must_use]
pub fn moment(id: &str) -> Value {
    closed(id, "A moment …")
}

/// A sentence in place of the request, which Slack parses nothing of.
#[must_use]
pub fn closed(id: &str, text: &str) -> Value {
    view(id, vec![blocks::rich(vec![blocks::line(vec![blocks::plain(text)])])])
}

/// A sentence and where to sign in.
#[must_use]
pub fn sign_in(id: &str, text: &str, url: &str) -> Value {
    let link = blocks::link(url, "Sign in once to link your account");
    view(id, vec![blocks::rich(vec![blocks::line(vec![blocks::plain(text), blocks::plain(" "), link])])])
}

fn view(id: &str, blocks: Vec<Value>) -> Value {
    // A title has room for 24 characters.
    let id: String = id.chars().take(14).collect();
    json!({
        "type": "modal",
        "callback_id": "details",
        "title": { "type": "plain_text", "text": format!("Request {id}") },
        "close": { "type": "plain_text", "text": "Close" },
        "blocks": blocks,
    })
}

/// The request whole. `decides` has a button to approve it, where all of it is shown.
#[must_use]
pub fn details(request: &RequestView, decides: bool, base: &Url) -> Value {
    let mut shown = Shown { blocks: Vec::new(), whole: reason_fits(request) };
    shown.lines(impact::lines(request));
    shown.lines(asks(request));
    shown.list("Mind:", request.notes.iter().map(|note| visible(note)).chain(own_notes(request)));
    shown.list("It:", request.effects.iter().map(|effect| effects::effect(effect, &request.connection)));
    if let Some(access) = &request.access {
        let what = blocks::plain(&outcome::access(access));
        shown.lines(vec![blocks::line(vec![blocks::bold("Access: "), what])]);
    } else {
        shown.code(what_it_is(request), &visible(&request.sql));
        if !request.parameters.is_empty() {
            shown.code("Parameters", &visible(&parameters(request)));
        }
    }
    shown.list("Statement by statement:", request.steps.iter().map(|step| steps::sentence(step, &request.connection)));
    shown.lines(impact::sample(request));
    let asked = request.questions.iter().map(|one| format!("{} asked: {}", short(&one.by, 200), visible(&one.text)));
    shown.list("Questions:", asked);
    if !shown.whole {
        let more = "It does not fit here. The request's page has all of it.";
        shown.lines(vec![blocks::line(vec![blocks::bold(more)])]);
    }
    shown.lines(stands(request, base, true));
    let open = request.state == State::Pending && request.kind != RequestKind::Review;
    if decides && open && shown.whole && fits(request) {
        let buttons = [Some(impact::button(request)), allow::button(request)].into_iter().flatten().collect();
        shown.blocks.push(blocks::actions(&block_id(&request.id, &request.digest), buttons));
    }
    view(request.id.as_str(), shown.blocks)
}

/// Blocks so far, and whether nothing was left out.
struct Shown {
    blocks: Vec<Value>,
    whole: bool,
}

impl Shown {
    fn lines(&mut self, lines: Vec<Value>) {
        if !lines.is_empty() {
            self.blocks.push(blocks::rich(lines));
        }
    }

    fn list(&mut self, head: &str, items: impl Iterator<Item = String>) {
        let items: Vec<String> = items.collect();
        if items.is_empty() {
            return;
        }
        self.whole &= items.len() <= LISTED && items.iter().all(|item| length(item) <= ITEM);
        let line = |item: &String| blocks::line(vec![blocks::plain(&short(item, ITEM))]);
        let lines = items.iter().take(LISTED).map(line).collect();
        self.lines(vec![blocks::line(vec![blocks::bold(head)]), blocks::bullets(lines)]);
    }

    /// A text that is visible already, in as many blocks of code as it takes.
    fn code(&mut self, head: &str, text: &str) {
        self.lines(vec![blocks::line(vec![blocks::bold(head)])]);
        let pieces = if text.is_empty() { vec![""] } else { pieces(text, TEXT_LIMIT) };
        self.whole &= pieces.len() <= PIECES;
        for piece in pieces.iter().take(PIECES) {
            self.lines(vec![blocks::code(piece)]);
        }
    }
}

/// `text` in pieces of at most `limit` UTF-16 units, cut after a line's end where there is one in the second half.
fn pieces(text: &str, limit: usize) -> Vec<&str> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while !rest.is_empty() {
        let mut used = 0;
        let end = rest.char_indices().find(|(_, c)| {
            used += c.len_utf16();
            used > limit
        });
        let Some((end, _)) = end else {
            pieces.push(rest);
            break;
        };
        let line = rest[..end].rfind('\n').map(|at| at + 1).filter(|at| *at > end / 2);
        let (piece, more) = rest.split_at(line.unwrap_or(end));
        pieces.push(piece);
        rest = more;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    fn base() -> Url {
        Url::parse("https://countersign.acme.dev/").unwrap()
    }

    #[test]
    fn a_text_is_cut_where_a_line_ends_and_nothing_is_lost() {
        let table = [
            ("short", 10, vec!["short"]),
            ("0123456789ab", 10, vec!["0123456789", "ab"]),
            ("0123456\n89ab", 10, vec!["0123456\n", "89ab"]),
            ("01\n3456789ab", 10, vec!["01\n3456789", "ab"]),
            ("𝄞𝄞𝄞", 4, vec!["𝄞𝄞", "𝄞"]),
        ];
        for (text, limit, expected) in table {
            assert_eq!(pieces(text, limit), expected, "{text}");
            assert_eq!(pieces(text, limit).concat(), text);
        }
    }

    #[test]
    fn everything_is_shown_and_approved_only_where_it_is_whole() {
        let has = |view: &Value, what: &str| view.to_string().contains(what);
        let long = |n: usize| RequestView { sql: format!("SELECT '{}'", "x".repeat(n)), ..samples::view() };
        let done = RequestView { state: State::Done, ..samples::view() };
        // case, request, whole, may be approved by somebody who decides
        let table = [
            ("short", samples::view(), true, true),
            ("longer than a card", long(9_000), true, false),
            ("longer than a form", long(90_000), false, false),
            ("over", done, true, false),
        ];
        for (case, request, whole, approvable) in table {
            let view = details(&request, true, &base());
            assert_eq!(!has(&view, "does not fit"), whole, "{case}");
            assert_eq!(has(&view, "\"approve\""), approvable, "{case}");
            assert!(!has(&details(&request, false, &base()), "\"approve\""), "{case}: only who decides");
            assert!(view["blocks"].as_array().unwrap().len() <= 100, "{case}");
        }
    }
}
