//! One Cedar question: entities, context, and the answer.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression as Value};
use chrono::{DateTime, Utc};
use countersign_shared::allow::Terms;

use super::{Asked, Asker, ColumnFacts, SessionFacts, SqlFacts, is_statement};
use crate::{
    policy::{Answer, Policies, Refused},
    statement::{
        classify::columns::Use,
        effect::{Action, Effect, Object},
    },
};

/// `context.approvals`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Approvals {
    pub count: usize,
    pub groups: BTreeSet<String>,
    pub step_up: bool,
    pub at_commit: bool,
}

/// A principal of a question.
#[derive(Clone, Debug)]
pub(super) struct Person<'a> {
    id: String,
    /// Who answers for an agent.
    owner: Option<String>,
    groups: &'a [String],
    roles: &'a [String],
}

impl<'a> Person<'a> {
    /// A user with their groups. Roles are the asker's alone: nobody approves by a grant.
    pub fn user(principal: &str, groups: &'a [String]) -> Self {
        Self { id: principal.to_lowercase(), owner: None, groups, roles: &[] }
    }
}

impl<'a> From<&'a Asker> for Person<'a> {
    fn from(asker: &'a Asker) -> Self {
        let human = &asker.human;
        let id = if human.is_agent() { human.principal.clone() } else { human.principal.to_lowercase() };
        Self {
            id,
            owner: human.owner.as_ref().map(|owner| owner.to_lowercase()),
            groups: &asker.groups,
            roles: &asker.roles,
        }
    }
}

/// What all questions about one asked thing share.
pub(super) struct Circumstances<'a> {
    connection: &'a str,
    tags: &'a BTreeMap<String, String>,
    sql: Option<&'a SqlFacts>,
    session: &'a SessionFacts,
    reason: Option<&'a str>,
    break_glass: bool,
    /// `context.duration`, in seconds.
    duration: Option<u64>,
    columns: &'a [ColumnFacts],
    now: DateTime<Utc>,
}

impl<'a> Circumstances<'a> {
    pub fn of(asked: &'a Asked, now: DateTime<Utc>) -> Self {
        Self {
            connection: &asked.connection,
            tags: &asked.tags,
            sql: Some(&asked.sql),
            session: &asked.session,
            reason: asked.reason.as_deref(),
            break_glass: asked.break_glass,
            duration: asked.wish.as_ref().map(|wish| wish.seconds),
            columns: &asked.columns,
            now,
        }
    }

    pub fn alone(
        (connection, tags): (&'a str, &'a BTreeMap<String, String>),
        session: &'a SessionFacts,
        now: DateTime<Utc>,
    ) -> Self {
        let (sql, reason, break_glass, duration, columns) = (None, None, false, None, &[][..]);
        Self { connection, tags, sql, session, reason, break_glass, duration, columns, now }
    }

    /// Which of `effects` a person may approve, by policy alone.
    pub fn approvable<'e>(&self, policies: &Policies, person: &Person<'_>, effects: &[&'e Effect]) -> Vec<&'e Effect> {
        let Ok(world) = self.world(policies, person, effects.iter().copied()) else { return Vec::new() };
        let may = |effect: &Effect| world.ask(Action::Approve, effect, &Approvals::default()) == Answer::Permitted;
        effects.iter().copied().filter(|effect| may(effect)).collect()
    }

    /// Everything that Cedar must know to be asked what `person` may do to the objects of `effects`.
    ///
    /// # Errors
    /// Why nothing can be asked; a refusal.
    pub fn world<'e, 'p>(
        &self,
        policies: &'p Policies,
        person: &Person<'_>,
        effects: impl IntoIterator<Item = &'e Effect>,
    ) -> Result<World<'p>, String> {
        let uid = |kind: &str, id: &str| {
            policies.uid(kind, id).ok_or_else(|| format!("The policy schema has no entity type {kind}."))
        };
        let connection = uid("Connection", self.connection)?;
        let kind = if person.owner.is_some() { "Agent" } else { "User" };
        let principal = uid(kind, &person.id)?;
        let mut entities: HashMap<EntityUid, Entity> = HashMap::new();
        let mut add = |uid: EntityUid, attrs: Vec<(String, Value)>, parents: HashSet<EntityUid>| {
            // Whatever is there already came from the same place.
            let entity = Entity::new(uid.clone(), attrs.into_iter().collect(), parents);
            entity.map(|entity| _ = entities.entry(uid).or_insert(entity)).map_err(|error| error.to_string())
        };

        let mut memberships = HashSet::new();
        for group in person.groups {
            memberships.insert(uid("Group", group)?);
        }
        for role in person.roles {
            memberships.insert(uid("Role", role)?);
        }
        let owner = person.owner.as_deref().map(|owner| uid("User", owner)).transpose()?;
        let attrs = owner.map(|owner| ("owner".to_owned(), Value::new_entity_uid(owner)));
        add(principal.clone(), attrs.into_iter().collect(), memberships)?;

        let of_connection = || ("connection".to_owned(), Value::new_entity_uid(connection.clone()));
        for effect in effects {
            let (kind, id) = effect.object.entity(self.connection);
            let mut parents = HashSet::new();
            for parent in above(&effect.object) {
                let (kind, id) = parent.entity(self.connection);
                parents.insert(uid(kind, &id)?);
            }
            let mut attrs = vec![of_connection()];
            if matches!(effect.object, Object::Column { .. }) {
                let facts = self.columns.iter().find(|facts| facts.column == effect.object);
                let classification = facts.map(|facts| facts.classification.clone()).unwrap_or_default();
                attrs.push(("classification".to_owned(), Value::new_string(classification)));
            }
            if effect.object != Object::Connection {
                add(uid(kind, &id)?, attrs, parents)?;
            }
            for action in [effect.action, Action::Approve] {
                let groups = action.group().map(|group| uid("Action", group)).transpose()?;
                add(uid("Action", action.as_str())?, Vec::new(), groups.into_iter().collect())?;
            }
        }
        let tags = self.tags.iter().map(|(key, value)| (key.clone(), Value::new_string(value.clone())));
        let root = Entity::new_with_tags(connection.clone(), [of_connection()], [], tags)
            .map_err(|error| error.to_string())?;
        entities.insert(connection, root);
        let entities = Entities::from_entities(entities.into_values(), None)
            .map_err(|error| format!("Policy can't be asked: {error}."))?;
        Ok(World {
            policies,
            connection: self.connection.to_owned(),
            entities,
            principal,
            shared: self.shared()?,
            sql: self.sql.map(sql).transpose()?,
            duration: self.duration,
            uses: self.columns.iter().map(|facts| (facts.column.clone(), facts.uses.clone())).collect(),
            noted: RefCell::default(),
        })
    }

