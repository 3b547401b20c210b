//! Whom a card asks first: somebody who may decide, another for each request, and then those who may as well.

use chrono::{DateTime, Utc};
use countersign_shared::{api::SlackRef, digest::of_bytes, duties, request::State};

use super::{take::may_approve, view::slack_of};
use crate::{
    runtime::Gateway,
    statement::decide::Known,
    store::{Request, StoreError},
};

/// So many are named at most.
const MOST: usize = 8;

/// Those who could be asked, beginning somewhere else for each request. Nobody is asked in turn, and nobody always.
fn in_turn(mut people: Vec<Known>, request: &Request) -> Vec<Known> {
    people.sort_by(|one, other| one.human.principal.cmp(&other.human.principal));
    let number = of_bytes(request.new.id.as_str().as_bytes()).as_bytes()[..4]
        .iter()
        .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let start = number.checked_rem(people.len()).unwrap_or_default();
    people.rotate_left(start);
    people
}

/// The Slack accounts of people who may decide on `request` now, whoever is asked first in front. Whoever is away, and
/// named somebody, is not among them.
///
/// # Errors
/// Where the state can't say.
pub async fn asked(gateway: &Gateway, request: &Request, now: DateTime<Utc>) -> Result<Vec<SlackRef>, StoreError> {
    if request.state != State::Pending {
        return Ok(Vec::new());
    }
    let (policies, asked, from) = (gateway.policies(), &request.new.asked, &request.new.needed.from);
    let away = gateway.store.delegations(now).await?;
    let mut people = gateway.store.people().await?;
    people.retain(|one| {
        let name = &one.human.principal;
        !one.human.is_agent()
            && !duties::same_human(&one.human, &asked.asker.human)
            && (from.is_empty() || one.groups.iter().any(|group| from.contains(group)))
            && !away.iter().any(|away| away.principal.eq_ignore_ascii_case(name))
            && !request.approvals.iter().any(|approval| duties::same_human(&approval.approver, &one.human))
    });
    let mut found = Vec::new();
    for one in in_turn(people, request) {
        if found.len() >= MOST {
            break;
        }
        if let Some(slack) = slack_of(gateway, &one.human.principal).await?
            && may_approve(&policies, asked, &one.human, &one.groups, now)
        {
            found.push(slack);
        }
    }
    Ok(found)
}

/// Whether each of `readers` asked for `request`, or may decide on it. Whom nobody knows, or who is linked to nobody,
/// may not.
///
/// # Errors
/// Where the state can't say.
pub async fn all_concerned(
    gateway: &Gateway,
    request: &Request,
    readers: &[SlackRef],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (policies, asked) = (gateway.policies(), &request.new.asked);
    let people = gateway.store.people().await?;
    for reader in readers {
        let link = gateway.store.link_of_slack(reader).await?.filter(|link| link.confirmed);
        let person =
            link.and_then(|link| people.iter().find(|one| one.human.principal.eq_ignore_ascii_case(&link.principal)));
        let concerned = person.is_some_and(|one| {
            duties::acts_for(&one.human, &asked.asker.human)
                || may_approve(&policies, asked, &one.human, &one.groups, now)
        });
        if !concerned {
            return Ok(false);
        }
    }
    Ok(true)
}
