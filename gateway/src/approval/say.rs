//! What a person reads after choosing.

use countersign_shared::{
    allow::Terms,
    api::{Needed, Problem, RequestKind},
    duties::Conflict,
    ids::RequestId,
    request::{Choice, State},
};

use super::allowance::Agreed;
use crate::store::{NewRequest, Request, StoreError};

/// A problem with its stable word.
pub(crate) fn problem(code: &str, error: impl Into<String>, hint: Option<&str>) -> Problem {
    Problem { code: code.into(), error: error.into(), hint: hint.map(Into::into) }
}

pub(super) fn not_found(id: &RequestId) -> Problem {
    problem("not_found", format!("There is no request {id}."), Some("Look at the id again, or list the open requests."))
}

pub(super) fn unavailable() -> Problem {
    problem(
        "unavailable",
        "The gateway can't record a decision right now, so none was taken.",
        Some("Try again in a moment."),
    )
}

/// The store's no, in the words of whoever chose.
pub(super) fn store(error: &StoreError, id: &RequestId) -> Problem {
    match error {
        StoreError::SameHuman => own(Conflict::OwnRequest, Choice::Approve),
        StoreError::NotFound(_) => not_found(id),
        StoreError::Over { state } => problem("over", format!("This request is over: it is {state}."), None),
        StoreError::GrantOver => problem("over", "The grant has ended.", None),
        StoreError::AlreadyDecided => problem("already_decided", "You have decided on this request already.", None),
        StoreError::BoundToAnother { .. }
        | StoreError::Gone { .. }
        | StoreError::TokenEnded { .. }
        | StoreError::Taken(_)
        | StoreError::Linked(_)
        | StoreError::Refused(_) => problem("forbidden", error.to_string(), None),
        StoreError::Unavailable(_) => {
            tracing::error!(%error, request = %id, "a decision was not taken");
            unavailable()
        }
    }
}

pub(super) fn own(conflict: Conflict, choice: Choice) -> Problem {
    match (conflict, choice) {
        (Conflict::Agent, _) => problem("forbidden", "Only people decide on requests; an agent can't.", None),
        (_, Choice::Deny) => {
            problem("own_request", "This is your own request; you can't deny it.", Some("Withdraw it instead."))
        }
        (Conflict::OwnAgent, _) => problem(
            "own_request",
            "You answer for the agent that asks, so you cannot approve its request.",
            Some("Ask somebody else who may approve."),
        ),
        (Conflict::OwnRequest, _) => problem(
            "own_request",
            "You cannot approve your own request.",
            Some("Ask somebody else who may approve. You can withdraw it with Ctrl-C."),
        ),
    }
}

pub(super) fn not_the_requester() -> Problem {
    problem("forbidden", "Only the one who asked can withdraw this request.", Some("An approver can deny it."))
}

pub(super) fn not_an_approver(needed: &Needed) -> Problem {
    let error = match needed.from.as_slice() {
        [] => "You may not decide on this request.".to_owned(),
        [group] => format!("You may not decide on this request: its approvers are in {group}."),
        groups => format!("You may not decide on this request: its approvers are in {}.", groups.join(", ")),
    };
    problem("not_an_approver", error, Some("Ask one of them, or have the policy give you `approve`."))
}

pub(super) fn digest_mismatch() -> Problem {
    problem(
        "digest_mismatch",
        "What you saw is not what this request holds, so your choice was not taken.",
        Some("Open the request again and read it before you choose."),
    )
}

pub(super) fn step_up(page: &str) -> Problem {
    let hint = format!("Open {page} and sign in again.");
    problem("step_up_needed", "Policy asks for a fresh sign-in before this approval counts.", Some(&hint))
}

/// How a request that takes no choice any more ended.
pub(super) fn over(request: &Request) -> Problem {
    over_for("decision", request)
}

/// The same for a question.
pub(super) fn no_question_any_more(request: &Request) -> Problem {
    over_for("question", request)
}

