//! What a client reads: discovery, the key set, user info, introspection.

use std::sync::Arc;

use axum::{
    Form, Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{authorize::loopback, exchange::client_of, page, state::Shared};

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/jwks";

/// OpenID Connect Discovery 1.0 §3.
pub(super) async fn discovery(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", shared.url);
    Json(json!({
        "issuer": shared.url,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "jwks_uri": at(KEYS),
        "device_authorization_endpoint": at("/device_authorization"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "end_session_endpoint": at("/end_session"),
        "scopes_supported": ["openid", "email", "profile", "groups", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported":
            ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "email", "email_verified", "name", "groups",
        ],
        "authorization_response_iss_parameter_supported": true,
    }))
}

/// RFC 7517 §5.
pub(super) async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    let keys: Result<Vec<_>, _> = shared.lock().keys.iter().map(super::keys::Keys::public).collect();
    match keys {
        Ok(keys) => Json(json!({ "keys": keys.concat() })).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// OpenID Connect Core 1.0 §5.3.
pub(super) async fn user_info(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let state = shared.lock();
    let person = bearer.and_then(|token| state.people.by_subject(&state.access.get(token)?.subject));
    person.map_or_else(
        || (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response(),
        |person| {
            Json(json!({
                "sub": person.subject, "email": person.email, "email_verified": true,
                "name": person.name, "groups": person.groups,
            }))
            .into_response()
        },
    )
}

#[derive(Deserialize)]
pub(super) struct TokenForm {
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 7662: access and refresh tokens of this provider.
pub(super) async fn introspect(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<TokenForm>,
) -> Response {
    let state = shared.lock();
    if client_of(&state, &headers, form.client_id.as_deref(), form.client_secret.as_deref()).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let sign_in = state.access.get(&form.token).or_else(|| state.refresh.get(&form.token));
    let known = sign_in.and_then(|sign_in| Some((sign_in, state.people.by_subject(&sign_in.subject)?)));
    Json(known.map_or_else(
        || json!({ "active": false }),
        |(sign_in, person)| {
            json!({ "active": true, "iss": shared.url, "sub": person.subject, "username": person.email,
                    "client_id": sign_in.wish.client, "scope": sign_in.wish.scope })
        },
    ))
    .into_response()
}

/// RFC 7009: whatever it was, it is worth nothing now.
pub(super) async fn revoke(State(shared): State<Arc<Shared>>, Form(form): Form<TokenForm>) -> StatusCode {
    let mut state = shared.lock();
    state.access.remove(&form.token);
    state.refresh.remove(&form.token);
    StatusCode::OK
}

#[derive(Deserialize)]
pub(super) struct EndOfSession {
    post_logout_redirect_uri: Option<url::Url>,
    state: Option<String>,
}

/// OpenID Connect RP-Initiated Logout 1.0. There is no session at the provider that could end.
pub(super) async fn end_session(Query(query): Query<EndOfSession>) -> Response {
    match query.post_logout_redirect_uri.filter(loopback) {
        Some(mut back) => {
            if let Some(state) = query.state {
                back.query_pairs_mut().append_pair("state", &state);
            }
            Redirect::to(back.as_str()).into_response()
        }
        None => page::say(StatusCode::OK, "Signed out", "You are signed out."),
    }
}
