//! What a session's record has of its rows; what of it is sealed, and how it ends.

use std::fs;

use crate::{
    evidence::{said, stops},
    harness::{
        Story,
        client::Client,
        wire::{Script, Wire},
    },
};

/// The classified column of the shop that is read here.
const CLASSIFY: &str = "classify = [ { column = \"public.customers.email\", as = \"pii\", mask = \"email\" } ]";
/// 32 bytes.
const SEAL: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

async fn with(more: &str) -> Story {
    Story::gateway_with(|config, folder| {
        fs::write(folder.join("shop.seal"), SEAL).expect("a secret");
        config.replace("[[connection]]\n", &format!("[[connection]]\n{more}\n"))
    })
    .await
}

async fn session_of(story: &Story) -> String {
    let ended = story.tells_json(&["sessions", "list", "--ended", "--json"]).await;
    ended[0]["id"].as_str().expect("a session").to_owned()
}

async fn replayed(story: &Story) -> String {
    let session = session_of(story).await;
    said(&story.tells(&["replay", &session, "--speed", "1000"]).await)
}

async fn reads(client: &Client, sql: &str) -> Vec<Vec<Option<String>>> {
    client.runs(sql).ends().await.unwrap_or_else(|no| panic!("{sql}: {no:?}")).rows
}

/// Whether a text stands in clear in anything that the gateway wrote.
fn is_written(story: &Story, text: &str) -> bool {
    let files = story.everything_written();
    files
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "records"))
        .any(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_recorded_as_they_left_up_to_the_limit_and_played_back() {
    let mut story = with(&format!("record_rows = 3\n{CLASSIFY}")).await;
    let ana = story.logs_in("ana").await;
    let rows = reads(&ana, "select id, email, null as nothing from customers order by id limit 5").await;
    assert_eq!(rows.len(), 5);
    let masked = rows[0][1].clone().expect("a masked address");
    reads(&ana, "select 'one'; select 'two'").await;
    ana.executes("select 42::int4", Vec::new()).ends().await.expect("it runs");
    ana.runs("copy (select 'copied') to stdout").ends().await.ok();
    drop(ana);
    stops(&mut story).await;
    let played = replayed(&story).await;
    let order = [
        "-- id | email | nothing".to_owned(),
        format!("   {} | {masked} | NULL", rows[0][0].as_deref().expect("an id")),
        format!("   {} |", rows[2][0].as_deref().expect("an id")),
        "-- and more, which are not recorded".to_owned(),
        "   one".to_owned(),
        "   two".to_owned(),
    ];
    let mut rest = played.as_str();
    for line in &order {
        let (_, after) = rest.split_once(line.as_str()).unwrap_or_else(|| panic!("{line} is missing in\n{played}"));
        rest = after;
    }
    assert!(!played.contains(&format!("   {} |", rows[3][0].as_deref().expect("an id"))), "{played}");
    assert!(rest.contains("   \\x0000002a"), "what comes in binary is spelled: {played}");
    let clear = story.world.upstream.connect().await.expect("a way in");
    let address: String =
        clear.query_one("select email from customers order by id limit 1", &[]).await.expect("a row").get(0);
    assert_ne!(address, masked);
    assert!(!is_written(&story, &address), "as it left, not as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_no_row_is_in_the_records() {
    let mut story = with("").await;
    reads(&story.logs_in("ana").await, "select 'can' || 'ary'").await;
    stops(&mut story).await;
    assert!(!is_written(&story, "canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_is_read_by_who_has_the_key_verified_by_everybody_and_gone_with_its_key() {
    let mut story = with("record_rows = 3\nseal = { file = \"shop.seal\" }\nrecord_keep = \"1d\"").await;
    let ana = story.logs_in("ana").await;
    reads(&ana, "select 'can' || 'ary' as hidden_name").await;
    ana.executes("select $1::text", vec![Box::new("hidden_value")]).ends().await.expect("it runs");
    ana.runs("select 'hidden_number'::int").gets_refused().await;
    ana.runs("drop table orders -- hidden_table").gets_refused().await;
    // What a refusal says quotes the statement.
    assert_eq!(ana.runs("select 'a' 'hidden_syntax'").gets_refused().await.code, "42601");
    drop(ana);
    stops(&mut story).await;
    for text in ["canary", "hidden_name", "hidden_value", "hidden_number", "hidden_table", "hidden_syntax", SEAL] {
        assert!(!is_written(&story, text), "{text}");
    }
    let played = replayed(&story).await;
    for text in [
        "as hidden_name",
        "   canary",
        "$1 = hidden_value",
        "22P02 invalid input syntax",
        "drop table orders -- hidden_table",
        "ERROR: 42601 syntax error at or near \"'hidden_syntax'\"",
    ] {
        assert!(played.contains(text), "{text}: {played}");
    }
    let found = said(&story.tells(&["audit", "search", "sql:hidden_name"]).await);
    assert!(found.contains("hidden_name"), "{found}");
    let verified = said(&story.tells(&["audit", "verify"]).await);
    assert!(
        verified.contains("the log is good") && verified.contains("entries are sealed; of 0 of them"),
        "{verified}"
    );

    // Without the secret, it is seen that something ran, by whom, and on what.
    let secret = story.folder().join("shop.seal");
    fs::rename(&secret, secret.with_extension("away")).expect("it is away");
    let played = replayed(&story).await;
    assert!(played.contains("shop=> (sealed)") && !played.contains("hidden_name"), "{played}");
    fs::rename(secret.with_extension("away"), &secret).expect("it is back");

    // The day is over: its key goes, and the log says so.
    let mut keys = fs::read_dir(story.folder().join("records/keys")).expect("keys");
    let key = keys.next().expect("a key").expect("a file").path();
    let today = chrono::Utc::now().date_naive().to_string();
    let text = fs::read_to_string(&key).expect("a key");
    assert!(text.contains(&today), "{text}");
    let long_ago = (chrono::Utc::now() - chrono::TimeDelta::days(3)).date_naive().to_string();
    fs::write(&key, text.replace(&today, &long_ago)).expect("an older key");
    story.starts("gateway").await;
    story.until(|| !key.exists()).await;
    stops(&mut story).await;
    let played = replayed(&story).await;
    assert!(!played.contains("hidden_name"), "{played}");
    let verified = said(&story.tells(&["audit", "verify", "--all-signed"]).await);
    assert!(verified.contains("the log is good"), "{verified}");
    let count = verified.lines().find_map(|line| line.split_once(" entries are sealed; of ")).expect("a count");
    assert_eq!(count.1.split(' ').next(), Some(count.0), "all of them are gone: {verified}");
    let told = said(&story.tells(&["audit", "search", "kind:retention"]).await);
    assert!(told.contains("1 keys of sealed records are destroyed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_it_runs_has_its_sqlstate() {
    let mut story = with("").await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let bad = Script::default().parse_typed("", "select $1", &[23]).bind_with("", "", &["x"]).execute("");
    assert_eq!(wire.says(bad.runs("select 'behind it'").sync(), 1).await, ["22P02"]);
    drop(wire);
    stops(&mut story).await;
    let told = said(&story.tells(&["audit", "search", "kind:outcome", "--json"]).await);
    let outcomes: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(outcomes.len(), 2, "{told}");
    let of = |at: usize| outcomes[at]["outcome"].as_str().expect("an outcome");
    assert!(of(0).starts_with("22P02 invalid input syntax"), "{told}");
    assert_eq!((outcomes[0]["detail"]["failed"].as_bool(), of(1)), (Some(true), "skipped"), "{told}");
}
