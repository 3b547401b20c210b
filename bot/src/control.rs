//! The client of the gateway's control API. The bot reaches the gateway in no other way.

use std::time::Duration;

use countersign_shared::{
    api::{
        AudienceBody, AudienceView, CardRef, ChannelBody, DecisionBody, DecisionTaken, LinkStarted, LinkView,
        NoticeBody, Problem, RequestView, SlackRef,
    },
    bot_token::{BotKey, Purpose, SlackAccount},
    digest::of_bytes,
    ids::{RequestId, SessionId},
    request::Choice,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(15);
/// How long the stream of events may be silent; the gateway sends a comment more often.
const SILENCE: Duration = Duration::from_secs(60);

/// As many requests as the gateway lists at once, the newest.
pub(crate) const MOST_REQUESTS: usize = 1_000;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The gateway answered no.
    #[error("the gateway refused: {0}")]
    Refused(Problem),
    /// The call did not reach the gateway: nothing has happened.
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(String),
    /// The call may have reached it.
    #[error("the gateway did not answer properly: {0}")]
    Unclear(String),
}

impl From<reqwest::Error> for ControlError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() || error.is_builder() {
            Self::Unreachable(error.to_string())
        } else {
            Self::Unclear(error.to_string())
        }
    }
}

/// The control API with the bot's key.
pub struct Control {
    base: Url,
    name: String,
    key: BotKey,
    calls: reqwest::Client,
    streams: reqwest::Client,
}

