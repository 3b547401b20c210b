//! `POST /signout/backchannel`: a provider says that somebody signed out (OpenID Connect Back-Channel Logout
//! 1.0, §2.5 to §2.8). It has no other proof than the token that it brings.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use serde_json::json;

use super::App;
use crate::{
    access::{
        end::Why,
        tokens::{Ended, end_tokens},
    },
    identity::TokenRefused,
};

/// Takes a logout token.
pub(super) async fn take(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let mut tokens = url::form_urlencoded::parse(&body).filter(|(name, _)| name == "logout_token");
    let (true, Some((_, token)), None) =
        (kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"), tokens.next(), tokens.next())
    else {
        return refuse("invalid_request", "The body must be a form with one logout_token.");
    };
    let logout = match app.gateway.issuers.verify_logout(&token).await {
        Ok(logout) => logout,
        Err(refused) => {
            // Whoever sent it learns no more than that; why is for who runs the gateway.
            tracing::warn!(reason = refused.inside(), "a logout token was refused");
            let description = match refused {
                TokenRefused::Unavailable => "The gateway can't verify it now. Send it again.",
                _ => "The logout token is not accepted.",
            };
            return refuse("invalid_request", description);
        }
    };
    match end_tokens(&app.gateway, &logout.ends, Some(&logout.id), &Why::SignedOut).await {
        Ok(Ended::Sessions(count)) => {
            tracing::info!(count, "somebody signed out at the identity provider; their sessions end");
            StatusCode::OK.into_response()
        }
        Ok(Ended::Before) => refuse("invalid_request", "This logout token was taken before."),
        Err(error) => {
            tracing::error!(%error, "a logout could not be written down; its provider is told to send it again");
            refuse("temporarily_unavailable", "The gateway can't write it down now. Send it again.")
        }
    }
}

/// §2.8. `Cache-Control: no-store` is on every answer.
fn refuse(error: &str, description: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error, "error_description": description }))).into_response()
}
