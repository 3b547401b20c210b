//! The card of a request: what will run, who asks, what it does, and where it stands.

use countersign_shared::{
    api::{DenialView, EffectView, GrantView, Impact, RequestKind, RequestView},
    digest::Digest,
    ids::RequestId,
    request::State,
};
use serde_json::Value;
use url::Url;

use super::{
    allow,
    blocks::{self, Message, TEXT_LIMIT},
    effects, impact, life, outcome, steps,
    visible::{escaped, length, parameter, reading_notes, short, visible},
};

/// How many effects a card shows.
const EFFECT_LIMIT: usize = 25;
/// How many notes a card shows.
const NOTE_LIMIT: usize = 12;
/// How long a note on a card may be.
const NOTE_LENGTH: usize = 300;
/// How much of the reason a card shows.
const REASON_LIMIT: usize = 1_000;

/// The `block_id` of a card's buttons. It names what the card shows, so that a press carries the
/// digest that its presser saw, whatever has happened since.
#[must_use]
pub fn block_id(id: &RequestId, digest: &Digest) -> String {
    format!("request:{id}:{digest}")
}

/// Reads [`block_id`] back.
#[must_use]
pub fn read_block_id(text: &str) -> Option<(RequestId, Digest)> {
    let (id, digest) = text.strip_prefix("request:")?.split_once(':')?;
    Some((id.parse().ok()?, digest.parse().ok()?))
}

/// The page that shows a request whole.
#[must_use]
pub fn page(base: &Url, id: &RequestId) -> String {
    format!("{}/requests/{id}", base.as_str().trim_end_matches('/'))
}

/// A text as the card shows it, and whether that is all of it.
struct Shown {
    text: String,
    whole: bool,
}

/// Shows `text` if it has at most `limit` characters, else its beginning.
fn shown(text: &str, limit: usize) -> Shown {
    let text = visible(text);
    if length(&text) <= limit {
        return Shown { text, whole: true };
    }
    let mut used = 0;
    let cut = text.chars().take_while(|c| {
        used += c.len_utf16();
        used <= limit / 2
    });
    Shown { text: cut.collect(), whole: false }
}

/// Whether everything that an approver must see fits on the card. What doesn't fit whole can't be
/// approved from it.
#[must_use]
pub fn fits(view: &RequestView) -> bool {
    shown(&view.sql, TEXT_LIMIT).whole
        && shown(&parameters(view), TEXT_LIMIT).whole
        && reason_fits(view)
        && view.effects.len() <= EFFECT_LIMIT
        && view.effects.iter().all(|effect| length(&visible(&effect.object)) <= 250 && length(&effect.action) <= 50)
        && view.impact.iter().all(|one| length(&visible(&one.sentence())) <= impact::LENGTH)
        && steps::fit(view)
        && view.notes.len() <= NOTE_LIMIT
        && view.notes.iter().all(|note| length(&visible(note)) <= NOTE_LENGTH)
}

/// Whether a card has room for all of the reason.
pub(super) fn reason_fits(view: &RequestView) -> bool {
    shown(view.reason.as_deref().unwrap_or_default(), REASON_LIMIT).whole
}

pub(super) fn parameters(view: &RequestView) -> String {
    let lines: Vec<String> = view.parameters.iter().enumerate().map(|(i, value)| parameter(i + 1, value)).collect();
    lines.join("\n")
}

/// The card in the channel, in any state of its request.
#[must_use]
pub fn card(view: &RequestView, base: &Url) -> Message {
    card_of(view, None, base)
}

