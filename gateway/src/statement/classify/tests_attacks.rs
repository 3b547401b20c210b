//! Statements that look harmless. Each case says why it is not.

use super::{Names, classify, tests::*};
use crate::{
    catalog::{Code, Events, Function, Temporary, TypeFacts, builder::Builder},
    statement::effect::Action,
};

/// Whether some effect is outside the group `read`.
fn is_held(sql: &str) -> bool {
    let analysis = ask(sql);
    analysis.statements.iter().any(|s| s.effects.iter().any(|e| e.action.group() != Some("read")))
}

#[test]
fn no_attack_is_called_reading() {
    let cases: &[(&str, &str)] = &[
        // Settings that change the grammar, or who one is.
        ("SET standard_conforming_strings = off", "strings end elsewhere"),
        ("SET LOCAL standard_conforming_strings TO false", "the same"),
        ("SELECT set_config('standard_conforming_strings', 'off', false)", "the same, as a function"),
        ("SELECT set_config('standard' || '_conforming_strings', 'off', false)", "the name is computed"),
        ("SELECT pg_catalog.set_config(name, 'off', false) FROM pg_settings", "the name comes from a table"),
        ("SELECT set_config('search_path', (SELECT 'evil'), false)", "the value is computed"),
        ("SET client_encoding = 'SJIS'", "a byte eats a quote"),
        ("SET NAMES 'BIG5'", "the same, in SQL's words"),
        (
            "UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
            "a rule calls set_config",
        ),
        ("SET jit_dump_bitcode = on", "the server writes files"),
        ("SET session_authorization = 'postgres'", "another user"),
        ("SET SESSION ROLE postgres", "another role"),
        ("SET \"role\" TO 'postgres'", "the same as a plain setting"),
        ("ALTER ROLE app SET search_path = evil", "at the next login"),
        ("ALTER USER app WITH SUPERUSER", "more rights"),
        // Effects that are not in the text.
        ("SELECT * FROM trap", "a view that calls a function"),
        ("SELECT * FROM sleeper", "a view that calls a built-in that ends backends"),
        ("SELECT wipe(1)", "a function"),
        ("SELECT public.wipe(1) FROM orders", "a function with a schema"),
        ("SELECT o.wipe FROM orders o", "a function written as a column"),
        ("SELECT (o).wipe FROM orders o", "the same in parentheses"),
        ("SELECT ('/etc/passwd'::text).pg_read_file", "a built-in written as an attribute"),
        ("SELECT (123).pg_terminate_backend", "the same"),
        ("SELECT * FROM orders ORDER BY wipe(id)", "in ORDER BY"),
        ("SELECT 1 FROM orders GROUP BY wipe(id)", "in GROUP BY"),
        ("SELECT 1 FROM orders HAVING wipe(1) IS NULL", "in HAVING"),
        ("SELECT sum(id) OVER (PARTITION BY wipe(id)) FROM orders", "in a window"),
        ("SELECT sum(id) OVER w FROM orders WINDOW w AS (ORDER BY wipe(id))", "in a named window"),
        ("SELECT sum(id) FILTER (WHERE wipe(id) IS NULL) FROM orders", "in FILTER"),
        ("SELECT array_agg(id ORDER BY wipe(id)) FROM orders", "in an aggregate's ORDER BY"),
        ("SELECT DISTINCT ON (wipe(id)) 1 FROM orders", "in DISTINCT ON"),
        ("SELECT 1 LIMIT wipe(1)", "in LIMIT"),
        ("SELECT 1 OFFSET wipe(1)", "in OFFSET"),
        ("VALUES (wipe(1))", "in VALUES"),
        ("SELECT * FROM wipe(1)", "in FROM"),
        ("SELECT * FROM ROWS FROM (wipe(1), generate_series(1, 2))", "in ROWS FROM"),
        ("SELECT (ARRAY[1])[wipe(1)]", "as a subscript"),
        ("SELECT CASE wipe(1) WHEN 1 THEN 2 END", "in CASE"),
        ("SELECT coalesce(wipe(1), 1), greatest(1, 2)", "in COALESCE"),
        ("SELECT ROW(wipe(1))", "in ROW"),
        ("SELECT x FROM orders x JOIN customers c ON wipe(1) IS NULL", "in ON"),
        ("SELECT * FROM orders TABLESAMPLE bernoulli (wipe(1))", "in TABLESAMPLE"),
        ("SELECT * FROM orders TABLESAMPLE strange (1)", "a sampler that is not the server's"),
        ("SELECT xmlelement(name a, wipe(1))", "in XML"),
        ("SELECT json_object('a': wipe(1))", "in JSON"),
        ("SELECT json_array(SELECT wipe(1))", "in a JSON query"),
        ("SELECT json_arrayagg(wipe(1))", "in a JSON aggregate"),
        ("SELECT json_value('{}', '$' DEFAULT wipe(1) ON EMPTY)", "in a JSON default"),
        ("SELECT * FROM json_table((SELECT wipe(1)), '$' COLUMNS (a int))", "in JSON_TABLE"),
        ("SELECT * FROM xmltable('/a' PASSING wipe(1) COLUMNS b text DEFAULT wipe(2))", "in XMLTABLE"),
        ("EXPLAIN SELECT wipe(1)", "the planner runs what is marked immutable"),
        ("PREPARE p AS SELECT wipe(1)", "and so may a later plan"),
        ("DECLARE c CURSOR FOR SELECT wipe(1)", "in a cursor"),
        ("EXECUTE proto (wipe(1))", "as an argument of EXECUTE"),
        ("SELECT 'x'::email", "a domain whose check calls a function"),
        ("SELECT CAST('{x}' AS public.email[])", "the same in an array"),
        ("SELECT email('x')", "a cast that is written as a function"),
        ("SELECT ('x'::text).email", "and as an attribute"),
        ("SELECT * FROM json_to_record('{}') AS x (a email)", "a domain in a column list"),
        ("SELECT xmlserialize(CONTENT 'x' AS email)", "a domain in XMLSERIALIZE"),
        ("SELECT * FROM secured", "a row policy that calls a function"),
        ("SELECT * FROM elsewhere", "a foreign table"),
        ("SELECT nowhere.lower('x')", "a function that is not known"),
        ("SELECT hidden.lower('x')", "a function off the path, by its schema"),
        ("SELECT unheard_of(1)", "a function that is not known"),
        // Wrappers.
        ("EXPLAIN ANALYZE DELETE FROM products", "ANALYZE runs it"),
        ("EXPLAIN (ANALYZE) DELETE FROM products", "the same"),
        ("EXPLAIN (ANALYZE on) DELETE FROM products", "the same"),
        ("EXPLAIN (ANALYZE 1, COSTS off) DELETE FROM products", "the same"),
        ("EXPLAIN (ANALYZE TRUE) EXECUTE del (1)", "of what was prepared"),
        ("EXPLAIN ANALYZE EXECUTE del (1)", "of what was prepared"),
        ("EXPLAIN (VERBOSE, \"analyze\") DELETE FROM products", "quoted"),
        ("EXECUTE del (1)", "what was prepared deletes"),
        ("EXECUTE never_heard_of", "what was prepared is not known"),
        ("EXECUTE loop", "it runs itself"),
        ("EXECUTE two", "two statements can't have been prepared"),
        ("CREATE TABLE x AS EXECUTE del (1)", "and in CREATE TABLE AS"),
        ("DO $$ BEGIN DELETE FROM products; END $$", "a block that deletes"),
        ("DO $$ BEGIN PERFORM wipe(1); END $$", "a block that calls"),
        ("DO $$ BEGIN EXECUTE 'DELETE FROM products'; END $$", "a block that puts a statement together"),
        ("DO $$ BEGIN IF false THEN DELETE FROM products; END IF; END $$", "whether it is reached is not known"),
        ("DO $$ BEGIN SET search_path = evil; PERFORM lower('x'); END $$", "a block that moves its own names"),
        ("DO $$ BEGIN COMMIT; END $$", "a block that ends the transaction"),
        ("DO LANGUAGE plpython3u 'x'", "a language that is not read"),
        ("DO $$ not pl/pgsql $$", "not understood"),
        ("CALL public.refund(1)", "a procedure"),
        ("WITH a AS (UPDATE products SET id = 1 RETURNING 1) SELECT * FROM a", "a WITH that writes"),
        ("WITH a AS (WITH b AS (DELETE FROM products RETURNING 1) SELECT 1) SELECT 1", "deeper"),
        (
            "WITH m AS (MERGE INTO products USING orders ON true WHEN MATCHED THEN DELETE RETURNING 1) SELECT 1",
            "a WITH with MERGE",
        ),
        ("COPY (INSERT INTO products VALUES (1) RETURNING id) TO STDOUT", "a COPY that writes"),
        ("COPY (SELECT wipe(1)) TO STDOUT", "a COPY that calls"),
        ("COPY products TO '/tmp/x'", "to a file"),
        ("COPY (SELECT 1) TO PROGRAM 'rm -rf /'", "a program"),
        ("SELECT 1 INTO x", "SELECT that creates"),
        ("SELECT 1 INTO x UNION SELECT 2", "the same in UNION"),
        ("CREATE TEMP TABLE x AS SELECT wipe(1)", "a temporary table that calls"),
        ("CREATE TEMP TABLE x (id int DEFAULT wipe(1))", "a temporary table that will call"),
        ("CREATE DOMAIN pg_temp.d AS int CHECK (wipe(VALUE) IS NULL)", "a temporary domain"),
        ("SELECT 1::pg_temp.d", "and its use"),
        ("SELECT json_scalar(1)", "a word of the newest grammar, and the name of a function to an older server"),
        ("EXPLAIN INSERT INTO strange_default DEFAULT VALUES", "the planner runs the default"),
        ("EXPLAIN DELETE FROM trap", "and the view"),
        ("PREPARE proto AS DELETE FROM products; EXECUTE proto", "the name is a new statement's"),
        ("CREATE TEMP VIEW x AS SELECT * FROM customers", "a temporary view stands for its tables later"),
        ("CREATE TEMP TABLE x () INHERITS (orders)", "a temporary child changes its parent"),
        ("ALTER TABLE scratch ALTER id SET DEFAULT wipe(1)", "a default of a temporary table"),
        ("CREATE TRIGGER t AFTER INSERT ON scratch EXECUTE FUNCTION wipe()", "a trigger of a temporary table"),
        ("CREATE RULE r AS ON INSERT TO scratch DO DELETE FROM orders", "a rule of a temporary table"),
        ("DELETE FROM pg_class", "the catalog itself"),
        // Functions with text for SQL, files, signals, other processes.
        ("SELECT query_to_xml('delete from orders', true, true, '')", "runs text"),
        ("SELECT pg_catalog.query_to_xml_and_xmlschema('x', true, true, '')", "runs text"),
        ("SELECT table_to_xml('customers', true, true, '')", "reads a table that is not named"),
        ("SELECT database_to_xml(true, true, '')", "reads all"),
        ("SELECT cursor_to_xml('c', 1, true, true, '')", "fetches"),
        ("SELECT * FROM ts_stat('select wipe(1)')", "runs text"),
        ("SELECT ts_rewrite('a'::tsquery, 'select 1')", "runs text"),
        ("SELECT * FROM dblink('', 'x') AS t (a int)", "another server"),
        ("SELECT xpath_table('a', 'b', 'orders', 'c', 'd')", "runs text"),
        ("SELECT pg_read_file('/etc/passwd')", "a file"),
        ("SELECT pg_read_binary_file('/etc/passwd')", "a file"),
        ("SELECT pg_ls_dir('.')", "files"),
        ("SELECT pg_stat_file('x')", "files"),
        ("SELECT * FROM pg_hba_file_rules", "a view that reads a file"),
        ("SELECT lo_import('/etc/passwd')", "a file into a large object"),
        ("SELECT lo_export(1, '/tmp/x')", "and out"),
        ("SELECT lo_unlink(1), lo_create(2)", "large objects"),
        ("SELECT lo_get(1)", "large objects"),
        ("SELECT pg_terminate_backend(1)", "another session"),
        ("SELECT pg_cancel_backend(pid) FROM pg_stat_activity", "another session"),
        ("SELECT pg_reload_conf()", "the server"),
        ("SELECT pg_rotate_logfile()", "the server"),
        ("SELECT pg_switch_wal()", "the server"),
        ("SELECT pg_create_logical_replication_slot('x', 'y')", "replication"),
        ("SELECT * FROM pg_logical_slot_get_changes('x', NULL, NULL)", "replication"),
        ("SELECT pg_logical_emit_message(false, 'a', 'b')", "writes WAL"),
        ("SELECT pg_notify('a', 'b')", "other sessions hear it"),
        ("SELECT pg_export_snapshot()", "a file"),
        ("SELECT nextval('orders_id_seq')", "moves a sequence"),
        ("SELECT nextval(oid) FROM pg_class", "moves whatever"),
        ("SELECT pg_stat_reset()", "the server's statistics"),
        ("SELECT domain_in('x', 16385, -1)", "runs a domain's check by its oid"),
        ("SELECT pg_input_is_valid('x', 'email')", "runs a domain's check by its name"),
        // Writes with company.
        ("DELETE FROM rewritten", "a rule"),
        ("SELECT * FROM products FOR NO KEY UPDATE", "locks"),
        ("PREPARE TRANSACTION 'x'", "outlives the session"),
        ("ROLLBACK PREPARED 'x'", "not this transaction's"),
        ("SECURITY LABEL ON TABLE orders IS 'x'", "rights"),
        ("IMPORT FOREIGN SCHEMA x FROM SERVER y INTO public", "another server says what"),
    ];
    let missed: Vec<_> = cases.iter().filter(|(sql, _)| !is_held(sql)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn what_hangs_on_a_relation_comes_along() {
    check(&[
        ("INSERT INTO audited VALUES (1)", "insert public.audited, opaque public.audited"),
        ("DELETE FROM audited WHERE id = 1", "delete public.audited"),
        ("INSERT INTO strange_default VALUES (1)", "insert public.strange_default, opaque public.strange_default"),
        ("DELETE FROM rewritten WHERE id = 1", "delete public.rewritten, opaque public.rewritten"),
        ("INSERT INTO events VALUES (1)", "insert public.events, opaque public.events_2026"),
        // A row that moves between partitions is inserted anew.
        ("UPDATE events SET at = now() WHERE id = 1", "opaque public.events_2026, update public.events"),
        ("SELECT * FROM nested", "select public.nested, select public.open_orders, select public.orders"),
        (
            "DELETE FROM nested WHERE id = 1",
            "delete public.nested, delete public.open_orders, delete public.order_items, delete public.orders, \
             select public.open_orders, select public.orders, update public.notes",
        ),
        (
            "DELETE FROM joined WHERE id = 1",
            "delete public.joined, opaque public.joined, select public.customers, select public.orders",
        ),
        (
            "SELECT * FROM nested FOR UPDATE",
            "lock public.nested, lock public.open_orders, lock public.orders, select public.nested, \
             select public.open_orders, select public.orders",
        ),
    ]);
}

#[test]
fn a_rolled_back_temporary_table_does_not_hide_a_real_one() {
    let names = Names { temporary: [("orders".into(), Temporary::default())].into(), ..names() };
    let analysis = classify("DELETE FROM orders WHERE id = 1", &shop(), &names);
    let effects = shown(&analysis.statements[0]);
    assert!(
        effects.contains(&"delete public.orders".to_owned()) && effects.contains(&"temp pg_temp.orders".to_owned())
    );
}

#[test]
fn a_function_earlier_or_later_on_the_path_counts() {
    let path = |path: &[&str]| Names { search_path: path.iter().map(|s| (*s).to_owned()).collect(), ..names() };
    let opaque = |names: &Names| {
        let analysis = classify("SELECT lower('x'::varchar)", &shop(), names);
        analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque)
    };
    assert!(!opaque(&path(&["pg_catalog", "public"])));
    assert!(opaque(&path(&["hidden", "pg_catalog"])), "found first");
    assert!(opaque(&path(&["pg_catalog", "hidden"])), "an exact match of types wins over the server's own");
    assert!(opaque(&path(&["hidden"])), "pg_catalog is only implied");
    assert!(opaque(&path(&[])), "an unknown path reaches everything");
}

#[test]
fn a_body_in_sql_is_trusted_only_where_its_operators_are_the_servers_own() {
    let mut builder = shop_builder();
    builder.add_function(Function {
        oid: 18_001,
        schema: "public".into(),
        name: "regexp_match".into(),
        language: "sql".into(),
        extension: Some("citext".into()),
        arguments: (3, Some(3)),
        ..Function::default()
    });
    let shop = builder.build();
    for (path, opaque) in [
        (vec!["pg_catalog", "public"], false),
        (vec!["public"], false),
        (vec!["archive", "pg_catalog", "public"], true),
    ] {
        let names = Names { search_path: path.iter().map(|s| (*s).to_owned()).collect(), ..names() };
        let analysis = classify("SELECT regexp_match(status, 'x', 'c') FROM public.orders", &shop, &names);
        let found = analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque);
        assert_eq!(found, opaque, "{path:?}");
    }
}

