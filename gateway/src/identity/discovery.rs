//! OIDC discovery: where an issuer keeps its keys and its sign-in page.
//!
//! Everything is fetched over https, or over http where the host is loopback; never through a
//! proxy, never along a redirect, within five seconds and a mebibyte.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::{Client, RequestBuilder, header::DATE, redirect};
use serde::Deserialize;
use url::{Host, Url};

/// The longest answer that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// The part of a provider's metadata that is used (OpenID Connect Discovery 1.0 §3).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Document {
    issuer: String,
    /// Where its keys are.
    pub jwks_uri: Url,
    /// Where a browser signs in.
    pub authorization_endpoint: Option<Url>,
    /// Where a code is exchanged.
    pub token_endpoint: Option<Url>,
    /// Where a token is asked about (RFC 7662).
    pub introspection_endpoint: Option<Url>,
    /// How a client proves itself there.
    #[serde(default)]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// What may be asked for.
    #[serde(default)]
    pub scopes_supported: Vec<String>,
    /// How a client with a secret proves itself.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
}

/// Why something could not be fetched; for the gateway's own log, never for a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0} is neither https nor http to loopback")]
    Address(String),
    #[error("{url} can't be fetched: {why}")]
    Failed { url: String, why: String },
    #[error("{url} answered {status}")]
    Status { url: String, status: u16 },
    #[error("{0} answered with more than a mebibyte")]
    TooLarge(String),
    #[error("{url} is not what it should be: {why}")]
    Content { url: String, why: String },
}

/// The one HTTP client for issuers.
///
/// # Errors
/// Where TLS can't be set up.
pub(super) fn client() -> Result<Client, String> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| format!("no HTTP client for identity providers can be made: {e}"))
}

/// Whether `url` may be called: https, or http where nobody is in between.
pub(super) fn allowed(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    // Link-local addresses are where clouds keep their metadata; no issuer lives there.
    let link_local = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_link_local(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).to_canonical() != IpAddr::V6(ip) || ip.is_unicast_link_local(),
        _ => false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && !link_local && (url.scheme() == "https" || url.scheme() == "http" && loopback)
}

/// Sends `request` to `url` and reads a bounded answer with status 200.
pub(super) async fn fetch(url: &Url, request: RequestBuilder) -> Result<Vec<u8>, FetchError> {
    if !allowed(url) {
        return Err(FetchError::Address(url.to_string()));
    }
    // `without_url`: a token endpoint's address may carry more than should be logged.
    let failed = |e: reqwest::Error| FetchError::Failed { url: url.to_string(), why: e.without_url().to_string() };
    let mut answer = request.send().await.map_err(failed)?;
    if answer.status().as_u16() != 200 {
        return Err(FetchError::Status { url: url.to_string(), status: answer.status().as_u16() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(FetchError::TooLarge(url.to_string()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What the clock of `issuer` says, in whole seconds: the `Date` of an answer of its (RFC 9110, section 6.6.1).
pub(super) async fn date(client: &Client, issuer: &str) -> Result<DateTime<Utc>, FetchError> {
    let address = metadata(issuer)?;
    if !allowed(&address) {
        return Err(FetchError::Address(address.to_string()));
    }
    let failed = |e: reqwest::Error| FetchError::Failed { url: address.to_string(), why: e.without_url().to_string() };
    let answer = client.head(address.clone()).send().await.map_err(failed)?;
    let said = answer.headers().get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
    let none = || FetchError::Content { url: address.to_string(), why: "its answer has no date".to_owned() };
    said.map(|date| date.to_utc()).ok_or_else(none)
}

fn metadata(issuer: &str) -> Result<Url, FetchError> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    address.parse().map_err(|_| FetchError::Address(address))
}

/// Fetches the metadata of `issuer`, whose own name for itself must be the same byte for byte.
pub(super) async fn discover(client: &Client, issuer: &str) -> Result<Document, FetchError> {
    let url = metadata(issuer)?;
    let body = fetch(&url, client.get(url.clone())).await?;
    let wrong = |why: String| FetchError::Content { url: url.to_string(), why };
    let document: Document = serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
    if document.issuer != issuer {
        return Err(wrong(format!("it speaks for the issuer {:?}, not {issuer:?}", document.issuer)));
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_or_loopback_is_called() {
        let table = [
            ("https://login.acme.dev/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://[::1]:8080/keys", true),
            ("http://localhost/keys", true),
            ("http://login.acme.dev/keys", false),
            ("http://localhost.evil.dev/keys", false),
            ("http://10.0.0.1/keys", false),
            ("https://169.254.169.254/keys", false),
            ("https://[fe80::1]/keys", false),
            ("https://[::ffff:169.254.169.254]/keys", false),
            ("https://user:pass@login.acme.dev/keys", false),
            ("file:///etc/passwd", false),
        ];
        for (text, fine) in table {
            assert_eq!(text.parse().is_ok_and(|url| allowed(&url)), fine, "{text}");
        }
    }
}