    /// What every action's context has.
    fn shared(&self) -> Result<Vec<(String, Value)>, String> {
        let address = address(&self.session.address).ok_or_else(|| {
            format!("Policy can't be asked: the client's address {:?} is not an IP address.", self.session.address)
        })?;
        let session = Value::new_record([
            ("application".to_owned(), Value::new_string(self.session.application.clone())),
            ("address".to_owned(), Value::new_ip(address.to_string())),
        ])
        .map_err(|error| error.to_string())?;
        let time = self.now.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        let mut shared = vec![
            ("session".to_owned(), session),
            ("time".to_owned(), Value::new_datetime(time)),
            ("break_glass".to_owned(), Value::new_bool(self.break_glass)),
        ];
        shared.extend(self.reason.map(|reason| ("reason".to_owned(), Value::new_string(reason.to_owned()))));
        Ok(shared)
    }
}

/// All ancestors of an object.
fn above(object: &Object) -> Vec<Object> {
    let schema_of = |schema: &String| Object::Schema { schema: schema.clone() };
    match object {
        Object::Connection => vec![],
        Object::Schema { .. } | Object::Role { .. } => vec![Object::Connection],
        Object::Table { schema, .. } | Object::Function { schema, .. } => vec![Object::Connection, schema_of(schema)],
        Object::Column { schema, table, .. } => {
            vec![Object::Connection, schema_of(schema), Object::Table { schema: schema.clone(), name: table.clone() }]
        }
    }
}

