use std::{fs, path::Path, time::Duration};

use super::*;

/// DESIGN §11's example, with secrets in files.
const EXAMPLE: &str = r#"[gateway]
listen  = "127.0.0.1:6432"           # PostgreSQL protocol
control = "127.0.0.1:6480"
url     = "https://countersign.acme.dev"
state   = "sqlite://countersign.db"
records = "file://./records"
policy  = "policy"
bot_key = { file = "keys/bot" }
log_key = { file = "keys/log" }
hold_timeout = "15m"
hold_timeout_in_transaction = "2m"
idle_timeout = "8h"
login_timeout = "10s"
max_connections = 500
max_connections_per_address = 50
max_statement = "1MB"
max_parameters = "16MB"
max_copy_data = "64kB"

[[identity]]
issuer   = "https://login.acme.dev"
audience = "countersign"
client_id = "countersign"
client_secret = { file = "secret" }
user_claim   = "email"
groups_claim = "groups"
max_token_age = "12h"
domains = ["acme.dev"]
groups = ["*"]

[[agent]]
name = "deploy"
issuer = "https://token.actions.example.com"
subject = "repo:acme/shop:ref:refs/heads/main"
owner = "Ana@acme.dev"

[[connection]]
name     = "shop"
upstream = "postgres://app@127.0.0.1:5432/shop"
password = { file = "secret" }
logins   = [ { group = "engineering", user = "cs_ro", password = { file = "secret" } }, { role = "shop-writer", user = "cs_rw" } ]
tags     = { env = "prod" }
mode     = "enforce"
channel  = "C0123456789"
durability = "relaxed"
card     = "redacted"
on_hold  = "wait"
on_doubt = "mask"
row_tolerance = "10 or 5%"

[[role]]
name = "shop-writer"
max_duration = "8h"

[slack]
app_token = { file = "secret" }
bot_token = { file = "secret" }
channel   = "C0123456789"
api_url   = "https://slack.com/api/"
digest    = { at = "09:00", timezone = "Europe/Berlin", stale_after = "14d" }
"#;

/// The least that starts.
pub(super) const LEAST: &str = "[[identity]]
issuer = \"https://login.acme.dev\"
audience = \"countersign\"
[[connection]]
name = \"shop\"
upstream = \"postgres://app@127.0.0.1/shop\"
";

pub(super) fn in_folder<T>(text: &str, work: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, text).unwrap();
    work(&file)
}

pub(super) fn load(text: &str) -> Result<Config, Vec<Problem>> {
    in_folder(text, Config::load)
}

pub(super) fn good(text: &str) -> Config {
    load(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// `line: message (hint)`, each.
pub(super) fn told(text: &str) -> Vec<String> {
    let problems = load(text).err().unwrap_or_default();
    problems.iter().map(|p| format!("{}: {} ({})", p.line, p.message, p.hint.as_deref().unwrap_or_default())).collect()
}

#[test]
fn what_the_log_has_of_a_config_is_what_was_read() {
    let entry = in_folder(LEAST, |file| {
        let config = Config::load(file).unwrap();
        // Somebody exchanges it, so that the entry says something else than is in force.
        fs::write(file, "").unwrap();
        crate::loads::config(&config, None)
    });
    assert_eq!(entry.detail["text"], LEAST);
    let digest = countersign_shared::digest::of_bytes(LEAST.as_bytes()).to_string();
    assert_eq!(entry.detail["digest"], digest.as_str());
}

#[test]
fn the_address_of_a_collector_may_be_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("url"), "https://collector.acme.dev/k3y\n").unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, format!("{LEAST}\n[siem]\nurl = {{ file = \"url\" }}")).unwrap();
    let config = Config::load(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert_eq!(config.siem.as_ref().unwrap().url.as_str(), "https://collector.acme.dev/k3y");
    assert!(!crate::loads::config(&config, None).detail.to_string().contains("k3y"));
}

