//! The HTTP side: the control API under `/v1`, the pages that people sign in on, health, metrics.
//!
//! A file per noun. Who calls is in `caller`, what every answer has in common in `guard` and
//! `answer`; the pages' words are in `pages`.

mod about;
mod access;
mod allowances;
mod answer;
mod audience;
mod browser;
mod bypass;
mod caller;
mod cards;
mod channels;
mod decisions;
mod delegations;
mod digest;
mod events;
mod grants;
mod guard;
mod health;
mod link;
mod links;
mod listening;
mod log;
mod notices;
mod openapi;
mod pages;
mod park;
pub mod public;
mod questions;
mod request_page;
mod requests;
mod reviews;
mod sessions;
mod sight;
mod sign_in;
mod sign_out;
mod tokens;
mod users;

#[cfg(test)]
mod asked_first;
#[cfg(test)]
mod page_stories;
#[cfg(test)]
mod replays;
#[cfg(test)]
mod sign_out_stories;
#[cfg(test)]
mod who_may;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};

pub use self::about::about;
use self::{browser::SignIns, caller::Once, listening::Places};
use crate::{runtime::Gateway, scim};

/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 256 * 1024;

/// What every handler has.
#[derive(Clone)]
struct App {
    gateway: Arc<Gateway>,
    sign_ins: Arc<SignIns>,
    listeners: Arc<Places>,
    once: Arc<Once>,
}

impl App {
    fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, sign_ins: Arc::default(), listeners: Arc::default(), once: Arc::default() }
    }

    /// How browsers reach us, without a trailing slash.
    fn base(&self) -> &str {
        self.gateway.config.gateway.url.as_str().trim_end_matches('/')
    }
}

/// Everything, for `gateway.control`.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let api = Router::new()
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{id}", get(requests::show))
        .route("/v1/requests/{id}/decisions", post(decisions::decide))
        .route("/v1/requests/{id}/questions", post(questions::ask))
        .route("/v1/requests/{id}/park", post(park::park))
        .route("/v1/requests/{id}/allowance", delete(allowances::end))
        .route("/v1/requests/{id}/card", put(cards::put))
        .route("/v1/requests/{id}/audience", post(audience::look))
        .route("/v1/channels/{id}", put(channels::put))
        .route("/v1/access", get(access::options).post(access::ask))
        .route("/v1/grants", get(grants::list))
        .route("/v1/grants/{id}", get(grants::show).delete(grants::end))
        .route("/v1/grants/{id}/extend", post(access::extend))
        .route("/v1/grants/{id}/keep", post(digest::keep))
        .route("/v1/digest", get(digest::show))
        .route("/v1/delegation", get(delegations::list).put(delegations::put).delete(delegations::end))
        .route("/v1/reviews", get(reviews::list).post(reviews::open))
        .route("/v1/reviews/{id}", get(reviews::show))
        .route("/v1/reviews/{id}/answers", post(reviews::answer))
        .route("/v1/notices/claim", post(notices::claim))
        .route("/v1/notices/posted", post(notices::posted))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}", delete(sessions::kill))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{id}", get(users::show))
        .route("/v1/tokens/denied", get(tokens::list).post(tokens::deny))
        .route("/v1/log", get(log::read))
        .route("/v1/connections/{name}/bypass", post(bypass::look))
        .route("/v1/events", get(events::stream))
        .route("/v1/links", get(links::list).post(links::start))
        .route("/v1/links/waiting", get(links::waiting))
        .route("/v1/links/{team}/{user}", get(links::show).delete(links::remove))
        .route("/v1/links/{team}/{user}/confirm", post(links::confirm))
        .route("/v1/links/{team}/{user}/refuse", post(links::refuse))
        .route("/v1/about", get(about::show))
        .route("/v1/openapi.json", get(openapi::document))
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(health::metrics));
    guarded(with_scim(api.merge(from_outside()), &gateway), App::new(gateway))
}

/// Only what browsers of people and a provider of identities need, for `gateway.public`.
pub fn public_router(gateway: Arc<Gateway>) -> Router {
    guarded(with_scim(from_outside(), &gateway), App::new(gateway))
}

fn with_scim(routes: Router<App>, gateway: &Arc<Gateway>) -> Router<App> {
    match scim::router(gateway) {
        Some(scim) => routes.nest_service(scim::ROOT, scim),
        None => routes,
    }
}

/// What browsers of people and providers of identities reach.
fn from_outside() -> Router<App> {
    Router::new()
        .route("/link/{nonce}", get(link::open))
        .route("/link/{nonce}/with/{issuer}", get(link::open_with))
        .route("/link/{nonce}/confirm", post(link::confirm))
        .route("/signin/callback", get(sign_in::callback))
        .route("/signout/backchannel", post(sign_out::take))
        .route("/requests/{id}", get(request_page::open).post(request_page::choose))
        .route("/requests/{id}/with/{issuer}", get(request_page::open_with))
}

fn guarded(routes: Router<App>, app: App) -> Router {
    routes
        .fallback(answer::no_such_page)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}
