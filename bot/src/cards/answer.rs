//! Every sentence that the bot says privately, to one person. All of it is mrkdwn, escaped here.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{KeepView, LinkStarted, Problem, RequestView},
    ids::RequestId,
};

use super::{
    access::when,
    allow, effects, outcome,
    visible::{escaped, short},
};

/// The presser asks for what they would approve.
#[must_use]
pub fn own_request(id: &RequestId) -> String {
    format!("You cannot approve your own request {id}. Another person has to. You can withdraw it.")
}

/// The gateway said no; in its own words.
#[must_use]
pub fn refused(problem: &Problem) -> String {
    escaped(&refusal(problem))
}

/// As [`refused`], for where Slack parses nothing.
#[must_use]
pub fn refusal(problem: &Problem) -> String {
    let hint = problem.hint.as_deref().map(|hint| format!(" {}", ended(hint))).unwrap_or_default();
    format!("{}{hint}", ended(&problem.error))
}

/// A sentence with a capital and a full stop.
fn ended(text: &str) -> String {
    let text = short(text, 600);
    let mut chars = text.chars();
    let text = chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>()).unwrap_or_default();
    if text.ends_with(['.', '!', '?', '…']) { text } else { format!("{text}.") }
}

/// Where to sign in. `why` is the sentence before it.
#[must_use]
pub fn sign_in(why: &str, started: &LinkStarted) -> String {
    let minutes = minutes_until(started.expires_at, Utc::now());
    // The gateway's own URL; percent-encoded where it would end the link.
    let url = started.url.replace('<', "%3C").replace('>', "%3E").replace('|', "%7C").replace('&', "&amp;");
    format!(
        "{why} <{url}|Sign in once to link your account>. The link is for you alone, works once, and ends in {minutes}."
    )
}

fn minutes_until(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match ((end - now).num_seconds().max(0) + 59) / 60 {
        1 => "1 minute".into(),
        minutes => format!("{minutes} minutes"),
    }
}

/// Before the link, for somebody who pressed a button unlinked.
pub const NOT_LINKED: &str =
    "Nothing was decided: your Slack account is not linked to an identity yet. After signing in, press again.";

/// `users.info` failed.
pub const WHO_ARE_YOU: &str =
    "Slack did not say who you are, so we could not check it; nothing was decided. Press again in a moment.";

/// The press names no digest that the bot could hold it to.
pub const NO_DIGEST: &str = "This button does not say which statement it was shown for; nothing was decided. Use the request's page or the command line.";

/// The gateway did not hear of it.
pub const UNREACHABLE: &str = "The gateway cannot be reached; nothing was decided. Press again in a moment.";

/// The gateway may have heard of it.
pub const UNCLEAR: &str =
    "The gateway did not answer; whether your decision arrived is not known. The card shows it if it did.";

/// The form with a request's details did not open.
pub const NO_DETAILS: &str = "Slack did not open the details. Press Details again, or open the request's page.";

/// Somebody looks who neither asked nor may decide nor audits.
pub const NOT_FOR_YOU: &str =
    "There is no such request for you: it is read by whoever asked, those who may decide on it, and auditors.";

/// Before the link, for somebody who wants to read.
pub const LINK_TO_READ: &str =
    "Your Slack account is not linked to an identity yet, so nobody knows what you may read.";

/// An administrator confirmed a link.
pub const LINK_CONFIRMED: &str = "Confirmed. What that account presses counts from now on.";

/// An administrator refused one.
pub const LINK_REFUSED: &str = "Refused. The account is linked to nobody.";

/// The modal did not open.
pub const NO_ALLOW_FORM: &str = "The form to approve for a time did not open or can't be read; nothing was approved. Press the button again, or use the \
     request's page.";

/// Nothing is decided there any more.
pub const NOT_OPEN: &str = "This request does not wait any more; nothing was approved.";

/// Policy lets nobody approve it for a time.
pub const NOT_ALLOWABLE: &str = "This can only be approved once; nothing was approved.";

/// The form for a denial's reason did not open.
pub const NO_FORM: &str = "Slack did not open the form for the reason; nothing was denied. Press Deny again.";

/// A submitted form without what it should carry.
pub const BAD_FORM: &str = "The form came back without its request; nothing was denied. Press Deny again.";

/// The approval counts, and more are needed.
#[must_use]
pub fn taken(message: &str) -> String {
    escaped(&ended(message))
}

