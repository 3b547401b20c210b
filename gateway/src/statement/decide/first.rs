//! The first question: is it permitted with the approvals that exist?

use std::{collections::HashMap, iter};

use countersign_shared::allow::Terms;

use super::{
    Asked, Denial,
    people::Counted,
    question::{Approvals, Circumstances, Person, World},
};
use crate::{
    policy::{Answer, Policies},
    statement::effect::Effect,
};

/// What is asked, as the asker.
pub(super) struct Question<'a> {
    world: World<'a>,
    effects: &'a [Effect],
}

impl<'a> Question<'a> {
    /// # Errors
    /// Why nothing can be asked; a refusal.
    pub fn new(policies: &'a Policies, asked: &'a Asked, circumstances: &Circumstances<'_>) -> Result<Self, String> {
        let world = circumstances.world(policies, &Person::from(&asked.asker), &asked.effects)?;
        Ok(Self { world, effects: &asked.effects })
    }

    /// The answer for each effect as if nobody had approved.
    pub fn without_approvals(&self) -> impl Iterator<Item = (&'a Effect, Answer)> {
        self.effects.iter().map(|effect| (effect, self.ask(effect, &Approvals::default())))
    }

    pub fn ask(&self, effect: &Effect, approvals: &Approvals) -> Answer {
        self.world.ask(effect.action, effect, approvals)
    }

    /// The places of the permissions by which policy has said yes so far.
    pub fn noted(&self) -> Vec<usize> {
        self.world.take_noted()
    }

    /// The most that approvers may allow of an effect, where it is permitted with these approvals.
    pub fn allowance(&self, effect: &Effect, approvals: &Approvals) -> Option<Terms> {
        self.world.allowance(effect, approvals)
    }

    /// The policies that an answer rests on.
    pub fn reasons(&self, effect: &Effect, approvals: &Approvals) -> Vec<String> {
        self.world.reasons(effect.action, effect, approvals)
    }

    /// Whether the people who count are enough for every held effect, in one assignment of people to
    /// groups for all effects together.
    ///
    /// # Errors
    /// The effect whose question failed.
    pub fn with_approvals(&self, held: &[&Effect], counted: &Counted) -> Result<bool, Box<Denial>> {
        if counted.is_empty() {
            return Ok(false);
        }
        let mut asked: HashMap<(usize, Approvals), bool> = HashMap::new();
        for assignment in counted.assignments() {
            let mut all = true;
            for (index, effect) in held.iter().enumerate() {
                let mut enough = false;
                for approvals in counted.for_effect(index, &assignment) {
                    let key = (index, approvals);
                    let yes = match asked.get(&key) {
                        Some(yes) => *yes,
                        None => {
                            let yes = match self.ask(effect, &key.1) {
                                Answer::Permitted => true,
                                Answer::Refused(_) => false,
                                Answer::Failed(why) => return Err(Box::new(Denial::of(effect, why))),
                            };
                            asked.insert(key, yes);
                            yes
                        }
                    };
                    enough |= yes;
                }
                all &= enough;
                if !all {
                    break;
                }
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Every way to choose one of each, in order. `None` of an empty choice.
pub(super) fn choices(of: &[Vec<String>]) -> impl Iterator<Item = Vec<Option<&String>>> {
    let mut next = Some(vec![0_usize; of.len()]);
    iter::from_fn(move || {
        let digits = next.take()?;
        let chosen = digits.iter().zip(of).map(|(digit, options)| options.get(*digit)).collect();
        let mut following = digits;
        for (digit, options) in following.iter_mut().zip(of) {
            *digit += 1;
            if *digit < options.len() {
                next = Some(following);
                break;
            }
            *digit = 0;
        }
        Some(chosen)
    })
}
