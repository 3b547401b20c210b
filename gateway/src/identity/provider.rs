//! An identity provider for tests: real keys, real HTTP on loopback, and every way to sign badly.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
        RsaKeyPair,
    },
};
use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chrono::Utc;
use serde_json::{Value, json};

use crate::config::{AgentConfig, IdentityConfig};

/// One of each kind; made once, since RSA keys take a while.
pub struct KeyRing {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

impl KeyRing {
    fn new() -> Self {
        Self {
            rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
            p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// The public half of the key of one kind, as a member of a JWK set.
    pub fn jwk(&self, kind: &str, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let ec = |curve: &str, key: &EcdsaKeyPair| {
            let point = &key.public_key().as_ref()[1..];
            let (x, y) = point.split_at(point.len() / 2);
            json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y), "kid": kid })
        };
        match kind {
            "rsa" => {
                let public = self.rsa.public_key();
                let n = b64(public.modulus().big_endian_without_leading_zero());
                let e = b64(public.exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "n": n, "e": e, "kid": kid, "use": "sig" })
            }
            "p256" => ec("P-256", &self.p256),
            "p384" => ec("P-384", &self.p384),
            "ed25519" => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(self.ed25519.public_key().as_ref()), "kid": kid })
            }
            other => panic!("no key of kind {other}"),
        }
    }

    /// The signature that `algorithm` makes over `message`.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        let rsa = |encoding: &'static dyn signature::RsaEncoding| {
            let mut out = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(encoding, &rng, message, &mut out).unwrap();
            out
        };
        match algorithm {
            "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
            "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
            "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
            "PS256" => rsa(&signature::RSA_PSS_SHA256),
            "PS384" => rsa(&signature::RSA_PSS_SHA384),
            "PS512" => rsa(&signature::RSA_PSS_SHA512),
            "ES256" => self.p256.sign(&rng, message).unwrap().as_ref().to_vec(),
            "ES384" => self.p384.sign(&rng, message).unwrap().as_ref().to_vec(),
            "EdDSA" => self.ed25519.sign(message).as_ref().to_vec(),
            other => panic!("no key signs {other}"),
        }
    }

    /// A token of exactly these texts, signed by `algorithm` whatever the header says.
    pub fn token(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(algorithm, message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// The same token with the other signature that verifies: `(r, n - s)` for the `(r, s)` of ES256.
pub fn flipped(token: &str) -> String {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = false;
    for (s, n) in signature[32..].iter_mut().zip(N).rev() {
        let (less, first) = n.overflowing_sub(*s);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (*s, borrow) = (less, first || second);
    }
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The provider's own keys.
pub static OWN: LazyLock<KeyRing> = LazyLock::new(KeyRing::new);
/// Somebody else's keys of the same kinds.
pub static FOREIGN: LazyLock<KeyRing> = LazyLock::new(KeyRing::new);

#[derive(Default)]
struct Shown {
    keys: Vec<Value>,
    fetches: usize,
    codes: HashMap<String, (String, String)>,
    issuer: Option<String>,
    redirect: bool,
    introspections: usize,
    introspected: HashMap<String, Introspected>,
}

/// What the provider says when it is asked about a token.
#[derive(Clone)]
pub enum Introspected {
    /// This.
    Says(Value),
    /// A status, and nothing else.
    Fails(u16),
    /// 500, once it is told to.
    FailsAfter(Arc<tokio::sync::Notify>),
}

/// A provider on a loopback port of its own; ends with the test's runtime.
#[derive(Clone)]
pub struct Provider {
    /// Its issuer, `http://127.0.0.1:…`.
    pub url: String,
    shown: Arc<Mutex<Shown>>,
}

impl Provider {
    /// Starts one that shows the four keys `rsa`, `p256`, `p384`, `ed25519`.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = ["rsa", "p256", "p384", "ed25519"].map(|kind| OWN.jwk(kind, kind));
        let shown = Arc::new(Mutex::new(Shown { keys: keys.to_vec(), ..Shown::default() }));
        let provider = Self { url, shown };
        let app = Router::new()
            .route("/.well-known/openid-configuration", get(document))
            .route("/keys", get(keys_of))
            .route("/token", post(exchange))
            .route("/introspect", post(introspect))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        provider
    }

    /// How often the key set was fetched.
    pub fn fetches(&self) -> usize {
        self.shown.lock().unwrap().fetches
    }

    /// How often it was asked about a token.
    pub fn introspections(&self) -> usize {
        self.shown.lock().unwrap().introspections
    }

    /// Says this of a token from now on; of others that they are active.
    pub fn introspects(&self, token: &str, says: Introspected) {
        self.shown.lock().unwrap().introspected.insert(token.to_owned(), says);
    }

    /// Shows these keys from now on.
    pub fn show(&self, keys: Vec<Value>) {
        let mut shown = self.shown.lock().unwrap();
        (shown.keys, shown.redirect) = (keys, false);
    }

    /// Claims to be another issuer in its metadata.
    pub fn claim_to_be(&self, issuer: &str) {
        self.shown.lock().unwrap().issuer = Some(issuer.to_owned());
    }

    /// Answers the key set with a redirect.
    pub fn redirect_keys(&self) {
        self.shown.lock().unwrap().redirect = true;
    }

    /// A code for whoever brings the verifier of `challenge`, good once, worth `id_token`.
    pub fn give_code(&self, challenge: &str, id_token: &str) -> String {
        let code = uuid::Uuid::new_v4().to_string();
        self.shown.lock().unwrap().codes.insert(code.clone(), (challenge.to_owned(), id_token.to_owned()));
        code
    }

    /// The claims of a good token for `email` with `subject`, now.
    pub fn claims(&self, email: &str, subject: &str, groups: &[&str]) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.url, "aud": "countersign", "sub": subject, "iat": now, "exp": now + 3600,
            "email": email, "email_verified": true, "groups": groups,
        })
    }

    /// A good token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        OWN.token("ES256", r#"{"alg":"ES256","kid":"p256"}"#, &claims.to_string())
    }

    /// `[[identity]]` for it.
    pub fn config(&self) -> IdentityConfig {
        IdentityConfig {
            issuer: self.url.clone(),
            audience: "countersign".into(),
            client_id: "countersign".into(),
            client_secret: None,
            user_claim: "email".into(),
            groups_claim: "groups".into(),
            max_token_age: Duration::from_secs(12 * 3600),
            poll: None,
            domains: None,
            groups: None,
        }
    }

    /// `[[agent]]` from it.
    pub fn agent(&self, name: &str, subject: &str, owner: &str) -> AgentConfig {
        AgentConfig {
            name: name.into(),
            issuer: self.url.clone(),
            subject: subject.into(),
            owner: owner.into(),
            groups: vec!["ci".into()],
        }
    }
}

