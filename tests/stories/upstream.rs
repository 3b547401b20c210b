//! How the gateway comes into a database, and as whom.

use std::{fs, net::SocketAddr, path::Path};

use rustls::version::{TLS12, TLS13};

use crate::harness::{
    Story,
    between::Between,
    client::{Client, Refused},
    guarded::{Guarded, PASSWORD, guarded},
    raw::{Raw, SSL_REQUEST, cancel, query},
    tls::Authority,
};

/// A connection of the config: its name, its upstream, and what else it says.
struct Way<'a> {
    name: &'a str,
    upstream: String,
    more: &'a str,
}

/// A gateway with these connections beside the usual one. Everybody in engineering and dba may read.
async fn gateway(ways: &[Way<'_>]) -> Story {
    let authority = &guarded().await.authority;
    let change = |config: &str, folder: &Path| {
        fs::write(folder.join("ca.pem"), authority.certificate()).expect("a file");
        fs::write(folder.join("stranger.pem"), Authority::new("Nobody").certificate()).expect("a file");
        fs::write(folder.join("secrets/guarded"), PASSWORD).expect("a file");
        let policy = "permit (principal, action in [Action::\"connect\", Action::\"read\"], resource)
            when { principal in Group::\"engineering\" || principal in Group::\"dba\" };";
        fs::write(folder.join("policy/90-everywhere.cedar"), policy).expect("a policy");
        let mut config = config.to_owned();
        for Way { name, upstream, more } in ways {
            config += &format!("\n[[connection]]\nname = \"{name}\"\nupstream = \"postgres://{upstream}\"\n{more}\n");
        }
        config
    };
    Story::gateway_with(change).await
}

impl Story {
    async fn comes_in(&self, who: &str, connection: &str) -> Result<Client, Refused> {
        let token = self.world.idp.token_for(who).expect("a token");
        Client::log_in(self.world.facts.listen, connection, &token).await
    }

    /// Who the database says it is, to whoever asks.
    async fn is_called(&self, who: &str, connection: &str) -> String {
        let client = self.comes_in(who, connection).await.unwrap_or_else(|no| panic!("{connection}: {no:?}"));
        let answer = client.runs("select session_user").ends().await.expect("an answer");
        answer.rows[0][0].clone().expect("a name")
    }
}

fn way<'a>(name: &'a str, guarded: &Guarded, login_and_host: &str, more: &'a str) -> Way<'a> {
    let (login, host) = login_and_host.split_once('@').expect("login@host");
    Way { name, upstream: format!("{login}@{}", guarded.address(host)), more }
}

const SECRET: &str = "password = { file = \"secrets/guarded\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_verified_as_far_as_the_config_says() {
    let guarded = guarded().await;
    // The certificate is for 127.0.0.1, and not for localhost.
    let table = [
        ("full", "only_tls@127.0.0.1", "upstream_tls = { ca = \"ca.pem\" }", true),
        ("full-stranger", "only_tls@127.0.0.1", "upstream_tls = { ca = \"stranger.pem\" }", false),
        ("full-name", "only_tls@localhost", "upstream_tls = { ca = \"ca.pem\" }", false),
        ("ca-name", "only_tls@localhost", "upstream_tls = { mode = \"verify-ca\", ca = \"ca.pem\" }", true),
        ("ca-stranger", "only_tls@127.0.0.1", "upstream_tls = { mode = \"verify-ca\", ca = \"stranger.pem\" }", false),
        ("require", "only_tls@127.0.0.1", "upstream_tls = { mode = \"require\" }", true),
        ("disable", "only_tls@127.0.0.1", "upstream_tls = { mode = \"disable\" }", false),
        ("loopback", "only_tls@127.0.0.1", "", false),
    ];
    let tls: Vec<String> = table.iter().map(|(_, _, tls, _)| format!("{SECRET}{tls}")).collect();
    let ways: Vec<Way> = table.iter().zip(&tls).map(|((name, to, ..), more)| way(name, guarded, to, more)).collect();
    let story = gateway(&ways).await;
    for (name, _, _, good) in table {
        match story.comes_in("ana", name).await {
            Ok(client) => {
                assert!(good, "{name}: it is let pass");
                client.runs("select 1").ends().await.expect("an answer");
                let encrypted = guarded.encrypted("only_tls").await;
                assert!(!encrypted.is_empty() && encrypted.iter().all(|encrypted| *encrypted), "{name}: {encrypted:?}");
            }
            Err(no) => {
                assert!(!good, "{name}: {no:?}");
                assert_eq!(no.code, "08006", "{name}");
            }
        }
    }
    let said = story.gateway.as_ref().expect("a gateway").said();
    assert!(!said.contains(PASSWORD), "the password is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_bound_to_the_servers_own_certificate() {
    let guarded = guarded().await;
    let server = SocketAddr::from(([127, 0, 0, 1], guarded.shop.port));
    // A certificate that is as good as the server's, but for another key: a stolen or misissued one.
    let stolen = guarded.authority.vouches_for(&["127.0.0.1"]);
    let trusted = || guarded.authority.trusted(&[&TLS12, &TLS13], &[]);
    let thief = Between::stands_in(server, stolen.served(), trusted()).await;
    let itself = Between::stands_in(server, guarded.identity.served(), trusted()).await;
    let at = |between: &Between| format!("only_tls@{}/{}", between.address, guarded.shop.database);
    let full = &format!("{SECRET}upstream_tls = {{ ca = \"ca.pem\" }}");
    let any = &format!("{SECRET}upstream_tls = {{ mode = \"require\" }}");
    let story = gateway(&[
        Way { name: "thief", upstream: at(&thief), more: full },
        Way { name: "thief-unverified", upstream: at(&thief), more: any },
        Way { name: "itself", upstream: at(&itself), more: full },
    ])
    .await;
    assert_eq!(story.is_called("ana", "itself").await, "only_tls", "the relay itself is no hindrance");
    let began = guarded.server.log_position();
    for name in ["thief", "thief-unverified"] {
        let no = story.comes_in("ana", name).await.err().unwrap_or_else(|| panic!("{name} is let pass"));
        assert_eq!(no.code, "08006", "{name}");
    }
    let said = guarded.server.log_since(began).expect("the server's log");
    assert!(said.contains("SCRAM channel binding check failed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn older_ways_to_ask_for_a_password_work_where_they_are_safe() {
    let guarded = guarded().await;
    let tls = &format!("{SECRET}upstream_tls = {{ ca = \"ca.pem\" }}");
    let story = gateway(&[
        way("md5", guarded, "by_md5@127.0.0.1", SECRET),
        way("md5-tls", guarded, "by_md5@127.0.0.1", tls),
        way("clear-loopback", guarded, "in_clear@127.0.0.1", SECRET),
        way("clear-tls", guarded, "in_clear@127.0.0.1", tls),
        way("none", guarded, "by_md5@127.0.0.1", ""),
    ])
    .await;
    for (name, login) in
        [("md5", "by_md5"), ("md5-tls", "by_md5"), ("clear-loopback", "in_clear"), ("clear-tls", "in_clear")]
    {
        assert_eq!(story.is_called("ana", name).await, login, "{name}");
    }
    assert_eq!(story.comes_in("ana", "none").await.err().expect("no password").code, "08006");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_group_has_its_login() {
    let guarded = guarded().await;
    let more = &format!(
        "{SECRET}logins = [
          {{ role = \"shop-writer\", user = \"cs_rw\", password = {{ file = \"secrets/guarded\" }} }},
          {{ group = \"engineering\", user = \"cs_ro\", password = {{ file = \"secrets/guarded\" }} }},
        ]\n[[role]]\nname = \"shop-writer\"\nmax_duration = \"8h\""
    );
    let story = gateway(&[way("logins", guarded, "by_md5@127.0.0.1", more)]).await;
    assert_eq!(story.is_called("ana", "logins").await, "cs_ro", "in engineering");
    assert_eq!(story.is_called("priya", "logins").await, "by_md5", "in no group that is named");
    for (who, login) in [("ana@acme.dev", "cs_ro"), ("priya@acme.dev", "by_md5")] {
        let explained = story.tells_json(&["explain-policy", "logins", "select 1", "--as", who, "--json"]).await;
        assert_eq!(explained["login"], login, "{explained}");
    }
    let log = story.everything_written();
    let log = log.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl"));
    let log: String = log.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect();
    let login = log.lines().find(|line| line.contains("ana@acme.dev") && line.contains("\"login\":\"cs_ro\""));
    assert!(login.is_some(), "the log says as whom: {log}");
    let ana = story.comes_in("ana", "logins").await.expect("a session");
    ana.runs("set role cs_ro").ends().await.expect("to the own login: nothing changes");
    ana.runs("set role by_md5").gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_is_had_anew() {
    let guarded = guarded().await;
    let (first, second) = ("rotated-Yc2V0LW9u", "rotated-bm90LXR3");
    guarded.rotates("rotated", first).await;
    let more =
        "password = { command = [\"sh\", \"-c\", \"echo run >> runs; cat secrets/rotating\"], refresh = \"1h\" }";
    let authority = &guarded.authority;
    let address = guarded.address("127.0.0.1");
    let change = |config: &str, folder: &Path| {
        fs::write(folder.join("ca.pem"), authority.certificate()).expect("a file");
        fs::write(folder.join("secrets/rotating"), format!("{first}\n")).expect("a file");
        let upstream = format!("upstream = \"postgres://rotated@{address}\"\n{more}\n");
        let lines = config.lines().filter(|line| !line.starts_with("upstream") && !line.starts_with("password"));
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        lines.replace("name     = \"shop\"\n", &format!("name     = \"shop\"\n{upstream}"))
    };
    let story = Story::gateway_with(change).await;
    let runs = || fs::read_to_string(story.folder().join("runs")).expect("it ran").lines().count();
    for _ in 0..3 {
        assert_eq!(story.is_called("ana", "shop").await, "rotated");
    }
    assert_eq!(runs(), 1, "at start, and kept");
    guarded.rotates("rotated", second).await;
    fs::write(story.folder().join("secrets/rotating"), second).expect("a file");
    for _ in 0..3 {
        assert_eq!(story.is_called("ana", "shop").await, "rotated");
    }
    assert_eq!(runs(), 2, "once, when the server refused the first");
    guarded.rotates("rotated", "a third that nobody is told").await;
    for _ in 0..2 {
        assert_eq!(story.comes_in("ana", "shop").await.err().expect("refused").code, "08006");
    }
    assert_eq!(runs(), 3, "a password that stays wrong does not run it for every login");
    fs::remove_file(story.folder().join("secrets/rotating")).expect("gone");
    for (path, bytes) in story.everything_written() {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(first) && !text.contains(second), "a password is in {}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_is_encrypted_where_its_session_is() {
    let guarded = guarded().await;
    let between = Between::listens(SocketAddr::from(([127, 0, 0, 1], guarded.shop.port))).await;
    let upstream = format!("only_tls@{}/{}", between.address, guarded.shop.database);
    let more = &format!("{SECRET}upstream_tls = {{ ca = \"ca.pem\" }}");
    let story = gateway(&[Way { name: "heard", upstream, more }]).await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut ana = Raw::connects(story.world.facts.listen).await;
    let heard = ana.logs_in(0, &[("database", "heard")], &token).await;
    let key = heard.iter().find(|heard| heard.tag == b'K').expect("a key").body.clone();
    ana.says(&query("select pg_sleep(600)")).await;
    guarded.sleeps("only_tls").await;
    let mut canceller = story.raw().await;
    canceller.says(&cancel(&key)).await;
    canceller.closes().await;
    assert_eq!(ana.until(b'E').await.last().expect("an error").field(b'C'), "57014");
    let heard = between.heard.lock().expect("a lock").clone();
    assert!(heard.len() >= 3, "the session, the catalog, the cancel: {}", heard.len());
    for connection in heard {
        assert!(connection.starts_with(&SSL_REQUEST), "TLS is asked for first");
        assert_eq!(connection.get(8), Some(&0x16), "a handshake comes next");
        assert!(!connection.windows(key.len()).any(|window| window == key), "the key is in clear");
    }
}
