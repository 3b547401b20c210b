//! Who may talk to the page: a browser that was pointed at a loopback name, from the page itself.

use axum::http::{HeaderMap, Method, header};
use url::{Host, Url};

/// A rebound name has another Host, another site's script another Origin, and a form can't send JSON.
pub(super) fn check(method: &Method, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    if !is_loopback(host) {
        return Err("this page is served to loopback names only");
    }
    if text(header::ORIGIN).is_some_and(|origin| origin != format!("http://{host}")) {
        return Err("the request comes from another site");
    }
    if method == Method::GET || method == Method::HEAD {
        return Ok(());
    }
    let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    if is_json { Ok(()) } else { Err("what changes something is sent as JSON") }
}

fn is_loopback(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_itself_on_a_loopback_name_gets_through() {
        let json = Some("application/json");
        for (host, origin, kind, passes, why) in [
            ("127.0.0.1:8080", None, json, true, "a test from outside"),
            ("localhost:8080", Some("http://localhost:8080"), json, true, "the page"),
            ("[::1]:8080", Some("http://[::1]:8080"), json, true, "the page over IPv6"),
            ("evil.example:8080", None, json, false, "a name that was rebound to loopback"),
            ("localhost.evil.example", None, json, false, "a name that only starts like loopback"),
            ("127.0.0.1@evil.example", None, json, false, "a name behind credentials"),
            ("127.0.0.1:8080", Some("http://evil.example"), json, false, "another site's script"),
            ("127.0.0.1:8080", Some("null"), json, false, "a sandboxed frame"),
            ("127.0.0.1:8080", Some("http://127.0.0.1:9090"), json, false, "another server on this machine"),
            ("127.0.0.1:8080", None, Some("text/plain"), false, "a form, which needs no preflight"),
            ("127.0.0.1:8080", None, None, false, "no content type"),
            ("", None, json, false, "no host"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            if let Some(kind) = kind {
                headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            }
            assert_eq!(check(&Method::POST, &headers).is_ok(), passes, "{why}");
        }
    }

    #[test]
    fn reading_is_refused_from_other_names_too() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "evil.example".parse().unwrap());
        assert!(check(&Method::GET, &headers).is_err());
    }
}