async fn document(State(provider): State<Provider>) -> Json<Value> {
    let url = &provider.url;
    let issuer = provider.shown.lock().unwrap().issuer.clone().unwrap_or_else(|| url.clone());
    Json(json!({
        "issuer": issuer, "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize?tenant=1"), "token_endpoint": format!("{url}/token"),
        "introspection_endpoint": format!("{url}/introspect"),
        "scopes_supported": ["openid", "groups"],
    }))
}

async fn keys_of(State(provider): State<Provider>) -> Result<Json<Value>, (StatusCode, [(&'static str, String); 1])> {
    let mut shown = provider.shown.lock().unwrap();
    shown.fetches += 1;
    if shown.redirect {
        return Err((StatusCode::FOUND, [("location", format!("{}/keys", provider.url))]));
    }
    Ok(Json(json!({ "keys": shown.keys })))
}

async fn introspect(
    State(provider): State<Provider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let says = {
        let mut shown = provider.shown.lock().unwrap();
        shown.introspections += 1;
        shown.introspected.get(&form["token"]).cloned()
    };
    // RFC 6749, §2.3.1: both in the form's spelling.
    let basic = STANDARD.encode("countersign:it%27s+a+s%25cret");
    if headers.get("authorization").unwrap().to_str().unwrap() != format!("Basic {basic}") {
        return Err(StatusCode::UNAUTHORIZED);
    }
    match says {
        None => Ok(Json(json!({ "active": true }))),
        Some(Introspected::Says(said)) => Ok(Json(said)),
        Some(Introspected::Fails(status)) => Err(StatusCode::from_u16(status).unwrap()),
        Some(Introspected::FailsAfter(told)) => {
            told.notified().await;
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

async fn exchange(
    State(provider): State<Provider>,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Json<Value>, StatusCode> {
    let code = form.get("code").ok_or(StatusCode::BAD_REQUEST)?;
    let (challenge, id_token) = provider.shown.lock().unwrap().codes.remove(code).ok_or(StatusCode::BAD_REQUEST)?;
    let verifier = form.get("code_verifier").ok_or(StatusCode::BAD_REQUEST)?;
    let digest = countersign_shared::digest::of_bytes(verifier.as_bytes());
    if URL_SAFE_NO_PAD.encode(digest.as_bytes()) != challenge {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Json(json!({ "id_token": id_token, "access_token": "not used", "token_type": "Bearer" })))
}
