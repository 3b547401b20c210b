//! Texts into a policy set, or everything that is wrong with them.

use std::{collections::HashMap, str::FromStr};

use cedar_policy::{
    ActionConstraint, Authorizer, EntityTypeName, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use countersign_shared::allow::Terms;
use miette::Diagnostic;

use super::{
    Named, Permissions, Policies, SCHEMA, allowance, approvals, names,
    source::{Source, spans},
    templates::{self, ENDING, Template, named as template_names},
    unfilled, version_of,
};
use crate::config::Problem;

/// Every entity type of the schema.
const TYPES: [&str; 11] =
    ["Action", "User", "Agent", "Group", "Role", "Connection", "Schema", "Table", "Column", "Function", "Request"];

/// A policy with the place where it stands.
struct Placed<'s> {
    policy: Policy,
    source: &'s Source,
    start: usize,
    end: usize,
}

impl Placed<'_> {
    /// The place of `word` within the policy, or its start.
    fn offset_of(&self, word: &str) -> usize {
        let text = self.source.text.get(self.start..self.end).unwrap_or_default();
        self.start + text.find(word).unwrap_or(0)
    }
}

pub(super) fn load(sources: &[Source]) -> Result<Policies, Vec<Problem>> {
    let broken = |error: String| vec![ours(format!("the built-in schema is broken: {error}"))];
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| broken(error.to_string()))?;
    let types = TYPES
        .into_iter()
        .map(|name| Ok((name, EntityTypeName::from_str(name).map_err(|error| broken(error.to_string()))?)))
        .collect::<Result<HashMap<_, _>, Vec<Problem>>>()?;

    let (mut problems, mut placed) = (Vec::new(), Vec::new());
    let (of_templates, of_policies): (Vec<_>, Vec<_>) = sources.iter().partition(|source| source.is_template());
    for source in of_policies {
        match parse(source) {
            Ok(policies) => placed.extend(policies),
            Err(wrong) => problems.extend(wrong),
        }
    }
    if placed.is_empty() && problems.is_empty() {
        problems.push(Problem {
            file: sources.first().map(|source| source.file.clone()).unwrap_or_default(),
            line: 0,
            message: "there is no policy in the folder, so nothing would be permitted".to_owned(),
            hint: Some("docs/policy.md has a policy to start from".to_owned()),
        });
    }
    let set = gather(&placed, &mut problems);
    let named = read_closely(&placed, &mut problems);
    let allowances = allowances(&placed, &mut problems);
    let mut templates = Vec::new();
    for source in &of_templates {
        match Template::read(source) {
            Ok(template) => templates.push(template),
            Err(problem) => problems.push(problem),
        }
    }
    let mut warnings = validate(schema.clone(), &set, &placed, &mut problems);
    warnings.extend(placed.iter().flat_map(rests_on_nothing));
    warnings.extend(unmet(&placed, &of_templates, &templates));
    if !problems.is_empty() {
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        problems.dedup();
        return Err(problems);
    }
    let version = version_of(sources);
    let rests_on_time = set.policies().any(|policy| mentions(policy, "time"));
    let asks_for_reasons = set.policies().any(|policy| mentions(policy, "reason"));
    let reads_rows = set.policies().any(|policy| mentions(policy, "rows"));
    let reviews_at_commit = set.policies().any(|policy| mentions(policy, "at_commit"));
    let connect_rests_on_time = set.policies().any(|policy| could_be_connect(policy) && mentions(policy, "time"));
    let permissions = Permissions::of(&set);
    let authorizer = Authorizer::new();
    let texts = sources.iter().map(|source| (source.name.clone(), source.text.clone())).collect();
    Ok(Policies {
        schema,
        set,
        types,
        named,
        warnings,
        texts,
        signed_by: Vec::new(),
        version,
        rests_on_time,
        asks_for_reasons,
        reads_rows,
        reviews_at_commit,
        connect_rests_on_time,
        permissions,
        allowances,
        templates,
        authorizer,
    })
}

