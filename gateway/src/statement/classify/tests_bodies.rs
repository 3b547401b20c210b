//! Functions, triggers, rules, operators and types whose code is read: what they do counts, and
//! nothing else.

use super::{classify, tests::*};
use crate::catalog::{Body, Code, Events, Function, Snapshot, TypeFacts, builder::Builder};

fn plpgsql(body: &str) -> Body {
    Body::PlPgSql(format!("BEGIN {body} END"))
}

/// The shop, with code in it.
fn coded() -> Builder {
    let mut b = shop_builder();
    b.function_with("public.nothing", plpgsql("RETURN 1;"))
        .function_with("public.total", Body::Sql("SELECT count(*) FROM orders".into()))
        .function_with("public.resolved", Body::SqlResolved("RETURN (SELECT max(o.id) FROM public.orders o)".into()))
        .function_with("public.atomic", Body::SqlResolved("BEGIN ATOMIC\n DELETE FROM public.products;\nEND".into()))
        .function_with("public.cleans", Body::Sql("DELETE FROM products WHERE id = 1; SELECT 1".into()))
        .function_with("public.cleans_all", Body::Sql("DELETE FROM products".into()))
        .function_with("public.outer_one", plpgsql("PERFORM cleans();"))
        .function_with("public.dynamic", plpgsql("EXECUTE 'x';"))
        .function_with("public.round", plpgsql("PERFORM round_back();"))
        .function_with("public.round_back", plpgsql("PERFORM round(); INSERT INTO products VALUES (1);"))
        .function_with("public.strays", plpgsql("PERFORM unheard_of();"))
        .function_with("public.moves", plpgsql("SET search_path = x; PERFORM lower('x');"))
        .function_with("public.temporary", plpgsql("CREATE TEMP TABLE x (id int); INSERT INTO x VALUES (1);"))
        .function_with("public.logs", plpgsql("INSERT INTO notes VALUES (1); RETURN NEW;"))
        .function_with("public.counts", plpgsql("PERFORM count(*) FROM new_rows; RETURN NULL;"))
        .function_with("public.equal", plpgsql("RETURN true;"))
        .function_with("public.summed", Body::Calls(Vec::new()));
    b.table("public.logged", &["id"]).trigger("public.logged", Events::STORE, "public.logs");
    b.table("public.circle", &["id"]).function_with("public.again", plpgsql("UPDATE circle SET id = 1;"));
    b.trigger("public.circle", Events::STORE, "public.again");
    b.table("public.ruled", &["id"]).rule(
        "public.ruled",
        Events::DELETE,
        "CREATE RULE r AS ON DELETE TO public.ruled WHERE (old.id > 1) DO INSTEAD INSERT INTO public.notes (id) VALUES (old.id)",
    );
    b.table("public.checked", &["id"]).expression("public.checked", Events::STORE, "the check c", "public.nothing()");
    b.table("public.defaulted", &["id"]).expression("public.defaulted", Events::STORE, "a default", "public.cleans()");
    b.view("public.counted", "SELECT public.total() AS total");
    b
}

