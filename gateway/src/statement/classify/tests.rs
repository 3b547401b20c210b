//! Texts, and what they do.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::Relation;
use crate::statement::effect::Object;

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut add = |schema: &str, name: &str, relation: Relation| {
        snapshot.relations.insert((schema.into(), name.into()), relation);
    };
    let table = || Relation { kind: 'r', ..Relation::default() };
    let view = |query: &str| Relation { kind: 'v', query: Some(query.into()), ..Relation::default() };
    let cascades = vec![(Action::Delete, "public".to_owned(), "order_items".to_owned())];
    add("public", "orders", Relation { cascades, ..table() });
    add("public", "order_items", table());
    add("public", "customers", table());
    add("public", "audited", Relation { on_write: vec!["trigger t calls f()".into()], ..table() });
    add("public", "guarded", Relation { on_read: vec!["row security policy p".into()], ..table() });
    add("public", "order_totals", view("SELECT o.id FROM public.orders o"));
    add("public", "bumping", view("SELECT public.bump() AS bump FROM public.orders o"));
    add("public", "orders_id_seq", Relation { kind: 'S', ..Relation::default() });
    add("pg_catalog", "pg_class", Relation { kind: 'r', system: true, ..Relation::default() });
    for name in ["bump", "lower"] {
        snapshot.functions.insert(name.into(), BTreeSet::from(["public".into()]));
    }
    snapshot.attribute_functions.insert("bump".into());
    snapshot.operators.insert("===".into());
    snapshot.risky_types.insert("checked".into());
    snapshot
}

fn names() -> Names {
    Names {
        search_path: vec!["pg_catalog".into(), "public".into()],
        temporary: vec!["mine".into()],
        prepared: [("d".to_owned(), "PREPARE d AS DELETE FROM orders".to_owned())].into(),
        login: "app".into(),
    }
}

fn actions(sql: &str) -> BTreeSet<&'static str> {
    let analysis = classify(sql, &snapshot(), &names());
    analysis.statements.iter().flat_map(|s| s.effects.iter().map(|e| e.action.as_str())).collect()
}

/// Text, what it does, why it is here.
const TABLE: &[(&str, &str, &str)] = &[
    ("SELECT 1", "select", "nothing is named, and still it is asked"),
    ("SELECT * FROM orders WHERE id = 1", "select", "a read"),
    ("/* x */ -- y\n SELECT 1", "select", "comments first"),
    ("DELETE FROM orders WHERE id = 1", "delete select", "a write reads too"),
    ("UPDATE customers SET a = 1", "update select", "a write without WHERE"),
    ("INSERT INTO customers VALUES (1)", "insert", "a write"),
    ("INSERT INTO customers VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1", "insert update", "two writes in one"),
    ("INSERT INTO customers VALUES (1) ON CONFLICT DO NOTHING", "insert", "no second write"),
    (
        "MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN DELETE",
        "delete merge select",
        "MERGE's branches",
    ),
    ("WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d", "delete select", "a write in a CTE"),
    ("WITH orders AS (SELECT 1) SELECT * FROM orders", "select", "a CTE hides the table"),
    ("WITH orders AS (SELECT 1) DELETE FROM orders", "delete select", "but not from a write"),
    ("SELECT * FROM orders FOR UPDATE", "lock select", "row locks"),
    ("EXPLAIN DELETE FROM orders", "select", "a plan only"),
    ("EXPLAIN ANALYZE DELETE FROM orders", "delete select", "a plan that runs"),
    ("EXPLAIN (ANALYZE) EXECUTE d", "delete select", "a plan that runs what was prepared"),
    ("PREPARE p AS DELETE FROM orders", "select", "named, not done"),
    ("EXECUTE d", "delete select", "done"),
    ("EXECUTE nobody", "opaque", "not known"),
    ("DO $$ BEGIN DELETE FROM orders; END $$", "opaque", "a block of code"),
    ("CALL bump()", "call opaque", "a procedure"),
    ("SELECT bump()", "call opaque", "a function of the database"),
    ("SELECT orders.bump FROM orders", "opaque select", "a function written like a column"),
    ("SELECT lower('A')", "call opaque", "a built-in's name that the database took"),
    ("SELECT pg_catalog.lower('A')", "select", "the built-in itself"),
    ("SELECT nobody()", "opaque", "a function that is not there"),
    ("SELECT 1 === 1", "opaque", "an operator of the database"),
    ("SELECT 'x'::checked", "opaque", "a type whose checks run code"),
    ("SELECT * FROM order_totals", "select", "a view"),
    ("SELECT * FROM bumping", "call opaque select", "a view that calls a function"),
    ("DELETE FROM order_totals", "delete select", "a write through a view"),
    ("INSERT INTO audited VALUES (1)", "insert opaque", "a trigger"),
    ("SELECT * FROM guarded", "opaque select", "a row policy that calls a function"),
    ("SELECT * FROM nowhere", "opaque", "a table that is not there"),
    ("SELECT query_to_xml('DELETE FROM orders', true, true, '')", "opaque", "SQL in a string"),
    ("SELECT pg_read_file('/etc/passwd')", "server", "a file"),
    ("SELECT pg_terminate_backend(1)", "server", "another backend"),
    ("SELECT lo_unlink(1)", "server", "a large object"),
    ("SELECT pg_notify('a', 'b')", "notify", "NOTIFY as a function"),
    ("SELECT nextval('orders_id_seq')", "update", "a sequence moves"),
    ("SELECT set_config('standard_conforming_strings', 'off', false)", "privilege", "the grammar would change"),
    ("SELECT set_config('role', 'postgres', false)", "privilege", "another role"),
    ("SELECT set_config('search_path', 'x', false)", "set", "as SET"),
    ("SELECT pg_advisory_lock(1)", "set", "locks nothing of the database's"),
    ("COPY orders TO STDOUT", "copy_out select", "rows out"),
    ("COPY (DELETE FROM orders RETURNING *) TO STDOUT", "copy_out delete select", "a write in a COPY"),
    ("COPY orders FROM STDIN", "copy_in", "rows in"),
    ("COPY orders TO '/tmp/x'", "copy_out select server", "a file"),
    ("COPY orders TO PROGRAM 'sh'", "copy_out select server", "a program"),
    ("SELECT * INTO copied FROM orders", "create select", "a new table"),
    ("CREATE TABLE t AS SELECT * FROM orders", "create select", "a new table"),
    ("CREATE TEMP TABLE t (a int)", "temp", "a temporary one"),
    ("DELETE FROM mine", "temp", "a temporary one's rows"),
    ("DROP TABLE orders", "drop", "gone"),
    ("TRUNCATE orders", "truncate", "empty"),
    ("LOCK TABLE orders IN ACCESS SHARE MODE", "select", "as a read"),
    ("LOCK TABLE orders", "lock", "as a write"),
    ("LISTEN a", "listen", ""),
    ("NOTIFY a", "notify", ""),
    ("BEGIN", "transaction", ""),
    ("PREPARE TRANSACTION 'a'", "server", "outlives the session"),
    ("SET search_path = public", "set", "bound by the digest"),
    ("SET standard_conforming_strings = off", "privilege", "the grammar would change"),
    ("SET client_encoding = 'SJIS'", "privilege", "a byte would eat a quote"),
    ("SET client_encoding = 'UTF8'", "set", "as it is"),
    ("SET ROLE postgres", "privilege", "another role"),
    ("SET ROLE NONE", "set", "no other role"),
    ("SET session_replication_role = replica", "privilege", "triggers would not fire"),
    ("GRANT SELECT ON orders TO public", "privilege", ""),
    ("ALTER SYSTEM SET work_mem = '1GB'", "server", ""),
    ("CREATE EXTENSION dblink", "server", ""),
    ("VACUUM orders", "maintain opaque", "index expressions may call functions"),
    ("SET search_path = x; SELECT * FROM orders", "opaque select set", "names after a change of names"),
    ("SELECT 1; DROP TABLE orders", "drop select", "the second statement"),
    ("selct 1", "opaque", "not SQL"),
    ("", "", "nothing"),
    ("-- nothing", "", "only a comment"),
];