#[test]
fn the_types_of_a_prepared_statements_arguments_count_when_it_runs() {
    let prepared = [("s".to_owned(), "PREPARE s (email) AS SELECT $1".to_owned())].into();
    let analysis = classify("EXECUTE s ('x')", &shop(), &Names { prepared, ..names() });
    assert!(analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque), "a domain's check runs");
}

#[test]
fn a_short_text_does_not_have_a_long_one_read_again_and_again() {
    let long = format!("PREPARE s AS SELECT 1 WHERE 1 IN ({}1)", "1, ".repeat(50_000));
    let prepared = [("s".to_owned(), long)].into();
    let analysis = classify(&"EXECUTE s; ".repeat(2_000), &shop(), &Names { prepared, ..names() });
    let opaque = |s: &super::Statement| s.effects.iter().any(|e| e.action == Action::Opaque);
    assert!(!opaque(&analysis.statements[0]), "one is read");
    assert!(analysis.statements[10..].iter().all(opaque), "the many are not");
}

#[test]
fn a_type_that_somebody_put_into_the_servers_schema_is_not_the_servers() {
    let mut builder = shop_builder();
    let checks = vec!["public.wipe(VALUE)".into()];
    let facts = TypeFacts { schema: "pg_catalog".into(), name: "trusted".into(), checks, ..TypeFacts::default() };
    builder.add_type(18_002, facts);
    let analysis = classify("SELECT 'x'::pg_catalog.trusted", &builder.build(), &names());
    assert!(analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque));
}