#[test]
fn a_provider_is_asked_about_tokens_only_by_whom_it_knows() {
    let with = |more: &str| {
        let audience = "audience = \"countersign\"\n";
        LEAST.replace(audience, &format!("{audience}{more}\n"))
    };
    let secret = "{ file = \"secret\" }";
    let own =
        format!("poll = {{ introspect = true, every = \"30s\", client_id = \"asks\", client_secret = {secret} }}");
    let shared = format!("client_secret = {secret}\npoll = {{ introspect = true }}");
    for (text, every, client) in [(own, 30, "asks"), (shared, 60, "countersign")] {
        let poll = good(&with(&text)).identities[0].poll.clone().expect("it asks");
        assert_eq!((poll.every.as_secs(), poll.client_id.as_str()), (every, client));
        assert_eq!(poll.client_secret.reveal(), "hunter2");
    }
    for (poll, wrong) in [
        ("{ introspect = true }", "needs `client_secret`"),
        ("{ every = \"60s\" }", "can do nothing but introspect"),
        ("{ introspect = \"yes\" }", "must be true or false"),
        ("{ introspect = true, every = \"2h\" }", "can't be \"2h\""),
        ("{ introspect = true, refresh = true }", "unknown key `refresh`"),
    ] {
        let told = told(&with(&format!("poll = {poll}")));
        assert!(told.iter().any(|problem| problem.contains(wrong)), "{poll}: {told:?}");
    }
}

#[test]
fn the_documented_example_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, EXAMPLE).unwrap();
    let config = Config::load(&file).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let gateway = &config.gateway;
    assert_eq!(gateway.listen.to_string(), "127.0.0.1:6432");
    assert_eq!(gateway.url.as_str().trim_end_matches('/'), "https://countersign.acme.dev");
    assert_eq!(gateway.state, format!("sqlite://{}", folder.path().join("countersign.db").display()));
    assert_eq!(gateway.records, folder.path().join("records"));
    assert_eq!(gateway.policy, folder.path().join("policy"));
    assert_eq!(gateway.bot_key, folder.path().join("keys/bot"));
    assert_eq!(gateway.hold_timeout, Duration::from_secs(900));
    assert_eq!(config.agents[0].owner, "ana@acme.dev", "in lower case");
    let shop = &config.connections["shop"];
    assert_eq!(shop.card, CardContent::Redacted);
    assert_eq!(good(LEAST).connections["shop"].card, CardContent::Full, "the whole, unless it says otherwise");
    assert_eq!((shop.upstream.host.as_str(), shop.upstream.port), ("127.0.0.1", 5432));
    assert!(matches!(shop.upstream.tls, UpstreamTls::Disable), "loopback");
    let logins: Vec<_> = shop.logins.iter().map(|login| (&login.whose, login.user.as_str())).collect();
    let (group, role) = (Whose::Group("engineering".into()), Whose::Role("shop-writer".into()));
    assert_eq!(logins, [(&group, "cs_ro"), (&role, "cs_rw")]);
    assert_eq!((gateway.bounds.connections, gateway.bounds.connections_per_address), (500, 50));
    assert_eq!(gateway.bounds.login_timeout, Duration::from_secs(10));
    let caps = gateway.bounds.caps;
    assert_eq!((caps.statement, caps.parameters, caps.copy_data), (1 << 20, 16 << 20, 64 << 10));
    assert_eq!(shop.tags["env"], "prod");
    assert!(!format!("{config:?}").contains("hunter2"), "a secret is not printed");
    assert_eq!((shop.row_tolerance.rows, shop.row_tolerance.percent), (10, 5));
}

#[test]
fn the_least_has_defaults() {
    let config = good(LEAST);
    assert_eq!(config.gateway.url.as_str(), "http://127.0.0.1:6480/");
    assert_eq!(config.gateway.hold_timeout_in_transaction, Duration::from_secs(120));
    assert_eq!(config.identities[0].client_id, "countersign");
    assert_eq!(config.identities[0].max_token_age, Duration::from_secs(12 * 3600));
    assert_eq!(config.connections["shop"].upstream.port, 5432);
    assert!(config.slack.is_none());
    assert_eq!(config.gateway.bot_key.parent(), config.gateway.log_key.parent());
}