#[test]
fn every_text_has_its_effects() {
    for (sql, expected, why) in TABLE {
        let expected: BTreeSet<_> = expected.split_whitespace().collect();
        assert_eq!(actions(sql), expected, "{sql} ({why})");
    }
}

#[test]
fn cascades_name_the_other_table() {
    let analysis = classify("DELETE FROM orders", &snapshot(), &names());
    let child = Object::Table { schema: "public".into(), name: "order_items".into() };
    assert!(analysis.statements[0].effects.contains(&Effect::new(Action::Delete, child)));
    assert!(!analysis.statements[0].has_where);
}

#[test]
fn a_setting_of_ours_counts_alone_only() {
    let own = |sql: &str| classify(sql, &snapshot(), &names()).own_setting;
    assert_eq!(
        own("SET countersign.reason = 'why'"),
        Some(OwnSetting::Set { name: "reason".into(), value: Some("why".into()) })
    );
    assert_eq!(own("SHOW countersign.reason"), Some(OwnSetting::Show { name: "reason".into() }));
    assert_eq!(own("SET countersign.reason = 'why'; SELECT 1"), None);
    assert!(actions("SET countersign.reason = 'why'; SELECT 1").contains("opaque"));
    assert!(actions("SELECT set_config('countersign.reason', 'x', false)").contains("opaque"));
}

#[test]
fn deep_and_hostile_texts_end() {
    let deep = format!("SELECT 1{}", " + 1".repeat(400));
    assert_eq!(actions(&deep), BTreeSet::from(["select"]), "ordinary, and long");
    let hostile = [
        format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000)),
        "/*".repeat(10_000),
        "SELECT '".to_owned() + &"x".repeat(limits::BYTES),
        "SELECT 1\0; DROP TABLE orders".to_owned(),
    ];
    for text in hostile {
        assert!(actions(&text).contains("opaque"), "{}", &text[..20]);
    }
}

#[test]
fn no_cut_or_flipped_text_panics() {
    let mut state = 7_u32;
    for (sql, ..) in TABLE {
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut bytes = sql.as_bytes().to_vec();
            if bytes.is_empty() {
                continue;
            }
            let at = usize::try_from(state >> 8).unwrap_or(0) % bytes.len();
            bytes[at] = state.to_le_bytes()[3] & 0x7f;
            if state & 1 == 0 {
                bytes.truncate(at);
            }
            let _analysis = classify(&String::from_utf8_lossy(&bytes), &snapshot(), &names());
        }
    }
}
