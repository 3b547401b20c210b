//! SCIM 2.0 (RFC 7643, RFC 7644) at `/scim/v2`: whoever keeps the identities says who is here.
//!
//! | file | what it does |
//! |---|---|
//! | [`schema`] | what there is of a user and a group |
//! | [`path`], [`tokens`], [`filter`] | names, and what resources must be like |
//! | [`document`], [`patch`] | bodies into resources; pure |
//! | [`query`], [`project`] | which resources, and what of them |
//! | [`resource`], [`users`], [`groups`] | the calls, over the state |
//! | [`discovery`] | what the gateway says of itself |
//! | [`sorry`] | every error |
//!
//! What it means for access is in [`crate::directory`].

mod discovery;
mod document;
mod filter;
mod groups;
mod patch;
mod path;
mod project;
mod query;
mod resource;
mod schema;
mod sorry;
mod tokens;
mod users;

#[cfg(test)]
mod stories;
#[cfg(test)]
mod tables;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::header,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use self::{groups::Groups, sorry::Sorry, users::Users};
use crate::runtime::Gateway;

/// Where it is.
pub const ROOT: &str = "/scim/v2";
/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 1 << 20;

type App = Arc<Gateway>;

/// Everything below [`ROOT`]; `None` where the config has no token for it.
#[must_use]
pub fn router(gateway: &Arc<Gateway>) -> Option<Router> {
    gateway.config.scim.as_ref()?;
    let routes = Router::new()
        .route("/Users", get(resource::list::<Users>).post(resource::create::<Users>))
        .route("/Users/.search", post(resource::search::<Users>))
        .route(
            "/Users/{id}",
            get(resource::show::<Users>)
                .put(resource::replace::<Users>)
                .patch(resource::patch::<Users>)
                .delete(resource::delete::<Users>),
        )
        .route("/Groups", get(resource::list::<Groups>).post(resource::create::<Groups>))
        .route("/Groups/.search", post(resource::search::<Groups>))
        .route(
            "/Groups/{id}",
            get(resource::show::<Groups>)
                .put(resource::replace::<Groups>)
                .patch(resource::patch::<Groups>)
                .delete(resource::delete::<Groups>),
        )
        .route("/.search", post(resource::search_all::<Users, Groups>))
        .route("/ServiceProviderConfig", get(discovery::provider))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{id}", get(discovery::schema))
        .route("/ResourceTypes", get(discovery::types))
        .route("/ResourceTypes/{id}", get(discovery::one_type))
        .fallback(|| async { Sorry::not_found() })
        .method_not_allowed_fallback(|| async { Sorry::no_method() })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), signed_in))
        .with_state(Arc::clone(gateway));
    Some(routes)
}

/// Lets only holders of the token through, whatever they ask for.
async fn signed_in(State(gateway): State<App>, request: Request, next: Next) -> Response {
    let mut given = request.headers().get_all(header::AUTHORIZATION).iter();
    let token = match (given.next(), given.next()) {
        (Some(one), None) => one.to_str().ok().and_then(|text| text.split_once(' ')),
        _ => None,
    };
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let fits = token.zip(gateway.config.scim.as_ref()).is_some_and(|(token, tokens)| tokens.have(token));
    if fits { next.run(request).await } else { Sorry::not_signed_in().into_response() }
}

/// The address of all this, as clients say it.
fn base(gateway: &Gateway) -> String {
    format!("{}{ROOT}", gateway.config.gateway.url.as_str().trim_end_matches('/'))
}
