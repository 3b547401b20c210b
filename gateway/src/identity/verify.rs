//! A token into its claims: header, signature, and the claims that every token must have.
//!
//! Refuses in a fixed order; nothing of the token is in a refusal.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use countersign_shared::digest::{Digest, of_token};

use super::{TokenRefused, strict};

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;
/// How far an issuer's clock may be ahead of ours, in seconds. A token's end has no such grace:
/// the session that it opens ends with it.
const SKEW: i64 = 60;
/// The latest second that is taken for a time (the year 9999).
const LATEST: i64 = 253_402_300_799;

/// What `typ` of a token may be that logs somebody in; it may be absent.
pub(super) const LOGIN_KINDS: &[&str] = &["jwt", "at+jwt", "application/at+jwt"];
/// What it may be of one that logs somebody out (Back-Channel Logout 1.0, §2.4).
pub(super) const LOGOUT_KINDS: &[&str] = &["jwt", "logout+jwt", "application/logout+jwt"];
/// The longest `jti` or `sid`, in bytes.
const LONGEST_NAME: usize = 512;

/// A token's parts, decoded, nothing verified yet.
pub(super) struct Unverified<'a> {
    pub key_id: Option<String>,
    pub algorithm: Algorithm,
    claims: Map<String, Value>,
    message: &'a str,
    signature: &'a str,
    digest: Digest,
}

/// What a token must be besides signed.
pub(super) struct Rules<'a> {
    /// Must be among `aud`.
    pub audience: &'a str,
    /// Who `azp` may be where there are several audiences.
    pub client_id: &'a str,
    /// The greatest age by `iat`, in seconds.
    pub max_age: i64,
}

/// The claims of a token whose signature, issuer, audience and times are right.
#[derive(Debug)]
pub(super) struct Claims {
    pub subject: String,
    /// The token's end, or its greatest age, whichever comes first.
    pub expires_at: DateTime<Utc>,
    pub all: Map<String, Value>,
    /// `jti`.
    pub id: Option<String>,
    /// `sid`.
    pub sign_in: Option<String>,
    /// `iat`.
    pub issued_at: DateTime<Utc>,
    /// Of what is signed.
    pub digest: Digest,
}

fn invalid(why: &'static str) -> TokenRefused {
    TokenRefused::Invalid(why)
}

/// Takes a token apart, which must be of one of these `kinds`.
pub(super) fn parse<'a>(token: &'a str, kinds: &[&str]) -> Result<Unverified<'a>, TokenRefused> {
    if token.len() > LONGEST {
        return Err(invalid("it is too long"));
    }
    let digest = of_token(token);
    let (message, signature) = token.rsplit_once('.').ok_or(invalid("it is not a JWT"))?;
    let (header, claims) = message.split_once('.').ok_or(invalid("it is not a JWT"))?;
    if claims.contains('.') || signature.is_empty() {
        return Err(invalid("it is not a JWT"));
    }
    let object = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| strict::object(&bytes));
    let header = object(header).ok_or(invalid("its header is not plain JSON"))?;
    let (key_id, algorithm) = read_header(&header, kinds)?;
    let claims = object(claims).ok_or(invalid("its claims are not plain JSON"))?;
    Ok(Unverified { key_id, algorithm, claims, message, signature, digest })
}

fn read_header(header: &Map<String, Value>, kinds: &[&str]) -> Result<(Option<String>, Algorithm), TokenRefused> {
    // A key or an address of one inside the token is the sender's word for itself; `crit` demands
    // what we do not know (RFC 7515 §4.1.11).
    if ["jku", "jwk", "x5u", "x5c", "crit", "zip", "enc", "b64"].iter().any(|name| header.contains_key(*name)) {
        return Err(invalid("its header brings a key or a demand of its own"));
    }
    // A logout token or a security event is signed by the same key, and is no login.
    let kind = header.get("typ").map(|kind| kind.as_str().unwrap_or("?").to_ascii_lowercase());
    if kind.is_some_and(|kind| !kinds.contains(&kind.as_str())) {
        return Err(invalid("it is another kind of token"));
    }
    let algorithm = match header.get("alg").and_then(Value::as_str) {
        Some("RS256") => Algorithm::RS256,
        Some("RS384") => Algorithm::RS384,
        Some("RS512") => Algorithm::RS512,
        Some("PS256") => Algorithm::PS256,
        Some("PS384") => Algorithm::PS384,
        Some("PS512") => Algorithm::PS512,
        Some("ES256") => Algorithm::ES256,
        Some("ES384") => Algorithm::ES384,
        Some("EdDSA") => Algorithm::EdDSA,
        _ => return Err(invalid("its algorithm is not accepted")),
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if id.len() <= 256 => Some(id.clone()),
        Some(_) => return Err(invalid("its key id is not a short text")),
    };
    Ok((key_id, algorithm))
}

