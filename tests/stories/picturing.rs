//! On the workspace's page, in a real browser, as a person sees it; the pictures in `docs/images` are taken on the way.
//!
//! `make pictures` runs it, since it needs a browser. Without a folder to put them in, the pictures go with the story.

use std::{env, fs, path::PathBuf};

use countersign_demo::people::People;
use countersign_shared::request::Choice;

use crate::{
    asking::{POLICY, ROLES},
    harness::{Story, chromium::Chromium},
};

const UPDATE: &str = "update products set stock = stock + 1 where id = 1";
const CANCELLED: &str = "delete from orders where status = 'cancelled'";

/// DBAs may have a role too, and whoever has the shop down breaks the glass.
const MORE: &str = r#"
permit (principal in Group::"dba", action == Action::"request", resource == Role::"shop-looker");
permit (principal in Group::"engineering", action in Action::"write", resource in Connection::"shop")
when { context.break_glass };
"#;

const DIGEST: &str = "digest = { at = \"00:00\", timezone = \"UTC\", stale_after = \"1s\" }\n";

async fn story() -> (Story, Chromium) {
    let story = Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), format!("{POLICY}{MORE}")).expect("a policy");
        format!("{config}{DIGEST}{ROLES}")
    })
    .await;
    for who in ["ana", "priya", "olu"] {
        story.linked(who).await;
    }
    let folder = env::var_os("COUNTERSIGN_PICTURES").map_or_else(|| story.folder(), PathBuf::from);
    let page = Chromium::opens(&story.workspace.url(), &folder).await;
    (story, page)
}

impl Story {
    /// Whose record is there once its client has gone.
    async fn session_that_ended(&self) -> String {
        let mut tries = tokio::time::interval(std::time::Duration::from_millis(50));
        for _ in 0..200 {
            tries.tick().await;
            let ended = self.tells_json(&["sessions", "list", "--ended", "--json"]).await;
            if let Some(id) = ended[0]["id"].as_str() {
                return id.to_owned();
            }
        }
        panic!("no session has ended");
    }
}

impl Chromium {
    /// Somebody else sits down, and looks at the channel.
    async fn is(&mut self, who: &str) {
        let person = People::acme().person(who).expect("somebody who works here").clone();
        self.does("is", &[&person.slack_id]).await;
        self.does("goes", &["db-approvals"]).await;
    }

    async fn types(&mut self, text: &str) {
        self.does("types", &[text]).await;
    }

    async fn sees(&mut self, text: &str) {
        self.does("sees", &[text]).await;
    }

    async fn presses(&mut self, text: &str, action: &str) {
        self.does("presses", &[text, action]).await;
    }