/// Templates that no policy speaks of, and policies that speak of templates which are not there.
fn unmet(placed: &[Placed<'_>], sources: &[&Source], templates: &[Template]) -> Vec<Problem> {
    let mut named = Vec::new();
    for one in placed {
        let json = one.policy.to_json().unwrap_or_default();
        named.extend(template_names(&json).into_iter().map(|name| (name, one)));
    }
    let mut found = Vec::new();
    for (name, one) in &named {
        if !templates.iter().any(|template| template.name == *name) {
            let message = format!("policy `{}`: there is no template {name:?}, so it never matches", one.policy.id());
            let hint = Some(format!("write {name}{ENDING} beside the policies"));
            found.push(Problem { hint, ..one.source.problem(one.offset_of(name), message) });
        }
    }
    for source in sources {
        let name = source.name.strip_suffix(ENDING).unwrap_or(&source.name);
        if !named.iter().any(|(other, _)| other == name) {
            let hint =
                Some(format!("permit (…) when {{ context.sql has template && context.sql.template == {name:?} }};"));
            let message = "no policy speaks of this template, so it permits nothing".to_owned();
            found.push(Problem { hint, ..source.problem(0, message) });
        }
    }
    found
}

/// Whether a policy's conditions have a word anywhere. Its annotations are said to people.
fn mentions(policy: &Policy, word: &str) -> bool {
    policy.to_json().map_or(true, |json| json["conditions"].to_string().contains(word))
}

/// What policies let approvers allow beyond one run.
fn allowances(placed: &[Placed<'_>], problems: &mut Vec<Problem>) -> HashMap<PolicyId, Terms> {
    let mut all = HashMap::new();
    for one in placed {
        match allowance::of(&one.policy, mentions(&one.policy, "approvals")) {
            Ok(Some(terms)) => _ = all.insert(one.policy.id().clone(), terms),
            Ok(None) => {}
            Err(wrong) => problems.push(Problem {
                hint: Some(allowance::HINT.to_owned()),
                ..one.source.problem(one.offset_of(allowance::NAME), format!("policy `{}`: {wrong}", one.policy.id()))
            }),
        }
    }
    all
}

fn could_be_connect(policy: &Policy) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => uid.id().unescaped() == "connect",
        ActionConstraint::In(uids) => uids.iter().any(|uid| uid.id().unescaped() == "connect"),
    }
}

fn ours(message: String) -> Problem {
    Problem { file: "schema.cedarschema".into(), line: 0, message, hint: None }
}

/// The byte that a diagnostic points at.
fn offset(diagnostic: &dyn Diagnostic) -> Option<usize> {
    diagnostic.labels()?.next().map(|label| label.offset())
}

/// The policies of one file, in order, named by `@id` or by their place.
fn parse(source: &Source) -> Result<Vec<Placed<'_>>, Vec<Problem>> {
    let set = PolicySet::from_str(&source.text).map_err(|errors| {
        errors
            .iter()
            .map(|error| Problem {
                hint: error.help().map(|help| help.to_string()),
                ..source.problem(offset(error).unwrap_or(0), error.to_string())
            })
            .collect::<Vec<_>>()
    })?;
    let spans = spans(&source.text);
    if set.num_of_policies() + set.num_of_templates() != spans.len() {
        return Err(vec![source.problem(0, "the places of the policies in this file can't be told apart")]);
    }
    let mut placed = Vec::new();
    let mut problems = Vec::new();
    for (index, span) in spans.into_iter().enumerate() {
        // Cedar numbers the policies of a text from zero.
        let Some(policy) = set.policy(&PolicyId::new(format!("policy{index}"))) else {
            problems.push(Problem {
                hint: Some("write the principal or resource out".to_owned()),
                ..source.problem(span.start, "templates (`?principal`, `?resource`) are not supported")
            });
            continue;
        };
        let id = match policy.annotation("id") {
            Some(id) if !id.trim().is_empty() => id.to_owned(),
            _ => format!("{}#{}", source.name, index + 1),
        };
        placed.push(Placed { policy: policy.new_id(PolicyId::new(id)), source, start: span.start, end: span.end });
    }
    if problems.is_empty() { Ok(placed) } else { Err(problems) }
}

