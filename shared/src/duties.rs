//! Separation of duties: the approver is never the requester, as a human.
//!
//! The first of three walls (the store's trigger is the second, counting distinct humans the
//! third). No role, no policy and no administrator is exempt.

use serde::{Deserialize, Serialize};

/// A principal with what ties it to a human being.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Human {
    /// The verified identity in lower case, `ana@acme.dev`, or an agent's name.
    pub principal: String,
    /// The issuer that first vouched for the principal.
    pub issuer: String,
    /// The issuer's subject, `sub`.
    pub subject: String,
    /// The user who answers for an agent; `None` for a user.
    pub owner: Option<String>,
}

impl Human {
    /// Who answers for what this principal does: an agent's owner, or the user.
    #[must_use]
    pub fn answerable(&self) -> &str {
        self.owner.as_deref().unwrap_or(&self.principal)
    }

    /// Whether this is an agent, not a person.
    #[must_use]
    pub const fn is_agent(&self) -> bool {
        self.owner.is_some()
    }
}

/// Whether two principals are the same human: the same principal, the same `(issuer, sub)`, or
/// one human answers for both.
#[must_use]
pub fn same_human(a: &Human, b: &Human) -> bool {
    a.principal.eq_ignore_ascii_case(&b.principal)
        || (a.issuer == b.issuer && a.subject == b.subject)
        || a.answerable().eq_ignore_ascii_case(b.answerable())
}

/// Whether `who` may do what is for whoever asked: they are the same person, or one who answers for the agent that did. An
/// agent acts for nobody but itself.
#[must_use]
pub fn acts_for(who: &Human, asker: &Human) -> bool {
    if who.is_agent() { who == asker } else { same_human(who, asker) }
}

/// Why an approval does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The approver is the requester.
    #[error("you cannot approve your own request")]
    OwnRequest,
    /// The approver answers for the agent that asks.
    #[error("you answer for the agent that asks, so you cannot approve its request")]
    OwnAgent,
    /// Only people approve.
    #[error("an agent cannot approve; only people can")]
    Agent,
}

/// Refuses an approver who is the requester as a human, or no human at all.
///
/// # Errors
/// Which rule the approval would break.
pub fn may_countersign(approver: &Human, requester: &Human) -> Result<(), Conflict> {
    if approver.is_agent() {
        return Err(Conflict::Agent);
    }
    if !same_human(approver, requester) {
        return Ok(());
    }
    Err(if requester.is_agent() { Conflict::OwnAgent } else { Conflict::OwnRequest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_acts_for_their_agents_and_an_agent_for_itself_alone() {
        let human = |name: &str, owner: Option<&str>| Human {
            principal: name.to_owned(),
            issuer: "https://login.acme.dev".to_owned(),
            subject: name.to_owned(),
            owner: owner.map(str::to_owned),
        };
        let (ana, ben) = (human("ana@acme.dev", None), human("ben@acme.dev", None));
        let (bot, other) = (human("bot", Some("ana@acme.dev")), human("bot2", Some("ana@acme.dev")));
        let table = [
            (&ana, &ana, true),
            (&ana, &bot, true),
            (&ben, &bot, false),
            (&bot, &bot, true),
            (&bot, &ana, false),
            (&bot, &other, false),
        ];
        for (who, asker, expected) in table {
            assert_eq!(acts_for(who, asker), expected, "{} for {}", who.principal, asker.principal);
        }
    }

    fn user(principal: &str, subject: &str) -> Human {
        Human { principal: principal.into(), issuer: "https://idp".into(), subject: subject.into(), owner: None }
    }

    fn agent(name: &str, owner: &str) -> Human {
        Human { owner: Some(owner.into()), ..user(name, name) }
    }

    #[test]
    fn who_may_countersign_whom() {
        let ana = user("ana@acme.dev", "1");
        let table = [
            ("another person", user("priya@acme.dev", "2"), ana.clone(), Ok(())),
            ("the requester", ana.clone(), ana.clone(), Err(Conflict::OwnRequest)),
            ("the requester in capitals", user("Ana@ACME.dev", "9"), ana.clone(), Err(Conflict::OwnRequest)),
            ("a renamed requester", user("ana.b@acme.dev", "1"), ana.clone(), Err(Conflict::OwnRequest)),
            ("the owner of the agent that asks", ana.clone(), agent("deploy", "ana@acme.dev"), Err(Conflict::OwnAgent)),
            ("somebody else, for an agent", user("priya@acme.dev", "2"), agent("deploy", "ana@acme.dev"), Ok(())),
            ("an agent", agent("deploy", "ben@acme.dev"), ana.clone(), Err(Conflict::Agent)),
            ("the requester's own agent", agent("deploy", "ana@acme.dev"), ana, Err(Conflict::Agent)),
        ];
        for (case, approver, requester, expected) in table {
            assert_eq!(may_countersign(&approver, &requester), expected, "{case}");
        }
    }

    #[test]
    fn the_same_subject_at_another_issuer_is_another_human() {
        let other = Human { issuer: "https://other".into(), ..user("zoe@other.dev", "1") };
        assert!(!same_human(&user("ana@acme.dev", "1"), &other));
    }
}
