//! Code that a text does not name: types called like a newer server's words, the comparisons of the server's own
//! types, event triggers. Each writes; nobody is let through with it unasked. The database is the judge.

use tokio::time::timeout;

use crate::harness::{
    PATIENCE, Story,
    client::Client,
    server,
    wire::{Script, Wire},
};

/// Whoever reads is not asked, nor who keeps things up or gives rights; whoever writes is.
const POLICY: &str = r#"
permit (principal, action in [Action::"connect", Action::"read", Action::"call"], resource);
permit (principal, action in [Action::"maintain", Action::"privilege", Action::"create"], resource);
permit (principal, action in [Action::"write", Action::"opaque"], resource) when { context.approvals.count >= 1 };
permit (principal in Group::"dba", action == Action::"approve", resource);
"#;

const WRITES: &str = "
create table hits (what text);
create table points (p point);
insert into points values ('(1,1)'), ('(2,2)');
create function hit(n bigint) returns bool language plpgsql as
  $$ begin insert into public.hits values (n::text); return true; end $$;
create materialized view kept as select 1 as a;
";

impl Story {
    /// What a superuser does, straight at the database.
    async fn superuser_does(&self, sql: &str) {
        let superuser = server().superuser(&self.world.upstream.database).connect().await.expect("a superuser");
        superuser.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Each waits for somebody, or is refused, and has not run.
    async fn none_of_these_runs(&self, ana: &Client, texts: &[&str]) {
        for sql in texts {
            let running = ana.runs(sql);
            tokio::select! {
                _id = ana.is_held() => ana.presses_ctrl_c().await,
                () = running.is_over() => {}
            }
            let ended = running.ends().await.err().map(|refused| refused.code);
            assert!(matches!(ended.as_deref(), Some("57014" | "42501")), "{sql}: {ended:?}");
            assert_eq!(self.number("select count(*) from hits").await, 0, "{sql}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_called_like_a_word_of_a_newer_server_is_not_passed_over() {
    let story = Story::under(POLICY).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(WRITES).await.expect("the tables");
    for name in ["json", "json_scalar", "json_serialize", "json_array", "json_object"] {
        let domain = format!("create domain public.{name} as bigint check (hit(value))");
        direct.batch_execute(&domain).await.expect("a domain");
    }
    let ana = story.logs_in("ana").await;
    let called = ["select json_scalar('1')", "select json_serialize('1')", "select json_array(1::bigint)"];
    story.none_of_these_runs(&ana, &called).await;
    ana.runs("set search_path = public, pg_catalog").ends().await.expect("a path");
    story.none_of_these_runs(&ana, &["select json('1')", "select '1'::json", "select json_scalar('1')"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compares_one_of_the_servers_own_types_counts() {
    let story = Story::under(POLICY).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(WRITES).await.expect("the tables");
    let ana = story.logs_in("ana").await;
    let texts = [
        "select p from points order by p",
        "select distinct p from points",
        "select p from points group by p",
        "select p from points union select p from points",
        "select row_number() over (order by p) from points",
        "select count(distinct p) from points",
        "select array_agg(p order by p) from points",
        "select array[p] < array[point '(2,2)'] from points",
    ];
    for sql in texts {
        let refused = ana.runs(sql).gets_refused().await;
        assert!(refused.code.starts_with("42"), "there is nothing to compare points by: {refused:?}");
    }
    story
        .superuser_does(
            "create function public.before(a point, b point) returns bool language sql immutable as 'select a[0] < b[0]';
             create function public.like(a point, b point) returns bool language sql immutable as 'select a[0] = b[0]';
             create operator public.<<< (leftarg = point, rightarg = point, function = public.before);
             create operator public.=== (leftarg = point, rightarg = point, function = public.like);
             create function public.compare(a point, b point) returns int language plpgsql as
               $$ begin insert into public.hits values ('compared'); return sign(a[0] - b[0]); end $$;
             create operator class public.by_x default for type point using btree
               as operator 1 public.<<<, operator 3 public.===, function 1 public.compare(point, point);",
        )
        .await;
    // A first look at the new catalog, however old the last may still be.
    let looks = async {
        loop {
            let running = ana.runs("select count(*) from hits");
            tokio::select! {
                _id = ana.is_held() => {
                    ana.presses_ctrl_c().await;
                    running.gets_refused().await;
                    break;
                }
                () = running.is_over() => {}
            }
        }
    };
    timeout(PATIENCE, looks).await.expect("it is seen");
    story.none_of_these_runs(&ana, &texts).await;
    direct.batch_execute(texts[0]).await.expect("and it is the comparison");
    assert!(story.number("select count(*) from hits").await > 0, "that would have written");
}

#[tokio::test(flavor = "multi_thread")]
async fn event_triggers_fire_for_upkeep_and_rights_too() {
    let story = Story::under(POLICY).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute(WRITES).await.expect("the tables");
    story
        .superuser_does(
            "create function public.noted() returns event_trigger language plpgsql security definer as
               $$ begin insert into public.hits values (tg_tag); end $$;
             create event trigger noted on ddl_command_end execute function public.noted();
             delete from public.hits;",
        )
        .await;
    let ana = story.logs_in("ana").await;
    let texts = [
        "refresh materialized view kept",
        "do $$ begin refresh materialized view kept; end $$",
        "grant select on points to public",
        "revoke select on points from public",
        "alter default privileges grant select on tables to public",
        "create table more (id int)",
    ];
    story.none_of_these_runs(&ana, &texts).await;
    direct.batch_execute(texts[0]).await.expect("and it does fire");
    assert_eq!(story.number("select count(*) from hits").await, 1);
    story.superuser_does("drop event trigger noted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cast_of_the_databases_own_is_seen_where_only_a_parameter_says_its_type() {
    let story = Story::under(POLICY).await;
    let there = "create table noted_casts (said text); grant all on noted_casts to public;
        create function of_a_point(point) returns int language plpgsql as
        $$ begin insert into noted_casts values ('cast'); return 1; end $$;
        create cast (point as int) with function of_a_point(point);
        create function is_a_point(point) returns bool language plpgsql as
        $$ begin insert into noted_casts values ('cast'); return true; end $$;
        create cast (point as bool) with function is_a_point(point) as implicit;";
    story.superuser_does(there).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    for sql in ["select $1::int", "select cast($1 as integer)", "select 1 where $1", "select not $1"] {
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        let run = Script::default().parse_typed("", sql, &[600]).bind_with("", "", &["(1,1)"]).execute("").sync();
        wire.sends(run).await;
        assert!(wire.is_held_or_refused().await.is_some(), "{sql} is asked about");
    }
    assert_eq!(story.number("select count(*) from noted_casts").await, 0);
}

/// What a function in FROM gives is called by its name, and a function after a dot is called with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_written_as_a_column_counts_as_one() {
    let story = Story::under(POLICY).await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "select g.pg_terminate_backend from generate_series(1000000, 1000001) g",
        "select (g).pg_cancel_backend from generate_series(1000000, 1000001) g",
        "select t.pg_read_file from unnest(array['PG_VERSION']) t",
        "select t.lo_unlink from unnest(array[1::oid]) t",
    ] {
        let running = ana.runs(sql);
        tokio::select! {
            _id = ana.is_held() => ana.presses_ctrl_c().await,
            () = running.is_over() => {}
        }
        let refused = running.gets_refused().await;
        assert!(matches!(refused.code.as_str(), "57014" | "42501"), "{sql}: {refused:?}");
    }
}