#[test]
fn a_user_defined_operator_is_met_in_every_construct_that_means_it() {
    let mut builder = shop_builder();
    for name in ["=", "<", "~~"] {
        builder.operator("public", name, Code::unseen(&format!("the operator public.{name} calls public.f()")));
    }
    let snapshot = builder.build();
    let opaque = |sql: &str| {
        let analysis = classify(sql, &snapshot, &names());
        analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque)
    };
    let meets = [
        "SELECT 1 = 1",
        "SELECT 1 IN (1, 2)",
        "SELECT 1 IN (SELECT 1)",
        "SELECT 1 = ANY (ARRAY[1])",
        "SELECT 1 IS DISTINCT FROM 2",
        "SELECT nullif(1, 2)",
        "SELECT CASE 1 WHEN 1 THEN 1 END",
        "SELECT 1 BETWEEN 1 AND 2",
        "SELECT 'a' LIKE 'b'",
        "SELECT * FROM orders JOIN customers USING (id)",
        "SELECT * FROM orders NATURAL JOIN customers",
        "SELECT * FROM orders ORDER BY id USING <",
        "SELECT (1, 2) = (1, 2)",
        "SELECT 1 OPERATOR(public.=) 2",
        "SELECT (1, 2) IN (SELECT 1, 2)",
        "DELETE FROM products WHERE id = 1",
    ];
    let missed: Vec<_> = meets.iter().filter(|sql| !opaque(sql)).collect();
    assert!(missed.is_empty(), "{missed:?}");
    for sql in ["SELECT 1 + 1", "SELECT 1 OPERATOR(pg_catalog.=) 2", "SELECT 1 > 2", "SELECT * FROM orders"] {
        assert!(!opaque(sql), "{sql}");
    }
    // Off the path it is met by its schema alone; in a stored view, where the text does not tell it.
    let mut builder = shop_builder();
    builder.operator("hidden", "=", Code::unseen("the operator hidden.= calls hidden.f()"));
    builder.view("public.told", "SELECT (o.id OPERATOR(hidden.=) 1) AS x FROM public.orders o");
    builder.view("public.untold", "SELECT NULLIF(o.id, 1) AS x FROM public.orders o");
    builder.view("public.plain", "SELECT (o.id = 1) AS x FROM public.orders o");
    let snapshot = builder.build();
    let opaque = |sql: &str| {
        let analysis = classify(sql, &snapshot, &names());
        analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque)
    };
    for sql in ["SELECT 1 OPERATOR(hidden.=) 2", "SELECT * FROM told", "SELECT * FROM untold"] {
        assert!(opaque(sql), "{sql}");
    }
    for sql in ["SELECT 1 = 2", "SELECT nullif(1, 2)", "SELECT * FROM plain"] {
        assert!(!opaque(sql), "{sql}");
    }
}

