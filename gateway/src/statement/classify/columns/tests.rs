//! What queries use, by the way that each column takes to where it is used.

use std::fmt::Write as _;

use super::{Columns, Use, columns_of};
use crate::{
    catalog::{Body, Code, Column, Events, Kind, Snapshot, Temporary, TypeFacts, builder::Builder},
    statement::classify::{Names, classify},
};

pub(super) fn shop() -> Snapshot {
    let mut b = Builder::new();
    b.table("public.c", &["id", "name", "email", "ssn"])
        .table("public.o", &["id", "c_id", "total", "note"])
        .table("public.audit", &["at", "what"])
        .table("public.watched", &["id", "note"])
        .table("public.part", &["id", "secret"])
        .table("public.part_1", &["id", "secret"])
        .table("private.c", &["id", "pin"])
        .child("public.part_1", "public.part")
        .view("public.v", "SELECT c.id, c.email AS mail, lower(c.ssn) AS low FROM public.c WHERE (c.name <> 'x'::text)")
        .view("public.vv", "SELECT v.mail, o.total FROM (public.v JOIN public.o ON ((o.c_id = v.id)))")
        .other("public.copy", Kind::Materialized)
        .other("public.o_id_seq", Kind::Sequence)
        .system("pg_catalog.pg_class", Kind::Table)
        .function_with("public.peek", Body::Sql("SELECT pin FROM private.c".to_owned()))
        .function_with("public.say", Body::PlPgSql("begin raise notice '%', $1; return $1; end".to_owned()))
        .function_with(
            "public.log",
            Body::PlPgSql("begin insert into public.audit (what) values (new.note); return new; end".to_owned()),
        )
        .trigger("public.watched", Events::STORE, "public.log")
        .operator("public", "~~>", Code::unseen("the operator ~~> calls public.say()"));
    for (name, columns) in [("v", &["id", "mail", "low"][..]), ("vv", &["mail", "total"]), ("copy", &["id", "s"])] {
        let relation = b.get("public", name).expect("it was added");
        relation.columns = (1..)
            .zip(columns)
            .map(|(number, name)| Column {
                name: (*name).to_owned(),
                type_oid: 25,
                base_oid: 25,
                number,
                ..Column::default()
            })
            .collect();
    }
    b.get("public", "copy").expect("it was added").definition =
        Some("SELECT c.id, c.ssn AS s FROM public.c WHERE (c.name = 'x'::text)".to_owned());
    b.build()
}

pub(super) fn names() -> Names {
    let search_path = vec!["pg_catalog".to_owned(), "public".to_owned()];
    let prepared = [("p".to_owned(), "PREPARE p AS SELECT ssn FROM c WHERE id = $1".to_owned())].into();
    Names {
        search_path,
        temporary: [("scratch".to_owned(), Temporary::default())].into(),
        prepared,
        ..Names::default()
    }
}

pub(super) fn columns(sql: &str) -> Columns {
    let (snapshot, names) = (shop(), names());
    columns_of(sql, &classify(sql, &snapshot, &names), &snapshot, &names).pop().expect("there is a statement")
}

fn short(column: &super::Column) -> String {
    let schema = if column.schema == "public" { String::new() } else { format!("{}.", column.schema) };
    format!("{schema}{}.{}", column.table, column.name)
}

/// `o: c.id p: c.name s: - w: o.note`, leaving out what there is none of.
pub(super) fn told(columns: &Columns) -> String {
    let mut told = String::new();
    for (letter, role) in [("o", Use::Output), ("p", Use::Predicate), ("s", Use::Source)] {
        let fits = |used: &Use| *used == role || role == Use::Predicate && used.is_predicate();
        let used = columns.used.iter().filter(|(_, roles)| roles.iter().any(fits));
        let used: Vec<String> = used.map(|(column, _)| short(column)).collect();
        if !used.is_empty() {
            write!(told, "{letter}: {} ", used.join(" ")).unwrap();
        }
    }
    if !columns.written.is_empty() {
        let written: Vec<String> = columns.written.iter().map(short).collect();
        write!(told, "w: {} ", written.join(" ")).unwrap();
    }
    if !columns.doubts.is_empty() {
        told.push('?');
    }
    told.trim_end().to_owned()
}

