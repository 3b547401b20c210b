//! `users`: whom the gateway and the directory know, and which Slack account is whose.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_shared::api::{ListedLink, SlackRef, UserView};
use reqwest::Method;

use crate::api::{Api, NOTHING, plain, with};

/// What to do with users.
#[derive(Subcommand)]
pub enum What {
    /// Lists everybody.
    List,
    /// Shows one whole.
    Show {
        /// The principal, or the id in the directory.
        user: String,
    },
    /// Lists which Slack account is whose, those that wait to be confirmed first.
    Links {
        /// Only those that wait.
        #[arg(long)]
        waiting: bool,
    },
    /// Confirms a link whose e-mail addresses differ; never one's own.
    ConfirmLink {
        /// The Slack account, as `users links` names it: TEAM/USER.
        #[arg(value_parser = account)]
        account: SlackRef,
        /// Whose it is; refused where it has become somebody else's.
        principal: String,
    },
    /// Ends a link, or refuses one that waits.
    Unlink {
        /// The Slack account, as `users links` names it: TEAM/USER.
        #[arg(value_parser = account)]
        account: SlackRef,
    },
}

/// Runs it.
pub async fn run(config: &Path, what: What, json: bool) -> ExitCode {
    with(config, async |api| work(api, what, json).await).await
}

async fn work(api: &Api, what: What, json: bool) -> Result<(), String> {
    match what {
        What::List => {
            let users: Vec<UserView> = api.call(Method::GET, "/v1/users", NOTHING).await?;
            if json {
                crate::say_json(&users);
            } else if users.is_empty() {
                crate::say("nobody has signed in yet");
            } else {
                users.iter().for_each(|user| crate::say(&line(user)));
            }
        }
        What::Show { user } => {
            // A slash would lead elsewhere; no principal has one at its ends.
            let path = format!("/v1/users/{}", encoded(&user));
            let user: UserView = api.call(Method::GET, &path, NOTHING).await?;
            if json { crate::say_json(&user) } else { crate::say(&whole(&user)) }
        }
        What::Links { waiting } => {
            let mut links: Vec<ListedLink> = api.call(Method::GET, "/v1/links", NOTHING).await?;
            links.retain(|listed| !waiting || !listed.link.confirmed);
            if json {
                crate::say_json(&links);
            } else if links.is_empty() {
                crate::say(if waiting { "no link waits" } else { "nobody has linked a Slack account" });
            } else {
                links.iter().for_each(|listed| crate::say(&link_line(listed)));
            }
        }
        What::ConfirmLink { account, principal } => {
            let path = format!("{}/confirm?principal={}", path_of(&account), encoded(&principal));
            api.order(Method::POST, &path).await?;
            crate::say(&format!("confirmed: {} is {}", name_of(&account), plain(&principal)));
        }
        What::Unlink { account } => {
            api.order(Method::DELETE, &path_of(&account)).await?;
            crate::say(&format!("unlinked {}", name_of(&account)));
        }
    }
    Ok(())
}

/// One segment of a path.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Reads `TEAM/USER`.
fn account(text: &str) -> Result<SlackRef, String> {
    match text.split_once('/') {
        Some((team, user)) if !team.is_empty() && !user.is_empty() && !user.contains('/') => {
            Ok(SlackRef { team: team.to_owned(), user: user.to_owned() })
        }
        _ => Err("a Slack account is TEAM/USER, as `users links` names it".to_owned()),
    }
}

fn name_of(account: &SlackRef) -> String {
    format!("{}/{}", plain(&account.team), plain(&account.user))
}

fn path_of(account: &SlackRef) -> String {
    format!("/v1/links/{}/{}", encoded(&account.team), encoded(&account.user))
}

fn link_line(listed: &ListedLink) -> String {
    let link = &listed.link;
    let quoted = |text: &Option<String>, none: &str| text.as_deref().map_or_else(|| none.to_owned(), plain);
    let (name, email) = (quoted(&listed.slack_name, "name not known"), quoted(&listed.slack_email, "no address"));
    let state = if link.confirmed { "linked" } else { "waits" };
    let at = listed.made_at.format("%Y-%m-%d %H:%M UTC");
    format!("{}  {state}  {at}  Slack: {name}, {email}  identity: {}", name_of(&link.slack), plain(&link.principal))
}

fn line(user: &UserView) -> String {
    let seen = user.last_seen.map_or("never seen".to_owned(), |at| format!("seen {}", at.format("%Y-%m-%d %H:%M UTC")));
    let from = if user.directory.is_some() { "directory" } else { "token" };
    format!("{}  {}  {from}  {seen}  {}", plain(&user.principal), user.state, plain(&user.groups.join(", ")))
}

fn whole(user: &UserView) -> String {
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    let rows = [
        ("principal", Some(user.principal.clone())),
        ("state", Some(user.state.clone())),
        ("name", user.display_name.clone()),
        ("owner", user.owner.clone()),
        ("groups", Some(user.groups.join(", ")).filter(|groups| !groups.is_empty())),
        ("issuer", user.issuer.clone()),
        ("subject", user.subject.clone()),
        ("first seen", time(user.first_seen)),
        ("last seen", time(user.last_seen)),
        ("directory id", user.directory.clone()),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some(format!("{name:13}{}", plain(&value?))));
    rows.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use countersign_shared::api::LinkView;

    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        for (text, path) in [("ana@acme.dev", "ana@acme.dev"), ("../x?y#z", "..%2Fx%3Fy%23z"), ("é", "%C3%A9")] {
            assert_eq!(encoded(text), path);
        }
    }

    #[test]
    fn a_slack_account_has_two_parts_and_what_it_is_called_moves_no_terminal() {
        assert_eq!(account("T1/U1"), Ok(SlackRef { team: "T1".into(), user: "U1".into() }));
        for text in ["", "U1", "/U1", "T1/", "T1/U1/confirm"] {
            assert!(account(text).is_err(), "{text}");
        }
        let slack = SlackRef { team: "T1".into(), user: "U1".into() };
        let link = LinkView { slack, principal: "dario@acme.dev".into(), confirmed: false };
        let at = chrono::DateTime::UNIX_EPOCH;
        let listed = ListedLink {
            link,
            slack_name: Some("d\u{1b}[2J".into()),
            slack_email: Some("d@other.dev".into()),
            made_at: at,
        };
        let line = link_line(&listed);
        for part in ["T1/U1  waits", "d@other.dev", "dario@acme.dev", "1970-01-01 00:00 UTC"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}
