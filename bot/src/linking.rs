//! Links that wait for an administrator: each who may confirm it is asked directly, once, and presses.

use chrono::{TimeDelta, Utc};
use countersign_shared::{api::WaitingLink, digest::of_bytes};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    Bot,
    backoff::Backoff,
    cards::{answer, linking},
    commands::asker::Asker,
    outbox::{self, Notice, To},
    press::Ear,
    slack::decode_link::LinkPress,
};

/// How long an administrator is tried to be asked.
const WITHIN: TimeDelta = TimeDelta::hours(24);

/// Rings when there may be a link to ask about.
#[derive(Default)]
pub(crate) struct Linking(Notify);

impl Linking {
    /// A link was made, or nobody knows.
    pub(crate) fn ring(&self) {
        self.0.notify_one();
    }
}

/// Asks until `shutdown`, whenever it rings.
pub(crate) async fn follow(bot: &Bot, shutdown: &CancellationToken) {
    let mut backoff = Backoff::new(std::time::Duration::from_secs(1), std::time::Duration::from_secs(60));
    loop {
        let again = match bot.control().waiting_links().await {
            Ok(links) => {
                backoff.reset();
                links.iter().for_each(|link| ask(bot, link));
                None
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway does not say which links wait; trying again");
                Some(backoff.wait())
            }
        };
        let later = async {
            match again {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = bot.linking().0.notified() => {}
            () = later => {}
        }
    }
}

fn ask(bot: &Bot, waiting: &WaitingLink) {
    let link = &waiting.link;
    if waiting.administrators.is_empty() {
        let hint = "countersign users links --waiting";
        tracing::warn!(
            principal = link.link.principal,
            hint,
            "a link waits, and no administrator is linked to be asked"
        );
    }
    for administrator in &waiting.administrators {
        // The same account linked anew is another question.
        let which = format!("{} {}", linking::value(link), link.made_at.timestamp_millis());
        let which: String = of_bytes(which.as_bytes()).to_string().chars().take(16).collect();
        let name = format!("link:{which}:{}", administrator.user);
        let to = To::Person(administrator.user.clone());
        let notice = Notice { name, to, message: linking::waits(link), until: Utc::now() + WITHIN };
        bot.spawn(|bot| async move { drop(outbox::post(&bot, notice).await) });
    }
}

/// Does what an administrator pressed.
pub(crate) async fn pressed(bot: &Bot, press: LinkPress) {
    let LinkPress { confirm, account, principal, person, channel, ts, response_url, trigger } = press;
    let ear = Ear { user: person.user.clone(), channel: channel.clone(), response_url };
    let Some(asker) = Asker::of(bot, &person, ear, trigger).await else { return };
    let done = asker.acts().choose_link(&account, &principal, confirm).await;
    if done.is_ok()
        && let (Some(channel), Some(ts)) = (channel, ts)
    {
        let card = countersign_shared::api::CardRef { channel, ts };
        if let Err(error) = bot.slack().update(&card, &linking::decided(&account, &principal, confirm)).await {
            tracing::warn!(%error, "the question about a link stays open in Slack; it was decided");
        }
    }
    let said = if confirm { answer::LINK_CONFIRMED } else { answer::LINK_REFUSED };
    asker.tell(done.map(|()| said.to_owned())).await;
}
