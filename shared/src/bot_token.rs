//! What the bot signs, and how the gateway reads it.
//!
//! The bot decides nothing. It delivers a click as a JWT (RFC 7519, EdDSA) over the request, its
//! digest, the Slack team and user, the choice and the time. What a user asks for with a command is a
//! JWT over the very call. For everything else it calls the control API with a token of purpose `call`.
//! A token is good for one minute.

use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{allow::Terms, digest::Digest, ids::RequestId, request::Choice};

/// The `iss` of every token of the bot's.
pub const ISSUER: &str = "countersign-bot";
/// The `aud` of every token of the bot's.
pub const AUDIENCE: &str = "countersign-gateway";
/// How long a token is good for, in seconds.
pub const LIFETIME: i64 = 60;

/// A Slack account as Slack's `users.info` tells of it, fetched for this click.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackAccount {
    /// Workspace id, `T…`.
    pub team: String,
    /// User id, `U…`.
    pub user: String,
    /// Display name, for pages and cards; never for a decision.
    pub name: String,
    /// E-mail, where Slack gives it; never alone for a decision.
    pub email: Option<String>,
    /// A full member of the workspace that the bot is installed in: no bot, guest, stranger of
    /// Slack Connect, member of another workspace, or deactivated user.
    pub full_member: bool,
}

/// What a token of the bot's says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "purpose", rename_all = "snake_case")]
pub enum Purpose {
    /// A call of the bot's own: events, requests, cards, links.
    Call,
    /// A click, delivered.
    Decision {
        /// The request on the card.
        request: RequestId,
        /// The digest that the card showed.
        digest: Digest,
        /// The button.
        choice: Choice,
        /// What was typed into the deny modal.
        reason: Option<String>,
        /// What was chosen in the modal that allows more than one run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allow: Option<Terms>,
        /// Who pressed it.
        slack: SlackAccount,
    },
    /// Something that a Slack user asked for with a command, delivered: good for one call, once.
    Act {
        /// Method and path of the call: `POST /v1/access`.
        call: String,
        /// SHA-256 of its body; of nothing where it has none.
        body: Digest,
        /// Who asked.
        slack: SlackAccount,
    },
}

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// `bot`, or `TEAM/USER` of a click.
    pub sub: String,
    /// Unix seconds.
    pub iat: i64,
    /// Unix seconds.
    pub exp: i64,
    /// Unique to the token.
    pub jti: String,
    /// What it is for.
    #[serde(flatten)]
    pub purpose: Purpose,
}

impl Claims {
    /// Fresh claims for `purpose`, good for [`LIFETIME`] seconds.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        let now = Utc::now().timestamp();
        let sub = match &purpose {
            Purpose::Call => "bot".to_owned(),
            Purpose::Decision { slack, .. } | Purpose::Act { slack, .. } => format!("{}/{}", slack.team, slack.user),
        };
        Self {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub,
            iat: now,
            exp: now + LIFETIME,
            jti: uuid::Uuid::new_v4().to_string(),
            purpose,
        }
    }
}

/// The bot's signing key: Ed25519, PKCS #8 in DER or PEM.
pub struct BotKey(EncodingKey);

/// What makes a key or a token unusable. Says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is not such a key.
    #[error("not an Ed25519 key in PKCS #8 PEM: {0}")]
    Key(String),
    /// The token was refused.
    #[error("the bot's token was refused: {0}")]
    Token(String),
}

impl BotKey {
    /// Reads the private key.
    ///
    /// # Errors
    /// Where `pem` holds none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TokenError> {
        EncodingKey::from_ed_pem(pem).map(Self).map_err(|e| TokenError::Key(e.to_string()))
    }

    /// Signs `purpose` as a JWT.
    ///
    /// # Errors
    /// Where the key cannot sign.
    pub fn sign(&self, purpose: Purpose) -> Result<String, TokenError> {
        self.encode(&Claims::new(purpose))
    }

    /// As [`sign`](Self::sign), as the token `jti`: the gateway takes one of these once, however often
    /// Slack delivers what it stands for.
    ///
    /// # Errors
    /// Where the key cannot sign.
    pub fn sign_as(&self, jti: String, purpose: Purpose) -> Result<String, TokenError> {
        self.encode(&Claims { jti, ..Claims::new(purpose) })
    }

    fn encode(&self, claims: &Claims) -> Result<String, TokenError> {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.0)
            .map_err(|e| TokenError::Token(e.to_string()))
    }
}

/// The public half, with which the gateway verifies.
pub struct BotVerifier(DecodingKey);

impl BotVerifier {
    /// Takes the 32 bytes of an Ed25519 public key.
    #[must_use]
    pub fn from_raw(public: &[u8]) -> Self {
        Self(DecodingKey::from_ed_der(public))
    }

    /// Verifies signature, algorithm, issuer, audience and time.
    ///
    /// # Errors
    /// Why the token is refused; nothing of the token is in it.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        rules.leeway = 30;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.0, &rules)
            .map_err(|e| TokenError::Token(e.to_string()))?
            .claims;
        let now = Utc::now().timestamp();
        if claims.iat > now + 30 || claims.exp - claims.iat > LIFETIME {
            return Err(TokenError::Token("its time is out of bounds".into()));
        }
        Ok(claims)
    }
}