    async fn pictures(&mut self, name: &str, text: &str) {
        self.does("picture_of_message", &[name, text]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; `make pictures` runs it"]
async fn a_role_is_asked_for_approved_by_another_used_found_in_the_digest_and_revoked() {
    let (story, mut page) = story().await;
    let session = story.logs_in("ana").await;
    page.is("ana").await;
    page.types("/access request shop shop-writer 4h INC-42: refunds go out twice").await;
    page.sees("waits for 1 approval by members of dba").await;
    page.presses("shop-writer for 4 h", "approve").await;
    page.sees("cannot approve your own request").await;

    page.is("priya").await;
    page.pictures("slack-access", "shop-writer for 4 h").await;
    page.presses("shop-writer for 4 h", "approve").await;
    page.sees("Access was given").await;

    assert_eq!(session.runs(UPDATE).ends().await.expect("she may").affected, [1]);
    let grant = story.grants("ana").await.remove(0).id.to_string();
    story.digest_finds(&grant, |found| found["finding"] == "stale").await;
    let output = story.tells(&["digest", "--now"]).await;
    assert!(output.status.success(), "{output:?}");

    page.is("olu").await;
    page.pictures("slack-digest", "Access digest, ").await;
    page.presses("Access digest, ", "revoke").await;
    page.sees("revoked by olu@acme.dev").await;
    assert!(story.grants("ana").await.is_empty());
    session.runs(UPDATE).ends().await.expect_err("the session that used it is over");
    let session = story.logs_in("ana").await;
    let again = session.runs(UPDATE);
    session.is_held().await;
    session.presses_ctrl_c().await;
    assert_eq!(again.gets_refused().await.code, "57014", "what the role let her do is asked for again");
    let verified = story.tells(&["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; `make pictures` runs it"]
async fn a_held_statement_a_denial_a_broken_glass_a_home_tab_and_a_review() {
    let (story, mut page) = story().await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.reason = 'INC-42: cancelled orders block the export'").ends().await.expect("it is set");
    let held = ana.runs(CANCELLED);
    let id = ana.is_held().await;
    page.is("priya").await;
    page.pictures("slack-held", &id).await;
    page.presses(&id, "details").await;
    page.does("reads_in_form", &["where status = 'cancelled'"]).await;
    page.does("picture_of_form", &["slack-details"]).await;
    page.does("closes", &[]).await;
    page.presses(&id, "deny").await;
    page.does("sees_form", &[]).await;
    page.does("fills", &["reason", "month-end is still running"]).await;
    page.does("picture_of_form", &["slack-deny"]).await;
    page.does("submits", &[]).await;
    let refused = held.gets_refused().await;
    assert_eq!(refused.detail, "Reason: month-end is still running");
    page.sees("Denied by priya@acme.dev").await;

    let held = ana.runs(CANCELLED);
    let id = ana.is_held().await;
    page.types("/access request shop shop-looker 8h INC-42: is the export whole again?").await;
    page.sees("You have shop-looker").await;
    page.does("goes", &["countersign"]).await;
    page.does("sees_home", &[&id]).await;
    page.does("picture_of_home", &["slack-home"]).await;
    page.is("priya").await;
    page.presses(&id, "approve").await;
    let affected = held.ends().await.expect("it goes on").affected;
    assert_eq!(affected, [312]);

    ana.runs("set countersign.break_glass = 'the shop is down, INC-43'").ends().await.expect("it is set");
    ana.runs("update orders set status = 'paid' where id = 7").ends().await.expect("at once");
    page.pictures("slack-break-glass", "BREAK-GLASS").await;
    page.presses("BREAK-GLASS", "approve").await;
    page.sees("was reviewed by priya@acme.dev").await;

    page.is("olu").await;
    page.types("/access review shop").await;
    page.does("goes", &["countersign"]).await;
    page.pictures("slack-review", "0 of 1 grants looked at").await;
    page.presses("0 of 1 grants looked at", "review_keep").await;
    page.does("sees_form", &[]).await;
    page.does("fills", &["reason", "she is on call"]).await;
    page.does("submits", &[]).await;
    page.sees("1 kept").await;
}

/// What comes again and again may be allowed for a time.
const AGAIN: &str = r#"
@allowance("30m, 10 runs, 50 rows, free parameters")
permit (principal in Group::"engineering", action == Action::"update", resource == Table::"shop/public.products")
when { context.approvals.count >= 1 && context.approvals.groups.contains("dba") };
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; `make pictures` runs it"]
async fn a_statement_is_allowed_for_a_time() {
    let story = Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/20-write.cedar"), AGAIN).expect("a policy");
        config.to_owned()
    })
    .await;
    story.linked("priya").await;
    let folder = env::var_os("COUNTERSIGN_PICTURES").map_or_else(|| story.folder(), PathBuf::from);
    let mut page = Chromium::opens(&story.workspace.url(), &folder).await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.reason = 'restocking after the fair'").ends().await.expect("it is set");
    let held = ana.executes("update products set stock = $1 where id = $2", vec![Box::new(40_i32), Box::new(3_i64)]);
    let id = ana.is_held().await;
    page.is("priya").await;
    page.pictures("slack-allow", &id).await;
    page.presses(&id, "allow").await;
    page.does("sees_form", &[]).await;
    page.does("picture_of_form", &["slack-allow-form"]).await;
    page.does("submits", &[]).await;
    assert_eq!(held.ends().await.expect("the first run"), 1);
    let again = ana.executes("update products set stock = $1 where id = $2", vec![Box::new(40_i32), Box::new(3_i64)]);
    assert_eq!(again.ends().await.expect("another, unasked"), 1);
    page.sees("2 of 10").await;
}

const CLASSIFIED: &str = r#"classify = [
  { column = "public.customers.email", as = "pii", mask = "email" },
  { column = "public.customers.ssn", as = "pii", mask = "last4" },
  { column = "public.customers.phone", as = "pii" },
]
"#;

/// Priya sees personal data.
const SEES: &str = r#"
permit (principal == User::"priya@acme.dev", action == Action::"reveal", resource)
when { resource.classification == "pii" };
"#;

const CUSTOMERS: &str =
    "SELECT id, email, ssn, phone, lower(email) AS low, country\nFROM customers ORDER BY id LIMIT 4";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; `make pictures` runs it"]
async fn one_query_as_two_people_see_it() {
    let story = Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/91-sees.cedar"), SEES).expect("a policy");
        let name = "name     = \"shop\"\n";
        assert!(config.contains(name), "{config}");
        config.replace(name, &format!("{name}{CLASSIFIED}"))
    })
    .await;
    let mut terminals = Vec::new();
    for (who, title) in [("ana", "ana@acme.dev, engineering"), ("priya", "priya@acme.dev, who may reveal pii")] {
        let output = story.psql_runs(who, CUSTOMERS).await;
        assert!(output.status.success(), "{output:?}");
        let (rows, notices) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(rows.contains("****"), who == "ana", "{rows}");
        let typed = CUSTOMERS.replace('\n', "\nshop-> ");
        let notices = notices.replace("; ", ";\n         ");
        terminals.extend([title.to_owned(), format!("shop=> {typed};\n{notices}{}", rows.trim_end())]);
    }
    let folder = env::var_os("COUNTERSIGN_PICTURES").map_or_else(|| story.folder(), PathBuf::from);
    let mut page = Chromium::opens(&story.workspace.url(), &folder).await;
    let mut about = vec!["masked"];
    about.extend(terminals.iter().map(String::as_str));
    page.does("picture_of_terminals", &about).await;
    let taken = fs::read(folder.join("masked.png")).expect("a picture");
    assert!(taken.starts_with(b"\x89PNG"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a browser; `make pictures` runs it"]
async fn a_session_is_played_back_from_its_records() {
    let story = Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/91-glass.cedar"), MORE).expect("a policy");
        let name = "name     = \"shop\"\n";
        config.replace(name, &format!("{name}record_rows = 3\n{CLASSIFIED}"))
    })
    .await;
    story.linked("priya").await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "set countersign.reason = 'INC-42: cancelled orders block the export'",
        "select id, email, country from customers order by id limit 3",
        "select status, count(*) from orders group by status order by 2 desc",
    ] {
        ana.runs(sql).ends().await.expect("it is permitted");
    }
    let held = ana.runs(CANCELLED);
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(held.ends().await.expect("it goes on").affected, [312]);
    ana.runs("select * from refunds_of_2019").gets_refused().await;
    drop(ana);
    let session = story.session_that_ended().await;
    let played = story.tells(&["replay", &session, "--speed", "1000"]).await;
    let cast = story.tells(&["replay", &session, "--cast"]).await;
    assert!(played.status.success() && cast.status.success(), "{played:?} {cast:?}");
    let text = String::from_utf8(played.stdout).expect("text");
    assert!(text.contains(CANCELLED) && text.contains("DELETE 312"), "{text}");
    let folder = env::var_os("COUNTERSIGN_PICTURES").map_or_else(|| story.folder(), PathBuf::from);
    fs::write(folder.join("replay.cast"), &cast.stdout).expect("a file");
    let mut page = Chromium::opens(&story.workspace.url(), &folder).await;
    let title = format!("countersign replay {session}");
    page.does("picture_of_terminals", &["replay", &title, text.trim_end()]).await;
}
