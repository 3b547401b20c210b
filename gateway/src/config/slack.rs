//! `[slack]`.

use std::time::Duration;

use url::Url;

use super::{SlackConfig, reader::Table, secrets::secret, values};

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
    if let Some(digest) = table.table("digest") {
        digest.read("at", |text| {
            let fits = text.split_once(':').is_some_and(|(hour, minute)| {
                let below = |text: &str, end: u8| text.len() == 2 && text.parse::<u8>().is_ok_and(|n| n < end);
                below(hour, 24) && below(minute, 60)
            });
            if fits { Ok(()) } else { Err("write a time of day: \"09:00\"".to_owned()) }
        });
        digest.text("timezone");
        let within = Duration::from_secs(3600)..=Duration::from_secs(365 * 86_400);
        digest.read("stale_after", values::duration(within));
        digest.finish();
        doc.warning(digest.at, "`digest` is read, but has no effect in this version", "");
    }
    table.finish();
    Some(SlackConfig { app_token, signing_secret, bot_token: bot_token?, channel: channel?.value, api_url: api_url? })
}