/// One set of all policies. Two of one name are a problem.
fn gather(placed: &[Placed<'_>], problems: &mut Vec<Problem>) -> PolicySet {
    let mut set = PolicySet::new();
    for one in placed {
        if set.add(one.policy.clone()).is_err() {
            let id = one.policy.id();
            let first = placed.iter().find(|other| other.policy.id() == id);
            let place = first.map(|first| first.source.problem(first.start, "")).unwrap_or_else(|| ours(String::new()));
            problems.push(Problem {
                hint: Some(format!("the other is at {}:{}", place.file.display(), place.line)),
                ..one.source.problem(one.start, format!("there are two policies with the id `{id}`"))
            });
        }
    }
    set
}

/// What Cedar's validator does not look at: how approvals are read, and how things are named.
fn read_closely(placed: &[Placed<'_>], problems: &mut Vec<Problem>) -> Named {
    let mut named = Named::default();
    for one in placed {
        match one.policy.to_json() {
            Ok(json) => {
                let at = if one.offset_of("approvals") == one.start { "context" } else { "approvals" };
                for wrong in approvals::misread(&json) {
                    problems.push(Problem {
                        hint: Some("docs/policy.md, \"Approvals only help\"".to_owned()),
                        ..one.source.problem(one.offset_of(at), format!("policy `{}`: {wrong}", one.policy.id()))
                    });
                }
                for wrong in templates::misread(&json) {
                    problems.push(Problem {
                        hint: Some("docs/policy.md, \"Templates\"".to_owned()),
                        ..one
                            .source
                            .problem(one.offset_of("template"), format!("policy `{}`: {wrong}", one.policy.id()))
                    });
                }
                let mut groups = Vec::new();
                for condition in json["conditions"].as_array().into_iter().flatten() {
                    approvals::groups_asked_for(&condition["body"], &mut groups);
                }
                named.groups.extend(groups.iter().cloned());
                named.countersigning.extend(groups);
            }
            Err(error) => problems.push(one.source.problem(one.start, format!("can't be looked through: {error}"))),
        }
        for uid in one.policy.entity_literals() {
            let (kind, id) = (uid.type_name().to_string(), uid.id().unescaped().to_owned());
            let place = || one.source.problem(one.offset_of(&format!("{kind}::")), String::new());
            if let Some((message, hint)) = names::misnamed(&kind, &id) {
                problems.push(Problem { message, hint: Some(hint), ..place() });
            }
            match kind.as_str() {
                "Group" => _ = named.groups.insert(id),
                "User" => _ = named.users.insert(id),
                "Role" => _ = named.roles.entry(id).or_insert_with(place),
                "Agent" => _ = named.agents.entry(id).or_insert_with(place),
                "Connection" => _ = named.connections.entry(id).or_insert_with(place),
                "Schema" | "Table" | "Column" | "Function" => {
                    let connection = id.split_once('/').map_or(id.as_str(), |(connection, _)| connection);
                    _ = named.connections.entry(connection.to_owned()).or_insert_with(place);
                }
                _ => {}
            }
        }
    }
    named
}

/// Warns of what a policy reads and nobody tells.
fn rests_on_nothing(one: &Placed<'_>) -> Vec<Problem> {
    let json = one.policy.to_json().unwrap_or_default();
    let never = |(path, name): (String, &str)| Problem {
        hint: Some("what tests for it first with `has` is never true in this version; rest no forbid on it".to_owned()),
        ..one.source.problem(
            one.offset_of(name),
            format!("policy `{}` reads `{path}`, which is never filled in", one.policy.id()),
        )
    };
    unfilled::read(&json).into_iter().map(never).collect()
}

/// Cedar's own validation, strictly. Returns its warnings.
fn validate(schema: Schema, set: &PolicySet, placed: &[Placed<'_>], problems: &mut Vec<Problem>) -> Vec<Problem> {
    let result = Validator::new(schema).validate(set, ValidationMode::Strict);
    let at = |id: &PolicyId, diagnostic: &dyn Diagnostic, message: String| {
        let hint = diagnostic.help().map(|help| help.to_string());
        match placed.iter().find(|one| one.policy.id() == id) {
            Some(one) => Problem { hint, ..one.source.problem(offset(diagnostic).unwrap_or(one.start), message) },
            None => Problem { hint, ..ours(message) },
        }
    };
    problems.extend(result.validation_errors().map(|error| at(error.policy_id(), error, error.to_string())));
    result.validation_warnings().map(|warning| at(warning.policy_id(), warning, warning.to_string())).collect()
}
