//! `users`: whom the gateway and the directory know.

use std::{path::Path, process::ExitCode};

use clap::Subcommand;
use countersign_shared::api::UserView;
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
    }
    Ok(())
}

/// One segment of a path.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
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
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        for (text, path) in [("ana@acme.dev", "ana@acme.dev"), ("../x?y#z", "..%2Fx%3Fy%23z"), ("é", "%C3%A9")] {
            assert_eq!(encoded(text), path);
        }
    }
}
