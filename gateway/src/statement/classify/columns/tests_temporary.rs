//! Temporary relations: what they run and read by now, beside their own columns.

use super::{columns_of, tests::*};
use crate::{
    catalog::{
        Temporary,
        temporary::{Named, Needs},
    },
    statement::classify::classify,
};

#[test]
fn a_temporary_relation_uses_what_it_stands_on_by_now() {
    let snapshot = shop();
    let named = |name: &str| {
        let oid = snapshot.relation("public", name).map_or(0, |relation| relation.oid);
        Named { oid, schema: "public".to_owned(), name: name.to_owned(), is_sequence: false }
    };
    let calls = |name: &str| Needs {
        functions: snapshot.functions(name).iter().map(|function| (function.oid, name.to_owned())).collect(),
        ..Needs::default()
    };
    let over = |named: Named| Needs { relations: [named].into(), ..Needs::default() };
    let all = [
        ("over_view", over(named("v"))),
        ("over_table", over(named("o"))),
        ("over_gone", over(Named { oid: 1, ..named("o") })),
        ("over_code", calls("peek")),
        ("over_over", over(Named { schema: "pg_temp_3".to_owned(), name: "over_code".to_owned(), ..Named::default() })),
    ];
    let mut names = names();
    for (oid, (name, runs)) in (50_000..).zip(all) {
        names.temporary.insert(name.to_owned(), Temporary { oid, acts: true, runs, ..Temporary::default() });
    }
    names.temporary_types.insert("over_domain".to_owned());
    let pins = "o: private.c.id private.c.pin p: private.c.id private.c.pin s: private.c.id private.c.pin";
    for (sql, expected) in [
        ("SELECT * FROM over_view", "p: c.name s: c.email c.id c.ssn"),
        ("SELECT x FROM over_table", ""),
        ("SELECT x FROM over_gone", "?"),
        ("SELECT x FROM over_code", pins),
        ("SELECT x FROM pg_temp.over_over", pins),
    ] {
        let mut found = columns_of(sql, &classify(sql, &snapshot, &names), &snapshot, &names);
        let found = found.pop().expect("there is a statement");
        assert_eq!(told(&found), expected, "{sql}");
    }
    for sql in ["SELECT email OPERATOR(pg_temp.###) 'x' FROM c", "SELECT email::over_domain FROM c"] {
        let mut found = columns_of(sql, &classify(sql, &snapshot, &names), &snapshot, &names);
        let found = told(&found.pop().expect("there is a statement"));
        assert!(found.contains("s: c.email") && found.ends_with('?'), "{sql}: {found}");
    }
}
