//! Reaching somebody for what waits: along the routes of its connection, and once more before its deadline.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{api::RequestView, secret::Secret};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    Bot, cap,
    cards::{self, request::page},
    control::ControlError,
    outbox::{self, Notice, To},
    quiet::{Quiet, Severity},
};

/// The longest time before its deadline that is reminded of a request.
const REMINDER: TimeDelta = TimeDelta::minutes(5);
/// How long nothing is looked at where nothing rings.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a webhook may take.
const WEBHOOK: Duration = Duration::from_secs(10);
/// How many names are remembered.
const REMEMBERED: usize = 20_000;

/// A place on the way.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Where it is said; the request's own channel where there is none.
    pub channel: Option<String>,
    /// Who is mentioned there.
    pub usergroup: Option<String>,
    /// Who is called.
    pub webhook: Option<Secret<String>>,
    /// So long until the next one.
    pub escalate_after: Option<TimeDelta>,
    /// When it is silent for what matters less.
    pub quiet: Option<Quiet>,
}

/// The ways, by connection.
pub type Routes = BTreeMap<String, Vec<Stop>>;

/// What this process has said, or is about to.
#[derive(Default)]
pub(crate) struct Reached {
    said: Mutex<HashSet<String>>,
    bell: Notify,
}

impl Reached {
    /// Something about a request has changed.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    fn is_new(&self, name: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() >= REMEMBERED {
            // The gateway remembers all of them.
            said.clear();
        }
        said.insert(name.to_owned())
    }
}

/// When somebody is reminded: in the last third of its time.
fn reminded_at(view: &RequestView) -> DateTime<Utc> {
    view.expires_at - REMINDER.min((view.expires_at - view.created_at) / 3)
}

/// When each stop is reached: after its quiet hours, where it is silent for this request. Whoever comes next is
/// reached no later for that.
fn stops<'s>(view: &RequestView, way: &'s [Stop]) -> Vec<(DateTime<Utc>, &'s Stop)> {
    let (mut at, severity) = (Some(view.created_at), Severity::of(view));
    let mut stops = Vec::new();
    for stop in way {
        let Some(reached) = at else { break };
        let silent = stop.quiet.as_ref().filter(|quiet| severity < quiet.below());
        stops.push((silent.and_then(|quiet| quiet.end_of(reached)).unwrap_or(reached), stop));
        at = stop.escalate_after.map(|after| reached + after);
    }
    stops
}

/// Whether the first stop of its way was silent for a request when it was made: then nobody is called by its card either.
pub(crate) fn is_silent(way: &[Stop], view: &RequestView) -> bool {
    stops(view, way).first().is_some_and(|(at, _)| *at > view.created_at)
}

/// Whether a stop is silent for a request at `now`.
fn is_quiet(stop: &Stop, view: &RequestView, now: DateTime<Utc>) -> bool {
    let quiet = stop.quiet.as_ref().filter(|quiet| Severity::of(view) < quiet.below());
    quiet.is_some_and(|quiet| quiet.end_of(now).is_some())
}

/// The group that a reminder at `now` calls: that of the first stop which was reached and is not quiet then.
fn group_of<'s>(view: &RequestView, way: &'s [Stop], now: DateTime<Utc>) -> Option<&'s str> {
    let reached = stops(view, way).into_iter().filter(|(at, stop)| *at <= now && !is_quiet(stop, view, now));
    reached.filter_map(|(_, stop)| stop.usergroup.as_deref()).next()
}