/// As [`card`], with where the grant stands that came of the request.
#[must_use]
pub fn card_of(view: &RequestView, grant: Option<&GrantView>, base: &Url) -> Message {
    let whole = fits(view);
    let mut blocks = vec![heading(view)];
    let impact = impact::lines(view);
    if !impact.is_empty() {
        blocks.push(blocks::rich(impact));
    }
    blocks.push(blocks::rich(asks(view)));
    let notes = notes(view);
    if !notes.is_empty() {
        let mut lines = vec![blocks::line(vec![blocks::bold("Mind:")])];
        lines.push(blocks::bullets(notes.iter().map(|note| blocks::line(vec![blocks::plain(note)])).collect()));
        blocks.push(blocks::rich(lines));
    }
    if !view.effects.is_empty() {
        blocks.push(blocks::rich(does(view)));
    }
    blocks.push(blocks::rich(runs(view)));
    let steps = steps::lines(view);
    if !steps.is_empty() {
        blocks.push(blocks::rich(steps));
    }
    let sample = impact::sample(view);
    if !sample.is_empty() {
        blocks.push(blocks::rich(sample));
    }
    blocks.push(blocks::rich(stands(view, base, whole)));
    if let Some(grant) = grant {
        blocks.push(blocks::rich(vec![blocks::line(life::standing(grant))]));
    }
    if view.state == State::Pending {
        blocks.push(buttons(view, whole));
    }
    blocks.extend(steps::buttons(view));
    blocks.extend(allow::end_button(view));
    Message { text: summary(view), blocks }
}

/// A card without anything that a requester wrote, for when Slack refuses the other. It can't be approved from.
#[must_use]
pub fn bare_card(view: &RequestView, base: &Url) -> Message {
    let mut blocks = vec![heading(view), blocks::rich(stands(view, base, false))];
    if view.state == State::Pending {
        blocks.push(buttons(view, false));
    }
    Message { text: summary(view), blocks }
}

/// A card for a channel in which others read than those who decide: who asks and where, and nothing of what they wrote
/// or of what came of it. It is read under Details by those who may, or on its page.
#[must_use]
pub fn redacted(view: &RequestView, base: &Url) -> Message {
    let who = short(&view.principal, 200);
    let asks = match view.kind {
        RequestKind::Access => " asks for access",
        RequestKind::Statement => " asks to run something",
        RequestKind::Review => " broke the glass",
    };
    let on = format!("{asks} on {}. What it is stays out of this channel.", short(&view.connection, 63));
    let standing = outcome::bare_standing(view);
    let mut lines =
        vec![blocks::line(vec![blocks::bold(&who), blocks::plain(&on)]), blocks::line(vec![blocks::bold(&standing)])];
    let mut blocks = vec![heading(view)];
    if view.state == State::Pending {
        lines.extend(whom(view));
        lines.push(blocks::line(vec![blocks::link(&page(base, &view.id), "The request's page")]));
        let details = blocks::button("details", "Details", None, view.id.as_str());
        blocks.extend([blocks::rich(lines), blocks::actions(&block_id(&view.id, &view.digest), vec![details])]);
    } else {
        if let Some(allowance) = &view.allowance {
            lines.push(blocks::line(vec![blocks::plain(allow::bare_standing(allowance))]));
        }
        blocks.push(blocks::rich(lines));
        blocks.extend(allow::end_button(view));
    }
    let text = escaped(&format!("{}: {} by {who} on {}: {standing}", head(view), view.id, short(&view.connection, 63)));
    Message { text, blocks }
}

/// What came of it, for the thread of its card.
#[must_use]
pub fn outcome(view: &RequestView) -> Message {
    said(&outcome::came_of(view))
}

/// The same, where its card is redacted.
#[must_use]
pub fn redacted_outcome(view: &RequestView) -> Message {
    said(&outcome::bare_standing(view))
}

fn said(text: &str) -> Message {
    Message { text: escaped(text), blocks: vec![blocks::rich(vec![blocks::line(vec![blocks::plain(text)])])] }
}

/// What notifications and screen readers say. Notifications pass through others' servers and lie on locked screens: no
/// constant, reason or error is in them.
fn summary(view: &RequestView) -> String {
    let who = short(&view.principal, 100);
    let what = match (&view.access, view.state) {
        (Some(access), State::Pending) => outcome::access(access),
        (None, State::Pending) => in_brief(view),
        _ => outcome::pushed(view),
    };
    let head = head(view);
    escaped(&format!("{head}: {} by {who} on {}: {what}", view.id, short(&view.connection, 63)))
}

