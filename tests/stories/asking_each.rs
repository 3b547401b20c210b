//! Asking ahead statement by statement: a migration's file is approved as one request, and its statements run as psql and
//! drivers send them, in that order, each once.

use std::process::Output;

use countersign_shared::{
    api::{
        RequestView,
        StepState::{self, Failed, Free, Ran, Waits},
    },
    request::{Choice, State},
};
use tokio::time::timeout;

use crate::{
    evidence::said,
    harness::{
        PATIENCE, Story,
        client::Client,
        wire::{Script, Wire},
    },
};

/// What psql sends otherwise than it stands there: comments before a statement, empty lines within, no semicolon at the end.
const MIGRATION: &str = "-- V12\n\nset lock_timeout = '5s';\n/* what nobody\n   wants */\ndelete from orders\n\n where status = \
                         'cancelled' -- all of them\n;\n-- and\nupdate products set stock = stock + 1 where id = 1;\nupdate \
                         products set stock = stock + 1\nwhere id = 2\n";
const FIRST: &str = "delete from orders\n where status = 'cancelled'";
const SECOND: &str = "update products set stock = stock + 1 where id = 1";
const THIRD: &str = "update products set stock = stock + 1\nwhere id = 2";

/// Everything, by somebody's approval, and much without.
const BY_APPROVAL: &str = r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read", Action::"ddl",
                     Action::"set", Action::"transaction", Action::"temp"], resource);
           permit (principal, action, resource) when { context.approvals.count >= 1 };"#;

/// The shop's policy, on another connection.
const ON_CRM: &str = r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read"],
                     resource in Connection::"crm");
           permit (principal, action in Action::"write", resource in Connection::"crm")
           when { context.approvals.count >= 1 };"#;

impl Story {
    async fn runs_countersign(&self, who: &str, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&self.world.facts.config).args(args);
        let token = self.world.idp.token_for(who).expect("a token");
        command.env("COUNTERSIGN_TOKEN", token).kill_on_drop(true).output().await.expect("the binary")
    }

    /// `countersign request shop --each` as `who`, with a file of `text`.
    async fn asks_each(&self, who: &str, text: &str, more: &[&str]) -> Output {
        let file = self.folder().join("V12.sql");
        std::fs::write(&file, text).expect("a file");
        let file = file.display().to_string();
        self.runs_countersign(who, &[&["request", "shop", "--each", "-f", &file], more].concat()).await
    }

    /// The id of what ana asks for so, once priya has approved it.
    async fn approved_each(&self, text: &str) -> String {
        let id = id_in(&self.asks_each("ana", text, &[]).await);
        let taken = self.decides("priya", &id, Choice::Approve).await.expect("she may");
        assert!(taken.message.contains("each once"), "{}", taken.message);
        id
    }

    async fn psql_runs_file(&self, who: &str, text: &str, more: &[&str]) -> Output {
        let file = self.folder().join("sent.sql");
        std::fs::write(&file, text).expect("a file");
        let output = self.psql(who).arg("-f").arg(&file).args(more).output();
        timeout(PATIENCE, output).await.expect("psql ends").expect("psql")
    }

    async fn in_stock(&self, id: u32) -> i64 {
        self.number(&format!("select stock::bigint from products where id = {id}")).await
    }

    async fn cancelled(&self) -> i64 {
        self.number("select count(*) from orders where status = 'cancelled'").await
    }
}

fn id_in(output: &Output) -> String {
    let text = said(output);
    assert!(output.status.success(), "{text}");
    text.split_once("request ").expect("an id").1.split_whitespace().next().expect("an id").to_owned()
}

fn states(view: &RequestView) -> Vec<StepState> {
    view.steps.iter().map(|step| step.state).collect()
}

/// Another statement than those that were approved: held, and taken back.
async fn is_held_as_any(client: &Client, sql: &str, id: &str, why: &str) {
    let running = client.runs(sql);
    assert_ne!(client.is_held().await, id, "{why}");
    client.presses_ctrl_c().await;
    assert_eq!(running.gets_refused().await.code, "57014", "{why}");
}

