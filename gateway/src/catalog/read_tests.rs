//! Reads the catalog of a real server, through `psql`.

use std::process::Command;

use super::{
    builtins,
    fresh::Catalog,
    read::{self, CatalogQuery},
};
use crate::statement::{
    classify::{Names, classify},
    effect::Action,
};

/// A server by its connection string. Each question is a connection of its own.
struct Psql(String);

const ABSENT: &str = "\u{1}absent";

impl Psql {
    fn of_environment() -> Self {
        Self(std::env::var("COUNTERSIGN_TEST_DATABASE").expect("COUNTERSIGN_TEST_DATABASE names a database"))
    }

    fn run(&self, sql: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-P", &format!("null={ABSENT}"), "-F", "\u{1f}", "-R", "\u{1e}"])
            .args(["-d", &self.0, "-c", read::PIN, "-c", sql])
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            String::from_utf8(output.stdout).map_err(|error| error.to_string())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

#[async_trait::async_trait]
impl CatalogQuery for Psql {
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let text = self.run(sql)?;
        let cell = |cell: &str| (cell != ABSENT).then(|| cell.to_owned());
        let rows = text.trim_end_matches('\n').split('\u{1e}').filter(|row| !row.is_empty());
        Ok(rows.map(|row| row.split('\u{1f}').map(cell).collect()).collect())
    }
}

/// Effects in short, without those on plain `select`.
fn beyond_reading(snapshot: &super::Snapshot, sql: &str) -> Vec<String> {
    let names = Names { search_path: vec!["pg_catalog".into(), "public".into()], ..Names::default() };
    let analysis = classify(sql, snapshot, &names);
    let statement = &analysis.statements[0];
    let effects = statement.effects.iter().filter(|effect| effect.action != Action::Select);
    effects
        .map(|effect| format!("{} {}", effect.action, effect.object.display("x")))
        .chain(statement.notes.clone())
        .collect()
}

const SHOP: &str = include_str!("read_tests.sql");

#[tokio::test]
#[ignore = "needs a server: COUNTERSIGN_TEST_DATABASE='host=… dbname=…' cargo test catalog:: -- --ignored"]
async fn a_real_catalog_is_read_and_kept_fresh() {
    let mut server = Psql::of_environment();
    server.run(&format!("SET search_path TO public; {SHOP}")).expect("the shop is made");
    let catalog = Catalog::new();
    assert_eq!(catalog.refresh(&mut server).await, Ok(true), "the first is read");
    assert_eq!(catalog.refresh(&mut server).await, Ok(false), "nothing has changed");
    let snapshot = catalog.current().expect("it was read");

    let harmless = [
        "SELECT * FROM open_orders",
        "SELECT * FROM customers WHERE id + 1 > 2",
        "SELECT lower(name) FROM customers",
        "SELECT similarity('a', 'b')",
        "SELECT * FROM cit",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM information_schema.columns",
        "SELECT span('a', 'b'), s * span_multirange(span('a', 'b')) FROM spans",
        "SELECT regnamespace('public')",
        "SELECT * FROM sly_column",
    ];
    for sql in harmless {
        assert_eq!(beyond_reading(&snapshot, sql), Vec::<String>::new(), "{sql}");
    }
    let contains = [
        ("UPDATE orders SET status = 'x' WHERE id > 1", "public.log_change: it runs a statement that it puts together"),
        ("DELETE FROM customers WHERE id > 1", "delete Table::\"x/public.orders\""),
        ("DELETE FROM oddities WHERE id = 1", "the check of type public.odd"),
        ("SELECT * FROM oddities", "the check of type public.odd"),
        ("SELECT * FROM usescomp", "the check of type public.odd"),
        ("INSERT INTO events VALUES (1, now())", "public.log_change: it runs"),
        ("SELECT name OPERATOR(hidden.=) 'x' FROM customers", "public.evil: it runs"),
        ("SELECT 'x'::odd", "the check of type public.odd"),
        ("SELECT evil('a', 'b')", "public.evil: it runs"),
        ("SELECT * FROM guarded", "the policy guard"),
        ("SELECT odd_span('a', 'b')", "the check of type public.odd"),
        ("SELECT * FROM sly_check", "the check sly_check_id_check"),
        ("SELECT * FROM sly_statistics", "the statistics sly_s"),
        ("SELECT * FROM sly_index", "an index predicate"),
        ("INSERT INTO late VALUES (1)", "trigger t calls public.trace_all()"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT open_count()", "when its rows are fetched"),
        ("INSERT INTO computed VALUES (1)", "an index expression"),
        ("DROP INDEX computed_index", "alter Table::\"x/public.computed\""),
    ];
    for (sql, expected) in contains {
        let found = beyond_reading(&snapshot, sql);
        assert!(found.iter().any(|line| line.contains(expected)), "{sql}: {found:?}");
    }
    let exactly: [(&str, &[&str]); 12] = [
        ("INSERT INTO late_fixed VALUES (1)", &["insert public.late_fixed", "insert public.trail"]),
        ("DELETE FROM traced WHERE id = 1", &["delete public.traced", "insert public.trail"]),
        ("DELETE FROM traced_all WHERE id = 1", &["delete public.traced_all", "insert public.trail"]),
        ("DELETE FROM kept WHERE id = 1", &["delete public.kept", "update public.kept"]),
        ("SELECT open_count()", &["call public.open_count"]),
        ("SELECT resolved(1)", &["call public.resolved"]),
        ("CALL close_all(1)", &["call public.close_all", "opaque", "update public.orders"]),
        ("SELECT biggest(id) FROM orders", &["call public.biggest"]),
        ("SELECT biggest_own(id) FROM orders", &["call public.biggest_own"]),
        ("SELECT 1 === '1'", &[]),
        ("INSERT INTO twice (id) VALUES (1)", &["insert public.twice"]),
        ("DO 'begin delete from traced where id = 1; end'", &["delete public.traced", "insert public.trail"]),
    ];
    for (sql, expected) in exactly {
        let found =
            beyond_reading(&snapshot, sql).into_iter().filter(|line| !line.contains(':') || line.contains("::"));
        let found: Vec<String> = found
            .map(|line| {
                line.replace("Table::\"x/", "")
                    .replace("Function::\"x/", "")
                    .replace("Connection::\"x", "")
                    .replace('"', "")
            })
            .map(|line| line.trim().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(found, expected, "{sql}");
    }
    assert_eq!(
        beyond_reading(&snapshot, "INSERT INTO customers (name) VALUES ('x')"),
        ["insert Table::\"x/public.customers\""]
    );

    server.run("ALTER TABLE public.customers ALTER name SET DEFAULT 'y'").expect("a default changes");
    assert_eq!(catalog.refresh(&mut server).await, Ok(true), "a changed default shows");
    server
        .run("CREATE OR REPLACE FUNCTION public.evil(text, text) RETURNS bool LANGUAGE sql AS 'select false'")
        .expect("a body changes");
    assert_eq!(catalog.refresh(&mut server).await, Ok(true), "a changed body shows");

    let before = catalog.current().expect("it was read");
    server.run("GRANT USAGE ON SCHEMA hidden TO PUBLIC").expect("a right is given");
    assert_eq!(catalog.refresh(&mut server).await, Ok(true), "a right to a schema shows");
    let now = catalog.current().expect("it was read");
    assert!(!before.has_same_schemas(&now), "what a search path finds may be another");

    assert!(catalog.refresh(&mut Psql("host=/nowhere".into())).await.is_err());
    assert!(catalog.current().is_none(), "what can't be read is not known");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL 15 server: COUNTERSIGN_TEST_DATABASE='host=… dbname=…' cargo test catalog:: -- --ignored"]
async fn the_list_of_harmless_functions_is_what_the_server_gives() {
    let mut server = Psql::of_environment();
    let rows = server.rows(include_str!("builtins/regenerate.sql")).await.expect("the server answers");
    let given: std::collections::BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
    let listed = include_str!("builtins/harmless.txt").lines().filter(|line| !line.starts_with('#'));
    let listed: std::collections::BTreeSet<String> = listed.map(str::to_owned).collect();
    assert!(given.len() > 1_000);
    let differ: Vec<_> = given.symmetric_difference(&listed).collect();
    assert!(differ.is_empty(), "{differ:?}");
    assert!(given.iter().all(|name| builtins::is_harmless(name)));
}
