//! list, get, put under a lock, and what is kept of it.
//!
//! `object_store` lists, reads, finds credentials and signs. It can't ask for an object's lock nor say which one is
//! kept, so these two requests are made here, and signed by it.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::TryStreamExt;
use hyper::{
    HeaderMap, Method, StatusCode,
    http::{Request, Response},
};
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsAuthorizer},
    client::{HttpClient, HttpConnector, HttpRequestBody, HttpResponseBody},
    path::Path,
};

use super::{BucketConfig, Lock};
use crate::log::LONGEST;

/// How long a request may take: 64 MiB, packed, over a slow line.
const TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(5);
/// The largest object that is read, in bytes: no segment has more.
const LARGEST: u64 = LONGEST as u64;
/// The most of an error's text that is shown.
const SHOWN: usize = 300;

const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCK_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const CHECKSUM: &str = "x-amz-checksum-sha256";
const VERSION: &str = "x-amz-version-id";

/// Why the bucket did not do something. Never has a key or a signature in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// It does not answer, or not now.
    #[error("{0} does not answer: {1}")]
    Away(String, String),
    /// It says no.
    #[error("{0} refuses: {1}")]
    Refused(String, String),
    /// It keeps something else than it was given.
    #[error("{0}: {1}")]
    NotKept(String, String),
    /// What is there is not this gateway's.
    #[error("{0}: {1}")]
    Other(String, String),
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its length in bytes.
    pub length: u64,
    /// SHA-256, where the bucket says it.
    pub sha256: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The lock's mode, as S3 spells it.
    pub mode: Option<String>,
    /// Until when it is locked.
    pub until: Option<DateTime<Utc>>,
}

/// What became of a put that must not replace anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there now.
    New,
    /// Something was there, and still is.
    There,
}

/// What became of a try to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// The bucket says that it is gone.
    Gone,
    /// The lock kept it, by what the bucket says.
    Locked,
    /// It said no for another reason, or for none.
    Refused(String),
}

/// Connects to where it is told, and follows nobody elsewhere: a redirect would carry bodies and tokens with it.
#[derive(Debug)]
struct Straight;

impl HttpConnector for Straight {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT)
            .build();
        let client = client.map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })?;
        Ok(HttpClient::new(client))
    }
}

/// A bucket.
pub struct Bucket {
    config: BucketConfig,
    store: AmazonS3,
    http: HttpClient,
}

impl Bucket {
    /// Reaches nothing yet.
    ///
    /// # Errors
    /// Where no client can be made of the config.
    pub fn new(config: &BucketConfig) -> Result<Self, BucketError> {
        let said = |error: object_store::Error| BucketError::Refused(config.to_string(), error.to_string());
        let options = ClientOptions::new()
            .with_timeout(TIMEOUT)
            .with_connect_timeout(CONNECT)
            // Plain http is for loopback only, which the config saw to.
            .with_allow_http(config.endpoint.as_ref().is_some_and(|url| url.scheme() == "http"));
        let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
        let builder = if config.keys.is_some() { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        let mut builder = builder
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_client_options(options.clone())
            .with_http_connector(Straight)
            .with_retry(retry);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
        }
        if let Some(keys) = &config.keys {
            builder = builder
                .with_access_key_id(keys.id.reveal().as_str())
                .with_secret_access_key(keys.secret.reveal().as_str());
            if let Some(token) = &keys.token {
                builder = builder.with_token(token.reveal().as_str());
            }
        }
        let http = Straight.connect(&options).map_err(said)?;
        Ok(Self { config: config.clone(), store: builder.build().map_err(said)?, http })
    }

    /// How the bucket is called.
    #[must_use]
    pub const fn config(&self) -> &BucketConfig {
        &self.config
    }

