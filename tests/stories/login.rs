//! Who gets in, and what is said and written about who does not.

use countersign_demo::idp::Signing;
use tokio_postgres::Config;

use crate::harness::{
    PATIENCE, Story,
    client::{Client, Refused},
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
        ("garbage", "no-token-but-a-password-8f2k1".to_owned()),
        ("expired", token("ana").issued_ago(7200).expires_in(-3600).jwt().expect("a token")),
        ("for another audience", token("ana").audience("payroll").jwt().expect("a token")),
        ("without a signature", token("ana").signed(Signing::Nothing).jwt().expect("a token")),
        ("signed with the public key", token("ana").signed(Signing::HmacWithPublicKey).jwt().expect("a token")),
        ("signed by somebody else", token("ana").signed(Signing::ForeignKey).jwt().expect("a token")),
        ("of another issuer", token("ana").claim("iss", "http://127.0.0.1:1").jwt().expect("a token")),
        ("of an unverified address", token("ana").claim("email_verified", false).jwt().expect("a token")),
    ];
    for (what, jwt) in &table {
        let refused = refused(&story, "shop", jwt).await;
        assert_eq!(refused.code, "28P01", "{what}: {refused:?}");
        assert!(!refused.hint.is_empty(), "{what}: what next?");
    }
    let good = idp.token_for("ana").expect("a token");
    Client::log_in(story.world.facts.listen, "shop", &good).await.expect("a good one is let in");

    let written = story.everything_written();
    assert!(written.iter().any(|(path, _)| path.to_string_lossy().contains("records")), "there are records");
    assert!(written.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "stderr")), "it said something");
    let secrets = table.iter().map(|(what, jwt)| (*what, jwt)).chain([("good", &good)]);
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
