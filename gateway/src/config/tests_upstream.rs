use std::fs;

use super::{
    tests::{LEAST, good, in_folder, told},
    *,
};

#[test]
fn an_upstream_is_a_login_on_a_database_and_nothing_else() {
    let with = |upstream: &str| LEAST.replace("postgres://app@127.0.0.1/shop", upstream);
    let table = [
        ("postgres://app@db.acme.dev/shop", ("db.acme.dev", 5432, "app", "shop"), false),
        ("postgresql://app@[::1]:5433/shop", ("::1", 5433, "app", "shop"), true),
        ("postgres://a%40b@localhost/my%20db", ("localhost", 5432, "a@b", "my db"), true),
        ("postgres://app@%2Fvar%2Frun%2Fpostgresql/shop", ("/var/run/postgresql", 5432, "app", "shop"), true),
    ];
    for (upstream, (host, port, user, database), local) in table {
        let config = good(&with(upstream));
        let found = &config.connections["shop"].upstream;
        assert_eq!(
            (found.host.as_str(), found.port, found.user.as_str(), found.database.as_str()),
            (host, port, user, database),
            "{upstream}"
        );
        assert_eq!(matches!(found.tls, UpstreamTls::Disable), local, "{upstream}");
        assert_eq!(matches!(found.tls, UpstreamTls::VerifyFull(_)), !local, "{upstream}");
    }
    for (upstream, hint) in [
        ("mysql://app@db/shop", "write \"postgres://user@host:5432/database\""),
        ("postgres://db/shop", "name the login"),
        ("postgres://app@db", "write \"postgres://user@host:5432/database\""),
        ("postgres://app@db/shop?sslmode=disable", "TLS is set by `upstream_tls`"),
        ("shop", "write \"postgres://user@host:5432/database\""),
    ] {
        let found = told(&with(upstream));
        assert!(found.len() == 1 && found[0].starts_with("6: ") && found[0].contains(hint), "{upstream}: {found:?}");
    }
}

fn about_refresh(config: &Config) -> usize {
    config.warnings.iter().filter(|warning| warning.message.contains("`refresh`")).count()
}

#[tokio::test]
async fn a_password_comes_from_where_the_file_says() {
    for place in ["{ file = \"secret\" }", "{ command = [\"printf\", \"hunter2\"], refresh = \"10m\" }"] {
        let config = good(&format!("{LEAST}password = {place}"));
        assert_eq!(about_refresh(&config), 0, "{place}");
        let password = config.connections["shop"].upstream.password.clone().expect("a password");
        assert_eq!(password.current().await.reveal(), "hunter2", "{place}");
        assert!(!format!("{config:?}").contains("hunter2"), "a secret is not printed");
    }
    let idle = good(&format!("{LEAST}password = {{ file = \"secret\", refresh = \"10m\" }}"));
    assert_eq!(about_refresh(&idle), 1, "it has no meaning there");
}

/// The authority's certificate, in PEM.
fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().pem()
}

