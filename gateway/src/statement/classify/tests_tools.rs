//! What tools ask the server, taken from the tools themselves: it must pass as reading.

use super::{classify, tests};
use crate::statement::effect::Action;

/// Between two statements in a file.
const BETWEEN: &str = "\n========================================\n";

/// Statements of a tool that are not plain reads, with what they are instead.
const KNOWN: &[(&str, &[Action])] = &[
    // Without it, rows that a policy hides would be missing from the dump.
    ("SET row_security = off", &[Action::Privilege]),
    // Which setting it sets, it reads from a table.
    (
        "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
        &[Action::Privilege, Action::Select],
    ),
];

fn check(tool: &str, texts: &str) {
    let (snapshot, mut names) = (tests::shop(), tests::names());
    let mut wrong = Vec::new();
    let mut count = 0;
    for sql in texts.trim_end().split(BETWEEN) {
        count += 1;
        let analysis = classify(sql, &snapshot, &names);
        for statement in &analysis.statements {
            if let Some(name) = &statement.prepares {
                names.prepared.insert(name.clone(), sql.to_owned());
            }
            let known = KNOWN.iter().find(|(text, _)| *text == sql).map(|(_, actions)| *actions);
            let fine = statement.effects.iter().all(|effect| match known {
                Some(actions) => actions.contains(&effect.action),
                None => effect.action.group() == Some("read"),
            });
            if !fine {
                wrong.push(format!("{sql}\n  {:?}\n  {:?}", tests::shown(statement), statement.notes));
            }
        }
    }
    assert!(count > 30, "{tool}: only {count} statements were read");
    assert!(wrong.is_empty(), "{tool}: {} of {count} are no reads:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_psql_asks_for_its_backslash_commands_is_reading() {
    check("psql", include_str!("tool_texts/psql-15.txt"));
}

#[test]
fn what_pg_dump_asks_is_reading() {
    check("pg_dump", include_str!("tool_texts/pg_dump-15.txt"));
}