#[test]
fn casts_and_event_triggers_of_the_database_count() {
    let opaque = |builder: &mut Builder, sql: &str| {
        let analysis = classify(sql, &builder.build(), &names());
        analysis.statements[0].effects.iter().any(|e| e.action == Action::Opaque)
    };
    assert!(opaque(
        shop_builder().cast(Code::unseen("the cast from text to int calls evil.f()")),
        "SELECT * FROM orders WHERE status = 1"
    ));
    assert!(opaque(
        shop_builder().event_trigger(Code::unseen("event trigger e calls evil.f()")),
        "CREATE TEMP TABLE x (id int)"
    ));
    assert!(!opaque(
        shop_builder().event_trigger(Code::unseen("event trigger e calls evil.f()")),
        "SELECT * FROM orders"
    ));
    for sql in [
        "REFRESH MATERIALIZED VIEW daily",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY daily WITH NO DATA",
        "REINDEX TABLE orders",
        "GRANT SELECT ON orders TO ana",
        "REVOKE ALL ON SCHEMA public FROM ana",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ana",
        "SECURITY LABEL ON TABLE orders IS 'x'",
        "CREATE PUBLICATION p FOR TABLE orders",
        "COMMENT ON TABLE orders IS 'x'",
        "DO $$ BEGIN REFRESH MATERIALIZED VIEW daily; END $$",
    ] {
        assert!(opaque(shop_builder().event_trigger(Code::unseen("event trigger e calls evil.f()")), sql), "{sql}");
        assert!(!opaque(&mut shop_builder(), sql), "{sql}: without one");
    }
}

