//! `/access VERB …`: one file per verb, or per few that belong together.

pub(crate) mod asker;
mod delegate;
pub(crate) mod grants;
mod link;
mod park;
pub(crate) mod request;
mod requests;
pub(crate) mod review;
mod sessions;
mod time;

use self::asker::Asker;
use crate::{Bot, cards::answer, press::Ear, slack::decode::Command};

/// A verb, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Delegate,
    Done,
    Extend,
    Help,
    Kill,
    Link,
    Park,
    Request,
    Requests,
    Review,
    Revoke,
    Sessions,
    Status,
    Unlink,
}

/// The verbs, as typed.
const VERBS: [(&str, Verb); 14] = [
    ("delegate", Verb::Delegate),
    ("done", Verb::Done),
    ("extend", Verb::Extend),
    ("help", Verb::Help),
    ("kill", Verb::Kill),
    ("link", Verb::Link),
    ("park", Verb::Park),
    ("request", Verb::Request),
    ("requests", Verb::Requests),
    ("review", Verb::Review),
    ("revoke", Verb::Revoke),
    ("sessions", Verb::Sessions),
    ("status", Verb::Status),
    ("unlink", Verb::Unlink),
];

/// What stands behind `/access`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Typed<'a> {
    /// A verb, and what follows it.
    Verb(Verb, &'a str),
    /// Nothing.
    Nothing,
    /// Something else.
    Unknown { typed: String, nearest: Option<&'static str> },
}

/// Reads the text behind `/access`.
fn parse(text: &str) -> Typed<'_> {
    let text = text.trim();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    if word.is_empty() {
        return Typed::Nothing;
    }
    let typed = word.to_lowercase();
    if let Some((_, verb)) = VERBS.iter().find(|(name, _)| *name == typed) {
        return Typed::Verb(*verb, rest.trim());
    }
    let nearest = VERBS.iter().map(|(name, _)| (distance(name, &typed), *name)).min();
    let nearest = nearest.filter(|(distance, _)| *distance <= 2).map(|(_, name)| name);
    Typed::Unknown { typed, nearest }
}

/// How many letters differ (Levenshtein), of words as short as a verb.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(40).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let next = (diagonal + usize::from(ca != *cb)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], next);
        }
    }
    row[b.len()]
}

/// Does what was typed, and answers privately. The bot need not be in the channel, so Slack's
/// response URL comes first.
pub(crate) async fn run(bot: &Bot, command: Command) {
    let ear = Ear {
        user: command.person.user.clone(),
        channel: command.channel.clone(),
        response_url: command.response_url.clone(),
    };
    let (verb, rest) = match parse(&command.text) {
        Typed::Verb(Verb::Help, _) => return ear.reply(bot, &answer::help()).await,
        Typed::Nothing | Typed::Verb(Verb::Request, "") => return request::form(bot, &command, ear).await,
        Typed::Unknown { typed, nearest } => return ear.reply(bot, &answer::unknown_verb(&typed, nearest)).await,
        Typed::Verb(verb, rest) => (verb, rest),
    };
    let Some(asker) = Asker::of(bot, &command.person, ear, command.trigger.clone()).await else { return };
    let said = match verb {
        Verb::Request => return request::run(&asker, rest).await,
        Verb::Delegate => delegate::run(&asker, rest).await,
        Verb::Status => grants::status(&asker).await,
        Verb::Extend => grants::extend(&asker, rest).await,
        Verb::Done => grants::done(&asker, rest).await,
        Verb::Revoke => grants::end(&asker, rest).await,
        Verb::Review => review::run(&asker, rest).await,
        Verb::Sessions => sessions::list(&asker).await,
        Verb::Park => park::run(&asker, rest).await,
        Verb::Kill => sessions::kill(&asker, rest).await,
        Verb::Requests => requests::run(&asker).await,
        Verb::Link => link::run(&asker).await,
        Verb::Unlink => link::unlink(&asker).await,
        Verb::Help => Ok(answer::help()),
    };
    asker.tell(said).await;
}

impl Ear {
    /// Answers a command: by its response URL, else as [`Ear::tell`].
    pub(crate) async fn reply(&self, bot: &Bot, text: &str) {
        if let Some(url) = &self.response_url {
            match bot.slack().respond(url, text).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "the response URL did not work"),
            }
        }
        bot.slack().tell(&self.user, self.channel.as_deref(), None, text).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_understood_or_guessed() {
        let unknown = |typed: &str, nearest| Typed::Unknown { typed: typed.into(), nearest };
        let table = [
            ("", Typed::Nothing),
            ("   ", Typed::Nothing),
            ("  help me", Typed::Verb(Verb::Help, "me")),
            ("LINK", Typed::Verb(Verb::Link, "")),
            ("requests", Typed::Verb(Verb::Requests, "")),
            ("request shop  writer 2h why", Typed::Verb(Verb::Request, "shop  writer 2h why")),
            ("extend\tK7Q2", Typed::Verb(Verb::Extend, "K7Q2")),
            ("requets", unknown("requets", Some("requests"))),
            ("lnik", unknown("lnik", Some("link"))),
            ("hlep", unknown("hlep", Some("help"))),
            ("sesions", unknown("sesions", Some("sessions"))),
            ("revok 6Q0M", unknown("revok", Some("revoke"))),
            ("unlikn", unknown("unlikn", Some("unlink"))),
            ("approve K7Q2", unknown("approve", None)),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_verb_parses_and_is_in_the_help() {
        for (name, verb) in VERBS {
            assert_eq!(parse(name), Typed::Verb(verb, ""), "{name}");
            assert!(answer::help().contains(&format!("`/access {name}")), "{name}");
        }
    }

    #[test]
    fn distances() {
        let table = [("", "", 0), ("link", "link", 0), ("link", "lnik", 2), ("help", "", 4), ("", "abc", 3)];
        for (a, b, expected) in table {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
