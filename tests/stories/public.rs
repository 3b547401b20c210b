//! The public address: what Slack and browsers need, and nothing else.

use std::{fs, path::Path, sync::Arc};

use countersign_demo::slack::Mode;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::harness::{Story, tls::Authority};

const DELETE: &str = "delete from orders where id = 5";

/// The config with a public address, whose port is written beside it.
fn public(config: &str, folder: &Path) -> (String, u16) {
    let port = countersign_demo::ports::free().expect("a port");
    fs::write(folder.join("public.port"), port.to_string()).expect("a file");
    let policy = "policy  = \"policy\"\n";
    assert!(config.contains(policy));
    (config.replace(policy, &format!("{policy}public = \"127.0.0.1:{port}\"\n")), port)
}

impl Story {
    fn public_port(&self) -> u16 {
        fs::read_to_string(self.folder().join("public.port")).expect("a file").parse().expect("a port")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_and_browsers_reach_what_is_theirs_and_nothing_else() {
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let story = Story::changed("serve", |config, folder| {
        fs::write(folder.join("signing.secret"), secret).expect("a file");
        let (config, port) = public(config, folder);
        let config = config.replace("secrets/slack-app.token", "signing.secret").replace("app_token", "signing_secret");
        config.replace("public = ", &format!("url     = \"http://127.0.0.1:{port}\"\npublic = "))
    })
    .await;
    let url = format!("http://127.0.0.1:{}", story.public_port());
    story.workspace.set_mode(Mode::Http { request_url: url.clone() });
    // Linking and pressing, all of it over this address.
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let delete = ana.runs(DELETE);
    let id = ana.is_held().await;
    priya.presses("approve", &id).await;
    delete.ends().await.expect("it runs");
    story.card_says(&id, "DELETE 1").await;

    let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
    let token = story.world.idp.token_for("olu").expect("a token");
    for path in ["v1/requests", "v1/events", "v1/grants", "v1/openapi.json", "metrics", "healthz", "scim/v2/Users"] {
        let answer = client.get(format!("{url}/{path}")).bearer_auth(&token).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 404, "{path}");
    }
    for path in ["slack/commands", "slack/interactive", "slack/events"] {
        let answer = client.post(format!("{url}/{path}")).body("text=help&user_id=U1").send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 401, "unsigned: {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_address_speaks_tls_with_the_certificate_of_the_config() {
    let authority = Arc::new(Authority::new("Acme"));
    let signer = Arc::clone(&authority);
    let story = Story::gateway_with(move |config, folder| {
        signer.vouches_for(&["localhost"]).write(folder, "gateway");
        let tls = "tls = { cert = \"gateway.pem\", key = \"gateway.key\" }\npublic = ";
        public(config, folder).0.replace("public = ", tls)
    })
    .await;
    let stream = TcpStream::connect(("127.0.0.1", story.public_port())).await.expect("a connection");
    // Somebody who says nothing at all keeps nobody else waiting.
    let _silent = TcpStream::connect(("127.0.0.1", story.public_port())).await.expect("a connection");
    let connector = TlsConnector::from(authority.trusted(&[&rustls::version::TLS13], &["http/1.1"]));
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = connector.connect(name, stream).await.expect("its certificate");
    let request = b"GET /v1/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
}