#[test]
fn a_word_of_the_newest_grammar_may_be_the_name_of_a_type() {
    const WORDS: [(&str, &str); 11] = [
        ("json", "SELECT json('1')"),
        ("json_scalar", "SELECT json_scalar('1')"),
        ("json_serialize", "SELECT json_serialize('1')"),
        ("json_array", "SELECT json_array(1::bigint)"),
        ("json_array", "SELECT json_array(SELECT 1)"),
        ("json_object", "SELECT json_object('a': 1)"),
        ("json_objectagg", "SELECT json_objectagg('a': 1)"),
        ("json_arrayagg", "SELECT json_arrayagg(1)"),
        ("json_exists", "SELECT json_exists('1', '$')"),
        ("json_query", "SELECT json_query('1', '$')"),
        ("json_value", "SELECT json_value('1', '$')"),
    ];
    let plain = shop_builder().build();
    let opaque = |sql: &str, snapshot: &crate::catalog::Snapshot, names: &Names| {
        classify(sql, snapshot, names).statements[0].effects.iter().any(|e| e.action == Action::Opaque)
    };
    for (name, sql) in WORDS {
        let (schema, checks) = ("public".into(), vec!["public.wipe(VALUE)".into()]);
        let facts = TypeFacts { schema, name: name.into(), checks, ..TypeFacts::default() };
        let typed = shop_builder().add_type(18_003, facts).build();
        let mine = Names { temporary_types: [name.to_owned()].into(), ..names() };
        assert!(opaque(sql, &typed, &names()), "{sql}");
        assert!(opaque(sql, &plain, &mine), "{sql}: a temporary type");
        // The shop has a function of that name already.
        assert!(name == "json_scalar" || !opaque(sql, &plain, &names()), "{sql}: without one");
    }
}

