//! Who typed a command or pressed a button that asks for something, and how they are answered.

use countersign_shared::{api::LinkView, bot_token::SlackAccount};

use crate::{Bot, acts::Acts, cards::answer, control::ControlError, press, press::Ear, slack::decode::Person};

/// Somebody who asks, as Slack says for this one act.
pub(crate) struct Asker<'a> {
    pub(crate) bot: &'a Bot,
    pub(crate) ear: Ear,
    pub(crate) account: SlackAccount,
    /// Their time zone.
    pub(crate) zone: Option<String>,
    once: Option<String>,
}

/// Answers, or says why not.
pub(crate) type Said = Result<String, ControlError>;

impl<'a> Asker<'a> {
    /// Checks who `person` is; where they can't ask for anything, they are told so.
    pub(crate) async fn of(bot: &'a Bot, person: &Person, ear: Ear, once: Option<String>) -> Option<Self> {
        let (account, zone) = match press::who(bot, person).await {
            Ok(who) => who,
            Err(error) => {
                tracing::warn!(%error, user = person.user, "who asks could not be checked; nothing was done");
                ear.reply(bot, answer::WHO_ASKS).await;
                return None;
            }
        };
        if !account.full_member {
            ear.reply(bot, answer::MEMBERS_ONLY).await;
            return None;
        }
        Some(Self { bot, ear, account, zone, once })
    }

    /// What they ask for.
    pub(crate) fn acts(&self) -> Acts<'_> {
        Acts::of(self.bot.control(), &self.account, self.once.as_deref())
    }

    /// Whose account it is, if it counts.
    pub(crate) async fn link(&self) -> Result<LinkView, ControlError> {
        match self.bot.control().link(&self.account).await? {
            Some(link) if link.confirmed => Ok(link),
            waits => Err(ControlError::Refused(countersign_shared::api::Problem {
                code: "not_linked".into(),
                error: if waits.is_some() { "waits" } else { "not linked" }.into(),
                hint: None,
            })),
        }
    }

    /// Tells them what came of it.
    pub(crate) async fn tell(&self, said: Said) {
        match said {
            Ok(text) => self.ear.reply(self.bot, &text).await,
            // Another bot, or this one a moment ago, has told them already.
            Err(ControlError::Refused(problem)) if problem.code == "repeated" => {
                tracing::info!(user = self.account.user, "what Slack delivered twice was done once");
            }
            Err(ControlError::Refused(problem)) if problem.code == "not_linked" => {
                press::offer_link(self.bot, &self.account, &self.ear, answer::LINK_TO_ASK).await;
            }
            Err(ControlError::Refused(problem)) => self.ear.reply(self.bot, &answer::refused(&problem)).await,
            Err(error @ ControlError::Unreachable(_)) => {
                tracing::warn!(%error, user = self.account.user, "what somebody asked for was not done");
                self.ear.reply(self.bot, answer::COMMAND_FAILED).await;
            }
            Err(error @ ControlError::Unclear(_)) => {
                tracing::warn!(%error, user = self.account.user, "whether what somebody asked for was done is not known");
                self.ear.reply(self.bot, answer::COMMAND_UNCLEAR).await;
            }
        }
    }
}
