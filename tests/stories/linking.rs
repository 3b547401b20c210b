//! A Slack account whose address is not its identity's counts when an administrator says so.

use std::process::Output;

use countersign_demo::browser::Browser;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Story};

impl Story {
    /// Runs a verb of the binary as `who`, to its end.
    pub(crate) async fn tells_as(&self, who: &str, arguments: &[&str]) -> Output {
        let token = self.world.idp.token_for(who).expect("a token");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
        command.arg("--config").arg(&self.world.facts.config).args(arguments).env("COUNTERSIGN_TOKEN", token);
        timeout(PATIENCE, command.output()).await.expect("it ends").expect("the binary")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_addresses_differ_waits_in_a_list_until_an_administrator_confirms_it() {
    let story = Story::begin().await;
    let priya = story.colleague("priya");
    story
        .workspace
        .change_user(priya.user(), |person| person.email = "p.novak@other.dev".into())
        .expect("she is there");
    priya.types("link").await;
    let told = priya.is_told("/link/").await;
    let url = told.split_once('<').and_then(|(_, rest)| rest.split_once('|')).expect("a link").0;
    let mut browser = Browser::new().expect("a browser");
    browser.open(url).await.expect("the sign-in page");
    browser.press("priya@acme.dev", &[]).await.expect("signing in");
    browser.press("Link these accounts", &[]).await.expect("linking");
    assert!(browser.shows("waits for an administrator"), "{}", browser.text());

    let ana = story.logs_in("ana").await;
    let delete = ana.runs("delete from orders where id = 5");
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    priya.is_told("Your link waits for an administrator").await;
    assert!(delete.waits(), "it does not count");

    for who in ["ana", "priya"] {
        let refused = story.tells_as(who, &["users", "links"]).await;
        assert!(refused.status.code() == Some(1) && refused.stdout.is_empty(), "{who}: {refused:?}");
    }
    let listed = story.tells_as("olu", &["users", "links", "--waiting", "--json"]).await;
    let links: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("JSON");
    let [link] = &links[..] else { panic!("{links:?}") };
    assert_eq!(
        (&link["slack"]["user"], &link["slack_email"], &link["principal"], &link["confirmed"]),
        (&priya.user().into(), &"p.novak@other.dev".into(), &"priya@acme.dev".into(), &false.into())
    );
    let account = format!("{}/{}", link["slack"]["team"].as_str().expect("a team"), priya.user());
    let said = String::from_utf8(story.tells_as("olu", &["users", "links"]).await.stdout).expect("text");
    assert!(said.contains(&format!("{account}  waits")) && said.contains("p.novak@other.dev"), "{said}");

    for (who, principal) in [("ana", "priya@acme.dev"), ("priya", "priya@acme.dev"), ("olu", "ben@acme.dev")] {
        let refused = story.tells_as(who, &["users", "confirm-link", &account, principal]).await;
        assert_eq!(refused.status.code(), Some(1), "{who}: {refused:?}");
    }
    priya.presses("approve", &id).await;
    assert!(delete.waits(), "still");
    let done = story.tells_as("olu", &["users", "confirm-link", &account, "priya@acme.dev"]).await;
    assert!(done.status.success(), "{done:?}");
    priya.presses("approve", &id).await;
    delete.ends().await.expect("now it counts");
    let none = story.tells_as("olu", &["users", "links", "--waiting"]).await;
    assert_eq!(String::from_utf8_lossy(&none.stdout).trim(), "no link waits");

    let ended = story.tells_as("olu", &["users", "unlink", &account]).await;
    assert!(ended.status.success(), "{ended:?}");
    let links = story.tells_as("olu", &["users", "links", "--json"]).await;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&links.stdout).expect("JSON"), Vec::<Value>::new());
    let log = std::fs::read_to_string(story.folder().join("records/log/00000001.jsonl")).expect("the log");
    let steps: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let steps = steps.iter().filter(|entry| entry["kind"] == "link");
    let steps: Vec<(&str, Option<&str>)> =
        steps.map(|entry| (entry["outcome"].as_str().expect("an outcome"), entry["detail"]["by"].as_str())).collect();
    let olu = Some("olu@acme.dev");
    assert_eq!(steps, [("linked, to be confirmed", None), ("confirmed", olu), ("unlinked", olu)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_is_asked_in_slack_and_confirms_or_refuses_there() {
    let story = Story::begin().await;
    let (olu, sam) = (story.linked("olu").await, story.linked("sam").await);
    let cases = [("priya", "refuse_link", "Refused"), ("dario", "confirm_link", "Confirmed")];
    for (who, button, told) in cases {
        let colleague = story.colleague(who);
        let other = format!("{who}@other.dev");
        story
            .workspace
            .change_user(colleague.user(), |person| person.email.clone_from(&other))
            .expect("they are there");
        colleague.types("link").await;
        let said = colleague.is_told("/link/").await;
        let url = said.split_once('<').and_then(|(_, rest)| rest.split_once('|')).expect("a link").0;
        let mut browser = Browser::new().expect("a browser");
        browser.open(url).await.expect("the sign-in page");
        browser.press(&colleague.person.email, &[]).await.expect("signing in");
        browser.press("Link these accounts", &[]).await.expect("linking");
        let asked = olu.is_written(&format!("{who}@acme.dev")).await;
        assert!(asked.shown().contains(&other) && asked.shown().contains("addresses differ"), "{}", asked.shown());
        // Whoever is no administrator is not asked; that they press nothing is the gateway's to see.
        assert!(
            story.workspace.direct_messages(sam.user()).iter().all(|one| !one.shown().contains("waits to be linked"))
        );
        olu.presses_on(&asked, button).await;
        olu.is_told(told).await;
        let after = olu.is_written(if button == "confirm_link" { "You confirmed" } else { "You refused" }).await;
        assert!(after.ts == asked.ts && after.buttons().is_empty(), "in its place: {}", after.shown());
    }
    let listed = story.tells_as("olu", &["users", "links", "--json"]).await;
    let links: Vec<Value> = serde_json::from_slice(&listed.stdout).expect("JSON");
    let of = |who: &str| links.iter().find(|link| link["principal"] == format!("{who}@acme.dev"));
    assert!(of("priya").is_none() && of("dario").expect("dario's")["confirmed"] == true, "{links:?}");
    let log = std::fs::read_to_string(story.folder().join("records/log/00000001.jsonl")).expect("the log");
    let steps: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let by_olu = |outcome: &str, who: &str| {
        steps.iter().any(|entry| {
            let (kind, by) = (&entry["kind"], &entry["detail"]["by"]);
            kind == "link" && entry["outcome"] == outcome && entry["principal"] == who && by == "olu@acme.dev"
        })
    };
    assert!(by_olu("refused", "priya@acme.dev") && by_olu("confirmed", "dario@acme.dev"));
}
