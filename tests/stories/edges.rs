//! How clients come in: TLS, versions, bounds, and what is said to whoever does not keep to them.

use std::{path::Path, time::Duration};

use rustls::version::{TLS12, TLS13};
use tokio::time::{interval, timeout};

use crate::harness::{
    PATIENCE, Story,
    raw::{GSS_REQUEST, Heard, Raw, SSL_REQUEST, cancel, message, packet, query, startup},
    tls::Authority,
    wire::{Script, Wire},
};

/// A config with more keys in `[gateway]`.
fn with(keys: &str) -> impl Fn(&str, &Path) -> String {
    let keys = format!("[gateway]\n{keys}\n");
    move |config, _| config.replacen("[gateway]\n", &keys, 1)
}

/// A gateway with TLS under `localhost`.
async fn behind_tls(authority: &Authority) -> Story {
    let change = |config: &str, folder: &Path| {
        authority.vouches_for(&["localhost"]).write(folder, "gateway");
        std::fs::write(folder.join("ca.pem"), authority.certificate()).expect("the authority's file");
        with("tls = { cert = \"gateway.pem\", key = \"gateway.key\" }")(config, folder)
    };
    Story::gateway_with(change).await
}

/// What a server's last bytes say; nothing where it closed without a word.
fn last_words(bytes: &[u8]) -> Option<Heard> {
    let (head, body) = bytes.split_at_checked(5)?;
    assert_eq!(head[0], b'E', "{}", String::from_utf8_lossy(bytes));
    Some(Heard { tag: head[0], body: body.to_vec() })
}

