//! A world, as a story: it starts, says how to use it, and can be taken up again.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use countersign_demo::world::{SlackAccess, World, WorldConfig, banner};
use countersign_shared::secret::Secret;
use url::Url;

fn slack() -> SlackAccess {
    SlackAccess {
        api_url: "http://127.0.0.1:9/api/".parse().unwrap(),
        app_token: Secret::new("xapp-1".into()),
        bot_token: Secret::new("xoxb-1".into()),
        channel: "C0APPROVALS".into(),
        page: "http://127.0.0.1:9/".parse().unwrap(),
    }
}

fn config(file: &Path) -> toml::Table {
    fs::read_to_string(file).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_world_starts_and_says_how_to_use_it() {
    let world = World::start(WorldConfig { slack: Some(slack()), ..WorldConfig::default() }).await.unwrap();
    let folder = world.facts.config.parent().unwrap().to_owned();
    let config = config(&world.facts.config);

    let shop = config["connection"][0].as_table().unwrap();
    assert_eq!(shop["name"].as_str(), Some("shop"));
    assert_eq!(shop["channel"].as_str(), Some("C0APPROVALS"));
    let password = fs::read_to_string(folder.join(shop["password"]["file"].as_str().unwrap())).unwrap();
    let mut url: Url = shop["upstream"].as_str().unwrap().parse().unwrap();
    assert_eq!(url.password(), None, "a secret is in a file of its own");
    url.set_password(Some(&password)).unwrap();
    let login = countersign_demo::database::Login::from_url(&url).unwrap();
    let client = login.connect().await.unwrap();
    let orders: i64 = client.query_one("SELECT count(*) FROM order_totals", &[]).await.unwrap().get(0);
    assert_eq!(orders, 2400, "what the config says leads to the shop");

    for secret in fs::read_dir(folder.join("secrets")).unwrap() {
        let secret = secret.unwrap();
        assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", secret.path());
    }
    assert_eq!(config["identity"][0]["issuer"].as_str(), Some(world.idp.url()));
    assert_eq!(config["agent"][0]["owner"].as_str(), Some("ana@acme.dev"));
    assert_eq!(config["slack"]["api_url"].as_str(), Some("http://127.0.0.1:9/api/"));

    let text = banner(&world.facts);
    for needed in ["user=ana@acme.dev\"", "user=ben@acme.dev\"", "PGPASSWORD='ey", "http://127.0.0.1:9/", "Ctrl-C"] {
        assert!(text.contains(needed), "{needed} is missing:\n{text}");
    }
    assert!(!text.contains(&password) && !text.contains("xoxb-1"), "no secret but the tokens is shown");

    drop((client, world));
    assert!(!folder.exists(), "a temporary world leaves nothing");
}

#[tokio::test]
async fn a_world_that_is_kept_is_the_same_one_later() {
    let parent = tempfile::Builder::new().prefix("countersign-world-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let kept = || WorldConfig { dir: Some(parent.path().join("kept")), ..WorldConfig::default() };

    let first = World::start(kept()).await.unwrap();
    let issuer = first.idp.url().to_owned();
    let changed = first.facts.policy.join("10-read.cedar");
    fs::write(&changed, "// mine\n").unwrap();
    first.upstream.connect().await.unwrap().batch_execute("DELETE FROM orders WHERE id > 10").await.unwrap();
    drop(first);

    let second = World::start(kept()).await.unwrap();
    assert_eq!(second.idp.url(), issuer, "people are bound to their issuer, so it must keep its name");
    assert_eq!(fs::read_to_string(&changed).unwrap(), "// mine\n");
    let client = second.upstream.connect().await.unwrap();
    let orders: i64 = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0);
    assert_eq!(orders, 10);
}

#[tokio::test]
async fn a_database_that_was_named_is_used_as_it_is() {
    let url = "postgres://me:s3cret@127.0.0.1:1/mine".parse().unwrap();
    let world = World::start(WorldConfig { database_url: Some(url), ..WorldConfig::default() }).await.unwrap();
    assert!(world.database.is_none(), "no server is started beside it");
    let config = config(&world.facts.config);
    assert_eq!(config["connection"][0]["upstream"].as_str(), Some("postgres://me@127.0.0.1:1/mine"));
    assert!(config.get("slack").is_none());
}