#[test]
fn scim_has_one_token_or_two() {
    let (old, new) = ("printf old-token-0123456789", "printf new-token-0123456789");
    let command = |words: &str| format!("{{ command = {:?} }}", words.split(' ').collect::<Vec<_>>());
    let with = |token: String| format!("{LEAST}\n[scim]\ntoken = {token}");
    let one = good(&with(command(old))).scim.unwrap();
    let two = good(&with(format!("[ {}, {} ]", command(old), command(new)))).scim.unwrap();
    assert_eq!((one.have("old-token-0123456789"), one.have("new-token-0123456789")), (true, false));
    assert_eq!((two.have("old-token-0123456789"), two.have("new-token-0123456789")), (true, true));
    assert!(!two.have("") && !two.have("old-token-012345678") && !two.have("old-token-01234567890"));
    assert!(!format!("{two:?}").contains("token"), "a secret is not printed");
    let three = format!("[ {0}, {0}, {0} ]", command(old));
    let table = [
        (with("\"text\"".into()), "must not stand in the file"),
        (with("[ \"text\" ]".into()), "must be a list of tables"),
        (with("[]".into()), "has no token"),
        (with(three), "more than 2 tokens"),
        (with(command("printf short")), "fewer than 20 characters"),
        (format!("{LEAST}\n[scim]"), "[scim] needs `token`"),
        (format!("{LEAST}\n[scim]\ntokens = []"), "unknown key `tokens`"),
    ];
    for (text, message) in table {
        let found = told(&text);
        assert!(found.iter().any(|problem| problem.contains(message)), "{message}: {found:?}");
        assert!(found.iter().all(|problem| !problem.contains("0123456789")), "a secret is not told: {found:?}");
    }
}

#[test]
fn a_public_address_is_one_of_its_own_and_speaks_tls() {
    let table = [
        ("[gateway]\npublic = \"127.0.0.1:6480\"\ncontrol = \"127.0.0.1:6480\"", "`public` is the address of"),
        ("[gateway]\npublic = \"127.0.0.1:6432\"\nlisten = \"127.0.0.1:6432\"", "`public` is the address of"),
        ("[gateway]\npublic = \"0.0.0.0:443\"", "so [gateway] needs `tls`"),
    ];
    for (more, message) in table {
        let found = told(&format!("{LEAST}\n{more}"));
        assert_eq!(found.len(), 1, "{more}: {found:?}");
        assert!(found[0].contains(message), "{more}: {found:?}");
    }
}

#[test]
fn a_route_reaches_somebody_and_is_for_a_connection_that_there_is() {
    let table = [
        ("[[route]]\nconnection = \"shop\"", "a [[route]] reaches nobody"),
        ("[[route]]\nconnection = \"shpo\"\nchannel = \"C1\"", "did you mean \"shop\""),
        ("[[route]]\ntag = \"prod\"\nchannel = \"C1\"", "write a tag and its value"),
        ("[[route]]\nchannel = \"#general\"", "write the id of a channel"),
        ("[[route]]\nusergroup = \"@dba\"", "write the id of a user group"),
        ("[[route]]\nchannel = \"C1\"\nescalate_after = \"soon\"", "write a duration"),
        ("[[route]]\nchannel = \"C1\"\nquiet = { from = \"22:00\", until = \"07:00\" }", "timezone"),
        (
            "[[route]]\nchannel = \"C1\"\nquiet = { from = \"10pm\", until = \"07:00\", timezone = \"UTC\" }",
            "write times of day",
        ),
        (
            "[[route]]\nchannel = \"C1\"\nquiet = { from = \"07:00\", until = \"07:00\", timezone = \"UTC\" }",
            "begins when it ends",
        ),
        (
            "[[route]]\nchannel = \"C1\"\nquiet = { from = \"22:00\", until = \"07:00\", timezone = \"Mars\" }",
            "names no time zone",
        ),
        (
            "[[route]]\nchannel = \"C1\"\nquiet = { from = \"22:00\", until = \"07:00\", timezone = \"UTC\", below = \"some\" }",
            "write \"normal\" or \"high\"",
        ),
        ("[[route]]\nwebhook = \"https://pager.example/secret\"", "must not stand in the file itself"),
    ];
    for (more, message) in table {
        let found = told(&format!("{LEAST}\n{more}"));
        assert!(found.iter().any(|found| found.contains(message)), "{more}: {found:?}");
        assert!(found.iter().all(|found| !found.contains("pager.example")), "an address is a secret: {found:?}");
    }
}

