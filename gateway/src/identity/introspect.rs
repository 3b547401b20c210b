//! Whether a token still counts, asked of its provider (RFC 7662): for those that don't call when somebody signs
//! out.
//!
//! A token that its provider calls inactive is refused, and never asked about again. Where the provider does
//! not answer, what it said last goes on.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use countersign_shared::{
    digest::{Digest, of_token},
    secret::Secret,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::{
    Issuer, Issuers,
    discovery::{self, FetchError},
};
use crate::config::PollConfig;

/// How many questions are on their way to one provider.
const AT_ONCE: usize = 16;
/// Whoever has just not answered is left alone for so long by those who log in.
const REST: Duration = Duration::from_secs(10);

/// The least time for which a token is kept after somebody came with it: a login may take so long until its session
/// can be found.
const LOGIN: Duration = Duration::from_secs(60);

/// What is known of an issuer's tokens.
pub(super) struct Introspection {
    config: PollConfig,
    known: Mutex<HashMap<Digest, Known>>,
    silent: Mutex<Option<Instant>>,
}

struct Known {
    token: Secret<String>,
    expires_at: DateTime<Utc>,
    /// When somebody last came with it.
    came: Instant,
    /// When it was last called active; `None` where it was called inactive, or never asked about.
    active: Option<Instant>,
    inactive: bool,
}

/// What a provider says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Active,
    Inactive,
    /// Nothing that could be understood about this token. Others are asked about all the same.
    Unclear,
    /// Nothing at all.
    None,
}

/// Why there is no answer.
struct Unanswered {
    why: String,
    /// Whether the provider would answer no more about another token.
    of_all: bool,
}

impl From<FetchError> for Unanswered {
    fn from(error: FetchError) -> Self {
        let of_all = match &error {
            FetchError::Status { status, .. } => *status >= 500,
            FetchError::Failed { .. } => true,
            _ => false,
        };
        Self { why: error.to_string(), of_all }
    }
}

