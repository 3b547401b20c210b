//! Approved for a time: the same text of the same principal runs again without anybody being asked, so often and so
//! much as its approvers allowed, and nothing else does. The database is the judge of what ran.

use countersign_shared::{
    allow::{Parameters, Terms},
    api::{AllowanceView, DecisionBody, RequestView},
    request::{Choice, State},
};
use reqwest::Method;
use tokio_postgres::Client as Direct;

use crate::harness::{
    CHANNEL, PATIENCE, Story,
    client::{Client, Refused},
    wire::{Script, Wire},
};

/// Engineers and DBAs write with one approval, which may be for a time; DBAs approve, admins administer.
const POLICY: &str = r#"
permit (principal, action == Action::"connect", resource);
permit (principal, action in [Action::"read", Action::"call", Action::"ddl", Action::"admin"], resource);
@id("writes")
@allowance("30m, 3 runs, 20 rows, free parameters")
permit (principal, action in [Action::"insert", Action::"update", Action::"delete", Action::"merge", Action::"copy_in"], resource)
when { context.approvals.count >= 1 };
permit (principal in Group::"dba", action == Action::"approve", resource);
permit (principal in Group::"admins", action == Action::"administer", resource);
"#;

const MORE: &str = "update products set stock = stock + 1 where id = 1";
const PINNED: Terms = Terms { minutes: 30, runs: 3, rows: 20, parameters: Parameters::Pinned };
const FREE: Terms = Terms { parameters: Parameters::Free, ..PINNED };

/// What became of a statement.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Ran,
    Held(String),
    Refused(String),
}

impl Story {
    /// Sends a text as psql does; one that is held is withdrawn.
    async fn tries(&self, client: &Client, sql: &str) -> Became {
        let running = client.runs(sql);
        let held = tokio::select! {
            id = client.is_held() => Some(id),
            () = running.is_over() => None,
        };
        if let Some(id) = held {
            client.presses_ctrl_c().await;
            assert_eq!(running.gets_refused().await.code, "57014", "{sql}: withdrawn");
            return Became::Held(id);
        }
        became(running.ends().await.map(drop))
    }

    /// Has `sql` of ana's approved so; its request.
    async fn allowed(&self, ana: &Client, sql: &str, terms: Terms) -> String {
        let running = ana.runs(sql);
        let id = ana.is_held().await;
        self.allows("priya", &id, terms).await.expect("she may");
        running.ends().await.expect("it runs");
        id
    }

    async fn allowance(&self, id: &str) -> AllowanceView {
        self.request("priya", id).await.allowance.expect("an allowance")
    }

