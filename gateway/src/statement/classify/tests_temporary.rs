//! What is temporary: made, it must be plain; used, it does what it stands on does by now. And upkeep, which
//! runs code as well.

use super::{Names, classify, tests::*};
use crate::catalog::{
    Body, Code, Events, Kind, Snapshot, Temporary,
    builder::Builder,
    temporary::{Named, Needs},
};

/// A type of the session's own, which no snapshot has.
const UNKNOWN_TYPE: u32 = 99_999;

fn plpgsql(body: &str) -> Body {
    Body::PlPgSql(format!("BEGIN {body} END"))
}

fn coded() -> Builder {
    let mut b = shop_builder();
    b.function_with("public.plain", plpgsql("RETURN 1;"))
        .function_with("public.cleans", plpgsql("DELETE FROM public.notes WHERE id = 1; RETURN 1;"))
        .view("public.cleaning", "SELECT public.cleans() AS c");
    for (operator, function) in [("@@@", "public.plain"), ("###", "public.cleans")] {
        let function = b.oid_of(function);
        b.operator("public", operator, Code { note: format!("the operator {operator}"), function });
    }
    b.table("public.kept_up", &["id"])
        .table("public.kept_up_part", &["id"])
        .table("public.only_checked", &["id"])
        .child("public.kept_up_part", "public.kept_up")
        .expression("public.kept_up_part", Events::STORE, "an index expression", "public.cleans()")
        .expression("public.only_checked", Events::STORE, "the check c", "public.cleans()")
        .expression("public.only_checked", Events::STORE, "the default of id", "public.wipe(1)")
        .other("public.kept_up_index", Kind::Index)
        .other("public.made_anew", Kind::Materialized);
    if let Some(index) = b.get("public", "kept_up_index") {
        index.of = Some(("public".to_owned(), "kept_up_part".to_owned()));
    }
    if let Some(view) = b.get("public", "made_anew") {
        view.definition = Some("SELECT public.cleans() AS c FROM public.orders o".to_owned());
    }
    b
}

fn needs(functions: &[(u32, &str)], relations: &[Named]) -> Needs {
    Needs {
        functions: functions.iter().map(|(oid, name)| (*oid, (*name).to_owned())).collect(),
        relations: relations.iter().cloned().collect(),
        ..Needs::default()
    }
}

/// A session with something of everything.
fn session(b: &mut Builder) -> Names {
    let (plain, cleans) = (b.oid_of("public.plain").unwrap_or(0), b.oid_of("public.cleans").unwrap_or(0));
    let mut named = |schema: &str, name: &str| {
        let oid = b.get(schema, name).map_or(0, |relation| relation.oid);
        Named { oid, schema: schema.to_owned(), name: name.to_owned(), is_sequence: name.ends_with("_seq") }
    };
    let (orders, cleaning, sequence) =
        (named("public", "orders"), named("public", "cleaning"), named("public", "orders_id_seq"));
    let products = named("public", "products").oid;
    let other_orders = Named { oid: 1, ..orders.clone() };
    let below = Named { schema: "pg_temp_3".to_owned(), name: "v_cleans".to_owned(), ..Named::default() };
    let operators =
        |operator: &str| Needs { operators: [("public".to_owned(), operator.to_owned())].into(), ..Needs::default() };
    let view = |runs: Needs| Temporary { acts: true, runs, ..Temporary::default() };
    let table = Temporary::default;
    let all = [
        ("scratch", table()),
        ("v_plain", view(needs(&[(plain, "plain"), (870, "lower")], &[]))),
        ("v_cleans", view(needs(&[(cleans, "cleans")], &[]))),
        ("v_gone", view(needs(&[(77_777, "gone")], &[]))),
        ("v_below", view(needs(&[], &[below]))),
        ("v_orders", view(needs(&[], &[orders]))),
        ("v_other", view(needs(&[], &[other_orders]))),
        ("v_cleaning", view(needs(&[], &[cleaning]))),
        ("v_moves", view(needs(&[(1_574, "nextval")], std::slice::from_ref(&sequence)))),
        ("v_moves_any", view(needs(&[(1_574, "nextval")], &[]))),
        ("v_path", view(needs(&[(2_078, "set_config")], &[]))),
        ("v_locks", view(Needs { locks: true, ..Needs::default() })),
        ("v_operator", view(operators("@@@"))),
        ("v_cleaning_operator", view(operators("###"))),
        ("typed", Temporary { types: [EMAIL_TYPE].into(), ..table() }),
        ("typed_own", Temporary { types: [UNKNOWN_TYPE].into(), ..table() }),
        ("defaulted", Temporary { defaults: needs(&[(cleans, "cleans")], &[]), ..table() }),
        ("like_serial", Temporary { defaults: needs(&[(1_574, "nextval")], &[sequence]), ..table() }),
        ("parted", table()),
        ("far", Temporary { is_foreign: true, ..table() }),
        ("kid", Temporary { parents: [products].into(), runs: needs(&[(cleans, "cleans")], &[]), ..table() }),
    ];
    let mut names = names();
    names.temporary =
        (50_000..).zip(all).map(|(oid, (name, made))| (name.to_owned(), Temporary { oid, ..made })).collect();
    let parted = names.temporary["parted"].oid;
    if let Some(far) = names.temporary.get_mut("far") {
        far.parents.insert(parted);
    }
    names.temporary_types =
        ["scratch", "_scratch", "typed", "typed_own", "odd_temp", "_odd_temp"].map(str::to_owned).into();
    names
}

