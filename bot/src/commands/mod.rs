//! `/access VERB …`: one file per verb.

mod help;
mod link;
mod requests;

use crate::{Bot, cards::answer, press::Ear, slack::decode::Command};

/// The verbs, as typed.
const VERBS: [&str; 3] = ["help", "link", "requests"];

/// A verb, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verb {
    Help,
    Link,
    Requests,
    Unknown { typed: String, nearest: Option<&'static str> },
}

/// Reads the text behind `/access`.
fn parse(text: &str) -> Verb {
    let typed = text.split_whitespace().next().unwrap_or("help").to_lowercase();
    match typed.as_str() {
        "help" => Verb::Help,
        "link" => Verb::Link,
        "requests" => Verb::Requests,
        _ => {
            let nearest = VERBS.into_iter().map(|verb| (distance(verb, &typed), verb)).min();
            let nearest = nearest.filter(|(distance, _)| *distance <= 2).map(|(_, verb)| verb);
            Verb::Unknown { typed, nearest }
        }
    }
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
    let ear = Ear { user: command.person.user.clone(), channel: command.channel, response_url: command.response_url };
    match parse(&command.text) {
        Verb::Help => help::run(bot, &ear).await,
        Verb::Link => link::run(bot, &command.person, &ear).await,
        Verb::Requests => requests::run(bot, &command.person, &ear).await,
        Verb::Unknown { typed, nearest } => ear.reply(bot, &answer::unknown_verb(&typed, nearest)).await,
    }
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
        let unknown = |typed: &str, nearest| Verb::Unknown { typed: typed.into(), nearest };
        let table = [
            ("", Verb::Help),
            ("  help me", Verb::Help),
            ("LINK", Verb::Link),
            ("requests", Verb::Requests),
            ("request", unknown("request", Some("requests"))),
            ("lnik", unknown("lnik", Some("link"))),
            ("hlep", unknown("hlep", Some("help"))),
            ("extend K7Q2", unknown("extend", None)),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_verb_parses_and_is_in_the_help() {
        for verb in VERBS {
            assert!(!matches!(parse(verb), Verb::Unknown { .. }), "{verb}");
            assert!(answer::help().contains(&format!("/access {verb}`")), "{verb}");
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
