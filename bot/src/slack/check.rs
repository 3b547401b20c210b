//! What is misconfigured in Slack: tokens, scopes, channels, the clock. Changes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use countersign_shared::secret::Secret;
use reqwest::header;
use serde_json::Value;

use super::post::METHODS;
use crate::SlackSettings;

/// How far this machine's clock may be from Slack's: signatures are good for five minutes.
const CLOCK: i64 = 60;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Whether it is as it should be.
    pub good: bool,
    /// What was found, and what to do about it.
    pub said: String,
}

fn good(said: impl Into<String>) -> Looked {
    Looked { good: true, said: said.into() }
}

fn bad(said: impl Into<String>) -> Looked {
    Looked { good: false, said: said.into() }
}

struct Answer {
    body: Value,
    scopes: Option<String>,
    date: Option<DateTime<Utc>>,
}

impl Answer {
    /// Slack's error word.
    fn error(&self) -> Option<&str> {
        (self.body["ok"] != true).then(|| self.body["error"].as_str().unwrap_or("an answer that is not Slack's"))
    }
}

async fn ask(settings: &SlackSettings, token: &Secret<String>, method: &str, query: &str) -> Result<Answer, String> {
    let client = reqwest::Client::builder().timeout(ANSWER).redirect(reqwest::redirect::Policy::none()).no_proxy();
    let client = client.build().map_err(|error| error.to_string())?;
    let mut url = settings.api_url.join(method).map_err(|error| error.to_string())?;
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    let answer = client.post(url).bearer_auth(token.reveal()).send().await;
    let answer = answer.map_err(|error| error.without_url().to_string())?;
    let header = |name: &str| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
    let scopes = header("x-oauth-scopes");
    let date = header(header::DATE.as_str()).and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
    let body = answer.json().await.map_err(|_| "an answer that is not Slack's".to_owned())?;
    Ok(Answer { body, scopes, date: date.map(Into::into) })
}

/// The scopes that the app was installed without.
fn missing(scopes: &str) -> Vec<&'static str> {
    let have: Vec<&str> = scopes.split(',').map(str::trim).collect();
    let needed = METHODS.iter().flat_map(|(_, scopes)| scopes.iter().copied()).chain(["commands", "users:read.email"]);
    let mut missing: Vec<&str> = needed.filter(|scope| !have.contains(scope)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

fn clock(slack: DateTime<Utc>, now: DateTime<Utc>) -> Looked {
    let off = (now - slack).num_seconds();
    if off.abs() <= CLOCK {
        return good("the clock agrees with Slack's");
    }
    let how = if off > 0 { "ahead of" } else { "behind" };
    bad(format!("the clock is {} s {how} Slack's; signatures and tokens are refused then. Set it by NTP", off.abs()))
}

fn channel(id: &str, answer: &Answer) -> Looked {
    let channel = &answer.body["channel"];
    let name = channel["name"].as_str().unwrap_or(id);
    match answer.error() {
        Some("channel_not_found") => bad(format!(
            "there is no channel {id}, or it is private and the bot is not in it; invite @countersign there"
        )),
        Some(error) => bad(format!("channel {id}: Slack says {error}")),
        None if channel["is_archived"] == true => bad(format!("#{name} ({id}) is archived; name another channel")),
        None if channel["is_member"] != true => {
            bad(format!("the bot is not in #{name} ({id}); invite @countersign there"))
        }
        None => good(format!("the bot is in #{name}")),
    }
}

/// Looks at everything that the bot needs.
pub async fn check(settings: &SlackSettings) -> Vec<Looked> {
    let mut looked = Vec::new();
    match ask(settings, &settings.bot_token, "auth.test", "").await {
        Err(error) => return vec![bad(format!("{} can't be reached: {error}", settings.api_url))],
        Ok(answer) => {
            if let Some(error) = answer.error() {
                return vec![bad(format!(
                    "bot_token: Slack says {error}; install the app and copy the token that begins with xoxb-"
                ))];
            }
            let team = answer.body["team"].as_str().unwrap_or("a workspace");
            looked.push(good(format!("bot_token is good for {team}")));
            looked.extend(answer.scopes.as_deref().map(|scopes| match missing(scopes) {
                missing if missing.is_empty() => good("the app has its scopes"),
                missing => bad(format!(
                    "the app was installed without {}; update it from manifest.yaml and install it again",
                    missing.join(", ")
                )),
            }));
            looked.extend(answer.date.map(|date| clock(date, Utc::now())));
        }
    }
    if let Some(token) = &settings.app_token {
        looked.push(match ask(settings, token, "apps.connections.open", "").await {
            Ok(answer) => match answer.error() {
                None => good("app_token opens Socket Mode"),
                Some(error) => bad(format!(
                    "app_token: Slack says {error}; it begins with xapp- and has the scope connections:write"
                )),
            },
            Err(error) => bad(format!("apps.connections.open: {error}")),
        });
    }
    let routes = settings.routes.values().flatten().filter_map(|stop| stop.channel.as_ref());
    let mut channels: Vec<&String> = settings.places.values().chain([&settings.channel]).chain(routes).collect();
    channels.sort_unstable();
    channels.dedup();
    for id in channels {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("channel", id).finish();
        looked.push(match ask(settings, &settings.bot_token, "conversations.info", &query).await {
            Ok(answer) => channel(id, &answer),
            Err(error) => bad(format!("channel {id}: {error}")),
        });
    }
    looked
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let all: Vec<&str> = METHODS.iter().flat_map(|(_, scopes)| scopes.iter().copied()).collect();
        let all = format!("{},commands,users:read.email", all.join(","));
        assert_eq!(missing(&all), Vec::<&str>::new());
        assert_eq!(missing(&all.replace("files:write", "x")), ["files:write"]);
        assert!(missing("").len() > 10);
    }

    #[test]
    fn a_channel_is_as_it_should_be_or_is_told_why_not() {
        let there = |archived: bool, member: bool| json!({ "ok": true, "channel": { "name": "db", "is_archived": archived, "is_member": member } });
        let table = [
            (there(false, true), true, "the bot is in #db"),
            (there(false, false), false, "invite @countersign"),
            (there(true, true), false, "archived"),
            (json!({ "ok": false, "error": "channel_not_found" }), false, "no channel C1"),
            (json!({ "ok": false, "error": "missing_scope" }), false, "missing_scope"),
            (json!({}), false, "not Slack's"),
        ];
        for (body, is_good, part) in table {
            let looked = channel("C1", &Answer { body, scopes: None, date: None });
            assert!(looked.good == is_good && looked.said.contains(part), "{looked:?}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_which_way() {
        let now = Utc::now();
        assert!(clock(now - TimeDelta::seconds(60), now).good);
        assert!(clock(now - TimeDelta::seconds(61), now).said.contains("61 s ahead of"));
        assert!(clock(now + TimeDelta::seconds(400), now).said.contains("400 s behind"));
    }
}