#[test]
fn a_digest_has_a_time_a_zone_and_a_span() {
    let digest = |text: &str| {
        let slack =
            "[slack]\nsigning_secret = { file = \"secret\" }\nbot_token = { file = \"secret\" }\nchannel = \"C1\"";
        told(&format!("{LEAST}\n{slack}\ndigest = {{ {text} }}"))
    };
    for (text, message) in [
        ("at = \"24:00\"", "write a time of day"),
        ("at = \"+9:00\"", "write a time of day"),
        ("timezone = \"Mars/Olympus\"", "name a time zone"),
        ("stale_after = \"0s\"", "it must be between"),
        ("every = \"1d\"", "every"),
    ] {
        let found = digest(text);
        assert!(found.iter().any(|found| found.contains(message)), "{text}: {found:?}");
    }
}

#[test]
fn what_evidence_needs_is_asked_for() {
    let shop = |more: &str| LEAST.replace("[[connection]]", &format!("[[connection]]\n{more}"));
    let bucket = |more: &str| format!("{LEAST}\n[gateway]\nrecords = \"s3://acme-audit/log\"\n[s3]\n{more}");
    let table = [
        (
            format!("{LEAST}\n[s3]\nregion = \"eu-1\"\nlock = \"compliance\"\nkeep = \"1d\""),
            "[s3] is for records in a bucket",
        ),
        (bucket("region = \"eu-1\"\nkeep = \"1d\""), "[s3] needs `lock`"),
        (bucket("region = \"eu-1\"\nlock = \"compliance\""), "[s3] needs `keep`"),
        (bucket("lock = \"compliance\"\nkeep = \"1d\""), "[s3] needs `region`"),
        (
            bucket("endpoint = \"http://s3.acme.dev\"\nlock = \"compliance\"\nkeep = \"1d\""),
            "can't be \"http://s3.acme.dev\"",
        ),
        (
            bucket("region = \"eu-1\"\nlock = \"compliance\"\nkeep = \"1d\"\naccess_key = \"AKIA\"\n"),
            "must not stand in the file itself",
        ),
        (shop("record_keep = \"7d\""), "`record_keep` is for records that are sealed"),
        (shop("seal = { command = [\"printf\", \"short\"] }"), "`seal` must be 32 bytes in base64"),
        (shop("record_rows = 100000"), "record_rows"),
        (format!("{LEAST}\n[gateway]\npolicy_signers = 2"), "`policy_signers` needs `policy_keys`"),
        (format!("{LEAST}\n[gateway]\npolicy_keys = \"x\""), "nothing how many must"),
        (format!("{LEAST}\n[gateway]\npolicy_place = \"prod\""), "nothing that they must be"),
        (format!("{LEAST}\n[gateway]\npolicy_place = \"a b\""), "use up to 64 letters"),
        (format!("{LEAST}\n[siem]\ntoken = {{ env = \"PATH\" }}"), "[siem] needs `url`"),
        (format!("{LEAST}\n[siem]\nurl = \"http://collector.acme.dev\""), "http is for loopback"),
        (format!("{LEAST}\n[siem]\nurl = {{ env = \"PATH\" }}"), "what is kept there as `url` is no address"),
    ];
    for (config, message) in table {
        let found = told(&config);
        assert!(found.iter().any(|found| found.contains(message)), "{message}: {found:?}\n{config}");
    }
}

