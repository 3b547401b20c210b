//! Policies: Cedar, from a folder, validated against the schema that ships with the binary.
//!
//! What loads is complete and strict: every file parses, every policy is valid for the schema, reads
//! approvals only so that they help, and names things as they are named here. Anything else is
//! refused as a whole, with file and line.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
};

use cedar_policy::{
    Authorizer, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicyId, PolicySet, Request, Schema,
};
use countersign_shared::{
    allow::Terms,
    digest::{Digest, Fields},
    duties::Human,
};

use crate::{config::Problem, statement::tokens::tokens};

mod allowance;
mod approvals;
mod load;
mod names;
mod signed;
mod source;
mod templates;
mod unfilled;
mod used;
mod wall;
mod watch;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use signed::{NAMESPACE, Signers};
pub use templates::Given;
pub use used::{Permission, Permissions};
pub use watch::{Coming, Looking, Watched, watch};

/// The schema, as the binary ships it.
pub const SCHEMA: &str = include_str!("schema.cedarschema");

/// A loaded, validated policy set with its version.
pub struct Policies {
    schema: Schema,
    set: PolicySet,
    types: HashMap<&'static str, EntityTypeName>,
    named: Named,
    warnings: Vec<Problem>,
    texts: Vec<(String, String)>,
    signed_by: Vec<String>,
    version: Digest,
    rests_on_time: bool,
    asks_for_reasons: bool,
    reads_rows: bool,
    reviews_at_commit: bool,
    connect_rests_on_time: bool,
    permissions: Permissions,
    allowances: HashMap<PolicyId, Terms>,
    templates: Vec<templates::Template>,
    authorizer: Authorizer,
}

/// What the texts of policies name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `Group::"…"`, and groups that approvers must stand for.
    pub groups: BTreeSet<String>,
    /// Groups that approvers must stand for.
    pub countersigning: BTreeSet<String>,
    /// `User::"…"`.
    pub users: BTreeSet<String>,
    /// `Connection::"…"`, or the connection of a schema, table, column or function; and where each is
    /// first named.
    pub connections: BTreeMap<String, Problem>,
    /// `Role::"…"`, and where each is first named.
    pub roles: BTreeMap<String, Problem>,
    /// `Agent::"…"`, and where each is first named.
    pub agents: BTreeMap<String, Problem>,
}

/// Cedar's answer to one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A permit matched, no forbid did, and nothing failed.
    Permitted,
    /// A forbid matched, or no permit did.
    Refused(Refused),
    /// A policy could not be evaluated, or the question could not be asked. Never a yes.
    Failed(Refused),
}

/// Why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// The forbid's `@error("…")`, or what failed.
    pub message: Option<String>,
    /// Ids of the policies that refused or failed, sorted; empty where no permit matched.
    pub rules: Vec<String>,
}

impl Policies {
    /// Whether a decision may change with the time alone. Any mention counts.
    #[must_use]
    pub const fn rests_on_time(&self) -> bool {
        self.rests_on_time
    }

    /// Whether a decision may change with a reason. Any mention counts.
    #[must_use]
    pub const fn asks_for_reasons(&self) -> bool {
        self.asks_for_reasons
    }

    /// Whether a decision may change with how many rows a write touches. Any mention counts.
    #[must_use]
    pub const fn reads_rows(&self) -> bool {
        self.reads_rows
    }

    /// Whether something may be permitted for being reviewed at its commit. Any mention counts.
    #[must_use]
    pub const fn reviews_at_commit(&self) -> bool {
        self.reviews_at_commit
    }

    /// Whether it may change with the time alone who may `connect`.
    #[must_use]
    pub const fn connect_rests_on_time(&self) -> bool {
        self.connect_rests_on_time
    }

    /// Loads and validates every `.cedar` file of `folder`, and every template.
    ///
    /// # Errors
    /// Everything that is wrong, with file and line.
    pub fn load(folder: &Path) -> Result<Self, Vec<Problem>> {
        load::load(&source::read(folder)?)
    }

    /// As [`load`](Self::load), where `signers` must have signed them.
    ///
    /// # Errors
    /// As [`load`](Self::load), and too few signatures.
    pub fn load_signed(folder: &Path, signers: Option<&Signers>) -> Result<Self, Vec<Problem>> {
        watch::put_together(folder, &watch::read(folder, signers)?, signers)
    }

    /// What people sign of `folder`.
    ///
    /// # Errors
    /// As [`load`](Self::load), and names of files that can't be signed.
    pub fn manifest(folder: &Path) -> Result<String, Vec<Problem>> {
        signed::manifest(&source::read(folder)?).map_err(|problem| vec![problem])
    }