    /// The names below `folder`, each with its length.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, BucketError> {
        let prefix = self.config.key(folder);
        let all = self.store.list(Some(&Path::from(prefix.as_str())));
        let all: Vec<_> = all.try_collect().await.map_err(|error| self.said(&error))?;
        let named = |meta: object_store::ObjectMeta| {
            let name = meta.location.as_ref().strip_prefix(&prefix)?.trim_start_matches('/').to_owned();
            Some((name, meta.size))
        };
        Ok(all.into_iter().filter_map(named).collect())
    }

    /// An object; `None` where there is none.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, BucketError> {
        let read = async {
            let found = self.store.get(&Path::from(self.config.key(name).as_str())).await?;
            let size = found.meta.size;
            if size > LARGEST { Ok(Err(size)) } else { found.bytes().await.map(Ok) }
        };
        match read.await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(size)) => Err(self.not_kept(name, &format!("it has {size} bytes, more than any of a log"))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.said(&error)),
        }
    }

    /// Puts an object under the lock and reads back that it is kept. `once`: only where none is there; what is there
    /// then, is for the caller to look at.
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn put(&self, name: &str, bytes: Bytes, once: bool) -> Result<Put, BucketError> {
        let until = until(self.config.lock.keep);
        let length = bytes.len() as u64;
        let put = self.put_until(name, bytes, until, once).await?;
        if put == Put::New {
            let kept = self.kept(name).await?;
            self.is_locked(name, &kept, until)?;
            if kept.length != length {
                return Err(self.not_kept(name, &format!("{} bytes are kept of {length}", kept.length)));
            }
        }
        Ok(put)
    }

    /// The same, with a time of its own, and nothing read back.
    pub(super) async fn put_until(
        &self,
        name: &str,
        bytes: Bytes,
        until: DateTime<Utc>,
        once: bool,
    ) -> Result<Put, BucketError> {
        let sum = digest(&SHA256, &bytes);
        let mut headers = vec![
            (LOCK_MODE, self.config.lock.mode.name().to_owned()),
            (LOCK_UNTIL, until.to_rfc3339_opts(SecondsFormat::Secs, true)),
            // S3 takes no locked object without a checksum, and keeps none that it does not fit.
            (CHECKSUM, STANDARD.encode(sum.as_ref())),
            ("x-amz-sdk-checksum-algorithm", "SHA256".to_owned()),
        ];
        if once {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let answer = self.ask(Method::PUT, name, "", &headers, bytes).await?;
        match answer.status() {
            status if status.is_success() => Ok(Put::New),
            StatusCode::PRECONDITION_FAILED if once => Ok(Put::There),
            _ => Err(self.refused(name, answer).await),
        }
    }

    /// What is kept of an object.
    ///
    /// # Errors
    /// [`BucketError`], also where there is none.
    pub async fn kept(&self, name: &str) -> Result<Kept, BucketError> {
        match self.kept_of(name, None).await? {
            Ok(kept) => Ok(kept),
            Err(answer) => Err(self.refused(name, answer).await),
        }
    }

    /// Whether a version of it is there, and what is kept of that.
    pub(super) async fn kept_version(&self, name: &str, version: &str) -> Result<Option<Kept>, BucketError> {
        match self.kept_of(name, Some(version)).await? {
            Ok(kept) => Ok(Some(kept)),
            Err(answer) if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => {
                Ok(None)
            }
            Err(answer) => Err(self.refused(name, answer).await),
        }
    }

    async fn kept_of(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> Result<Result<Kept, Response<HttpResponseBody>>, BucketError> {
        let headers = [("x-amz-checksum-mode", "ENABLED".to_owned())];
        let query = version.map(of_version).unwrap_or_default();
        let answer = self.ask(Method::HEAD, name, &query, &headers, Bytes::new()).await?;
        if !answer.status().is_success() {
            return Ok(Err(answer));
        }
        let of = |header: &str| text(answer.headers(), header);
        Ok(Ok(Kept {
            length: of("content-length").and_then(|length| length.parse().ok()).unwrap_or_default(),
            sha256: of(CHECKSUM),
            version: of(VERSION),
            mode: of(LOCK_MODE),
            until: of(LOCK_UNTIL).and_then(|at| DateTime::parse_from_rfc3339(&at).ok()).map(Into::into),
        }))
    }

    /// Tries to delete a version of an object.
    pub(super) async fn delete(&self, name: &str, version: &str) -> Result<Deleted, BucketError> {
        let answer = self.ask(Method::DELETE, name, &of_version(version), &[], Bytes::new()).await?;
        match answer.status() {
            status if status.is_success() => Ok(Deleted::Gone),
            status if status.is_client_error() => {
                let body = answer.into_body().bytes().await.unwrap_or_default();
                let said = reason(&String::from_utf8_lossy(&body));
                Ok(if is_of_a_lock(&said) { Deleted::Locked } else { Deleted::Refused(format!("{status}{said}")) })
            }
            _ => Err(self.refused(name, answer).await),
        }
    }

    /// Whether it is locked as it should be.
    pub(super) fn is_locked(&self, name: &str, kept: &Kept, until: DateTime<Utc>) -> Result<(), BucketError> {
        let Lock { mode, .. } = self.config.lock;
        let (wanted, asked) = (mode.name(), until.to_rfc3339_opts(SecondsFormat::Secs, true));
        match (&kept.mode, kept.until) {
            (Some(kept), Some(at)) if kept == wanted && at >= until - TimeDelta::seconds(1) => Ok(()),
            (None, None) => Err(self.not_kept(
                name,
                "it was taken without its lock. Object lock must be on in the bucket (it is turned on when a bucket is \
                 made, or later in its properties), and the key needs s3:PutObjectRetention and s3:GetObjectRetention",
            )),
            (kept, at) => {
                let kept = kept.as_deref().unwrap_or("no mode");
                let at = at.map_or_else(|| "no date".to_owned(), |at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
                Err(self.not_kept(
                    name,
                    &format!("its lock is {kept} until {at}, and {wanted} until {asked} was asked for"),
                ))
            }
        }
    }

    pub(super) fn not_kept(&self, name: &str, why: &str) -> BucketError {
        BucketError::NotKept(format!("{} in {}", name, self.config), why.to_owned())
    }

    async fn ask(
        &self,
        method: Method,
        name: &str,
        query: &str,
        headers: &[(&str, String)],
        body: Bytes,
    ) -> Result<Response<HttpResponseBody>, BucketError> {
        let away = |why: String| BucketError::Away(self.config.to_string(), why);
        let mut request = Request::builder().method(method).uri(format!("{}{query}", self.url(name)));
        for (header, value) in headers {
            request = request.header(*header, value);
        }
        let mut request = request.body(HttpRequestBody::from(body)).map_err(|error| away(error.to_string()))?;
        let credential = self.store.credentials().get_credential().await.map_err(|error| self.said(&error))?;
        let signer = AwsAuthorizer::new(&credential, "s3", &self.config.region);
        signer.try_authorize(&mut request, None).map_err(|error| self.said(&error))?;
        let answer = self.http.execute(request).await.map_err(|error| away(innermost(&error)))?;
        match answer.status() {
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(away(format!("it answered {status}")))
            }
            _ => Ok(answer),
        }
    }

    /// Where an object is. Neither bucket nor key has a character that a URL spells otherwise.
    fn url(&self, name: &str) -> String {
        let BucketConfig { bucket, region, endpoint, .. } = &self.config;
        let key = self.config.key(name);
        match endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.as_str().trim_end_matches('/')),
            // As object_store does: a bucket with a dot in its name has no certificate of its own.
            None => format!("https://s3.{region}.amazonaws.com/{bucket}/{key}"),
        }
    }

    async fn refused(&self, name: &str, answer: Response<HttpResponseBody>) -> BucketError {
        let status = answer.status();
        let body = answer.into_body().bytes().await.unwrap_or_default();
        let said = reason(&String::from_utf8_lossy(&body));
        BucketError::Refused(self.config.to_string(), format!("{name}: {status}{said}"))
    }

    fn said(&self, error: &object_store::Error) -> BucketError {
        use object_store::Error as No;
        let config = self.config.to_string();
        match error {
            No::PermissionDenied { .. } | No::Unauthenticated { .. } | No::NotFound { .. } => {
                BucketError::Refused(config, innermost(error))
            }
            _ => BucketError::Away(config, innermost(error)),
        }
    }
}

