//! `GET /v1/about`: where to sign in and where to connect, for a command line that knows nothing yet.

use axum::{extract::State, response::Json};
use countersign_shared::api::{About, AboutIssuer};

use super::App;
use crate::config::Config;

pub(super) async fn show(State(app): State<App>) -> Json<About> {
    Json(about(&app.gateway.config))
}

/// What a gateway with this config says of itself.
#[must_use]
pub fn about(config: &Config) -> About {
    let gateway = &config.gateway;
    // An address that stands for all of the machine's is none to connect to; the pages' host is.
    let named = gateway.url.host_str().filter(|_| gateway.listen.ip().is_unspecified());
    About {
        host: named.map_or_else(|| gateway.listen.ip().to_string(), |host| host.trim_matches(['[', ']']).to_owned()),
        port: gateway.listen.port(),
        tls: gateway.tls.is_some(),
        issuers: config
            .identities
            .iter()
            .map(|identity| AboutIssuer {
                issuer: identity.issuer.clone(),
                client_id: identity.client_id.clone(),
                audience: identity.audience.clone(),
                user_claim: identity.user_claim.clone(),
            })
            .collect(),
    }
}
