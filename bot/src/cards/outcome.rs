//! Where a request stands, in sentences.

use countersign_shared::{
    api::{AccessView, ApprovalView, Needed, RequestKind, RequestView},
    request::{Assurance, State},
};

use super::{steps, visible::short};

/// What the heading says of a statement that ran by break-glass.
#[must_use]
pub const fn review_heading(state: State) -> &'static str {
    match state {
        State::Denied => "Break-glass, found wrong",
        State::Approved | State::Released | State::Done => "Break-glass, reviewed",
        _ => "BREAK-GLASS: look at this",
    }
}

/// Where such a review stands.
fn reviewed(view: &RequestView) -> String {
    let outcome = view.outcome.clone().unwrap_or_default();
    let by = outcome.by.as_deref().map(|by| format!(" by {}", short(by, 100))).unwrap_or_default();
    match view.state {
        State::Denied => {
            let because = outcome.reason.map(|reason| format!(": {}", short(&reason, 600))).unwrap_or_default();
            sentence(format!("It has run, and was found wrong{by}{because}"))
        }
        State::Approved | State::Released | State::Done => {
            let by: Vec<String> = view.approvals.iter().map(approval).collect();
            sentence(format!("It has run, and was reviewed by {}", by.join(", ")))
        }
        _ => format!("It has run already, unasked. It waits for {} that looks at it.", needed(&view.needed)),
    }
}

/// What the heading says of a state.
#[must_use]
pub const fn heading(state: State) -> &'static str {
    match state {
        State::Pending => "Approval needed",
        State::Approved => "Approved",
        State::Denied => "Denied",
        State::Withdrawn => "Withdrawn",
        State::Expired => "Expired",
        State::Void => "Void",
        State::Released => "Approved, running",
        State::Done => "Done",
        State::Unknown => "Outcome unknown",
    }
}

/// `2 approvals, among them someone of dba, from members of dba or leads, after a fresh sign-in`.
#[must_use]
pub fn needed(needed: &Needed) -> String {
    let mut text = match needed.count {
        1 => "1 approval".to_owned(),
        count => format!("{count} approvals"),
    };
    if !needed.from.is_empty() {
        text = format!("{text} by members of {}", join(&needed.from, "or"));
    }
    if !needed.groups.is_empty() {
        text = format!("{text}, with somebody for {}", join(&needed.groups, "and"));
    }
    if needed.step_up {
        text.push_str(", after a fresh sign-in");
    }
    text
}

/// `priya@acme.dev (Slack)`.
#[must_use]
pub fn approval(approval: &ApprovalView) -> String {
    let how = match approval.assurance {
        Assurance::Slack => "Slack",
        Assurance::Cli => "command line",
        Assurance::StepUp => "fresh sign-in",
    };
    format!("{} ({how})", short(&approval.approver, 100))
}

/// `shop-writer for 2 h 30 min`.
#[must_use]
pub fn access(access: &AccessView) -> String {
    let (hours, minutes, seconds) = (access.seconds / 3600, access.seconds % 3600 / 60, access.seconds % 60);
    let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
    let parts = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}"));
    let time = parts.collect::<Vec<_>>().join(" ");
    let more = if access.extends.is_some() { ", from now on; they have it already" } else { "" };
    format!("{} for {time}{more}", short(&access.role, 63))
}

/// Where the request stands, in a sentence or two.
#[must_use]
pub fn standing(view: &RequestView) -> String {
    if view.kind == RequestKind::Review {
        return reviewed(view);
    }
    let Some(so_far) = steps::so_far(view) else { return as_one(view) };
    match view.state {
        State::Expired if !view.approvals.is_empty() => format!("Expired: its time is over. {so_far}"),
        State::Approved => format!("{} Its statements run as they are sent: {so_far}", approved_by(view)),
        State::Denied | State::Withdrawn | State::Void | State::Expired => {
            format!("{} {so_far}", ended(view, heading(view.state)))
        }
        State::Done => format!("{} {} {so_far}", approved_by(view), ran(view)),
        _ => as_one(view),
    }
}

