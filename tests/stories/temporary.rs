//! What is temporary is nobody else's, but what hangs on it may reach what is: the database is the judge.

use crate::harness::Story;

/// Whoever may read and change the schema, and write nothing.
const NO_WRITES: &str = r#"
permit (principal, action, resource)
when { [Action::"connect", Action::"call"].contains(action) || action in Action::"read" || action in Action::"ddl" };
"#;

const THERE: &str = "
create table goods (id bigint primary key, kind text not null);
insert into goods select n, 'a' from generate_series(1, 10) n;
create function wr(n bigint) returns bigint language plpgsql as
$$ begin update goods set kind = 'w' where id = n; return n; end $$;
create function ok(n bigint) returns bool language plpgsql as
$$ begin update goods set kind = 'w' where id = n; return true; end $$;
create function imm(n int) returns int language plpgsql immutable as $$ begin perform wr(n); return n; end $$;
create function trg() returns trigger language plpgsql as $$ begin update goods set kind = 't'; return new; end $$;
create function wr2(a bigint, b bigint) returns bool language plpgsql as $$ begin perform wr(a); return true; end $$;
create function hardly(a bigint, b bigint) returns bool language plpgsql as $$ begin return true; end $$;
create domain checked as bigint check (ok(value));
";

/// Each with what would run the write.
const WAYS: [&[&str]; 38] = [
    &[
        "create temp table t (x int)",
        "create trigger t before insert on t for each row execute function trg()",
        "insert into t values (1)",
    ],
    &[
        "create temp table t (x int)",
        "create trigger t before insert on pg_temp.t for each row execute function trg()",
        "insert into t values (1)",
    ],
    &[
        "create temp table t (x int); create trigger t before insert on t for each row execute function trg(); insert into t values (1)",
    ],
    &[
        "create temp table t (x int)",
        "create rule r as on insert to t do also update goods set kind = 'r'",
        "insert into t values (3)",
    ],
    &[
        "create temp table t (x int)",
        "create rule r as on insert to t do instead delete from goods",
        "insert into t values (3)",
    ],
    &["create temp view v as select wr(id) from goods", "select * from v"],
    &["create temp view v as select wr(1)", "begin", "declare c cursor with hold for select * from v", "commit"],
    &[
        "create temp view v as select 1::bigint as n",
        "create or replace temp view v as select wr(1) as n",
        "select * from v",
    ],
    &["create view pg_temp.v as select wr(1)", "select * from v"],
    &["create recursive view pg_temp.v (n) as select wr(1)", "select * from v"],
    &["create temp view v as with w as (select wr(2) as n) select n from w", "table v"],
    &["create temp view v as select id, kind from goods", "update v set kind = 'v'"],
    &[
        "create temp view v as select id, kind from goods",
        "create rule r as on update to v do instead delete from goods",
        "update v set kind = 'v'",
    ],
    &["create temp table t (x bigint default wr(1))", "insert into t default values"],
    &["create temp table t (x bigint check (ok(x)))", "insert into t values (2)"],
    &["create temp table t (x int)", "create index on t (imm(x))", "insert into t values (4)"],
    &["create temp table t (x bigint)", "alter table t alter x set default wr(5)", "insert into t default values"],
    &["create domain pg_temp.d as bigint check (ok(value))", "select 6::pg_temp.d"],
    &["create function pg_temp.f() returns bigint language sql as 'select wr(8)'", "select pg_temp.f()"],
    // Operators.
    &[
        "create operator pg_temp.=== (leftarg = int8, rightarg = int8, function = wr2)",
        "select id operator(pg_temp.===) 1 from goods",
    ],
    &[
        "create temp table z (x int)",
        "create operator pg_temp.=== (leftarg = int8, rightarg = int8, function = public.wr2)",
        "select 1 from goods where id operator(pg_temp.===) any (array[1::int8])",
    ],
    &[
        "set search_path = pg_temp, public",
        "create operator === (leftarg = int8, rightarg = int8, function = public.wr2)",
        "explain analyze select id operator(pg_temp.===) 1 from goods",
    ],
    &[
        "create operator @@@ (leftarg = int8, rightarg = int8, function = hardly, negator = !@@)",
        "create operator !@@ (leftarg = int8, rightarg = int8, function = wr2, negator = @@@)",
        "select not (id @@@ 2) from goods",
    ],
    &["select 1 from goods where not (id @@@ 2)"],
    &["create temp view v as select not (id @@@ 2) from goods", "select * from v"],
    // Types.
    &["create type pg_temp.c as (x public.checked)", "select '(1)'::c"],
    &["create type pg_temp.c as (x public.checked)", "select '{\"(1)\"}'::c[]"],
    &["create type pg_temp.r as range (subtype = public.checked)", "select '[1,2]'::r"],
    &["set search_path = pg_temp, public", "create type c as (x public.checked)", "select '(1)'::c"],
    &["create type pg_temp.c as (x checked)", "create temp table t (y c)", "insert into t values ('(1)')"],
    &["create temp table t (x checked)", "select '(1)'::t"],
    &["do $$ declare c cursor for select 1; x int; begin open c; fetch relative 1::checked from c into x; end $$"],
    // Where the path says that something new is temporary.
    &["set search_path = pg_temp, public", "create view v as select wr(id) from goods", "select * from v"],
    &["set search_path = pg_temp, public", "create or replace view v as select wr(id) from goods", "select * from v"],
    &["set search_path = pg_temp, public", "create table t (x bigint default wr(1))", "insert into t default values"],
    // What is plain when it is made.
    &["create temp view v as select set_config('search_path', 'pg_temp', false)"],
    &["create temp view v as select hardly(1, 2)"],
    &["create temp table t (x bool default hardly(1, 2))"],
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_hangs_on_something_temporary_writes_unasked() {
    let story = Story::under(NO_WRITES).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(THERE).await.expect("the tables");
    let mut wrong = Vec::new();
    for way in WAYS {
        let session = story.logs_in("ana").await;
        let mut all_ran = true;
        for text in way {
            all_ran &= session.runs(text).ends().await.is_ok();
        }
        // Each of them is refused somewhere.
        let left = story.number("select count(*) from goods where kind = 'a'").await;
        if all_ran || left != 10 {
            wrong.push(format!("{way:?}: {left} are left"));
            direct.batch_execute("update goods set kind = 'a'").await.expect("all as before");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And what does no more than read is nobody's business.
    let session = story.logs_in("ana").await;
    for text in [
        "create temp table t (x int)",
        "insert into t values (1)",
        "create temp view v as select id, upper(kind) as kind from goods where id < 5",
        "select * from v",
        "create temp view w as select x from t",
        "select * from w",
        "create temp table u (id serial primary key, at timestamptz default now(), n int default 1 check (n > 0))",
        "insert into u (n) values (2)",
        "create index on u (lower(n::text))",
        "create temp table g as select * from goods",
        "select (g).id, '(1)'::t from g join u on true",
        "drop table g",
    ] {
        session.runs(text).ends().await.unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    }
}

/// There is no server, so that the database would say so if it were asked.
const FOREIGN: [&str; 4] = [
    "create foreign table pg_temp.f (id bigint, kind text) server far",
    "begin; create foreign table pg_temp.f (id bigint, kind text) server far",
    "create foreign table pg_temp.f partition of p default server far",
    "create foreign table by_the_path (id bigint, kind text) server far",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_foreign_table_is_not_made_unasked() {
    let story = Story::under(NO_WRITES).await;
    let session = story.logs_in("ana").await;
    let elsewhere = session.runs("create foreign table public.f (id bigint) server far").ends().await;
    assert_eq!(elsewhere.expect_err("there is none").code, "42704", "the database is asked");
    for text in ["set search_path = pg_temp, public", "create table p (id bigint) partition by range (id)"] {
        session.runs(text).ends().await.unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    }
    for text in FOREIGN {
        let refused = session.runs(text).ends().await.expect_err("nobody agreed");
        assert_eq!(refused.code, "42501", "{text}: {refused:?}");
        session.runs("rollback").ends().await.expect("an end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_is_moved_by_no_other_name() {
    let story = Story::under(NO_WRITES).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("create sequence moved start 50; select nextval('moved')").await.expect("a sequence");
    let oid: u32 = direct.query_one("select 'moved'::regclass::oid", &[]).await.expect("its oid").get(0);
    let session = story.logs_in("ana").await;
    for (makes, moves) in [
        (format!("create temp sequence \"{oid}\""), format!("select setval('{oid}', 1, false)")),
        ("create temp sequence movedx".to_owned(), "select setval('movedx'::varchar(5), 1, false)".to_owned()),
        ("create temp sequence movedy".to_owned(), "select nextval('movedy'::varchar(5))".to_owned()),
    ] {
        session.runs(&makes).ends().await.expect("a sequence of one's own");
        assert_eq!(session.runs(&moves).gets_refused().await.code, "42501", "{moves}");
    }
    let at: i64 = direct.query_one("select last_value from moved", &[]).await.expect("where it is").get(0);
    assert_eq!(at, 50);
}
