//! Whose approvals count: distinct humans, none of them the requester, each for one group.

use std::collections::BTreeSet;

use countersign_shared::{
    duties::{may_countersign, same_human},
    request::Assurance,
};

use super::{
    Asked, Countersigner,
    first::choices,
    question::{Approvals, Circumstances, Person},
};
use crate::{policy::Policies, statement::effect::Effect};

/// More ways than this to assign people to groups are not tried: the approvals are not enough.
const MOST_ASSIGNMENTS: usize = 20_000;

/// One human who has approved.
#[derive(Debug)]
struct Human {
    /// Groups that policy asks for and that they are in.
    groups: Vec<String>,
    /// Whether they signed in afresh.
    step_up: bool,
    /// For each held effect, whether they may approve it.
    may: Vec<bool>,
}

/// The humans whose approval counts for at least one held effect.
#[derive(Debug, Default)]
pub(super) struct Counted {
    humans: Vec<Human>,
    /// Whether they have seen what it did, and what they approve is its COMMIT.
    at_commit: bool,
}

impl Counted {
    /// Sorts out who counts for what.
    pub fn of(
        policies: &Policies,
        asked: &Asked,
        circumstances: &Circumstances<'_>,
        approvals: &[Countersigner],
        held: &[&Effect],
    ) -> Self {
        let relevant = &policies.named().countersigning;
        let humans = distinct(asked, approvals).into_iter().map(|accounts| {
            let mut may = vec![false; held.len()];
            for account in &accounts {
                let person = Person::user(&account.human.principal, &account.groups);
                let approvable = circumstances.approvable(policies, &person, held);
                may.iter_mut().zip(held).for_each(|(may, effect)| *may |= approvable.contains(effect));
            }
            let groups: BTreeSet<&String> =
                accounts.iter().flat_map(|account| &account.groups).filter(|group| relevant.contains(*group)).collect();
            Human {
                groups: groups.into_iter().cloned().collect(),
                step_up: accounts.iter().any(|account| account.assurance == Assurance::StepUp),
                may,
            }
        });
        Self { humans: humans.filter(|human| human.may.contains(&true)).collect(), at_commit: asked.at_commit }
    }

    pub const fn is_empty(&self) -> bool {
        self.humans.is_empty()
    }

    /// Every way in which each stands for one of their groups. None where there are too many.
    pub fn assignments(&self) -> impl Iterator<Item = Vec<Option<String>>> {
        let groups: Vec<Vec<String>> = self.humans.iter().map(|human| human.groups.clone()).collect();
        let count = groups.iter().try_fold(1_usize, |count, groups| count.checked_mul(groups.len().max(1)));
        let groups = count.is_some_and(|count| count <= MOST_ASSIGNMENTS).then_some(groups);
        groups.into_iter().flat_map(|groups| {
            choices(&groups)
                .map(|chosen| chosen.into_iter().map(Option::<&String>::cloned).collect())
                .collect::<Vec<_>>()
        })
    }

    /// What may be told of an effect under an assignment: everybody, or only those who signed in
    /// afresh, so that an approval without it can't spoil one with it.
    pub fn for_effect(&self, effect: usize, assignment: &[Option<String>]) -> Vec<Approvals> {
        let told = |afresh: bool| {
            let who = || {
                self.humans.iter().zip(assignment).filter(move |(human, _)| {
                    human.may.get(effect).copied().unwrap_or(false) && (human.step_up || !afresh)
                })
            };
            Approvals {
                count: who().count(),
                groups: who().filter_map(|(_, group)| group.clone()).collect(),
                step_up: who().count() > 0 && who().all(|(human, _)| human.step_up),
                at_commit: self.at_commit,
            }
        };
        let mut ways = vec![told(false)];
        ways.extend(Some(told(true)).filter(|way| !ways.contains(way)));
        ways
    }
}

/// The accounts that approved, by human. A chain of accounts, each the same human as the next, is
/// one human; one that leads to the requester counts for nothing.
fn distinct<'a>(asked: &Asked, approvals: &'a [Countersigner]) -> Vec<Vec<&'a Countersigner>> {
    let mut humans: Vec<Vec<&Countersigner>> = Vec::new();
    for one in approvals {
        let (same, other): (Vec<_>, Vec<_>) = humans
            .into_iter()
            .partition(|accounts| accounts.iter().any(|account| same_human(&account.human, &one.human)));
        humans = other;
        humans.push(same.into_iter().flatten().chain([one]).collect());
    }
    humans
        .retain(|accounts| accounts.iter().all(|account| may_countersign(&account.human, &asked.asker.human).is_ok()));
    humans
}