fn effects(sql: &str, snapshot: &Snapshot, names: &Names) -> String {
    let analysis = classify(sql, snapshot, names);
    let shown: Vec<String> = analysis.statements.iter().map(|statement| shown(statement).join(", ")).collect();
    shown.join("; ")
}

/// The effects, sorted, or only `opaque` where that is among them.
fn check(names: &Names, snapshot: &Snapshot, cases: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        let found = effects(sql, snapshot, names);
        let is_opaque = found.split(", ").any(|effect| effect.starts_with("opaque"));
        if if *expected == "opaque" { !is_opaque } else { found != *expected } {
            wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_is_made_temporary_and_calls_code_is_opaque() {
    let mut b = coded();
    let (names, snapshot) = (session(&mut b), b.build());
    let cases = [
        "CREATE TEMP VIEW v AS SELECT plain()",
        "CREATE TEMP VIEW v AS SELECT * FROM orders WHERE id = plain()",
        "CREATE TEMP VIEW v AS SELECT 1 @@@ 2",
        "CREATE TEMP VIEW v AS SELECT set_config('search_path', 'evil', true)",
        "CREATE TEMP VIEW v AS SELECT query_to_xml('SELECT * FROM orders', true, true, '')",
        "CREATE TEMP VIEW v AS SELECT * FROM orders FOR UPDATE",
        "CREATE TEMP TABLE t (x int DEFAULT plain())",
        "CREATE TEMP TABLE t (x int DEFAULT 1 @@@ 2)",
        "CREATE TEMP TABLE t (x int, CHECK (plain(x) > 0))",
        "CREATE TEMP TABLE t (x int) PARTITION BY RANGE (plain(x))",
        "CREATE TEMP TABLE t (x int) PARTITION BY RANGE (x pg_temp.oc)",
        "CREATE TEMP TABLE t (x email)",
        "CREATE TEMP TABLE t () INHERITS (only_checked)",
        "CREATE TEMP TABLE t (LIKE only_checked INCLUDING CONSTRAINTS)",
        "CREATE INDEX ON scratch (plain(id))",
        "CREATE INDEX ON scratch (id pg_temp.oc)",
        "ALTER TABLE scratch ADD COLUMN x int DEFAULT plain()",
        "CREATE OPERATOR pg_temp.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = plain)",
        "CREATE OPERATOR CLASS pg_temp.oc FOR TYPE int USING btree AS FUNCTION 1 plain(int, int)",
        "CREATE TYPE pg_temp.c AS (x int)",
        "CREATE TYPE pg_temp.r AS RANGE (SUBTYPE = int8)",
        "CREATE TYPE pg_temp.e AS ENUM ('a')",
        "CREATE TYPE pg_temp.b",
        "CREATE DOMAIN pg_temp.d AS int",
        "CREATE FOREIGN TABLE pg_temp.f (id int) SERVER s",
        "CREATE FOREIGN TABLE pg_temp.f PARTITION OF parted DEFAULT SERVER s",
        "SELECT 1 OPERATOR(pg_temp.===) 2",
        "SELECT 1 OPERATOR(pg_temp_3.===) 2",
        "SELECT 1 WHERE 1 OPERATOR(pg_temp.=) ANY (ARRAY[1])",
        "SELECT id FROM orders ORDER BY id USING OPERATOR(pg_temp.<)",
        "SELECT 'x'::odd_temp",
        "SELECT '{x}'::odd_temp[]",
        "SELECT '{x}'::_odd_temp",
        "SELECT ('x'::text).odd_temp",
        "SELECT '(x)'::typed_own",
    ];
    check(&names, &snapshot, &cases.map(|sql| (sql, "opaque")));
}

#[test]
fn ordinary_temporary_things_are_temporary_alone() {
    let mut b = coded();
    let (names, snapshot) = (session(&mut b), b.build());
    check(
        &names,
        &snapshot,
        &[
            (
                "CREATE TEMP TABLE t (id serial PRIMARY KEY, at timestamptz DEFAULT now(), n int DEFAULT 1 CHECK (n > 0))",
                "temp pg_temp.t",
            ),
            ("CREATE TEMP TABLE t (id int) PARTITION BY RANGE (id)", "temp pg_temp.t"),
            ("CREATE TEMP TABLE t AS SELECT lower(status) FROM orders", "select public.orders, temp pg_temp.t"),
            ("CREATE TEMP TABLE t (LIKE plain_default INCLUDING ALL)", "select public.plain_default, temp pg_temp.t"),
            ("CREATE TEMP TABLE t (LIKE strange_default)", "select public.strange_default, temp pg_temp.t"),
            ("CREATE INDEX ON scratch (lower(id)) WHERE id <> 'a'", "temp pg_temp.scratch"),
            ("ALTER TABLE scratch ADD COLUMN x int DEFAULT 1", "temp pg_temp.scratch"),
            ("INSERT INTO scratch VALUES (1)", "temp pg_temp.scratch"),
            ("TRUNCATE scratch", "temp pg_temp.scratch"),
            ("SELECT 's'::scratch, 1::int, 'x'::text", "select"),
            ("CREATE TEMP VIEW v AS SELECT lower(status) FROM orders", "create, select public.orders, temp pg_temp.v"),
        ],
    );
}

#[test]
fn what_goes_to_the_temporary_schema_by_the_path_is_temporary() {
    let mut b = coded();
    let mut names = session(&mut b);
    let snapshot = b.build();
    names.search_path = ["pg_temp_3", "pg_catalog", "public"].map(str::to_owned).into();
    // The server looks there first in every session that has one, and makes things elsewhere.
    check(
        &names,
        &snapshot,
        &[
            ("CREATE TABLE t (x int)", "create public.t"),
            ("CREATE VIEW v AS SELECT plain()", "call public.plain(), create public.v"),
            ("CREATE TYPE c AS (x int)", "create"),
        ],
    );
    for creates_in in [Some("pg_temp_3".to_owned()), None] {
        names.creates_in = creates_in;
        check(
            &names,
            &snapshot,
            &[
                ("CREATE TABLE t (x int)", "temp pg_temp.t"),
                ("CREATE TABLE t AS SELECT 1", "temp pg_temp.t"),
                ("CREATE VIEW v AS SELECT id FROM orders", "create, select public.orders, temp pg_temp.v"),
                ("CREATE VIEW v AS SELECT plain()", "opaque"),
                ("CREATE TABLE t (x int DEFAULT plain())", "opaque"),
                ("CREATE TYPE c AS (x int)", "opaque"),
                ("CREATE TYPE r AS RANGE (SUBTYPE = int8)", "opaque"),
                ("CREATE DOMAIN d AS int", "opaque"),
                ("CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = plain)", "opaque"),
                ("CREATE FOREIGN TABLE f (id int) SERVER s", "opaque"),
                ("CREATE TABLE public.t (x int)", "create public.t"),
            ],
        );
    }
}

#[test]
fn what_is_temporary_does_what_it_stands_on_does() {
    let mut b = coded();
    let (names, snapshot) = (session(&mut b), b.build());
    check(
        &names,
        &snapshot,
        &[
            ("SELECT * FROM v_plain", "temp pg_temp.v_plain"),
            ("SELECT * FROM v_cleans", "delete public.notes, temp pg_temp.v_cleans"),
            ("SELECT * FROM pg_temp.v_cleans", "delete public.notes, temp pg_temp.v_cleans"),
            ("SELECT * FROM v_below", "delete public.notes, temp pg_temp.v_below"),
            ("COPY v_cleans TO STDOUT", "copy_out pg_temp.v_cleans, delete public.notes, temp pg_temp.v_cleans"),
            ("DO $$ BEGIN PERFORM * FROM v_cleans; END $$", "delete public.notes, temp pg_temp.v_cleans"),
            ("SELECT * FROM v_orders", "select public.orders, temp pg_temp.v_orders"),
            ("SELECT * FROM v_cleaning", "delete public.notes, select public.cleaning, temp pg_temp.v_cleaning"),
            ("SELECT * FROM v_moves", "temp pg_temp.v_moves, update public.orders_id_seq"),
            ("SELECT * FROM v_operator", "temp pg_temp.v_operator"),
            ("SELECT * FROM v_cleaning_operator", "delete public.notes, temp pg_temp.v_cleaning_operator"),
            ("SELECT * FROM v_gone", "opaque"),
            ("SELECT * FROM v_other", "opaque"),
            ("SELECT * FROM v_moves_any", "opaque"),
            ("SELECT * FROM v_path", "opaque"),
            ("SELECT * FROM v_locks", "opaque"),
            ("UPDATE v_plain SET x = 1", "opaque"),
            ("SELECT * FROM typed", "opaque"),
            ("SELECT * FROM typed_own", "opaque"),
            ("DO $$ DECLARE r typed%ROWTYPE; BEGIN NULL; END $$", "opaque"),
            ("SELECT '(x)'::typed", "opaque"),
            ("SELECT * FROM defaulted", "temp pg_temp.defaulted"),
            ("INSERT INTO defaulted VALUES (1)", "delete public.notes, temp pg_temp.defaulted"),
            ("SELECT * FROM like_serial", "temp pg_temp.like_serial"),
            ("INSERT INTO like_serial VALUES (1)", "temp pg_temp.like_serial, update public.orders_id_seq"),
            ("SELECT * FROM far", "opaque"),
            ("DELETE FROM parted", "opaque"),
            ("SELECT * FROM products", "delete public.notes, select public.products"),
            ("UPDATE products SET id = 1", "delete public.notes, update public.products"),
            ("ANALYZE v_cleans", "delete public.notes, maintain pg_temp.v_cleans"),
        ],
    );
    // Another session has no children of that table.
    check(&super::tests::names(), &snapshot, &[("SELECT * FROM products", "select public.products")]);
    check(&names, &snapshot, &[("SELECT * FROM products", "delete public.notes, select public.products")]);
}

#[test]
fn upkeep_does_what_indexes_statistics_and_queries_do() {
    let snapshot = coded().build();
    check(
        &names(),
        &snapshot,
        &[
            ("ANALYZE kept_up", "delete public.notes, maintain public.kept_up"),
            ("VACUUM ANALYZE kept_up_part", "delete public.notes, maintain public.kept_up_part"),
            ("REINDEX TABLE kept_up_part", "delete public.notes, maintain public.kept_up_part"),
            ("REINDEX INDEX kept_up_index", "delete public.notes, maintain public.kept_up_index"),
            ("CLUSTER kept_up_part USING kept_up_index", "delete public.notes, maintain public.kept_up_part"),
            ("VACUUM", "delete public.notes, maintain"),
            ("ANALYZE", "delete public.notes, maintain"),
            ("CLUSTER", "delete public.notes, maintain"),
            ("REINDEX SCHEMA public", "delete public.notes, maintain"),
            ("REINDEX DATABASE shop", "delete public.notes, maintain"),
            ("REINDEX SCHEMA archive", "maintain"),
            ("ANALYZE only_checked", "maintain public.only_checked"),
            ("ANALYZE elsewhere", "opaque"),
            ("REFRESH MATERIALIZED VIEW made_anew", "delete public.notes, maintain public.made_anew"),
            ("REFRESH MATERIALIZED VIEW daily", "maintain public.daily"),
        ],
    );
}
