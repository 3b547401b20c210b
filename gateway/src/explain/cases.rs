//! `policy test`: files of cases beside the policies, `policy/tests/*.toml`.
//!
//! A file declares the tables that there are, so that it needs no database, and cases: who says what,
//! and what should come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use countersign_shared::{duties::Human, request::Assurance};
use serde::{Deserialize, Serialize};

use super::{Said, Worlds, of_statement};
use crate::{
    catalog::{Snapshot, builder::Builder},
    policy::Policies,
    statement::{
        classify::Names,
        decide::{Asker, Countersigner, Known, SessionFacts, explain::Outcome, permits},
        effect::{Action, Effect},
        mask::{
            plan::Told,
            rules::{Mask, OnDoubt, Rule},
        },
    },
};

/// A file of cases.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The connection that all its cases are about.
    connection: String,
    /// The connection's tags.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// Tables by name, `public.orders`, each with its columns.
    #[serde(default)]
    tables: BTreeMap<String, Vec<String>>,
    /// Views by name, each with its query.
    #[serde(default)]
    views: BTreeMap<String, String>,
    /// Classified columns, as in the config.
    #[serde(default)]
    classify: Vec<Classified>,
    /// People whom the gateway would know.
    #[serde(default)]
    people: Vec<Person>,
    #[serde(default)]
    case: Vec<Case>,
}

/// A classified column.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Classified {
    column: String,
    #[serde(rename = "as")]
    label: String,
    #[serde(default)]
    mask: Option<String>,
}

impl Classified {
    fn rule(&self) -> Result<Rule, String> {
        let word = self.mask.as_deref().unwrap_or("redact");
        let mask = Mask::ALL.iter().find(|(name, _)| *name == word).map(|(_, mask)| *mask);
        let mask = mask.ok_or_else(|| format!("there is no mask {word:?}"))?;
        Rule::parse(&self.column, self.label.clone(), mask, 0).map_err(|why| format!("{:?}: {why}", self.column))
    }
}

/// Somebody who approves.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    user: String,
    #[serde(default)]
    groups: Vec<String>,
    /// Whether they signed in afresh.
    #[serde(default)]
    step_up: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Why it is so.
    name: String,
    /// Who says it: a user, or an agent with its owner.
    user: Option<String>,
    agent: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    /// The statement ...
    sql: Option<String>,
    /// ... or an action that is no statement: `connect`, `administer`, `audit`.
    action: Option<Action>,
    reason: Option<String>,
    application: Option<String>,
    address: Option<String>,
    #[serde(default)]
    in_transaction: bool,
    /// How many rows it would touch.
    #[serde(default)]
    rows: Option<u64>,
    /// RFC 3339; now, where the case does not depend on it.
    time: Option<DateTime<Utc>>,
    /// Who has approved already.
    #[serde(default)]
    approvals: Vec<Person>,
    expect: Outcome,
    /// The policy that must be among those that decide.
    by: Option<String>,
    /// The outputs that leave masked, by their names; `*` for all of them.
    masked: Option<Vec<String>>,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The file, without its folder.
    pub file: String,
    /// The case's name.
    pub name: String,
    /// Whether it went as it should.
    pub passed: bool,
    /// What should come of it.
    pub expected: Outcome,
    /// What did.
    pub found: Outcome,
    /// Why: each effect with the policies that decided. Of a case that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// All cases of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// In order.
    pub cases: Vec<CaseResult>,
}

impl Tested {
    /// Whether there are cases, and all passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.cases.is_empty() && self.cases.iter().all(|case| case.passed)
    }
}

/// Loads the policies of `folder` and runs the cases in its `tests`, each file under its own tables.
///
/// # Errors
/// Everything that can't be read, a line or more each.
pub fn run_cases(folder: &Path) -> Result<Tested, Vec<String>> {
    run_cases_under(folder, None)
}

/// The connections that the cases of a folder are about.
///
/// # Errors
/// Everything that can't be read.
pub fn connections_of(folder: &Path) -> Result<BTreeSet<String>, Vec<String>> {
    files(&folder.join("tests"))?
        .iter()
        .map(|path| read(path).map(|file| file.connection).map_err(|why| vec![why]))
        .collect()
}