async fn refused(raw: Raw) -> Heard {
    last_words(&raw.rest().await).expect("a reason")
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_verifies_the_gateway() {
    let (authority, stranger) = (Authority::new("Acme"), Authority::new("Nobody"));
    let story = behind_tls(&authority).await;
    std::fs::write(story.folder().join("stranger.pem"), stranger.certificate()).expect("a file");
    let asks = async |root: &str, mode: &str| {
        let mut psql = story.psql("ana");
        psql.env("PGHOST", "localhost").env("PGSSLMODE", mode).env("PGSSLROOTCERT", story.folder().join(root));
        // The line names the address; what comes later counts.
        psql.args([
            "-d",
            &format!("host=localhost port={} dbname=shop user=ana@acme.dev", story.world.facts.listen.port()),
        ]);
        timeout(PATIENCE, psql.args(["-Atc", "select 'in'"]).output()).await.expect("psql ends").expect("psql")
    };
    let good = asks("ca.pem", "verify-full").await;
    assert_eq!(String::from_utf8_lossy(&good.stdout).trim(), "in", "{}", String::from_utf8_lossy(&good.stderr));
    let bad = asks("stranger.pem", "verify-full").await;
    assert!(!bad.status.success(), "another authority does not vouch for it");
    assert_eq!(
        String::from_utf8_lossy(&asks("ca.pem", "disable").await.stdout).trim(),
        "in",
        "loopback may go without"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_begins_at_once_or_after_asking() {
    let authority = Authority::new("Acme");
    let story = behind_tls(&authority).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    for (version, versions) in [("1.2", &[&TLS12]), ("1.3", &[&TLS13])] {
        let client = |alpn: &[&str]| authority.trusted(versions, alpn);
        let direct = story.raw().await.in_tls(client(&["postgresql"])).await;
        let asked = story.raw().await.asks_for_tls(client(&[])).await;
        let both = story.raw().await.asks_for_tls(client(&["postgresql"])).await;
        for (how, raw) in [("direct", direct), ("after asking, as before 17", asked), ("after asking", both)] {
            let mut raw = raw.unwrap_or_else(|error| panic!("TLS {version} {how}: {error}"));
            let heard = raw.logs_in(0, &[], &token).await;
            assert_eq!(heard.last().map(|last| last.tag), Some(b'Z'), "TLS {version} {how}: {heard:?}");
        }
        assert!(story.raw().await.in_tls(client(&["h2"])).await.is_err(), "TLS {version}: meant for somebody else");
        assert!(story.raw().await.asks_for_tls(client(&["h2"])).await.is_err(), "TLS {version}: the same, asked");
        // The handshake itself is good; what comes after it gets no answer.
        if let Ok(mut raw) = story.raw().await.in_tls(client(&[])).await {
            raw.says(&startup(0, &[("user", "ana@acme.dev"), ("database", "shop")])).await;
            assert_eq!(raw.rest().await, b"", "TLS {version}: direct without ALPN");
        }
    }
    let mut within = story.raw().await.in_tls(authority.trusted(&[&TLS13], &["postgresql"])).await.expect("TLS");
    within.says(&SSL_REQUEST).await;
    assert_eq!(refused(within).await.field(b'C'), "08P01", "TLS within TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_before_the_handshake_counts_for_nothing() {
    let authority = Authority::new("Acme");
    let story = behind_tls(&authority).await;
    let early = startup(0, &[("user", "mallory@acme.dev"), ("database", "shop")]);
    for (what, request) in [("TLS", SSL_REQUEST), ("GSSAPI", GSS_REQUEST)] {
        let mut raw = story.raw().await;
        raw.says(&[request.as_slice(), &early].concat()).await;
        let reason = refused(raw).await;
        assert_eq!(reason.field(b'C'), "08P01", "{what}: {reason:?}");
        assert!(reason.field(b'M').contains("unencrypted data"), "{what}: {reason:?}");
    }
    let mut raw = story.raw().await;
    raw.says(&GSS_REQUEST).await;
    assert_eq!(raw.hears(1).await, b"N", "there is no GSSAPI");
    let mut raw = raw.asks_for_tls(authority.trusted(&[&TLS13], &[])).await.expect("TLS, after that");
    let token = story.world.idp.token_for("ana").expect("a token");
    assert_eq!(raw.logs_in(0, &[], &token).await.last().map(|last| last.tag), Some(b'Z'));
    let mut raw = story.raw().await;
    raw.says(&GSS_REQUEST).await;
    raw.hears(1).await;
    raw.says(&GSS_REQUEST).await;
    assert_eq!(refused(raw).await.field(b'C'), "08P01", "once is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_negotiated() {
    let story = Story::gateway_with(with("")).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let grease: &[(&str, &str)] = &[("_pq_.test_protocol_negotiation", "")];
    let told: &[u8] = b"\0\x03\0\x02\0\0\0\x01_pq_.test_protocol_negotiation\0";
    let modern = story.number("select current_setting('server_version_num')::bigint").await >= 180_000;
    // What NegotiateProtocolVersion says, if it is sent.
    for (minor, more, expected) in [(0, &[][..], None), (2, &[], None), (99, grease, Some(told))] {
        let mut raw = story.raw().await;
        let heard = raw.logs_in(minor, more, &token).await;
        let negotiated = heard.iter().find(|heard| heard.tag == b'v').map(|heard| heard.body.as_slice());
        assert_eq!(negotiated, expected, "3.{minor}");
        let key = heard.iter().find(|heard| heard.tag == b'K').expect("a key");
        // A server before 18 has nothing longer to give, and a client of 3.0 could not keep it.
        assert_eq!(key.body.len(), if modern && minor >= 2 { 36 } else { 8 }, "3.{minor}");
        assert_eq!(heard.last().map(|last| last.tag), Some(b'Z'), "3.{minor}");
        raw.says(&query("select pg_sleep(600)")).await;
        story.sleeps(1).await;
        let mut canceller = story.raw().await;
        canceller.says(&cancel(&key.body)).await;
        canceller.closes().await;
        let heard = raw.until(b'Z').await;
        let error = heard.iter().find(|heard| heard.tag == b'E').expect("an error");
        assert_eq!(error.field(b'C'), "57014", "3.{minor}: the key works");
    }
    let mut raw = story.raw().await;
    raw.says(&packet(&[0, 2, 0, 0, 0])).await;
    let reason = refused(raw).await;
    assert_eq!(reason.field(b'C'), "0A000");
    assert_eq!(reason.field(b'M'), "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
    let mut raw = story.raw().await;
    raw.says(&SSL_REQUEST).await;
    assert_eq!(raw.hears(1).await, b"N", "no TLS without a certificate");
    let mut raw = story.raw().await;
    raw.says(&[0x16, 3, 1, 0, 0]).await;
    assert_eq!(raw.rest().await, b"", "nor direct TLS");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stalls_is_sent_away() {
    let authority = Authority::new("Acme");
    let change = |config: &str, folder: &Path| {
        authority.vouches_for(&["localhost"]).write(folder, "gateway");
        with("login_timeout = \"1s\"\ntls = { cert = \"gateway.pem\", key = \"gateway.key\" }")(config, folder)
    };
    let story = Story::gateway_with(change).await;
    let hello = startup(0, &[("user", "ana@acme.dev"), ("database", "shop")]);
    // What is said before the silence; whether there is a channel on which a reason could be given.
    for (case, said, reason) in [
        ("nothing at all", &b""[..], false),
        ("a length, and nothing behind it", &hello[..4], true),
        ("half of a startup message", &hello[..20], true),
        ("the first byte of a handshake", &[0x16], false),
        ("a request for TLS, and no handshake", &SSL_REQUEST, false),
        ("a startup message, and no password", &hello, true),
    ] {
        let mut raw = story.raw().await;
        raw.says(said).await;
        let heard = raw.rest().await;
        let text = String::from_utf8_lossy(&heard);
        assert_eq!(text.contains("the login took too long"), reason, "{case}: {text:?}");
    }
    let mut raw = story.raw().await.asks_for_tls(authority.trusted(&[&TLS13], &[])).await.expect("TLS");
    raw.says(&hello[..20]).await;
    assert_eq!(refused(raw).await.field(b'C'), "57014", "behind TLS too");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_come_from_one_address() {
    let story = Story::gateway_with(with("max_connections_per_address = 2")).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let (mut first, key) = story.raw_session("ana").await;
    let (second, _) = story.raw_session("ana").await;
    let mut third = story.raw().await;
    third.says(&startup(0, &[("database", "shop"), ("user", "")])).await;
    let reason = refused(third).await;
    assert_eq!(reason.field(b'C'), "53300", "{reason:?}");
    assert!(reason.field(b'H').contains("max_connections_per_address"), "{reason:?}");

    first.says(&query("select pg_sleep(600)")).await;
    story.sleeps(1).await;
    let mut canceller = story.raw().await;
    canceller.says(&cancel(&key)).await;
    canceller.closes().await;
    assert_eq!(
        first.until(b'E').await.last().expect("an error").field(b'C'),
        "57014",
        "who is at the bound can cancel"
    );

    drop(second);
    let mut tries = interval(Duration::from_millis(25));
    let comes_in = async {
        loop {
            tries.tick().await;
            let mut raw = story.raw().await;
            raw.says(&startup(0, &[("database", "shop"), ("user", "")])).await;
            if raw.frame().await.tag == b'R' {
                raw.says(&message(b'p', format!("{token}\0").as_bytes())).await;
                return raw.until(b'Z').await;
            }
        }
    };
    timeout(PATIENCE, comes_in).await.expect("a place that was left is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_are_bounded_together() {
    let story = Story::gateway_with(with("max_parameters = \"128kB\"")).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut ana = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let big = "x".repeat(40 << 10);
    let parsed = Script::default().query("begin").parse("s", "select length($1)");
    let kept = ["a", "b", "c"].iter().fold(parsed, |script, name| script.bind_with(name, "s", &[&big]));
    assert_eq!(ana.says(kept.sync(), 2).await, ["BEGIN"], "three fit");
    let fourth = Script::default().bind_with("d", "s", &[&big]).sync();
    assert_eq!(ana.says(fourth, 1).await, ["54000"]);
    let after = Script::default().query("rollback").runs("select 1").sync();
    assert_eq!(ana.says(after, 2).await, ["ROLLBACK", "SELECT 1"], "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_big_is_refused_before_it_is_there() {
    let keys = "max_statement = \"64kB\"\nmax_parameters = \"128kB\"\nmax_copy_data = \"256kB\"";
    let story = Story::gateway_with(with(keys)).await;
    let big = vec![b'x'; 300 << 10];
    let bind = [b"\0\0\0\0\0\x01".as_slice(), &(300_u32 << 10).to_be_bytes(), &big, b"\0\0"].concat();
    let head = |tag: u8| [tag, 0x7f, 0xff, 0xff, 0xff].to_vec();
    for (case, said, code, setting) in [
        ("a query", query(&format!("select '{}'", "x".repeat(64 << 10))), "54000", "max_statement"),
        ("a statement", message(b'P', &[b"\0".as_slice(), &big, b"\0\0\0"].concat()), "54000", "max_statement"),
        ("parameters", message(b'B', &bind), "54000", "max_parameters"),
        ("COPY data", message(b'd', &big), "54000", "max_copy_data"),
        ("two gigabytes that never come", head(b'Q'), "54000", "max_statement"),
        ("a name of 300 kB", message(b'D', &big), "08P01", ""),
        ("a second password", message(b'p', &big), "08P01", ""),
    ] {
        let (mut raw, _) = story.raw_session("ana").await;
        raw.says(&said).await;
        let reason = refused(raw).await;
        assert_eq!(reason.field(b'C'), code, "{case}: {reason:?}");
        assert!(reason.field(b'H').contains(setting), "{case}: {reason:?}");
    }
    let (mut raw, _) = story.raw_session("ana").await;
    raw.says(&query(&format!("select length('{}')", "x".repeat(60 << 10)))).await;
    assert!(raw.until(b'Z').await.iter().any(|heard| heard.tag == b'D'), "what fits passes");

    let mut raw = story.raw().await;
    raw.says(&startup(0, &[("user", "ana@acme.dev"), ("options", &"x".repeat(10_000))])).await;
    assert_eq!(refused(raw).await.field(b'C'), "08P01", "a startup message of 10 kB");
    let mut raw = story.raw().await;
    raw.says(&startup(0, &[("user", "ana@acme.dev"), ("database", "shop")])).await;
    raw.frame().await;
    raw.says(&message(b'p', &big)).await;
    assert_eq!(refused(raw).await.field(b'C'), "08P01", "a password of 300 kB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guessed_key_gets_nothing_and_the_real_one_works_over_tls() {
    let authority = Authority::new("Acme");
    let story = behind_tls(&authority).await;
    let (mut ana, key) = story.raw_session("ana").await;
    ana.says(&query("select pg_sleep(600)")).await;
    story.sleeps(1).await;
    let flipped = |at: usize| key.iter().enumerate().map(|(n, byte)| if n == at { byte ^ 1 } else { *byte }).collect();
    let mut guesses: Vec<Vec<u8>> = (0..key.len()).map(flipped).collect();
    guesses.extend((0..=255).map(|last| [&key[..7], &[last]].concat()).filter(|guess| *guess != key));
    guesses.push([key.as_slice(), b"\0"].concat());
    guesses.push([&key[..4], &[0; 256]].concat());
    for guess in &guesses {
        let mut raw = story.raw().await;
        raw.says(&cancel(guess)).await;
        assert_eq!(raw.rest().await, b"", "no answer");
    }
    story.sleeps(1).await;

    let direct = story.raw().await.in_tls(authority.trusted(&[&TLS13], &["postgresql"])).await;
    let mut canceller = direct.expect("TLS");
    canceller.says(&cancel(&key)).await;
    canceller.closes().await;
    assert_eq!(ana.until(b'Z').await.iter().find(|heard| heard.tag == b'E').expect("an error").field(b'C'), "57014");

    ana.says(&query("select pg_sleep(601)")).await;
    story.sleeps(1).await;
    let asked = story.raw().await.asks_for_tls(authority.trusted(&[&TLS12], &[])).await;
    let mut canceller = asked.expect("TLS");
    canceller.says(&cancel(&key)).await;
    canceller.closes().await;
    assert_eq!(ana.until(b'Z').await.iter().find(|heard| heard.tag == b'E').expect("an error").field(b'C'), "57014");
}

impl Story {
    /// Waits until so many statements sleep in this story's shop.
    async fn sleeps(&self, many: i64) {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() \
                   and state = 'active' and wait_event = 'PgSleep'";
        let mut looks = interval(Duration::from_millis(25));
        let sleeps = async {
            while self.number(sql).await != many {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, sleeps).await.expect("it sleeps");
    }
}