fn check_coded(cases: &[(&str, &str)]) {
    let (snapshot, names) = (coded().build(), names());
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let analysis = classify(sql, &snapshot, &names);
        let mut expected: Vec<&str> = expected.split(", ").collect();
        expected.sort_unstable();
        let found: Vec<_> = analysis.statements.iter().map(|s| (shown(s), &s.notes)).collect();
        if analysis.statements.len() != 1 || shown(&analysis.statements[0]) != expected {
            wrong.push(format!("{sql}\n  expected {expected:?}\n  found    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_function_does_what_its_body_does() {
    check_coded(&[
        ("SELECT nothing()", "call public.nothing()"),
        ("SELECT total()", "call public.total(), select public.orders"),
        ("SELECT resolved()", "call public.resolved(), select public.orders"),
        ("SELECT atomic()", "call public.atomic(), delete public.products"),
        ("SELECT cleans()", "call public.cleans(), delete public.products"),
        // What a body calls is not named by the statement: its effects count, `call` does not.
        ("CALL outer_one()", "call public.outer_one(), delete public.products"),
        ("SELECT dynamic()", "call public.dynamic(), opaque"),
        ("SELECT round()", "call public.round(), insert public.products"),
        ("SELECT strays()", "call public.strays(), opaque pg_catalog.unheard_of()"),
        ("SELECT moves()", "call public.moves(), opaque, set"),
        ("SELECT temporary()", "call public.temporary(), opaque, temp pg_temp.x"),
        ("SELECT summed(id) FROM orders", "call public.summed(), select public.orders"),
        ("SELECT * FROM counted", "select public.counted, select public.orders"),
    ]);
}

#[test]
fn a_block_does_what_it_says() {
    check_coded(&[
        ("DO 'begin perform cleans(); end'", "delete public.products"),
        (
            "DO 'declare r orders%rowtype; begin for r in select * from orders loop null; end loop; end'",
            "select public.orders",
        ),
        ("DO 'declare x email; begin null; end'", "opaque"),
    ]);
}

#[test]
fn triggers_and_rules_do_what_they_do() {
    check_coded(&[
        ("INSERT INTO logged VALUES (1)", "insert public.logged, insert public.notes"),
        ("DELETE FROM logged WHERE id = 1", "delete public.logged"),
        ("INSERT INTO circle VALUES (1)", "insert public.circle, update public.circle"),
        ("DELETE FROM ruled WHERE id = 1", "delete public.ruled, insert public.notes"),
        ("INSERT INTO checked VALUES (1)", "insert public.checked"),
        ("INSERT INTO defaulted VALUES (1)", "delete public.products, insert public.defaulted"),
    ]);
}

#[test]
fn transition_tables_are_no_relations() {
    let mut builder = coded();
    builder.trigger("public.orders", Events::INSERT, "public.counts");
    let hazards = &mut builder.get("public", "orders").expect("it is there").hazards;
    hazards[0].transitions = vec!["new_rows".into()];
    let snapshot = builder.build();
    let effects = shown(&classify("INSERT INTO orders VALUES (1)", &snapshot, &names()).statements[0]);
    assert_eq!(effects, ["insert public.orders"]);
}

#[test]
fn the_planner_runs_what_is_not_volatile() {
    let with = |volatile: bool| {
        let mut builder = coded();
        builder.add_function(Function {
            oid: 30_000,
            schema: "public".into(),
            name: "sly".into(),
            volatile,
            body: Body::PlPgSql("BEGIN PERFORM cleans(); RETURN 1; END".into()),
            ..Function::default()
        });
        builder.build()
    };
    let effects = |snapshot: &Snapshot, sql: &str| shown(&classify(sql, snapshot, &names()).statements[0]);
    for sql in ["EXPLAIN SELECT sly()", "PREPARE p AS SELECT sly()"] {
        let deletes = |volatile| effects(&with(volatile), sql).contains(&"delete public.products".to_owned());
        assert!(deletes(false), "{sql}: what is marked IMMUTABLE or STABLE runs while planning");
        assert!(!deletes(true), "{sql}: what is VOLATILE does not");
    }
}

#[test]
fn names_in_a_body_are_the_callers_unless_it_sets_its_own() {
    let with = |settings: &[&str]| {
        let mut builder = coded();
        builder.schema("evil").table("evil.products", &["id"]);
        builder.add_function(Function {
            oid: 30_000,
            schema: "public".into(),
            name: "named".into(),
            body: Body::Sql("DELETE FROM products".into()),
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            ..Function::default()
        });
        builder.build()
    };
    let mut evil = names();
    evil.search_path.insert(1, "evil".into());
    let effects = |settings: &[&str]| shown(&classify("SELECT public.named()", &with(settings), &evil).statements[0]);
    assert_eq!(effects(&[]), ["call public.named()", "delete evil.products"]);
    assert_eq!(effects(&["search_path=pg_catalog, public"]), ["call public.named()", "delete public.products"]);
    assert_eq!(effects(&["work_mem=1MB", "search_path=public"]), ["call public.named()", "delete public.products"]);
    assert!(effects(&["search_path=\"$user\", public"]).contains(&"opaque".to_owned()), "a path that is not plain");
    assert!(effects(&["role=admin"]).contains(&"opaque".to_owned()), "a setting that is not harmless");
}

#[test]
fn only_functions_that_take_so_many_arguments_count() {
    let mut builder = coded();
    let two = |oid, arguments| Function {
        oid,
        schema: "public".into(),
        name: "lower".into(),
        arguments,
        ..Function::default()
    };
    builder.add_function(two(30_001, (2, Some(2))));
    let opaque = |snapshot: &Snapshot, sql: &str| {
        shown(&classify(sql, snapshot, &names()).statements[0]).iter().any(|effect| effect.starts_with("opaque"))
    };
    let snapshot = builder.build();
    assert!(!opaque(&snapshot, "SELECT lower('x')"), "it takes two");
    assert!(opaque(&snapshot, "SELECT lower('x', 'y')"));
    let mut builder = coded();
    builder.add_function(two(30_001, (1, None)));
    assert!(opaque(&builder.build(), "SELECT lower('a', 'b', 'c')"), "VARIADIC");
}

#[test]
fn operators_casts_and_types_do_what_their_functions_do() {
    let function = |builder: &mut Builder, body: Body| {
        builder.function_with("public.code", body);
        let oid = builder.oid_of("public.code");
        Code { note: "it calls public.code()".into(), function: oid }
    };
    let found = |build: &dyn Fn(&mut Builder, Code), body: &Body, sql: &str| {
        let mut builder = coded();
        let code = function(&mut builder, body.clone());
        build(&mut builder, code);
        shown(&classify(sql, &builder.build(), &names()).statements[0])
    };
    let harmless = plpgsql("RETURN true;");
    let writes = Body::Sql("DELETE FROM products".into());
    let operator = |b: &mut Builder, code: Code| {
        b.operator("public", "=", code);
    };
    let cast = |b: &mut Builder, code: Code| {
        b.cast(code);
    };
    let of_type = |b: &mut Builder, code: Code| {
        let facts =
            TypeFacts { schema: "public".into(), name: "odd".into(), hazards: vec![code], ..TypeFacts::default() };
        b.add_type(40_000, facts);
    };
    type Hang<'a> = &'a dyn Fn(&mut Builder, Code);
    let cases: [(Hang<'_>, &str); 3] =
        [(&operator, "SELECT 1 = 1"), (&cast, "SELECT lower('x')"), (&of_type, "SELECT 'x'::odd")];
    for (build, sql) in cases {
        assert_eq!(found(build, &harmless, sql), ["select"], "{sql}");
        assert_eq!(found(build, &writes, sql), ["delete public.products"], "{sql}");
        assert_eq!(found(build, &Body::Unseen, sql), ["opaque"], "{sql}");
    }
}

#[test]
fn a_missing_where_in_a_body_is_missing() {
    let snapshot = coded().build();
    let has_where = |sql: &str| classify(sql, &snapshot, &names()).statements[0].has_where;
    assert!(has_where("SELECT cleans()"));
    assert!(!has_where("SELECT cleans_all()"));
}

#[test]
fn a_short_text_does_not_have_a_long_body_read_again_and_again() {
    let mut builder = coded();
    builder.function_with("public.long", Body::Sql(format!("SELECT 1 WHERE 1 IN ({}1)", "1, ".repeat(100_000))));
    let snapshot = builder.build();
    let opaque = |s: &super::Statement| shown(s).iter().any(|effect| effect.starts_with("opaque"));
    let analysis = classify(&"SELECT long(); ".repeat(1_000), &snapshot, &names());
    assert!(!opaque(&analysis.statements[0]), "one is read");
    assert!(analysis.statements[20..].iter().all(opaque), "the many are not");
    assert!(!opaque(&classify("SELECT long()", &snapshot, &names()).statements[0]), "nor is that remembered");
    let analysis = classify(&"INSERT INTO logged VALUES (1); ".repeat(1_000), &snapshot, &names());
    assert!(!analysis.statements.iter().any(opaque), "a thousand rows with a trigger are ordinary");
}

#[test]
fn a_query_that_a_function_is_given_as_text_is_read() {
    check_coded(&[
        ("SELECT * FROM ts_stat('SELECT to_tsvector(status) FROM orders')", "select public.orders"),
        ("SELECT query_to_xml('SELECT cleans()', true, true, '')", "delete public.products"),
        ("SELECT query_to_xml('SELECT wipe(1)', true, true, '')", "opaque public.wipe()"),
        ("SELECT query_to_xml($$SELECT * FROM ts_stat('TABLE orders')$$, true, true, '')", "select public.orders"),
        ("SELECT query_to_xml(status, true, true, '') FROM orders", "opaque, select public.orders"),
        ("SELECT query_to_xml('SELEC', true, true, '')", "opaque"),
        ("SELECT query_to_xml('COMMIT', true, true, '')", "opaque, transaction"),
        ("SELECT ts_rewrite('a'::tsquery, 'b'::tsquery, 'c'::tsquery)", "select"),
        ("SELECT ts_rewrite('a'::tsquery, 'TABLE orders')", "opaque pg_catalog.ts_rewrite()"),
    ]);
    let snapshot = coded().build();
    let sql = "EXPLAIN SELECT query_to_xml('SELECT cleans()', true, true, '')";
    let planned = shown(&classify(sql, &snapshot, &names()).statements[0]);
    assert!(planned.contains(&"delete public.products".to_owned()), "it is STABLE, so that the planner may run it");
}
