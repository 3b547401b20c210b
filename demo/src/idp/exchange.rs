//! The token endpoint: a code, a refresh token or a device's patience for tokens (RFC 6749 §5).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Form, Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::Deserialize;
use serde_json::json;

use super::state::{Shared, SignIn, State as Memory};
use crate::random;

#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// An error code of RFC 6749 §5.2 or RFC 8628 §3.5, and a sentence.
pub(super) type Refused = (&'static str, &'static str);

pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(asked): Form<TokenRequest>,
) -> Response {
    let sign_in = {
        let mut state = shared.lock();
        client_of(&state, &headers, asked.client_id.as_deref(), asked.client_secret.as_deref())
            .and_then(|client| exchange(&mut state, &asked, &client))
    };
    match sign_in {
        Ok(sign_in) => tokens(&shared, &sign_in),
        Err(refused) => refuse(refused),
    }
}

pub(super) fn refuse((error, why): Refused) -> Response {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    (status, [(header::CACHE_CONTROL, "no-store")], Json(json!({ "error": error, "error_description": why })))
        .into_response()
}

/// Which client asks: by Basic or by form, with its secret where it has one.
pub(super) fn client_of(
    state: &Memory,
    headers: &HeaderMap,
    id: Option<&str>,
    secret: Option<&str>,
) -> Result<String, Refused> {
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
    let basic = basic.and_then(|coded| String::from_utf8(STANDARD.decode(coded).ok()?).ok());
    let basic = basic.as_deref().and_then(|pair| pair.split_once(':'));
    let (id, secret) = basic.map_or((id, secret), |(id, secret)| (Some(id), Some(secret)));
    let known = id.and_then(|id| Some((id, state.clients.get(id)?)));
    match known {
        Some((id, None)) => Ok(id.to_owned()),
        Some((id, Some(kept))) if secret == Some(kept.reveal().as_str()) => Ok(id.to_owned()),
        _ => Err(("invalid_client", "the client is unknown, or its secret is wrong")),
    }
}

fn exchange(state: &mut Memory, asked: &TokenRequest, client: &str) -> Result<SignIn, Refused> {
    let gone = ("invalid_grant", "it is unknown, was used before, or belongs to another client");
    let sign_in = match asked.grant_type.as_str() {
        "authorization_code" => {
            let code = asked.code.as_deref().ok_or(("invalid_request", "the code is missing"))?;
            // Taken whatever comes next: a code is tried once.
            let sign_in = state.codes.remove(code).ok_or(gone)?;
            check_code(&sign_in, asked)?;
            sign_in
        }
        "refresh_token" => {
            let token = asked.refresh_token.as_deref().ok_or(("invalid_request", "the refresh_token is missing"))?;
            state.refresh.remove(token).ok_or(gone)?
        }
        "urn:ietf:params:oauth:grant-type:device_code" => {
            let code = asked.device_code.as_deref().ok_or(("invalid_request", "the device_code is missing"))?;
            let answer = state.devices.get(code).ok_or(gone)?.answer.clone();
            let answer = answer.ok_or(("authorization_pending", "nobody has signed in yet"))?;
            state.devices.remove(code);
            answer.map_err(|()| ("access_denied", "the sign-in was cancelled"))?
        }
        _ => return Err(("unsupported_grant_type", "it is not offered")),
    };
    let still_here = state.people.by_subject(&sign_in.subject).is_some();
    if sign_in.wish.client == client && still_here { Ok(sign_in) } else { Err(gone) }
}

fn check_code(sign_in: &SignIn, asked: &TokenRequest) -> Result<(), Refused> {
    let same = asked.redirect_uri.as_deref().and_then(|uri| uri.parse().ok()).as_ref() == Some(&sign_in.wish.redirect);
    if !same {
        return Err(("invalid_grant", "the redirect_uri is not the one of the sign-in"));
    }
    let proven = asked.code_verifier.as_deref().map(challenge);
    if sign_in.wish.challenge == proven { Ok(()) } else { Err(("invalid_grant", "the code_verifier does not fit")) }
}

/// `S256` of RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

fn tokens(shared: &Shared, sign_in: &SignIn) -> Response {
    let id_token = match shared.id_token(sign_in) {
        Ok(token) => token,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    let (access, refresh) = (random::token(), random::token());
    let mut state = shared.lock();
    state.access.insert(access.clone(), sign_in.clone());
    let mut answer = json!({
        "access_token": access, "token_type": "Bearer", "expires_in": state.lifetime.as_secs(),
        "id_token": id_token, "scope": sign_in.wish.scope,
    });
    if sign_in.wish.scope.split(' ').any(|scope| scope == "offline_access") {
        // OpenID Connect Core 1.0 §12.2: a refreshed ID token should have no nonce.
        let mut later = sign_in.clone();
        later.wish.nonce = None;
        state.refresh.insert(refresh.clone(), later);
        answer["refresh_token"] = refresh.into();
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_the_one_of_the_standard() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