/// `name=c.name! n=c.id,o.id ?=`: `!` is the column itself.
fn outputs(columns: &Columns) -> String {
    let Some(outputs) = &columns.outputs else { return "unknown".to_owned() };
    let output = |output: &super::Output| {
        let from: Vec<String> = output.from.iter().map(short).collect();
        let bare = if output.bare { "!" } else { "" };
        format!("{}={}{bare}", output.name.as_deref().unwrap_or("?"), from.join(","))
    };
    outputs.iter().map(output).collect::<Vec<_>>().join(" ")
}

pub(super) fn check(cases: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (sql, expected, why) in cases {
        let found = columns(sql);
        if told(&found) != *expected {
            wrong.push(format!(
                "{sql}\n  {why}\n  expected {expected}\n  found    {}\n  {:?}",
                told(&found),
                found.doubts
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_column_has_the_role_of_the_place_where_it_ends_up() {
    check(&[
        ("SELECT 1", "", "no column"),
        ("SELECT email FROM c WHERE id = 1", "o: c.email p: c.id", "a list and a WHERE"),
        ("SELECT c.email, o.total FROM c JOIN o ON o.c_id = c.id", "o: c.email o.total p: c.id o.c_id", "a join"),
        (
            "SELECT c.id FROM c, LATERAL (SELECT total FROM o WHERE o.c_id = c.id) x",
            "o: c.id p: c.id o.c_id",
            "LATERAL",
        ),
        ("SELECT name FROM c ORDER BY ssn", "o: c.name p: c.ssn", "an order tells values"),
        ("SELECT ssn AS x FROM c ORDER BY x", "o: c.ssn p: c.ssn", "an output by its name"),
        ("SELECT name, ssn FROM c ORDER BY 2", "o: c.name c.ssn p: c.ssn", "an output by its number"),
        ("SELECT count(*) FROM c GROUP BY email HAVING max(ssn) > 'x'", "p: c.email c.ssn", "groups"),
        ("SELECT email AS name FROM c GROUP BY name", "o: c.email p: c.email c.name", "a group by what both may mean"),
        ("SELECT email FROM c GROUP BY ROLLUP (email, name)", "o: c.email p: c.email c.name", "grouping sets"),
        ("SELECT max(ssn) FILTER (WHERE id > 1) FROM c", "o: c.ssn p: c.id", "an aggregate"),
        ("SELECT string_agg(name, ',' ORDER BY ssn) FROM c", "o: c.name p: c.ssn", "an aggregate's order"),
        ("SELECT count(DISTINCT ssn) FROM c", "o: c.ssn p: c.ssn", "an aggregate's DISTINCT"),
        ("SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY total) FROM o", "o: o.total p: o.total", "an ordered set"),
        ("SELECT rank() OVER (PARTITION BY name ORDER BY ssn) FROM c", "p: c.name c.ssn", "a window"),
        ("SELECT sum(total) OVER w FROM o WINDOW w AS (ORDER BY id)", "o: o.total p: o.id", "a window with a name"),
        ("SELECT DISTINCT email FROM c", "o: c.email p: c.email", "DISTINCT compares"),
        ("SELECT DISTINCT ON (name) id FROM c", "o: c.id p: c.name", "DISTINCT ON"),
        ("SELECT id FROM c LIMIT (SELECT max(total) FROM o)", "o: c.id p: o.total", "a LIMIT"),
        ("SELECT CASE WHEN ssn LIKE '1%' THEN name END FROM c", "o: c.name c.ssn", "a value that rests on a condition"),
        (
            "SELECT ssn::int, email COLLATE \"C\", name IS NULL, -id FROM c",
            "o: c.email c.id c.name c.ssn",
            "expressions",
        ),
        ("SELECT ARRAY[ssn], ROW(email), coalesce(name, 'x') FROM c", "o: c.email c.name c.ssn", "constructors"),
        ("SELECT xmlelement(name a, ssn), json_object('k': email) FROM c", "o: c.email c.ssn", "XML and JSON"),
        ("SELECT * FROM c", "o: c.email c.id c.name c.ssn", "a star"),
        ("SELECT o.* FROM c, o", "o: o.c_id o.id o.note o.total", "one's star"),
        ("TABLE o", "o: o.c_id o.id o.note o.total", "the same in a word"),
        ("SELECT c FROM c", "o: c.email c.id c.name c.ssn", "a whole row by its table"),
        ("SELECT row_to_json(x) FROM c x", "o: c.email c.id c.name c.ssn", "a whole row by its alias"),
        ("SELECT count(x.*) FROM c x", "o: c.email c.id c.name c.ssn", "the same with a star"),
        ("SELECT (c).email FROM c", "o: c.email", "a field of a whole row"),
        ("SELECT (c).* FROM c", "o: c.email c.id c.name c.ssn", "all of them"),
        ("SELECT public.c.email FROM c", "o: c.email", "with its schema"),
        ("SELECT ctid, tableoid FROM c", "", "nothing of the row"),
        ("SELECT x.b FROM c AS x (a, b)", "o: c.name", "columns that the alias renames"),
        ("SELECT id FROM c JOIN o USING (id)", "o: c.id o.id p: c.id o.id", "USING compares both and gives either"),
        ("SELECT j.total FROM (c JOIN o USING (id)) AS j", "o: o.total p: c.id o.id", "an alias of a join"),
        ("SELECT 1 FROM c NATURAL JOIN o", "p: c.id o.id", "NATURAL"),
        (
            "SELECT 1 FROM c NATURAL JOIN pg_class",
            "p: pg_catalog.pg_class.* c.email c.id c.name c.ssn",
            "with what is not known",
        ),
        (
            "SELECT relname FROM pg_class k WHERE k.oid = 1",
            "o: pg_catalog.pg_class.relname p: pg_catalog.pg_class.oid",
            "of the server's own",
        ),
        ("SELECT * FROM pg_class", "o: pg_catalog.pg_class.*", "its star"),
        ("SELECT * FROM generate_series(1, 3)", "", "no table"),
        ("SELECT u FROM c, unnest(string_to_array(email, '@')) u", "o: c.email", "a function in FROM"),
        (
            "SELECT x.a FROM c, jsonb_to_record(to_jsonb(c)) AS x (a int)",
            "o: c.email c.id c.name c.ssn",
            "one with its columns",
        ),
        ("SELECT id FROM c TABLESAMPLE system ((SELECT max(total) FROM o))", "o: c.id p: o.total", "a sample"),
        ("SELECT id FROM c FOR UPDATE", "o: c.id", "locks"),
        ("SELECT 1; SELECT ssn FROM c", "o: c.ssn", "the last of two"),
    ]);
}

#[test]
fn values_are_told_to_a_comparison_of_the_databases_own() {
    let of = |builder: &mut Builder| {
        let sql = "SELECT ARRAY[email] < ARRAY['x'] FROM c";
        let (snapshot, names) = (builder.table("public.c", &["id", "email"]).build(), names());
        told(&columns_of(sql, &classify(sql, &snapshot, &names), &snapshot, &names).pop().expect("a statement"))
    };
    let compares = Code::unseen("the comparison of text calls public.f()");
    assert_ne!(of(&mut Builder::new()), of(Builder::new().cast(compares)));
}

#[test]
fn a_value_in_a_word_of_the_newest_grammar_goes_to_whatever_is_called_so() {
    let source = |sql: &str, typed: bool| {
        let mut builder = Builder::new();
        builder.table("public.c", &["id", "email"]);
        builder.function_with("public.say", Body::Sql("INSERT INTO public.c VALUES (1)".to_owned()));
        if typed {
            let checks = vec!["public.say(VALUE)".to_owned()];
            for (oid, name) in (20_001..).zip(["json", "json_scalar", "json_serialize", "json_array", "json_arrayagg"])
            {
                let (schema, name, checks) = ("public".to_owned(), name.to_owned(), checks.clone());
                builder.add_type(oid, TypeFacts { schema, name, checks, ..TypeFacts::default() });
            }
        }
        let (snapshot, names) = (builder.build(), names());
        told(&columns_of(sql, &classify(sql, &snapshot, &names), &snapshot, &names).pop().expect("a statement"))
    };
    for sql in [
        "SELECT json(email) FROM c",
        "SELECT json_scalar(email) FROM c",
        "SELECT json_serialize(email) FROM c",
        "SELECT json_array(email) FROM c",
        "SELECT json_arrayagg(email) FROM c",
    ] {
        assert_ne!(source(sql, true), source(sql, false), "{sql}");
    }
}

#[test]
fn a_value_is_followed_through_queries_within_queries() {
    check(&[
        ("SELECT x FROM (SELECT ssn AS x, email FROM c) q", "o: c.ssn", "what is not taken further is not used"),
        ("SELECT count(*) FROM (SELECT * FROM c) q", "", "rows are counted, not looked at"),
        ("SELECT * FROM (SELECT ssn x FROM c) q WHERE x = '1'", "o: c.ssn p: c.ssn", "a sub-select's column in WHERE"),
        ("SELECT (SELECT email FROM c WHERE c.id = o.c_id) FROM o", "o: c.email p: c.id o.c_id", "a scalar sub-select"),
        ("SELECT id FROM o WHERE c_id IN (SELECT id FROM c WHERE ssn = '1')", "o: o.id p: c.id c.ssn o.c_id", "IN"),
        ("SELECT EXISTS (SELECT email FROM c WHERE ssn = '1')", "p: c.ssn", "EXISTS looks at no value of its list"),
        ("SELECT (SELECT total FROM (SELECT 1) s) FROM o", "o: o.total", "an outer column"),
        (
            "SELECT (SELECT note FROM c, (SELECT note) s LIMIT 1) FROM o",
            "o: o.note",
            "not a sibling's: it is not LATERAL",
        ),
        (
            "SELECT (SELECT s.name FROM c, (SELECT name) s) FROM (SELECT note AS name FROM o) q",
            "o: o.note",
            "the outer's name, though a sibling has one",
        ),
        (
            "SELECT (SELECT s.name FROM c, LATERAL (SELECT name) s) FROM (SELECT note AS name FROM o) q",
            "o: c.name",
            "the sibling's, with LATERAL",
        ),
        ("SELECT ssn FROM c UNION ALL SELECT note FROM o", "o: c.ssn o.note", "UNION ALL"),
        ("SELECT ssn FROM c UNION SELECT note FROM o", "o: c.ssn o.note p: c.ssn o.note", "UNION compares"),
        ("SELECT ssn s FROM c UNION ALL SELECT note FROM o ORDER BY s", "o: c.ssn o.note p: c.ssn o.note", "its order"),
        ("SELECT ssn FROM c EXCEPT SELECT email FROM c", "o: c.email c.ssn p: c.email c.ssn", "EXCEPT"),
        ("VALUES ((SELECT ssn FROM c)), ('x')", "o: c.ssn", "VALUES"),
        ("SELECT column1 FROM (VALUES (1), ((SELECT max(ssn) FROM c))) v", "o: c.ssn", "VALUES in FROM"),
        ("WITH q AS (SELECT ssn, email FROM c) SELECT ssn FROM q", "o: c.ssn", "WITH"),
        ("WITH q (a) AS (SELECT ssn FROM c) SELECT 1 FROM q WHERE a = '1'", "p: c.ssn", "with its columns' names"),
        ("WITH c AS (SELECT note FROM o) SELECT note FROM c", "o: o.note", "a name that hides a table"),
        ("WITH c AS (SELECT id FROM c) SELECT id FROM c", "o: c.id", "a name that reads the table it hides"),
        ("WITH a AS (SELECT ssn FROM c), b AS (SELECT * FROM a) SELECT * FROM b", "o: c.ssn", "one of another"),
        (
            "WITH RECURSIVE r (k, x, y) AS (SELECT id, email, name FROM c UNION ALL SELECT k, y, x FROM r WHERE k < 9) SELECT x FROM r",
            "o: c.email c.name p: c.id",
            "columns that change places",
        ),
        (
            "WITH RECURSIVE r AS (SELECT id, email FROM c UNION ALL SELECT * FROM r) CYCLE id SET looped USING path SELECT path FROM r",
            "o: c.email c.id p: c.email c.id",
            "the path of a CYCLE",
        ),
        (
            "WITH RECURSIVE b AS (SELECT ssn FROM a), a AS (SELECT ssn FROM c) SELECT * FROM b",
            "o: c.ssn",
            "a later name",
        ),
        ("SELECT mail FROM v", "o: c.email p: c.name", "a view"),
        ("SELECT * FROM vv", "o: c.email o.total p: c.id c.name o.c_id", "a view of a view"),
        ("SELECT low FROM v WHERE id = 1", "o: c.ssn p: c.id c.name", "an expression of a view"),
        ("SELECT v FROM v", "o: c.email c.id c.ssn p: c.name", "a view's whole row"),
        ("SELECT s FROM copy", "o: c.ssn copy.s", "a materialized view is a copy"),
        ("SELECT secret FROM part", "o: part.secret part_1.secret", "partitions"),
        (
            "SELECT email FROM c AS x WHERE EXISTS (SELECT FROM o WHERE c_id = x.id)",
            "o: c.email p: c.id o.c_id",
            "correlated",
        ),
        ("SELECT ssn FROM scratch, c", "o: c.ssn", "a temporary table beside it"),
        ("SELECT q.n FROM (SELECT id AS n FROM scratch) q", "", "a temporary table's own"),
    ]);
}

#[test]
fn what_cannot_be_told_is_everything_in_every_role() {
    let all = "o: c.email c.id c.name c.ssn p: c.email c.id c.name c.ssn s: c.email c.id c.name c.ssn ?";
    check(&[
        ("SELECT nothing FROM c", all, "no such column"),
        ("SELECT x.email FROM c", all, "no such relation before the dot"),
        ("SELECT 1 FROM nowhere", "?", "no such relation"),
        (
            "SELECT peek()",
            "o: private.c.id private.c.pin p: private.c.id private.c.pin s: private.c.id private.c.pin",
            "what a function reads",
        ),
        (
            "SELECT peek() FROM private.c",
            "o: private.c.id private.c.pin p: private.c.id private.c.pin s: private.c.id private.c.pin",
            "though it is named beside",
        ),
        ("SELECT say(ssn) FROM c", "o: c.ssn s: c.ssn", "a function may do anything with what it is given"),
        (
            "SELECT c.say FROM c",
            "o: c.email c.id c.name c.ssn s: c.email c.id c.name c.ssn",
            "a function on the row, in a column's clothes",
        ),
        (
            "SELECT (c).say FROM c",
            "o: c.email c.id c.name c.ssn s: c.email c.id c.name c.ssn",
            "the same in parentheses",
        ),
        ("SELECT email ~~> ssn FROM c", "o: c.email c.ssn s: c.email c.ssn ?", "an operator that calls a function"),
        (
            "SELECT set_config('application_name', ssn, false) FROM c",
            "o: c.ssn s: c.ssn",
            "a parameter's status tells it",
        ),
        ("SELECT pg_notify('x', ssn) FROM c", "o: c.ssn s: c.ssn", "a notification tells it"),
        (
            "SELECT query_to_xml('select ssn from c', true, true, '')",
            "o: c.email c.id c.name c.ssn p: c.email c.id c.name c.ssn s: c.email c.id c.name c.ssn",
            "SQL as text",
        ),
        ("SELECT query_to_xml(note, true, true, '') FROM o", "o: o.note s: o.note ?", "SQL from a table"),
        ("DO 'begin perform ssn from c; end'", all.trim_end_matches(" ?"), "a block"),
        ("EXECUTE unheard", "?", "not prepared"),
        ("FETCH 1 FROM k", "?", "a cursor's rows"),
        ("SELEC 1", "?", "no SQL"),
    ]);
}

#[test]
fn outputs_are_told_in_order_and_apart() {
    let cases: &[(&str, &str, &str)] = &[
        ("SELECT email, ssn AS s FROM c", "email=c.email! s=c.ssn!", "plain columns"),
        ("SELECT lower(email), name || ssn, 1 FROM c", "lower=c.email ?column?=c.name,c.ssn ?column?=", "expressions"),
        ("SELECT s FROM (SELECT ssn AS s FROM c) q", "s=c.ssn!", "through a sub-select"),
        ("SELECT mail, low FROM v", "mail=c.email! low=c.ssn", "through a view"),
        ("SELECT ssn::text, ssn::varchar(3) FROM c", "ssn=c.ssn ssn=c.ssn", "a cast is an expression"),
        ("SELECT ssn FROM c UNION ALL SELECT ssn FROM c", "ssn=c.ssn!", "the same on both sides"),
        ("SELECT ssn FROM c UNION ALL SELECT note FROM o", "ssn=c.ssn,o.note", "one of two"),
        (
            "SELECT * FROM c JOIN o USING (id)",
            "id=c.id,o.id name=c.name! email=c.email! ssn=c.ssn! c_id=o.c_id! total=o.total! note=o.note!",
            "in the order of a join",
        ),
        (
            "SELECT o.*, 1 AS one FROM c, o",
            "id=o.id! c_id=o.c_id! total=o.total! note=o.note! one=",
            "a star among others",
        ),
        ("SELECT *, 1 FROM pg_class", "unknown", "how many there are is not known"),
        ("SELECT (c).* FROM c", "unknown", "the same of a value"),
        ("EXPLAIN SELECT ssn FROM c", "QUERY PLAN=", "a plan holds no rows"),
        ("EXECUTE p (1)", "ssn=c.ssn!", "what was prepared"),
        ("PREPARE q AS SELECT ssn FROM c", "", "it gives no rows"),
        (
            "INSERT INTO o (note) SELECT ssn FROM c RETURNING note, id",
            "note=c.ssn,o.note id=o.id!",
            "what was written comes back",
        ),
        (
            "UPDATE o SET note = c.ssn FROM c RETURNING o.note, c.email",
            "note=c.ssn,o.note email=c.email!",
            "the same of UPDATE",
        ),
        ("DELETE FROM o RETURNING *", "id=o.id! c_id=o.c_id! total=o.total! note=o.note!", "what is gone"),
        (
            "DELETE FROM o USING c RETURNING *",
            "id=o.id! c_id=o.c_id! total=o.total! note=o.note! id=c.id! name=c.name! email=c.email! ssn=c.ssn!",
            "with what was beside it",
        ),
        (
            "MERGE INTO o USING c ON o.c_id = c.id WHEN MATCHED THEN DELETE RETURNING *",
            "unknown",
            "versions differ in their order",
        ),
        ("COPY c (email, id) TO STDOUT", "email=c.email! id=c.id!", "a copy"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .map(|(sql, expected, why)| (sql, expected, why, outputs(&columns(sql))))
        .filter(|(_, expected, _, found)| *expected != found)
        .map(|(sql, expected, why, found)| format!("{sql}\n  {why}\n  expected {expected}\n  found    {found}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_condition_compares_is_told_apart() {
    let cases: &[(&str, &str, &str)] = &[
        ("SELECT 1 FROM c WHERE ssn = '1'", "c.ssn=const", "a literal"),
        ("SELECT 1 FROM c WHERE $1 = ssn", "c.ssn=const", "a parameter, the other way round"),
        (
            "SELECT 1 FROM c WHERE ssn = '1'::text AND (name = $1 AND id = 3)",
            "c.id=const c.name=const c.ssn=const",
            "AND",
        ),
        ("UPDATE c SET name = 'x' WHERE ssn = '1'", "c.ssn=const", "UPDATE"),
        ("DELETE FROM c WHERE ssn OPERATOR(pg_catalog.=) '1'", "c.ssn=const", "the server's own by its name"),
        ("SELECT 1 FROM v WHERE mail = 'a'", "c.email=const c.name~", "through a view, whose own condition is another"),
        ("SELECT 1 FROM c WHERE ssn = '1' OR id = 2", "c.id~ c.ssn~", "OR"),
        ("SELECT 1 FROM c WHERE NOT ssn = '1'", "c.ssn~", "NOT"),
        ("SELECT 1 FROM c WHERE ssn <> '1'", "c.ssn~", "another operator"),
        ("SELECT 1 FROM c WHERE ssn OPERATOR(public.=) '1'", "c.ssn~", "an operator of another schema"),
        ("SELECT 1 FROM c WHERE ssn LIKE '1'", "c.ssn~", "LIKE"),
        ("SELECT 1 FROM c WHERE ssn IN ('1')", "c.ssn~", "IN"),
        ("SELECT 1 FROM c WHERE ssn = ANY ('{1,2}')", "c.ssn~", "as many as one likes"),
        ("SELECT 1 FROM c WHERE ssn::int = 1", "c.ssn~", "an expression over it"),
        ("SELECT 1 FROM c WHERE ssn = lower('1')", "c.ssn~", "no constant"),
        ("SELECT 1 FROM c WHERE ssn = (SELECT '1')", "c.ssn~", "a query"),
        ("SELECT 1 FROM v WHERE low = '1'", "c.name~ c.ssn~", "an expression within a view"),
        ("SELECT count(*) FROM c HAVING max(ssn) = '1'", "c.ssn~", "HAVING"),
        ("SELECT 1 FROM c WHERE ssn = '1' ORDER BY ssn", "c.ssn=const c.ssn~", "and an order"),
        ("SELECT 1 FROM c WHERE (ssn, id) = ('1', 2)", "c.id~ c.ssn~", "a row"),
        ("SELECT 1 FROM c a JOIN c b ON a.ssn = b.ssn", "c.ssn=c.ssn", "a join"),
        ("SELECT 1 FROM c, o WHERE note = ssn AND c.id = 1", "c.id=const c.ssn=o.note o.note=c.ssn", "a join in WHERE"),
        ("SELECT 1 FROM c JOIN o USING (id)", "c.id=o.id o.id=c.id", "USING"),
        ("SELECT 1 FROM c NATURAL JOIN o", "c.id=o.id o.id=c.id", "NATURAL"),
        ("SELECT 1 FROM c LEFT JOIN o ON c.ssn || '' = o.note", "c.ssn~ o.note~", "an expression"),
        ("SELECT 1 FROM c JOIN (VALUES ('1'), ('2')) x (k) ON k = ssn", "c.ssn~", "a list of guesses"),
        ("SELECT 1 FROM c JOIN scratch ON scratch.k = ssn", "c.ssn~", "a temporary table"),
        ("SELECT 1 FROM c JOIN (SELECT ssn || '' AS k FROM c) x ON k = c.ssn", "c.ssn~", "a query's expression"),
    ];
    let told = |columns: &Columns| {
        let mut told = Vec::new();
        for (column, roles) in &columns.used {
            for role in roles {
                match role {
                    Use::Lookup => told.push(format!("{}=const", short(column))),
                    Use::Predicate => told.push(format!("{}~", short(column))),
                    Use::Join => {
                        let with = columns.joined.get(column).expect("it is joined");
                        told.extend(with.iter().map(|with| format!("{}={}", short(column), short(with))));
                    }
                    _ => {}
                }
            }
        }
        told.sort();
        told.join(" ")
    };
    for (sql, expected, why) in cases {
        assert_eq!(told(&columns(sql)), *expected, "{why}: {sql}");
    }
}

#[test]
fn what_is_too_large_to_follow_is_used_in_every_way() {
    let mut many = String::from("with w0 as (select array[c0");
    (1..900).for_each(|n| write!(many, ",c{n}").unwrap());
    many.push_str("] as s from (select 1 as c0");
    (1..1500).for_each(|n| write!(many, ",1 as c{n}").unwrap());
    many.push_str(") w) select 1 from c where email like 'z%'");
    let found = columns(&many);
    assert!(found.doubts.iter().any(|doubt| doubt.contains("too large")), "{:?}", found.doubts);
    assert!(told(&found).contains("p: c.email"), "{}", told(&found));
}
