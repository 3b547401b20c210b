//! A session goes on with a newer token, and nobody ever sees it.

use std::time::Duration;

use countersign_demo::idp::{Idp, Signing};
use countersign_demo::people::People;
use tokio::time::{Instant, interval, timeout};

use crate::harness::{
    PATIENCE, Story,
    client::Client,
    wire::{Script, Wire},
};

fn set(token: &str) -> String {
    format!("SET countersign.token = '{token}'")
}

impl Story {
    fn token(&self, who: &str) -> countersign_demo::idp::Token {
        self.world.idp.token(who).expect("a token")
    }

    fn log(&self) -> String {
        let written = self.everything_written().into_iter();
        written.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// Nothing of a token was written down or told to the database.
    fn never_wrote(&self, token: &str) {
        // From the middle of it, where its claims are: no other token has the same.
        let middle = token.len() / 2;
        let part = &token[middle..(middle + 40).min(token.len())];
        for (path, bytes) in self.everything_written() {
            let found = bytes.windows(part.len()).any(|window| window == part.as_bytes());
            assert!(!found, "{} has a token in it", path.display());
        }
        assert!(!self.database_ran(part), "the database has seen a token");
        assert!(!self.database_ran("countersign.token"), "the database has seen the setting");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_the_token_that_it_began_with() {
    let story = Story::begin().await;
    let began = Instant::now();
    let short = story.token("ana").expires_in(8).jwt().expect("a token");
    let ana = Client::log_in(story.world.facts.listen, "shop", &short).await.expect("let in");
    let other = Client::log_in(story.world.facts.listen, "shop", &short).await.expect("let in");
    let long = story.world.idp.token_for("ana").expect("a token");
    assert_eq!(ana.runs(&set(&long)).ends().await.expect("renewed").affected, [0]);
    let over = other.runs("select pg_sleep(61)").gets_refused().await;
    assert_eq!((over.code.as_str(), over.message.as_str()), ("57P01", "the token has expired"));
    assert!(began.elapsed() > Duration::from_secs(6), "the other one lived as long as its token");
    ana.runs("select 1").ends().await.expect("she goes on");
    assert!(story.log().contains("\"kind\":\"renewed\""));
    story.never_wrote(&long);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_fit_renews_nothing_and_is_told_nowhere() {
    let mut story = Story::prepare().await;
    story.traces = true;
    story.starts("gateway").await;
    let ana = story.logs_in("ana").await;
    let elsewhere = Idp::start(People::acme()).await.expect("another provider");
    let good = story.world.idp.token_for("ana").expect("a token");
    let bent = |token: countersign_demo::idp::Token| token.jwt().expect("a token");
    let table = [
        ("somebody else's", story.world.idp.token_for("ben").expect("a token"), "somebody else's"),
        ("her agent's", story.world.idp.token_for("deploy").expect("a token"), "somebody else's"),
        ("her name, another subject", bent(story.token("ana").claim("sub", "mallory")), "somebody else's"),
        ("over", bent(story.token("ana").expires_in(-1)), "has expired"),
        ("older than hers", bent(story.token("ana").issued_ago(600)), "older than the one"),
        ("weeks old", bent(story.token("ana").issued_ago(30 * 86400)), "has expired"),
        ("another issuer's", elsewhere.token_for("ana").expect("a token"), "its issuer is not one of ours"),
        ("for another audience", bent(story.token("ana").audience("payroll")), "for another audience"),
        ("not signed", bent(story.token("ana").signed(Signing::Nothing)), "it is not a JWT"),
        ("signed by another", bent(story.token("ana").signed(Signing::ForeignKey)), "its signature is wrong"),
        ("garbage", "hunter2hunter2hunter2hunter2hunter2".to_owned(), "it is not a JWT"),
        ("nothing", String::new(), "it is not a JWT"),
    ];
    let mut said = None;
    for (case, token, reason) in &table {
        let refused = ana.runs(&set(token)).gets_refused().await;
        assert_eq!(refused.code, "28P01", "{case}: {refused:?}");
        assert_eq!(*said.get_or_insert(refused.clone()), refused, "{case} reads like all the others");
        assert!(story.log().contains(reason), "{case}: the log says why");
        ana.runs("select 1").ends().await.expect("the session goes on");
        if token.len() > 20 {
            story.never_wrote(token);
        }
    }
    // Not alone, not whole, not to be shown.
    let alone = [
        format!("{}; select 1", set(&good)),
        format!("select 1; {}", set(&good)),
        format!("SET countersign.token = '{good}"),
        format!("select set_config('countersign.token', '{good}', false)"),
        format!("DO $$ BEGIN SET countersign.token = '{good}'; END $$"),
        format!("ALTER ROLE CURRENT_USER SET countersign.token = '{good}'"),
        format!("CREATE FUNCTION f() RETURNS int LANGUAGE sql SET countersign.token = '{good}' AS 'select 1'"),
        format!("EXPLAIN {}", set(&good)),
        "SHOW countersign.token".to_owned(),
        "RESET countersign.token".to_owned(),
        "SET countersign.token TO DEFAULT".to_owned(),
        "select current_setting('countersign.token', true)".to_owned(),
    ];
    for sql in &alone {
        let refused = ana.runs(sql).gets_refused().await;
        assert_eq!(refused.code, "22023", "{}: {refused:?}", &sql[..30]);
        let told = format!("{refused:?}");
        assert!(!told.contains(&good[..20]), "{told}");
        let refused = ana.executes(sql, vec![]).gets_refused().await;
        assert!(["22023", "closed", "42601"].contains(&refused.code.as_str()), "{}: {refused:?}", &sql[..30]);
    }
    ana.runs(&set(&good)).ends().await.expect("a good one");
    assert!(story.log().contains("TRACE"), "it tells all that it can");
    let refused = ana.runs("SHOW countersign.token").gets_refused().await;
    assert!(!format!("{refused:?}").contains(&good[..20]), "it is never shown");
    story.never_wrote(&good);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_renew_by_the_extended_protocol_and_in_a_transaction() {
    let story = Story::begin().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let sql = set(&token);
    assert_eq!(wire.says(Script::default().runs(&sql).sync(), 1).await, ["SET"]);
    let between = Script::default().parse("", "select 1").sync().parse("own", &sql).describe("own").bind("own", "own");
    let between = between.execute("own").close("own").sync().bind("", "").execute("").sync();
    assert_eq!(wire.says(between, 3).await, ["SET", "SELECT 1"], "the unnamed statement is still there");
    let said = wire.says(Script::default().query("begin").query(&sql).query("select 1").query("commit"), 4).await;
    assert_eq!(said, ["BEGIN", "SET", "SELECT 1", "COMMIT"]);
    let failed = wire.says(Script::default().runs(&set("garbage")).sync(), 1).await;
    assert_eq!(failed, ["28P01"]);
    assert_eq!(wire.says(Script::default().runs("select 1").sync(), 1).await, ["SELECT 1"]);
    story.never_wrote(&token);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_brings_groups_and_takes_them() {
    let story = Story::begin_under(
        "permit (principal in Group::\"stock\", action == Action::\"update\", resource in Connection::\"shop\");",
    )
    .await;
    let sql = "update products set stock = stock + 1 where id = 3";
    let ana = story.logs_in("ana").await;
    let with = |groups: &[&str]| story.token("ana").claim("groups", groups.to_vec()).jwt().expect("a token");
    ana.runs(&set(&with(&["engineering", "stock"]))).ends().await.expect("renewed");
    assert_eq!(ana.runs(sql).ends().await.expect("the group may").affected, [1]);
    ana.runs(&set(&with(&["engineering"]))).ends().await.expect("renewed");
    let held = ana.runs(sql);
    ana.is_held().await;
    ana.presses_ctrl_c().await;
    held.gets_refused().await;
    ana.runs(&set(&with(&["nobody"]))).is_over().await;
    let ended = ana.runs("select 1").gets_refused().await;
    assert!(["57P01", "closed"].contains(&ended.code.as_str()), "{ended:?}");
    assert!(story.log().contains("ended"), "she may not connect any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_stay_signed_in_is_not_to_do_something() {
    let story = Story::gateway_with(|config, _| {
        config.replace("hold_timeout = \"15m\"", "hold_timeout = \"15m\"\nidle_timeout = \"4s\"")
    })
    .await;
    let ana = story.logs_in("ana").await;
    let mut ticks = interval(Duration::from_millis(150));
    let idle = async {
        loop {
            ticks.tick().await;
            let token = story.world.idp.token_for("ana").expect("a token");
            if let Err(over) = ana.runs(&set(&token)).ends().await {
                return over;
            }
        }
    };
    let over = timeout(PATIENCE, idle).await.expect("the session ends");
    assert!(["57P01", "closed"].contains(&over.code.as_str()), "{over:?}");
    assert!(story.log().contains("the session did nothing for too long"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_startup_packet_is_no_place_for_a_token() {
    let story = Story::begin().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut config = tokio_postgres::Config::new();
    let listen = story.world.facts.listen;
    config.host(listen.ip().to_string()).port(listen.port()).dbname("shop").user("").password(&token);
    config.options(format!("-c countersign.token={token}"));
    let refused = Client::log_in_with(&config).await.err().expect("refused");
    assert_eq!(refused.code, "22023", "{refused:?}");
    story.never_wrote(&token);
}
