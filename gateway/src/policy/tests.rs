use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::*;
use crate::statement::effect::Action;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn load(files: &[(&str, &str)]) -> Result<Policies, Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), files);
    Policies::load(folder.path())
}

/// The problems as `file:line: message`, the folder left out.
fn told(files: &[(&str, &str)]) -> Vec<String> {
    let problems = load(files).err().unwrap_or_default();
    problems
        .iter()
        .map(|p| format!("{}:{}: {}", p.file.file_name().unwrap().to_string_lossy(), p.line, p.message))
        .collect()
}

const READ: &str = "permit (principal, action in Action::\"read\", resource);\n";

#[test]
fn the_schema_has_every_action_in_its_group() {
    let policies = load(&[("a.cedar", READ)]).unwrap_or_else(|problems| panic!("{problems:?}"));
    let groups = ["read", "write", "ddl", "admin"];
    let mut in_schema: Vec<String> = policies
        .schema()
        .actions()
        .map(|uid| uid.id().unescaped().to_owned())
        .filter(|id| !groups.contains(&id.as_str()))
        .collect();
    let mut ours: Vec<String> = Action::ALL.iter().map(|action| action.as_str().to_owned()).collect();
    in_schema.sort();
    ours.sort();
    assert_eq!(in_schema, ours);
    let entities = policies.schema().action_entities().unwrap();
    for action in Action::ALL {
        let uid = policies.uid("Action", action.as_str()).unwrap();
        let above: Vec<String> =
            entities.ancestors(&uid).into_iter().flatten().map(|uid| uid.id().unescaped().to_owned()).collect();
        assert_eq!(above, action.group().into_iter().collect::<Vec<_>>(), "{action}");
    }
}

#[test]
fn every_problem_is_told_at_once_with_its_line() {
    let found = told(&[
        ("10-typo.cedar", "permit (principal, action, resource)\nwhen { principal.nam == 1 }\n"),
        (
            "20-name.cedar",
            "// a comment; with a semicolon\npermit (principal in Group::\"a\", action == Action::\"selekt\", resource);\n",
        ),
        (
            "30-approvals.cedar",
            "\n\npermit (principal, action, resource)\nwhen {\n  context.approvals.count == 1\n};\n",
        ),
        ("40-user.cedar", "forbid (principal == User::\"Ana@acme.dev\", action, resource);"),
        (
            "50-type.cedar",
            "permit (principal, action in Action::\"read\", resource) when { context.sql.has_where == 3 };",
        ),
        ("60-template.cedar", "permit (principal == ?principal, action, resource);"),
    ]);
    let starts = [
        "10-typo.cedar:",
        "20-name.cedar:2:",
        "30-approvals.cedar:5:",
        "40-user.cedar:1:",
        "50-type.cedar:1:",
        "60-template.cedar:1:",
    ];
    for start in starts {
        assert!(found.iter().any(|line| line.starts_with(start)), "{start} is missing in {found:#?}");
    }
}

#[test]
fn an_empty_folder_is_refused_since_it_permits_nothing() {
    for files in [&[][..], &[("readme.md", "x")][..], &[("a.cedar", "// nothing\n")][..]] {
        assert!(told(files)[0].contains("nothing would be permitted"), "{files:?}");
    }
    let missing = Policies::load(Path::new("/nowhere/at/all")).err().unwrap();
    assert!(missing[0].message.contains("can't be read"), "{missing:?}");
}

#[test]
fn a_policy_in_a_sub_folder_is_not_overlooked_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    fs::create_dir(folder.path().join("more")).unwrap();
    write(&folder.path().join("more"), &[("b.cedar", READ)]);
    let problems = Policies::load(folder.path()).err().unwrap();
    assert_eq!(problems[0].message, "policies in a sub-folder are not read");
}

#[test]
fn ids_are_unique_and_by_default_the_place() {
    let named = "@id(\"readers\")\n";
    assert!(load(&[("a.cedar", &format!("{named}{READ}{READ}"))]).is_ok());
    let twice = told(&[("a.cedar", &format!("{named}{READ}")), ("b.cedar", &format!("\n{named}{READ}"))]);
    assert_eq!(twice, ["b.cedar:2: there are two policies with the id `readers`"]);
    assert_eq!(
        told(&[("a.cedar", &format!("@id(\"a.cedar#2\")\n{READ}{READ}"))]).len(),
        1,
        "an id that is another's place"
    );
}

#[test]
fn the_version_follows_names_and_texts() {
    let version =
        |files: &[(&str, &str)]| load(files).map(|policies| policies.version()).unwrap_or_else(|p| panic!("{p:?}"));
    let one = version(&[("a.cedar", READ)]);
    assert_eq!(one, version(&[("a.cedar", READ)]));
    assert_ne!(one, version(&[("b.cedar", READ)]));
    assert_ne!(one, version(&[("a.cedar", &format!("{READ} "))]));
}

