//! Signing in with this machine's browser: authorization code with PKCE, back to a port of this machine
//! (RFC 8252, RFC 7636).

use std::{collections::HashMap, future::IntoFuture as _, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    extract::{Query, State},
    response::Html,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};
use url::Url;

use crate::{
    NotSignedIn,
    provider::{Provider, Tokens},
    random,
};

/// How long the person may take.
const PATIENCE: Duration = Duration::from_secs(600);

const DONE: &str = "<!doctype html><title>Countersign</title><p>That was it. You can close this page and go back \
                    to your terminal.</p>";

/// Signs in; `say` gets the address to open, once.
///
/// # Errors
/// Why nobody signed in.
pub async fn sign_in(provider: &Provider, say: impl FnOnce(&Url)) -> Result<Tokens, NotSignedIn> {
    let failed = |error: std::io::Error| NotSignedIn::Provider(format!("no port of this machine can be had: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let redirect = format!("http://{}/callback", listener.local_addr().map_err(failed)?);
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let scope = provider.scope();
    let mut address = provider.authorization()?;
    address
        .query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.issuer.client_id)
        .append_pair("redirect_uri", &redirect)
        .append_pair("scope", &scope)
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())))
        .append_pair("code_challenge_method", "S256");
    let (answers, mut answered) = mpsc::channel(1);
    let routes = Router::new().route("/callback", get(callback)).with_state((Arc::new(state), answers));
    let (stop, stopped) = oneshot::channel::<()>();
    let stops = async move { drop(stopped.await) };
    let server = tokio::spawn(axum::serve(listener, routes).with_graceful_shutdown(stops).into_future());
    say(&address);
    let answer = timeout(PATIENCE, answered.recv()).await;
    let answer = match answer {
        Ok(Some(answer)) => answer,
        _ => return Err(NotSignedIn::Refused("nobody signed in within ten minutes".to_owned())),
    };
    let tokens = async {
        // Against mix-ups (RFC 9207).
        if answer.get("iss").is_some_and(|iss| *iss != provider.issuer.issuer) {
            return Err(NotSignedIn::Refused("another issuer answered".to_owned()));
        }
        let Some(code) = answer.get("code") else {
            let said = answer.get("error_description").or_else(|| answer.get("error"));
            return Err(NotSignedIn::Refused(said.map_or("it gave no code", |said| said.as_str()).to_owned()));
        };
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", &redirect),
            ("code_verifier", &verifier),
        ];
        provider.tokens(&form, Some(&nonce)).await.map_err(NotSignedIn::from)
    }
    .await;
    // The browser gets its page, and no more than a moment for it.
    drop(stop);
    let _ended = timeout(Duration::from_secs(1), server).await;
    tokens
}

type Answers = (Arc<String>, mpsc::Sender<HashMap<String, String>>);

/// Takes the browser's way back. Whoever does not know our `state` is not our sign-in.
async fn callback(
    State((state, answers)): State<Answers>,
    Query(query): Query<HashMap<String, String>>,
) -> Html<&'static str> {
    if query.get("state") != Some(&*state) {
        return Html("<!doctype html><title>Countersign</title><p>This is not the sign-in that waits here.</p>");
    }
    // A page that is loaded again changes nothing.
    let _taken = answers.try_send(query);
    Html(DONE)
}
