//! Who a Slack user is, from `users.info`. The gateway decides what that is worth.

use countersign_shared::bot_token::SlackAccount;

use crate::slack::{decode::Person, post::SlackUser};

/// The account of `user`, for a click or a command by `person`. A full member is a person of the
/// workspace that the bot is installed in, by every word that Slack gives us.
#[must_use]
pub fn account(user: &SlackUser, person: &Person, our_team: &str) -> SlackAccount {
    let barred = user.deleted
        || user.is_bot
        || user.is_workflow_bot
        || user.is_restricted
        || user.is_ultra_restricted
        || user.is_stranger
        || user.is_invited_user
        || user.id == "USLACKBOT";
    let teams = [user.team_id.as_deref(), person.team.as_deref()];
    let team = teams.into_iter().flatten().next();
    let ours = team.is_some() && teams.into_iter().flatten().all(|team| team == our_team);
    let display = user.profile.display_name.as_deref().filter(|name| !name.is_empty());
    let name = display.or(user.real_name.as_deref()).or(user.name.as_deref()).unwrap_or(&user.id);
    SlackAccount {
        team: team.unwrap_or_default().to_owned(),
        user: user.id.clone(),
        name: name.to_owned(),
        email: user.profile.email.clone(),
        full_member: ours && !barred,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colleague() -> SlackUser {
        SlackUser { id: "U1".into(), team_id: Some("T1".into()), name: Some("priya".into()), ..SlackUser::default() }
    }

    fn at(team: Option<&str>) -> Person {
        Person { user: "U1".into(), team: team.map(Into::into) }
    }

    #[test]
    fn who_is_a_full_member() {
        let here = at(Some("T1"));
        let table = [
            ("a colleague", colleague(), here.clone(), true),
            ("deactivated", SlackUser { deleted: true, ..colleague() }, here.clone(), false),
            ("a bot", SlackUser { is_bot: true, ..colleague() }, here.clone(), false),
            ("a workflow", SlackUser { is_workflow_bot: true, ..colleague() }, here.clone(), false),
            ("a guest", SlackUser { is_restricted: true, ..colleague() }, here.clone(), false),
            ("a guest of one channel", SlackUser { is_ultra_restricted: true, ..colleague() }, here.clone(), false),
            ("a stranger", SlackUser { is_stranger: true, ..colleague() }, here.clone(), false),
            ("only invited", SlackUser { is_invited_user: true, ..colleague() }, here.clone(), false),
            ("Slackbot", SlackUser { id: "USLACKBOT".into(), ..colleague() }, here.clone(), false),
            ("of another workspace", SlackUser { team_id: Some("T2".into()), ..colleague() }, here.clone(), false),
            ("pressing in another workspace", colleague(), at(Some("T2")), false),
            ("of no known workspace", SlackUser { team_id: None, ..colleague() }, at(None), false),
            ("known by the payload", SlackUser { team_id: None, ..colleague() }, here, true),
        ];
        for (case, user, person, expected) in table {
            assert_eq!(account(&user, &person, "T1").full_member, expected, "{case}");
        }
    }

    #[test]
    fn a_stranger_keeps_their_own_team() {
        let stranger = SlackUser { team_id: Some("T2".into()), ..colleague() };
        assert_eq!(account(&stranger, &at(Some("T1")), "T1").team, "T2");
    }
}
