//! Sign-ins that are under way in somebody's browser: kept in memory, bounded, for ten minutes.
//!
//! Each is bound to the browser by a cookie, to one purpose, and is used once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_shared::ids::RequestId;

use super::{App, answer::Refused};
use crate::identity::SignedIn;

/// How long a browser has for each step.
const LIFETIME: Duration = Duration::from_secs(600);
/// More than this are not kept; the oldest go first.
const MOST: usize = 10_000;

/// What somebody signs in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To link a Slack account: the nonce of the started link.
    Link(String),
    /// To decide on a request.
    Request(RequestId),
}

/// A browser was sent to the provider.
#[derive(Clone)]
pub(super) struct Sent {
    pub purpose: Purpose,
    pub issuer: String,
    pub nonce: String,
    pub verifier: String,
}

/// Somebody came back and was shown a form.
#[derive(Clone)]
pub(super) struct Shown {
    pub purpose: Purpose,
    pub who: SignedIn,
}

struct Kept<T> {
    what: T,
    browser: String,
    since: Instant,
}

struct Shelf<T>(Mutex<HashMap<String, Kept<T>>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shelf<T> {
    fn put(&self, key: String, what: T, browser: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.retain(|_, entry| entry.since.elapsed() < LIFETIME);
        }
        if kept.len() >= MOST
            && let Some(oldest) = kept.iter().min_by_key(|(_, entry)| entry.since).map(|(key, _)| key.clone())
        {
            kept.remove(&oldest);
        }
        kept.insert(key, Kept { what, browser: browser.to_owned(), since: Instant::now() });
    }

    /// What was kept under `key` for this browser; gone afterwards. Another browser's try leaves it.
    fn take(&self, key: &str, browser: Option<&str>) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = kept.get(key).is_some_and(|entry| {
            entry.since.elapsed() < LIFETIME && browser.is_some_and(|browser| browser == entry.browser)
        });
        if ours { kept.remove(key).map(|entry| entry.what) } else { None }
    }
}

/// All sign-ins of this process.
#[derive(Default)]
pub(super) struct SignIns {
    sent: Shelf<Sent>,
    shown: Shelf<Shown>,
}

impl SignIns {
    pub(super) fn send(&self, state: &str, sent: Sent, browser: &str) {
        self.sent.put(state.to_owned(), sent, browser);
    }

    pub(super) fn came_back(&self, state: &str, browser: Option<&str>) -> Option<Sent> {
        self.sent.take(state, browser)
    }

    pub(super) fn show(&self, csrf: &str, shown: Shown, browser: &str) {
        self.shown.put(csrf.to_owned(), shown, browser);
    }

    /// Who sent a form, where it is that of this browser and for `purpose`.
    pub(super) fn submitted(&self, csrf: &str, purpose: &Purpose, browser: Option<&str>) -> Option<Shown> {
        self.shown.take(csrf, browser).filter(|shown| shown.purpose == *purpose)
    }
}

/// 256 random bits as text for addresses, cookies and forms.
pub(super) fn unguessable() -> Result<String, Refused> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Refused::unavailable(&"no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn cookie_name(app: &App) -> &'static str {
    // The prefix makes browsers refuse the cookie from a neighbour's name or over plain HTTP.
    if app.gateway.config.gateway.url.scheme() == "https" { "__Host-countersign" } else { "countersign" }
}

/// The browser's cookie, if it has one of ours.
pub(super) fn cookie(app: &App, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(app);
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut values = pairs.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    });
    let value = values.next()?;
    // Two of the same name come from two writers; neither is believed.
    let plain = value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (plain && values.next().is_none()).then(|| value.to_owned())
}

/// The header that binds the browser. Lax: it must come along when the provider sends people back.
pub(super) fn set_cookie(app: &App, value: &str) -> String {
    let secure = if app.gateway.config.gateway.url.scheme() == "https" { "; Secure" } else { "" };
    format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", cookie_name(app), LIFETIME.as_secs())
}

/// A page's address ended, or another browser opened it.
pub(super) fn stale() -> Refused {
    let error = "This sign-in has ended, was used already, or began in another browser.";
    Refused::new(StatusCode::BAD_REQUEST, "bad_request", error, "Start again from the link in Slack.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Sent {
        Sent {
            purpose: Purpose::Link("n".into()),
            issuer: "https://idp".into(),
            nonce: "n".into(),
            verifier: "v".into(),
        }
    }

    #[test]
    fn a_sign_in_is_good_once_and_in_its_own_browser() {
        let sign_ins = SignIns::default();
        sign_ins.send("state", sent(), "mine");
        assert!(sign_ins.came_back("state", None).is_none());
        assert!(sign_ins.came_back("state", Some("theirs")).is_none());
        assert!(sign_ins.came_back("other", Some("mine")).is_none());
        assert!(sign_ins.came_back("state", Some("mine")).is_some(), "another browser's try used nothing up");
        assert!(sign_ins.came_back("state", Some("mine")).is_none());
    }

    #[test]
    fn a_flood_takes_no_more_than_its_place() {
        let shelf = Shelf::default();
        for n in 0..MOST + 10 {
            shelf.put(n.to_string(), n, "b");
        }
        assert_eq!(shelf.0.lock().unwrap().len(), MOST);
        assert_eq!(shelf.take(&(MOST + 9).to_string(), Some("b")), Some(MOST + 9));
    }
}
