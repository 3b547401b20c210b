//! What something temporary stands on may be replaced after it was made, and approved; and upkeep runs code
//! that no text names. The database is the judge.

use crate::harness::Story;

/// Whoever may do all but write, what can't be seen into included: nothing is asked about when it is made.
const NO_WRITES: &str = r#"
permit (principal, action, resource)
when {
    [Action::"connect", Action::"call", Action::"opaque", Action::"maintain"].contains(action) ||
    action in Action::"read" || action in Action::"ddl"
};
"#;

const THERE: &str = "
create table goods (id bigint primary key, kind text not null);
insert into goods select n, 'a' from generate_series(1, 10) n;
create function wr(n bigint) returns bigint language plpgsql as
$$ begin update public.goods set kind = 'w' where id = n; return n; end $$;
create schema tb;
create function public.h() returns bigint language sql as 'select 1::bigint';
create function tb.h() returns bigint language sql as 'select public.wr(1)';
create function k() returns bigint language plpgsql as $$ begin return h(); end $$;
create view below as select 1::bigint as n;
create domain plain as bigint;
create table numbered (id serial, v int);
create materialized view fine as select count(*) as n from goods;
create materialized view writes as select wr(1) as n with no data;
create function indexed(n bigint) returns bigint language plpgsql immutable as $$ begin return n; end $$;
create table kept (id bigint);
create index kept_index on kept (indexed(id));
insert into kept values (3);
create or replace function indexed(n bigint) returns bigint language plpgsql immutable as
$$ begin perform public.wr(n); return n; end $$;
";

/// How `f(bigint)` is made, and made anew.
const HARMLESS: &str = "create or replace function f(n bigint) returns bigint language plpgsql immutable as \
     $$ begin return n; end $$";
const WRITES: &str = "create or replace function f(n bigint) returns bigint language plpgsql immutable as \
     $$ begin perform public.wr(n); return n; end $$";

/// All but the last text run.
const WAYS: [&[&str]; 13] = [
    &[HARMLESS, "create temp view v as select f(id) from goods", WRITES, "select * from v"],
    &[HARMLESS, "create temp view v as select f(id) from goods", "create temp view w as table v", WRITES, "table w"],
    &["create temp view v as select k()", "select * from v", "set search_path = tb, public", "select * from v"],
    &["create temp view v as table below", "create or replace view below as select wr(2) as n", "select * from v"],
    &[HARMLESS, "create temp table t (x bigint default f(1))", "table t", WRITES, "insert into t default values"],
    &[HARMLESS, "create temp table t (x bigint check (f(x) > 0))", WRITES, "insert into t values (1)"],
    &[HARMLESS, "create temp table t (x bigint)", "create index on t (f(x))", WRITES, "insert into t values (1)"],
    &[
        HARMLESS,
        "create temp table t (x bigint) partition by range (f(x))",
        "create temp table t1 partition of t default",
        WRITES,
        "insert into t values (1)",
    ],
    &[
        HARMLESS,
        "create temp table t (x bigint) partition by range (f(x))",
        "create temp table t1 partition of t for values from (0) to (100)",
        WRITES,
        "insert into t1 values (1)",
    ],
    &[
        HARMLESS,
        "create temp table t (x bigint) partition by list (x)",
        "create temp table t1 partition of t (check (f(x) > 0)) default",
        WRITES,
        "insert into t values (1)",
    ],
    &[
        HARMLESS,
        "create temp table t (x plain)",
        "insert into t values (1)",
        "alter domain plain add check (f(value) > 0)",
        WRITES,
        "insert into t values (1)",
    ],
    &["create temp table t (like numbered including defaults)", "table t", "insert into t (v) values (1)"],
    &["begin", "create temp table t (like numbered including all)", "insert into t (v) values (1)"],
];

/// Upkeep that writes.
const UPKEEP: [&str; 7] = [
    "refresh materialized view writes",
    "analyze kept",
    "vacuum analyze kept",
    "analyze",
    "reindex table kept",
    "reindex index kept_index",
    "cluster kept using kept_index",
];

/// What was written, after which all is as before.
async fn written(story: &Story) -> i64 {
    let sql = "select (select count(*) from goods where kind <> 'a') + (select is_called::int from numbered_id_seq)";
    let written = story.number(sql).await;
    if written > 0 {
        let direct = story.world.upstream.connect().await.expect("a way into the database");
        let undo = "update goods set kind = 'a'; select setval('numbered_id_seq', 1, false)";
        direct.batch_execute(undo).await.expect("all as before");
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_temporary_relation_runs_by_now_is_asked_about_at_every_use() {
    let story = Story::under(NO_WRITES).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(THERE).await.expect("the tables");
    let mut wrong = Vec::new();
    for way in WAYS {
        let session = story.logs_in("ana").await;
        let (last, before) = way.split_last().expect("there is a last one");
        for text in before {
            session.runs(text).ends().await.unwrap_or_else(|refused| panic!("{way:?}: {text}: {refused:?}"));
        }
        let ran = session.runs(last).ends().await.is_ok();
        let written = written(&story).await;
        if ran || written > 0 {
            wrong.push(format!("{way:?}: {written} written"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn upkeep_that_writes_is_asked_about() {
    let story = Story::under(NO_WRITES).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(THERE).await.expect("the tables");
    let session = story.logs_in("ana").await;
    let mut wrong = Vec::new();
    for text in UPKEEP {
        let ran = session.runs(text).ends().await.is_ok();
        let written = written(&story).await;
        if ran || written > 0 {
            wrong.push(format!("{text}: {written} written"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for text in ["refresh materialized view fine", "analyze goods", "vacuum goods", "reindex table goods"] {
        session.runs(text).ends().await.unwrap_or_else(|refused| panic!("{text}: {refused:?}"));
    }
}
