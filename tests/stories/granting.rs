//! Access for a time: asked for, given by another, used in the session that runs, and over at once.

use std::{fs, time::Duration};

use countersign_shared::request::Choice;
use serde_json::json;
use tokio::time::{Instant, interval, timeout};

use crate::harness::{PATIENCE, Story, client::Refused, directory};

/// Writers write without asking; what they ask for, one other approves. Guests get in by a grant alone.
const POLICY: &str = r#"
permit (principal in Group::"engineering", action == Action::"request", resource == Role::"shop-writer")
when { context.approvals.count >= 1 && context has duration && context.duration <= duration("4h") };
permit (principal in Role::"shop-writer", action in Action::"write", resource in Connection::"shop");
permit (principal in Role::"shop-writer", action in [Action::"call", Action::"opaque"], resource in Connection::"shop");
permit (principal in Role::"shop-writer", action == Action::"maintain", resource in Connection::"shop")
when { context.approvals.count >= 1 };
permit (principal in Group::"audit", action == Action::"request", resource == Role::"shop-guest");
permit (principal in Role::"shop-guest", action in [Action::"connect", Action::"read"], resource in Connection::"shop");
"#;

const ROLES: &str = "
[[role]]
name = \"shop-writer\"
max_duration = \"8h\"

[[role]]
name = \"shop-guest\"
max_duration = \"8h\"
";

const UPDATE: &str = "update products set stock = stock + 1 where id = 1";
const SLEEP: &str = "select pg_sleep(600)";
const SLEEPING: &str =
    "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and datname = current_database()";

async fn story() -> Story {
    Story::gateway_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), POLICY).expect("a policy");
        format!("{config}{ROLES}")
    })
    .await
}

