//! A Slack and a gateway in one small server: they remember every call, and fail when told to.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use base64::Engine;
use countersign_bot::{Bot, BotConfig, SlackSettings, cards::samples};
use countersign_shared::{
    api::{CardRef, ChannelBody, Claim, DecisionTaken, NoticeBody, Problem, RequestView},
    bot_token::{BotKey, BotVerifier, Claims},
    request::State,
    secret::Secret,
};
use futures_util::{SinkExt, StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc, watch},
    task::JoinHandle,
};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_util::sync::CancellationToken;

/// What the fakes know.
#[derive(Default)]
pub struct Memory {
    pub view: Option<RequestView>,
    /// Every call of Slack's API, in order.
    pub calls: Vec<(String, Value)>,
    /// Answers to give instead of the usual ones, by method.
    pub faults: HashMap<String, VecDeque<(StatusCode, Value)>>,
    /// Flags of every user.
    pub user: Value,
    /// Slack answers nothing.
    pub silent: bool,
    pub decisions: Vec<Claims>,
    pub refusal: Option<Problem>,
    pub resumed_from: Vec<Option<String>>,
    pub acknowledged: Vec<String>,
    /// When each of them was.
    pub acknowledged_at: Vec<std::time::Instant>,
    pub cards_named: usize,
    /// What the gateway was told that channels are called.
    pub channels: HashMap<String, String>,
    /// What was claimed, and whether it is posted.
    pub claims: HashMap<String, bool>,
    sequence: i64,
}

impl Memory {
    /// The calls of `method`.
    pub fn called(&self, method: &str) -> Vec<&Value> {
        self.calls.iter().filter(|(name, _)| name == method).map(|(_, body)| body).collect()
    }
}

struct Inner {
    memory: Mutex<Memory>,
    changed: watch::Sender<u64>,
    events: broadcast::Sender<Option<String>>,
    frames: broadcast::Sender<String>,
    verifier: BotVerifier,
    socket: String,
}

/// The server, and the bot beside it.
pub struct World {
    inner: Arc<Inner>,
    base: String,
    pem: String,
}

