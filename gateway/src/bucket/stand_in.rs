//! A bucket in this process: one that keeps locks, one that only says so, one that says nothing, and one that is away.
//! moto, in the stories, is the one that nobody here wrote.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use countersign_shared::secret::Secret;
use tokio::net::TcpListener;
use url::Url;

use super::{BucketConfig, Keys, Lock, Mode};

/// What it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// Keeps locks.
    #[default]
    Keeps,
    /// Says that it does, and deletes.
    OnlySays,
    /// Takes the headers and forgets them.
    Forgets,
    /// Keeps another mode.
    Weakens,
    /// Keeps no versions.
    Unversioned,
    /// Cuts what it is given.
    Cuts,
    /// Lets nobody delete, lock or not, as where the key may not.
    NeverDeletes,
    /// Says that nothing is there to delete, and deletes it.
    Vanishes,
    /// Sends whoever asks elsewhere.
    Redirects,
    /// Answers 503.
    Away,
    /// Answers 403.
    Refuses,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    lock: Option<(String, String)>,
    version: String,
}

#[derive(Default)]
pub(super) struct Inside {
    pub manner: Manner,
    objects: BTreeMap<String, Vec<Object>>,
    /// How many requests it has sent away.
    pub sent_away: usize,
    /// Every key that was put, in order.
    pub puts: Vec<String>,
    /// The same, with those that were refused.
    pub tries: Vec<String>,
    /// What of the requests was signed for.
    pub authorizations: Vec<String>,
}

/// It.
#[derive(Clone)]
pub(super) struct StandIn {
    inside: Arc<Mutex<Inside>>,
    endpoint: Url,
}

impl StandIn {
    pub async fn start(manner: Manner) -> Self {
        let inside = Arc::new(Mutex::new(Inside { manner, ..Inside::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let app = Router::new().fallback(answer).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { inside, endpoint }
    }

    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    /// The newest version of an object.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.inside().objects.get(key).and_then(|versions| versions.last()).map(|object| object.bytes.clone())
    }

    pub fn replace(&self, key: &str, bytes: &'static [u8]) {
        let mut inside = self.inside();
        let object = inside.objects.get_mut(key).and_then(|versions| versions.last_mut()).unwrap();
        object.bytes = Bytes::from_static(bytes);
    }

    pub fn config(&self) -> BucketConfig {
        BucketConfig {
            bucket: "audit".into(),
            prefix: "prod".into(),
            region: "eu-1".into(),
            endpoint: Some(self.endpoint.clone()),
            keys: Some(Keys {
                id: Secret::new("AKIDEXAMPLE".into()),
                secret: Secret::new("hunter2hunter2".into()),
                token: None,
            }),
            lock: Lock { mode: Mode::Compliance, keep: Duration::from_secs(86_400) },
            spool: 1 << 20,
            every: Duration::from_millis(20),
        }
    }
}

fn no(status: StatusCode, code: &str) -> Response {
    (status, format!("<Error><Code>{code}</Code><Message>no</Message></Error>")).into_response()
}

async fn answer(
    State(inside): State<Arc<Mutex<Inside>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut inside = inside.lock().unwrap();
    let manner = inside.manner;
    match manner {
        Manner::Away => {
            inside.sent_away += 1;
            return no(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        Manner::Refuses => return no(StatusCode::FORBIDDEN, "AccessDenied"),
        Manner::Redirects if !uri.path().starts_with("/elsewhere") => {
            return (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response();
        }
        _ => {}
    }
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    inside.authorizations.extend(header("authorization"));
    let key = uri.path().trim_start_matches("/audit").trim_start_matches('/').to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    match (method, key.as_str()) {
        (Method::GET, "") => {
            let prefix = query.get("prefix").cloned().unwrap_or_default();
            let all: String = inside
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix))
                .map(|(key, versions)| {
                    let size = versions.last().unwrap().bytes.len();
                    format!("<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-11-24T00:00:00.000Z</LastModified></Contents>")
                })
                .collect();
            format!("<ListBucketResult><IsTruncated>false</IsTruncated>{all}</ListBucketResult>").into_response()
        }
        (Method::PUT, key) => {
            inside.tries.push(key.to_owned());
            if header("if-none-match").is_some() && inside.objects.contains_key(key) {
                return no(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            }
            let lock = header("x-amz-object-lock-mode").zip(header("x-amz-object-lock-retain-until-date"));
            let lock = match manner {
                Manner::Forgets => None,
                Manner::Weakens => lock.map(|(_, until)| ("GOVERNANCE".to_owned(), until)),
                _ => lock,
            };
            let bytes = if manner == Manner::Cuts { body.slice(..body.len() / 2) } else { body };
            inside.puts.push(key.to_owned());
            let versions = inside.objects.entry(key.to_owned()).or_default();
            let version = format!("v{}", versions.len());
            versions.push(Object { bytes, lock, version });
            StatusCode::OK.into_response()
        }
        (Method::DELETE, key) => {
            let version = query.get("versionId").unwrap().clone();
            let Some(versions) = inside.objects.get_mut(key) else { return StatusCode::NO_CONTENT.into_response() };
            let locked = versions.iter().any(|object| object.version == version && object.lock.is_some());
            if manner == Manner::NeverDeletes {
                return no(StatusCode::FORBIDDEN, "AccessDenied");
            }
            if locked && !matches!(manner, Manner::OnlySays | Manner::Vanishes) {
                let body = "<Error><Code>AccessDenied</Code><Message>protected by object lock</Message></Error>";
                return (StatusCode::FORBIDDEN, body).into_response();
            }
            if manner == Manner::Vanishes {
                versions.retain(|object| object.version != version);
                return no(StatusCode::NOT_FOUND, "NoSuchKey");
            }
            versions.retain(|object| object.version != version);
            StatusCode::NO_CONTENT.into_response()
        }
        (_, key) => {
            let wanted = |object: &&Object| query.get("versionId").is_none_or(|version| *version == object.version);
            let Some(object) = inside.objects.get(key).and_then(|versions| versions.iter().rev().find(wanted)) else {
                return no(StatusCode::NOT_FOUND, "NoSuchKey");
            };
            let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &object.bytes);
            let mut answer =
                Response::builder().header("etag", "\"x\"").header("last-modified", "Tue, 24 Nov 2026 00:00:00 GMT");
            if manner != Manner::Unversioned {
                answer = answer.header("x-amz-version-id", &object.version);
            }
            answer = answer.header("x-amz-checksum-sha256", STANDARD.encode(sum.as_ref()));
            if let Some((mode, until)) = &object.lock {
                answer =
                    answer.header("x-amz-object-lock-mode", mode).header("x-amz-object-lock-retain-until-date", until);
            }
            answer.body(object.bytes.clone().into()).unwrap()
        }
    }
}