impl Story {
    async fn until_number(&self, sql: &str, wanted: i64) {
        let mut looks = interval(Duration::from_millis(20));
        let there = async {
            while self.number(sql).await != wanted {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{sql} is never {wanted}"));
    }
}

fn is_over(refused: &Refused, why: &str) {
    assert_eq!(refused.code, "57P01", "{refused:?}");
    assert!(refused.message.contains(why), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_that_runs_may_do_more_once_another_has_approved_and_ends_when_that_is_revoked() {
    let story = story().await;
    let _seen = (story.logs_in("priya").await, story.logs_in("ben").await);
    let ana = story.logs_in("ana").await;
    let answer = story.asks_for("ana", "shop-writer", "2h").await.expect("a request");
    let request = answer.request.expect("it waits").id;
    let own = story.decides("ana", request.as_str(), Choice::Approve).await.expect_err("her own request");
    assert_eq!(own.code, "own_request");
    assert!(story.grants("ana").await.is_empty());
    story.decides("priya", request.as_str(), Choice::Approve).await.expect("an approval");

    assert_eq!(ana.runs(UPDATE).ends().await.expect("the same session").affected, [1]);
    let ben = story.logs_in("ben").await;
    let bens = ben.runs(UPDATE);
    ben.is_held().await;
    let sleep = ana.runs(SLEEP);
    story.until_number(SLEEPING, 1).await;

    let grant = story.grants("ana").await.remove(0);
    assert_eq!(
        (grant.role.as_str(), grant.approved_by.as_slice()),
        ("shop-writer", ["priya@acme.dev".to_owned()].as_slice())
    );
    let stranger = story.ends_grant("ben", grant.id.as_str()).await.expect_err("not his");
    assert_eq!(stranger.code, "not_found");
    assert!(sleep.waits());
    story.ends_grant("priya", grant.id.as_str()).await.expect("she approved it");
    is_over(&sleep.gets_refused().await, "access as shop-writer on shop was revoked by priya@acme.dev");
    story.until_number(SLEEPING, 0).await;
    assert!(bens.waits(), "ben's session goes on");

    let again = story.logs_in("ana").await;
    let update = again.runs(UPDATE);
    again.is_held().await;
    again.presses_ctrl_c().await;
    assert_eq!(update.gets_refused().await.code, "57014", "to connect again brings nothing back");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_and_comes_back_has_no_role_any_more() {
    let story = Story::gateway_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), POLICY).expect("a policy");
        fs::write(folder.join("scim.token"), directory::TOKEN).expect("a file");
        format!("{config}{ROLES}\n[scim]\ntoken = {{ file = \"scim.token\" }}\n")
    })
    .await;
    let _seen = story.logs_in("priya").await;
    let at = format!("/Users/{}", story.directory_has("ana").await);
    let ana = story.logs_in("ana").await;
    story.is_granted("ana", "shop-writer", "2h").await;
    ana.runs(UPDATE).ends().await.expect("she may");
    let sleep = ana.runs(SLEEP);
    story.until_number(SLEEPING, 1).await;
    story.directory_patches(&at, json!({ "op": "replace", "value": { "active": false } })).await;
    is_over(&sleep.gets_refused().await, "ana@acme.dev was deactivated");
    story.until_number(SLEEPING, 0).await;
    story.directory_patches(&at, json!({ "op": "replace", "value": { "active": true } })).await;
    let again = story.logs_in("ana").await;
    let update = again.runs(UPDATE);
    again.is_held().await;
    again.presses_ctrl_c().await;
    assert_eq!(update.gets_refused().await.code, "57014", "the role ended with her access");
    assert!(story.grants("ana").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_ends_a_session_that_rests_on_it_and_leaves_another_alone() {
    let story = story().await;
    let _seen = story.logs_in("priya").await;
    let (writes, reads) = (story.logs_in("ana").await, story.logs_in("ana").await);
    let refused = story.asks_for("ana", "shop-writer", "5h").await.expect_err("longer than policy permits");
    assert_eq!(refused.code, "forbidden");
    story.is_granted("ana", "shop-writer", "8s").await;
    writes.runs(UPDATE).ends().await.expect("she may");
    reads.runs("select 1").ends().await.expect("a read needs no role");
    let (sleep, other) = (writes.runs(SLEEP), reads.runs("select pg_sleep(10)"));
    let ended = sleep.gets_refused().await;
    is_over(&ended, "access as shop-writer on shop has expired");
    story.until_number(SLEEPING, 0).await;
    other.ends().await.expect("what rests on no role goes on");
    let update = reads.runs(UPDATE);
    reads.is_held().await;
    reads.presses_ctrl_c().await;
    update.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_in_by_a_grant_alone_is_out_without_it() {
    let story = story().await;
    let token = story.world.idp.token_for("sam").expect("a token");
    let login = async || crate::harness::client::Client::log_in(story.world.facts.listen, "shop", &token).await;
    assert_eq!(login().await.err().expect("no").code, "28000");
    let given = story.asks_for("sam", "shop-guest", "1h").await.expect("policy gives it at once");
    let grant = given.grant.expect("a grant");
    assert!(grant.approved_by.is_empty());
    let sam = login().await.expect("now he may");
    // In a transaction, idle, asleep: all of them end.
    let idle = login().await.expect("now he may");
    let open = login().await.expect("now he may");
    open.runs("begin; select 1").ends().await.expect("a read");
    let sleep = sam.runs(SLEEP);
    story.until_number(SLEEPING, 1).await;
    assert_eq!(story.ends_grant("sam", grant.id.as_str()).await.expect("his own").state, "done");
    is_over(&sleep.gets_refused().await, "was given back by sam@acme.dev");
    for client in [idle, open] {
        assert!(client.runs("select 1").ends().await.is_err());
    }
    story.until_number("select count(*) from pg_stat_activity where application_name like 'sam@%'", 0).await;
    assert_eq!(login().await.err().expect("no").code, "28000");
    let twice = story.ends_grant("sam", grant.id.as_str()).await.expect_err("it is over");
    assert_eq!(twice.code, "over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_with_a_role_is_void_without_it() {
    let story = story().await;
    let (_priya, ana) = (story.logs_in("priya").await, story.logs_in("ana").await);
    let grant = story.is_granted("ana", "shop-writer", "1h").await;
    let analyze = ana.runs("analyze products");
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    story.ends_grant("olu", &grant).await.expect("who administers may");
    let refused = analyze.gets_refused().await;
    assert_eq!(refused.code, "57014", "{refused:?}");
    let late = story.decides_on("priya", &view, Choice::Approve).await.expect_err("it is over");
    assert_eq!(late.code, "over");
    assert!(!story.database_ran("analyze products"));
    ana.runs("select 1").ends().await.expect("the session used no role");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_outlives_a_restart_and_an_end_does_too() {
    let mut story = story().await;
    let _seen = story.logs_in("priya").await;
    let grant = story.is_granted("ana", "shop-writer", "1h").await;
    let ends = story.asks_for("sam", "shop-guest", "1h").await.expect("given").grant.expect("a grant").id;
    let short = story.asks_for("ben", "shop-writer", "2s").await.expect("a request").request.expect("it waits").id;
    story.decides("priya", short.as_str(), Choice::Approve).await.expect("an approval");
    story.ends_grant("sam", ends.as_str()).await.expect("his own");
    let began = Instant::now();
    story.kills_the_gateway().await;
    // Ben's time passes while nobody counts it.
    tokio::time::sleep_until(began + Duration::from_secs(2)).await;
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    ana.runs(UPDATE).ends().await.expect("her grant goes on");
    let longer = story.asks_for_more("ana", &grant, "3h").await.expect("a request").request.expect("it waits");
    let before = story.grants("ana").await.remove(0);
    story.decides("priya", longer.id.as_str(), Choice::Approve).await.expect("an approval");
    let after = story.grants("ana").await.remove(0);
    assert_eq!((after.id.as_str(), after.created_at), (grant.as_str(), before.created_at));
    assert!(after.expires_at > before.expires_at);
    ana.runs(UPDATE).ends().await.expect("the same session goes on");
    // Sam audits, and so sees ana's.
    let seen = [story.grants("ben").await, story.grants("sam").await].concat();
    assert!(seen.iter().all(|grant| grant.principal == "ana@acme.dev"), "what was over is over: {seen:?}");
    let ben = story.logs_in("ben").await;
    let _update = ben.runs(UPDATE);
    ben.is_held().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_catches_its_cancel_is_ended_all_the_same() {
    let story = story().await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let stubborn = "create function stubborn() returns void language plpgsql as $$ begin loop begin
        perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$";
    direct.batch_execute(stubborn).await.expect("a function");
    let _seen = story.logs_in("priya").await;
    let grant = story.is_granted("ana", "shop-writer", "1h").await;
    let ana = story.logs_in("ana").await;
    ana.runs(UPDATE).ends().await.expect("she may");
    let runs = "select count(*) from pg_stat_activity where query = 'select stubborn()' and state = 'active'";
    let call = ana.runs("select stubborn()");
    story.until_number(runs, 1).await;
    story.ends_grant("ana", &grant).await.expect("her own");
    is_over(&call.gets_refused().await, "was given back");
    story.until_number(runs, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_that_lets_somebody_in_no_more_ends_their_sessions() {
    let story = story().await;
    let (ana, priya) = (story.logs_in("ana").await, story.logs_in("priya").await);
    let sleep = ana.runs(SLEEP);
    story.until_number(SLEEPING, 1).await;
    let forbid = r#"forbid (principal in Group::"engineering", action == Action::"connect", resource);"#;
    fs::write(story.folder().join("policy/95-out.cedar"), forbid).expect("a policy");
    is_over(&sleep.gets_refused().await, "policy no longer permits you to connect");
    story.until_number(SLEEPING, 0).await;
    priya.runs("select 1").ends().await.expect("she stays");
}
