//! Who gets in, and what is said and written about who does not.

use countersign_demo::idp::Signing;
use tokio_postgres::Config;

use crate::harness::{
    PATIENCE, Story,
    client::{Client, Refused},
    raw::{message, query, startup},
};

async fn refused(story: &Story, connection: &str, token: &str) -> Refused {
    match Client::log_in(story.world.facts.listen, connection, token).await {
        Ok(_) => panic!("{connection} let somebody in"),
        Err(refused) => refused,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_refused_and_nothing_of_it_is_written_anywhere() {
    let story = Story::begin().await;
    let idp = &story.world.idp;
    let token = |who: &str| idp.token(who).expect("a token in the making");
    let table = [
        ("garbage", "no-token-but-a-password-8f2k1".to_owned(), "it is not a JWT"),
        ("expired", token("ana").issued_ago(7200).expires_in(-3600).jwt().expect("a token"), "the token has expired"),
        ("for another audience", token("ana").audience("payroll").jwt().expect("a token"), "for another audience"),
        ("without a signature", token("ana").signed(Signing::Nothing).jwt().expect("a token"), "it is not a JWT"),
        (
            "signed with the public key",
            token("ana").signed(Signing::HmacWithPublicKey).jwt().expect("a token"),
            "its algorithm is not accepted",
        ),
        (
            "signed by somebody else",
            token("ana").signed(Signing::ForeignKey).jwt().expect("a token"),
            "its signature is wrong",
        ),
        (
            "of another issuer",
            token("ana").claim("iss", "http://127.0.0.1:1").jwt().expect("a token"),
            "its issuer is not one of ours",
        ),
        (
            "of an unverified address",
            token("ana").claim("email_verified", false).jwt().expect("a token"),
            "has not verified the e-mail address",
        ),
    ];
    let mut read = None;
    for (what, jwt, _) in &table {
        let refused = refused(&story, "shop", jwt).await;
        assert_eq!(refused.code, "28P01", "{what}: {refused:?}");
        assert!(!refused.hint.is_empty(), "{what}: what next?");
        assert_eq!(*read.get_or_insert(refused.clone()), refused, "{what}: whoever tries learns no more");
    }
    let good = idp.token_for("ana").expect("a token");
    Client::log_in(story.world.facts.listen, "shop", &good).await.expect("a good one is let in");

    let written = story.everything_written();
    assert!(written.iter().any(|(path, _)| path.to_string_lossy().contains("records")), "there are records");
    assert!(written.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "stderr")), "it said something");
    let said = written.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).collect::<String>();
    for (what, _, reason) in &table {
        assert!(said.contains(reason), "{what}: whoever runs the gateway learns why");
    }
    let secrets = table.iter().map(|(what, jwt, _)| (*what, jwt)).chain([("good", &good)]);
    for (what, jwt) in secrets {
        for part in jwt.split('.').skip(1).filter(|part| part.len() > 20).chain([jwt.as_str()]) {
            for (path, bytes) in &written {
                let leaks = bytes.windows(part.len()).any(|window| window == part.as_bytes());
                assert!(!leaks, "a part of the token ({what}) is in {}", path.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_connection_reads_like_a_forbidden_one() {
    let story = Story::begin().await;
    let zoe = story.world.idp.token_for("zoe").expect("a token");
    let forbidden = refused(&story, "shop", &zoe).await;
    let unknown = refused(&story, "shoq", &zoe).await;
    assert_eq!(unknown, Refused { message: forbidden.message.replace("shop", "shoq"), ..forbidden.clone() });
    assert_eq!(forbidden.code, "28000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_that_is_not_the_tokens_is_refused() {
    let story = Story::begin().await;
    let mut config = Config::new();
    config.host("127.0.0.1").port(story.world.facts.listen.port()).dbname("shop").connect_timeout(PATIENCE);
    config.password(story.world.idp.token_for("ana").expect("a token"));
    let mut login = async |user: &str| Client::log_in_with(config.user(user)).await;
    login("ana@acme.dev").await.expect("her own name");
    let refused = login("priya@acme.dev").await.err().expect("another's name");
    assert_eq!(refused.code, "28000", "{refused:?}");
}

/// A SASLInitialResponse for OAUTHBEARER.
fn bearer(auth: &str) -> Vec<u8> {
    let said = format!("n,,\u{1}auth={auth}\u{1}\u{1}");
    let length = u32::try_from(said.len()).expect("short").to_be_bytes();
    message(b'p', &[b"OAUTHBEARER\0".as_slice(), &length, said.as_bytes()].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_oauth_is_told_where_to_sign_in_and_logs_in_with_its_token() {
    let story = Story::begin().await;
    let login = [("user", ""), ("database", "shop"), ("options", "-c countersign.login=oauth")];
    for auth in ["", "Bearer no.such.token"] {
        let mut raw = story.raw().await;
        raw.says(&startup(0, &login)).await;
        let offered = raw.frame().await;
        assert_eq!((offered.tag, offered.body.as_slice()), (b'R', b"\0\0\0\x0aOAUTHBEARER\0\0".as_slice()));
        raw.says(&bearer(auth)).await;
        let told = raw.frame().await;
        assert_eq!((told.tag, &told.body[..4]), (b'R', [0, 0, 0, 11].as_slice()));
        let told: serde_json::Value = serde_json::from_slice(&told.body[4..]).expect("JSON");
        let configuration = told["openid-configuration"].as_str().expect("an address").to_owned();
        let document = reqwest::get(&configuration).await.expect("the provider").text().await.expect("a document");
        assert!(document.contains("device_authorization_endpoint"), "{configuration}: {document}");
        raw.says(&message(b'p', &[1])).await;
        let refused = raw.frame().await;
        assert_eq!((refused.tag, refused.field(b'C').as_str()), (b'E', "28P01"), "{auth:?}: {refused:?}");
    }
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut raw = story.raw().await;
    raw.says(&startup(0, &login)).await;
    raw.frame().await;
    raw.says(&bearer(&format!("Bearer {token}"))).await;
    raw.until(b'Z').await;
    raw.says(&query("select 1")).await;
    assert!(raw.until(b'Z').await.iter().any(|heard| heard.tag == b'D'), "she is in");
    for (_, bytes) in story.everything_written() {
        assert!(!String::from_utf8_lossy(&bytes).contains(&token), "no token is written down");
    }
}
