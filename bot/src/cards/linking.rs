//! What an administrator is asked about a link whose addresses differ, and what became of it.

use countersign_shared::api::{ListedLink, SlackRef};
use serde_json::Value;

use super::{
    blocks::{self, Message},
    visible::{escaped, short},
};

/// What a button says of the link: nothing that a click decides by is remembered elsewhere.
#[must_use]
pub fn value(link: &ListedLink) -> String {
    let SlackRef { team, user } = &link.link.slack;
    format!("{team}/{user}/{}", link.link.principal)
}

/// Reads [`value`] back: workspace, user, principal.
#[must_use]
pub fn read_value(value: &str) -> Option<(SlackRef, String)> {
    let mut parts = value.splitn(3, '/');
    let (team, user, principal) = (parts.next()?, parts.next()?, parts.next()?);
    let id = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
    let good = id(team) && id(user) && !principal.is_empty();
    good.then(|| (SlackRef { team: team.into(), user: user.into() }, principal.to_owned()))
}

/// For an administrator, directly.
#[must_use]
pub fn waits(link: &ListedLink) -> Message {
    let principal = short(&link.link.principal, 200);
    let given = |text: &Option<String>| text.as_deref().map(|text| short(text, 200));
    let name = given(&link.slack_name).unwrap_or_else(|| "without a name".into());
    let email = given(&link.slack_email).unwrap_or_else(|| "no address".into());
    let head = format!("A Slack account waits to be linked to {principal}.");
    let account = format!("{name}, {email}, user {}", short(&link.link.slack.user, 50));
    let row = |word: &str, value: &str| blocks::line(vec![blocks::bold(word), blocks::plain(value)]);
    let lines = vec![
        blocks::line(vec![blocks::bold(&head)]),
        row("Signed in as: ", &principal),
        row("In Slack: ", &account),
        blocks::line(vec![blocks::plain(
            "The addresses differ. Once confirmed, what this account presses counts as theirs. Ask them in a way that does \
             not go through this account before you confirm.",
        )]),
    ];
    let value = value(link);
    let buttons = vec![
        blocks::button("confirm_link", "Confirm", None, &value),
        blocks::button("refuse_link", "Refuse", Some("danger"), &value),
    ];
    let mut row: Value = blocks::actions("link", buttons);
    row["elements"][0]["confirm"] = serde_json::json!({
        "title": { "type": "plain_text", "text": "Is it the same person?" },
        "text": { "type": "plain_text", "text": format!("{account} decides as {principal} from then on.") },
        "confirm": { "type": "plain_text", "text": "Confirm" },
        "deny": { "type": "plain_text", "text": "Not now" },
    });
    Message { text: escaped(&head), blocks: vec![blocks::rich(lines), row] }
}

/// In its place, when it was decided on.
#[must_use]
pub fn decided(account: &SlackRef, principal: &str, confirmed: bool) -> Message {
    let (principal, user) = (short(principal, 200), short(&account.user, 50));
    let text = if confirmed {
        format!("You confirmed that Slack user {user} is {principal}.")
    } else {
        format!("You refused to link Slack user {user} to {principal}.")
    };
    Message { text: escaped(&text), blocks: vec![blocks::rich(vec![blocks::line(vec![blocks::plain(&text)])])] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::samples;

    #[test]
    fn a_button_says_which_link_and_nothing_else_is_read_back() {
        let link = samples::listed_link();
        let account = SlackRef { team: "T1".into(), user: "U0GUEST".into() };
        assert_eq!(read_value(&value(&link)), Some((account, "priya@acme.dev".into())));
        for bad in ["", "T1", "T1/U1", "T1/U1/", "/U1/a@b", "T1//a@b", "T 1/U1/a@b", "T1/U1%2f/a@b"] {
            assert_eq!(read_value(bad), None, "{bad}");
        }
    }
}