    /// The same, from files' names and texts.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn of_texts(texts: &[(String, String)]) -> Result<Self, Vec<Problem>> {
        let source = |(name, text): &(String, String)| source::Source {
            file: name.into(),
            name: name.clone(),
            text: text.clone(),
        };
        load::load(&texts.iter().map(source).collect::<Vec<_>>())
    }

    /// The files' names and texts.
    #[must_use]
    pub fn texts(&self) -> &[(String, String)] {
        &self.texts
    }

    /// Who signed them, where somebody must.
    #[must_use]
    pub fn signed_by(&self) -> &[String] {
        &self.signed_by
    }

    /// SHA-256 over the files' names and texts, and the schema.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    /// What is allowed but looks like a mistake: a policy that never matches, one that rests on what is
    /// never told, look-alike characters.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// What the texts name.
    #[must_use]
    pub const fn named(&self) -> &Named {
        &self.named
    }

    /// Its permits, and which of them let something happen.
    #[must_use]
    pub const fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// The schema that questions must fit.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// An entity's identity. `None` for a type that the schema does not have.
    #[must_use]
    pub fn uid(&self, kind: &str, id: &str) -> Option<EntityUid> {
        Some(EntityUid::from_type_name_and_id(self.types.get(kind)?.clone(), EntityId::new(id)))
    }

    /// Asks one question. A policy that can't be evaluated makes it [`Answer::Failed`]: Cedar would
    /// skip a `forbid` whose condition fails, and might then say yes.
    #[must_use]
    pub fn answer(&self, request: &Request, entities: &Entities) -> Answer {
        self.answer_by(request, entities).0
    }

    /// As [`answer`](Self::answer), with the places of the [`permissions`](Self::permissions) that a yes rests on.
    pub(crate) fn answer_by(&self, request: &Request, entities: &Entities) -> (Answer, Vec<usize>) {
        let response = self.authorizer.is_authorized(request, &self.set, entities);
        let diagnostics = response.diagnostics();
        let errors: Vec<String> = diagnostics.errors().map(ToString::to_string).collect();
        if let Some(first) = errors.first() {
            let mut rules: Vec<String> = diagnostics
                .errors()
                .map(|error| match error {
                    cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
                })
                .collect();
            rules.sort();
            return (Answer::Failed(Refused { message: Some(first.clone()), rules }), Vec::new());
        }
        if response.decision() == Decision::Allow {
            return (Answer::Permitted, self.permissions.places(diagnostics.reason()));
        }
        let mut rules: Vec<&PolicyId> = diagnostics.reason().collect();
        rules.sort();
        let message = rules.iter().find_map(|id| self.set.annotation(id, "error")).map(str::to_owned);
        let rules = rules.into_iter().map(ToString::to_string).collect();
        (Answer::Refused(Refused { message, rules }), Vec::new())
    }

    /// Whether any policy lets approvers allow anything beyond one run.
    #[must_use]
    pub fn has_allowances(&self) -> bool {
        !self.allowances.is_empty()
    }

    /// The most that approvers may allow of what is asked, where it is permitted: of the permits that say so, the
    /// tightest in each. `None` where it is refused, or none of the permits says so.
    #[must_use]
    pub fn allowance(&self, request: &Request, entities: &Entities) -> Option<Terms> {
        let response = self.authorizer.is_authorized(request, &self.set, entities);
        let diagnostics = response.diagnostics();
        if response.decision() != Decision::Allow || diagnostics.errors().next().is_some() {
            return None;
        }
        diagnostics.reason().filter_map(|id| self.allowances.get(id).copied()).reduce(Terms::and)
    }

    /// The template that a text of `asker` is, within its bounds. `value`: of the text's own parameters; nothing
    /// where it is NULL, or not known whole; `Some(None)` where it is still to come. Where policies are signed, others than `asker` must have signed them.
    #[must_use]
    pub fn template(&self, asker: &Human, sql: &str, value: impl Fn(usize) -> Option<Option<Given>>) -> Option<String> {
        if self.templates.is_empty() {
            return None;
        }
        let own = |name: &String| {
            name.eq_ignore_ascii_case(&asker.principal)
                || asker.owner.as_ref().is_some_and(|owner| name.eq_ignore_ascii_case(owner))
        };
        if !self.signed_by.is_empty() && self.signed_by.iter().all(own) {
            return None;
        }
        let text = tokens(sql)?;
        self.templates.iter().find(|template| template.is(&text, &value)).map(|template| template.name.clone())
    }

    /// Ids of the policies that an answer rests on, sorted.
    #[must_use]
    pub fn reasons(&self, request: &Request, entities: &Entities) -> Vec<String> {
        let response = self.authorizer.is_authorized(request, &self.set, entities);
        let mut rules: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        rules.sort();
        rules
    }
}

fn version_of(sources: &[source::Source]) -> Digest {
    let mut fields = Fields::of("countersign policies 1").field("schema", SCHEMA);
    for source in sources {
        fields = fields.field("name", &source.name).field("text", &source.text);
    }
    fields.finish()
}
