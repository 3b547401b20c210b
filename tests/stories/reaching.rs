//! Reaching somebody: a group first, an on-call service next, and once more before the deadline; and what is
//! misconfigured is told.

use std::fs;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::timeout,
};

use crate::harness::{CHANNEL, PATIENCE, Story};

const DELETE: &str = "delete from orders where id = 5";

/// The next call of a webhook: its body.
async fn called(listener: &TcpListener) -> String {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.expect("a call").expect("a connection");
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&said).trim_end().ends_with('}') {
        let count = timeout(PATIENCE, stream.read(&mut buffer)).await.expect("bytes").expect("bytes");
        assert!(count > 0, "it ends too early");
        said.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await.expect("an answer");
    String::from_utf8(said).expect("text").split_once("\r\n\r\n").expect("a body").1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_reaches_a_group_then_an_on_call_service_and_is_reminded_of_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let routes = "
[[route]]
connection = \"shop\"
usergroup  = \"S0DBA000001\"
escalate_after = \"1s\"

[[route]]
tag     = \"env=demo\"
webhook = { file = \"webhook.url\" }
";
    let story = Story::serves_with(|config, folder| {
        fs::write(folder.join("webhook.url"), format!("http://{address}/page?key=secret")).expect("a file");
        let config = config.replace("hold_timeout = \"15m\"", "hold_timeout = \"30s\"");
        assert!(config.contains("hold_timeout = \"30s\""));
        format!("{config}{routes}")
    })
    .await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    let asked = story.card_says(&id, "somebody is needed").await;
    assert!(serde_json::to_string(&asked.blocks).expect("JSON").contains("S0DBA000001"), "{:?}", asked.blocks);
    let body = called(&listener).await;
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((body["request"].as_str(), body["connection"].as_str()), (Some(id.as_str()), Some("shop")));
    assert!(!body.to_string().contains("delete from"), "the statement stays here: {body}");
    let reminder = story.card_says(&id, "Ends in").await;
    let called = serde_json::to_string(&reminder.blocks).expect("JSON");
    assert!(called.contains("S0DBA000001"), "the group, the second time too: {called}");
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    let messages = story.workspace.messages(CHANNEL);
    for part in ["somebody is needed", "Ends in"] {
        let count = messages.iter().filter(|m| m.shown().contains(&id) && m.shown().contains(part)).count();
        assert_eq!(count, 1, "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_misconfigured_in_slack() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let fine = story.tells(&["check", "--slack"]).await;
    let said = String::from_utf8_lossy(&fine.stdout).into_owned();
    assert!(fine.status.success(), "{fine:?}");
    for part in
        ["bot_token is good for Acme", "has its scopes", "clock agrees", "opens Socket Mode", "in #db-approvals"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (method, word, part) in [
        ("auth.test", "invalid_auth", "bot_token: Slack says invalid_auth"),
        ("apps.connections.open", "not_allowed_token_type", "it begins with xapp-"),
        ("conversations.info", "channel_not_found", "invite @countersign there"),
    ] {
        story.workspace.fail(method, 1, word);
        let bad = story.tells(&["check", "--slack"]).await;
        let said = String::from_utf8_lossy(&bad.stderr).into_owned();
        assert!(bad.status.code() == Some(1) && said.contains(part), "{part}: {said}");
        assert!(!said.contains(&story.workspace.bot_token()), "no token is ever said");
    }
}