/// A bot that runs.
pub struct Running {
    pub bot: Bot,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl World {
    pub async fn new(view: RequestView) -> Self {
        let seed = [7_u8; 32];
        // PKCS #8 of an Ed25519 key is this head and the seed (RFC 8410).
        let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        der.extend_from_slice(&seed);
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let verifier = BotVerifier::from_raw(aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref());

        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = format!("ws://{}", sockets.local_addr().unwrap());
        let user = json!({ "id": "U1", "team_id": "T1", "name": "priya", "deleted": false, "is_bot": false });
        let memory = Memory { view: Some(view), user, ..Memory::default() };
        let inner = Arc::new(Inner {
            memory: Mutex::new(memory),
            changed: watch::Sender::new(0),
            events: broadcast::Sender::new(64),
            frames: broadcast::Sender::new(256),
            verifier,
            socket,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/api/{method}", get(slack_get).post(slack_post))
            .route("/respond", post(respond))
            .route("/v1/events", get(events))
            .route("/v1/requests", get(list))
            .route("/v1/requests/{id}", get(show))
            .route("/v1/requests/{id}/card", put(card))
            .route("/v1/requests/{id}/decisions", post(decide))
            .route("/v1/channels/{id}", put(channel))
            .route("/v1/notices/claim", post(claim))
            .route("/v1/notices/posted", post(posted))
            .route("/v1/links", post(link))
            .route("/v1/links/{team}/{user}", get(linked))
            .with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        tokio::spawn(serve_sockets(sockets, inner.clone()));
        Self { inner, base, pem }
    }

    pub fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn start(&self) -> Running {
        let config = BotConfig {
            control: self.base.parse().unwrap(),
            key: BotKey::from_pem(self.pem.as_bytes()).unwrap(),
            slack: SlackSettings {
                app_token: Some(Secret::new("xapp-1".into())),
                signing_secret: Some(Secret::new("8f742231b10e8888abcd99yyyzzz85a5".into())),
                bot_token: Secret::new("xoxb-1".into()),
                channel: "C1".into(),
                redacted: std::collections::BTreeSet::new(),
                looked_at: std::collections::BTreeSet::new(),
                places: [("shop".to_owned(), "C2".to_owned())].into(),
                api_url: self.url("api/").parse().unwrap(),
                digest: None,
                routes: std::collections::BTreeMap::new(),
            },
            page_url: self.base.parse().unwrap(),
        };
        let bot = Bot::new(config).unwrap();
        let stop = CancellationToken::new();
        let (runner, token) = (bot.clone(), stop.clone());
        let task = tokio::spawn(async move { runner.run(token).await.unwrap() });
        Running { bot, stop, task }
    }

    /// Waits until the memory is as it should be; fails where it never is.
    pub async fn until(&self, what: &str, is: impl Fn(&Memory) -> bool) {
        let mut changed = self.inner.changed.subscribe();
        let wait = async {
            while !is(&self.memory()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
            panic!("in vain: {what}; calls: {:#?}", self.memory().calls);
        }
    }

    /// Changes the request, and says so.
    pub fn change(&self, kind: &str, change: impl FnOnce(&mut RequestView)) {
        let event = {
            let mut memory = self.memory();
            memory.sequence += 1;
            let seq = memory.sequence;
            if let Some(view) = &mut memory.view {
                change(view);
            }
            let data = json!({ "seq": seq, "at": "2026-01-01T00:00:00Z", "kind": kind, "request": samples::id() });
            format!("id: {seq}\nevent: {kind}\ndata: {data}\n\n")
        };
        self.inner.events.send(Some(event)).unwrap_or_default();
    }

    /// Ends the stream of events.
    pub fn cut_events(&self) {
        self.inner.events.send(None).unwrap_or_default();
    }

    /// Sends an envelope through the socket.
    pub fn envelope(&self, id: &str, kind: &str, payload: &Value) {
        let frame = json!({ "type": kind, "envelope_id": id, "accepts_response_payload": true, "payload": payload });
        self.inner.frames.send(frame.to_string()).unwrap();
    }

    /// Presses a button of the card, as Slack tells of it.
    pub fn press(&self, action: &str, block_id: Option<&str>) {
        let card = self.memory().view.as_ref().and_then(|view| view.card.clone());
        let ts = card.map_or_else(|| "9.9".to_owned(), |card| card.ts);
        let mut payload = json!({
            "type": "block_actions",
            "team": { "id": "T1" },
            "user": { "id": "U1", "team_id": "T1" },
            "channel": { "id": "C1" },
            "container": { "type": "message", "message_ts": ts, "channel_id": "C1" },
            "trigger_id": "t1",
            "response_url": self.url("respond"),
            "actions": [{ "type": "button", "action_id": action, "value": samples::id() }],
        });
        if let Some(block_id) = block_id {
            payload["actions"][0]["block_id"] = json!(block_id);
        }
        self.envelope("press", "interactive", &payload);
    }
}

impl Inner {
    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        let result = change(&mut self.memory.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    async fn unless_silent(&self) {
        if self.memory.lock().unwrap().silent {
            std::future::pending::<()>().await;
        }
    }

    fn claims(&self, headers: &HeaderMap) -> Claims {
        let token = headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
        self.verifier.verify(token).unwrap()
    }

    fn slack(&self, method: &str, body: Value) -> Response {
        let usual = match method {
            "auth.test" => json!({ "ok": true, "team_id": "T1", "user_id": "UBOT" }),
            "apps.connections.open" => json!({ "ok": true, "url": self.socket }),
            "conversations.info" => json!({ "ok": true, "channel": { "id": body["channel"], "name": "db-approvals" } }),
            "conversations.open" => json!({ "ok": true, "channel": { "id": "D1" } }),
            _ => json!({ "ok": true }),
        };
        self.change(|memory| {
            let fault = memory.faults.get_mut(method).and_then(VecDeque::pop_front);
            memory.calls.push((method.to_owned(), body.clone()));
            if let Some((status, answer)) = fault {
                return (status, [("retry-after", "1")], Json(answer)).into_response();
            }
            let answer = match method {
                "chat.postMessage" => {
                    let ts = format!("1.{}", memory.calls.len());
                    json!({ "ok": true, "channel": body["channel"], "ts": ts })
                }
                "users.info" => json!({ "ok": true, "user": memory.user }),
                _ => usual,
            };
            Json(answer).into_response()
        })
    }
}

type World_ = Shared<Arc<Inner>>;

async fn slack_get(Shared(inner): World_, Path(method): Path<String>, Query(q): Query<Value>) -> Response {
    inner.unless_silent().await;
    inner.slack(&method, q)
}

async fn slack_post(Shared(inner): World_, Path(method): Path<String>, body: Bytes) -> Response {
    inner.unless_silent().await;
    inner.slack(&method, serde_json::from_slice(&body).unwrap_or_default())
}

async fn respond(Shared(inner): World_, headers: HeaderMap, Json(body): Json<Value>) {
    assert!(!headers.contains_key("authorization"), "a response URL must not see the token");
    inner.change(|memory| memory.calls.push(("response_url".into(), body)));
}

async fn events(Shared(inner): World_, headers: HeaderMap) -> Response {
    inner.claims(&headers);
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    let live = inner.events.subscribe();
    inner.change(|memory| memory.resumed_from.push(last));
    let lines = stream::unfold(live, |mut live| async move {
        let event = live.recv().await.ok()??;
        Some((Ok::<_, Infallible>(event), live))
    });
    let first = stream::once(async { Ok(": hello\n\n".to_owned()) });
    ([("content-type", "text/event-stream")], Body::from_stream(first.chain(lines))).into_response()
}

async fn list(Shared(inner): World_, Query(query): Query<HashMap<String, String>>) -> Json<Vec<RequestView>> {
    let pending = query.contains_key("state");
    let view = inner.memory.lock().unwrap().view.clone();
    Json(view.into_iter().filter(|view| !pending || view.state == State::Pending).collect())
}

async fn show(Shared(inner): World_) -> Json<Option<RequestView>> {
    Json(inner.memory.lock().unwrap().view.clone())
}

async fn card(Shared(inner): World_, Json(card): Json<CardRef>) -> StatusCode {
    inner.change(|memory| {
        memory.cards_named += 1;
        let view = memory.view.as_mut().unwrap();
        if view.card.is_some() {
            return StatusCode::CONFLICT;
        }
        view.card = Some(card);
        StatusCode::NO_CONTENT
    })
}

/// One bot asks: what it asks for again is in doubt until it says that it is done.
async fn claim(Shared(inner): World_, Json(body): Json<NoticeBody>) -> Json<Claim> {
    inner.change(|memory| match memory.claims.get(&body.name) {
        None => {
            memory.claims.insert(body.name, false);
            Json(Claim::Yours)
        }
        Some(false) => Json(Claim::InDoubt),
        Some(true) => Json(Claim::Done),
    })
}

async fn posted(Shared(inner): World_, Json(body): Json<NoticeBody>) -> StatusCode {
    inner.change(|memory| memory.claims.insert(body.name, true));
    StatusCode::NO_CONTENT
}

async fn channel(Shared(inner): World_, Path(id): Path<String>, Json(body): Json<ChannelBody>) -> StatusCode {
    inner.change(|memory| memory.channels.insert(id, body.name));
    StatusCode::NO_CONTENT
}

async fn decide(Shared(inner): World_, headers: HeaderMap) -> Response {
    let claims = inner.claims(&headers);
    inner.change(|memory| {
        memory.decisions.push(claims);
        match &memory.refusal {
            Some(problem) => (StatusCode::FORBIDDEN, Json(json!(problem))).into_response(),
            None => {
                let request = memory.view.clone().unwrap();
                Json(json!(DecisionTaken { request, message: "one more is needed".into() })).into_response()
            }
        }
    })
}

async fn link() -> Json<Value> {
    let expires = chrono::Utc::now() + chrono::TimeDelta::minutes(10);
    Json(json!({ "url": "http://gateway/link/n0nce", "expires_at": expires }))
}

async fn linked() -> Response {
    let problem = Problem { code: "not_linked".into(), error: "not linked".into(), hint: None };
    (StatusCode::NOT_FOUND, Json(json!(problem))).into_response()
}

async fn serve_sockets(listener: TcpListener, inner: Arc<Inner>) {
    while let Ok((stream, _)) = listener.accept().await {
        let inner = inner.clone();
        tokio::spawn(async move {
            let (mut out, mut back) = tokio_tungstenite::accept_async(stream).await.unwrap().split();
            let mut frames = inner.frames.subscribe();
            let (pongs, mut pong) = mpsc::channel::<Frame>(4);
            out.send(Frame::text(json!({ "type": "hello" }).to_string())).await.unwrap();
            inner.change(|memory| memory.calls.push(("hello".into(), Value::Null)));
            tokio::spawn(async move {
                while let Some(Ok(frame)) = back.next().await {
                    match frame {
                        Frame::Ping(body) => drop(pongs.send(Frame::Pong(body)).await),
                        Frame::Text(text) => {
                            let ack: Value = serde_json::from_str(&text).unwrap();
                            let id = ack["envelope_id"].as_str().unwrap().to_owned();
                            let at = std::time::Instant::now();
                            inner.change(|memory| {
                                memory.acknowledged.push(id);
                                memory.acknowledged_at.push(at);
                            });
                        }
                        _ => {}
                    }
                }
            });
            loop {
                let frame = tokio::select! {
                    Ok(text) = frames.recv() => Frame::text(text),
                    Some(frame) = pong.recv() => frame,
                    else => return,
                };
                if out.send(frame).await.is_err() {
                    return;
                }
            }
        });
    }
}