/// `/access help`, or no verb.
#[must_use]
pub fn help() -> String {
    "*Countersign* holds risky statements until a second person agrees.\n\
     • `/access request` asks for a role: in a form, or typed as `/access request CONNECTION ROLE DURATION REASON`, with a duration like `2h`, `90m` or `until 17:00`\n\
     • `/access status` tells what you have, for how long, and what you have asked for\n\
     • `/access extend ID` asks for more time; `/access extend ID DURATION REASON`, too\n\
     • `/access done [ID]` gives a role back, `/access revoke ID` ends one that you may end\n\
     • `/access delegate WHO until Mon` names who is told of requests in your place, `delegate off` ends it\n\
     • `/access review CONNECTION` walks its grants, to keep or revoke each\n\
     • `/access requests` lists what waits for you, and what of yours waits\n\
     • `/access park ID` lets a held statement of yours wait without its session: send it again once it is approved\n\
     • `/access sessions` lists sessions that you may end, `/access kill ID` ends one\n\
     • `/access link` links your Slack account to your identity, by signing in once; `/access unlink` ends that\n\
     • `/access help` shows this"
        .into()
}

/// A verb that does not exist.
#[must_use]
pub fn unknown_verb(verb: &str, nearest: Option<&str>) -> String {
    let verb = escaped(&short(verb, 40).replace('`', "'"));
    let guess = nearest.map(|nearest| format!(" Did you mean `/access {nearest}`?")).unwrap_or_default();
    format!("There is no `/access {verb}`.{guess}\n{}", help())
}

/// `/access requests` by somebody who is no member of the workspace.
pub const MEMBERS_ONLY: &str = "Only full members of this workspace can use `/access`.";

/// Before the link that was asked for.
pub const LINKING: &str = "This links your Slack account to your identity, so that your decisions count.";

/// Before the link, for somebody who asked for something unlinked.
pub const LINK_TO_ASK: &str =
    "Nothing was done: your Slack account is not linked to an identity yet. After signing in, ask again.";

/// `/access unlink` by somebody who is linked to nothing.
pub const NOT_LINKED_ANYWAY: &str = "Your Slack account is not linked to an identity.";

/// The account's link is gone.
pub const UNLINKED: &str = "Your Slack account is no longer linked to your identity. What you have asked for and approved stays; `/access link` links it again.";

/// `users.info` failed, for a command.
pub const WHO_ASKS: &str = "Slack did not say who you are, so nothing was done. Try again in a moment.";

/// How the typed wish looks.
pub const HOW_TO_REQUEST: &str = "Type `/access request CONNECTION ROLE DURATION REASON`, like `/access request shop shop-writer 2h fixing INC-42`; or `/access request` alone for a form.";

/// How the typed extension looks.
pub const HOW_TO_EXTEND: &str =
    "Type `/access extend ID`, or `/access extend ID DURATION REASON`. `/access status` lists what you have.";

/// How somebody is named.
pub const HOW_TO_DELEGATE: &str =
    "Type `/access delegate WHO until Mon`, with their address or handle, or `/access delegate off`.";

/// Somebody is told in their place no more.
pub const DELEGATION_OFF: &str = "Nobody is told of requests in your place any more.";

/// A mention of an account that is nobody's.
pub const DELEGATE_NOT_LINKED: &str = "That account is not linked to an identity yet; they type `/access link` first.";

/// How a grant is ended.
pub const HOW_TO_REVOKE: &str = "Type `/access revoke ID`. `/access status` lists what you have.";

/// How a session is ended.
pub const HOW_TO_KILL: &str = "Type `/access kill ID`. `/access sessions` lists those that you may end.";

/// What is no id of a grant.
pub const NO_SUCH_GRANT: &str = "There is no such grant. `/access status` lists what you have.";

/// What is no id of a session.
pub const NO_SUCH_SESSION: &str = "There is no such session. `/access sessions` lists those that you may end.";

/// `/access done` without anything to give back.
pub const NO_GRANTS: &str = "You have no role to give back.";

/// The form did not open, or came back empty.
pub const NO_ASK_FORM: &str =
    "The form did not work; nothing was asked. Type `/access request CONNECTION ROLE DURATION REASON`, or try again.";

/// The form where policy lets nobody ask for anything.
pub const NOTHING_TO_ASK: &str = "There is no role that you may ask for. Ask whoever keeps the policy.";

/// The home tab of somebody unlinked.
pub const LINK_AT_HOME: &str =
    "Your Slack account is not linked to an identity yet. Type /access link in any channel, and open this tab again.";

/// The form did not open, or came back empty.
pub const NO_KEEP_FORM: &str = "The form for the reason did not work; the grant is not kept. Press Keep again.";

/// `/access park` without an id.
pub const HOW_TO_PARK: &str = "Say which request: `/access park ID`. `/access requests` lists what of yours waits.";

/// The form did not open, or came back empty.
pub const NO_QUESTION_FORM: &str =
    "The form for the question did not work; nothing was asked. Press Ask again, or use `countersign requests ask`.";

