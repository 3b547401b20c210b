//! Every sentence that the bot says privately, to one person. All of it is mrkdwn, escaped here.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::{LinkStarted, Problem, RequestView},
    ids::RequestId,
};

use super::{
    effects, outcome,
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
    let hint = problem.hint.as_deref().map(|hint| format!(" {}", ended(hint))).unwrap_or_default();
    escaped(&format!("{}{hint}", ended(&problem.error)))
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

/// The modal did not open.
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
     • `/access link` links your Slack account to your identity, by signing in once\n\
     • `/access requests` lists what waits for approval\n\
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

/// For a command that needs a link.
pub const LINK_FIRST: &str = "Your Slack account is not linked to an identity yet. Type `/access link` first.";

/// The link exists and waits.
pub const NOT_CONFIRMED: &str =
    "Your link waits for an administrator, since Slack's e-mail and your identity's differ.";

/// A command that could not be done.
pub const COMMAND_FAILED: &str = "The gateway cannot be reached. Try again in a moment.";

/// What waits, without its SQL: who is not in a card's channel need not see that.
#[must_use]
pub fn pending(views: &[RequestView]) -> String {
    if views.is_empty() {
        return "Nothing waits for approval.".into();
    }
    let line = |view: &RequestView| {
        let does = view.effects.first().map(|first| format!(", {}", effects::effect(first, &view.connection)));
        let more = view.effects.len().saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let needed = outcome::needed(&view.needed);
        escaped(&format!(
            "• {} on {} by {}{}{more}; waits for {needed}, until {}",
            view.id,
            short(&view.connection, 63),
            short(&view.principal, 100),
            does.unwrap_or_default(),
            view.expires_at.format("%H:%M UTC"),
        ))
    };
    let mut lines: Vec<String> = views.iter().take(20).map(line).collect();
    if views.len() > 20 {
        lines.push(format!("and {} more", views.len() - 20));
    }
    lines.join("\n")
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
        let text = pending(&[samples::view()]);
        assert!(text.contains("K7Q2AB9X on shop by ana@acme.dev, deletes rows from table public.orders"), "{text}");
        assert!(!text.to_lowercase().contains("delete from"), "{text}");
        assert_eq!(pending(&[]), "Nothing waits for approval.");
    }

    #[test]
    fn an_unknown_verb_cannot_break_its_code_span() {
        let text = unknown_verb("`<!here>`", Some("help"));
        assert!(text.starts_with("There is no `/access '&lt;!here&gt;'`. Did you mean `/access help`?"), "{text}");
    }
}
