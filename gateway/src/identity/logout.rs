//! A provider says that somebody signed out: OpenID Connect Back-Channel Logout 1.0.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::{
    Issuers, TokenRefused,
    verify::{self, LOGOUT_KINDS, Rules, short_text},
};
use crate::store::tokens::{TokenEnd, Which};

/// The member of `events` that makes it a logout token (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Why the tokens that it ends count no more.
const REASON: &str = "signed out at the identity provider";

/// A verified logout token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    /// Its own `jti`: it counts once.
    pub id: String,
    /// The tokens that count no more.
    pub ends: Vec<TokenEnd>,
}

impl Issuers {
    /// Verifies a logout token (§2.6).
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify_logout(&self, token: &str) -> Result<Logout, TokenRefused> {
        self.verify_logout_at(token, Utc::now(), Instant::now()).await
    }

    pub(super) async fn verify_logout_at(
        &self,
        token: &str,
        now: DateTime<Utc>,
        ticks: Instant,
    ) -> Result<Logout, TokenRefused> {
        let token = verify::parse(token, LOGOUT_KINDS)?;
        let (issuer, keys) = self.keys_of(&token, ticks).await?;
        // It is made for the client, whatever API the other tokens are for.
        let rules = Rules { audience: &issuer.client_id, client_id: &issuer.client_id, max_age: issuer.max_age };
        let (claims, issued_at) = token.check_logout(&keys, &rules, now)?;
        read(&claims, &issuer.name, issued_at, now)
    }
}

fn read(
    claims: &Map<String, Value>,
    issuer: &str,
    issued_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Logout, TokenRefused> {
    let invalid = TokenRefused::Invalid;
    let is_logout = claims.get("events").and_then(Value::as_object).and_then(|events| events.get(EVENT));
    if !is_logout.is_some_and(Value::is_object) {
        return Err(invalid("it is no logout token"));
    }
    // So that no ID token passes for one (§2.4).
    if claims.contains_key("nonce") {
        return Err(invalid("it has a nonce, as a sign-in's token does"));
    }
    let id = short_text(claims, "jti")?.ok_or(invalid("it has no id"))?;
    let which = match (short_text(claims, "sub")?, short_text(claims, "sid")?) {
        (None, None) => return Err(invalid("it does not say who signed out")),
        (Some(subject), None) => vec![Which::Subject(subject, issued_at)],
        (None, Some(sign_in)) => vec![Which::SignIn(sign_in)],
        // Of tokens that don't say which sign-in they are from, nobody knows that it is another.
        (Some(subject), Some(sign_in)) => vec![Which::SignIn(sign_in), Which::Unnamed(subject, issued_at)],
    };
    let end = |which| TokenEnd { issuer: issuer.to_owned(), which, reason: REASON.to_owned(), by: None, at: now };
    Ok(Logout { id, ends: which.into_iter().map(end).collect() })
}
