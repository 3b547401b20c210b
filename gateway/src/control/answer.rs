//! What the API answers where it can't do what was asked: always a [`Problem`] in JSON.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use countersign_shared::api::Problem;
use serde::de::DeserializeOwned;

use crate::store::StoreError;

/// A problem with its HTTP status.
#[derive(Debug)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub problem: Problem,
}

impl Refused {
    pub(super) fn new(status: StatusCode, code: &str, error: impl Into<String>, hint: &str) -> Self {
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        Self { status, problem: Problem { code: code.into(), error: error.into(), hint } }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."), "")
    }

    pub(super) fn forbidden(error: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", error, "")
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", error, "See /v1/openapi.json.")
    }

    pub(super) fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a call could not be served");
        let hint = "Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The gateway can't answer this right now.", hint)
    }
}

/// The status that goes with a problem's code.
fn status(code: &str) -> StatusCode {
    match code {
        "not_signed_in" => StatusCode::UNAUTHORIZED,
        "not_found" => StatusCode::NOT_FOUND,
        "over" | "digest_mismatch" | "already_decided" | "conflict" | "not_parked" => StatusCode::CONFLICT,
        "too_many" => StatusCode::TOO_MANY_REQUESTS,
        "bad_request" => StatusCode::BAD_REQUEST,
        "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { status: status(&problem.code), problem }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => Self::unavailable(&error),
            StoreError::NotFound(what) => Self::not_found(what),
            StoreError::TokenEnded { reason } => {
                tracing::warn!(reason, "a token that counts no more was refused");
                Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "The token counts no more.", "Sign in again.")
            }
            StoreError::BoundToAnother { .. } | StoreError::Gone { .. } => Self::forbidden(&error.to_string()),
            _ => Self::new(StatusCode::CONFLICT, "conflict", error.to_string(), ""),
        }
    }
}

impl From<crate::log::LogDown> for Refused {
    fn from(down: crate::log::LogDown) -> Self {
        Self::unavailable(&down)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let unauthorized = self.status == StatusCode::UNAUTHORIZED;
        let mut response = (self.status, Json(self.problem)).into_response();
        if unauthorized {
            let ask = header::HeaderValue::from_static("Bearer realm=\"countersign\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    }
}

/// A JSON body; anything else is a [`Problem`].
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        Exact::from_request(request, state).await.map(|Exact(body, _)| Self(body))
    }
}

/// As [`Body`], with its bytes, where somebody signed for those.
pub(super) struct Exact<T>(pub T, pub Bytes);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Exact<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Refused::new(status, "bad_request", "The body must be application/json.", ""));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|e| {
            Refused::new(e.status(), "bad_request", "The body can't be read, or is larger than 256 KiB.", "")
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(parsed) => Ok(Self(parsed, bytes)),
            Err(e) => Err(Refused::bad_request(format!("The body is not what this call takes: {e}."))),
        }
    }
}

pub(super) async fn no_such_page() -> Refused {
    Refused::not_found("page")
}

pub(super) async fn no_such_method() -> Refused {
    let error = "This address does not take that method.";
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "bad_request", error, "See /v1/openapi.json.")
}