#[test]
fn what_policies_name_is_known() {
    let policies = load(&[(
        "a.cedar",
        "permit (principal in Group::\"eng\", action in Action::\"write\", resource in Connection::\"shop\")
         when { context.approvals.groups.contains(\"dba\") };
         permit (principal == User::\"cto@acme.dev\", action == Action::\"approve\", resource);",
    )])
    .unwrap_or_else(|problems| panic!("{problems:?}"));
    let named = policies.named();
    assert_eq!(named.groups.iter().collect::<Vec<_>>(), ["dba", "eng"]);
    assert_eq!(named.countersigning.iter().collect::<Vec<_>>(), ["dba"]);
    assert_eq!(named.users.iter().collect::<Vec<_>>(), ["cto@acme.dev"]);
    assert_eq!(named.connections["shop"].line, 1);
}

#[test]
fn a_policy_that_never_matches_is_not_passed_over() {
    let table = [
        ("a condition that is false", "permit (principal, action, resource) when { 1 == 2 };"),
        (
            "of another type",
            "permit (principal is Agent, action in Action::\"read\", resource) when { principal is User };",
        ),
        ("an agent approves", "permit (principal is Agent, action == Action::\"approve\", resource);"),
        ("an action of another object", "permit (principal, action == Action::\"connect\", resource is Table);"),
        ("a group as the object", "permit (principal, action, resource == Group::\"dba\");"),
        ("a role as who asks", "permit (principal == Role::\"writer\", action, resource);"),
    ];
    for (case, policy) in table {
        let lines: Vec<usize> = match load(&[("a.cedar", &format!("{READ}\n{policy}"))]) {
            Ok(policies) => policies.warnings().iter().map(|warning| warning.line).collect(),
            Err(problems) => problems.iter().map(|problem| problem.line).collect(),
        };
        assert!(!lines.is_empty() && lines.iter().all(|line| *line == 3), "{case}: {lines:?}");
    }
}

#[test]
fn half_a_change_is_never_put_in_force() {
    // Each reading of a folder into which two files are being written, `!` for the file that forbids.
    let table: [(&str, &[&str], Option<&str>); 6] = [
        ("nothing new", &["old"], None),
        ("at rest", &["old!new", "old!new"], Some("old!new")),
        ("between two files", &["new", "new!", "new!"], Some("new!")),
        ("between two files, for long", &["a", "b", "c", "d", "d"], Some("d")),
        ("taken back", &["new", "old"], None),
        ("never at rest", &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "12"], None),
    ];
    for (case, readings, expected) in table {
        let mut readings = readings.iter().copied();
        let read = || readings.next().unwrap();
        assert_eq!(super::watch::settled(read, &"old", || ()), expected, "{case}");
    }
}

#[test]
fn what_is_never_told_is_not_rested_on_in_silence() {
    let warned = |effect: &str, condition: &str| {
        let policy = format!("{effect} (principal, action in Action::\"write\", resource) when {{ {condition} }};");
        let policies =
            load(&[("a.cedar", &format!("{READ}{policy}"))]).unwrap_or_else(|problems| panic!("{problems:?}"));
        policies.warnings().iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    let mfa = ["policy `a.cedar#2` reads `context.session.mfa_age`, which is never filled in"];
    for effect in ["permit", "forbid"] {
        assert_eq!(warned(effect, "context.session has mfa_age && context.session.mfa_age < 60"), mfa, "{effect}");
        assert_eq!(
            warned(effect, "context has session.mfa_age && context.session.mfa_age < 60"),
            mfa,
            "{effect}, in one word"
        );
    }
    assert_eq!(warned("permit", "context.sql has rows && context.sql.rows > 100"), [""; 0], "counted where it is read");
    let other = warned("permit", "context has reason && context.reason like \"rows mfa_age\"");
    assert_eq!(other, [""; 0], "the word alone");
}

#[tokio::test]
async fn a_good_change_is_put_in_force_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    let watched = watch(folder.path(), None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let Watched { mut policies, mut coming, .. } = watched;
    tokio::spawn(async move {
        while let Some(next) = coming.recv().await {
            next.written(Ok(()));
        }
    });
    let first = policies.borrow_and_update().version();

    write(folder.path(), &[("b.cedar", "permit (principal, action, resource) when { broken };")]);
    // The next good version is the sign that the broken one has been looked at, or passed over.
    write(folder.path(), &[("b.cedar", "forbid (principal, action == Action::\"drop\", resource);")]);
    policies.changed().await.unwrap();
    let second = policies.borrow_and_update().version();
    assert_ne!(first, second);

    // As Kubernetes swaps a mounted folder: the file is replaced by a link that is renamed over it.
    let next = tempfile::tempdir().unwrap();
    write(next.path(), &[("b.cedar", READ)]);
    std::os::unix::fs::symlink(next.path().join("b.cedar"), folder.path().join(".b")).unwrap();
    fs::rename(folder.path().join(".b"), folder.path().join("b.cedar")).unwrap();
    policies.changed().await.unwrap();
    assert_ne!(second, policies.borrow_and_update().version());
}

#[test]
fn a_broken_change_leaves_the_version_before_in_force() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    let (mut follower, watched) = super::watch::Follower::of(folder.path(), None, Box::new(|_| Ok(())))
        .unwrap_or_else(|problems| panic!("{problems:?}"));
    let (receiver, refused) = (watched.policies, watched.refused);
    let first = receiver.borrow().version();
    assert!(refused.borrow().is_empty());
    write(folder.path(), &[("a.cedar", "permit (")]);
    follower.look();
    assert_eq!(receiver.borrow().version(), first, "broken");
    assert_eq!(refused.borrow()[0].line, 1, "and what is wrong is told");
    write(
        folder.path(),
        &[("a.cedar", READ), ("b.cedar", "forbid (principal, action == Action::\"dorp\", resource);")],
    );
    follower.look();
    assert_eq!(receiver.borrow().version(), first, "half of a change is none: the good file is not taken alone");
    fs::remove_file(folder.path().join("b.cedar")).unwrap();
    follower.look();
    assert!(refused.borrow().is_empty(), "back to what is in force");
    fs::remove_file(folder.path().join("a.cedar")).unwrap();
    follower.look();
    assert_eq!(receiver.borrow().version(), first, "gone");
    write(folder.path(), &[("a.cedar", &READ.repeat(2))]);
    follower.look();
    assert_ne!(receiver.borrow().version(), first, "good again");
    assert!(refused.borrow().is_empty());
}

#[tokio::test]
async fn nothing_is_in_force_before_it_is_written_down_and_no_version_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    let Watched { policies, mut coming, refused, .. } =
        watch(folder.path(), None).unwrap_or_else(|problems| panic!("{problems:?}"));
    let first = policies.borrow().version();
    write(folder.path(), &[("b.cedar", READ)]);
    let second = coming.recv().await.unwrap();
    assert_eq!(policies.borrow().version(), first, "not yet");
    let version = second.policies.version();
    // The next change comes while the one before is being written.
    write(folder.path(), &[("b.cedar", &READ.repeat(2))]);
    second.written(Ok(()));
    let third = coming.recv().await.unwrap();
    assert_eq!(policies.borrow().version(), version, "the one between is in force, and was told");
    third.written(Err("the disk is full".into()));
    // It is tried again by itself; at once where something is written.
    write(folder.path(), &[("b.cedar", &READ.repeat(2))]);
    let again = coming.recv().await.unwrap();
    assert_eq!(policies.borrow().version(), version, "what can't be written is not in force");
    assert!(refused.borrow()[0].message.contains("can't be written down: the disk is full"));
    let version = again.policies.version();
    again.written(Ok(()));
    let mut policies = policies;
    policies.wait_for(|now| now.version() == version).await.unwrap();
}

#[test]
fn a_look_that_does_not_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    let (mut follower, following) = super::watch::Follower::of(folder.path(), None, Box::new(|_| Ok(()))).unwrap();
    let begun = Instant::now();
    let later = |seconds| begun + Duration::from_secs(seconds);
    following.looking.complain_where_stuck(later(60));
    assert!(following.refused.borrow().is_empty(), "nobody looks");
    following.looking.set(Some(begun));
    following.looking.complain_where_stuck(later(9));
    assert!(following.refused.borrow().is_empty(), "it may take a while");
    following.looking.complain_where_stuck(later(11));
    assert!(following.refused.borrow()[0].message.contains("nobody knows what it says"));
    follower.look();
    assert!(following.refused.borrow().is_empty(), "it came to an end");
}

#[test]
fn what_is_no_file_is_not_read_as_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("a.cedar", READ)]);
    let fifo = folder.path().join("b.cedar");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let said = Policies::load(folder.path()).err().unwrap();
    assert!(said[0].message.contains("it is no file"), "{said:?}");
    fs::remove_file(&fifo).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &fifo).unwrap();
    let said = Policies::load(folder.path()).err().unwrap();
    assert!(said[0].message.contains("it is no file"), "{said:?}");
    fs::remove_file(&fifo).unwrap();
    fs::File::create(&fifo).unwrap().set_len(1 << 40).unwrap();
    let said = Policies::load(folder.path()).err().unwrap();
    assert!(said[0].message.contains("longer than"), "{said:?}");
}

#[test]
fn the_policies_in_the_documentation_load() {
    let guide = include_str!("../../../docs/policy.md");
    let blocks: Vec<&str> = guide.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        assert_eq!(told(&[("guide.cedar", block)]), [""; 0], "{block}");
    }
}
