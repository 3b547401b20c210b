//! What statements write, and from what; and that none is too large to be read.

use std::time::Instant;

use super::tests::{check, columns, told};

#[test]
fn writes_name_what_they_write_and_what_it_is_made_of() {
    check(&[
        ("INSERT INTO o (note) VALUES ('x')", "w: o.note", "one column"),
        ("INSERT INTO o VALUES (1, 2)", "w: o.c_id o.id o.note o.total", "all, those left out included"),
        ("INSERT INTO o DEFAULT VALUES", "w: o.c_id o.id o.note o.total", "all by default"),
        ("INSERT INTO o (note) SELECT ssn FROM c WHERE id = 1", "p: c.id s: c.ssn w: o.note", "from a query"),
        ("INSERT INTO o SELECT * FROM c", "s: c.email c.id c.name c.ssn w: o.c_id o.id o.note o.total", "from a star"),
        (
            "INSERT INTO o (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = excluded.note || o.note WHERE o.total > 1",
            "p: o.id o.total s: o.note w: o.id o.note",
            "ON CONFLICT",
        ),
        (
            "INSERT INTO o (id, note) SELECT id, ssn FROM c ON CONFLICT (id) DO UPDATE SET total = length(excluded.note)",
            "p: o.id s: c.id c.ssn o.note w: o.id o.note o.total",
            "excluded holds what was to be written",
        ),
        (
            "UPDATE o SET note = 'x', total = total + 1 WHERE c_id = 1",
            "p: o.c_id s: o.total w: o.note o.total",
            "UPDATE",
        ),
        ("UPDATE o SET note = ssn FROM c WHERE c.id = c_id", "p: c.id o.c_id s: c.ssn w: o.note", "UPDATE FROM"),
        ("UPDATE o SET (note, total) = (SELECT ssn, id FROM c)", "s: c.id c.ssn w: o.note o.total", "several at once"),
        ("UPDATE o SET note[id] = 'x'", "s: o.id w: o.note", "an element"),
        ("DELETE FROM o USING c WHERE c.id = o.c_id AND ssn = '1'", "p: c.id c.ssn o.c_id", "DELETE USING"),
        ("DELETE FROM o RETURNING note", "o: o.note", "RETURNING"),
        (
            "INSERT INTO o (note) SELECT ssn FROM c RETURNING note",
            "o: c.ssn o.note s: c.ssn w: o.note",
            "what was written comes back",
        ),
        (
            "UPDATE o SET note = c.ssn FROM c RETURNING new.note, old.note",
            "o: c.ssn o.note s: c.ssn w: o.note",
            "old and new",
        ),
        (
            "MERGE INTO o USING c ON o.c_id = c.id WHEN MATCHED AND ssn = '1' THEN UPDATE SET note = email WHEN NOT MATCHED THEN INSERT (id, note) VALUES (c.id, name)",
            "p: c.id c.ssn o.c_id s: c.email c.id c.name w: o.id o.note",
            "MERGE",
        ),
        ("MERGE INTO o USING c ON o.c_id = c.id WHEN MATCHED THEN DELETE", "p: c.id o.c_id", "a MERGE that deletes"),
        ("WITH d AS (DELETE FROM o RETURNING note) SELECT note FROM d", "o: o.note", "a write in WITH"),
        (
            "WITH d AS (UPDATE o SET note = ssn FROM c RETURNING 1) SELECT 1",
            "s: c.ssn w: o.note",
            "one that nobody reads",
        ),
        ("COPY c TO STDOUT", "o: c.email c.id c.name c.ssn", "COPY TO"),
        ("COPY (SELECT ssn FROM c WHERE id = 1) TO STDOUT", "o: c.ssn p: c.id", "COPY of a query"),
        ("COPY c (id, email) FROM STDIN WHERE id > 1", "p: c.id w: c.email c.id", "COPY FROM"),
        ("SELECT ssn INTO x FROM c", "s: c.ssn", "SELECT INTO writes it"),
        ("CREATE TABLE x AS SELECT ssn FROM c WHERE id = 1", "p: c.id s: c.ssn", "CREATE TABLE AS"),
        ("CREATE TEMP TABLE x AS SELECT ssn FROM c", "s: c.ssn", "into a temporary table"),
        ("CREATE VIEW x AS SELECT ssn FROM c", "s: c.ssn", "a view"),
        ("CREATE MATERIALIZED VIEW x AS SELECT ssn FROM c", "s: c.ssn", "a materialized view"),
        ("DECLARE k CURSOR FOR SELECT ssn FROM c", "o: c.ssn", "a cursor's rows are fetched later"),
        ("EXPLAIN ANALYZE SELECT ssn FROM c WHERE id = 1", "p: c.id c.ssn", "a plan counts rows"),
        ("PREPARE q AS SELECT ssn FROM c", "o: c.ssn", "PREPARE"),
        ("EXECUTE p (1)", "o: c.ssn p: c.id", "EXECUTE"),
        ("PREPARE q AS SELECT email FROM c; EXECUTE q", "o: c.email", "what the same text prepared"),
        ("LOCK TABLE c IN SHARE MODE", "", "no column"),
        ("TRUNCATE c", "", "rows go, no value is seen"),
        (
            "ALTER TABLE o ADD COLUMN x int",
            "o: o.c_id o.id o.note o.total p: o.c_id o.id o.note o.total s: o.c_id o.id o.note o.total",
            "what columns there are, and what becomes of them",
        ),
    ]);
}