impl Unverified<'_> {
    /// The issuer that the token claims; only good for choosing among the configured ones.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Checks the signature with any of `keys`, then the claims. The issuer is the one whose keys
    /// these are.
    pub(super) fn check(
        self,
        keys: &[DecodingKey],
        rules: &Rules<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, TokenRefused> {
        self.check_signature(keys)?;
        let end = seconds(&self.claims, "exp")?.ok_or(invalid("it has no end"))?;
        let (issued_at, expires_at) = check_times(&self.claims, end, rules.max_age, now)?;
        check_audience(&self.claims, rules)?;
        if self.claims.contains_key("events") {
            return Err(invalid("it is another kind of token"));
        }
        let subject = match self.claims.get("sub") {
            Some(Value::String(subject)) if !subject.is_empty() && subject.len() <= 255 => subject.clone(),
            _ => return Err(invalid("it has no subject")),
        };
        // A name that can't be read is one that a deny-list would not find.
        let (id, sign_in) = (short_text(&self.claims, "jti")?, short_text(&self.claims, "sid")?);
        Ok(Claims { subject, expires_at, id, sign_in, issued_at, digest: self.digest, all: self.claims })
    }

    /// The same for a logout token: its claims, and when it was issued. Not every provider gives it an end; without
    /// one, its age is bounded as that of the tokens which it ends.
    pub(super) fn check_logout(
        self,
        keys: &[DecodingKey],
        rules: &Rules<'_>,
        now: DateTime<Utc>,
    ) -> Result<(Map<String, Value>, DateTime<Utc>), TokenRefused> {
        self.check_signature(keys)?;
        let end = seconds(&self.claims, "exp")?.unwrap_or(LATEST);
        let (issued_at, _) = check_times(&self.claims, end, rules.max_age, now)?;
        check_audience(&self.claims, rules)?;
        Ok((self.claims, issued_at))
    }

    fn check_signature(&self, keys: &[DecodingKey]) -> Result<(), TokenRefused> {
        let message = self.message.as_bytes();
        let signed = keys
            .iter()
            .any(|key| matches!(jsonwebtoken::crypto::verify(self.signature, message, key, self.algorithm), Ok(true)));
        if signed { Ok(()) } else { Err(invalid("its signature is wrong")) }
    }
}

/// A time claim in seconds. Absent is `None`; negative, text or absurd is refused.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, TokenRefused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        #[allow(clippy::cast_possible_truncation, reason = "the range is checked before, the fraction is meant to go")]
        value.as_f64().filter(|n| (0.0..=253_402_300_799.0).contains(n)).map(|n| n as i64)
    });
    match whole {
        Some(time) if (0..=LATEST).contains(&time) => Ok(Some(time)),
        _ => Err(invalid("one of its times is not a time")),
    }
}

/// A claim that names something, if it is there.
pub(super) fn short_text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, TokenRefused> {
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= LONGEST_NAME => Ok(Some(text.clone())),
        Some(_) => Err(invalid("one of its names is not a short text")),
    }
}

/// When it was issued, and its end by `end` and its age.
fn check_times(
    claims: &Map<String, Value>,
    end: i64,
    max_age: i64,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), TokenRefused> {
    let now = now.timestamp();
    let issued = seconds(claims, "iat")?.ok_or(invalid("it does not say when it was issued"))?;
    if issued > now + SKEW || seconds(claims, "nbf")?.is_some_and(|start| start > now + SKEW) {
        return Err(invalid("it is not valid yet"));
    }
    let end = end.min(issued.saturating_add(max_age));
    if end <= now {
        return Err(TokenRefused::Expired);
    }
    let time = |at| DateTime::from_timestamp(at, 0).ok_or(invalid("one of its times is not a time"));
    Ok((time(issued)?, time(end)?))
}

fn check_audience(claims: &Map<String, Value>, rules: &Rules<'_>) -> Result<(), TokenRefused> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => {
            many.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenRefused::Audience)?
        }
        _ => return Err(TokenRefused::Audience),
    };
    if !audiences.contains(&rules.audience) {
        return Err(TokenRefused::Audience);
    }
    // A token for several must say for whom it was made (OpenID Connect Core §3.1.3.7).
    let party = claims.get("azp").map(|party| party.as_str().unwrap_or_default());
    let ours = party.is_some_and(|party| party == rules.client_id || party == rules.audience);
    if audiences.len() > 1 && !ours { Err(TokenRefused::Audience) } else { Ok(()) }
}
