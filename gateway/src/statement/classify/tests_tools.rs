//! What tools ask the server, taken from the tools themselves: it must pass as reading.

use super::{classify, tests};
use crate::statement::effect::Action;

/// Between two statements in a file.
const BETWEEN: &str = "\n========================================\n";

/// Statements of a tool that are not plain reads, with what they are instead.
const KNOWN: &[(&str, &[Action])] = &[
    // Without it, rows that a policy hides would be missing from the dump.
    // Which setting it sets, it reads from a table.
    (
        "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
        &[Action::Privilege, Action::Select],
    ),
];

fn check(tool: &str, least: usize, texts: &str) {
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
    assert!(count >= least, "{tool}: only {count} statements were read");
    assert!(wrong.is_empty(), "{tool}: {} of {count} are no reads:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_psql_asks_for_its_backslash_commands_is_reading() {
    check("psql", 30, include_str!("tool_texts/psql-15.txt"));
}

#[test]
fn what_pg_dump_asks_is_reading() {
    check("pg_dump", 30, include_str!("tool_texts/pg_dump-15.txt"));
}

/// Taken from the server's log while each tool looked at a database; long lists of values are cut.
#[test]
fn what_drivers_and_mappers_ask_about_a_database_is_reading() {
    check("SQLAlchemy 2.0", 20, include_str!("tool_texts/sqlalchemy.txt"));
    check("Alembic", 3, include_str!("tool_texts/alembic.txt"));
    check("Django 5", 4, include_str!("tool_texts/django.txt"));
    check("asyncpg", 3, include_str!("tool_texts/asyncpg.txt"));
    check("Peewee", 5, include_str!("tool_texts/peewee.txt"));
    check("pgcli", 10, include_str!("tool_texts/pgcli.txt"));
    check("TypeORM", 6, include_str!("tool_texts/typeorm.txt"));
    check("Sequelize", 5, include_str!("tool_texts/sequelize.txt"));
    check("Knex", 8, include_str!("tool_texts/knex.txt"));
    check("Kysely", 2, include_str!("tool_texts/kysely.txt"));
    check("Drizzle Kit", 10, include_str!("tool_texts/drizzle-kit.txt"));
    check("pgJDBC 42.5: DatabaseMetaData and what a ResultSet asks", 30, include_str!("tool_texts/pgjdbc.txt"));
    check("pg-structure", 5, include_str!("tool_texts/pg-structure.txt"));
}
