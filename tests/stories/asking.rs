//! Access asked for in Slack: in words or in a form, given by another, and given back.

use std::fs;

use crate::harness::{CHANNEL, PATIENCE, Story};

pub const POLICY: &str = r#"
permit (principal in Group::"engineering", action == Action::"request", resource == Role::"shop-writer")
when { context.approvals.count >= 1 && context has duration && context.duration <= duration("4h") };
permit (principal in Role::"shop-writer", action in Action::"write", resource in Connection::"shop");
permit (principal in Group::"engineering", action == Action::"request", resource == Role::"shop-looker");
permit (principal in Group::"dba", action == Action::"administer", resource in Connection::"shop");
"#;

pub const ROLES: &str = "
[[role]]
name = \"shop-writer\"
max_duration = \"8h\"

[[role]]
name = \"shop-looker\"
max_duration = \"720h\"
";

const UPDATE: &str = "update products set stock = stock + 1 where id = 1";

/// Gateway and bot, with roles to ask for and `more` of the config.
pub async fn story(more: &str) -> Story {
    Story::serves_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), POLICY).expect("a policy");
        format!("{config}{more}{ROLES}")
    })
    .await
}

/// The id between backquotes behind `before`.
pub fn id_in(text: &str, before: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}"));
    rest.chars().skip_while(|c| !c.is_ascii_alphanumeric()).take_while(char::is_ascii_alphanumeric).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_wish_is_approved_on_its_card_used_extended_and_given_back() {
    let story = story("").await;
    let (ana, priya) = (story.linked("ana").await, story.linked("priya").await);
    ana.types("request shop shop-writer 2h fixing  INC-42 <!channel>").await;
    let told = ana.is_told("waits for 1 approval by members of dba").await;
    let request = id_in(&told, "Request ");
    let card = story.card(&request).await;
    for shown in ["ana@acme.dev", "shop-writer for 2 h", "fixing INC-42 <!channel>"] {
        assert!(card.shown().contains(shown), "{shown} is not on the card: {}", card.shown());
    }
    ana.types("status").await;
    assert!(ana.is_told("You have asked for").await.contains(&request));
    priya.types("requests").await;
    priya.is_told("Waits for you").await;
    ana.presses("approve", &request).await;
    ana.is_told("cannot approve your own request").await;
    assert!(story.grants("ana").await.is_empty());

    priya.presses("approve", &request).await;
    story.card_says(&request, "Access was given").await;
    let session = story.logs_in("ana").await;
    assert_eq!(session.runs(UPDATE).ends().await.expect("she may").affected, [1]);
    ana.types("status").await;
    let grant = id_in(&ana.is_told("*You have*").await, "*You have*");
    assert_eq!(grant, story.grants("ana").await[0].id.to_string());
    priya.types("sessions").await;
    priya.is_told("ana@acme.dev on shop").await;

    ana.types(&format!("extend {grant} 3h not done yet")).await;
    let told = |workspace: &countersign_demo::slack::Workspace| {
        let told = workspace.ephemerals(ana.user()).into_iter().map(|message| message.shown());
        told.filter(|shown| shown.contains("You will be told")).find(|shown| !shown.contains(&request))
    };
    let told = story.workspace.wait_for(PATIENCE, told).await.expect("she is told");
    let more = id_in(&told, "Request ");
    priya.presses("approve", &more).await;
    story.card_says(&more, "Access was given").await;
    ana.types("done").await;
    ana.is_told("is given back, in running sessions too").await;
    assert!(story.grants("ana").await.is_empty());
    assert!(session.runs("select 1").ends().await.is_err(), "the session rested on it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_offers_what_its_reader_may_ask_for_and_reads_the_time_where_they_are() {
    let story = story("").await;
    let ana = story.linked("ana").await;
    story.workspace.change_user(ana.user(), |person| person.tz = "Pacific/Kiritimati".into()).expect("she moves");
    ana.types("").await;
    let form = ana.sees_form("what").await;
    for offered in ["shop-writer on shop, after approval, up to 4 h", "shop-looker on shop, at once, up to 30 d"] {
        assert!(form.content.to_string().contains(offered), "{offered}: {}", form.content);
    }
    ana.submits(&form, &[("what", "shop shop-looker"), ("duration", "until 17:00"), ("reason", "to look")]).await;
    ana.is_told("You have shop-looker on shop until").await;
    let grant = story.grants("ana").await.remove(0);
    // UTC+14, all year round.
    assert_eq!(grant.expires_at.format("%H:%M:%S").to_string(), "03:00:00");
    assert_eq!(grant.reason, "to look");

    ana.types("request").await;
    let form = ana.sees_form("what").await;
    ana.submits(&form, &[("what", "shop shop-writer"), ("duration", "soon"), ("reason", "x")]).await;
    ana.is_told("Nothing was asked").await;
    // Sam audits, and may ask for nothing.
    let sam = story.linked("sam").await;
    sam.types("request").await;
    let closed = story.workspace.wait_for(PATIENCE, |workspace| {
        workspace.open_views(sam.user()).into_iter().find(|view| view.content.to_string().contains("no role that you"))
    });
    assert!(closed.await.expect("a form that says so").blocks().len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_why_and_nothing_happens() {
    let story = story("").await;
    let guest = countersign_demo::people::People::acme().people.into_iter().find(|person| person.guest);
    let guest = guest.map(|person| person.slack_id);
    let (ana, ben) = (story.colleague("ana"), story.linked("ben").await);
    ana.types("request shop shop-looker 1h to look").await;
    let told = ana.is_told("Sign in once to link your account").await;
    assert!(told.contains("Nothing was done"), "{told}");
    assert!(story.grants("ana").await.is_empty());
    ana.follows(&told).await;
    ana.types("request shop shop-looker 1h to look").await;
    ana.is_told("You have shop-looker").await;
    let grant = story.grants("ana").await.remove(0).id;

    for (text, answer) in [
        ("reqest shop shop-writer 1h x", "Did you mean `/access request`?"),
        ("request shop shop-writer 5h longer than policy says", "may not ask"),
        ("request nowhere shop-writer 1h x", "may not ask"),
        ("request shop shop-writer 1h", "Say why"),
        ("request shop shop-writer until 25:00 x", "no time of day"),
        (&format!("revoke {grant}"), "no such grant"),
        (&format!("extend {grant}"), "no such grant"),
        ("revoke ../../x", "no such grant"),
        ("kill ZZZZZZZZZZZZZZZZ", "no such session"),
        ("done", "no role to give back"),
    ] {
        ben.types(text).await;
        let told = story.workspace.wait_for(PATIENCE, |workspace| {
            let told = workspace.ephemerals(ben.user());
            told.into_iter().map(|message| message.shown()).find(|shown| shown.contains(answer))
        });
        told.await.unwrap_or_else(|in_vain| panic!("{text}: {in_vain}"));
    }
    assert_eq!(story.grants("ana").await.len(), 1, "hers goes on");
    if let Some(guest) = guest {
        story.workspace.command(&guest, CHANNEL, "/access", "request shop shop-looker 1h x").await.expect("taken");
        let told = story.workspace.wait_for(PATIENCE, |workspace| {
            workspace.ephemerals(&guest).into_iter().find(|message| message.shown().contains("Only full members"))
        });
        told.await.expect("a guest is told");
    }
    ana.types("unlink").await;
    ana.is_told("no longer linked").await;
    ana.types("done").await;
    ana.is_told("Sign in once").await;
    assert_eq!(story.grants("ana").await.len(), 1, "an account that is not linked gives nothing back");
}