/// An IP address, with or without a port. An IPv4 address in IPv6 clothes is the IPv4 address, so
/// that no range in a policy can be walked round.
fn address(text: &str) -> Option<IpAddr> {
    text.parse()
        .or_else(|_| text.parse().map(|socket: SocketAddr| socket.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

fn strings(values: &[String]) -> Value {
    Value::new_set(values.iter().map(|value| Value::new_string(value.clone())))
}

fn sql(facts: &SqlFacts) -> Result<Value, String> {
    let rows = facts.rows.map(|rows| ("rows".to_owned(), Value::new_long(i64::try_from(rows).unwrap_or(i64::MAX))));
    let known = [
        ("has_where".to_owned(), Value::new_bool(facts.has_where)),
        ("tables".to_owned(), strings(&facts.tables)),
        ("functions".to_owned(), strings(&facts.functions)),
        ("statement_count".to_owned(), Value::new_long(facts.statement_count.into())),
        ("in_transaction".to_owned(), Value::new_bool(facts.in_transaction)),
    ];
    let template = facts.template.clone().map(|name| ("template".to_owned(), Value::new_string(name)));
    Value::new_record(known.into_iter().chain(rows).chain(template)).map_err(|error| error.to_string())
}

/// What Cedar knows while it is asked about one principal.
pub(super) struct World<'a> {
    policies: &'a Policies,
    connection: String,
    entities: Entities,
    principal: EntityUid,
    shared: Vec<(String, Value)>,
    sql: Option<Value>,
    duration: Option<u64>,
    /// What each column that `reveal` is asked about is used for.
    uses: HashMap<Object, Vec<Use>>,
    /// By which permissions it has said yes.
    noted: RefCell<Vec<usize>>,
}

impl World<'_> {
    /// Asks whether the principal may do `action` to the object of `effect`. For [`Action::Approve`],
    /// `effect` is what would be approved.
    pub fn ask(&self, action: Action, effect: &Effect, approvals: &Approvals) -> Answer {
        let failed = |message| Answer::Failed(Refused { message: Some(message), rules: Vec::new() });
        let uses = match self.uses_of(action, effect) {
            Ok(uses) => uses,
            Err(message) => return failed(message),
        };
        // Whoever uses it in several ways must be permitted each.
        for used in uses {
            let request = self.request(action, effect, approvals, used);
            let asked = request.map(|request| self.policies.answer_by(&request, &self.entities));
            let (answer, by) = asked.unwrap_or_else(|message| (failed(message), Vec::new()));
            if answer != Answer::Permitted {
                return answer;
            }
            self.noted.borrow_mut().extend(by);
        }
        Answer::Permitted
    }

    /// Whether the principal may reveal a column for a use, as if nobody had approved.
    pub fn may_reveal(&self, effect: &Effect, used: Use) -> bool {
        let request = self.request(Action::Reveal, effect, &Approvals::default(), Some(used));
        let asked = request.map(|request| self.policies.answer_by(&request, &self.entities));
        asked.is_ok_and(|(answer, by)| {
            self.noted.borrow_mut().extend(by);
            answer == Answer::Permitted
        })
    }

    /// The places of the permissions by which it has said yes since this was last asked.
    pub fn take_noted(&self) -> Vec<usize> {
        self.noted.take()
    }

    /// The most that approvers may allow of what `effect` does, where it is permitted with these approvals.
    pub fn allowance(&self, effect: &Effect, approvals: &Approvals) -> Option<Terms> {
        let request = self.request(effect.action, effect, approvals, None).ok()?;
        self.policies.allowance(&request, &self.entities)
    }

    /// The policies that the answer to the same question rests on.
    pub fn reasons(&self, action: Action, effect: &Effect, approvals: &Approvals) -> Vec<String> {
        let mut reasons = Vec::new();
        for used in self.uses_of(action, effect).unwrap_or_default() {
            let request = self.request(action, effect, approvals, used);
            let found = request.map(|request| self.policies.reasons(&request, &self.entities)).unwrap_or_default();
            reasons.extend(found.into_iter().filter(|rule| !reasons.contains(rule)).collect::<Vec<_>>());
        }
        reasons
    }

    /// What `context.use` is, question by question; none where it has no part in the question.
    fn uses_of(&self, action: Action, effect: &Effect) -> Result<Vec<Option<Use>>, String> {
        let known = self.uses.get(&effect.object).filter(|_| effect.action == Action::Reveal);
        match (action, known) {
            (Action::Reveal | Action::Approve, Some(uses)) if !uses.is_empty() => {
                Ok(uses.iter().copied().map(Some).collect())
            }
            (Action::Reveal, _) => Err("Policy can't be asked to reveal a column that is not classified.".to_owned()),
            _ => Ok(vec![None]),
        }
    }

    fn request(
        &self,
        action: Action,
        effect: &Effect,
        approvals: &Approvals,
        used: Option<Use>,
    ) -> Result<Request, String> {
        let (kind, id) = effect.object.entity(&self.connection);
        let uid = |kind: &str, id: &str| self.policies.uid(kind, id).ok_or_else(|| format!("no entity type {kind}"));
        let mut pairs = self.shared.clone();
        let groups = Value::new_set(approvals.groups.iter().map(|group| Value::new_string(group.clone())));
        let approvals = Value::new_record([
            ("count".to_owned(), Value::new_long(i64::try_from(approvals.count).unwrap_or(i64::MAX))),
            ("groups".to_owned(), groups),
            ("step_up".to_owned(), Value::new_bool(approvals.step_up)),
            ("at_commit".to_owned(), Value::new_bool(approvals.at_commit)),
        ]);
        pairs.push(("approvals".to_owned(), approvals.map_err(|error| error.to_string())?));
        if is_statement(effect.action) {
            pairs.extend(self.sql.clone().map(|sql| ("sql".to_owned(), sql)));
        }
        if let Some(used) = used {
            pairs.push(("use".to_owned(), Value::new_string(used.word().to_owned())));
            pairs.push(("compare".to_owned(), Value::new_string(used.compare().to_owned())));
        }
        if effect.action == Action::Request {
            pairs.extend(
                self.duration.map(|seconds| ("duration".to_owned(), Value::new_duration(format!("{seconds}s")))),
            );
        }
        let context = Context::from_pairs(pairs).map_err(|error| error.to_string())?;
        // The schema's check is what lets strict validation promise that no policy fails.
        Request::new(
            self.principal.clone(),
            uid("Action", action.as_str())?,
            uid(kind, &id)?,
            context,
            Some(self.policies.schema()),
        )
        .map_err(|error| format!("Policy can't be asked about {action} on {kind}::{id:?}: {error}"))
    }
}
