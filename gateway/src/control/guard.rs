//! What every call and every answer has in common: the right host, a time limit, headers.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{App, answer::Refused};

/// How long a call may take; a stream of events only has to begin in it.
const LONGEST: Duration = Duration::from_secs(30);

pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = if for_us(&app, &request) {
        let late = || Refused::unavailable(&"a call took longer than 30 seconds").into_response();
        tokio::time::timeout(LONGEST, next.run(request)).await.unwrap_or_else(|_| late())
    } else {
        let error = "This address does not serve that host.";
        Refused::new(StatusCode::MISDIRECTED_REQUEST, "bad_request", error, "Use the gateway's own address.")
            .into_response()
    };
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CACHE_CONTROL, "no-store");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; base-uri 'none'");
    set(header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if app.gateway.config.gateway.url.scheme() == "https" {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// A web page elsewhere can point its own name at our address (DNS rebinding); then the name gives
/// it away. Addresses as numbers can't be pointed anywhere.
fn for_us(app: &App, request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(host) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let agrees = request.uri().authority().is_none_or(|said| said.host().eq_ignore_ascii_case(host.host()));
    agrees && is_ours(host.host(), app.gateway.config.gateway.url.host_str())
}

fn is_ours(host: &str, url: Option<&str>) -> bool {
    let number = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    number || host.eq_ignore_ascii_case("localhost") || url.is_some_and(|url| host.eq_ignore_ascii_case(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_somebody_pointed_at_us_is_not_ours() {
        let url = Some("countersign.acme.dev");
        let table = [
            ("countersign.acme.dev", true),
            ("COUNTERSIGN.acme.dev", true),
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("evil.dev", false),
            ("countersign.acme.dev.evil.dev", false),
            ("127.0.0.1.nip.io", false),
            ("", false),
        ];
        for (host, ours) in table {
            assert_eq!(is_ours(host, url), ours, "{host}");
        }
    }
}
