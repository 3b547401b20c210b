//! Who it is: tokens of OIDC issuers into principals.
//!
//! `verify` takes a token apart and checks it, `jwks` and `discovery` know the issuer's keys,
//! `claims` and `agents` say who it is, `logout` reads a provider's word that somebody signed out,
//! `introspect` asks for it.

mod agents;
mod claims;
mod discovery;
mod introspect;
mod jwks;
mod logout;
mod sign_in;
mod strict;
mod verify;

#[cfg(test)]
mod hostile_crowd;
#[cfg(test)]
mod hostile_tokens;
#[cfg(test)]
pub(crate) mod provider;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use countersign_shared::duties::Human;
use jsonwebtoken::DecodingKey;
pub use logout::Logout;
pub use sign_in::{SignInFailed, SignInPage, SignedIn};

use self::{
    introspect::Introspection,
    jwks::{Found, Keys},
    verify::{Claims, LOGIN_KINDS, Rules, Unverified},
};
use crate::{
    config::{AgentConfig, IdentityConfig},
    store::tokens::TokenFacts,
};

/// The greatest age of a workload's token whose issuer is none of `[[identity]]`.
const AGENT_TOKEN_AGE: Duration = Duration::from_secs(12 * 3600);

/// A verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The principal and the human behind it.
    pub human: Human,
    /// Groups that this issuer may assert, as the token asserts them.
    pub groups: Vec<String>,
    /// The token's end, or its greatest age, whichever comes first.
    pub expires_at: DateTime<Utc>,
    /// The token itself; `None` where there is none (the bot acts for a linked account).
    pub token: Option<TokenFacts>,
}

