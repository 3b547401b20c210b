//! Nobody approves their own request: by Slack, by the control API, in the state, or by an agent.

use countersign_shared::request::Choice;
use sqlx::Row;

use crate::harness::{CHANNEL, Story, client::Client};

const DELETE: &str = "delete from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn neither_slack_nor_the_control_api_takes_the_requesters_own_approval() {
    let story = Story::begin().await;
    // A DBA: policy would let her approve anybody's.
    let (priya, mine) = (story.logs_in("priya").await, story.linked("priya").await);
    let delete = priya.runs(DELETE);
    let id = priya.is_held().await;
    mine.presses("approve", &id).await;
    mine.is_told("cannot approve your own request").await;
    let problem = story.decides("priya", &id, Choice::Approve).await.expect_err("her own");
    assert_eq!(problem.code, "own_request", "{problem:?}");
    assert!(delete.waits());
    assert!(story.request("priya", &id).await.approvals.is_empty());
    story.decides("dario", &id, Choice::Approve).await.expect("another DBA may");
    delete.ends().await.expect("it runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_the_state_is_no_approval() {
    let story = Story::begin().await;
    let (priya, ana) = (story.logs_in("priya").await, story.logs_in("ana").await);
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    let mut state = story.state().await;
    let forge = "INSERT INTO approvals
        (request, digest, principal, issuer, subject, owner, assurance, at_ns, evidence, signature)
        SELECT r.id, r.digest, p.principal, p.issuer, p.subject, NULL, 'cli', r.created_at * 1000000, '{}', 'forged'
          FROM requests AS r, people AS p WHERE r.id = ? AND p.principal = ?";
    let own = sqlx::query(forge).bind(&id).bind("ana@acme.dev").execute(&mut state).await.expect_err("her own");
    assert!(own.to_string().contains("wall:same_human"), "{own}");
    let early = sqlx::query("UPDATE requests SET state = 'approved' WHERE id = ?").bind(&id).execute(&mut state).await;
    assert!(early.expect_err("without an approval").to_string().contains("wall:unapproved"));

    // The second wall is torn down: forged rows of both people, and the state says approved.
    for sql in ["DROP TRIGGER approvals_are_another_humans", "DROP TRIGGER requests_keep_what_was_asked"] {
        sqlx::query(sql).execute(&mut state).await.expect("a wall torn down");
    }
    for who in ["ana@acme.dev", "priya@acme.dev"] {
        let rows = sqlx::query(forge).bind(&id).bind(who).execute(&mut state).await.expect("a forged row");
        assert_eq!(rows.rows_affected(), 1, "{who} is known");
    }
    let forged = sqlx::query("UPDATE requests SET state = 'approved' WHERE id = ?").bind(&id).execute(&mut state).await;
    assert_eq!(forged.expect("forged").rows_affected(), 1);
    // Every hold is looked at again when policy changes.
    let policy = story.world.facts.policy.join("10-read.cedar");
    let text = std::fs::read_to_string(&policy).expect("a policy");
    std::fs::write(&policy, format!("{text}\n// Looked at again.\n")).expect("a changed policy");
    let refused = delete.gets_refused().await;
    assert_eq!(refused.code, "57014", "{refused:?}");
    assert!(!story.database_ran("delete from orders"));
    let row = sqlx::query("SELECT state FROM requests WHERE id = ?").bind(&id).fetch_one(&mut state).await.expect("it");
    assert_eq!(row.get::<String, _>(0), "void");
    priya.runs("select 1").ends().await.expect("everybody else goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_answers_for_an_agent_does_not_approve_what_it_asks() {
    let story = Story::begin().await;
    // Ana becomes a DBA, so that nothing but the ownership is in the way.
    story.world.idp.change_people(|people| {
        let ana = people.people.iter_mut().find(|person| person.email == "ana@acme.dev").expect("ana");
        ana.groups.push("dba".into());
    });
    let ana = story.linked("ana").await;
    let token = story.world.idp.token("deploy").expect("a workload").jwt().expect("a token");
    let deploy = Client::log_in(story.world.facts.listen, "shop", &token).await.expect("the agent logs in");
    let delete = deploy.runs(DELETE);
    let id = deploy.is_held().await;
    let card = story.card(&id).await;
    assert!(card.shown().contains("an agent of ana@acme.dev"), "{}", card.shown());
    ana.presses("approve", &id).await;
    // In whatever words; and not as if it had been taken.
    let user = ana.person.slack_id.clone();
    let told = story.workspace.wait_for(crate::harness::PATIENCE, |workspace| {
        workspace
            .ephemerals(&user)
            .into_iter()
            .map(|m| m.shown())
            .find(|text| text.to_lowercase().contains("cannot approve"))
    });
    told.await.expect("she is told");
    let problem = story.decides("ana", &id, Choice::Approve).await.expect_err("her own agent's");
    assert_eq!(problem.code, "own_request", "{problem:?}");
    let problem = story.decides("deploy", &id, Choice::Approve).await.expect_err("the agent's own");
    assert!(matches!(problem.code.as_str(), "own_request" | "forbidden"), "{problem:?}");
    assert!(delete.waits());
    assert_eq!(story.workspace.messages(CHANNEL).len(), 1);
    story.decides("priya", &id, Choice::Approve).await.expect("somebody else may");
    delete.ends().await.expect("it runs");
}
