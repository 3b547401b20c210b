//! Ordinary statements: what each does. The shop that all cases use is here too.

use super::{Analysis, Doubt, Names, OwnSetting, TransactionMove, classify};
use crate::{
    catalog::{Events, Function, Kind, Snapshot, Temporary, TypeFacts, builder::Builder},
    statement::effect::{Object, quote_ident},
};

pub(super) const EMAIL_TYPE: u32 = 17_001;

/// A shop with one of everything that matters.
pub(super) fn shop_builder() -> Builder {
    let mut b = Builder::new();
    b.table("public.customers", &["id", "name", "email"])
        .table("public.orders", &["id", "customer_id", "status", "total"])
        .table("public.order_items", &["order_id", "product_id", "quantity"])
        .table("public.products", &["id", "name", "price"])
        .table("public.audited", &["id"])
        .table("public.events", &["id", "at"])
        .table("public.events_2026", &["id", "at"])
        .table("public.rewritten", &["id"])
        .table("public.strange_default", &["id"])
        .table("public.plain_default", &["id"])
        .table("public.secured", &["id"])
        .table("public.notes", &["id"])
        .table("archive.orders", &["id"])
        .schema("archive")
        .other("public.orders_id_seq", Kind::Sequence)
        .other("public.daily", Kind::Materialized)
        .other("public.elsewhere", Kind::Foreign)
        .view("public.open_orders", "SELECT o.id, o.status FROM public.orders o WHERE (o.status = 'open'::text)")
        .view("public.nested", "SELECT open_orders.id FROM public.open_orders")
        .view("public.joined", "SELECT o.id FROM (public.orders o JOIN public.customers c ON ((o.customer_id = c.id)))")
        .view("public.trap", "SELECT public.wipe(o.id) AS wipe FROM public.orders o")
        .view("public.sleeper", "SELECT pg_terminate_backend(1) AS x")
        .hazard("public.audited", Events::STORE, "trigger audit calls public.log_change()")
        .hazard("public.events_2026", Events::INSERT, "trigger stamp calls public.log_change()")
        .hazard("public.rewritten", Events::DELETE, "rule no_delete rewrites it")
        .expression("public.strange_default", Events::STORE, "the default of id", "public.wipe(1)")
        .expression(
            "public.plain_default",
            Events::STORE,
            "the default of id",
            "nextval('public.orders_id_seq'::regclass)",
        )
        .expression("public.secured", Events::ANY, "the policy own", "public.wipe(id)")
        .foreign_key("public.order_items", "public.orders", 'c', 'a')
        .foreign_key("public.notes", "public.order_items", 'n', 'a')
        .child("public.events_2026", "public.events")
        .function("public.wipe", "plpgsql")
        .function("public.refund", "sql")
        .function("public.json_scalar", "sql")
        .function("hidden.lower", "sql")
        .add_type(
            EMAIL_TYPE,
            TypeFacts {
                schema: "public".into(),
                name: "email".into(),
                checks: vec!["public.wipe(VALUE)".into()],
                ..TypeFacts::default()
            },
        )
        .add_type(17_002, TypeFacts { schema: "public".into(), name: "mood".into(), ..TypeFacts::default() });
    b.add_function(Function {
        oid: 18_000,
        schema: "public".into(),
        name: "similarity".into(),
        language: "c".into(),
        extension: Some("pg_trgm".into()),
        arguments: (2, Some(2)),
        ..Function::default()
    });
    if let Some(daily) = b.get("public", "daily") {
        daily.definition = Some("SELECT o.status FROM public.orders o".into());
    }
    for name in [
        "pg_class",
        "pg_namespace",
        "pg_attribute",
        "pg_type",
        "pg_proc",
        "pg_authid",
        "pg_am",
        "pg_index",
        "pg_constraint",
        "pg_attrdef",
        "pg_inherits",
        "pg_database",
        "pg_tablespace",
        "pg_collation",
        "pg_trigger",
        "pg_policy",
        "pg_statistic_ext",
        "pg_publication",
        "pg_publication_rel",
        "pg_publication_namespace",
        "pg_depend",
        "pg_description",
        "pg_language",
        "pg_rewrite",
        "pg_enum",
        "pg_range",
        "pg_opclass",
        "pg_operator",
        "pg_foreign_table",
        "pg_foreign_server",
        "pg_roles",
        "pg_auth_members",
        "pg_sequence",
        "pg_extension",
        "pg_aggregate",
        "pg_cast",
        "pg_conversion",
        "pg_event_trigger",
        "pg_init_privs",
        "pg_default_acl",
        "pg_foreign_data_wrapper",
        "pg_largeobject_metadata",
        "pg_partitioned_table",
        "pg_seclabels",
        "pg_shdescription",
        "pg_subscription",
        "pg_transform",
        "pg_ts_config",
        "pg_ts_dict",
        "pg_ts_parser",
        "pg_ts_template",
        "pg_user",
        "pg_db_role_setting",
        "pg_ts_config_map",
        "pg_opfamily",
        "pg_amop",
        "pg_amproc",
        "pg_shdepend",
        "pg_stat_activity",
        "pg_statio_all_tables",
        "pg_sequences",
        "pg_policies",
        "pg_stat_user_indexes",
        "pg_settings",
        "pg_hba_file_rules",
        "pg_statistic_ext_data",
        "pg_user_mappings",
        "pg_shseclabel",
        "pg_seclabel",
        "pg_matviews",
        "pg_tables",
        "pg_views",
        "pg_indexes",
        "pg_stats",
    ] {
        b.system(&format!("pg_catalog.{name}"), Kind::Table);
    }
    for name in [
        "tables",
        "columns",
        "views",
        "schemata",
        "routines",
        "sequences",
        "domains",
        "triggers",
        "element_types",
        "table_constraints",
        "key_column_usage",
        "constraint_column_usage",
        "referential_constraints",
        "check_constraints",
    ] {
        b.system(&format!("information_schema.{name}"), Kind::View);
    }
    b
}