#[test]
fn what_takes_the_second_wall_down_is_found_behind_any_number_of_other_notes() {
    let mut builder = shop_builder();
    for number in 0..60 {
        builder.function(&format!("public.h{number}"), "plpgsql");
    }
    builder.expression(
        "public.plain_default",
        Events::ANY,
        "the policy p",
        "(set_config('transaction_read_only', 'off', true) IS NULL)",
    );
    let snapshot = builder.build();
    let fields: Vec<String> = (0..60).map(|number| format!("(r).h{number}")).collect();
    let fields = fields.join(", ");
    for (sql, note) in [
        ("set default_transaction_read_only = off", super::NOTE_READ_WRITE),
        ("discard all", super::NOTE_RESETS_ALL),
        ("reset all", super::NOTE_RESETS_ALL),
        ("set client_encoding = latin1", super::NOTE_ENCODING),
        ("set standard_conforming_strings = off", super::NOTE_STRINGS),
        ("set countersign.token = 'ey'", super::NOTE_TOKEN),
        ("perform * from plain_default", super::NOTE_READ_WRITE),
    ] {
        let sql = format!("DO $$ DECLARE r record; BEGIN IF false THEN PERFORM {fields}; END IF; {sql}; END $$");
        let statement = &classify(&sql, &snapshot, &names()).statements[0];
        assert!(statement.notes.len() >= 50 && statement.marks.contains(note), "{sql}: {:?}", statement.notes);
    }
    let down = |sql: &str| crate::statement::wall::taken_down_by(&classify(sql, &snapshot, &names()), true).is_some();
    assert!(down(&format!("DO $$ BEGIN PERFORM {fields}; SET default_transaction_read_only = off; END $$")));
    assert!(down("SELECT * FROM plain_default"), "a policy that sets it, whose notes are not the statement's");
    assert!(!down(&format!("DO $$ BEGIN PERFORM {fields}; SET default_transaction_read_only = on; END $$")));
}