fn over_for(what: &str, request: &Request) -> Problem {
    let by = request.outcome.as_ref().and_then(|outcome| outcome.by.as_deref());
    let reason = request.outcome.as_ref().and_then(|outcome| outcome.reason.as_deref());
    let how = match request.state {
        State::Pending | State::Expired => "nobody decided in time",
        State::Approved => "it is approved and about to run",
        State::Denied => "it was denied",
        State::Withdrawn => "it was withdrawn",
        State::Void => "something that it rests on changed, or the gateway stopped",
        State::Released => "it is running",
        State::Done => "it has run",
        State::Unknown => "it was released, and whether it ran is not known",
    };
    let by = by.map(|who| format!(" by {who}")).unwrap_or_default();
    let reason = reason.map(|why| format!(" ({why})")).unwrap_or_default();
    problem("over", format!("This request takes no {what} any more: {how}{by}{reason}."), None)
}

pub(super) fn approved(request: &NewRequest) -> String {
    match request.kind {
        RequestKind::Statement if !request.steps.is_empty() => {
            "Approved; its statements run as they are sent, in this order, each once.".into()
        }
        RequestKind::Statement if request.session.is_none() => "Approved; it runs when it is sent again.".into(),
        RequestKind::Statement => "Approved; it runs now.".into(),
        RequestKind::Access => "Approved; access begins now.".into(),
        RequestKind::Review => "Reviewed; it is closed.".into(),
    }
}

pub(super) fn allowed(request: &NewRequest, agreed: &Agreed) -> String {
    let terms = agreed.allowed.terms.sentence();
    let when = if request.session.is_some() { "now" } else { "when it is sent again" };
    format!("Allowed {terms}; it runs {when}, and the same text of theirs again without anybody being asked.")
}

pub(super) fn approved_once(request: &NewRequest) -> String {
    let said = approved(request);
    format!("{said} Once: not everybody who is needed allowed it for a time.")
}

pub(super) fn allows_nothing() -> Problem {
    problem("bad_request", "Only an approval allows anything.", None)
}

pub(super) fn not_allowable() -> Problem {
    let error = "This can't be allowed for a time: policy does not say so of it, or it is no single write whose rows the \
                 server counts, shown whole and outside a transaction.";
    problem("not_allowable", error, Some("Approve it once."))
}

pub(super) fn more_than_policy_lets(most: &Terms) -> Problem {
    let error = format!("Policy lets it be allowed {} at most.", most.sentence());
    problem("not_allowable", error, Some("Choose less, or approve it once."))
}

pub(super) fn fewer_rows_than_it_touches(stated: u64) -> Problem {
    let error = format!("It would touch {stated} rows, so a limit below that would undo it at once.");
    problem("not_allowable", error, Some("Choose a higher limit, or approve it once."))
}

pub(super) fn not_alike() -> Problem {
    let error = "With your approval it would be approved, but not for a time: those who approved before did not allow just \
                 that, or policy does not let you all allow it.";
    problem("not_allowable", error, Some("Allow just what they did, or approve it once."))
}

pub(super) fn not_theirs_to_end() -> Problem {
    let error = "Only whoever asked, allowed it or may approve it, and who administers the connection, may end this.";
    problem("forbidden", error, None)
}

pub(super) fn nothing_to_end() -> Problem {
    problem("over", "Nothing is allowed any more under this request.", None)
}

pub(super) fn allowance_ended() -> String {
    "Ended; from now on it waits for approval again.".into()
}

pub(super) fn denied_before() -> String {
    "You have denied this already; nothing was changed.".into()
}

pub(super) fn more_denials(needed: u32, have: usize) -> String {
    let more = usize::try_from(needed).unwrap_or(usize::MAX).saturating_sub(have).max(1);
    format!("Your denial is recorded; {more} more would end it. Your approval would not count any more.")
}

/// It has run; only somebody else can say that it was right.
pub(super) fn review_stays() -> Problem {
    let hint = Some("Ask another person to close it.");
    problem("forbidden", "The review of a statement that was run by break-glass is not withdrawn.", hint)
}

/// A wish that had its approvals, and still came to nothing.
pub(super) fn not_given(why: &str) -> Problem {
    problem("over", format!("Your approval is recorded, but no access was given: {why}."), None)
}