/// Whether a statement is held, and not refused. It is taken back.
async fn is_held(client: &Client, sql: &str) -> bool {
    let running = client.runs(sql);
    tokio::select! {
        _ = client.is_held() => {
            client.presses_ctrl_c().await;
            running.gets_refused().await;
            true
        }
        () = running.is_over() => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_approved_once_and_runs_as_psql_sends_it_in_that_order_and_once() {
    let mut story = Story::begin().await;
    story.linked("priya").await;
    let (rows, one, two) = (story.cancelled().await, story.in_stock(1).await, story.in_stock(2).await);
    let asked = story.asks_each("ana", MIGRATION, &["--reason", "V12, as reviewed"]).await;
    let id = id_in(&asked);
    assert!(said(&asked).contains("one by one, in this order"), "{}", said(&asked));
    assert_eq!(id_in(&story.asks_each("ana", MIGRATION, &[]).await), id, "nobody is asked twice");
    let view = story.request("priya", &id).await;
    assert_eq!(states(&view), [Free, Waits, Waits, Waits]);
    assert_eq!(view.sql, MIGRATION.trim_end(), "all of it is shown, comments too");
    assert!([1, 2, 3].iter().all(|at| view.impact.iter().any(|one| one.statement == *at)), "{view:?}");
    let card = story.card_says(&id, "Statement by statement").await.shown();
    for says in ["1. changes a setting", "2. deletes rows from", "Statement 2: ", "4 statements, sent one by one"] {
        assert!(card.contains(says), "{says}: {card}");
    }
    story.decides("ana", &id, Choice::Approve).await.expect_err("not her own");
    assert!(!story.database_ran("set stock = stock + 1"), "nothing has run");
    // It waits longer than a gateway lives.
    story.kills_the_gateway().await;
    story.starts("serve").await;
    story.colleague("priya").presses("approve", &id).await;
    story.card_says(&id, "Its statements run as they are sent").await;
    let output = story.psql_runs_file("ana", MIGRATION, &["-v", "ON_ERROR_STOP=1"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains(&format!("statement 2 of 4 under request {id}")), "{}", said(&output));
    assert_eq!((story.cancelled().await, story.in_stock(1).await, story.in_stock(2).await), (0, one + 1, two + 1));
    let view = story.request("priya", &id).await;
    assert_eq!((states(&view), view.state), (vec![Free, Ran, Ran, Ran], State::Done), "{view:?}");
    assert_eq!(view.steps[1].outcome.as_deref(), Some(format!("DELETE {rows}").as_str()));
    story.card_says(&id, "3 of 3 statements").await;
    let shown = story.runs_countersign("ana", &["requests", "show", &id]).await;
    assert!(said(&shown).contains("3 of 3 statements"), "{}", said(&shown));
    // Once: the same file again is held.
    let ana = story.logs_in("ana").await;
    is_held_as_any(&ana, FIRST, &id, "once").await;
    // Who thinks better of it says so on the card, and the rest does not run.
    let other = story.approved_each(&format!("{SECOND};\n{THIRD};")).await;
    ana.runs(SECOND).ends().await.expect("the first");
    story.card_says(&other, "1 of 2 statements that need an approval has run").await;
    story.colleague("priya").denies(&other, "not on a Friday").await;
    let card = story.card_says(&other, "not on a Friday").await.shown();
    assert!(card.contains("Denied") && card.contains("1 of 2 statements"), "{card}");
    assert_eq!(ana.runs(THIRD).gets_refused().await.code, "57014");
    let written = story.everything_written();
    let log = written.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl"));
    let log: String = log.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("\"step\"") && line.contains(&id)).collect();
    assert_eq!(lines.len(), 6, "each is released, and runs, under its approvals: {lines:?}");
    assert!(lines.iter().all(|line| line.contains("priya@acme.dev")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_sends_them_one_by_one_itself_and_drivers_do_by_messages() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let (one, two) = (story.in_stock(1).await, story.in_stock(2).await);
    let (asking, deciding) = tokio::join!(story.asks_each("ana", MIGRATION, &["--run"]), async {
        let id = loop {
            if let Some(view) = story.waiting("priya").await.pop() {
                break view.id.to_string();
            }
            tokio::task::yield_now().await;
        };
        story.decides("priya", &id, Choice::Approve).await.expect("she may")
    });
    assert!(asking.status.success(), "{}", said(&asking));
    assert!(said(&asking).contains("statement 4 ran: 1 rows"), "{}", said(&asking));
    assert_eq!(deciding.request.steps.len(), 4);
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 1, two + 1));
    // Parse, Bind and Execute; an approved text counts for them as it does for Query.
    let id = story.approved_each(&format!("{SECOND};\n{THIRD};")).await;
    let ana = story.logs_in("ana").await;
    ana.executes(SECOND, vec![]).ends().await.expect("the first");
    ana.runs("select 1").ends().await.expect("what policy lets pass comes in between");
    ana.executes(&format!("{THIRD} ;"), vec![]).ends().await.expect("the second");
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 2, two + 2));
    // Without a name, and described before it is bound, as other drivers do.
    let id = story.approved_each(&format!("{SECOND};\n{THIRD};")).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let described = Script::default().parse("", SECOND).describe("").sync().bind("", "").execute("").sync();
    assert_eq!(wire.says(described, 2).await, ["UPDATE 1"]);
    let group = Script::default().parse("", THIRD).bind("", "").execute("").sync();
    assert_eq!(wire.says(group, 1).await, ["UPDATE 1"]);
    assert_eq!(story.request("priya", &id).await.state, State::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn they_run_within_the_transaction_that_the_file_begins() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let (one, two) = (story.in_stock(1).await, story.in_stock(2).await);
    let file = format!("begin;\n{SECOND};\n{THIRD};\ncommit;");
    let id = story.approved_each(&file).await;
    let ana = story.logs_in("ana").await;
    is_held_as_any(&ana, SECOND, &id, "it was asked for in a transaction").await;
    ana.runs("begin isolation level repeatable read").ends().await.expect("a transaction");
    is_held_as_any(&ana, SECOND, &id, "another transaction than was asked for").await;
    ana.runs("rollback").ends().await.expect("its end");
    let output = story.psql_runs_file("ana", &file, &["-v", "ON_ERROR_STOP=1"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 1, two + 1));
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    // Whose tool puts them around the file asks for a file that has them.
    let id = story.approved_each(&file).await;
    let output = story.psql_runs_file("ana", &format!("{SECOND};\n{THIRD};"), &["-1"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 2, two + 2));
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    // psql's own transaction is none of the file's.
    let id = story.approved_each(&format!("{SECOND};\n{THIRD};")).await;
    ana.runs("begin").ends().await.expect("a transaction");
    is_held_as_any(&ana, SECOND, &id, "it was asked for outside a transaction").await;
    ana.runs("rollback").ends().await.expect("its end");
    story.decides("ana", &id, Choice::Withdraw).await.expect("it is hers");
    // All of a transaction stays, or none; however the COMMIT is spelled, and sent.
    for (commits, by_message) in
        [("commit", false), ("end", true), ("commit and chain", false), ("select 1; commit", false)]
    {
        let id = story.approved_each(&file).await;
        let ana = story.logs_in("ana").await;
        for sql in ["begin", SECOND] {
            ana.runs(sql).ends().await.unwrap_or_else(|no| panic!("{sql}: {no:?}"));
        }
        let refused = if by_message {
            ana.executes(commits, vec![]).gets_refused().await
        } else {
            ana.runs(commits).gets_refused().await
        };
        assert!(refused.code == "55000" && refused.message.contains("1 more statement"), "{commits}: {refused:?}");
        ana.runs("commit").ends().await.expect("the server makes a ROLLBACK of it");
        story.ends_with(&id, State::Void).await;
    }
    // What stands in two does not run in one.
    let two_of_them = format!("begin;\n{SECOND};\ncommit;\nbegin;\n{THIRD};\ncommit;");
    let id = story.approved_each(&two_of_them).await;
    let other = story.logs_in("ana").await;
    for sql in ["begin", SECOND] {
        other.runs(sql).ends().await.unwrap_or_else(|no| panic!("{sql}: {no:?}"));
    }
    let refused = other.runs(THIRD).gets_refused().await;
    assert!(refused.message.contains("another transaction"), "{refused:?}");
    other.runs("rollback").ends().await.expect("its end");
    story.ends_with(&id, State::Void).await;
    for undo in ["rollback", "rollback to savepoint s"] {
        let id = story.approved_each(&file).await;
        let ana = story.logs_in("ana").await;
        for sql in ["begin", "savepoint s", SECOND, undo] {
            ana.runs(sql).ends().await.unwrap_or_else(|no| panic!("{sql}: {no:?}"));
        }
        if undo == "rollback" {
            ana.runs("begin").ends().await.expect("another transaction");
        }
        let refused = ana.runs(THIRD).gets_refused().await;
        assert!(refused.code == "57014" && refused.message.contains("rolled back"), "{refused:?}");
        ana.runs("rollback").ends().await.expect("its end");
        let view = story.request("priya", &id).await;
        assert!(view.state == State::Void, "{view:?}");
        is_held_as_any(&story.logs_in("ana").await, SECOND, &id, "it is over").await;
    }
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 2, two + 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_runs_by_it() {
    // Another connection, to the same database.
    let story = Story::gateway_with(|config, folder| {
        std::fs::write(folder.join("policy/90-crm.cedar"), ON_CRM).expect("a policy");
        let (_, shop) = config.split_once("[[connection]]").expect("a connection");
        let crm = shop.split("\n[").next().expect("all of it").replace("\"shop\"", "\"crm\"");
        format!("{config}\n[[connection]]{crm}\n")
    })
    .await;
    let (rows, one, two) = (story.cancelled().await, story.in_stock(1).await, story.in_stock(2).await);
    let id = story.approved_each(MIGRATION).await;
    let ana = story.logs_in("ana").await;
    is_held_as_any(&ana, SECOND, &id, "out of order, before anything was sent").await;
    is_held_as_any(&ana, MIGRATION, &id, "all of it as one text").await;
    is_held_as_any(&story.logs_in("ben").await, FIRST, &id, "it is hers").await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let elsewhere = Client::log_in(story.world.facts.listen, "crm", &token).await.expect("a session");
    is_held_as_any(&elsewhere, FIRST, &id, "another connection").await;
    for other in [
        "delete from orders where status = 'cancelled'",
        "delete from orders\n where status = 'paid'",
        "/* what nobody asked for */ delete from orders\n where status = 'cancelled'",
        "delete from orders\n where status = 'cancelled'; select 1",
    ] {
        is_held_as_any(&ana, other, &id, other).await;
    }
    ana.runs(FIRST).ends().await.expect("the first");
    assert_eq!(story.cancelled().await, 0);
    for (sql, says) in [(FIRST, "statement 2 of request"), (THIRD, "statement 3 comes next")] {
        let refused = ana.runs(sql).gets_refused().await;
        assert!(refused.code == "55000" && refused.message.contains(says), "{refused:?}");
    }
    is_held_as_any(&ana, "update products set stock = 0 where id = 1", &id, "another statement in between").await;
    // Another session of hers does not go on with it.
    let other = story.logs_in("ana").await;
    is_held_as_any(&other, SECOND, &id, "another session").await;
    // Not by a limit of rows, nor in a group with a BEGIN that nobody has answered.
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    wire.sends(Script::default().parse("", FIRST).bind("", "").execute_some("", 1).sync()).await;
    assert_ne!(wire.is_held_or_refused().await.as_deref(), Some(id.as_str()));
    ana.runs(SECOND).ends().await.expect("the second");
    ana.runs(THIRD).ends().await.expect("the third");
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 1, two + 1));
    assert!(rows > 0);
    assert_eq!(story.request("priya", &id).await.state, State::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_what_the_next_means_keeps_it_from_running() {
    let story = Story::under(BY_APPROVAL).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let ddl = async |sql: &str| direct.batch_execute(sql).await.unwrap_or_else(|no| panic!("{sql}: {no}"));
    ddl("create schema evil; create table evil.products (like public.products);").await;
    ddl("create function public.quiet() returns trigger language plpgsql as 'begin return new; end';").await;
    let file = format!("{SECOND};\n{THIRD};");
    let (one, two) = (story.in_stock(1).await, story.in_stock(2).await);
    for (changes, why, back) in [
        ("set search_path = evil, public", "what it does", "reset search_path"),
        ("set datestyle = 'German'", "a setting", "reset datestyle"),
        ("create temp table mine (id int)", "temporary", "drop table mine"),
        ("begin", "in a transaction", "rollback"),
    ] {
        let id = story.approved_each(&file).await;
        let ana = story.logs_in("ana").await;
        ana.runs(SECOND).ends().await.expect("the first");
        ana.runs(changes).ends().await.unwrap_or_else(|no| panic!("{changes}: {no:?}"));
        let refused = ana.runs(THIRD).gets_refused().await;
        let whole = format!("{} {} {}", refused.message, refused.detail, refused.hint);
        assert!(
            refused.code == "55000" && whole.contains(why) && whole.contains("ask again"),
            "{changes}: {refused:?}"
        );
        assert_eq!(story.request("priya", &id).await.state, State::Approved, "{changes}: nothing was used up");
        // As it was asked for, it goes on.
        ana.runs(back).ends().await.unwrap_or_else(|no| panic!("{back}: {no:?}"));
        ana.runs(THIRD).ends().await.unwrap_or_else(|no| panic!("{back}: {no:?}"));
    }
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 4, two + 4));
    for changes in [
        "alter table public.products add column more int",
        "create trigger quiet before update on public.products for each row execute function public.quiet()",
        "create or replace function public.quiet() returns trigger language plpgsql as 'begin new.stock = 0; return new; end'",
    ] {
        let id = story.approved_each(&file).await;
        let ana = story.logs_in("ana").await;
        ana.runs(SECOND).ends().await.expect("the first");
        ddl(changes).await;
        let refused = ana.runs(THIRD).gets_refused().await;
        assert!(
            refused.code == "55000" && refused.message.contains("is not what was approved"),
            "{changes}: {refused:?}"
        );
        drop(ana);
        story.ends_with(&id, State::Void).await;
    }
    ddl("drop trigger quiet on public.products; alter table public.products rename to kept; create table public.products (like public.kept)").await;
    ddl("insert into public.products select * from public.kept").await;
    let ana = story.logs_in("ana").await;
    let id = story.approved_each(&file).await;
    ddl("drop table public.products; alter table public.kept rename to products").await;
    is_held_as_any(&ana, SECOND, &id, "another table of that name").await;
}