pub(super) fn shop() -> Snapshot {
    shop_builder().build()
}

pub(super) fn names() -> Names {
    Names {
        search_path: vec!["pg_catalog".into(), "public".into()],
        creates_in: Some("public".into()),
        temporary: [("scratch".into(), Temporary::default())].into(),
        temporary_types: ["scratch".into(), "_scratch".into()].into(),
        prepared: [
            ("del".to_owned(), "PREPARE del AS DELETE FROM orders WHERE id = $1".to_owned()),
            ("proto".to_owned(), "SELECT * FROM customers WHERE id = $1".to_owned()),
            ("loop".to_owned(), "EXECUTE loop".to_owned()),
            ("two".to_owned(), "SELECT 1; DROP TABLE orders".to_owned()),
        ]
        .into(),
        login: "app".into(),
        reads_otherwise: false,
    }
}

/// `delete public.orders`, one an effect, sorted.
pub(super) fn shown(statement: &super::Statement) -> Vec<String> {
    let mut effects: Vec<String> = statement
        .effects
        .iter()
        .map(|effect| match &effect.object {
            Object::Connection => effect.action.to_string(),
            Object::Schema { schema } => format!("{} {}", effect.action, quote_ident(schema)),
            Object::Table { schema, name } => {
                format!("{} {}.{}", effect.action, quote_ident(schema), quote_ident(name))
            }
            Object::Function { schema, name } => format!("{} {schema}.{name}()", effect.action),
            other => format!("{} {other:?}", effect.action),
        })
        .collect();
    effects.sort();
    effects
}

pub(super) fn ask(sql: &str) -> Analysis {
    classify(sql, &shop(), &names())
}