#[test]
fn views_and_foreign_keys_in_circles_end() {
    let mut builder = Builder::new();
    builder.table("public.a", &["id"]).table("public.b", &["id"]);
    builder.foreign_key("public.a", "public.b", 'c', 'c').foreign_key("public.b", "public.a", 'c', 'c');
    builder.view("public.v", "SELECT 1 FROM public.w").view("public.w", "SELECT 1 FROM public.v");
    builder.expression("public.a", Events::ANY, "the policy p", "(EXISTS (SELECT 1 FROM public.a))");
    let snapshot = builder.build();
    let effects = |sql: &str| shown(&classify(sql, &snapshot, &names()).statements[0]);
    assert_eq!(effects("DELETE FROM a"), ["delete public.a", "delete public.b"]);
    // What is kept of the first must be whole for the second.
    assert_eq!(effects("DELETE FROM b"), ["delete public.a", "delete public.b"]);
    assert_eq!(effects("SELECT * FROM v"), ["select public.v", "select public.w"]);
}

#[test]
fn lexical_tricks_are_read_as_the_server_reads_them() {
    check(&[
        ("SELECT 1 --x\r+ (SELECT max(id) FROM orders)", "select public.orders"),
        ("SELECT $é$ ; DELETE FROM orders $é$", "select"),
        ("SELECT * FROM U&\"ord\\0065rs\"", "select public.orders"),
        ("/* /* */ DELETE FROM orders; */ SELECT 1", "select"),
        ("SELECT E'\\'; DELETE FROM orders; --'", "select"),
        ("SELECT '\\'", "select"),
        ("SELECT * FROM \"Orders\"", "opaque"),
    ]);
    assert_eq!(ask("SELECT '\\'; DELETE FROM products --'").statements.len(), 2);
}

#[test]
fn deep_and_long_texts_neither_end_the_process_nor_take_for_ever() {
    let long: &[(&str, String)] = &[
        ("operators", format!("SELECT 1{}", "+1".repeat(50_000))),
        ("some operators", format!("SELECT 1{}", "+1".repeat(300))),
        ("parentheses", format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))),
        ("sub-selects", format!("SELECT {}1{}", "(SELECT ".repeat(150), ")".repeat(150))),
        ("unions", format!("SELECT 1{}", " UNION SELECT 1".repeat(300))),
        ("joins", format!("SELECT 1 FROM orders{}", " CROSS JOIN customers".repeat(300))),
        ("NOT", format!("SELECT {} true", "NOT ".repeat(20_000))),
        ("casts", format!("SELECT 1{}", "::int".repeat(400))),
        ("subscripts", format!("SELECT x{}", "[1]".repeat(20_000))),
        ("AND", format!("SELECT true{}", " AND true".repeat(20_000))),
        ("comments", format!("{}SELECT 1", "/*".repeat(100_000))),
        ("statements", "SELECT 1;".repeat(20_000)),
        ("a list", format!("SELECT 1 IN (1{})", ",1".repeat(100_000))),
        ("EXPLAIN", format!("{}SELECT 1", "EXPLAIN ".repeat(10_000))),
    ];
    for (what, sql) in long {
        let started = std::time::Instant::now();
        let analysis = ask(sql);
        assert!(!analysis.statements.is_empty(), "{what}");
        assert!(started.elapsed().as_secs() < 20, "{what} took {:?}", started.elapsed());
    }
    for what in ["some operators", "unions", "joins", "casts", "AND"] {
        let sql = &long.iter().find(|(name, _)| name == &what).expect("it is listed").1;
        assert_eq!(ask(sql).doubt, None, "{what} is ordinary SQL");
    }
}