impl Introspection {
    pub(super) fn new(config: PollConfig) -> Self {
        Self { config, known: Mutex::default(), silent: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an answer. Whether the token still counts: what was called inactive meanwhile does not, whatever
    /// this answer is.
    fn keep(&self, digest: Digest, answer: Answer, now: Instant) -> bool {
        *self.silent() = (answer == Answer::None).then_some(now);
        let mut all = self.known();
        let Some(known) = all.get_mut(&digest) else { return answer != Answer::Inactive };
        match answer {
            Answer::Active => known.active = Some(now),
            Answer::Inactive => known.inactive = true,
            Answer::Unclear | Answer::None => {}
        }
        !known.inactive
    }
}

impl Issuers {
    /// Whether a verified token still counts for its issuer. Asked where that was not asked for a while; where it
    /// does not answer, it does.
    pub(super) async fn still_counts(&self, issuer: &Issuer, token: &str, until: DateTime<Utc>, now: Instant) -> bool {
        let Some(polled) = &issuer.polled else { return true };
        let digest = of_token(token);
        {
            let mut all = polled.known();
            let known = all.entry(digest).or_insert_with(|| Known {
                token: Secret::new(token.to_owned()),
                expires_at: until,
                came: now,
                active: None,
                inactive: false,
            });
            known.came = now;
            let is_fresh = known.active.is_some_and(|at| now.saturating_duration_since(at) < polled.config.every);
            if known.inactive || is_fresh {
                return !known.inactive;
            }
        }
        if polled.silent().is_some_and(|since| now.saturating_duration_since(since) < REST) {
            return true;
        }
        let answer = self.ask(issuer, polled, token).await;
        let counts = polled.keep(digest, answer, now);
        if counts && answer != Answer::Active {
            tracing::warn!(issuer = issuer.name, "a token is taken that its provider was not asked about");
        }
        counts
    }

    /// How often an issuer's tokens are to be asked about, for those that are.
    pub fn polled(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.issuers.iter().filter_map(|issuer| Some((issuer.name.as_str(), issuer.polled.as_ref()?.config.every)))
    }

    /// Asks about the tokens that sessions rest on; those that are inactive. Of what a login has learnt that already,
    /// nobody is asked again.
    pub async fn inactive(&self, issuer: &str, resting: &HashSet<Digest>) -> Vec<Digest> {
        let found = self.issuers.iter().find(|known| known.name == issuer);
        let Some((issuer, polled)) = found.and_then(|issuer| Some((issuer, issuer.polled.as_ref()?))) else {
            return Vec::new();
        };
        let wall = Utc::now();
        let tokens: Vec<(Digest, Secret<String>)> = {
            let mut all = polled.known();
            // Those that nobody rests on are kept no longer than what was said of them counts, and a login takes.
            let login = polled.config.every.max(LOGIN);
            all.retain(|digest, known| {
                let fresh = known.active.is_some_and(|at| at.elapsed() < polled.config.every);
                let fresh = fresh || known.came.elapsed() < login;
                known.expires_at > wall && (known.inactive || fresh || resting.contains(digest))
            });
            let asked = all.iter().filter(|(digest, known)| resting.contains(digest) && !known.inactive);
            asked.map(|(digest, known)| (*digest, known.token.clone())).collect()
        };
        let asked = stream::iter(tokens)
            .map(|(digest, token)| async move { (digest, self.ask(issuer, polled, token.reveal()).await) });
        let answers: Vec<(Digest, Answer)> = asked.buffer_unordered(AT_ONCE).collect().await;
        let unanswered = answers.iter().filter(|(_, answer)| matches!(answer, Answer::Unclear | Answer::None)).count();
        if unanswered > 0 {
            tracing::warn!(
                issuer = issuer.name,
                unanswered,
                "the identity provider does not say whether tokens still count; their sessions go on until they expire"
            );
        }
        for (digest, answer) in &answers {
            polled.keep(*digest, *answer, Instant::now());
        }
        let all = polled.known();
        resting.iter().filter(|digest| all.get(digest).is_some_and(|known| known.inactive)).copied().collect()
    }

    async fn ask(&self, issuer: &Issuer, polled: &Introspection, token: &str) -> Answer {
        match self.introspect(issuer, &polled.config, token).await {
            Ok(true) => Answer::Active,
            Ok(false) => Answer::Inactive,
            Err(Unanswered { why, of_all }) => {
                tracing::warn!(
                    issuer = issuer.name,
                    error = why,
                    "the identity provider was asked about a token in vain"
                );
                if of_all { Answer::None } else { Answer::Unclear }
            }
        }
    }

    async fn introspect(&self, issuer: &Issuer, who: &PollConfig, token: &str) -> Result<bool, Unanswered> {
        let silent = |why: &str| Unanswered { why: why.to_owned(), of_all: true };
        let document = issuer.keys.document(Instant::now()).await.ok_or_else(|| silent("it can't be reached"))?;
        let address = document.introspection_endpoint.ok_or_else(|| silent("it offers no introspection"))?;
        let secret = who.client_secret.reveal();
        let mut form = vec![("token", token)];
        let mut request = self.client.post(address.clone()).header("accept", "application/json");
        // Basic is what every provider must take (RFC 6749, §2.3.1), in the form's own spelling.
        let methods = &document.introspection_endpoint_auth_methods_supported;
        if methods.is_empty() || methods.iter().any(|how| how == "client_secret_basic") {
            let spelled = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(spelled(&who.client_id), Some(spelled(secret)));
        } else {
            form.extend([("client_id", who.client_id.as_str()), ("client_secret", secret)]);
        }
        let answer = discovery::fetch(&address, request.form(&form)).await?;
        // RFC 7662, §2.2. A derived reader would take the list `[false]` for the object, too.
        let said: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let active = said.as_object().and_then(|said| said.get("active")).and_then(Value::as_bool);
        active.ok_or_else(|| Unanswered { why: "its answer can't be read".to_owned(), of_all: false })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;
    use crate::{
        access::poll,
        approval::house::House,
        identity::{TokenRefused, provider::Introspected},
    };

    const EVERY: Duration = Duration::from_secs(60);

    async fn house() -> House {
        House::with(|config| {
            let client_secret = Secret::new("it's a s%cret".into());
            config.identities[0].poll =
                Some(PollConfig { every: EVERY, client_id: "countersign".into(), client_secret });
        })
        .await
    }

    fn token(house: &House, who: &str) -> String {
        house.provider.token(&house.provider.claims(who, &house.human(who).subject, &["engineering"]))
    }

    #[tokio::test]
    async fn who_is_called_inactive_is_out_and_stays_out() {
        let house = house().await;
        let (ana, ben) = (token(&house, "ana@acme.dev"), token(&house, "ben@acme.dev"));
        let (hers, his) = (house.session_by(&ana).await, house.session_by(&ben).await);
        assert_eq!(house.provider.introspections(), 2, "each was asked about at the login");
        assert!(house.gateway.issuers.verify(&ana).await.is_ok());
        assert_eq!(house.provider.introspections(), 2, "and not again so soon");
        poll::ask(&house.gateway, &house.provider.url).await;
        assert_eq!(house.provider.introspections(), 4);
        assert!(hers.killed().is_none() && his.killed().is_none());
        house.provider.introspects(&ana, Introspected::Says(json!({ "active": false })));
        poll::ask(&house.gateway, &house.provider.url).await;
        assert_eq!(hers.killed().unwrap().reason, "the token counts no more; sign in again");
        assert!(his.killed().is_none());
        let refused = house.gateway.issuers.verify(&ana).await;
        assert_eq!(refused, Err(TokenRefused::Invalid("its provider calls it inactive")));
        house.provider.introspects(&ana, Introspected::Says(json!({ "active": true })));
        assert!(house.gateway.issuers.verify(&ana).await.is_err(), "it does not come back");
        let facts = hers.live().token().unwrap();
        assert!(house.gateway.store.token_ended(&facts).await.unwrap().is_some(), "over a restart neither");
        assert!(!house.log_text().contains(ana.rsplit('.').next().unwrap()), "the token itself is nowhere");
    }

    #[tokio::test]
    async fn a_provider_that_says_nothing_ends_nothing() {
        let house = house().await;
        let ana = token(&house, "ana@acme.dev");
        let place = house.session_by(&ana).await;
        for (case, answer) in [
            ("who asks is not known", Introspected::Fails(401)),
            ("a redirect", Introspected::Fails(302)),
            ("no word of it", Introspected::Says(json!({}))),
            ("text for a truth", Introspected::Says(json!({ "active": "false" }))),
            ("a list", Introspected::Says(json!([false]))),
            ("too many questions", Introspected::Fails(429)),
            ("an error", Introspected::Fails(500)),
        ] {
            house.provider.introspects(&ana, answer);
            poll::ask(&house.gateway, &house.provider.url).await;
            assert!(place.killed().is_none(), "{case}");
            assert!(house.gateway.issuers.verify(&ana).await.is_ok(), "{case}");
        }
        let asked = house.provider.introspections();
        let ben = token(&house, "ben@acme.dev");
        assert!(house.gateway.issuers.verify(&ben).await.is_ok(), "who is new comes in with keys that are known");
        assert_eq!(house.provider.introspections(), asked, "and does not wait for who has just not answered");
        house.provider.introspects(&ana, Introspected::Says(json!({ "active": false })));
        poll::ask(&house.gateway, &house.provider.url).await;
        assert!(place.killed().is_some(), "it answers again");
    }

    #[tokio::test]
    async fn what_is_unclear_of_one_token_says_nothing_of_another() {
        let house = house().await;
        let (ana, ben) = (token(&house, "ana@acme.dev"), token(&house, "ben@acme.dev"));
        house.provider.introspects(&ben, Introspected::Says(json!({ "active": false })));
        for (case, answer) in
            [("too many questions", Introspected::Fails(429)), ("no word of it", Introspected::Says(json!({})))]
        {
            house.provider.introspects(&ana, answer);
            assert!(house.gateway.issuers.verify(&ana).await.is_ok(), "{case}");
            assert!(house.gateway.issuers.verify(&ben).await.is_err(), "{case}: his is asked about all the same");
        }
    }

    #[tokio::test]
    async fn what_one_login_has_learnt_ends_the_sessions_though_the_provider_falls_silent() {
        let house = house().await;
        let ana = token(&house, "ana@acme.dev");
        let place = house.session_by(&ana).await;
        let polled = house.gateway.issuers.issuers[0].polled.as_ref().unwrap();
        polled.known().values_mut().for_each(|known| known.active = None);
        house.provider.introspects(&ana, Introspected::Says(json!({ "active": false })));
        assert!(house.gateway.issuers.verify(&ana).await.is_err());
        house.provider.introspects(&ana, Introspected::Fails(500));
        let asked = house.provider.introspections();
        poll::ask(&house.gateway, &house.provider.url).await;
        assert!(place.killed().is_some());
        assert_eq!(house.provider.introspections(), asked, "nobody is asked about what is known");
    }

    #[tokio::test]
    async fn no_answer_lets_nobody_in_whose_token_was_called_inactive_meanwhile() {
        let house = house().await;
        let ana = token(&house, "ana@acme.dev");
        let go = Arc::new(Notify::new());
        house.provider.introspects(&ana, Introspected::FailsAfter(Arc::clone(&go)));
        let meanwhile = async {
            while house.provider.introspections() == 0 {
                tokio::task::yield_now().await;
            }
            let polled = house.gateway.issuers.issuers[0].polled.as_ref().unwrap();
            polled.keep(of_token(&ana), Answer::Inactive, Instant::now());
            go.notify_one();
        };
        let (verified, ()) = tokio::join!(house.gateway.issuers.verify(&ana), meanwhile);
        assert_eq!(verified, Err(TokenRefused::Invalid("its provider calls it inactive")));
    }

    #[tokio::test]
    async fn a_login_that_takes_long_is_asked_about_all_the_same() {
        let house = house().await;
        let ana = token(&house, "ana@acme.dev");
        house.provider.introspects(&ana, Introspected::Fails(500));
        let identity = house.gateway.issuers.verify(&ana).await.unwrap();
        poll::ask(&house.gateway, &house.provider.url).await;
        house.provider.introspects(&ana, Introspected::Says(json!({ "active": false })));
        let resting = HashSet::from([identity.token.unwrap().digest]);
        let inactive = house.gateway.issuers.inactive(&house.provider.url, &resting).await;
        assert_eq!(inactive, resting.into_iter().collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_token_that_nobody_rests_on_is_kept_no_longer_than_it_must_be() {
        let house = house().await;
        let ana = token(&house, "ana@acme.dev");
        let place = house.session_by(&ana).await;
        let issuers = &house.gateway.issuers;
        let kept = || issuers.issuers[0].polled.as_ref().unwrap().known().len();
        let digest = place.live().token().unwrap().digest;
        assert!(issuers.inactive(&house.provider.url, &HashSet::from([digest])).await.is_empty());
        assert_eq!(kept(), 1);
        issuers.issuers[0].polled.as_ref().unwrap().known().get_mut(&digest).unwrap().active = None;
        assert!(issuers.inactive(&house.provider.url, &HashSet::new()).await.is_empty());
        assert_eq!(kept(), 1, "whoever has just come with it may still be about to log in");
        let before = Instant::now().checked_sub(EVERY).unwrap();
        issuers.issuers[0].polled.as_ref().unwrap().known().get_mut(&digest).unwrap().came = before;
        assert!(issuers.inactive(&house.provider.url, &HashSet::new()).await.is_empty());
        assert_eq!(kept(), 0);
    }
}