pub(super) fn more_needed(needed: &Needed, have: usize) -> String {
    let more = needed.count.saturating_sub(have).max(1);
    let groups = if needed.groups.is_empty() {
        String::new()
    } else {
        format!(", and people in {}", needed.groups.join(" and "))
    };
    format!("Your approval is recorded; {more} more needed{groups}.")
}

pub(super) fn approved_already() -> String {
    "You have approved this already; nothing was changed.".into()
}

pub(super) fn denied(kind: RequestKind) -> String {
    match kind {
        RequestKind::Statement => "Denied; it will not run.".into(),
        RequestKind::Access => "Denied; no access is given.".into(),
        RequestKind::Review => "Recorded: it should not have been run. The review is closed.".into(),
    }
}

pub(super) fn withdrawn(kind: RequestKind) -> String {
    match kind {
        RequestKind::Statement => "Withdrawn; it will not run.".into(),
        RequestKind::Access => "Withdrawn; no access is given.".into(),
        RequestKind::Review => "Withdrawn.".into(),
    }
}

pub(super) fn ended_already() -> String {
    "You have ended this already; nothing was changed.".into()
}

pub(super) fn no_longer_permitted() -> String {
    "Policy no longer permits this, approved or not, so it ended.".into()
}

pub(super) fn not_the_requester_parks() -> Problem {
    problem("forbidden", "Only the one who asked can park this request.", None)
}

pub(super) fn nothing_to_park() -> Problem {
    let hint = Some("It waits as it is, whether or not anybody is connected.");
    problem("forbidden", "No session waits with this request, so there is nothing to park.", hint)
}

pub(super) fn not_parked(why: &str) -> Problem {
    let hint = Some("Nothing was parked. Where it still waits, it waits in its session, as before.");
    problem("not_parked", format!("It can't be parked: {why}."), hint)
}

pub(super) fn park_unanswered() -> Problem {
    let hint = Some("It may still be parked. Look with `/access requests` before you try again.");
    problem("unavailable", "The session that waits has not answered yet.", hint)
}

pub(super) fn parked(request: &NewRequest) -> String {
    let until = request.expires_at.format("%Y-%m-%d %H:%M UTC");
    format!(
        "Parked as request {}. Once it is approved, send the same text again, until {until}; it then runs, once.",
        request.id
    )
}

pub(super) fn no_question() -> Problem {
    problem("bad_request", "There is no question in this.", Some("Write what you want to know before you decide."))
}

pub(super) fn question_too_long() -> Problem {
    let error = format!("The question is longer than {} characters.", countersign_shared::question::LONGEST);
    problem("bad_request", error, Some("Ask it shorter; the requester reads it in a terminal."))
}

pub(super) fn own_question(conflict: Conflict) -> Problem {
    match conflict {
        Conflict::Agent => {
            problem("forbidden", "Only people who may decide ask about a request; an agent can't.", None)
        }
        Conflict::OwnRequest | Conflict::OwnAgent => {
            let hint = Some("Whoever may decide on it asks you. Answer in the thread of its card.");
            problem("own_request", "This request is your own, so there is nobody to ask but you.", hint)
        }
    }
}

pub(super) fn too_many_questions(most: u32) -> Problem {
    let error = format!("You have asked {most} questions about this request; more are not passed on.");
    problem("too_many", error, Some("Decide, or talk to the requester."))
}

pub(super) fn asked_before() -> String {
    "You have asked just this already; it was passed on then.".into()
}

pub(super) fn question_passed_on(request: &NewRequest) -> String {
    match request.session {
        Some(_) if request.kind == RequestKind::Statement => {
            "Asked: the session that waits reads it, and so does the thread of the card. Nothing is decided by it."
                .into()
        }
        _ => "Asked in the thread of the card. No session waits with this request. Nothing is decided by it.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_many_more_is_never_none() {
        let needed = Needed { count: 2, groups: vec!["dba".into()], ..Needed::default() };
        assert_eq!(more_needed(&needed, 1), "Your approval is recorded; 1 more needed, and people in dba.");
        assert_eq!(more_needed(&Needed::default(), 3), "Your approval is recorded; 1 more needed.");
    }
}