#[test]
fn what_a_write_sets_off_counts_with_all_its_columns() {
    check(&[
        (
            "UPDATE watched SET id = 1",
            "o: watched.id watched.note p: watched.id watched.note s: watched.id watched.note w: audit.at audit.what watched.id",
            "a trigger has the whole row",
        ),
        ("DELETE FROM watched", "", "no trigger of its own"),
        ("UPDATE v SET mail = 'x'", "p: c.name w: c.email c.id c.name c.ssn", "through a view: all of its table"),
        ("SELECT nextval('o_id_seq')", "w: o_id_seq.*", "a sequence"),
    ]);
}

/// No text takes long, and none the stack: what is too much is in doubt.
#[test]
fn texts_made_to_be_large_end_soon() {
    let deep = |n: usize| format!("SELECT {}ssn{} FROM c", "(".repeat(n), ")".repeat(n));
    let nested = |n: usize| (0..n).fold("SELECT * FROM c".to_owned(), |q, at| format!("SELECT * FROM ({q}) x{at}"));
    let wide =
        |n: usize| format!("SELECT * FROM {}", (0..n).map(|at| format!("c x{at}")).collect::<Vec<_>>().join(", "));
    let joins = |n: usize| (1..n).fold("c x0".to_owned(), |q, at| format!("{q} JOIN c x{at} ON x{at}.id = x0.id"));
    let lateral = |n: usize| {
        (1..n).fold("c x0".to_owned(), |q, at| format!("{q} CROSS JOIN LATERAL (SELECT x0.id AS i{at}) x{at}"))
    };
    let doubling = |n: usize| {
        let queries: Vec<String> =
            (1..n).map(|at| format!("q{at} AS (SELECT a.*, b.* FROM q{} a, q{} b)", at - 1, at - 1)).collect();
        format!("WITH q0 AS (SELECT * FROM c), {} SELECT * FROM q{}", queries.join(", "), n - 1)
    };
    let recursive = |n: usize| {
        (0..n).fold("SELECT ssn AS k FROM c".to_owned(), |q, at| {
            format!("WITH RECURSIVE r{at} AS ({q} UNION ALL SELECT k FROM r{at}) SELECT k FROM r{at}")
        })
    };
    let texts = [
        ("parentheses", deep(5_000)),
        ("operators", format!("SELECT ssn{} FROM c", " || ssn".repeat(5_000))),
        ("sub-selects", nested(100)),
        ("a wide FROM", wide(2_000)),
        ("joins", format!("SELECT x1.ssn FROM {}", joins(600))),
        ("lateral joins", format!("SELECT x1.i1 FROM {}", lateral(400))),
        ("doubling", doubling(24)),
        ("recursion", recursive(8)),
        ("a long list", format!("SELECT id FROM c WHERE ssn IN ({}'')", "'x',".repeat(50_000))),
        ("statements", "SELECT ssn FROM c;".repeat(10_000)),
    ];
    for (what, sql) in texts {
        let begun = Instant::now();
        let found = columns(&sql);
        let took = begun.elapsed();
        // Without optimisation, on a machine that does other things.
        assert!(took.as_secs() < 30, "{what}: {took:?}");
        assert!(!found.used.is_empty() || !found.doubts.is_empty(), "{what}: {}", told(&found));
    }
}