fn of_version(version: &str) -> String {
    let version: String = url::form_urlencoded::byte_serialize(version.as_bytes()).collect();
    format!("?versionId={version}")
}

/// Whether a refusal is a lock's doing, as AWS, MinIO and Ceph word it. What says that a key may not, says nothing of a lock.
fn is_of_a_lock(said: &str) -> bool {
    let said = said.to_lowercase();
    !said.contains("not authorized")
        && ["object lock", "objectlock", "worm protected"].iter().any(|word| said.contains(word))
}

/// From now on for so long, in whole seconds.
fn until(keep: Duration) -> DateTime<Utc> {
    let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::days(1));
    let at = Utc::now() + keep;
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// `<Code>` and `<Message>` of S3's answer. What else it holds may quote the request.
fn reason(body: &str) -> String {
    let of = |tag: &str| {
        let (_, rest) = body.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    let said: Vec<String> = ["Code", "Message"].into_iter().filter_map(of).collect();
    let said: String = said.join(": ").chars().filter(|c| !c.is_control()).take(SHOWN).collect();
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

/// The reason at the bottom: what stands above it says where, which is said already.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(below) = error.source() {
        error = below;
    }
    error.to_string().chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_locks_doing_where_it_says_so() {
        let table = [
            (" (AccessDenied: Access Denied because object protected by object lock.)", true),
            (" (ObjectLocked: Object is WORM protected and cannot be overwritten)", true),
            (" (AccessDenied: forbidden by object lock)", true),
            (" (AccessDenied: Access Denied)", false),
            (" (AccessDenied: x is not authorized to perform: s3:DeleteObjectVersion on \"a/object lock\")", false),
            ("", false),
        ];
        for (said, expected) in table {
            assert_eq!(is_of_a_lock(said), expected, "{said}");
        }
    }

    #[test]
    fn of_an_answer_only_code_and_message_are_told() {
        let body = "<?xml?><Error><Code>AccessDenied</Code><Message>Access\u{1b} Denied</Message>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        assert_eq!(reason(body), " (AccessDenied: Access Denied)");
        assert_eq!(reason("nothing"), "");
    }
}
