//! What the gateway says of itself (RFC 7643, section 5; RFC 7644, section 4).

use axum::{
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    App, base,
    query::MOST_LISTED,
    schema::{GROUPS, Type, USERS},
    sorry::{MEDIA_TYPE, Sorry},
};

/// A JSON answer of SCIM.
pub(super) fn answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body.to_string()).into_response()
}

fn listed(all: &[Value]) -> Response {
    answer(&json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": all.len(), "startIndex": 1, "itemsPerPage": all.len(), "Resources": all,
    }))
}

pub(super) async fn provider(State(gateway): State<App>) -> Response {
    let supported = |yes: bool| json!({ "supported": yes });
    answer(&json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": supported(true),
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MOST_LISTED },
        "changePassword": supported(false),
        "sort": supported(true),
        "etag": supported(true),
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token", "primary": true,
            "description": "The token of [scim] in the gateway's config",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
        }],
        "meta": { "resourceType": "ServiceProviderConfig", "location": format!("{}/ServiceProviderConfig", base(&gateway)) },
    }))
}

/// These lists are not searched (RFC 7644, section 4).
fn unfiltered(query: Option<&str>) -> Result<(), Sorry> {
    let filters = query.unwrap_or_default().split('&').any(|pair| pair.split('=').next() == Some("filter"));
    if filters { Err(Sorry::forbidden("This list takes no filter.")) } else { Ok(()) }
}

pub(super) async fn schemas(
    State(gateway): State<App>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Result<Response, Sorry> {
    unfiltered(query.as_deref())?;
    let base = base(&gateway);
    Ok(listed(&[USERS.told(&base), GROUPS.told(&base)]))
}

pub(super) async fn schema(State(gateway): State<App>, Path(id): Path<String>) -> Result<Response, Sorry> {
    let found = one(|kind| kind.schema.eq_ignore_ascii_case(&id))?;
    Ok(answer(&found.told(&base(&gateway))))
}

pub(super) async fn types(
    State(gateway): State<App>,
    axum::extract::RawQuery(query): axum::extract::RawQuery,
) -> Result<Response, Sorry> {
    unfiltered(query.as_deref())?;
    let base = base(&gateway);
    Ok(listed(&[USERS.told_as_type(&base), GROUPS.told_as_type(&base)]))
}

pub(super) async fn one_type(State(gateway): State<App>, Path(id): Path<String>) -> Result<Response, Sorry> {
    let found = one(|kind| kind.name == id)?;
    Ok(answer(&found.told_as_type(&base(&gateway))))
}

fn one(which: impl Fn(&Type) -> bool) -> Result<&'static Type, Sorry> {
    [&USERS, &GROUPS].into_iter().find(|kind| which(kind)).ok_or_else(Sorry::not_found)
}

/// The ETag that a request says in a header; `None` where it says none.
pub(super) fn etag<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
