//! decide: effects and approvals into allow, hold or deny. Pure; the one decision function.

use chrono::{DateTime, Utc};
use countersign_shared::{api::Needed, duties::Human, request::Assurance};
use serde::{Deserialize, Serialize};

use super::effect::Effect;
use crate::policy::Policies;

/// Who asks, with what they are members of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// The principal and the human behind it.
    pub human: Human,
    /// Groups of the identity provider.
    pub groups: Vec<String>,
    /// Roles granted on this connection, now.
    pub roles: Vec<String>,
}

/// `context.sql`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFacts {
    /// No UPDATE or DELETE lacks its WHERE.
    pub has_where: bool,
    /// Tables named.
    pub tables: Vec<String>,
    /// Functions called.
    pub functions: Vec<String>,
    /// How many statements the text has.
    pub statement_count: u32,
    /// Whether a transaction is open.
    pub in_transaction: bool,
}

/// `context.session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// The client's own application name.
    pub application: String,
    /// The client's IP address.
    pub address: String,
}

/// All that a decision is about, but approvals, people and time. Kept with a request, so that the
/// same question can be asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asks.
    pub asker: Asker,
    /// The connection's name.
    pub connection: String,
    /// The connection's tags.
    pub tags: std::collections::BTreeMap<String, String>,
    /// What would be done.
    pub effects: Vec<Effect>,
    /// `context.sql`.
    pub sql: SqlFacts,
    /// `context.session`.
    pub session: SessionFacts,
    /// `context.reason`.
    pub reason: Option<String>,
    /// `context.break_glass`.
    pub break_glass: bool,
}

/// A person who has approved, with the groups that they are in now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countersigner {
    /// Who.
    pub human: Human,
    /// Their groups now.
    pub groups: Vec<String>,
    /// How they proved it.
    pub assurance: Assurance,
}

/// A user whom the store knows, with the groups last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who.
    pub human: Human,
    /// Their groups.
    pub groups: Vec<String>,
}

/// The policy's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// All effects are permitted.
    Allow,
    /// All would be, with approvals.
    Hold(Needed),
    /// Some would not be.
    Deny(Denial),
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The first effect that is refused.
    pub effect: Option<Effect>,
    /// The `@error("…")` of the forbid that refused it.
    pub message: Option<String>,
    /// Ids of the policies that refused it; empty where no permit matched.
    pub rules: Vec<String>,
}

/// Asks policy of `asked` with the approvals that exist, then as if everybody who may approve had.
#[must_use]
pub fn decide(
    _policies: &Policies,
    _asked: &Asked,
    _approvals: &[Countersigner],
    _known: &[Known],
    _now: DateTime<Utc>,
) -> Decision {
    todo!("written with the policy")
}

/// Asks policy of one action alone, without approvals: `connect`, `approve`, `administer`, `audit`.
/// An error is no.
#[must_use]
pub fn permits(
    _policies: &Policies,
    _asker: &Asker,
    _connection: (&str, &std::collections::BTreeMap<String, String>),
    _effect: &Effect,
    _session: &SessionFacts,
    _now: DateTime<Utc>,
) -> bool {
    todo!("written with the policy")
}