#[test]
fn what_a_later_version_protects_is_refused_rather_than_ignored() {
    let table = [
        ("[gateway]\nrecords = \"s3://bucket/prefix\"", "records in a bucket need [s3]"),
        ("[gateway]\nstate = \"postgres://db/state\"", "PostgreSQL as the state is not available"),
    ];
    for (more, message) in table {
        let found = told(&format!("{LEAST}\n{more}"));
        assert_eq!(found.len(), 1, "{more}: {found:?}");
        assert!(found[0].contains(message), "{more}: {found:?}");
    }
}

#[test]
fn each_mistake_is_told_with_its_line_and_a_hint() {
    // Each is appended to LEAST's seven lines (the last one empty) or to its [[connection]].
    let table = [
        ("[gateway]\nlisen = \"127.0.0.1:1\"", "8: unknown key `lisen` in [gateway] (did you mean `listen`?)"),
        ("[gatway]\n", "7: unknown key `gatway` at the top (did you mean `gateway`?)"),
        ("[gateway]\nlisten = 6432", "8: `listen` in [gateway] must be a text in quotes, not integer ()"),
        (
            "[gateway]\nlisten = \"localhost:6432\"",
            "8: `listen` in [gateway] can't be \"localhost:6432\" (write an IP address: \"127.0.0.1:6432\")",
        ),
        (
            "[gateway]\nlisten = \"0.0.0.0:6432\"",
            "8: 0.0.0.0:6432 is not a loopback address, so [gateway] needs `tls` (tls = { cert = \"chain.pem\", key = \"key.pem\" })",
        ),
        (
            "[gateway]\ncontrol = \"10.0.0.1:6480\"",
            "8: 10.0.0.1:6480 is not a loopback address, and `control` is plain HTTP; `tls` is for `listen` alone (bind `control` to loopback, behind a proxy that speaks TLS; set `url` to how browsers reach that)",
        ),
        (
            "[gateway]\nlisten = \"127.0.0.1:6480\"\ncontrol = \"127.0.0.1:6480\"",
            "9: `listen` and `control` are the same address (give each its own port)",
        ),
        (
            "[gateway]\nhold_timeout = \"15 minutes\"",
            "8: `hold_timeout` in [gateway] can't be \"15 minutes\" (write a duration like \"90s\", \"15m\", \"8h\", \"14d\" or \"1h30m\")",
        ),
        (
            "[gateway]\nhold_timeout = \"0s\"",
            "8: `hold_timeout` in [gateway] can't be \"0s\" (it must be between 1s and 1d)",
        ),
        (
            "[gateway]\nhold_timeout = \"2d\"",
            "8: `hold_timeout` in [gateway] can't be \"2d\" (it must be between 1s and 1d)",
        ),
        (
            "[gateway]\nurl = \"http://countersign.acme.dev\"",
            "8: `url` in [gateway] can't be \"http://countersign.acme.dev\" (http is for loopback addresses only; use https)",
        ),
        (
            "[gateway]\nstate = \"sqlite://:memory:\"",
            "8: `state` in [gateway] can't be \"sqlite://:memory:\" (name a file: \"sqlite://countersign.db\")",
        ),
        (
            "[gateway]\nstate = \"mysql://x\"",
            "8: `state` in [gateway] can't be \"mysql://x\" (write \"sqlite://countersign.db\")",
        ),
        (
            "[gateway]\ntls = { cert = \"c.pem\" }",
            "8: `tls` of [gateway] needs `key` (tls = { cert = \"chain.pem\", key = \"key.pem\" })",
        ),
        ("mode = \"enforced\"", "7: `mode` in [[connection]] can't be \"enforced\" (use \"enforce\" or \"observe\")"),
        ("durability = true", "7: `durability` in [[connection]] must be a text in quotes, not boolean ()"),
        ("row_tolerance = \"lots\"", "7: `row_tolerance` in [[connection]] can't be \"lots\" (write \"10 or 5%\")"),
        ("on_doubt = \"guess\"", "7: `on_doubt` in [[connection]] can't be \"guess\" (use \"mask\" or \"refuse\")"),
        ("tags = { env = 1 }", "7: `env` in `tags` of [[connection]] must be a text in quotes, not integer ()"),
        (
            "[gateway]\nmax_connections = 0",
            "8: `max_connections` in [gateway] can't be 0 (it must be between 1 and 1000000)",
        ),
        (
            "[gateway]\nmax_connections = \"5\"",
            "8: `max_connections` in [gateway] must be a whole number, not string ()",
        ),
        (
            "[gateway]\nmax_statement = \"4 megabytes\"",
            "8: `max_statement` in [gateway] can't be \"4 megabytes\" (write a size like \"64kB\", \"4MB\" or \"1GB\")",
        ),
        (
            "[gateway]\nmax_copy_data = \"2GB\"",
            "8: `max_copy_data` in [gateway] can't be \"2GB\" (it must be between 64kB and 1GB)",
        ),
        (
            "[gateway]\nlogin_timeout = \"1h\"",
            "8: `login_timeout` in [gateway] can't be \"1h\" (it must be between 1s and 10m)",
        ),
        (
            "password = { file = \"nowhere\", refresh = \"x\" }",
            "7: `refresh` in `password` of [[connection]] can't be \"x\" (write a duration like \"90s\", \"15m\", \"8h\", \"14d\" or \"1h30m\")",
        ),
        (
            "password = { env = \"A\", file = \"b\" }",
            "7: `password` in [[connection]] must name one place (use { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] })",
        ),
        (
            "password = { env = \"COUNTERSIGN_TEST_UNSET\" }",
            "7: the secret `password` of [[connection]] can't be had: the environment variable COUNTERSIGN_TEST_UNSET is not set ()",
        ),
        ("password = { file = \"empty\" }", "7: the secret `password` of [[connection]] can't be had: it is empty ()"),
        (
            "password = { command = [\"false\"] }",
            "7: the secret `password` of [[connection]] can't be had: false failed: exit status: 1 ()",
        ),
        (
            "[[agent]]\nname = \"a\"\nissuer = \"https://x.dev\"\nsubject = \"s\"\nowner = \"ana\"",
            "11: `owner` in [[agent]] can't be \"ana\" (name a user by their identity: \"ana@acme.dev\")",
        ),
        ("[[role]]\nname = \"r\"", "7: [[role]] needs `max_duration` (the longest grant: \"8h\")"),
        (
            "[slack]\nbot_token = { file = \"secret\" }\nchannel = \"C1\"",
            "7: [slack] needs `app_token` or `signing_secret` (app_token = { env = \"SLACK_APP_TOKEN\" } for Socket Mode, signing_secret for HTTP mode)",
        ),
        (
            "[slack]\napp_token = { file = \"secret\" }\nchannel = \"C1\"",
            "7: [slack] needs `bot_token` (bot_token = { env = \"SLACK_BOT_TOKEN\" })",
        ),
        (
            "[[connection]]\nname = \"shop\"\nupstream = \"postgres://a@localhost/b\"",
            "7: there are two connections named \"shop\" (rename one)",
        ),
        (
            "[[connection]]\nname = \"a/b\"\nupstream = \"postgres://a@localhost/b\"",
            "8: `name` in [[connection]] can't be \"a/b\" (use 1 to 63 letters, digits, `.`, `_` and `-`)",
        ),
        (
            "[[identity]]\nissuer = \"https://login.acme.dev\"\naudience = \"x\"\ndomains = []\ngroups = []",
            "7: the issuer https://login.acme.dev is configured twice (remove one)",
        ),
    ];
    for (more, expected) in table {
        let found = told(&format!("{LEAST}{more}"));
        assert!(found.iter().any(|line| line == expected), "{more}\nexpected {expected}\nfound {found:#?}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let in_url = told(&LEAST.replace("app@", "app:hunter2@"));
    assert!(in_url.len() == 1 && in_url[0].starts_with("6: "), "{in_url:?}");
    let in_key = told(&format!("{LEAST}password = \"hunter2\""));
    assert!(in_key.len() == 1 && in_key[0].starts_with("7: "), "{in_key:?}");
    assert!(!format!("{in_url:?}{in_key:?}").contains("hunter2"), "{in_url:?} {in_key:?}");
}

#[test]
fn several_issuers_say_what_is_theirs() {
    let with = |first: &str, second: &str| {
        told(&format!(
            "[[identity]]\nissuer = \"https://a.dev\"\naudience = \"x\"\n{first}\n\
             [[identity]]\nissuer = \"https://b.dev\"\naudience = \"x\"\n{second}\n\
             [[connection]]\nname = \"shop\"\nupstream = \"postgres://app@127.0.0.1/shop\"\n"
        ))
    };
    let apart = with("domains = [\"a.dev\"]\ngroups = [\"*\"]", "domains = [\"b.dev\"]\ngroups = []");
    assert_eq!(apart, [""; 0]);
    assert_eq!(with("", "").len(), 4, "both keys, for both");
    let table = [
        (
            "the same domain",
            "domains = [\"A.dev\"]\ngroups = []",
            "domains = [\"a.dev\"]\ngroups = []",
            "`domains` overlaps",
        ),
        (
            "the same group",
            "domains = [\"a.dev\"]\ngroups = [\"dba\"]",
            "domains = [\"b.dev\"]\ngroups = [\"dba\"]",
            "`groups` overlaps",
        ),
        (
            "any group and one",
            "domains = [\"a.dev\"]\ngroups = [\"*\"]",
            "domains = [\"b.dev\"]\ngroups = [\"dba\"]",
            "`groups` overlaps",
        ),
    ];
    for (case, first, second, message) in table {
        let found = with(first, second);
        assert!(found.len() == 1 && found[0].contains(message), "{case}: {found:?}");
    }
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    let found = told(
        "[gateway]\nlisten = 1\nhold_timeout = \"x\"\n[[identity]]\naudience = \"\"\n[[connection]]\nnam = \"shop\"\n",
    );
    let lines: Vec<&str> = found.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["2", "3", "4", "5", "6", "6", "7"], "{found:#?}");
}

#[test]
fn a_text_that_is_no_toml_says_where() {
    let found = told("[gateway]\nlisten = \n[[connection]\n");
    assert!(found.len() >= 2 && found[0].starts_with("2: not TOML"), "{found:?}");
    assert!(load("").is_err(), "an empty file lacks everything");
    let missing = Config::load(Path::new("/nowhere/countersign.toml")).err().unwrap();
    assert!(missing[0].message.contains("can't be read"), "{missing:?}");
}

#[test]
fn check_tells_of_config_and_policies_together() {
    in_folder(&format!("{LEAST}mode = \"off\"\n"), |file| {
        let policy = file.parent().unwrap().join("policy");
        fs::create_dir(&policy).unwrap();
        fs::write(policy.join("a.cedar"), "permit (principal, action, resource) when { nonsense };\n").unwrap();
        let files: Vec<String> = check(file)
            .iter()
            .map(|p| format!("{}:{}", p.file.file_name().unwrap().to_string_lossy(), p.line))
            .collect();
        assert_eq!(files, ["countersign.toml:7", "a.cedar:1"]);
    });
    in_folder(LEAST, |file| {
        let policy = file.parent().unwrap().join("policy");
        fs::create_dir(&policy).unwrap();
        let text = "permit (principal, action in Action::\"read\", resource in Connection::\"shopp\");\n\
                    forbid (principal, action, resource == Table::\"shpo/public.orders\");\n\
                    permit (principal in Role::\"writer\", action, resource);\n\
                    permit (principal == Agent::\"deploy\", action, resource in Schema::\"shop/public\");\n";
        fs::write(policy.join("a.cedar"), text).unwrap();
        let checked = check_all(file);
        assert_eq!(checked.problems, []);
        let mut told: Vec<_> = checked.warnings.iter().map(|one| (one.line, one.hint.as_deref())).collect();
        told.sort();
        let near = Some("did you mean \"shop\"?");
        assert_eq!(told, [(1, near), (2, near), (3, None), (4, None)], "{:?}", checked.warnings);
    });
}