#[test]
fn every_depth_up_to_the_parsers_own_bound_has_stack_enough() {
    let forms: &[fn(usize) -> String] = &[
        |n| format!("SELECT 1{}", "+1".repeat(n)),
        |n| format!("SELECT 1{}", "::int".repeat(n)),
        |n| format!("SELECT {}true", "NOT ".repeat(n)),
        |n| format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
        |n| format!("SELECT 1{}", " UNION SELECT 1".repeat(n)),
        |n| format!("SELECT 1 FROM orders{}", " CROSS JOIN orders".repeat(n)),
        |n| format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
        |n| format!("SELECT {}1{}", "lower(".repeat(n), ")".repeat(n)),
        |n| format!("{}SELECT 1{}", "WITH a AS (".repeat(n), ") SELECT 1".repeat(n)),
        |n| format!("SELECT * FROM {}orders{}", "(SELECT * FROM ".repeat(n), ") x".repeat(n)),
        |n| format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
        |n| format!("SELECT {}1{}", "ROW(".repeat(n), ")".repeat(n)),
        |n| format!("SELECT {}1{}", "json_array(".repeat(n), ")".repeat(n)),
    ];
    for form in forms {
        for n in (1..40).chain((50..2_000).step_by(177)) {
            assert_eq!(ask(&form(n)).statements.len(), 1);
        }
    }
}

/// A small generator of pseudo-random numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap_or(0)
    }
}

#[test]
fn no_text_makes_it_panic_or_find_nothing() {
    let seeds = [
        "WITH a AS (SELECT * FROM orders) SELECT lower(name) FROM customers c JOIN a USING (id) WHERE c.id IN (1, 2) FOR UPDATE",
        "INSERT INTO products VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING *",
        "MERGE INTO products p USING orders o ON p.id = o.id WHEN MATCHED THEN UPDATE SET id = 1",
        "CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('orders_id_seq'), x email CHECK (x <> '')) PARTITION BY RANGE (id)",
        "ALTER TABLE orders ADD CONSTRAINT c FOREIGN KEY (id) REFERENCES customers (id) ON DELETE CASCADE",
        "SET search_path = 'a', b; DROP TABLE IF EXISTS x.y CASCADE; GRANT ALL ON orders TO PUBLIC",
        "COPY (SELECT 1) TO STDOUT WITH (FORMAT csv); EXPLAIN (ANALYZE, BUFFERS) EXECUTE del(1)",
        "SELECT json_table.* FROM json_table('[]', '$' COLUMNS (a int PATH '$.a')), xmltable('/a' PASSING '<a/>' COLUMNS b text)",
    ];
    let (snapshot, names) = (shop(), names());
    let mut random = Random(0x5eed_1234_5678_9abc);
    let words: Vec<&str> = seeds.iter().flat_map(|seed| seed.split(' ')).collect();
    for round in 0..4_000 {
        let mut text: Vec<char> = match round % 4 {
            0 => (0..random.below(60))
                .filter_map(|_| char::from_u32(u32::try_from(random.below(0x300)).unwrap_or(65)))
                .collect(),
            1 => {
                let picked: Vec<&str> = (0..random.below(25)).map(|_| words[random.below(words.len())]).collect();
                picked.join(" ").chars().collect()
            }
            _ => seeds[random.below(seeds.len())].chars().collect(),
        };
        for _ in 0..random.below(4) {
            if text.is_empty() {
                break;
            }
            let at = random.below(text.len());
            match random.below(3) {
                0 => {
                    text.remove(at);
                }
                1 => {
                    text.insert(at, ['\'', '"', ';', '(', ')', '$', '\\', '\0', '\u{202e}', '*', '/'][random.below(11)])
                }
                _ => text.truncate(at),
            }
        }
        let text: String = text.into_iter().collect();
        let analysis = classify(&text, &snapshot, &names);
        for statement in &analysis.statements {
            assert!(!statement.effects.is_empty(), "{text:?}");
            assert!(text.get(statement.range.clone()).is_some(), "{text:?}");
        }
    }
}
