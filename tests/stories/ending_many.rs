//! How long it takes until access is over. Run it alone:
//! `cargo nextest run -p countersign-tests --run-ignored only how_long_it_takes --no-capture`

use std::{fs, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, interval};

use crate::harness::{Story, client::Client};

const SESSIONS: usize = 500;
const ENDED: usize = 50;

const POLICY: &str = r#"
permit (principal in Group::"audit", action == Action::"request", resource == Role::"shop-guest");
permit (principal in Role::"shop-guest", action in [Action::"connect", Action::"read"], resource in Connection::"shop");
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, with 500 sessions: cargo test -p countersign-tests --test stories ending_many -- --ignored --nocapture"]
async fn how_long_it_takes_until_fifty_of_five_hundred_sessions_are_gone() {
    let story = Story::gateway_with(|config, folder| {
        fs::write(folder.join("policy/90-roles.cedar"), POLICY).expect("a policy");
        format!("{config}\n[[role]]\nname = \"shop-guest\"\nmax_duration = \"8h\"\n")
    })
    .await;
    let grant = story.asks_for("sam", "shop-guest", "1h").await.expect("given").grant.expect("a grant").id;
    let sam = story.world.idp.token_for("sam").expect("a token");
    measure(&story, &sam, async { drop(story.ends_grant("sam", grant.as_str()).await.expect("his own")) }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, with 500 sessions: cargo test -p countersign-tests --test stories ending_many -- --ignored --nocapture"]
async fn how_long_it_takes_until_who_signed_out_is_gone() {
    let story = Story::gateway_with(|config, _| config.to_owned()).await;
    let token = story.world.idp.token("ben").expect("a token");
    let event = serde_json::json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    let logout = token.clone().claim("events", event).claim("jti", "a-logout").header("typ", "logout+jwt");
    let logout = logout.jwt().expect("a logout token");
    let url = story.world.facts.control.join("signout/backchannel").expect("an address");
    let calls = async {
        let http = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let answer = http.post(url).form(&[("logout_token", logout)]).send().await.expect("an answer");
        assert!(answer.status().is_success());
    };
    measure(&story, &token.jwt().expect("a token"), calls).await;
}

/// Ends sessions that began with this token, among those of others.
#[allow(clippy::print_stderr, reason = "it prints what it measured")]
async fn measure(story: &Story, token: &str, ends: impl Future<Output = ()>) {
    let mut others = Vec::new();
    for _ in ENDED..SESSIONS {
        others.push(story.logs_in("ana").await);
    }
    let mut theirs = Vec::new();
    for _ in 0..ENDED {
        theirs.push(Client::log_in(story.world.facts.listen, "shop", token).await.expect("let in"));
    }
    let sleeping: Vec<_> = theirs.iter().map(|one| one.runs("select pg_sleep(600)")).collect();
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let count = "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'";
    let mut looks = interval(Duration::from_millis(5));
    let backends = async || direct.query_one(count, &[]).await.expect("a number").get::<_, i64>(0);
    while backends().await < i64::try_from(ENDED).expect("a number") {
        looks.tick().await;
    }

    let began = Instant::now();
    let told = join_all(sleeping.into_iter().map(|sleep| async move {
        let refused = sleep.gets_refused().await;
        assert_eq!(refused.code, "57P01", "{refused:?}");
        began.elapsed()
    }));
    let gone = async {
        while backends().await > 0 {
            looks.tick().await;
        }
        began.elapsed()
    };
    let ((), mut told, gone) = tokio::join!(ends, told, gone);
    told.sort();
    let at = |part: usize| told[(told.len() * part).div_ceil(100) - 1];
    eprintln!("57P01 read: p50 {:?}, p99 {:?}, max {:?}; all backends gone after {gone:?}", at(50), at(99), at(100));
    for other in &others {
        other.runs("select 1").ends().await.expect("who is not meant goes on");
    }
    assert!(at(100) < Duration::from_secs(1) && gone < Duration::from_secs(1));
}
