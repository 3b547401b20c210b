//! What a client of SCIM reads where it can't have what it asked for (RFC 7644, section 3.12).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::store::StoreError;

/// The media type of every answer (RFC 7644, section 3.1).
pub const MEDIA_TYPE: &str = "application/scim+json";

/// An error with the word for it, where RFC 7644 has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sorry {
    /// The HTTP status.
    pub status: StatusCode,
    /// `scimType`.
    pub word: Option<&'static str>,
    /// A sentence.
    pub detail: String,
}

impl Sorry {
    fn new(status: StatusCode, word: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self { status, word, detail: detail.into() }
    }

    fn bad(word: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some(word), detail)
    }

    /// A filter that can't be read.
    pub fn filter(detail: impl Into<String>) -> Self {
        Self::bad("invalidFilter", detail)
    }

    /// A body that can't be read.
    pub fn syntax(detail: impl Into<String>) -> Self {
        Self::bad("invalidSyntax", detail)
    }

    /// A path of a patch that can't be read.
    pub fn path(detail: impl Into<String>) -> Self {
        Self::bad("invalidPath", detail)
    }

    /// A path of a patch that leads nowhere.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Self::bad("noTarget", detail)
    }

    /// A value of the wrong kind, or none where one must be.
    pub fn value(detail: impl Into<String>) -> Self {
        Self::bad("invalidValue", detail)
    }

    /// Something that only the gateway writes.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad("mutability", detail)
    }

    /// No such resource.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, None, "There is no such resource.")
    }

    /// What is not to be had this way.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, None, detail)
    }

    /// No such method.
    pub fn no_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, None, "This address does not take that method.")
    }

    /// No token, or a wrong one.
    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, None, "Send the token of [scim] as `Authorization: Bearer …`.")
    }

    /// Another version than the client thought.
    pub fn precondition() -> Self {
        let detail = "The resource has changed since; read it again.";
        Self::new(StatusCode::PRECONDITION_FAILED, None, detail)
    }

    /// A body that is too large.
    pub fn too_large(most: usize) -> Self {
        let detail = format!("The body is larger than {most} bytes; send members in several patches.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, None, detail)
    }

    /// A body of another kind.
    pub fn media_type() -> Self {
        let detail = format!("The body must be {MEDIA_TYPE} or application/json.");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, None, detail)
    }

    /// The gateway can't now.
    pub fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a call of SCIM could not be served");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, None, "The gateway can't do this right now; try again in a moment.")
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_u16().to_string(), "detail": self.detail,
        });
        if let Some(word) = self.word {
            body["scimType"] = word.into();
        }
        body
    }
}

impl From<StoreError> for Sorry {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(what) => {
                let detail = format!("Another resource has this {what} already.");
                Self::new(StatusCode::CONFLICT, Some("uniqueness"), detail)
            }
            StoreError::NotFound("user") => Self::value("A member is none of the users here."),
            StoreError::NotFound(_) => Self::not_found(),
            error => Self::unavailable(&error),
        }
    }
}

impl IntoResponse for Sorry {
    fn into_response(self) -> Response {
        let mut response = (self.status, [(header::CONTENT_TYPE, MEDIA_TYPE)], self.body().to_string()).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Bearer realm=\"countersign scim\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
        }
        response
    }
}