/// The same under the catalogs of real databases, in place of the files' tables.
///
/// # Errors
/// Everything that can't be read, a line or more each.
pub fn run_cases_under(folder: &Path, worlds: Option<&Worlds>) -> Result<Tested, Vec<String>> {
    let policies =
        Policies::load(folder).map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let (mut tested, mut problems) = (Tested::default(), Vec::new());
    for path in files(&folder.join("tests"))? {
        match read(&path) {
            Ok(file) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let declared = fixture(&file);
                for case in &file.case {
                    let under = match worlds {
                        None => Some((&declared.0, &declared.1)),
                        Some(worlds) => {
                            worlds.get(&file.connection).and_then(|world| world.seen_by(&case.groups, &case.roles))
                        }
                    };
                    let result = under
                        .ok_or_else(|| format!("no database was asked for {:?}", file.connection))
                        .and_then(|under| run(&policies, &file, case, under));
                    match result {
                        Ok(result) => tested.cases.push(CaseResult { file: name.clone(), ..result }),
                        Err(problem) => problems.push(format!("{}: case {:?}: {problem}", path.display(), case.name)),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(tested) } else { Err(problems) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| vec![format!("{}: {error}", folder.display())])?;
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    paths.sort();
    if paths.is_empty() {
        Err(vec![format!("{}: there is no .toml file with cases", folder.display())])
    } else {
        Ok(paths)
    }
}

fn read(path: &Path) -> Result<File, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {}", path.display(), error.to_string().trim_end()))
}

fn fixture(file: &File) -> (Snapshot, Names) {
    let mut builder = Builder::new();
    for (name, columns) in &file.tables {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        builder.table(name, &columns);
    }
    for (name, query) in &file.views {
        builder.view(name, query);
    }
    let search_path = vec!["pg_catalog".to_owned(), "public".to_owned()];
    (builder.build(), Names { search_path, ..Names::default() })
}

fn human(principal: &str, owner: Option<&String>) -> Human {
    let (issuer, subject) = ("policy test".to_owned(), principal.to_lowercase());
    Human { principal: principal.to_owned(), issuer, subject, owner: owner.cloned() }
}

fn run(policies: &Policies, file: &File, case: &Case, under: (&Snapshot, &Names)) -> Result<CaseResult, String> {
    let who = match (&case.user, &case.agent, &case.owner) {
        (Some(user), None, None) => human(user, None),
        (None, Some(agent), Some(owner)) => human(agent, Some(owner)),
        _ => return Err("name either `user`, or `agent` with its `owner`".to_owned()),
    };
    let asker = Asker { human: who, groups: case.groups.clone(), roles: case.roles.clone() };
    let session = SessionFacts {
        application: case.application.clone().unwrap_or_default(),
        address: case.address.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
    };
    let now = case.time.unwrap_or_else(Utc::now);
    let classify = file.classify.iter().map(Classified::rule).collect::<Result<Vec<_>, _>>()?;
    let classify = classify.as_slice();
    let (mut masked_as_said, mut masked) = (true, Vec::new());
    let (found, rules, why) = match (&case.sql, case.action) {
        (Some(sql), None) => {
            let said = Said {
                asker,
                connection: (&file.connection, file.tags.clone()),
                sql,
                session,
                reason: case.reason.clone(),
                in_transaction: case.in_transaction,
                rows: case.rows,
                observe: false,
                classify,
                on_doubt: OnDoubt::Mask,
            };
            let assurance = |person: &Person| if person.step_up { Assurance::StepUp } else { Assurance::Slack };
            let approvals: Vec<Countersigner> = case
                .approvals
                .iter()
                .map(|person| Countersigner {
                    human: human(&person.user, None),
                    groups: person.groups.clone(),
                    assurance: assurance(person),
                })
                .collect();
            let known: Vec<Known> = file
                .people
                .iter()
                .map(|person| Known { human: human(&person.user, None), groups: person.groups.clone() })
                .collect();
            let explained = of_statement(policies, &said, under, (&approvals, &known), now);
            let name = |told: &Told| told.output.clone().unwrap_or_else(|| "*".to_owned());
            masked = explained.masks.outputs.iter().map(name).collect();
            masked_as_said = case.masked.as_ref().is_none_or(|expected| *expected == masked);
            let rules = explained.effects.iter().flat_map(|line| line.policies.clone()).collect::<Vec<_>>();
            (explained.outcome, rules, explained.to_string())
        }
        (None, Some(action @ (Action::Connect | Action::Administer | Action::Audit))) => {
            let connection = (file.connection.as_str(), &file.tags);
            let yes = permits(policies, &asker, connection, &Effect::on_connection(action), &session, now);
            let found = if yes { Outcome::Allow } else { Outcome::Deny };
            (found, Vec::new(), format!("{action} on {}: {found}", file.connection))
        }
        _ => return Err("give either `sql`, or `action`: connect, administer, audit".to_owned()),
    };
    if case.by.is_some() && case.action.is_some() {
        return Err("`by` goes with `sql`".to_owned());
    }
    let by = case.by.as_ref().is_none_or(|rule| rules.contains(rule));
    let passed = found == case.expect && by && masked_as_said;
    let wrong_rule = case.by.as_ref().filter(|_| !by).map(|rule| format!("\n{rule} is not among those that decide"));
    let wrong_masks = (!masked_as_said).then(|| format!("\nwhat leaves masked: {}", masked.join(", ")));
    let why = (!passed).then(|| why + &wrong_rule.unwrap_or_default() + &wrong_masks.unwrap_or_default());
    Ok(CaseResult { file: String::new(), name: case.name.clone(), passed, expected: case.expect, found, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        @id("readers") permit (principal in Group::"eng", action in Action::"read", resource);
        permit (principal in Group::"eng", action in Action::"write", resource) when { context.approvals.count >= 1 };
        permit (principal in Group::"dba", action == Action::"approve", resource);
    "#;
    const HEAD: &str = "connection = \"shop\"\n[tables]\n\"public.orders\" = [\"id\"]\n";

    fn tested(cases: &str) -> Result<Tested, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tests")).unwrap();
        fs::write(folder.path().join("10.cedar"), POLICY).unwrap();
        fs::write(folder.path().join("tests/cases.toml"), format!("{HEAD}{cases}")).unwrap();
        run_cases(folder.path())
    }

    fn case(who: &str, sql: &str, expect: &str, more: &str) -> String {
        format!("[[case]]\nname = \"x\"\n{who}\nsql = \"{sql}\"\nexpect = \"{expect}\"\n{more}\n")
    }

    #[test]
    fn a_case_passes_where_the_outcome_and_the_rule_are_as_it_says() {
        let eng = "user = \"ana@acme.dev\"\ngroups = [\"eng\"]";
        let approved = "approvals = [{ user = \"priya@acme.dev\", groups = [\"dba\"] }]";
        let own = "approvals = [{ user = \"Ana@acme.dev\", groups = [\"dba\"] }]";
        let table = [
            ("a read", case(eng, "select * from orders", "allow", ""), true),
            ("a read by its rule", case(eng, "select * from orders", "allow", "by = \"readers\""), true),
            ("a read by another rule", case(eng, "select * from orders", "allow", "by = \"10.cedar#2\""), false),
            ("a write waits", case(eng, "delete from orders", "hold", "by = \"10.cedar#2\""), true),
            ("a write does not pass", case(eng, "delete from orders", "allow", ""), false),
            ("a write with an approval", case(eng, "delete from orders", "allow", approved), true),
            ("a write with one's own", case(eng, "delete from orders", "hold", own), true),
            ("a table that is not there", case(eng, "select * from nowhere", "deny", ""), true),
            ("somebody else", case("user = \"zoe@acme.dev\"", "select 1", "deny", ""), true),
            (
                "an agent",
                case("agent = \"ci\"\nowner = \"ana@acme.dev\"\ngroups = [\"eng\"]", "select 1", "allow", ""),
                true,
            ),
        ];
        for (name, text, passes) in table {
            let tested = tested(&text).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert_eq!(tested.passed(), passes, "{name}: {tested:?}");
            assert_eq!(tested.cases[0].why.is_none(), passes, "{name}: whoever fails is told why");
        }
    }

    #[test]
    fn what_cannot_be_a_case_is_a_problem_and_not_a_pass() {
        let table = [
            ("nobody", case("", "select 1", "allow", "")),
            ("an agent without an owner", case("agent = \"ci\"", "select 1", "allow", "")),
            ("an unknown key", case("user = \"a@b.c\"", "select 1", "allow", "expects = 1")),
            ("an unknown outcome", case("user = \"a@b.c\"", "select 1", "maybe", "")),
            ("neither text nor action", "[[case]]\nname = \"x\"\nuser = \"a@b.c\"\nexpect = \"deny\"\n".to_owned()),
            ("not TOML", "[[case".to_owned()),
        ];
        for (name, text) in table {
            assert!(tested(&text).is_err(), "{name}");
        }
        assert!(!tested("").unwrap().passed(), "a file without a case proves nothing");
    }

    #[test]
    fn the_starter_policies_do_what_their_cases_say() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy");
        let tested = run_cases(&folder).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let failed: Vec<_> = tested.cases.iter().filter(|case| !case.passed).collect();
        assert!(tested.passed(), "{failed:#?}");
    }
}