    /// Waits until an allowance is so.
    async fn allowance_is(&self, id: &str, state: &str) -> AllowanceView {
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let waits = async {
            loop {
                let now = self.allowance(id).await;
                if now.state == state {
                    return now;
                }
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, waits).await.expect(state)
    }

    async fn stock(&self, product: i64) -> i64 {
        self.number(&format!("select stock::bigint from products where id = {product}")).await
    }

    async fn direct(&self) -> Direct {
        self.world.upstream.connect().await.expect("a way into the database")
    }

    /// Puts other policies in force.
    fn rules(&self, policy: &str) {
        std::fs::write(self.world.facts.policy.join("only.cedar"), policy).expect("a policy");
    }

    /// The entries of the log about a request, of one kind.
    fn logged(&self, id: &str, kind: &str) -> Vec<serde_json::Value> {
        let log = self.folder().join("records/log");
        let mut found = Vec::new();
        for file in std::fs::read_dir(log).expect("the log") {
            let file = file.expect("a file").path();
            if file.extension().is_some_and(|extension| extension == "jsonl") {
                let text = std::fs::read_to_string(file).expect("a segment");
                let entries = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
                found.extend(entries.filter(|entry| entry["request"] == id && entry["kind"] == kind));
            }
        }
        found.sort_by_key(|entry| entry["seq"].as_u64());
        found
    }
}

fn became(ended: Result<(), Refused>) -> Became {
    match ended {
        Ok(()) => Became::Ran,
        Err(refused) => Became::Refused(refused.code),
    }
}

fn is_held(became: &Became) -> bool {
    matches!(became, Became::Held(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_allowed_runs_again_until_its_runs_are_used_up() {
    let story = Story::under(POLICY).await;
    let (ana, stock) = (story.logs_in("ana").await, story.stock(1).await);
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    assert_eq!(view.allowable, Some(Terms { parameters: Parameters::Free, ..PINNED }), "the most that policy says");
    assert_eq!(story.allows("ana", &id, PINNED).await.expect_err("not her own").code, "own_request");
    let body = DecisionBody { choice: Choice::Approve, digest: view.digest, reason: None, allow: Some(PINNED) };
    assert_eq!(story.decides_with("ben", &id, &body).await.expect_err("he may not").code, "not_an_approver");
    let taken = story.allows("priya", &id, PINNED).await.expect("she may");
    assert!(taken.message.contains("for 30 min, 3 runs of at most 20 rows each"), "{}", taken.message);
    let told = ana.is_told("run 1 under request").await;
    assert!(
        told.contains(&id) && told.contains("allowed by priya@acme.dev until") && told.ends_with("2 more are left")
    );
    running.ends().await.expect("it runs");
    ana.runs(MORE).ends().await.expect("it runs again");
    assert!(ana.is_told("run 2 under request").await.ends_with("1 more is left"));
    let open = story.calls("priya", Method::GET, "v1/requests?allowed=open", None).await.expect("a list");
    assert_eq!((open[0]["id"].as_str(), &open[0]["allowance"]["taken"]), (Some(id.as_str()), &2.into()));
    assert_eq!(
        story.calls("ben", Method::GET, "v1/requests?allowed=open", None).await.expect("a list"),
        serde_json::json!([])
    );
    // In another session, by the other protocol.
    let again = story.logs_in("ana").await;
    assert_eq!(again.executes(MORE, vec![]).ends().await, Ok(1));
    assert!(again.is_told("run 3 under request").await.ends_with("it is the last"));
    assert_eq!(story.stock(1).await, stock + 3);
    assert!(is_held(&story.tries(&ana, MORE).await), "used up");
    let over = story.allowance(&id).await;
    assert_eq!((over.state.as_str(), over.taken), ("used", 3));
    let outcomes: Vec<_> = over.runs.iter().map(|run| run.outcome.as_deref()).collect();
    assert_eq!(outcomes, [Some("UPDATE 1"); 3]);
    assert_eq!(story.times_database_ran(MORE), 3);
    // Each run is in the log, under the approval.
    let runs = story.logged(&id, "statement");
    let evidence: Vec<_> = runs.iter().map(|run| &run["detail"]["allowance"]).collect();
    assert_eq!(evidence.iter().map(|one| one["run"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    assert!(evidence.iter().all(|one| one["approvals"][0]["approver"] == "priya@acme.dev" && one["of"] == 3));
    assert!(runs.iter().all(|run| run["sql"] == MORE));
    assert_eq!(story.logged(&id, "outcome").len(), 3);
    assert_eq!(story.logged(&id, "allowance_ended")[0]["outcome"], "used");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_runs_by_it() {
    let mut story = Story::prepared_under(POLICY).await;
    let file = story.world.facts.config.clone();
    let config = std::fs::read_to_string(&file).expect("the config");
    let (_, shop) = config.split_once("[[connection]]").expect("a connection");
    let shop = shop.split("\n[").next().expect("its lines").replace("\"shop\"", "\"crm\"");
    std::fs::write(&file, format!("{config}\n[[connection]]{shop}\n"))
        .expect("another connection to the same database");
    story.starts("gateway").await;
    let (ana, ben) = (story.logs_in("ana").await, story.logs_in("ben").await);
    let token = story.world.idp.token_for("ana").expect("a token");
    let crm = Client::log_in(story.world.facts.listen, "crm", &token).await.expect("another connection");
    let stock = story.stock(1).await;
    let id = story.allowed(&ana, MORE, PINNED).await;
    let others = [
        ("another text, by a blank", &ana, format!("{MORE} ")),
        ("another text, by a comment", &ana, format!("/* it */ {MORE}")),
        ("another row", &ana, MORE.replace("id = 1", "id = 2")),
        ("in company", &ana, format!("{MORE}; select 1")),
        ("by EXPLAIN ANALYZE", &ana, format!("explain analyze {MORE}")),
        ("somebody else", &ben, MORE.to_owned()),
        ("on another connection", &crm, MORE.to_owned()),
    ];
    for (case, client, sql) in &others {
        assert!(is_held(&story.tries(client, sql).await), "{case}");
    }
    // Inside a transaction what it does is counted otherwise, and undone otherwise.
    ana.runs("begin").ends().await.expect("begin");
    assert!(is_held(&story.tries(&ana, MORE).await), "in a transaction");
    ana.runs("rollback").ends().await.expect("its end");
    // Another session of hers, with something of its own by a name of the text.
    let shadowed = story.logs_in("ana").await;
    shadowed.runs("create temp table products as select 1::bigint as id, 1 as stock").ends().await.expect("hers");
    let became = story.tries(&shadowed, MORE).await;
    assert!(became != Became::Ran && !story.allowance(&id).await.runs.iter().any(|run| run.number == 2), "{became:?}");
    assert_eq!(story.stock(1).await, stock + 1, "only the one that was approved");
    let now = story.allowance(&id).await;
    assert_eq!((now.state.as_str(), now.taken), ("open", 1), "and nothing of it was used");
    assert_eq!(story.tries(&ana, MORE).await, Became::Ran, "while it itself runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_what_it_means_ends_it_for_good() {
    let story = Story::under(POLICY).await;
    let direct = story.direct().await;
    direct
        .batch_execute("create schema evil; create table evil.products (id bigint, stock int)")
        .await
        .expect("a schema");
    direct.batch_execute("create table noted (what text)").await.expect("a table");
    // What somebody does: in ana's session, or in the database.
    let table = [
        ("the path", true, "set search_path = evil, public", "set search_path = public"),
        ("a setting that changes what a constant means", true, "set datestyle = 'german'", "reset datestyle"),
        ("a definition", false, "alter table products add column more text", "alter table products drop column more"),
        (
            "a trigger",
            false,
            "create function note() returns trigger language plpgsql as
             $$ begin insert into noted values ('x'); return new; end $$;
             create trigger notes after update on products for each row execute function note()",
            "drop function note cascade",
        ),
    ];
    for (case, hers, change, back) in table {
        let ana = story.logs_in("ana").await;
        ana.runs("select 1").ends().await.expect("a session that is known");
        let id = story.allowed(&ana, MORE, PINNED).await;
        assert_eq!(story.tries(&ana, MORE).await, Became::Ran, "{case}: before");
        let stock = story.stock(1).await;
        let changes = async |sql: &str| {
            if hers {
                drop(ana.runs(sql).ends().await.expect(sql))
            } else {
                direct.batch_execute(sql).await.expect(sql)
            }
        };
        changes(change).await;
        assert!(is_held(&story.tries(&ana, MORE).await), "{case}");
        let over = story.allowance(&id).await;
        assert_eq!((over.state.as_str(), over.taken), ("void", 2), "{case}");
        assert!(over.ended_why.is_some_and(|why| why.contains("what it rests on has changed")), "{case}");
        changes(back).await;
        assert!(is_held(&story.tries(&ana, MORE).await), "{case}: it does not come back");
        assert_eq!(story.stock(1).await, stock, "{case}");
        assert!(
            story.logged(&id, "allowance_ended")[0]["outcome"].as_str().expect("how").starts_with("void: "),
            "{case}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_those_that_were_shown_or_any() {
    let story = Story::under(POLICY).await;
    let ana = story.logs_in("ana").await;
    let update = "update products set stock = stock + 1 where id = $1";
    let executes = async |id: i64| {
        let running = ana.executes(update, vec![Box::new(id)]);
        let held = tokio::select! {
            id = ana.is_held() => Some(id),
            () = running.is_over() => None,
        };
        if held.is_some() {
            ana.presses_ctrl_c().await;
            running.gets_refused().await;
            return false;
        }
        assert_eq!(running.ends().await, Ok(1));
        true
    };
    for (terms, others) in [(PINNED, false), (FREE, true)] {
        let first = ana.executes(update, vec![Box::new(1_i64)]);
        let id = ana.is_held().await;
        story.allows("priya", &id, terms).await.expect("she may");
        first.ends().await.expect("it runs");
        assert_eq!(executes(2).await, others, "{terms:?}: another value");
        assert!(executes(1).await, "{terms:?}: the same value");
        let said: Vec<_> =
            story.logged(&id, "statement").iter().map(|run| run["detail"]["parameters"][0].clone()).collect();
        let expected: Vec<&str> = if others { vec!["1", "2", "1"] } else { vec!["1", "1"] };
        assert_eq!(said, expected, "each run's own value is in the log");
        story.ends_allowance("priya", &id).await.ok();
    }
    let beyond = Terms { runs: 4, ..PINNED };
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    assert_eq!(story.allows("priya", &id, beyond).await.expect_err("more than policy says").code, "not_allowable");
    assert_eq!(story.request("priya", &id).await.state, State::Pending, "nothing was approved");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    running.ends().await.expect("it runs");
    assert!(is_held(&story.tries(&ana, MORE).await), "approved once");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_run_touches_more_rows_than_was_allowed() {
    let story = Story::under(POLICY).await;
    let (ana, direct) = (story.logs_in("ana").await, story.direct().await);
    direct
        .batch_execute(
            "create table marks (id bigint primary key, kind text);
             create table noted (what text);
             insert into marks select n, 'a' from generate_series(1, 8) n",
        )
        .await
        .expect("the tables");
    ana.runs("create table seen_at_once ()").ends().await.expect("so that the gateway looks again");
    let update = "update marks set kind = 'a' where kind = 'a'";
    let eight = Terms { rows: 8, ..PINNED };
    let running = ana.runs(update);
    let id = ana.is_held().await;
    let fewer = story.allows("priya", &id, Terms { rows: 7, ..PINNED }).await.expect_err("it touches eight");
    assert!(fewer.error.contains("8 rows"), "{fewer:?}");
    story.allows("priya", &id, eight).await.expect("she may");
    running.ends().await.expect("it runs");
    direct.batch_execute("insert into marks values (9, 'a')").await.expect("one more");
    let version = "select max(xmin::text::bigint) from marks";
    let before = story.number(version).await;
    // By the card's tolerance it would pass.
    for extended in [false, true] {
        let refused = if extended {
            ana.executes(update, vec![]).gets_refused().await
        } else {
            ana.runs(update).gets_refused().await
        };
        assert_eq!(refused.code, "42501", "{refused:?}");
        assert!(refused.detail.contains("9 rows were touched in all") && refused.detail.contains("a run may touch 8"));
        assert_eq!(story.number(version).await, before, "undone");
    }
    let over = story.allowance(&id).await;
    assert_eq!((over.taken, over.state.as_str()), (3, "used"), "they ran, and were undone");
    assert!(over.runs[2].outcome.as_deref().is_some_and(|outcome| outcome.starts_with("undone: ")));
    // The first run is held to it, too, and what a trigger writes counts.
    direct.batch_execute("delete from marks where id = 9").await.expect("eight");
    ana.runs(
        "create function note() returns trigger language plpgsql as
         $$ begin insert into noted values ('x'); return null; end $$;
         create trigger notes after update on marks for each row execute function note()",
    )
    .ends()
    .await
    .expect("a trigger");
    let running = ana.runs(update);
    let id = ana.is_held().await;
    story.allows("priya", &id, eight).await.expect("she may");
    let refused = running.gets_refused().await;
    assert!(refused.detail.contains("16 rows were touched in all"), "{refused:?}");
    assert_eq!(story.number("select count(*) from noted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_come_at_once_no_more_run_than_were_allowed() {
    let story = Story::under(POLICY).await;
    let (ana, stock) = (story.logs_in("ana").await, story.stock(1).await);
    let id = story.allowed(&ana, MORE, PINNED).await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        let session = story.logs_in("ana").await;
        session.runs("select 1").ends().await.expect("it is known");
        sessions.push(session);
    }
    let running: Vec<_> = sessions.iter().map(|session| session.runs(MORE)).collect();
    let mut ran = 0;
    for (session, one) in sessions.iter().zip(running) {
        tokio::select! {
            _ = session.is_held() => session.closes(),
            () = one.is_over() => ran += usize::from(one.ends().await.is_ok()),
        }
    }
    assert_eq!((ran, story.stock(1).await), (2, stock + 3), "two were left");
    let over = story.allowance_is(&id, "used").await;
    assert_eq!(over.runs.iter().map(|run| run.number).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_ends_it_and_nobody_else() {
    let story = Story::under(POLICY).await;
    let ana = story.logs_in("ana").await;
    for who in ["priya", "dario", "ana", "olu"] {
        let id = story.allowed(&ana, MORE, PINNED).await;
        for other in ["ben", "sam"] {
            assert_eq!(story.ends_allowance(other, &id).await.expect_err("not theirs").code, "not_found", "{other}");
        }
        assert_eq!(story.tries(&ana, MORE).await, Became::Ran, "before {who}");
        let stock = story.stock(1).await;
        let ended = story.ends_allowance(who, &id).await.unwrap_or_else(|why| panic!("{who}: {why:?}"));
        assert!(ended.message.contains("waits for approval again"), "{}", ended.message);
        assert!(is_held(&story.tries(&ana, MORE).await), "after {who}");
        assert_eq!(story.stock(1).await, stock);
        let over = story.allowance(&id).await;
        assert_eq!((over.state.as_str(), over.ended_by), ("revoked", Some(format!("{who}@acme.dev"))));
        assert_eq!(story.ends_allowance(who, &id).await.expect_err("once").code, "over");
        assert_eq!(story.logged(&id, "allowance_ended")[0]["detail"]["by"], format!("{who}@acme.dev"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_at_once_where_policy_lets_nobody_allow_it_any_more() {
    let less = |policy: &str, from: &str, to: &str| {
        assert!(policy.contains(from), "{from}");
        policy.replace(from, to)
    };
    let table = [
        ("no allowance", less(POLICY, "@allowance(\"30m, 3 runs, 20 rows, free parameters\")\n", "")),
        ("fewer rows", less(POLICY, "20 rows", "19 rows")),
        ("less time", less(POLICY, "30m", "29m")),
        (
            "the requester's right",
            less(
                POLICY,
                "principal, action in [Action::\"insert\"",
                "principal in Group::\"sales\", action in [Action::\"insert\"",
            ),
        ),
        ("the approver's right", less(POLICY, "principal in Group::\"dba\"", "principal in Group::\"leads\"")),
        ("more people", less(POLICY, "count >= 1", "count >= 2")),
        (
            "nobody may connect",
            less(
                POLICY,
                "principal, action == Action::\"connect\"",
                "principal in Group::\"dba\", action == Action::\"connect\"",
            ),
        ),
    ];
    let story = Story::under(POLICY).await;
    for (case, policy) in table {
        let ana = story.logs_in("ana").await;
        let id = story.allowed(&ana, MORE, PINNED).await;
        let stock = story.stock(1).await;
        story.rules(&policy);
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let over = async {
            while story.logged(&id, "allowance_ended").is_empty() {
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, over).await.expect(case);
        assert!(
            story.logged(&id, "allowance_ended")[0]["outcome"].as_str().expect("how").starts_with("void: "),
            "{case}"
        );
        story.rules(POLICY);
        // Once the old policy is in force again, what ended has ended.
        let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
        let back = async {
            loop {
                if let Ok(client) = Client::log_in(
                    story.world.facts.listen,
                    "shop",
                    &story.world.idp.token_for("ana").expect("a token"),
                )
                .await
                    && let Became::Held(again) = story.tries(&client, MORE).await
                {
                    let view = story.request("ana", &again).await;
                    if (view.allowable, view.needed.count, view.needed.from) == (Some(FREE), 1, vec!["dba".to_owned()])
                    {
                        return;
                    }
                }
                looks.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.expect(case);
        assert_eq!((story.allowance(&id).await.state.as_str(), story.stock(1).await), ("void", stock), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_grant_that_it_rests_on_and_the_next_does_not_bring_it_back() {
    let mut story = Story::prepared_under(&format!(
        "{}\npermit (principal in Group::\"engineering\", action == Action::\"request\", resource == Role::\"shop-writer\")\n\
         when {{ context.approvals.count >= 1 }};",
        POLICY.replace(
            "permit (principal, action in [Action::\"insert\"",
            "permit (principal in Role::\"shop-writer\", action in [Action::\"insert\""
        )
    ))
    .await;
    let file = story.world.facts.config.clone();
    let config = std::fs::read_to_string(&file).expect("the config");
    let role = "[[role]]\nname = \"shop-writer\"\nmax_duration = \"8h\"\n";
    std::fs::write(&file, format!("{config}\n{role}")).expect("a role");
    story.starts("gateway").await;
    let _seen = (story.logs_in("priya").await, story.logs_in("ana").await);
    let grant = story.is_granted("ana", "shop-writer", "2h").await;
    let ana = story.logs_in("ana").await;
    let id = story.allowed(&ana, MORE, PINNED).await;
    assert_eq!(story.tries(&ana, MORE).await, Became::Ran);
    let stock = story.stock(1).await;
    story.ends_grant("priya", &grant).await.expect("she approved it");
    // At once: whatever looks after allowances may not have looked yet.
    story.is_granted("ana", "shop-writer", "2h").await;
    let again = story.logs_in("ana").await;
    assert!(is_held(&story.tries(&again, MORE).await), "it was allowed to whoever had the grant before");
    assert_eq!((story.allowance(&id).await.state.as_str(), story.stock(1).await), ("void", stock));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_the_server_discards_is_none() {
    let story = Story::under(POLICY).await;
    let (ana, token) = (story.logs_in("ana").await, story.world.idp.token_for("ana").expect("a token"));
    let update = "update products set stock = stock + 1 where id = $1";
    // By a client whose values are sent as text, and whose types the server says.
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let once =
        |value: &str| Script::default().parse_typed("", update, &[20]).bind_with("", "", &[value]).execute("").sync();
    wire.sends(once("1")).await;
    let id = wire.is_held().await;
    story.allows("priya", &id, FREE).await.expect("she may");
    assert_eq!(wire.until_ready(1).await, ["UPDATE 1"]);
    let stock = story.stock(1).await;
    // An error before it in its group: nothing of it is taken.
    let after_an_error =
        Script::default().runs("select 1/0").parse_typed("", update, &[20]).bind_with("", "", &["1"]).execute("");
    assert_eq!(wire.says(after_an_error.sync(), 1).await, ["22012"]);
    assert_eq!(story.allowance(&id).await.taken, 1, "nothing was taken");
    // A value that is none: the server skips its Execute.
    assert_eq!(wire.says(once("one"), 1).await, ["22P02"]);
    let now = story.allowance(&id).await;
    assert_eq!((now.taken, now.state.as_str()), (1, "open"), "it does not count: {now:?}");
    assert_eq!((now.runs[1].discarded, now.runs.len()), (true, 2));
    assert_eq!(story.stock(1).await, stock);
    assert_eq!(wire.says(once("1"), 1).await, ["UPDATE 1"]);
    assert_eq!(wire.says(once("2"), 1).await, ["UPDATE 1"]);
    wire.sends(once("3")).await;
    wire.is_held().await;
    drop(ana);
    assert_eq!(story.stock(1).await, stock + 1);
    assert_eq!(story.allowance(&id).await.state, "used");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_time_does_not_fit_is_approved_once() {
    let glass = POLICY.to_owned()
        + r#"permit (principal, action in [Action::"merge", Action::"insert"], resource) when { context.break_glass };
             permit (principal, action == Action::"lock", resource) when { context.approvals.count >= 1 };"#;
    let story = Story::under(&glass).await;
    let ana = story.logs_in("ana").await;
    ana.runs("prepare p as delete from orders where id = 1").ends().await.expect("a name for it");
    ana.runs("create table picks (id bigint)").ends().await.expect("a table");
    let held = async |client: &Client, sql: &str| -> RequestView {
        let running = client.runs(sql);
        let id = client.is_held().await;
        let view = story.request("priya", &id).await;
        let refused = story.allows("priya", &id, PINNED).await;
        assert_eq!(refused.is_err(), view.allowable.is_none(), "{sql}: {refused:?}");
        if refused.is_err() {
            client.presses_ctrl_c().await;
        }
        running.ends().await.ok();
        view
    };
    for sql in [
        "delete from order_items where order_id = 1; delete from orders where id = 1",
        "begin; delete from orders where id = 1; commit",
        "execute p",
        "copy picks from stdin",
        "lock table orders in share mode",
        "update products set sku = current_setting('application_name') where id = 1",
    ] {
        assert_eq!(held(&ana, sql).await.allowable, None, "{sql}");
    }
    for (open, close) in [("begin", "rollback"), ("create temp table own (id int)", "drop table own")] {
        ana.runs(open).ends().await.expect(open);
        assert_eq!(held(&ana, "delete from orders where id = 1").await.allowable, None, "{open}");
        ana.runs(close).ends().await.ok();
        ana.runs("rollback").ends().await.ok();
    }
    assert_eq!(story.number("select count(*) from orders where id = 1").await, 1);
    // Break-glass is for one statement, and stays so.
    ana.runs("set countersign.break_glass = 'the shop is down'").ends().await.expect("set");
    let merge =
        "merge into picks p using (values (1::bigint)) v(id) on p.id = v.id when not matched then insert values (v.id)";
    ana.runs(merge).ends().await.expect("it runs at once");
    let reviews = story.waiting("priya").await;
    let review = reviews.iter().find(|one| one.sql == merge).expect("a review");
    assert_eq!(review.allowable, None);
    assert_eq!(story.allows("priya", review.id.as_str(), PINNED).await.expect_err("no").code, "not_allowable");
    assert!(is_held(&story.tries(&ana, merge).await), "and not again");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_all_who_are_needed_and_the_same_of_each() {
    let story = Story::under(&POLICY.replace("count >= 1", "count >= 2")).await;
    let ana = story.logs_in("ana").await;
    // The same of both.
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    story.allows("priya", &id, PINNED).await.expect("she may");
    story.allows("priya", &id, PINNED).await.expect("a second click changes nothing");
    assert!(running.waits(), "one of two");
    let other = Terms { minutes: 29, ..PINNED };
    let refused = story.allows("dario", &id, other).await.expect_err("not the same");
    assert_eq!(refused.code, "not_allowable", "{refused:?}");
    story.allows("dario", &id, PINNED).await.expect("he may");
    running.ends().await.expect("it runs");
    assert_eq!(story.allowance(&id).await.approved_by, ["priya@acme.dev", "dario@acme.dev"]);
    assert_eq!(story.tries(&ana, MORE).await, Became::Ran);
    story.ends_allowance("dario", &id).await.expect("he may");
    // One for a time, the other once: once.
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    story.allows("priya", &id, PINNED).await.expect("she may");
    let taken = story.decides("dario", &id, Choice::Approve).await.expect("he may");
    assert!(taken.message.contains("Once: not everybody who is needed"), "{}", taken.message);
    running.ends().await.expect("it runs");
    assert_eq!(story.request("priya", &id).await.allowance, None);
    assert!(is_held(&story.tries(&ana, MORE).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_slack_it_is_a_button_beside_approve_and_a_form() {
    let mut story = Story::prepared_under(POLICY).await;
    story.starts("serve").await;
    let (hers, priya, ben) = (story.linked("ana").await, story.linked("priya").await, story.linked("ben").await);
    let (ana, stock) = (story.logs_in("ana").await, story.stock(1).await);
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    story.card_says(&id, "Waits for").await;
    let chosen = [("minutes", "15"), ("runs", "2"), ("rows", "10")];
    for (who, said) in [(&hers, "own request"), (&ben, "You may not decide on this request")] {
        who.presses("allow", &id).await;
        let form = who.sees_form("minutes").await;
        who.submits(&form, &chosen).await;
        who.is_told(said).await;
    }
    assert!(running.waits());
    priya.presses("allow", &id).await;
    let form = priya.sees_form("minutes").await;
    priya.submits(&form, &chosen).await;
    running.ends().await.expect("it runs");
    story.card_says(&id, "Allowed for 15 min, 2 runs of at most 10 rows each").await;
    assert_eq!(story.tries(&ana, MORE).await, Became::Ran);
    story.card_says(&id, "2 of 2 taken, all used").await;
    assert_eq!(story.stock(1).await, stock + 2);
    // Ended by its button.
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    story.card_says(&id, "Waits for").await;
    priya.presses("allow", &id).await;
    let form = priya.sees_form("minutes").await;
    priya.submits(&form, &[("minutes", "30"), ("runs", "3"), ("rows", "20")]).await;
    running.ends().await.expect("it runs");
    let card = story.card_says(&id, "1 of 3 taken, until").await;
    ben.presses("end_allowance", &id).await;
    ben.is_told("no such request").await;
    assert_eq!(story.allowance(&id).await.state, "open");
    priya.presses("end_allowance", &id).await;
    story.card_says(&id, "ended by priya@acme.dev").await;
    assert!(is_held(&story.tries(&ana, MORE).await));
    let now = story.workspace.messages(CHANNEL).into_iter().find(|one| one.ts == card.ts).expect("the card");
    assert!(!now.buttons().iter().any(|button| button.action_id == "end_allowance"), "nothing is left to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_connection_takes_two_denials_the_first_ends_nothing() {
    let mut story = Story::prepared_under(POLICY).await;
    let file = story.world.facts.config.clone();
    let config = std::fs::read_to_string(&file).expect("the config");
    std::fs::write(&file, config.replace("[[connection]]", "[[connection]]\ndenials = 2")).expect("a config");
    story.starts("serve").await;
    let (priya, dario) = (story.linked("priya").await, story.linked("dario").await);
    let ana = story.logs_in("ana").await;
    let running = ana.runs(MORE);
    let id = ana.is_held().await;
    story.card_says(&id, "Waits for").await;
    priya.denies(&id, "not on a Friday").await;
    story.card_says(&id, "Denied by priya@acme.dev: not on a Friday.").await;
    story.card_says(&id, "2 denials end it.").await;
    assert!(running.waits());
    priya.denies(&id, "really").await;
    priya.presses("approve", &id).await;
    priya.is_told("You have decided on this request already").await;
    assert!(running.waits(), "one human, one denial, and no approval after it");
    dario.denies(&id, "nor on a Monday").await;
    let refused = running.gets_refused().await;
    assert!(refused.code == "42501" && refused.message.contains("dario@acme.dev"), "{refused:?}");
    story.card_says(&id, "nor on a Monday").await;
    assert_eq!(story.request("priya", &id).await.denials.len(), 2);
}
