//! `[slack]`.

use std::time::Duration;

use url::Url;

use super::{DigestConfig, SlackConfig, reader::Table, secrets::secret, values};

pub(super) fn read(table: &Table<'_>) -> Option<SlackConfig> {
    let doc = table.doc;
    let app_token = secret(table, "app_token");
    let signing_secret = secret(table, "signing_secret");
    if table.get("app_token").is_none() && table.get("signing_secret").is_none() {
        let hint = "app_token = { env = \"SLACK_APP_TOKEN\" } for Socket Mode, signing_secret for HTTP mode";
        doc.problem(table.at, "[slack] needs `app_token` or `signing_secret`", hint);
    }
    table.must("bot_token", "bot_token = { env = \"SLACK_BOT_TOKEN\" }");
    let bot_token = secret(table, "bot_token");
    let channel = table.need("channel", "the id of the channel for requests: \"C0123456789\"");
    let api_url = table.read("api_url", |text| {
        let mut url = values::web_url(text)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(url)
    });
    let api_url = api_url.map(|found| found.value).or_else(|| Url::parse("https://slack.com/api/").ok());
    let digest = table.table("digest").map(|digest| self::digest(&digest));
    table.finish();
    let (bot_token, channel, api_url) = (bot_token?, channel?.value, api_url?);
    Some(SlackConfig { app_token, signing_secret, bot_token, channel, api_url, digest })
}

/// `{ at = "09:00", timezone = "Europe/Berlin", stale_after = "14d" }`.
fn digest(table: &Table<'_>) -> DigestConfig {
    let at = table.read("at", values::time_of_day);
    let timezone = table.read("timezone", |text| {
        let known = jiff::tz::TimeZone::get(text).map(|_| text.to_owned());
        known.map_err(|_| "name a time zone of the IANA's list: \"Europe/Berlin\"".to_owned())
    });
    let stale_after =
        table.read("stale_after", values::duration(Duration::from_secs(1)..=Duration::from_secs(365 * 86_400)));
    table.finish();
    DigestConfig {
        at: at.map_or((9, 0), |found| found.value),
        timezone: timezone.map_or_else(|| "UTC".to_owned(), |found| found.value),
        stale_after: stale_after.map_or(Duration::from_secs(14 * 86_400), |found| found.value),
    }
}