impl Control {
    /// A client for the control API at `base`.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(base: Url, key: BotKey) -> Result<Self, reqwest::Error> {
        // A redirect would carry the token elsewhere; a proxy would read it.
        let client = || {
            reqwest::Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none()).no_proxy()
        };
        Ok(Self {
            base,
            name: SessionId::random().to_string(),
            key,
            calls: client().timeout(ANSWER).build()?,
            streams: client().read_timeout(SILENCE).build()?,
        })
    }

    /// `GET /v1/requests`, the newest of all, or the pending ones.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn requests(&self, pending: bool) -> Result<Vec<RequestView>, ControlError> {
        let mut url = self.url(&["requests"]);
        if pending {
            url.set_query(Some(&format!("state=pending&limit={MOST_REQUESTS}")));
        }
        read(self.send(self.calls.get(url), Purpose::Call).await?).await
    }

    /// `GET /v1/requests/{id}`; `None` where there is none.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn request(&self, id: &RequestId) -> Result<Option<RequestView>, ControlError> {
        let url = self.url(&["requests", id.as_str()]);
        found(read(self.send(self.calls.get(url), Purpose::Call).await?).await)
    }

    /// `PUT /v1/requests/{id}/card`; `false` where another card was named before.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn put_card(&self, id: &RequestId, card: &CardRef) -> Result<bool, ControlError> {
        let url = self.url(&["requests", id.as_str(), "card"]);
        let answer = self.send(self.calls.put(url).json(card), Purpose::Call).await?;
        if answer.status() == StatusCode::CONFLICT {
            return Ok(false);
        }
        if answer.status().is_success() { Ok(true) } else { Err(problem(answer).await) }
    }

    /// `POST /v1/requests/{id}/audience`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn audience(&self, id: &RequestId, readers: Vec<SlackRef>) -> Result<AudienceView, ControlError> {
        let call = self.calls.post(self.url(&["requests", id.as_str(), "audience"])).json(&AudienceBody { readers });
        read(self.send(call, Purpose::Call).await?).await
    }

    /// `PUT /v1/channels/{id}`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn put_channel(&self, id: &str, name: &str) -> Result<(), ControlError> {
        let call = self.calls.put(self.url(&["channels", id])).json(&ChannelBody { name: name.to_owned() });
        let answer = self.send(call, Purpose::Call).await?;
        if answer.status().is_success() { Ok(()) } else { Err(problem(answer).await) }
    }

    /// `POST /v1/requests/{id}/decisions`, signed over everything that was decided.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn decide(
        &self,
        id: &RequestId,
        body: &DecisionBody,
        slack: SlackAccount,
    ) -> Result<DecisionTaken, ControlError> {
        let url = self.url(&["requests", id.as_str(), "decisions"]);
        let (choice, digest, reason): (Choice, _, _) = (body.choice, body.digest, body.reason.clone());
        let purpose = Purpose::Decision { request: id.clone(), digest, choice, reason, allow: body.allow, slack };
        read(self.send(self.calls.post(url).json(body), purpose).await?).await
    }

    /// `POST /v1/links`: where `slack` can sign in.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn start_link(&self, slack: &SlackAccount) -> Result<LinkStarted, ControlError> {
        read(self.send(self.calls.post(self.url(&["links"])).json(slack), Purpose::Call).await?).await
    }

    /// `GET /v1/links/{team}/{user}`; `None` where there is none.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn link(&self, slack: &SlackAccount) -> Result<Option<LinkView>, ControlError> {
        let url = self.url(&["links", &slack.team, &slack.user]);
        found(read(self.send(self.calls.get(url), Purpose::Call).await?).await)
    }

    /// `GET /v1/events` after the event `last`, or from now on.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn events(&self, last: Option<&str>) -> Result<Response, ControlError> {
        let mut call = self.streams.get(self.url(&["events"])).header(header::ACCEPT, "text/event-stream");
        if let Some(last) = last {
            call = call.header("Last-Event-ID", last);
        }
        let answer = self.send(call, Purpose::Call).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(problem(answer).await) }
    }

    /// A call that `account` asks for; `number` is its token's, where it must count once.
    pub(crate) async fn act(
        &self,
        method: Method,
        (path, query): (&[&str], Option<&str>),
        body: Vec<u8>,
        account: &SlackAccount,
        number: Option<String>,
    ) -> Result<Response, ControlError> {
        let mut url = self.url(path);
        let call = format!("{method} {}", url.path());
        url.set_query(query);
        let purpose = Purpose::Act { call, body: of_bytes(&body), slack: account.clone() };
        let token = match number {
            Some(number) => self.key.sign_as(number, purpose),
            None => self.key.sign(purpose),
        };
        let token = token.map_err(|error| ControlError::Unreachable(error.to_string()))?;
        let mut call = self.calls.request(method, url).bearer_auth(token);
        if !body.is_empty() {
            call = call.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        Ok(call.send().await?)
    }

    /// A call of the bot's own.
    pub(crate) async fn own(
        &self,
        method: Method,
        path: &[&str],
        query: Option<&str>,
        body: Option<&NoticeBody>,
    ) -> Result<Response, ControlError> {
        let mut url = self.url(path);
        url.set_query(query);
        let mut call = self.calls.request(method, url);
        if let Some(body) = body {
            call = call.json(body);
        }
        self.send(call, Purpose::Call).await
    }

    /// What this bot calls itself since its start.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL that cannot be a base has no path, and such a one can't be configured.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn send(&self, call: RequestBuilder, purpose: Purpose) -> Result<Response, ControlError> {
        let token = self.key.sign(purpose).map_err(|error| ControlError::Unreachable(error.to_string()))?;
        Ok(call.bearer_auth(token).send().await?)
    }
}

/// Reads a good answer.
pub(crate) async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, ControlError> {
    if !answer.status().is_success() {
        return Err(problem(answer).await);
    }
    answer.json().await.map_err(|error| ControlError::Unclear(error.to_string()))
}

/// Whether an answer is good, where it says nothing more.
pub(crate) async fn done(answer: Response) -> Result<(), ControlError> {
    if answer.status().is_success() { Ok(()) } else { Err(problem(answer).await) }
}

async fn problem(answer: Response) -> ControlError {
    let status = answer.status();
    match answer.json::<Problem>().await {
        // A gateway that fails inside, or is late, may have done it all the same.
        Ok(problem) if status.is_client_error() => ControlError::Refused(problem),
        Ok(problem) => ControlError::Unclear(format!("status {status}: {problem}")),
        Err(_) if status == StatusCode::NOT_FOUND => ControlError::Refused(Problem {
            code: "not_found".into(),
            error: "the gateway knows nothing of that".into(),
            hint: None,
        }),
        Err(_) => ControlError::Unclear(format!("status {status}")),
    }
}

pub(crate) fn found<T>(answer: Result<T, ControlError>) -> Result<Option<T>, ControlError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ControlError::Refused(problem)) if matches!(problem.code.as_str(), "not_found" | "not_linked") => Ok(None),
        Err(error) => Err(error),
    }
}