/// `delete 312 rows of public.orders, and 2 more`: what a statement does, without what it says.
fn in_brief(view: &RequestView) -> String {
    let rows = |one: &Impact| {
        let number = one.number().unwrap_or_else(|| "rows".into());
        format!("{} {number} of {}", one.action, short(&one.table, 100))
    };
    let does = |effect: &EffectView| effects::effect(effect, &view.connection);
    let (first, all) = match (view.impact.first(), view.effects.first()) {
        (Some(one), _) => (rows(one), view.impact.len()),
        (None, Some(effect)) => (short(&does(effect), 150), view.effects.len()),
        (None, None) => return "a statement".into(),
    };
    let more = all - 1;
    if more == 0 { first } else { format!("{first}, and {more} more") }
}

fn is_review(view: &RequestView) -> bool {
    view.kind == RequestKind::Review
}

fn head(view: &RequestView) -> &'static str {
    if is_review(view) { outcome::review_heading(view.state) } else { outcome::heading(view.state) }
}

fn heading(view: &RequestView) -> Value {
    blocks::header(&format!("{}: {} on {}", head(view), view.id, short(&view.connection, 63)))
}

pub(super) fn asks(view: &RequestView) -> Vec<Value> {
    let mut parts = vec![blocks::bold(&short(&view.principal, 200))];
    if let Some(owner) = &view.owner {
        parts.push(blocks::plain(&format!(", an agent of {},", short(owner, 200))));
    }
    let asks = match view.kind {
        RequestKind::Access => " asks for access to ",
        RequestKind::Statement if view.at_commit => " asks to keep what this did on ",
        RequestKind::Statement => " asks to run this on ",
        RequestKind::Review => " broke the glass, and ran this on ",
    };
    parts.push(blocks::plain(asks));
    parts.push(blocks::bold(&short(&view.connection, 63)));
    let from: Vec<String> = [("with", &view.application), ("from", &view.address)]
        .into_iter()
        .filter_map(|(word, value)| value.as_deref().map(|value| format!("{word} {}", short(value, 100))))
        .collect();
    let end = if from.is_empty() { ".".to_owned() } else { format!(", {}.", from.join(" ")) };
    parts.push(blocks::plain(&end));
    let mut lines = vec![blocks::line(parts)];
    if let Some(reason) = &view.reason {
        lines.push(blocks::line(vec![blocks::bold("Why: "), blocks::plain(&cut_mark(shown(reason, REASON_LIMIT)))]));
    }
    lines
}

fn cut_mark(shown: Shown) -> String {
    if shown.whole { shown.text } else { format!("{} … (cut)", shown.text) }
}

fn notes(view: &RequestView) -> Vec<String> {
    let mut notes: Vec<String> = view.notes.iter().take(NOTE_LIMIT).map(|note| short(note, NOTE_LENGTH)).collect();
    notes.extend(own_notes(view));
    notes
}

/// What is to be minded beside what the gateway says.
pub(super) fn own_notes(view: &RequestView) -> Vec<String> {
    let mut notes = Vec::new();
    if view.in_transaction {
        notes.push("A transaction is open and waits along, with the locks that it holds.".into());
    }
    notes.extend(reading_notes(&view.sql).into_iter().map(str::to_owned));
    if view.parameters.iter().any(|value| !value.is_ascii()) {
        notes.push("A parameter contains non-ASCII characters: letters may look like others.".into());
    }
    notes
}

fn does(view: &RequestView) -> Vec<Value> {
    let mut lines: Vec<String> =
        view.effects.iter().take(EFFECT_LIMIT).map(|effect| effects::effect(effect, &view.connection)).collect();
    let more = view.effects.len().saturating_sub(EFFECT_LIMIT);
    if more > 0 {
        lines.push(format!("and {more} effects more, which are not shown here"));
    }
    vec![
        blocks::line(vec![blocks::bold("It:")]),
        blocks::bullets(lines.iter().map(|line| blocks::line(vec![blocks::plain(line)])).collect()),
    ]
}

/// What stands above the statement.
pub(super) const fn what_it_is(view: &RequestView) -> &'static str {
    if view.at_commit { "Has run, in this order, and waits for its COMMIT" } else { "Statement" }
}

fn runs(view: &RequestView) -> Vec<Value> {
    if let Some(access) = &view.access {
        return vec![blocks::line(vec![blocks::bold("Access: "), blocks::plain(&outcome::access(access))])];
    }
    let what = what_it_is(view);
    let mut elements = vec![blocks::line(vec![blocks::bold(what)])];
    code(&mut elements, &view.sql, "statement");
    if !view.parameters.is_empty() {
        elements.push(blocks::line(vec![blocks::bold("Parameters")]));
        code(&mut elements, &parameters(view), "parameters");
    }
    elements
}

