//! Asking ahead: a migration is approved before it runs, by people who have time to read it.

use std::process::Output;

use countersign_shared::request::{Choice, State};

use crate::{evidence::said, harness::Story};

const MIGRATION: &str =
    "-- V12\ndelete from orders where status = 'cancelled';\nupdate products set stock = stock + 1 where id = 1;\n";

impl Story {
    /// `countersign request shop` as `who`, with a file of `text`.
    async fn requests(&self, who: &str, text: &str, more: &[&str]) -> Output {
        let file = self.folder().join("V12.sql");
        std::fs::write(&file, text).expect("a file");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&self.world.facts.config).args(["request", "shop", "-f"]).arg(&file).args(more);
        let token = self.world.idp.token_for(who).expect("a token");
        command.env("COUNTERSIGN_TOKEN", token).kill_on_drop(true).output().await.expect("the binary")
    }
}

fn id_in(output: &Output) -> String {
    let text = said(output);
    assert!(output.status.success(), "{text}");
    let rest = text.split_once("request ").expect("an id").1;
    rest.split_whitespace().next().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_approved_first_and_runs_later_as_it_was_approved_and_once() {
    let mut story = Story::gateway_with(|config, _| config.to_owned()).await;
    let cancelled = "select count(*) from orders where status = 'cancelled'";
    let (rows, stock) =
        (story.number(cancelled).await, story.number("select stock::bigint from products where id = 1").await);
    let asked = story.requests("ana", MIGRATION, &["--reason", "V12, as reviewed"]).await;
    let id = id_in(&asked);
    assert!(said(&asked).contains("send the same text as one query"), "{}", said(&asked));
    assert_eq!(id_in(&story.requests("ana", MIGRATION, &[]).await), id, "nobody is asked twice");
    let view = story.request("priya", &id).await;
    assert_eq!((view.sql.as_str(), view.reason.as_deref()), (MIGRATION.trim_end(), Some("V12, as reviewed")));
    assert!([0, 1].iter().all(|at| view.impact.iter().any(|one| one.statement == *at)), "both are counted: {view:?}");
    story.decides("ana", &id, Choice::Approve).await.expect_err("not her own");
    // It waits longer than a gateway lives.
    story.kills_the_gateway().await;
    story.starts("gateway").await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    let ana = story.logs_in("ana").await;
    let text = MIGRATION.trim_end();
    for other in [
        format!("{text} "),
        text.replace("id = 1", "id = 2"),
        text.split_inclusive(';').next().expect("one").to_owned(),
    ] {
        let running = ana.runs(&other);
        assert_ne!(ana.is_held().await, id, "{other:?} is another text");
        ana.presses_ctrl_c().await;
        assert_eq!(running.gets_refused().await.code, "57014");
    }
    let ben = story.logs_in("ben").await;
    let running = ben.runs(text);
    assert_ne!(ben.is_held().await, id, "it is hers");
    ben.presses_ctrl_c().await;
    running.gets_refused().await;
    assert_eq!(story.number(cancelled).await, rows);
    let affected = ana.runs(text).ends().await.expect("it runs").affected;
    assert_eq!(affected, [u64::try_from(rows).expect("a count"), 1]);
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    assert_eq!(story.number("select stock::bigint from products where id = 1").await, stock + 1);
    let again = ana.runs(text);
    assert_ne!(ana.is_held().await, id, "once");
    ana.presses_ctrl_c().await;
    again.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_waits_and_runs_it_itself() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let (asking, deciding) = tokio::join!(story.requests("ana", MIGRATION, &["--run"]), async {
        let id = loop {
            if let Some(view) = story.waiting("priya").await.pop() {
                break view.id.to_string();
            }
            tokio::task::yield_now().await;
        };
        story.decides("priya", &id, Choice::Approve).await.expect("she may")
    });
    assert!(asking.status.success(), "{}", said(&asking));
    assert!(said(&asking).contains("statement 2 ran: 1 rows"), "{}", said(&asking));
    assert!(deciding.message.contains("when it is sent again"), "{}", deciding.message);
    assert_eq!(story.number("select count(*) from orders where status = 'cancelled'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_asks_runs_nothing() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    for (text, says, why) in [
        ("select 1", "policy lets this pass without an approval", "nothing need be asked"),
        ("drop table orders", "Nothing was run", "nobody may approve it"),
        ("selec 1", "syntax error", "it is no SQL"),
    ] {
        let output = story.requests("ana", text, &[]).await;
        assert!(said(&output).contains(says), "{why}: {}", said(&output));
    }
    let empty = story.requests("ana", " \n", &[]).await;
    assert_eq!(empty.status.code(), Some(2), "{}", said(&empty));
    let mut config = tokio_postgres::Config::new();
    let (listen, token) = (story.world.facts.listen, story.world.idp.token_for("ana").expect("a token"));
    config.host(listen.ip().to_string()).port(listen.port()).dbname("shop").user("").password(token);
    config.options("-c countersign.ask=on");
    let asks = crate::harness::client::Client::log_in_with(&config).await.expect("a session");
    for (sql, code) in [
        ("select 1", "55000"),
        ("rollback", "55000"),
        ("begin", "55000"),
        ("set countersign.ask = off", "22023"),
        ("reset countersign.ask", "22023"),
        ("delete from orders where status = 'cancelled'", "42501"),
    ] {
        assert_eq!(asks.runs(sql).gets_refused().await.code, code, "{sql}");
    }
    let refused = asks.executes("delete from orders where id = $1", vec![Box::new(1_i64)]).gets_refused().await;
    assert_eq!(refused.code, "0A000", "{refused:?}");
    assert!(!story.database_ran("delete from orders"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_text_runs_in_no_other_circumstances() {
    // Everything, also what nobody can see into, by somebody's approval.
    let story = Story::under(
        r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read", Action::"ddl",
                    Action::"set", Action::"transaction"], resource);
           permit (principal, action, resource) when { context.approvals.count >= 1 };"#,
    )
    .await;
    let ana = story.logs_in("ana").await;
    ana.runs("create schema evil").ends().await.expect("a schema");
    ana.runs("create table evil.products (like public.products)").ends().await.expect("another table");
    ana.runs("create table picked (id bigint)").ends().await.expect("a table");
    let delete = "delete from products where id = 1";
    let picked = "delete from products where id in (select id from picked)";
    let mut ids = Vec::new();
    for text in [delete, picked] {
        let id = id_in(&story.requests("ana", text, &[]).await);
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        ids.push(id);
    }
    let token = story.world.idp.token_for("ana").expect("a token");
    for (before, text, why) in [
        ("set search_path = evil, public", delete, "another table"),
        ("set datestyle = 'German'", delete, "values mean something else"),
        ("create temp table picked as select 2::bigint as id", picked, "other rows"),
        ("begin", delete, "what was approved for no transaction"),
        ("begin isolation level repeatable read", delete, "likewise"),
    ] {
        let mut wire = crate::harness::wire::Wire::log_in(story.world.facts.listen, "shop", &token).await;
        wire.sends(crate::harness::wire::Script::default().runs(before).runs(text).sync()).await;
        let id = wire.is_held_or_refused().await;
        assert!(id.as_ref().is_none_or(|id| !ids.contains(id)), "{why}: {id:?}");
    }
    for id in &ids {
        assert_eq!(story.request("priya", id).await.state, State::Approved, "nothing used it");
    }
    for (text, why) in [
        ("delete from products where id = length(current_setting('application_name'))", "a setting of the session's"),
        ("delete from products where current of c", "a cursor of the session's"),
        ("delete from products where id = pg_temp.f()", "a function of the session's"),
        ("delete from products where id = U&\"pg\\005ftemp\".f()", "the same, spelt otherwise"),
        ("delete from products where id = pg_backend_pid()", "what each session has another of"),
    ] {
        let output = story.requests("ana", text, &[]).await;
        assert!(said(&output).contains("nobody can be asked for later"), "{why}: {}", said(&output));
    }
    // Of many who ask at once, one asks.
    let texts = ["delete from products where id = 3"; 6];
    let asking = texts.iter().map(|text| {
        let story = &story;
        async move {
            let mut config = tokio_postgres::Config::new();
            let (listen, token) = (story.world.facts.listen, story.world.idp.token_for("ana").expect("a token"));
            config.host(listen.ip().to_string()).port(listen.port()).dbname("shop").user("").password(token);
            config.options("-c countersign.ask=on");
            let asks = crate::harness::client::Client::log_in_with(&config).await.expect("a session");
            asks.runs(text).gets_refused().await.message
        }
    });
    let said = futures_util::future::join_all(asking).await;
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
}
