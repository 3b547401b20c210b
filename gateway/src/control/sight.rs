//! Who sees what, and who administers: the same policy as everything else.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use countersign_shared::{api::SessionView, duties};

use super::caller::{Caller, acting, in_slack};
use crate::{
    approval::take::may_approve,
    identity::Identity,
    runtime::Gateway,
    statement::{
        decide::{Asker, Known, SessionFacts, permits_by},
        effect::{Action, Effect},
    },
    store::{Grant, Request},
};

fn may(gateway: &Gateway, who: &Identity, from: &SessionFacts, action: Action, connection: &str) -> bool {
    let Some(config) = gateway.config.connections.get(connection) else { return false };
    let asker = Asker { human: who.human.clone(), groups: who.groups.clone(), roles: Vec::new() };
    let effect = Effect::on_connection(action);
    let on = (connection, &config.tags);
    let policies = gateway.policies();
    let by = permits_by(&policies, &asker, on, &effect, from, Utc::now());
    by.map(|by| policies.permissions().mark(&by)).is_some()
}

/// Whether `who` may administer every connection; where there is none, nobody may.
pub(super) fn administers_all(gateway: &Gateway, who: &Identity, from: &SessionFacts) -> bool {
    let connections = &gateway.config.connections;
    !connections.is_empty() && connections.keys().all(|name| may(gateway, who, from, Action::Administer, name))
}

/// The same of somebody as they were last seen, when they act through Slack.
pub(super) fn known_administers_all(gateway: &Gateway, one: &Known) -> bool {
    let who = acting(one.clone(), DateTime::<Utc>::MAX_UTC);
    administers_all(gateway, &who, &in_slack())
}

/// Whether `who` may administer a connection.
pub(super) fn administers(gateway: &Gateway, who: &Identity, from: &SessionFacts, connection: &str) -> bool {
    may(gateway, who, from, Action::Administer, connection)
}

/// Whether `who` sees the reviews of a connection's grants.
pub(super) fn sees_review(gateway: &Gateway, who: &Identity, from: &SessionFacts, connection: &str) -> bool {
    administers(gateway, who, from, connection) || may(gateway, who, from, Action::Audit, connection)
}

/// The connections whose records `who` may read.
pub(super) fn audited(gateway: &Gateway, who: &Identity, from: &SessionFacts) -> BTreeSet<String> {
    let names = gateway.config.connections.keys();
    names.filter(|name| may(gateway, who, from, Action::Audit, name)).cloned().collect()
}

/// Whether `who` may read who there is: it is about every connection.
pub(super) fn reads_people(gateway: &Gateway, who: &Identity, from: &SessionFacts) -> bool {
    let connections = &gateway.config.connections;
    let audits = || connections.keys().all(|name| may(gateway, who, from, Action::Audit, name));
    administers_all(gateway, who, from) || !connections.is_empty() && audits()
}

/// Whether `who` sees `request`: their own, one that they may decide on, or as an auditor.
pub(super) fn sees_request(gateway: &Gateway, who: &Identity, from: &SessionFacts, request: &Request) -> bool {
    let asked = &request.new.asked;
    duties::acts_for(&who.human, &asked.asker.human)
        || may_approve(&gateway.policies(), asked, &who.human, &who.groups, Utc::now())
        || may(gateway, who, from, Action::Audit, &asked.connection)
}

/// Whether `caller` sees `request`.
pub(super) fn caller_sees(gateway: &Gateway, caller: &Caller, request: &Request) -> bool {
    match caller {
        Caller::Bot => true,
        Caller::Known { identity, from, .. } | Caller::Acting { identity, from, .. } => {
            sees_request(gateway, identity, from, request)
        }
        Caller::Click { .. } => false,
    }
}

/// Whether `caller` administers a connection.
pub(super) fn caller_administers(gateway: &Gateway, caller: &Caller, connection: &str) -> bool {
    match caller {
        Caller::Known { identity, from, .. } | Caller::Acting { identity, from, .. } => {
            administers(gateway, identity, from, connection)
        }
        Caller::Bot | Caller::Click { .. } => false,
    }
}

/// Whether `caller` may approve `request`, as far as can be said before they try.
pub(super) fn caller_may_decide(gateway: &Gateway, caller: &Caller, request: &Request) -> bool {
    let (Caller::Known { identity, .. } | Caller::Acting { identity, .. }) = caller else { return false };
    let asked = &request.new.asked;
    !duties::same_human(&identity.human, &asked.asker.human)
        && may_approve(&gateway.policies(), asked, &identity.human, &identity.groups, Utc::now())
}

/// Whether a grant is `who`'s own or an agent's that they answer for.
pub(super) fn holds(who: &Identity, grant: &Grant) -> bool {
    let holder = &grant.first.human;
    // An agent is nobody's equal but its own: what it holds is not its owner's to hold, only to end.
    *holder == who.human
        || !who.human.is_agent() && holder.is_agent() && holder.answerable().eq_ignore_ascii_case(&who.human.principal)
}

/// Whether `who` sees a grant: as its holder, as somebody who approved it, or as who administers or
/// audits its connection.
pub(super) fn sees_grant(gateway: &Gateway, who: &Identity, from: &SessionFacts, grant: &Grant) -> bool {
    let on = |action| may(gateway, who, from, action, &grant.first.connection);
    holds(who, grant) || approved(gateway, who, grant) || on(Action::Administer) || on(Action::Audit)
}

/// Whether `who` may end a grant: its holder, somebody who approved it, or who administers its connection.
pub(super) fn ends_grant(gateway: &Gateway, who: &Identity, from: &SessionFacts, grant: &Grant) -> bool {
    holds(who, grant)
        || approved(gateway, who, grant)
        || may(gateway, who, from, Action::Administer, &grant.first.connection)
}

fn approved(gateway: &Gateway, who: &Identity, grant: &Grant) -> bool {
    // Principals are bound to one human, so that a name is enough; the seal says that the name is ours.
    let sealed = grant.terms().filter(|term| gateway.seal.verify_term(term));
    let mut approvers = sealed.flat_map(|term| &term.approved_by);
    !who.human.is_agent() && approvers.any(|approver| approver.eq_ignore_ascii_case(&who.human.principal))
}

/// Whether a session is `who`'s own or an agent's that they answer for, or they administer its connection.
pub(super) fn rules_session(gateway: &Gateway, who: &Identity, from: &SessionFacts, session: &SessionView) -> bool {
    let own = session.principal.eq_ignore_ascii_case(&who.human.principal);
    let answers = gateway.config.agents.iter().any(|agent| {
        agent.name.eq_ignore_ascii_case(&session.principal)
            && !who.human.is_agent()
            && agent.owner.eq_ignore_ascii_case(&who.human.principal)
    });
    own || answers || may(gateway, who, from, Action::Administer, &session.connection)
}