/// `Denied by dario: not on a Friday.`
fn ended(view: &RequestView, head: &str) -> String {
    let outcome = view.outcome.clone().unwrap_or_default();
    let by = outcome.by.as_deref().map(|by| format!(" by {}", short(by, 100))).unwrap_or_default();
    let because = outcome.reason.as_deref().map(|reason| format!(": {}", short(reason, 600))).unwrap_or_default();
    sentence(format!("{head}{by}{because}"))
}

/// The same of what runs as one.
fn as_one(view: &RequestView) -> String {
    let reason = view.outcome.as_ref().and_then(|outcome| outcome.reason.as_deref());
    let reason = reason.map(|reason| short(reason, 600));
    let because = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let plain = |head: &str| ended(view, head);
    let wish = view.access.is_some();
    match view.state {
        State::Approved | State::Released if wish => format!("{} Access is about to begin.", approved_by(view)),
        State::Done if wish => format!("{} Access was given.", approved_by(view)),
        State::Expired if wish => "Expired: nobody decided in time. No access was given.".into(),
        State::Void | State::Unknown if wish => format!("{} No access was given.", plain("Void")),
        State::Pending => {
            let have = if view.approvals.is_empty() { String::new() } else { format!(" {}", approved_by(view)) };
            format!("Waits for {}.{have}", needed(&view.needed))
        }
        State::Approved => format!("{} It is about to run.", approved_by(view)),
        State::Released => format!("{} It is running.", approved_by(view)),
        State::Done => format!("{} {}", approved_by(view), ran(view)),
        State::Denied => plain("Denied"),
        State::Withdrawn => plain("Withdrawn"),
        State::Expired => match reason {
            Some(reason) => sentence(format!("Expired: {reason}")),
            None => "Expired: nobody decided in time. It has not run.".into(),
        },
        State::Void => format!("{} It has not run.", plain("Void")),
        State::Unknown => {
            format!("{} It was released, and whether it ran is not known{because}. Check the data.", approved_by(view))
        }
    }
}

/// Where the request stands, in words that nobody wrote who asked or decided, and none of the server's.
#[must_use]
pub fn bare_standing(view: &RequestView) -> String {
    let by = view.outcome.as_ref().and_then(|outcome| outcome.by.as_deref());
    let by = by.map(|by| format!(" by {}", short(by, 100))).unwrap_or_default();
    let review = view.kind == RequestKind::Review;
    match view.state {
        State::Pending => format!("Waits for {}.", needed(&view.needed)),
        State::Denied if review => sentence(format!("Found wrong{by}")),
        State::Approved | State::Released | State::Done if review => {
            approved_by(view).replacen("Approved", "Reviewed", 1)
        }
        State::Denied | State::Withdrawn | State::Expired | State::Void => {
            sentence(format!("{}{by}", heading(view.state)))
        }
        State::Approved | State::Released => approved_by(view),
        State::Done if view.outcome.as_ref().is_some_and(|outcome| outcome.error.is_some()) => {
            format!("{} It failed.", approved_by(view))
        }
        State::Done => format!("{} It is done.", approved_by(view)),
        State::Unknown => format!("{} Whether it ran is not known.", approved_by(view)),
    }
}

/// As [`bare_standing`], with the command tag of what ran.
#[must_use]
pub fn pushed(view: &RequestView) -> String {
    let outcome = view.outcome.as_ref().filter(|outcome| view.state == State::Done && outcome.error.is_none());
    match outcome.and_then(|outcome| outcome.tag.as_deref()) {
        Some(tag) if view.kind == RequestKind::Statement => format!("{} {}.", approved_by(view), short(tag, 100)),
        _ => bare_standing(view),
    }
}

/// `DELETE 1204 in 0.3 s.`, the server's error, or that nobody knows.
#[must_use]
pub fn came_of(view: &RequestView) -> String {
    if view.state == State::Done { ran(view) } else { standing(view) }
}

