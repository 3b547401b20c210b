//! What a gateway says of itself.

use std::{net::IpAddr, time::Duration};

use countersign_shared::api::About;
use reqwest::{Client, redirect};
use url::{Host, Url};

use crate::NotSignedIn;

/// The one HTTP client. A redirect could lead a token elsewhere, so none is followed.
pub(crate) fn http() -> Result<Client, NotSignedIn> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .timeout(Duration::from_secs(15))
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| NotSignedIn::Provider(format!("no HTTP client can be made: {error}")))
}

/// Whether nobody on the way can read along: https, or this machine.
pub(crate) fn is_private(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || url.scheme() == "http" && here
}

/// Whether a token may be sent where `about` says: over TLS, or within this machine.
#[must_use]
pub fn keeps_tokens_private(about: &About) -> bool {
    let here = about.host == "localhost" || about.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    about.tls || here
}

/// Asks the gateway at `url`, the address of its pages.
///
/// # Errors
/// [`NotSignedIn::Gateway`].
pub async fn ask(url: &Url) -> Result<About, NotSignedIn> {
    let say = |why: String| NotSignedIn::Gateway(format!("the gateway at {url} does not say where to sign in: {why}"));
    if !is_private(url) {
        return Err(say("its address must be https".to_owned()));
    }
    let address = format!("{}/v1/about", url.as_str().trim_end_matches('/'));
    let answer = http()?.get(&address).send().await.map_err(|error| say(error.without_url().to_string()))?;
    if !answer.status().is_success() {
        return Err(say(format!("{address} answered {}", answer.status())));
    }
    answer.json().await.map_err(|error| say(error.without_url().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for (host, tls, private) in [
            ("countersign.acme.dev", true, true),
            ("countersign.acme.dev", false, false),
            ("10.0.0.7", false, false),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("localhost", false, true),
            ("localhost.acme.dev", false, false),
        ] {
            let about = About { host: host.to_owned(), port: 6432, tls, issuers: vec![] };
            assert_eq!(keeps_tokens_private(&about), private, "{host}, TLS {tls}");
        }
    }

    #[test]
    fn nothing_is_sent_where_others_read_along() {
        let table = [
            ("https://countersign.acme.dev", true),
            ("http://127.0.0.1:6480", true),
            ("http://[::1]:6480", true),
            ("http://localhost:6480", true),
            ("http://countersign.acme.dev", false),
            ("http://localhost.acme.dev", false),
            ("http://10.0.0.7:6480", false),
        ];
        for (url, private) in table {
            assert_eq!(is_private(&url.parse().unwrap()), private, "{url}");
        }
    }
}