/// A grant is left alone for a while.
#[must_use]
pub fn kept(kept: &KeepView) -> String {
    format!("It is kept until {}; the digest leaves it alone until then.", when(kept.until))
}

/// A call that may have arrived.
pub const COMMAND_UNCLEAR: &str =
    "The gateway did not answer; whether it was done is not known. `/access status` tells what you have.";

/// The link exists and waits.
pub const NOT_CONFIRMED: &str =
    "Your link waits for an administrator, since Slack's e-mail and your identity's differ.";

/// A command that could not be done.
pub const COMMAND_FAILED: &str = "The gateway cannot be reached. Try again in a moment.";

/// What waits, for the reader and of theirs, without its SQL: who is not in a card's channel need not
/// see that here.
#[must_use]
pub fn pending(to_decide: &[RequestView], own: &[RequestView]) -> String {
    let parts = [("*Waits for you*", to_decide), ("*Yours*", own)];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, views)| !views.is_empty())
        .map(|(head, views)| format!("{head}\n{}", list(views)))
        .collect();
    if parts.is_empty() { "Nothing waits for you, and nothing of yours waits.".into() } else { parts.join("\n") }
}

/// The same, with what is allowed for a time now.
#[must_use]
pub fn with_allowed(waits: String, allowed: &[RequestView]) -> String {
    let one = |view: &RequestView| {
        let allowance = view.allowance.as_ref()?;
        let (on, who) = (short(&view.connection, 63), short(&view.principal, 100));
        Some(format!("• {}", escaped(&format!("{} on {on} by {who}: {}", view.id, allow::standing(allowance)))))
    };
    let lines: Vec<String> = allowed.iter().filter_map(one).take(20).collect();
    if lines.is_empty() { waits } else { format!("{waits}\n*Allowed for a time*\n{}", lines.join("\n")) }
}

fn list(views: &[RequestView]) -> String {
    let mut lines: Vec<String> = views.iter().take(20).map(line).collect();
    if views.len() > 20 {
        lines.push(format!("and {} more", views.len() - 20));
    }
    lines.join("\n")
}

fn line(view: &RequestView) -> String {
    let does = match (&view.access, view.effects.first()) {
        (Some(access), _) => format!(", {}", outcome::access(access)),
        (None, Some(first)) => format!(", {}", effects::effect(first, &view.connection)),
        (None, None) => String::new(),
    };
    let more = view.effects.len().saturating_sub(1);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "• {} on {} by {}{does}{more}; waits for {}, until ",
        view.id,
        short(&view.connection, 63),
        short(&view.principal, 100),
        outcome::needed(&view.needed),
    );
    format!("{}{}", escaped(&text), when(view.expires_at))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::cards::samples;

    #[test]
    fn a_refusal_is_a_sentence_and_pings_nobody() {
        let problem =
            Problem { code: "forbidden".into(), error: "<!channel> is over".into(), hint: Some("ask dba".into()) };
        assert_eq!(refused(&problem), "&lt;!channel&gt; is over. Ask dba.");
    }

    #[test]
    fn a_link_cannot_be_broken_out_of() {
        let started =
            LinkStarted { url: "https://x/link/a|b><!here>".into(), expires_at: Utc::now() + TimeDelta::minutes(10) };
        let text = sign_in("Why.", &started);
        assert!(text.starts_with("Why. <https://x/link/a%7Cb%3E%3C!here%3E|Sign in once"), "{text}");
        assert!(text.ends_with("ends in 10 minutes."), "{text}");
    }

    #[test]
    fn the_list_of_pending_requests_shows_no_sql() {
        let text = pending(&[samples::view()], &[]);
        assert!(text.contains("K7Q2AB9X on shop by ana@acme.dev, deletes rows from table public.orders"), "{text}");
        assert!(!text.to_lowercase().contains("delete from"), "{text}");
        assert_eq!(pending(&[], &[]), "Nothing waits for you, and nothing of yours waits.");
        let allowed = RequestView { allowance: Some(samples::allowance("open")), ..samples::view() };
        let text = with_allowed("Nothing.".into(), &[allowed]);
        let said = "• K7Q2AB9X on shop by ana@acme.dev: Allowed for 30 min, 10 runs of at most 500 rows each";
        assert!(text.contains(said), "{text}");
        assert_eq!(with_allowed("Nothing.".into(), &[]), "Nothing.");
    }

    #[test]
    fn an_unknown_verb_cannot_break_its_code_span() {
        let text = unknown_verb("`<!here>`", Some("help"));
        assert!(text.starts_with("There is no `/access '&lt;!here&gt;'`. Did you mean `/access help`?"), "{text}");
    }
}
