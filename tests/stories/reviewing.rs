//! A connection's grants are looked at one by one by whoever administers it; nobody looks at their own, and what
//! came of it stays as evidence.

use std::fs;

use countersign_demo::slack::{Message, Workspace};
use serde_json::Value;

use crate::{
    asking::{POLICY, ROLES},
    harness::{CHANNEL, Story, people::Colleague},
};

const UPDATE: &str = "update products set stock = stock + 1 where id = 1";

/// As [`asking::story`](crate::asking::story), where dbas may have a role themselves.
async fn story() -> Story {
    let more = r#"
permit (principal in Group::"dba", action == Action::"request", resource == Role::"shop-looker");
permit (principal in Role::"shop-looker", action in Action::"write", resource in Connection::"shop");
"#;
    Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), format!("{POLICY}{more}")).expect("a policy");
        format!("{config}{ROLES}")
    })
    .await
}

impl Colleague<'_> {
    /// The walk, once it says so.
    async fn walks(&self, text: &str) -> Message {
        self.is_written(text).await
    }

    /// Presses Keep or Revoke at the grant that the walk shows, and says why.
    async fn says(&self, walk: &Message, action: &str, reason: &str) {
        self.presses_on(walk, action).await;
        let form = self.sees_form("reason").await;
        self.submits(&form, &[("reason", reason)]).await;
    }
}

fn shows(message: &Message, grant: &str) -> bool {
    message.buttons().iter().any(|button| button.value.ends_with(grant))
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_walked_one_by_one_resumed_and_leave_evidence() {
    let story = story().await;
    let (ana, priya, dan) = (story.linked("ana").await, story.linked("priya").await, story.linked("ben").await);
    for who in [&ana, &priya] {
        who.types("request shop shop-looker 8h to look").await;
        who.is_told("You have shop-looker").await;
    }
    let of = async |who: &str| story.grants(who).await.remove(0).id.to_string();
    let (anas, priyas) = (of("ana").await, of("priya").await);
    let session = story.logs_in("ana").await;
    session.runs(UPDATE).ends().await.expect("the role lets her");

    dan.types("review shop").await;
    dan.is_told("Only who administers a connection reviews").await;
    priya.types("review").await;
    priya.is_told("/access review CONNECTION").await;
    priya.types("review shop").await;
    let walk = priya.walks("0 of 2 grants looked at").await;
    assert!(shows(&walk, &anas) && !shows(&walk, &priyas), "her own is not hers to look at: {:?}", walk.buttons());

    // Even where she makes the button herself.
    let mut forged = story.workspace.press_payload(priya.user(), &walk.channel, &walk.ts, "review_keep").expect("one");
    let value = forged["actions"][0]["value"].as_str().expect("a value").replace(&anas, &priyas);
    forged["actions"][0]["value"] = serde_json::json!(value);
    story.workspace.deliver(countersign_demo::slack::Kind::Interactive, &forged).await.expect("taken");
    let form = priya.sees_form("reason").await;
    priya.submits(&form, &[("reason", "mine")]).await;
    priya.is_told("You cannot review a grant of your own").await;

    // She comes back later, and goes on where she stopped.
    priya.types("review shop").await;
    let walk = priya.walks("0 of 2 grants looked at").await;
    priya.says(&walk, "review_revoke", "the <!channel> incident is over").await;
    priya.walks("What is left is your own").await;
    ana.is_written("was revoked by priya@acme.dev").await;
    assert!(story.grants("ana").await.is_empty());
    session.runs(UPDATE).ends().await.expect_err("it is over in the session that runs, too");

    let olu = story.linked("olu").await;
    olu.types("review shop").await;
    let walk = olu.walks("1 of 2 grants looked at").await;
    assert!(shows(&walk, &priyas), "{:?}", walk.buttons());
    olu.says(&walk, "review_keep", "she is on call").await;
    let done = olu.walks("1 kept, 1 revoked").await;
    assert!(done.buttons().is_empty(), "nothing is left to press");
    let id = done.shown().split_whitespace().nth(1).expect("its id").to_owned();

    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_countersign-under-test"));
    command.arg("--config").arg(&story.world.facts.config).args(["reviews", "show", &id]);
    let token = story.world.idp.token_for("olu").expect("a token");
    let shown = command.env("COUNTERSIGN_TOKEN", token).output().await.expect("the binary");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for part in [
        format!("{anas}  ana@acme.dev  shop-looker on shop: revoked by priya@acme.dev: the <!channel> incident"),
        format!("{priyas}  priya@acme.dev  shop-looker on shop: kept by olu@acme.dev: she is on call"),
        "checkpoint when it began".to_owned(),
    ] {
        assert!(shown.contains(&part), "{part}: {shown}");
    }
    let exported = story.tells(&["audit", "export", "--format", "jsonl"]).await;
    let entries: Vec<Value> = String::from_utf8_lossy(&exported.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|entry| entry["kind"] == "review")
        .collect();
    let outcomes: Vec<&str> = entries.iter().filter_map(|entry| entry["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["opened", "revoked", "kept", "closed"], "each step once");
    let closed = &entries[3]["detail"];
    assert_eq!((closed["review"].as_str(), closed["items"].as_array().map(Vec::len)), (Some(id.as_str()), Some(2)));
    assert!(closed["opened_at_checkpoint"].as_str().is_some_and(|note| note.contains('\u{2014}')), "{closed}");
    let verified = story.tells(&["audit", "verify"]).await;
    assert!(verified.status.success(), "{verified:?}");
    let spilled = |workspace: &Workspace| workspace.messages(CHANNEL).iter().any(|m| m.shown().contains("on call"));
    assert!(!spilled(&story.workspace), "what is said in a review stays with whoever reviews");
}
