//! What stands in the catalog and runs for a statement that only reads: by the planner, by a policy,
//! by a view.

use super::{
    Names, classify,
    tests::{names, shop_builder, shown},
};
use crate::catalog::{Body, Code, Events, Function, Snapshot};

const CHECK: &str = "the check positive";

fn with(on: Events, what: &str, text: &str) -> Snapshot {
    let mut builder = shop_builder();
    builder.table("public.kept", &["id", "name"]).expression("public.kept", on, what, text);
    // It says that it is immutable.
    builder.add_function(Function {
        oid: 18_100,
        schema: "public".into(),
        name: "sly".into(),
        language: "plpgsql".into(),
        arguments: (1, Some(1)),
        ..Function::default()
    });
    builder.build()
}

#[test]
fn the_planner_runs_what_has_constants_and_nothing_that_waits_for_rows() {
    let table = [
        (CHECK, "public.sly(5)", true, "a constant"),
        (CHECK, "(id > public.sly(5))", true, "a constant beside a column"),
        (CHECK, "public.sly(NULL::integer)", true, "nothing is a constant too"),
        (CHECK, "public.sly((1 + 2))", true, "what comes to a constant"),
        (CHECK, "(public.sly(id) > 0)", false, "a column waits for rows"),
        (CHECK, "(lower(name) <> 'x'::text)", false, "the server's own do no more than compute"),
        (CHECK, "(public.refund(id) > 0)", true, "one in SQL may be written out in place of its call"),
        (CHECK, "(name ~ (CURRENT_USER)::text)", false, "no function of the database"),
        (CHECK, "CASE WHEN (id > 0) THEN public.sly(5) ELSE 1 END", true, "a part that is not looked into"),
        (CHECK, "(public.wipe(5) > id)", false, "one that is called volatile waits for rows"),
        ("an index predicate", "public.sly(5)", true, "an index is planned with"),
        ("an index expression", "public.sly(id)", false, "and waits for rows too"),
        ("the partition key", "public.sly(1)", true, "partitions are chosen by it"),
        ("the statistics s", "public.sly(1)", true, "statistics are looked up by it"),
        ("the default of id", "public.sly(1)", false, "a default is for INSERT"),
    ];
    for (what, text, runs, why) in table {
        let on = if what.contains("statistics") { Events::default() } else { Events::STORE };
        let snapshot = with(on, what, text);
        for sql in ["SELECT id FROM kept", "DELETE FROM kept WHERE id = 1", "EXPLAIN SELECT id FROM kept"] {
            let found = shown(&classify(sql, &snapshot, &names()).statements[0]).join(" ");
            // `CASE` is not looked into, so that it counts; the function in it is what is opaque.
            assert_eq!(found.contains("opaque"), runs, "{sql}: {what} {text}: {why}: {found}");
        }
        let truncate = shown(&classify("TRUNCATE kept", &snapshot, &names()).statements[0]).join(" ");
        assert!(!truncate.contains("opaque"), "nothing is planned: {truncate}");
    }
}

#[test]
fn a_sequence_that_a_policy_moves_is_written_to() {
    let nextval = "(id < nextval('public.orders_id_seq'::regclass))";
    let table = [
        (Events::ANY, "the policy p", nextval, "SELECT id FROM kept", true, "whoever reads moves it"),
        (Events::STORE, CHECK, nextval, "INSERT INTO kept VALUES (1)", true, "whoever writes moves it"),
        (Events::STORE, CHECK, nextval, "SELECT id FROM kept", false, "the planner runs nothing volatile"),
        (
            Events::STORE,
            "the default of id",
            "nextval('public.orders_id_seq'::regclass)",
            "INSERT INTO kept VALUES (1)",
            false,
            "a default's belongs to the INSERT",
        ),
    ];
    for (on, what, text, sql, moves, why) in table {
        let found = shown(&classify(sql, &with(on, what, text), &names()).statements[0]).join(" ");
        assert_eq!(found.contains("orders_id_seq"), moves, "{sql}: {what}: {why}: {found}");
    }
}

#[test]
fn a_view_over_a_trusted_function_in_sql_follows_the_path_of_each_session() {
    let mut builder = shop_builder();
    let body = Body::Sql("SELECT $1 OPERATOR(pg_catalog.||) 'x' = 'y'".to_owned());
    builder.view("public.folded", "SELECT public.replace(o.status) AS s FROM public.orders o");
    builder.add_function(Function {
        oid: 18_101,
        schema: "public".into(),
        name: "replace".into(),
        language: "sql".into(),
        extension: Some("citext".into()),
        arguments: (1, Some(1)),
        body,
        ..Function::default()
    });
    builder.operator("evil", "=", Code::unseen("the operator = calls evil.spy()"));
    let snapshot = builder.build();
    let under = |path: &[&str]| Names { search_path: path.iter().map(|s| (*s).to_owned()).collect(), ..names() };
    let table = [
        (&["pg_catalog", "public"][..], false, "the server's own come first"),
        (&["evil", "pg_catalog", "public"], true, "somebody's come before them"),
        (&["pg_catalog", "evil", "public"], false, "it is the server's that is found"),
        (&["evil", "public"], false, "unlisted, the server's come first"),
    ];
    for (path, is_opaque, why) in table {
        let found = shown(&classify("SELECT s FROM folded", &snapshot, &under(path)).statements[0]).join(" ");
        assert_eq!(found.contains("opaque"), is_opaque, "{path:?}: {why}: {found}");
    }
}
