//! Every sentence about grants and sessions that the bot says to one person. mrkdwn, escaped here.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{AccessAnswer, GrantView, RequestView, SessionView, StandIn},
    ids::SessionId,
};

use super::{
    outcome,
    visible::{escaped, short},
};

/// How many lines a list has.
const LINES: usize = 25;

/// A moment, in the reader's own time zone.
#[must_use]
pub fn when(at: DateTime<Utc>) -> String {
    let utc = at.format("%Y-%m-%d %H:%M UTC");
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{utc}>", at.timestamp())
}

/// `2 h 10 min`, `40 s`, `3 d 1 h`.
#[must_use]
pub fn span(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    let parts = match seconds {
        0..60 => vec![(seconds, "s")],
        60..86_400 => vec![(seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")],
        _ => vec![(seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")],
    };
    let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// `shop-writer on shop`.
#[must_use]
pub fn what(grant: &GrantView) -> String {
    format!("{} on {}", short(&grant.role, 63), short(&grant.connection, 63))
}

/// What came of a wish.
#[must_use]
pub fn asked(answer: &AccessAnswer) -> String {
    match (&answer.grant, &answer.request) {
        (Some(grant), _) => {
            format!("You have {} until {}.", escaped(&what(grant)), when(grant.expires_at))
        }
        (None, Some(request)) => {
            let needed = outcome::needed(&request.needed);
            escaped(&format!("Request {} waits for {needed}. You will be told.", request.id))
        }
        (None, None) => escaped(&short(&answer.message, 600)),
    }
}

fn line(grant: &GrantView, now: DateTime<Utc>) -> String {
    let of = grant.owner.as_ref().map(|_| format!(" (of {})", short(&grant.principal, 100))).unwrap_or_default();
    format!(
        "• `{}` {}: until {}, {} left",
        grant.id,
        escaped(&format!("{}{of}", what(grant))),
        when(grant.expires_at),
        span(grant.expires_at - now)
    )
}

fn lines(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// `/access status`.
#[must_use]
pub fn status(grants: &[GrantView], waiting: &[RequestView], now: DateTime<Utc>) -> String {
    let mut text = if grants.is_empty() {
        "You have no role for now. `/access request` asks for one.".to_owned()
    } else {
        let list = lines(grants.iter().map(|grant| line(grant, now)).collect());
        format!("*You have*\n{list}\n`/access extend ID` asks for more time, `/access done ID` gives it back.")
    };
    if !waiting.is_empty() {
        let list = lines(waiting.iter().map(waits).collect());
        text = format!("{text}\n*You have asked for*\n{list}");
    }
    text
}

/// `/access status`, with who stands in for whom.
#[must_use]
pub fn with_stand_ins(status: String, stand_ins: &[StandIn], who: &str) -> String {
    stand_ins.iter().fold(status, |text, one| {
        let (of, delegate, until) =
            (escaped(&short(&one.of, 100)), escaped(&short(&one.delegate, 100)), when(one.until));
        let line = if one.of.eq_ignore_ascii_case(who) {
            format!("{delegate} is told of requests in your place until {until}; `/access delegate off` ends that.")
        } else {
            format!("You are told of requests in the place of {of} until {until}.")
        };
        format!("{text}\n{line}")
    })
}

/// Somebody was named.
#[must_use]
pub fn delegated(one: &StandIn) -> String {
    format!(
        "{} is told of requests in your place until {}. They decide by their own right; `/access delegate off` ends it.",
        escaped(&short(&one.delegate, 100)),
        when(one.until)
    )
}

fn waits(view: &RequestView) -> String {
    let what = view.access.as_ref().map_or_else(|| "a statement".to_owned(), outcome::access);
    let needed = outcome::needed(&view.needed);
    let text = format!("• `{}` {what} on {}: waits for {needed}", view.id, short(&view.connection, 63));
    format!("{}, until {}", escaped(&text), when(view.expires_at))
}

/// Which of several is meant.
#[must_use]
pub fn which(grants: &[GrantView], now: DateTime<Utc>) -> String {
    let list = lines(grants.iter().map(|grant| line(grant, now)).collect());
    format!("You have more than one; say which: `/access done ID`.\n{list}")
}

/// A grant was ended by whoever is told.
#[must_use]
pub fn ended(grant: &GrantView) -> String {
    let how = if grant.state == "done" { "given back" } else { "revoked" };
    let whose = short(&grant.principal, 100);
    escaped(&format!("{} of {whose} is {how}, in running sessions too.", what(grant)))
}

/// `/access sessions`.
#[must_use]
pub fn sessions(sessions: &[SessionView], now: DateTime<Utc>) -> String {
    if sessions.is_empty() {
        return "There are no sessions of yours.".into();
    }
    let line = |session: &SessionView| {
        let with = session.application.as_deref().filter(|name| !name.is_empty());
        let with = with.map(|name| format!(" with {}", short(name, 60))).unwrap_or_default();
        let who = short(&session.principal, 100);
        let (on, from) = (short(&session.connection, 63), short(&session.address, 60));
        let since = span(now - session.started_at);
        escaped(&format!("• `{}` {who} on {on}{with} from {from}: {}, for {since}", session.id, session.state))
    };
    format!("{}\n`/access kill ID` ends one.", lines(sessions.iter().map(line).collect()))
}

/// A session was ended by whoever is told.
#[must_use]
pub fn killed(id: &SessionId) -> String {
    format!("Session `{id}` is ended.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn a_status_tells_how_much_time_is_left_and_pings_nobody() {
        let grant = samples::grant();
        let now = grant.expires_at - TimeDelta::minutes(130);
        let text = status(&[grant], &[], now);
        assert!(text.contains("`6Q0M3T8ZC1VA` shop-writer on shop: until <!date^"), "{text}");
        assert!(text.contains("2 h 10 min left"), "{text}");
        let hostile = GrantView { role: "<!channel>".into(), owner: Some("x".into()), ..samples::grant() };
        let text = status(&[hostile], &[], now);
        assert!(text.contains("&lt;!channel&gt; on shop (of ana@acme.dev)"), "{text}");
    }

    #[test]
    fn spans_are_short() {
        let table = [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_800, "2 h 10 min"), (90_000, "1 d 1 h"), (-5, "0 s")];
        for (seconds, expected) in table {
            assert_eq!(span(TimeDelta::seconds(seconds)), expected);
        }
    }
}