/// Why a token is refused. [`Self::inside`] is for the log, and holds nothing of the token; a client reads
/// the same of whatever is wrong with it, so that it can't feel its way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Not a JWT, a wrong algorithm or signature, an unknown issuer or key.
    #[error("the token is not accepted; sign in again")]
    Invalid(&'static str),
    /// Too old.
    #[error("the token is not accepted; sign in again")]
    Expired,
    /// For somebody else.
    #[error("the token is not accepted; sign in again")]
    Audience,
    /// No usable principal: claim missing, e-mail not verified, domain not this issuer's.
    #[error("the token is not accepted; sign in again")]
    Nobody(&'static str),
    /// The issuer can't be reached, so nothing can be verified.
    #[error("the identity provider can't be reached; try again in a moment")]
    Unavailable,
}

impl TokenRefused {
    /// The reason, for the gateway's own eyes.
    #[must_use]
    pub fn inside(&self) -> String {
        match self {
            Self::Invalid(why) => format!("the token is not valid: {why}"),
            Self::Expired => "the token has expired, or is older than max_token_age".to_owned(),
            Self::Audience => "the token is for another audience".to_owned(),
            Self::Nobody(why) => format!("the token names nobody who can log in here: {why}"),
            Self::Unavailable => "the identity provider can't be reached".to_owned(),
        }
    }
}

/// One issuer with its keys.
struct Issuer {
    name: String,
    /// `None` for an issuer that only agents come from.
    users: Option<IdentityConfig>,
    audience: String,
    client_id: String,
    max_age: i64,
    keys: Keys,
    /// Where its tokens are asked about.
    polled: Option<Introspection>,
}

/// Verifies tokens of the configured issuers. Keys are fetched by discovery and cached.
pub struct Issuers {
    issuers: Vec<Issuer>,
    agents: Vec<AgentConfig>,
    client: reqwest::Client,
}

fn whole_seconds(age: Duration) -> i64 {
    i64::try_from(age.as_secs()).unwrap_or(i64::MAX)
}

impl Issuers {
    /// Takes the configured issuers; fetches nothing yet.
    ///
    /// An agent's issuer need not be one of `[[identity]]`. Its tokens must then be made for the
    /// audience of the first `[[identity]]`: that is this gateway's name, whoever issues.
    ///
    /// # Errors
    /// Where no HTTP client can be made, or agents come from an issuer for which there is no audience.
    pub fn new(identities: &[IdentityConfig], agents: &[AgentConfig]) -> Result<Self, String> {
        let client = discovery::client()?;
        let mut issuers: Vec<Issuer> = identities
            .iter()
            .map(|config| Issuer {
                name: config.issuer.clone(),
                users: Some(config.clone()),
                audience: config.audience.clone(),
                client_id: config.client_id.clone(),
                max_age: whole_seconds(config.max_token_age),
                keys: Keys::new(&config.issuer, client.clone()),
                polled: config.poll.clone().map(Introspection::new),
            })
            .collect();
        for agent in agents {
            if issuers.iter().any(|issuer| issuer.name == agent.issuer) {
                continue;
            }
            let audience = identities.first().map(|first| first.audience.clone()).ok_or_else(|| {
                format!("agent {:?} can't log in: there is no [[identity]], so no audience for its tokens", agent.name)
            })?;
            issuers.push(Issuer {
                name: agent.issuer.clone(),
                users: None,
                client_id: audience.clone(),
                audience,
                max_age: whole_seconds(AGENT_TOKEN_AGE),
                keys: Keys::new(&agent.issuer, client.clone()),
                polled: None,
            });
        }
        Ok(Self { issuers, agents: agents.to_vec(), client })
    }

    /// What the clock of an issuer says, in whole seconds.
    ///
    /// # Errors
    /// In a sentence: why it does not say.
    pub async fn date(&self, issuer: &str) -> Result<DateTime<Utc>, String> {
        discovery::date(&self.client, issuer).await.map_err(|error| error.to_string())
    }

    /// Verifies `token` in full.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify(&self, token: &str) -> Result<Identity, TokenRefused> {
        self.verify_at(token, Utc::now(), Instant::now()).await
    }

    async fn verify_at(&self, token: &str, now: DateTime<Utc>, ticks: Instant) -> Result<Identity, TokenRefused> {
        let (issuer, claims) = self.claims(token, |issuer| &issuer.audience, now, ticks).await?;
        let identity = self.identity(issuer, &claims)?;
        if self.still_counts(issuer, token, identity.expires_at, ticks).await {
            Ok(identity)
        } else {
            Err(TokenRefused::Invalid("its provider calls it inactive"))
        }
    }

    /// The issuer that a token claims, if it is one of ours, and the keys that it may be signed with.
    async fn keys_of(
        &self,
        token: &Unverified<'_>,
        ticks: Instant,
    ) -> Result<(&Issuer, Vec<DecodingKey>), TokenRefused> {
        let unknown = TokenRefused::Invalid("its issuer is not one of ours");
        let name = token.issuer().ok_or(unknown.clone())?;
        let issuer = self.issuers.iter().find(|issuer| issuer.name == name).ok_or(unknown)?;
        match issuer.keys.find(token.key_id.as_deref(), token.algorithm, ticks).await {
            Found::Keys(keys) => Ok((issuer, keys)),
            Found::None => Err(TokenRefused::Invalid("its issuer has no such key")),
            Found::Unavailable => Err(TokenRefused::Unavailable),
        }
    }

    /// The issuer and the verified claims of a token made for what `audience` says.
    async fn claims<'a>(
        &'a self,
        token: &str,
        audience: impl Fn(&'a Issuer) -> &'a str,
        now: DateTime<Utc>,
        ticks: Instant,
    ) -> Result<(&'a Issuer, Claims), TokenRefused> {
        let token = verify::parse(token, LOGIN_KINDS)?;
        let (issuer, keys) = self.keys_of(&token, ticks).await?;
        let rules = Rules { audience: audience(issuer), client_id: &issuer.client_id, max_age: issuer.max_age };
        Ok((issuer, token.check(&keys, &rules, now)?))
    }

    fn identity(&self, issuer: &Issuer, claims: &Claims) -> Result<Identity, TokenRefused> {
        let expires_at = claims.expires_at;
        let token = Some(TokenFacts {
            issuer: issuer.name.clone(),
            subject: claims.subject.clone(),
            id: claims.id.clone(),
            sign_in: claims.sign_in.clone(),
            digest: claims.digest,
            issued_at: claims.issued_at,
        });
        if let Some((human, groups)) = agents::of(&self.agents, &issuer.name, &claims.subject) {
            return Ok(Identity { human, groups, expires_at, token });
        }
        let config = issuer.users.as_ref().ok_or(TokenRefused::Nobody("its subject is no agent of this gateway"))?;
        let human = Human {
            principal: claims::principal(&claims.all, config)?,
            issuer: issuer.name.clone(),
            subject: claims.subject.clone(),
            owner: None,
        };
        Ok(Identity { human, groups: claims::groups(&claims.all, config)?, expires_at, token })
    }
}