/// `DELETE 1204 in 0.3 s.`, or the server's error.
fn ran(view: &RequestView) -> String {
    let Some(outcome) = &view.outcome else { return "It ran.".into() };
    let time = outcome.milliseconds.map(|ms| format!(" in {}", duration(ms))).unwrap_or_default();
    let undone = outcome.reason.as_deref().map(|r| format!(" {}", sentence(short(r, 600)))).unwrap_or_default();
    if let Some(error) = &outcome.error {
        return format!("It failed{time}: {}{undone}", sentence(short(error, 600)));
    }
    match &outcome.tag {
        Some(tag) => format!("{}{time}.{undone}", short(tag, 100)),
        None => format!("It ran{time}.{undone}"),
    }
}

fn approved_by(view: &RequestView) -> String {
    if view.approvals.is_empty() {
        return "Approved.".into();
    }
    let who: Vec<String> = view.approvals.iter().map(approval).collect();
    format!("Approved by {}.", join(&who, "and"))
}

/// `0.3 s`, `12 ms`, `2 min 5 s`.
fn duration(ms: u64) -> String {
    match ms {
        0..100 => format!("{ms} ms"),
        100..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `a`, `a or b`, `a, b or c`; at most ten, so that it stays short.
fn join(words: &[String], last: &str) -> String {
    let mut words: Vec<String> = words.iter().map(|word| short(word, 100)).collect();
    if words.len() > 10 {
        let more = words.len() - 9;
        words.truncate(9);
        words.push(format!("{more} more"));
    }
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, head)) => format!("{} {last} {end}", head.join(", ")),
    }
}

/// Ends `text` as a sentence.
fn sentence(text: String) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use countersign_shared::api::Outcome;

    use super::*;
    use crate::cards::samples;

    #[test]
    fn every_state_has_its_sentence() {
        let ended = |reason: &str, by: Option<&str>| {
            Some(Outcome { reason: Some(reason.into()), by: by.map(Into::into), ..Outcome::default() })
        };
        let ran = |tag: &str| Some(Outcome { tag: Some(tag.into()), milliseconds: Some(312), ..Outcome::default() });
        let failed = Some(Outcome { error: Some("23503: still referenced".into()), ..Outcome::default() });
        let table = [
            (State::Pending, None, "Waits for 1 approval by members of dba."),
            (State::Approved, None, "Approved by priya@acme.dev (Slack). It is about to run."),
            (State::Released, None, "Approved by priya@acme.dev (Slack). It is running."),
            (State::Done, ran("DELETE 1204"), "Approved by priya@acme.dev (Slack). DELETE 1204 in 0.3 s."),
            (State::Done, failed, "Approved by priya@acme.dev (Slack). It failed: 23503: still referenced."),
            (State::Denied, ended("not on a Friday", Some("dario")), "Denied by dario: not on a Friday."),
            (State::Withdrawn, ended("withdrawn with Ctrl-C", None), "Withdrawn: withdrawn with Ctrl-C."),
            (State::Expired, None, "Expired: nobody decided in time. It has not run."),
            (State::Void, ended("the gateway stopped", None), "Void: the gateway stopped. It has not run."),
            (
                State::Unknown,
                None,
                "Approved by priya@acme.dev (Slack). It was released, and whether it ran is not known. Check the data.",
            ),
        ];
        for (state, outcome, expected) in table {
            let approvals = if state == State::Pending { Vec::new() } else { vec![samples::approval()] };
            let view = RequestView { state, outcome, approvals, ..samples::view() };
            assert_eq!(standing(&view), expected, "{state}");
        }
    }

    #[test]
    fn what_is_needed_names_count_and_groups() {
        let two = Needed {
            count: 2,
            groups: vec!["dba".into()],
            from: vec!["dba".into(), "leads".into()],
            step_up: true,
            at_commit: false,
        };
        let text = "2 approvals by members of dba or leads, with somebody for dba, after a fresh sign-in";
        assert_eq!(needed(&two), text);
    }

    #[test]
    fn times_are_short() {
        assert_eq!([12, 312, 61_500].map(duration), ["12 ms", "0.3 s", "1 min 1 s"]);
    }
}