fn code(elements: &mut Vec<Value>, text: &str, what: &str) {
    let part = shown(text, TEXT_LIMIT);
    elements.push(blocks::code(&part.text));
    if !part.whole {
        let more = length(&visible(text)) - length(&part.text);
        let note = format!("Cut here: {more} more characters of the {what} are not shown.");
        elements.push(blocks::line(vec![blocks::bold(&note)]));
    }
}

pub(super) fn stands(view: &RequestView, base: &Url, whole: bool) -> Vec<Value> {
    let mut lines = vec![blocks::line(vec![blocks::bold(&outcome::standing(view))])];
    lines.extend(denials(view));
    for approval in view.approvals.iter().filter(|_| view.allowance.is_none()) {
        if let Some(terms) = &approval.allow {
            let text = format!("{} allowed it {}.", short(&approval.approver, 100), terms.sentence());
            lines.push(blocks::line(vec![blocks::plain(&text)]));
        }
    }
    if let Some(allowance) = &view.allowance {
        lines.push(blocks::line(vec![blocks::bold(&allow::standing(allowance))]));
    }
    let page = page(base, &view.id);
    if view.state == State::Pending {
        if !is_review(view) {
            // A wish for access waits for longer than until midnight.
            let today = view.expires_at.date_naive() == view.created_at.date_naive();
            let until = view.expires_at.format(if today { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S UTC" });
            lines.push(blocks::line(vec![blocks::plain(&format!("Ends by itself at {until}."))]));
        }
        lines.extend(whom(view));
        if !whole {
            let why = "It does not fit on this card, so it cannot be approved here. Read and decide on ";
            lines.push(blocks::line(vec![blocks::bold(why), blocks::link(&page, "the request's page")]));
            return lines;
        }
    }
    lines.push(blocks::line(vec![blocks::link(&page, "The request's page")]));
    lines
}

/// Who has said no, where one of them does not end it.
fn denials(view: &RequestView) -> Vec<Value> {
    if view.denials_needed < 2 || view.state != State::Pending {
        return Vec::new();
    }
    let line = |denial: &DenialView| {
        let why = denial.reason.as_deref().map(|why| format!(": {}", short(why, 200))).unwrap_or_default();
        blocks::line(vec![blocks::plain(&format!("Denied by {}{why}.", short(&denial.by, 100)))])
    };
    let mut lines: Vec<Value> = view.denials.iter().take(10).map(line).collect();
    if !lines.is_empty() {
        let ends = format!("{} denials end it.", view.denials_needed);
        lines.push(blocks::line(vec![blocks::plain(&ends)]));
    }
    lines
}

/// Who is asked first, and who in another's place.
fn whom(view: &RequestView) -> Vec<Value> {
    let mut lines = Vec::new();
    if let Some(first) = view.approvers.first() {
        lines.push(blocks::line(vec![blocks::user(&first.user), blocks::plain(" is asked first.")]));
    }
    for one in &view.stand_ins {
        let name = || blocks::plain(&short(&one.delegate, 100));
        let who = one.slack.as_ref().map_or_else(name, |slack| blocks::user(&slack.user));
        let of = format!(" is asked in the place of {}.", short(&one.of, 100));
        lines.push(blocks::line(vec![who, blocks::plain(&of)]));
    }
    lines
}

fn buttons(view: &RequestView, whole: bool) -> Value {
    let id = view.id.as_str();
    let mut row = Vec::new();
    let deny = if is_review(view) {
        // It has run: to close its review approves nothing that one would have to read whole.
        row.push(blocks::button("approve", "Reviewed", Some("primary"), id));
        "Found wrong"
    } else {
        if whole {
            row.push(impact::button(view));
            row.extend(allow::button(view));
        }
        "Deny"
    };
    row.push(blocks::button("deny", deny, Some("danger"), id));
    row.push(blocks::button("ask", "Ask", None, id));
    row.push(blocks::button("details", "Details", None, id));
    blocks::actions(&block_id(&view.id, &view.digest), row)
}