#[test]
fn tls_upstream_is_in_libpqs_words() {
    let far = LEAST.replace("127.0.0.1", "db.acme.dev");
    let read = |text: &str| {
        in_folder(text, |file| {
            fs::write(file.with_file_name("ca.pem"), authority()).unwrap();
            Config::load(file).map(|config| {
                let tls = match &config.connections["shop"].upstream.tls {
                    UpstreamTls::Disable => "disable",
                    UpstreamTls::Require => "require",
                    UpstreamTls::VerifyCa(_) => "verify-ca",
                    UpstreamTls::VerifyFull(_) => "verify-full",
                };
                (tls, config.warnings.len())
            })
        })
    };
    // How it is read, and how many warnings it brings.
    for (tls, expected) in [
        ("", ("verify-full", 0)),
        ("upstream_tls = { ca = \"ca.pem\" }", ("verify-full", 0)),
        ("upstream_tls = { mode = \"verify-full\", ca = \"ca.pem\" }", ("verify-full", 0)),
        ("upstream_tls = { mode = \"verify-ca\", ca = \"ca.pem\" }", ("verify-ca", 0)),
        ("upstream_tls = { mode = \"require\" }", ("require", 1)),
        ("upstream_tls = { mode = \"disable\" }", ("disable", 1)),
    ] {
        assert_eq!(read(&format!("{far}{tls}")).unwrap_or_else(|p| panic!("{tls}: {p:?}")), expected, "{tls}");
    }
    let near = read(&format!("{LEAST}upstream_tls = {{ mode = \"require\" }}"));
    assert_eq!(near.unwrap_or_else(|p| panic!("{p:?}")), ("require", 0), "nobody is on the path to loopback");
    let socket = LEAST.replace("127.0.0.1", "%2Frun%2Fpostgresql");
    for (text, message) in [
        (format!("{far}upstream_tls = {{ mode = \"prefer\" }}"), "`mode` in `upstream_tls` of [[connection]] can't be"),
        (format!("{far}upstream_tls = {{ mode = \"require\", ca = \"ca.pem\" }}"), "`ca` has no meaning"),
        (format!("{far}upstream_tls = {{ ca = \"nowhere.pem\" }}"), "no certificates can be read"),
        (format!("{far}upstream_tls = {{ ca = \"secret\" }}"), "there is no certificate in it"),
        (format!("{socket}upstream_tls = {{ mode = \"require\" }}"), "no TLS on a Unix socket"),
    ] {
        let problems = read(&text).expect_err(message);
        assert!(problems.len() == 1 && problems[0].line == 7 && problems[0].message.contains(message), "{problems:?}");
    }
}

#[tokio::test]
async fn the_first_login_that_fits_is_the_sessions() {
    let config = good(&format!(
        "{LEAST}password = {{ file = \"secret\" }}
logins = [
  {{ role = \"shop-writer\", user = \"cs_rw\" }},
  {{ group = \"engineering\", user = \"cs_ro\", password = {{ command = [\"printf\", \"other\"] }} }},
  {{ group = \"dba\", user = \"cs_dba\" }},
]
[[role]]
name = \"shop-writer\"
max_duration = \"8h\"
"
    ));
    // Groups, roles, and the login that is had with them.
    let table = [
        ("nothing fits", vec!["support"], vec![], ("app", Some("hunter2"))),
        ("a group", vec!["engineering"], vec![], ("cs_ro", Some("other"))),
        ("a role stands first", vec!["engineering"], vec!["shop-writer"], ("cs_rw", None)),
        ("two groups: the file's order", vec!["dba", "engineering"], vec![], ("cs_ro", Some("other"))),
        ("a group called as a role is no role", vec!["shop-writer"], vec![], ("app", Some("hunter2"))),
        ("letter case counts", vec!["Engineering"], vec![], ("app", Some("hunter2"))),
    ];
    for (case, groups, roles, expected) in table {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let upstream = config.connections["shop"].as_seen_by(&owned(&groups), &owned(&roles)).upstream;
        let had = match upstream.password {
            Some(password) => Some(password.current().await.reveal().clone()),
            None => None,
        };
        assert_eq!((upstream.user.as_str(), had.as_deref()), expected, "{case}");
    }
}

#[test]
fn a_login_is_somebodys() {
    for (logins, expected) in [
        ("{ user = \"x\" }", "must name one `group` or one `role`"),
        ("{ group = \"a\", role = \"b\", user = \"x\" }", "must name one `group` or one `role`"),
        ("{ group = \"a\" }", "needs `user`"),
        ("{ group = \"\", user = \"x\" }", "`group` in `logins` of [[connection]] can't be \"\""),
        ("{ group = \"a\", user = \"x\", password = \"hunter2\" }", "must not stand in the file itself"),
        ("{ role = \"writer\", user = \"x\" }", "names the role \"writer\", and there is no such [[role]]"),
        ("{ group = \"a\", user = \"x\", pasword = {} }", "unknown key `pasword`"),
    ] {
        let found = told(&format!("{LEAST}logins = [ {logins} ]"));
        assert!(found.len() == 1 && found[0].contains(expected), "{logins}: {found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}