impl Story {
    /// Waits until a request has come to a state.
    async fn ends_with(&self, id: &str, state: State) -> RequestView {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let waits = async {
            loop {
                let view = self.request("priya", id).await;
                if view.state == state {
                    return view;
                }
                looks.tick().await;
            }
        };
        timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("{id} comes to be {state}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_ends_the_rest_and_so_do_a_denial_and_the_end_of_the_session() {
    let mut story = Story::gateway_with(|config, _| config.to_owned()).await;
    let (one, two) = (story.in_stock(1).await, story.in_stock(2).await);
    let file = format!("{SECOND};\nupdate products set stock = stock / (stock - stock) where id = 3;\n{THIRD};");
    let id = story.approved_each(&file).await;
    // Without ON_ERROR_STOP psql goes on; what comes after the failure does not run.
    let output = story.psql_runs_file("ana", &file, &[]).await;
    let text = said(&output);
    assert!(text.contains("division by zero") && text.contains("the rest of request"), "{text}");
    let view = story.request("priya", &id).await;
    assert_eq!((view.state, states(&view)), (State::Void, vec![Ran, Failed, Waits]), "{view:?}");
    assert!(view.outcome.clone().and_then(|end| end.reason).is_some_and(|why| why.contains("statement 2")), "{view:?}");
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one + 1, two), "the third did not run");
    let file = format!("{SECOND};\n{THIRD};");
    // Somebody who approved it thinks better of it.
    let id = story.approved_each(&file).await;
    let ana = story.logs_in("ana").await;
    ana.runs(SECOND).ends().await.expect("the first");
    story.decides("priya", &id, Choice::Deny).await.expect("she may");
    let refused = ana.runs(THIRD).gets_refused().await;
    assert!(refused.code == "57014" && refused.message.contains("denied"), "{refused:?}");
    // So does whoever asked.
    let id = story.approved_each(&file).await;
    let ana = story.logs_in("ana").await;
    ana.runs(SECOND).ends().await.expect("the first");
    story.decides("ana", &id, Choice::Withdraw).await.expect("it is hers");
    assert_eq!(ana.runs(THIRD).gets_refused().await.code, "57014");
    // Policy changes.
    let id = story.approved_each(&file).await;
    let ana = story.logs_in("ana").await;
    ana.runs(SECOND).ends().await.expect("the first");
    let policy = story.folder().join("policy/95-stop.cedar");
    let stop = r#"@error("Not today.") forbid (principal, action == Action::"update", resource == Table::"shop/public.products");"#;
    std::fs::write(&policy, stop).expect("a policy");
    while is_held(&ana, "update products set stock = 0 where id = 9").await {}
    let refused = ana.runs(THIRD).gets_refused().await;
    assert!(refused.message.contains("Not today"), "{refused:?}");
    assert_eq!(story.request("priya", &id).await.state, State::Void);
    std::fs::remove_file(&policy).expect("a policy");
    assert_eq!(story.in_stock(2).await, two);
    let ana = story.logs_in("ana").await;
    while !is_held(&ana, "update products set stock = 0 where id = 9").await {}
    // What policy lets pass by then is still the list's.
    let id = story.approved_each(&file).await;
    let other = story.logs_in("ana").await;
    other.runs(SECOND).ends().await.expect("the first");
    let more = r#"permit (principal, action == Action::"update", resource == Table::"shop/public.products");"#;
    std::fs::write(&policy, more).expect("a policy");
    while is_held(&ana, "update products set stock = 0 where id = 9").await {}
    other.runs(THIRD).ends().await.expect("the second");
    assert_eq!(story.request("ana", &id).await.state, State::Done);
    assert_eq!(story.in_stock(2).await, two + 1);
    std::fs::remove_file(&policy).expect("a policy");
    while !is_held(&ana, "update products set stock = 0 where id = 9").await {}
    // The session ends, and then the gateway.
    let id = story.approved_each(&file).await;
    ana.runs(SECOND).ends().await.expect("the first");
    ana.closes();
    let view = story.ends_with(&id, State::Void).await;
    assert!(view.outcome.and_then(|end| end.reason).is_some_and(|why| why.contains("session ended")));
    let other = story.logs_in("ana").await;
    is_held_as_any(&other, THIRD, &id, "it goes on nowhere").await;
    let id = story.approved_each(&file).await;
    other.runs(SECOND).ends().await.expect("the first");
    story.kills_the_gateway().await;
    story.starts("gateway").await;
    assert_eq!(story.request("priya", &id).await.state, State::Void);
    assert_eq!(story.in_stock(2).await, two + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_known_before_is_not_asked_for_by_itself() {
    let story = Story::under(BY_APPROVAL).await;
    for (file, says) in [
        ("create table fresh (id int);\ninsert into fresh values (1);", "there is no fresh yet"),
        (
            "alter table products add column more int;\nupdate products set more = 1 where id = 1;",
            "once statement 1 has run",
        ),
        (
            "create function public.f() returns int language sql as 'select 1';\ndelete from customers where id = 1;",
            "which changes the function public.f",
        ),
        (
            "set search_path = public;\ndelete from orders where id = 1;",
            "once statement 1 has run, which changes what names",
        ),
        ("create temp table mine (id int);\ndelete from orders where id = 1;", "something temporary"),
        ("begin;\ndelete from orders where id = 1;", "not ended by a COMMIT"),
        ("begin isolation level serializable;\ndelete from orders where id = 1;\ncommit;", "only a plain BEGIN"),
        ("begin;\ndelete from orders where id = 1;\nrollback;", "only a plain BEGIN"),
        ("delete from orders where id = pg_backend_pid();", "nobody can be asked for later"),
        ("select 1;", "policy lets this pass without an approval"),
        ("delete from orders where id = 1;\nselec 1;", "syntax error"),
    ] {
        let output = story.asks_each("ana", file, &[]).await;
        assert!(said(&output).contains(says), "{file}: {}", said(&output));
    }
    assert_eq!(story.waiting("priya").await.len(), 0, "nothing was asked for");
    assert!(!story.database_ran("create table fresh") && !story.database_ran("delete from orders"));
    // What policy lets pass may change other things, and what rests on them is not in the file.
    let file = "create table fresh (id int);\ndelete from orders where status = 'cancelled';\n";
    let id = story.approved_each(file).await;
    let output = story.psql_runs_file("ana", file, &["-v", "ON_ERROR_STOP=1"]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((story.cancelled().await, story.request("priya", &id).await.state), (0, State::Done));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_undoes_one_of_them_ends_the_rest() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let (one, two) = (story.in_stock(1).await, story.in_stock(2).await);
    let alone = format!("{SECOND};\n{THIRD};");
    let within = format!("begin;\n{SECOND};\n{THIRD};\ncommit;");
    let run = |sql: &str| Script::default().runs(sql).sync();
    let groups = [
        // An error later in its group of messages.
        (&alone, Script::default().runs(SECOND).runs("select 1/0").sync(), 1, None),
        // One in its transaction, of a statement that nobody is asked about; the COMMIT is a ROLLBACK then.
        (&within, Script::default().query("begin").query(SECOND).query("select 1/0").query("commit"), 4, Some("begin")),
        // One that the gateway makes.
        (
            &within,
            Script::default().query("begin").query(SECOND).query("drop table orders").query("commit"),
            4,
            Some("begin"),
        ),
        // What it was to be a part of is undone, however that is spelled.
        (&within, Script::default().query("begin").query(SECOND).query("abort"), 3, Some("begin")),
        (&within, Script::default().query("begin").query(SECOND).query("rollback and chain"), 3, None),
        (&within, Script::default().query("begin").query("savepoint a").query(SECOND).query("rollback to a"), 4, None),
    ];
    for (at, (file, script, times, again)) in groups.into_iter().enumerate() {
        let id = story.approved_each(file).await;
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        let said = wire.says(script, times).await;
        assert!(said.iter().any(|one| one == "UPDATE 1"), "{at}: {said:?}");
        if let Some(again) = again {
            wire.says(Script::default().query(again), 1).await;
        }
        assert_eq!(wire.says(run(THIRD), 1).await, ["57014"], "{at}");
        story.ends_with(&id, State::Void).await;
    }
    // In a group with what may change what it means, it is no part of it.
    let id = story.approved_each(&alone).await;
    for before in ["begin", "set search_path = public"] {
        let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
        wire.sends(Script::default().runs(before).runs(SECOND).sync()).await;
        assert_ne!(wire.is_held_or_refused().await.as_deref(), Some(id.as_str()), "{before}");
    }
    assert_eq!(story.request("priya", &id).await.state, State::Approved);
    story.decides("ana", &id, Choice::Withdraw).await.expect("it is hers");
    // More rows than its card stated: it is undone.
    let file = format!("{FIRST};\n{SECOND};");
    let id = story.approved_each(&file).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("update orders set status = 'cancelled'").await.expect("more of them");
    let (ana, cancelled) = (story.logs_in("ana").await, story.cancelled().await);
    let refused = ana.runs(FIRST).gets_refused().await;
    assert!(refused.message.contains("more rows") || refused.code == "42501", "{refused:?}");
    let refused = ana.runs(SECOND).gets_refused().await;
    assert!(refused.code == "57014" && refused.message.contains("statement 1"), "{refused:?}");
    assert_eq!((story.cancelled().await, story.request("priya", &id).await.state), (cancelled, State::Void));
    assert_eq!((story.in_stock(1).await, story.in_stock(2).await), (one, two), "nothing of it stayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_classified_is_neither_shown_nor_revealed_by_it() {
    let story = Story::gateway_with(|config, folder| {
        let reveal =
            "permit (principal, action == Action::\"reveal\", resource) when { context.approvals.count >= 1 };";
        std::fs::write(folder.join("policy/90-reveal.cedar"), reveal).expect("a policy");
        let classify = "classify = [{ column = \"public.customers.email\", as = \"pii\", mask = \"email\" }]";
        config.replace("[[connection]]", &format!("[[connection]]\n{classify}"))
    })
    .await;
    let returning = "update customers set country = country where id = 1 returning email";
    let writes = "update customers set email = 'hers@example.com' where id = 2";
    let id = story.approved_each(&format!("{returning};\n{writes};")).await;
    let view = story.request("priya", &id).await;
    assert!(view.sql.contains("returning email") && !view.sql.contains("hers@example.com"), "{}", view.sql);
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.reveal = 'ticket 7'").ends().await.expect("a setting");
    is_held_as_any(&ana, returning, &id, "nobody was asked to reveal anything by it").await;
    ana.runs("reset countersign.reveal").ends().await.expect("a setting");
    let rows = ana.runs(returning).ends().await.expect("the first").rows;
    let clear = story.world.upstream.connect().await.expect("a way into the database");
    let clear: String = clear.query_one("select email from customers where id = 1", &[]).await.expect("a row").get(0);
    assert!(rows.len() == 1 && rows[0][0].as_deref().is_some_and(|shown| shown != clear), "{rows:?}");
    ana.runs(writes).ends().await.expect("the second");
    assert_eq!(story.request("priya", &id).await.state, State::Done);
    assert_eq!(story.number("select count(*) from customers where email = 'hers@example.com'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_changes_statement_by_statement_in_a_transaction_and_where_none_may_be() {
    let story = Story::under(
        r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read"], resource);
           permit (principal, action, resource) when { context.approvals.count >= 1 };"#,
    )
    .await;
    let by_itself = "create index concurrently orders_made on orders (created_at);\nalter table products add column note text;\n\
                     update customers set country = 'FR' where id = 1;\ncreate table fresh (id int primary key);\n\
                     create index concurrently items_made on order_items (quantity);\n";
    let within = "begin;\nalter table products add column more int default 7;\ndelete from orders where status = 'cancelled';\n\
                  set local lock_timeout = '9s';\ndrop table fresh;\nupdate customers set country = 'IT' where id = 1;\n\
                  create function public.seven() returns int language sql as 'select 7';\ncommit;\n";
    for file in [by_itself, within] {
        let id = story.approved_each(file).await;
        let output = story.psql_runs_file("ana", file, &["-v", "ON_ERROR_STOP=1"]).await;
        let view = story.request("priya", &id).await;
        assert!(output.status.success(), "{}\n{view:?}", said(&output));
        assert_eq!(view.state, State::Done, "{view:?}");
        assert!(states(&view).iter().all(|state| matches!(state, Ran | Free)), "{view:?}");
    }
    assert_eq!(story.number("select count(*) from customers where id = 1 and country = 'IT'").await, 1);
    assert_eq!(story.number("select count(*) from products where more = 7 and note is null").await, 120);
    assert_eq!(story.cancelled().await, 0);
    // What somebody else changes while it runs is not what was approved, in a transaction neither.
    let file =
        "begin;\nalter table products drop column more;\nupdate customers set country = 'PT' where id = 1;\ncommit;\n";
    let id = story.approved_each(file).await;
    let ana = story.logs_in("ana").await;
    for sql in ["begin", "alter table products drop column more"] {
        ana.runs(sql).ends().await.unwrap_or_else(|no| panic!("{sql}: {no:?}"));
    }
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("alter table customers add column more text").await.expect("another column");
    let refused = ana.runs("update customers set country = 'PT' where id = 1").gets_refused().await;
    assert!(
        refused.message.contains("customers") && refused.message.contains("is not what was approved"),
        "{refused:?}"
    );
    ana.runs("rollback").ends().await.expect("its end");
    story.ends_with(&id, State::Void).await;
    assert_eq!(story.number("select count(*) from products where more = 7").await, 120, "all of it is undone");
}

/// What policy says of many rows holds for a list, too: when it is asked for, and when its statement comes.
#[tokio::test(flavor = "multi_thread")]
async fn policy_reads_the_rows_of_each_statement() {
    let many = r#"forbid (principal, action in Action::"write", resource)
                  when { context.sql has rows && context.sql.rows > 5 };"#;
    let story = Story::under(&format!("{BY_APPROVAL}{many}")).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct
        .batch_execute(
            "create table counted (id int primary key, n int); insert into counted select generate_series(1, 8), 0",
        )
        .await
        .expect("eight rows");
    let touches = "update counted set n = n + 1 where n = 0";
    let file = format!("{SECOND};\n{touches};\n");
    let refused = story.asks_each("ana", &file, &[]).await;
    assert!(!refused.status.success() && said(&refused).contains("policy denies"), "eight rows: {}", said(&refused));

    direct.batch_execute("delete from counted where id > 4").await.expect("four rows");
    let id = story.approved_each(&file).await;
    direct.batch_execute("insert into counted select generate_series(5, 8), 0").await.expect("eight rows again");
    let ana = story.logs_in("ana").await;
    ana.runs(SECOND).ends().await.expect("its turn");
    let refused = ana.runs(touches).gets_refused().await;
    assert!(refused.code == "57014" && refused.message.contains("policy no longer permits it"), "{refused:?}");
    assert_eq!(story.number("select sum(n)::bigint from counted").await, 0);
    assert_eq!(story.request("ana", &id).await.state, State::Void);
}

/// Each statement is counted that touches nothing that one before it writes; of the others the card says that nobody did.
#[tokio::test(flavor = "multi_thread")]
async fn each_is_counted_and_the_card_says_which_are_not() {
    let story = Story::under(BY_APPROVAL).await;
    let long = format!("-- {}\n", "x".repeat(9_000));
    let file = format!("{long}{SECOND};\nupdate orders set status = status where id < 5;\n{SECOND};\n");
    let id = id_in(&story.asks_each("ana", &file, &[]).await);
    let view = story.request("priya", &id).await;
    let counted: Vec<_> =
        view.impact.iter().filter(|one| one.counted).map(|one| (one.statement, one.counted, one.rows)).collect();
    assert_eq!(counted, [(0, true, Some(1)), (1, true, Some(4))], "{view:?}");
    assert!(
        view.notes.iter().any(|note| note.ends_with("held to no number of rows: statement 3.")),
        "{:?}",
        view.notes
    );
}

/// Whoever denies the COMMIT of what is reviewed undoes a statement of the list, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_denied_ends_the_rest() {
    let policy = r#"permit (principal, action in [Action::"connect", Action::"approve", Action::"read", Action::"transaction"], resource);
        permit (principal, action == Action::"delete", resource) when { context.approvals.count >= 1 };
        permit (principal, action == Action::"update", resource)
        when { context.approvals.count >= 1 && context.approvals.at_commit };"#;
    let story = Story::under(policy).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("create table lots (id int); insert into lots values (1), (2)").await.expect("two lots");
    let (first, second) = ("delete from lots where id = 1", "delete from lots where id = 2");
    let id = story.approved_each(&format!("begin;\n{first};\n{second};\ncommit;\n")).await;
    let ana = story.logs_in("ana").await;
    ana.runs("begin").ends().await.expect("begin");
    ana.runs(first).ends().await.expect("its turn");
    ana.runs("update products set stock = 7 where id = 3").ends().await.expect("it is reviewed at the COMMIT");
    let commit = ana.runs("commit");
    let refused = tokio::select! {
        held = ana.is_held() => {
            story.decides("priya", &held, Choice::Deny).await.expect("a denial");
            commit.gets_refused().await
        }
        () = commit.is_over() => commit.gets_refused().await,
    };
    assert!(!refused.code.is_empty(), "nothing of it stays");
    story.until_void(&id).await;
}

impl Story {
    /// Waits until the rest of a list is over.
    async fn until_void(&self, id: &str) {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..200 {
            if self.request("ana", id).await.state == State::Void {
                return;
            }
            looks.tick().await;
        }
        panic!("the rest goes on");
    }
}