/// Each case: a text, and its effects joined by commas. All texts are one statement.
pub(super) fn check(cases: &[(&str, &str)]) {
    let (snapshot, names) = (shop(), names());
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let analysis = classify(sql, &snapshot, &names);
        let mut expected: Vec<&str> = expected.split(", ").collect();
        expected.sort_unstable();
        match analysis.statements.as_slice() {
            [only] if shown(only) == expected => {}
            statements => {
                let found: Vec<_> = statements.iter().map(|s| (shown(s), &s.notes)).collect();
                wrong.push(format!("{sql}\n  expected {expected:?}\n  found    {found:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn reads_are_reads_of_what_they_name() {
    check(&[
        ("SELECT 1", "select"),
        ("SELECT now(), lower('X'), 1 + 2", "select"),
        ("VALUES (1), (2)", "select"),
        ("SELECT * FROM orders", "select public.orders"),
        ("TABLE archive.orders", "select archive.orders"),
        (
            "SELECT * FROM orders o JOIN customers c ON c.id = o.customer_id",
            "select public.customers, select public.orders",
        ),
        ("SELECT (SELECT max(id) FROM orders) FROM customers", "select public.customers, select public.orders"),
        ("SELECT 1 WHERE EXISTS (SELECT FROM orders)", "select public.orders"),
        (
            "SELECT count(*) FILTER (WHERE id IN (SELECT id FROM products)) OVER (ORDER BY (SELECT 1 FROM notes)) FROM orders",
            "select public.notes, select public.orders, select public.products",
        ),
        ("SELECT 1 LIMIT (SELECT count(*) FROM orders)", "select public.orders"),
        (
            "SELECT id FROM orders UNION SELECT id FROM customers ORDER BY 1",
            "select public.customers, select public.orders",
        ),
        ("SELECT * FROM LATERAL (SELECT * FROM orders) x, generate_series(1, 2)", "select public.orders"),
        ("SELECT * FROM orders TABLESAMPLE system (10)", "select public.orders"),
        (
            "SELECT x.* FROM xmltable('/a' PASSING (SELECT '<a/>'::xml FROM notes) COLUMNS b text) x",
            "select public.notes",
        ),
        (
            "SELECT * FROM json_table('[]', '$' COLUMNS (a int PATH '$.a' DEFAULT (SELECT 1 FROM notes) ON EMPTY))",
            "select public.notes",
        ),
        ("SELECT similarity('a', 'b')", "select"),
        ("SELECT tsquery('a & b'), jsonb('1')", "select"),
        ("SELECT 'x'::mood", "select"),
        ("SELECT * FROM pg_class", "select pg_catalog.pg_class"),
        ("SELECT * FROM information_schema.tables", "select information_schema.tables"),
        ("SELECT * FROM daily", "select public.daily"),
        ("SELECT random(), gen_random_uuid(), pg_sleep(1), currval('orders_id_seq')", "select"),
    ]);
}

#[test]
fn common_table_expressions_hide_tables_where_postgresql_lets_them() {
    check(&[
        ("WITH orders AS (SELECT 1) SELECT * FROM orders", "select"),
        // Not recursive: its own name is the table outside.
        ("WITH orders AS (SELECT * FROM orders) SELECT * FROM orders", "select public.orders"),
        ("WITH RECURSIVE orders AS (SELECT 1 UNION ALL SELECT * FROM orders) SELECT * FROM orders", "select"),
        // A schema names the table, whatever the WITH says.
        ("WITH orders AS (SELECT 1) SELECT * FROM public.orders", "select public.orders"),
        // The target of a write is never a common table expression.
        (
            "WITH orders AS (SELECT 1) DELETE FROM orders WHERE id = 1",
            "delete public.order_items, delete public.orders, update public.notes",
        ),
        ("SELECT * FROM (WITH orders AS (SELECT 1) SELECT * FROM orders) x, orders", "select public.orders"),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b, a", "select"),
        ("WITH b AS (SELECT * FROM notes), notes AS (SELECT 1) SELECT * FROM b", "select public.notes"),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION SELECT * FROM a", "select"),
        ("WITH x AS (SELECT 1) INSERT INTO products SELECT * FROM x", "insert public.products"),
    ]);
}

#[test]
fn writes_are_writes() {
    check(&[
        ("INSERT INTO products VALUES (1)", "insert public.products"),
        ("INSERT INTO products SELECT * FROM orders", "insert public.products, select public.orders"),
        ("INSERT INTO products VALUES (1) ON CONFLICT DO NOTHING", "insert public.products"),
        (
            "INSERT INTO products VALUES (1) ON CONFLICT (id) DO UPDATE SET name = (SELECT name FROM customers)",
            "insert public.products, select public.customers, update public.products",
        ),
        ("INSERT INTO products VALUES (1) RETURNING id", "insert public.products, select public.products"),
        ("UPDATE products SET name = 'x' WHERE id = 1", "update public.products"),
        (
            "UPDATE products SET name = c.name FROM customers c WHERE c.id = products.id",
            "select public.customers, update public.products",
        ),
        ("DELETE FROM products USING customers WHERE true", "delete public.products, select public.customers"),
        ("DELETE FROM orders", "delete public.order_items, delete public.orders, update public.notes"),
        (
            "MERGE INTO products p USING customers c ON p.id = c.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "delete public.products, insert public.products, merge public.products, select public.customers",
        ),
        (
            "WITH gone AS (DELETE FROM products RETURNING *) SELECT * FROM gone",
            "delete public.products, select public.products",
        ),
        ("SELECT * FROM products FOR UPDATE", "lock public.products, select public.products"),
        (
            "SELECT * FROM products p, (SELECT * FROM customers) c FOR KEY SHARE OF p",
            "lock public.customers, lock public.products, select public.customers, select public.products",
        ),
        ("LOCK TABLE products IN ACCESS SHARE MODE", "select public.products"),
        ("LOCK TABLE products", "lock public.products, select public.products"),
        ("TRUNCATE orders", "truncate public.orders"),
        ("TRUNCATE orders CASCADE", "truncate public.notes, truncate public.order_items, truncate public.orders"),
        ("SELECT nextval('orders_id_seq')", "update public.orders_id_seq"),
        ("SELECT setval('public.orders_id_seq'::regclass, 5)", "update public.orders_id_seq"),
        ("INSERT INTO plain_default DEFAULT VALUES", "insert public.plain_default"),
        ("NOTIFY x, 'y'", "notify"),
        ("SELECT pg_notify('x', 'y')", "notify"),
    ]);
}

#[test]
fn copies_say_which_way() {
    check(&[
        ("COPY products TO STDOUT", "copy_out public.products, select public.products"),
        ("COPY (SELECT * FROM orders) TO STDOUT", "copy_out public.orders, select public.orders"),
        ("COPY (SELECT 1) TO STDOUT", "copy_out"),
        ("COPY products FROM STDIN", "copy_in public.products"),
        ("COPY audited FROM STDIN", "copy_in public.audited, opaque public.audited"),
        ("COPY products FROM '/etc/passwd'", "copy_in public.products, server"),
        ("COPY products TO PROGRAM 'sh'", "copy_out public.products, select public.products, server"),
        (
            "COPY (DELETE FROM products RETURNING *) TO STDOUT",
            "copy_out public.products, delete public.products, select public.products",
        ),
    ]);
}

#[test]
fn definitions_are_ddl() {
    check(&[
        ("CREATE TABLE t (id int DEFAULT 1)", "create public.t"),
        ("CREATE TABLE archive.t AS SELECT * FROM orders", "create archive.t, select public.orders"),
        ("SELECT * INTO t FROM orders", "create public.t, select public.orders"),
        ("SELECT * INTO TEMP t FROM orders", "select public.orders, temp pg_temp.t"),
        ("CREATE TEMP TABLE t (id int)", "temp pg_temp.t"),
        ("CREATE TABLE pg_temp.t (id int)", "temp pg_temp.t"),
        ("CREATE TEMP TABLE t AS SELECT * FROM orders", "select public.orders, temp pg_temp.t"),
        ("CREATE TABLE t (id int REFERENCES orders)", "create public.t, lock public.orders"),
        (
            "CREATE TABLE t (LIKE strange_default INCLUDING ALL)",
            "create public.t, opaque public.strange_default, select public.strange_default",
        ),
        ("CREATE TEMP VIEW v AS SELECT * FROM orders", "create, select public.orders, temp pg_temp.v"),
        ("CREATE VIEW v AS SELECT * FROM orders", "create public.v, select public.orders"),
        ("CREATE INDEX ON orders (status)", "create public.orders"),
        ("CREATE INDEX ON orders (public.wipe(id))", "call public.wipe(), create public.orders, opaque public.wipe()"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", "create public.f()"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS 'x'", "create public.f(), server"),
        ("CREATE TRIGGER t BEFORE INSERT ON orders EXECUTE FUNCTION wipe()", "create public.orders"),
        ("CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING", "create public.orders"),
        ("CREATE SCHEMA s CREATE TABLE t (id int)", "create s, create s.t"),
        ("CREATE EXTENSION dblink", "create, opaque"),
        ("CREATE TYPE x AS ENUM ('a')", "create"),
        ("ALTER TABLE orders ADD COLUMN x int", "alter public.orders"),
        (
            "ALTER TABLE orders ADD COLUMN x int DEFAULT public.wipe(1)",
            "alter public.orders, call public.wipe(), opaque public.wipe()",
        ),
        ("ALTER TABLE orders OWNER TO x", "alter public.orders, privilege"),
        ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY", "alter public.orders, privilege"),
        ("ALTER TABLE orders RENAME TO x", "alter public.orders"),
        ("ALTER TABLE events ATTACH PARTITION products DEFAULT", "alter public.events, alter public.products"),
        ("ALTER TABLE products INHERIT orders", "alter public.orders, alter public.products"),
        ("ALTER TABLE scratch ADD COLUMN x int", "temp pg_temp.scratch"),
        ("ALTER FUNCTION refund(int) SECURITY DEFINER", "alter public.refund()"),
        ("DROP TABLE orders", "drop public.orders"),
        ("DROP TABLE scratch", "temp pg_temp.scratch"),
        ("DROP TABLE orders CASCADE", "drop, drop public.orders"),
        ("DROP TABLE IF EXISTS nowhere", "opaque"),
        ("DROP SCHEMA archive", "drop archive"),
        ("DROP FUNCTION refund(int)", "drop public.refund()"),
        ("DROP TRIGGER t ON orders", "drop public.orders"),
        ("DROP ROLE x", "privilege"),
        ("COMMENT ON TABLE orders IS 'x'", "alter public.orders"),
        ("COMMENT ON COLUMN orders.id IS 'x'", "alter public.orders"),
    ]);
}

#[test]
fn administration_is_admin() {
    check(&[
        ("GRANT SELECT ON orders TO x", "privilege public.orders"),
        ("GRANT x TO y", "privilege"),
        ("CREATE ROLE x", "privilege"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO x", "privilege"),
        ("ALTER DATABASE shop SET search_path = x", "privilege"),
        ("CREATE POLICY p ON orders USING (true)", "create public.orders, privilege"),
        ("VACUUM", "maintain"),
        ("VACUUM ANALYZE orders", "maintain public.orders"),
        ("ANALYZE orders (id)", "maintain public.orders"),
        ("REINDEX TABLE orders", "maintain public.orders"),
        ("REFRESH MATERIALIZED VIEW daily", "maintain public.daily"),
        ("CLUSTER orders", "maintain public.orders"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "server"),
        ("CHECKPOINT", "server"),
        ("LOAD 'x'", "server"),
        ("CREATE DATABASE x", "server"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "server"),
        ("DROP OWNED BY x", "drop, privilege"),
        ("DO 'begin end'", "select"),
        ("DO 'begin execute $x$select 1$x$; end'", "opaque"),
        ("DO LANGUAGE plperl 'x'", "opaque"),
        ("CALL refund(1)", "call public.refund(), opaque public.refund()"),
    ]);
}

#[test]
fn statements_about_the_session_are_named() {
    check(&[
        ("BEGIN", "transaction"),
        ("COMMIT", "transaction"),
        ("ROLLBACK TO SAVEPOINT a", "transaction"),
        ("SAVEPOINT a", "transaction"),
        ("PREPARE TRANSACTION 'x'", "server, transaction"),
        ("COMMIT PREPARED 'x'", "server"),
        ("SET search_path = archive, public", "set"),
        ("SET TIME ZONE 'UTC'", "set"),
        ("SET LOCAL statement_timeout = '5s'", "set"),
        ("SET enable_seqscan = off", "set"),
        ("RESET ALL", "set"),
        ("DISCARD ALL", "set"),
        ("SET ROLE NONE", "set"),
        ("RESET ROLE", "set"),
        ("SET ROLE app", "set"),
        ("SET ROLE admin", "privilege"),
        ("SET SESSION AUTHORIZATION DEFAULT", "set"),
        ("SET SESSION AUTHORIZATION admin", "privilege"),
        ("SET row_security = off", "set"),
        ("SET session_replication_role = replica", "privilege"),
        ("SET my.tenant = '7'", "privilege"),
        ("SET NAMES 'UTF8'", "set"),
        ("SET client_encoding TO 'utf-8'", "set"),
        ("SET standard_conforming_strings = on", "set"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "transaction"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "set"),
        ("SHOW search_path", "select"),
        ("SET CONSTRAINTS ALL DEFERRED", "set"),
        ("LISTEN x", "listen"),
        ("UNLISTEN *", "listen"),
        ("SELECT pg_advisory_lock(1), pg_try_advisory_xact_lock(2)", "set"),
        ("SELECT set_config('search_path', 'public', false)", "set"),
        ("SELECT set_config('jit', $1, false)", "set"),
        ("SELECT set_config('search_path', $1, false)", "privilege"),
        ("SELECT set_config('application_name', $1::text, false)", "privilege"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT * FROM orders", "select public.orders"),
        ("FETCH 10 FROM c", "select"),
        ("CLOSE c", "select"),
        ("DEALLOCATE ALL", "set"),
        ("PREPARE p (int) AS DELETE FROM orders WHERE id = $1", "select public.orders"),
        ("EXECUTE del (1)", "delete public.order_items, delete public.orders, update public.notes"),
        ("EXECUTE proto (1)", "select public.customers"),
        ("EXPLAIN DELETE FROM orders", "select public.orders"),
        ("EXPLAIN (ANALYZE false, VERBOSE) DELETE FROM audited", "select public.audited"),
        ("EXPLAIN ANALYZE SELECT * FROM orders", "select public.orders"),
        ("SELECT * FROM scratch", "temp pg_temp.scratch"),
        ("INSERT INTO scratch SELECT * FROM orders", "select public.orders, temp pg_temp.scratch"),
        ("DELETE FROM pg_temp.scratch", "temp pg_temp.scratch"),
    ]);
}

#[test]
fn the_rest_of_an_answer_is_told() {
    let of = |sql: &str| ask(sql).statements.remove(0);
    assert!(!of("DELETE FROM products").has_where);
    assert!(!of("UPDATE products SET id = 1 WHERE true").has_where, "a WHERE that chooses nothing");
    assert!(!of("WITH x AS (DELETE FROM products RETURNING 1) SELECT 1").has_where);
    assert!(of("DELETE FROM products WHERE id = 1").has_where);
    assert_eq!(of("COMMIT AND CHAIN").transaction, TransactionMove::Commit);
    assert_eq!(of("ROLLBACK TO a").transaction, TransactionMove::Rollback);
    assert_eq!(of("PREPARE p AS SELECT 1").prepares.as_deref(), Some("p"));
    assert_eq!(of("SELECT lower(name) FROM customers, public.orders").tables, ["public.customers", "public.orders"]);
    assert_eq!(of("SELECT lower('x')").functions, ["pg_catalog.lower"]);
    assert!(of("SET search_path = x").changes_session);
    assert!(of("CREATE TEMP TABLE t (id int)").changes_session);
    assert!(!of("SELECT 1").changes_session);
    for sql in [
        "BEGIN READ WRITE",
        "SET TRANSACTION READ WRITE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SET default_transaction_read_only TO DEFAULT",
        "START TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', true)",
    ] {
        assert!(of(sql).notes.iter().any(|note| note == super::NOTE_READ_WRITE), "{sql}");
        assert!(of(sql).marks.contains(super::NOTE_READ_WRITE), "{sql}");
    }
}

#[test]
fn statements_of_one_text_are_told_apart() {
    let analysis = ask("SELECT 1; DELETE FROM products WHERE id = 1 ;\n-- x\nSELECT * FROM customers");
    let sql = "SELECT 1; DELETE FROM products WHERE id = 1 ;\n-- x\nSELECT * FROM customers";
    let texts: Vec<&str> = analysis.statements.iter().map(|s| &sql[s.range.clone()]).collect();
    assert_eq!(texts, ["SELECT 1", "DELETE FROM products WHERE id = 1", "SELECT * FROM customers"]);
    assert_eq!(shown(&analysis.statements[1]), ["delete public.products"]);
    assert!(ask("").statements.is_empty() && ask(" ; -- nothing\n/* */ ;").statements.is_empty());
    assert_eq!(ask("").doubt, None);
}

#[test]
fn after_a_change_of_names_the_rest_of_a_text_is_opaque() {
    let opaque = |sql: &str| {
        let statements = ask(sql).statements;
        shown(statements.last().expect("a statement")).iter().any(|effect| effect == "opaque")
    };
    for sql in [
        "SET search_path = evil; DELETE FROM products WHERE id = 1",
        "CREATE TEMP TABLE products (id int); SELECT * FROM products",
        "DISCARD ALL; SELECT lower('x')",
        "ROLLBACK; SELECT * FROM customers",
        "SELECT set_config('search_path', 'x', false); SELECT now()",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ''; SELECT f()",
        "COMMIT; SELECT * FROM orders",
        "RESET ROLE; SELECT 1 + 1",
        "BEGIN; COMMIT; SELECT * FROM orders",
        "SET search_path = x; CREATE TABLE t (id int)",
        "SELECT wipe(1); EXECUTE proto (1)",
    ] {
        assert!(opaque(sql), "{sql}");
    }
    for sql in [
        "BEGIN; SELECT * FROM customers; COMMIT",
        "SET statement_timeout = 1; SELECT * FROM orders",
        "SET search_path = x; COMMIT",
        "SET search_path = x; SELECT 1",
        "CREATE TABLE t (id int); CREATE TABLE u (id int)",
        "PREPARE x AS SELECT * FROM orders; EXECUTE x",
    ] {
        assert!(!opaque(sql), "{sql}");
    }
}

#[test]
fn the_gateways_own_settings_stand_alone() {
    let set =
        |name: &str, value: Option<&str>| Some(OwnSetting::Set { name: name.into(), value: value.map(str::to_owned) });
    assert_eq!(ask("SET countersign.reason = 'ticket 7'").own_setting, set("reason", Some("ticket 7")));
    assert_eq!(ask("set Countersign.Batch to on;").own_setting, set("batch", Some("on")));
    assert_eq!(ask("RESET countersign.reason").own_setting, set("reason", None));
    assert_eq!(ask("SET countersign.reason TO DEFAULT").own_setting, set("reason", None));
    assert_eq!(ask("SHOW countersign.reason").own_setting, Some(OwnSetting::Show { name: "reason".into() }));
    for sql in [
        "SET countersign.reason = 'x'; SELECT 1",
        "SELECT set_config('countersign.reason', 'x', false)",
        "SELECT current_setting('Countersign.reason')",
        "SELECT 1; SHOW countersign.token",
    ] {
        let analysis = ask(sql);
        assert_eq!(analysis.own_setting, None, "{sql}");
        assert!(analysis.statements.iter().any(|s| s.notes.iter().any(|n| n == super::NOTE_OWN_SETTING)), "{sql}");
        assert!(analysis.statements.iter().any(|s| shown(s).contains(&"opaque".to_owned())), "{sql}");
    }
}

#[test]
fn what_is_not_understood_says_why() {
    let analysis = ask("SELEC 1");
    assert!(matches!(analysis.doubt, Some(Doubt::Syntax { .. })) && shown(&analysis.statements[0]) == ["opaque"]);
    let analysis = ask("SELECT * FROM nowhere");
    assert_eq!(analysis.doubt, Some(Doubt::UnknownRelation { name: "nowhere".into() }));
    assert_eq!(shown(&analysis.statements[0]), ["opaque"]);
    assert!(matches!(ask(&"x".repeat(2 << 20)).doubt, Some(Doubt::TooLarge { .. })));
    let unknown = classify("SELECT lower('x')", &Snapshot::default(), &names());
    assert!(shown(&unknown.statements[0]).contains(&"opaque".to_owned()), "without a catalog no name is known");
}
