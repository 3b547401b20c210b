//! A browser's sign-in: authorization code with PKCE (RFC 7636) at one of our issuers.

use std::time::Instant;

use chrono::{DateTime, Utc};
use countersign_shared::{digest::of_bytes, secret::Secret};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Identity, Issuer, Issuers, TokenRefused, discovery};

/// What a browser is sent to, and what proves later that it is the same sign-in.
#[derive(Clone, Debug)]
pub struct SignInPage<'a> {
    /// Comes back in the callback's query.
    pub state: &'a str,
    /// Comes back inside the ID token.
    pub nonce: &'a str,
    /// The PKCE verifier; only its hash is sent now.
    pub verifier: &'a str,
    /// Our callback.
    pub redirect_uri: &'a str,
    /// Ask for a sign-in of the last five minutes, whatever session the browser has there.
    pub fresh: bool,
}

/// Who has just signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// When they last proved it to the provider, if it says so.
    pub auth_time: Option<DateTime<Utc>>,
}

/// Why a sign-in came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInFailed {
    /// The provider can't be reached, or offers no sign-in page.
    #[error("the identity provider can't be reached; try again in a moment")]
    Unavailable,
    /// The provider did not take our code.
    #[error("the identity provider refused the sign-in; start again from the link")]
    Refused,
    /// Its token is no good.
    #[error("{}", .0.inside())]
    Token(TokenRefused),
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
}

impl Issuers {
    /// The issuers that people sign in at, by name, in the config's order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.issuers.iter().filter(|issuer| issuer.users.is_some()).map(|issuer| issuer.name.as_str()).collect()
    }

    /// Every issuer whose tokens are taken, agents' too.
    #[must_use]
    pub fn all_names(&self) -> Vec<&str> {
        self.issuers.iter().map(|issuer| issuer.name.as_str()).collect()
    }

    fn for_users(&self, name: &str) -> Result<&Issuer, SignInFailed> {
        let found = self.issuers.iter().find(|issuer| issuer.name == name && issuer.users.is_some());
        found.ok_or(SignInFailed::Unavailable)
    }

    /// The address of the sign-in page at `issuer`.
    ///
    /// # Errors
    /// [`SignInFailed::Unavailable`].
    pub async fn sign_in_address(&self, issuer: &str, page: &SignInPage<'_>) -> Result<Url, SignInFailed> {
        let issuer = self.for_users(issuer)?;
        let document = issuer.keys.document(Instant::now()).await.ok_or(SignInFailed::Unavailable)?;
        let address = document.authorization_endpoint.filter(discovery::allowed);
        let mut address = address.ok_or(SignInFailed::Unavailable)?;
        let mut scope = "openid email profile".to_owned();
        if document.scopes_supported.iter().any(|scope| scope == "groups") {
            scope.push_str(" groups");
        }
        address
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &issuer.client_id)
            .append_pair("redirect_uri", page.redirect_uri)
            .append_pair("scope", &scope)
            .append_pair("state", page.state)
            .append_pair("nonce", page.nonce)
            .append_pair("code_challenge", &challenge(page.verifier))
            .append_pair("code_challenge_method", "S256");
        if page.fresh {
            address.query_pairs_mut().append_pair("max_age", "300");
        }
        Ok(address)
    }

    /// Exchanges the callback's `code` and verifies the ID token, which must be made for us and for
    /// this very sign-in.
    ///
    /// # Errors
    /// Why nobody has signed in.
    pub async fn signed_in(&self, issuer: &str, code: &str, page: &SignInPage<'_>) -> Result<SignedIn, SignInFailed> {
        let issuer = self.for_users(issuer)?;
        let document = issuer.keys.document(Instant::now()).await.ok_or(SignInFailed::Unavailable)?;
        let address = document.token_endpoint.ok_or(SignInFailed::Unavailable)?;
        let secret = issuer.users.as_ref().and_then(|config| config.client_secret.as_ref());
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", page.redirect_uri),
            ("client_id", &issuer.client_id),
            ("code_verifier", page.verifier),
        ];
        let mut request = self.client.post(address.clone());
        if let Some(secret) = secret.map(|secret| secret.reveal().as_str()) {
            // Basic is the standard's default (OpenID Connect Core §9); some only take the form.
            if document.token_endpoint_auth_methods_supported.iter().any(|how| how == "client_secret_post") {
                form.push(("client_secret", secret));
            } else {
                request = request.basic_auth(&issuer.client_id, Some(secret));
            }
        }
        let answer = discovery::fetch(&address, request.form(&form)).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(issuer = issuer.name, %error, "a sign-in's code was not exchanged");
            if matches!(error, discovery::FetchError::Status { status: 400..=499, .. }) {
                SignInFailed::Refused
            } else {
                SignInFailed::Unavailable
            }
        })?;
        let answer: TokenAnswer = serde_json::from_slice(&answer).map_err(|_| SignInFailed::Refused)?;
        self.read_id_token(issuer, &Secret::new(answer.id_token), page.nonce).await
    }

    async fn read_id_token(
        &self,
        expected: &Issuer,
        token: &Secret<String>,
        nonce: &str,
    ) -> Result<SignedIn, SignInFailed> {
        let read = self.claims(token.reveal(), |issuer| &issuer.client_id, Utc::now(), Instant::now()).await;
        let (issuer, claims) = read.map_err(SignInFailed::Token)?;
        let invalid = |why| SignInFailed::Token(TokenRefused::Invalid(why));
        if issuer.name != expected.name {
            return Err(invalid("another issuer answered"));
        }
        if claims.all.get("nonce").and_then(Value::as_str) != Some(nonce) {
            return Err(invalid("it was made for another sign-in"));
        }
        let identity = self.identity(issuer, &claims).map_err(SignInFailed::Token)?;
        if identity.human.is_agent() {
            return Err(SignInFailed::Token(TokenRefused::Nobody("only people sign in here")));
        }
        let auth_time = claims.all.get("auth_time").and_then(Value::as_i64);
        Ok(SignedIn { identity, auth_time: auth_time.and_then(|at| DateTime::from_timestamp(at, 0)) })
    }
}

/// `S256` of RFC 7636 §4.2.
fn challenge(verifier: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(of_bytes(verifier.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(super::challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
