//! Ways around a review at commit that somebody tried. The database is the judge of what is there.

use countersign_shared::request::Choice;

use crate::harness::{
    Story,
    wire::{Script, Wire},
};

const AT_COMMIT: &str = r#"
permit (principal, action, resource)
unless { [Action::"insert", Action::"update", Action::"delete", Action::"merge", Action::"copy_in", Action::"ddl"].contains(action)
         || [Action::"create", Action::"alter", Action::"truncate", Action::"drop"].contains(action)
         || action == Action::"select" && resource == Table::"shop/public.sealed" };
permit (principal, action, resource == Table::"shop/public.sealed")
when { action == Action::"select" && context.approvals.count >= 1 };
permit (principal, action in Action::"write", resource)
when { context.approvals.count >= 1 && context.approvals.at_commit };
"#;

const TABLES: &str = "
create table goods (id bigint primary key, kind text not null);
create table noted (what text);
create table sealed (id int primary key, s text, n int not null);
insert into goods select n, 'a' from generate_series(1, 10) n;
insert into sealed values (1, 'top-secret', 10);
create table parent (id int);
create table first (id int);
create function again() returns trigger language plpgsql as
$$ begin set constraints all deferred; insert into parent values (1); return null; end $$;
create constraint trigger again after insert on first deferrable initially deferred for each row execute function again();
create function floods() returns trigger language plpgsql as
$$ begin insert into noted select 'flood' from generate_series(1, 100); return null; end $$;
create constraint trigger floods after insert on parent deferrable initially deferred for each row execute function floods();
";

impl Story {
    async fn under_review() -> Self {
        let story = Self::under(&AT_COMMIT.replace(", Action::\"ddl\"", "")).await;
        let direct = story.world.upstream.connect().await.expect("a way into the database");
        direct.batch_execute(TABLES).await.expect("the tables");
        story
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_cut_where_it_ends_and_not_where_another_of_its_shape_does() {
    let story = Story::under_review().await;
    let ana = story.logs_in("ana").await;
    // The same shape: the first leaves an analysis, whose places do not fit the second.
    let blanks = " ".repeat(20);
    let pairs = [
        ("delete from goods where id >= 1".to_owned(), "delete from goods where id >= 1000".to_owned(), 10),
        (
            format!("delete from goods where id >= 111111111;{blanks}select ''"),
            format!("delete from goods where id >= 9;{blanks}select 'commit  '"),
            8,
        ),
        (
            format!("delete from goods where id >= 111111111;{blanks}select ''"),
            format!("delete from goods where id >= 9;{blanks}select 'drop table noted'"),
            8,
        ),
    ];
    for (first, second, left) in pairs {
        let running = ana.runs(&first);
        let id = ana.is_held().await;
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        running.gets_refused().await;
        let running = ana.runs(&second);
        let id = ana.is_held().await;
        assert_eq!(story.number("select count(*) from goods").await, 10, "{second}: nothing is kept unasked");
        let view = story.request("priya", &id).await;
        assert!(view.sql.starts_with(&second), "{second}: {}", view.sql);
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        running.ends().await.expect("approved");
        assert_eq!(story.number("select count(*) from goods").await, left, "{second}: what was shown is what ran");
        assert_eq!(story.number("select count(*) from pg_class where relname = 'noted'").await, 1, "{second}");
        let direct = story.world.upstream.connect().await.expect("a way into the database");
        direct
            .batch_execute("truncate goods; insert into goods select n, 'a' from generate_series(1, 10) n")
            .await
            .expect("as before");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_table_that_may_not_be_read_are_not_told_by_running_first() {
    let story = Story::under_review().await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "update sealed set n = null where s like 'top-secret%'",
        "update sealed set s = s::int::text",
        "delete from sealed where s = 'top-secret'",
        "merge into sealed t using goods g on g.id = t.id when matched and t.s like 'top%' then delete",
    ] {
        let refused = ana.runs(sql).gets_refused().await;
        assert_eq!(refused.code, "42501", "{sql}: {refused:?}");
        let told = format!("{refused:?}");
        assert!(!told.contains("top-secret\"") && !told.contains("(1,"), "{sql}: {told}");
    }
    assert_eq!(story.number("select count(*) from sealed where n = 10").await, 1);
    assert_eq!(story.waiting("priya").await.len(), 0, "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_puts_its_work_off_again_is_not_run_for_its_review() {
    let story = Story::under_review().await;
    let ana = story.logs_in("ana").await;
    let refused = ana.runs("insert into first values (1)").gets_refused().await;
    assert!(refused.code == "42501" && refused.message.contains("opaque"), "{refused:?}");
    ana.runs("begin").ends().await.expect("a transaction");
    let refused = ana.runs("insert into first values (1)").gets_refused().await;
    assert_eq!(refused.code, "42501", "{refused:?}");
    ana.runs("rollback").ends().await.expect("undone");
    assert_eq!(story.number("select count(*) from noted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_do_not_come_by_copy_before_anybody_is_asked() {
    let story = Story::under_review().await;
    let ana = story.logs_in("ana").await;
    let copy = "copy (update goods set kind = 'b' returning id) to stdout";
    let refused = ana.runs(copy).gets_refused().await;
    assert!(refused.code == "42501" && refused.message.contains("COPY"), "{refused:?}");
    assert_eq!(story.number("select count(*) from goods where kind = 'a'").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_before_anything_else_makes_nothing_pass() {
    let story = Story::under_review().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let group = |name: &str| Script::default().close(name).runs("delete from goods where id = 2").sync();
    for script in
        [group(""), group("nothing of the kind"), Script::default().sync().close("").runs("delete from goods").sync()]
    {
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        wire.sends(script).await;
        let id = wire.is_held().await;
        story.decides("priya", &id, Choice::Deny).await.expect("she may");
        assert_eq!(story.number("select count(*) from goods").await, 10);
    }
}