/// Reaches people until `shutdown`.
pub(crate) async fn follow(bot: &Bot, shutdown: &CancellationToken) {
    loop {
        let wait = match look(bot).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::warn!(%error, "the gateway does not say what waits; trying again");
                Duration::from_secs(5)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = bot.reached().bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Looks at what waits once; how long until there is something to do again.
async fn look(bot: &Bot) -> Result<Duration, ControlError> {
    let waiting = bot.control().requests(true).await?;
    let now = Utc::now();
    let mut next: Option<DateTime<Utc>> = None;
    let mut later = |at: DateTime<Utc>| {
        if at > now {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        at <= now
    };
    // Of what only is counted in Slack nobody is told one by one.
    let first: HashSet<_> = cap::first(&waiting).into_iter().collect();
    for view in waiting.iter().filter(|view| view.expires_at > now && first.contains(&view.id)) {
        if later(reminded_at(view)) && bot.reached().is_new(&format!("reminder:{}", view.id)) {
            let way = bot.routes().get(&view.connection).map(Vec::as_slice).unwrap_or_default();
            let group = group_of(view, way, now).map(str::to_owned);
            let silent = way.first().is_some_and(|stop| is_quiet(stop, view, now));
            remind(bot, view.clone(), group, silent, now);
        }
        for one in &view.stand_ins {
            let Some(slack) = &one.slack else { continue };
            let name = format!("stand-in:{}:{}", view.id, slack.user);
            if bot.reached().is_new(&name) {
                let message = cards::reach::stand_in(view, &one.of, bot.page_url());
                let notice = Notice { name, to: To::Person(slack.user.clone()), message, until: view.expires_at };
                bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
            }
        }
        let way = bot.routes().get(&view.connection).map(Vec::as_slice).unwrap_or_default();
        for (number, (at, stop)) in stops(view, way).into_iter().enumerate() {
            let name = format!("route:{}:{number}", view.id);
            if later(at) && bot.reached().is_new(&name) {
                reach(bot, view.clone(), stop.clone(), name);
            }
        }
    }
    let wait = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(LONGEST);
    Ok(wait.min(LONGEST))
}

/// Says in the channel that its time is about to end, to the group; in quiet hours to nobody.
fn remind(bot: &Bot, view: RequestView, group: Option<String>, silent: bool, now: DateTime<Utc>) {
    bot.spawn(|bot| async move {
        let channel = view.channel.clone().unwrap_or_else(|| bot.channel().to_owned());
        let (name, until) = (format!("reminder:{}", view.id), view.expires_at);
        // Of a list of what waits nobody says who may decide; a reminder without names is better than none.
        let asked = bot.control().request(&view.id).await.ok().flatten().filter(|_| !silent);
        let approvers = asked.map(|asked| asked.approvers).unwrap_or_default();
        let message = cards::reach::reminder(&RequestView { approvers, ..view }, group.as_deref(), bot.page_url(), now);
        let notice = Notice { name, to: To::Channel(channel), message, until };
        drop(outbox::post(&bot, notice).await);
    });
}

fn reach(bot: &Bot, view: RequestView, stop: Stop, name: String) {
    if let Some(webhook) = stop.webhook {
        let name = format!("{name}:webhook");
        let view = view.clone();
        bot.spawn(|bot| async move { call(&bot, &webhook, &view, &name).await });
    }
    if stop.channel.is_none() && stop.usergroup.is_none() {
        return;
    }
    let channel = stop.channel.or_else(|| view.channel.clone()).unwrap_or_else(|| bot.channel().to_owned());
    let message = cards::reach::waits(&view, stop.usergroup.as_deref(), bot.page_url());
    let notice = Notice { name, to: To::Channel(channel), message, until: view.expires_at };
    bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
}

/// Calls an on-call service. Without the statement: who runs it need not see that.
async fn call(bot: &Bot, webhook: &Secret<String>, view: &RequestView, name: &str) {
    let body = json!({
        "request": view.id, "connection": view.connection, "principal": view.principal, "expires_at": view.expires_at,
        "needed": cards::outcome::needed(&view.needed), "url": page(bot.page_url(), &view.id),
        "text": cards::reach::sentence(view),
    });
    outbox::once(bot, name, view.expires_at, || async {
        let sent = bot.slack().plain().post(webhook.reveal()).timeout(WEBHOOK).json(&body).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("status {}", answer.status())),
            Err(error) => Err(error.without_url().to_string()),
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    fn stop(minutes: Option<i64>) -> Stop {
        Stop {
            channel: None,
            usergroup: None,
            webhook: None,
            escalate_after: minutes.map(TimeDelta::minutes),
            quiet: None,
        }
    }

    #[test]
    fn a_way_ends_where_nothing_is_said_of_the_next() {
        let view = samples::view();
        let minutes = |way: &[Stop]| -> Vec<i64> {
            stops(&view, way).into_iter().map(|(at, _)| (at - view.created_at).num_minutes()).collect()
        };
        assert_eq!(minutes(&[]), Vec::<i64>::new());
        assert_eq!(minutes(&[stop(Some(2)), stop(Some(3)), stop(None), stop(None)]), [0, 2, 5]);
        assert_eq!(minutes(&[stop(None), stop(Some(3))]), [0]);
    }

    #[test]
    fn a_quiet_stop_is_reached_when_its_hours_end_and_the_next_one_no_later() {
        let view = RequestView { created_at: "2026-11-24T23:00:00Z".parse().unwrap(), ..samples::view() };
        let quiet = Quiet::new((22, 0), (7, 0), "UTC", Severity::High);
        let way = [Stop { quiet, ..stop(Some(3)) }, stop(None)];
        let at = |view: &RequestView| stops(view, &way).iter().map(|(at, _)| at.to_rfc3339()).collect::<Vec<_>>();
        assert_eq!(at(&view), ["2026-11-25T07:00:00+00:00", "2026-11-24T23:03:00+00:00"]);
        let mut loud = view;
        loud.effects[0].action = "drop".into();
        assert_eq!(at(&loud)[0], "2026-11-24T23:00:00+00:00", "what matters most is told at any hour");
    }

    #[test]
    fn a_reminder_calls_the_group_of_a_stop_that_was_reached_and_is_not_quiet_then() {
        let view = RequestView { created_at: "2026-11-24T21:58:00Z".parse().unwrap(), ..samples::view() };
        let quiet = Quiet::new((22, 0), (7, 0), "UTC", Severity::High);
        let of = |group: &str, stop: Stop| Stop { usergroup: Some(group.to_owned()), ..stop };
        let way = [of("S1", Stop { quiet, ..stop(Some(5)) }), of("S2", stop(Some(60))), of("S3", stop(None))];
        let table = [
            ("2026-11-24T21:59:00Z", Some("S1"), "before its quiet hours, and before the next one's turn"),
            ("2026-11-24T22:01:00Z", None, "in its quiet hours, and before the next one's turn"),
            ("2026-11-24T22:08:00Z", Some("S2"), "in its quiet hours, after the next one was reached"),
            ("2026-11-25T07:01:00Z", Some("S1"), "after them"),
        ];
        for (now, expected, case) in table {
            assert_eq!(group_of(&view, &way, now.parse().unwrap()), expected, "{case}");
        }
        assert!(is_quiet(&way[0], &view, "2026-11-24T22:08:00Z".parse().unwrap()), "although the card called somebody");
    }

    #[test]
    fn a_reminder_comes_in_the_last_third_and_five_minutes_before_at_most() {
        let view = samples::view();
        assert_eq!((view.expires_at - reminded_at(&view)).num_seconds(), 300, "of fifteen minutes");
        let short = RequestView { expires_at: view.created_at + TimeDelta::minutes(2), ..view };
        assert_eq!((short.expires_at - reminded_at(&short)).num_seconds(), 40);
    }
}
