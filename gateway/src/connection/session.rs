//! session: the loop. It reads like the path of a statement: take a message, make sure that the
//! server is quiet, let `simple` or `extended` do the rest, pass the answers on.
//!
//! One request is decided at a time, and only when everything before it has been answered: so that
//! transaction state, names and errors are what they are, not what they were.

use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use countersign_shared::{api::SessionView, ids::SessionId};
use tokio::time::{Instant, Sleep};

use super::{
    application::Application,
    authenticate::Admitted,
    cancel::{CancelKeys, Registered, Target, Withdraw},
    catalogs::Shared,
    extended::{Portal, Prepared},
    memory::{Circumstances, Known, Memory},
    pipe::{End, Pipe},
    upstream,
    wall::Wall,
};
use crate::{
    catalog::Snapshot,
    config::ConnectionConfig,
    log::Kind,
    metrics::StatementDecision,
    refusal::{Farewell, Refusal},
    runtime::Gateway,
    sessions::Place,
    statement::{
        classify::{Names, OwnSetting, classify},
        decide::{Asked, Asker, Decision, SessionFacts, SqlFacts, decide},
        record::{Header, Open},
        understood::Understood,
    },
    wire::{
        frame,
        frontend::{self, Message},
        replies::Replies,
        startup::{CancelKey, Startup},
    },
};

/// A session ends: quietly, or with a last word for the client.
#[derive(Debug)]
pub enum Ended {
    /// The client went.
    Quiet,
    /// The client reads why.
    With(Farewell),
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        tracing::warn!(%error, "the connection to a database broke");
        Self::With(Farewell::Upstream)
    }
}

impl From<frame::Unread> for Ended {
    fn from(unread: frame::Unread) -> Self {
        match unread {
            frame::Unread::Violation(violation) => violation.into(),
            frame::Unread::TooBig { size, cap, setting } => Self::With(Farewell::TooBig { size, cap, setting }),
        }
    }
}

impl From<crate::wire::Violation> for Ended {
    fn from(violation: crate::wire::Violation) -> Self {
        Self::With(Farewell::Protocol { message: violation.to_string() })
    }
}

/// The log or the state can't say: nothing more passes.
pub fn unavailable(error: &dyn std::fmt::Display) -> Ended {
    tracing::error!(%error, "a session ended, since nothing can be recorded");
    Ended::With(Farewell::Unavailable)
}

/// One client's session.
pub struct Session {
    pub(super) gateway: Arc<Gateway>,
    pub(super) connection: ConnectionConfig,
    pub(super) id: SessionId,
    pub(super) asker: Asker,
    pub(super) wall: Wall,
    pub(super) facts: SessionFacts,
    /// `application_name`, here and on the server.
    pub(super) application: Application,
    pub(super) header: Header,
    pub(super) pipe: Pipe,
    pub(super) replies: Replies,
    /// `I`, `T` or `E`, as the server said last.
    pub(super) status: u8,
    /// The server waits for COPY data.
    pub(super) copy_in: bool,
    /// The run that COPY data belongs to.
    pub(super) copying: u64,
    /// After an error in an extended group: the client's messages are dropped up to its Sync.
    pub(super) discarding: bool,
    /// The server has messages of a group without its Sync.
    pub(super) unsynced: bool,
    /// A transaction began or ended in the group that is open: `status` is that of before.
    pub(super) moved: bool,
    /// So many bytes of a row on its way are still to pass; shown or not.
    pub(super) passing: (usize, bool),
    pub(super) runs: HashMap<u64, Open>,
    pub(super) next_run: u64,
    pub(super) next_prepared: u64,
    pub(super) prepared: HashMap<String, Prepared>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) names: Names,
    /// Settings that change meaning, for the digest.
    pub(super) settings: Vec<(String, String)>,
    /// Names may resolve differently than we know.
    pub(super) dirty: bool,
    /// Names or settings were changed in this transaction; its end may undo that.
    pub(super) changed: bool,
    /// The catalog may have changed in this transaction, which only this session sees.
    pub(super) own_catalog: bool,
    pub(super) catalog: Arc<Snapshot>,
    /// Where the newest one is.
    pub(super) catalogs: Arc<Shared>,
    /// `countersign.*`.
    pub(super) own: BTreeMap<String, String>,
    /// What texts are, and whether policy simply allows them.
    pub(super) memory: Memory,
    pub(super) withdraw: Arc<Withdraw>,
    pub(super) place: Place,
    /// Rings no later than the session must end by itself.
    alarm: Pin<Box<Sleep>>,
    expires_at: Instant,
    idle_since: Instant,
    cancel: Option<CancelKey>,
    _registered: Option<Registered>,
}

/// Runs a session to its end; the client's last word is returned. `client` is left with what is to
/// be written.
pub async fn run(
    gateway: Arc<Gateway>,
    client: &mut End,
    startup: Startup,
    admitted: Admitted,
    address: String,
    keys: CancelKeys,
) -> Option<Farewell> {
    let taken = std::mem::replace(client, End::new(Box::new(tokio::io::empty())));
    let mut session = match Session::begin(gateway, taken, startup, admitted, address, keys).await {
        Ok(session) => session,
        Err((end, farewell)) => {
            *client = end;
            return Some(farewell);
        }
    };
    let ended = session.serve().await;
    if matches!(ended, Ended::With(Farewell::Ended { .. })) {
        session.stop_what_runs();
    }
    let connection = session.connection.name.clone();
    session.lose_runs().await;
    let mut entry = session.header.entry(Kind::Logout);
    entry.outcome = Some(match &ended {
        Ended::Quiet => "closed".to_owned(),
        Ended::With(farewell) => format!("{farewell:?}").chars().take(200).collect(),
    });
    if let Err(down) = session.gateway.log.append(&entry) {
        tracing::error!(%down, "a logout is not in the log");
    }
    session.gateway.metrics.session_ended(&connection);
    *client = session.pipe.client;
    match ended {
        Ended::Quiet => None,
        Ended::With(farewell) => Some(farewell),
    }
}

impl Session {
    async fn begin(
        gateway: Arc<Gateway>,
        mut client: End,
        startup: Startup,
        admitted: Admitted,
        address: String,
        keys: CancelKeys,
    ) -> Result<Self, (End, Farewell)> {
        let Admitted { identity, connection } = admitted;
        let application = startup.get("application_name").unwrap_or_default().to_owned();
        let principal = identity.human.principal.clone();
        let (mut parameters, own) = match super::facts::startup_parameters(&startup, &principal) {
            Ok(both) => both,
            Err(refusal) => return Err((client, Farewell::Startup(refusal))),
        };
        let asker = Asker { human: identity.human, groups: identity.groups, roles: Vec::new() };
        let wall = Wall::at_login(&gateway.policies(), &asker, &connection);
        parameters.extend(wall.parameter());
        let opened = match upstream::open_speaking(&connection.upstream, &parameters, startup.spoken()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(connection = connection.name, %error, "the database can't be reached");
                return Err((client, Farewell::Upstream));
            }
        };
        let id = SessionId::random();
        let now = Utc::now();
        let view = SessionView {
            id: id.clone(),
            principal: principal.clone(),
            connection: connection.name.clone(),
            address: address.clone(),
            application: Some(application.clone()),
            started_at: now,
            state: "idle".to_owned(),
        };
        let mut entry = crate::log::Entry::new(Kind::Login);
        entry.session = Some(id.clone());
        entry.principal = Some(principal.clone());
        entry.connection = Some(connection.name.clone());
        entry.detail = serde_json::json!({ "application": application });
        let withdraw = Arc::new(Withdraw::default());
        let registered = opened
            .cancel
            .clone()
            .map(|key| keys.register(key, Target::new(connection.upstream.clone(), Arc::clone(&withdraw))));
        // AuthenticationOk; then what the server said of itself; then its key.
        client.send(&[b'R', 0, 0, 0, 8, 0, 0, 0, 0]);
        let mut application_name = Application::of(&principal);
        for frame in &opened.parameters {
            match application_name.reported(frame.get(frame::HEAD..).unwrap_or_default()) {
                Ok(Some(told)) => client.send(told.as_deref().unwrap_or_default()),
                _ => client.send(frame),
            }
        }
        if let Some(CancelKey { pid, secret }) = &opened.cancel {
            client.send(b"K");
            client.send(&u32::try_from(8 + secret.len()).unwrap_or(12).to_be_bytes());
            client.send(&pid.to_be_bytes());
            client.send(secret);
        }
        client.send(&crate::wire::backend::ready(b'I'));
        let left = (identity.expires_at - now).to_std().unwrap_or_default();
        gateway.metrics.session_began(&connection.name);
        let place = gateway.sessions.join(view);
        let began = Instant::now();
        Ok(Self {
            application: application_name,
            asker,
            wall,
            facts: SessionFacts { application, address },
            header: Header { entry },
            pipe: Pipe { client, upstream: opened.end },
            replies: Replies::default(),
            status: b'I',
            copy_in: false,
            copying: 0,
            discarding: false,
            unsynced: false,
            moved: false,
            passing: (0, false),
            runs: HashMap::new(),
            next_run: 0,
            next_prepared: 0,
            prepared: HashMap::new(),
            portals: HashMap::new(),
            names: Names { login: connection.upstream.user.clone(), ..Names::default() },
            settings: Vec::new(),
            dirty: true,
            changed: false,
            own_catalog: false,
            catalog: Arc::default(),
            catalogs: gateway.catalogs.of(&connection.name),
            own,
            memory: Memory::default(),
            withdraw,
            place,
            alarm: Box::pin(tokio::time::sleep_until(began)),
            expires_at: began + left,
            idle_since: began,
            cancel: opened.cancel,
            _registered: registered,
            gateway,
            connection,
            id,
        })
    }

    /// Access is over: what runs would go on at the server, which looks at the socket only when it
    /// has something to say.
    fn stop_what_runs(&self) {
        let Some(key) = self.cancel.clone().filter(|_| !self.replies.is_quiet()) else { return };
        let (upstream, connection) = (self.connection.upstream.clone(), self.connection.name.clone());
        tokio::spawn(async move {
            if let Err(error) = upstream::cancel(&upstream, &key).await {
                tracing::error!(connection, %error, "a statement of a session that was ended could not be cancelled");
            }
        });
    }

    async fn serve(&mut self) -> Ended {
        loop {
            if let Err(ended) = self.name_application().await {
                return ended;
            }
            let worked = match self.next_message() {
                Ok(Some((message, frame))) => self.on_message(message, frame).await,
                Ok(None) if self.pipe.client.closed => return Ended::Quiet,
                Ok(None) => self.pump().await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = worked {
                return ended;
            }
        }
    }

    /// Gives the application's name on the server its principal back, where the client changed it and
    /// nothing is on its way.
    async fn name_application(&mut self) -> Result<(), Ended> {
        let busy = self.unsynced || self.discarding || self.copy_in || !self.replies.is_empty();
        if busy || self.status == b'E' {
            return Ok(());
        }
        if let Some(sql) = self.application.sets_again(self.status == b'T') {
            self.own_query(&sql).await?;
            self.application.is_set();
        }
        Ok(())
    }

    /// The client's next message, where it may be taken now and is there whole.
    fn next_message(&mut self) -> Result<Option<(Message, Bytes)>, Ended> {
        // A group that is open goes on; a new request waits until the one before is answered.
        let may = self.copy_in || self.unsynced || self.discarding || self.replies.is_empty();
        if !may || self.pipe.upstream.is_full() {
            return Ok(None);
        }
        let caps = &self.gateway.config.gateway.bounds.caps;
        let Some(head) = frame::client_head(&self.pipe.client.input, caps)? else { return Ok(None) };
        if self.pipe.client.input.len() < head.size {
            return Ok(None);
        }
        let frame = self.pipe.client.input.split_to(head.size).freeze();
        Ok(Some((frontend::parse(&frame)?, frame)))
    }

    async fn on_message(&mut self, message: Message, frame: Bytes) -> Result<(), Ended> {
        self.idle_since = Instant::now();
        match message {
            Message::Terminate => return Err(Ended::Quiet),
            _ if self.copy_in => return self.on_copy(&message, &frame),
            // Left over from a COPY that failed; the server would ignore them too.
            Message::CopyData | Message::CopyDone | Message::CopyFail => return Ok(()),
            Message::Sync => return self.on_sync(&frame).await,
            _ if self.discarding => return Ok(()),
            Message::FunctionCall => self.on_function_call().await?,
            Message::Query { sql } => self.on_query(sql, frame).await?,
            Message::Parse { name, sql, types } => self.on_parse(name, sql, types, frame).await?,
            Message::Bind(bind) => self.on_bind(bind, frame).await?,
            Message::Describe { target, name } => self.on_describe(target, &name, frame).await?,
            Message::Execute { portal, limit } => self.on_execute(&portal, limit, frame).await?,
            Message::Close { target, name } => self.on_close(target, &name, &frame),
            Message::Flush => self.on_flush(&frame).await?,
        }
        self.answer_due();
        Ok(())
    }

    /// COPY FROM STDIN: data passes; what else a client sends here would be read by the server as
    /// something we have not seen.
    fn on_copy(&mut self, message: &Message, frame: &Bytes) -> Result<(), Ended> {
        match message {
            Message::CopyData => {
                if let Some(open) = self.runs.get_mut(&self.copying) {
                    open.takes(&frame[frame::HEAD..]);
                }
                self.pipe.upstream.send(frame);
            }
            Message::CopyDone | Message::CopyFail => {
                self.pipe.upstream.send(frame);
                self.copy_in = false;
            }
            // The server ignores these during COPY, for clients that send them without looking.
            Message::Flush | Message::Sync => {}
            _ => return Err(crate::wire::Violation::new("only COPY data may be sent during COPY FROM STDIN").into()),
        }
        Ok(())
    }

    /// Waits for something to happen on either side, or for the session's end.
    pub(super) async fn pump(&mut self) -> Result<(), Ended> {
        let caps = &self.gateway.config.gateway.bounds.caps;
        let want = match frame::client_head(&self.pipe.client.input, caps) {
            Ok(Some(head)) if self.replies.is_empty() || self.copy_in || self.unsynced => head.size,
            _ => 0,
        };
        let idle = self.idle_since + self.gateway.config.gateway.idle_timeout;
        let until = self.expires_at.min(idle);
        // While the gateway drains, what runs may finish; what waits may not.
        let quiet = self.replies.is_quiet() && self.status == b'I' && !self.copy_in;
        if quiet && self.pipe.client.input.is_empty() && self.pipe.upstream.input.is_empty() {
            self.pipe.client.rest();
            self.pipe.upstream.rest();
        }
        let (place, pipe, alarm) = (&self.place, &mut self.pipe, &mut self.alarm);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(reason) = place.poll_killed(cx, quiet) {
                return Poll::Ready(Err(Ended::With(Farewell::Ended { reason })));
            }
            let stepped = pipe.poll_step(cx, want)?;
            if stepped.is_pending() {
                // Deadlines move with every message; the alarm is set anew only when it rings.
                while alarm.as_mut().poll(cx).is_ready() && Instant::now() < until {
                    alarm.as_mut().reset(until);
                }
            }
            if Instant::now() >= until {
                let reason =
                    if until == idle { "the session did nothing for too long" } else { "the token has expired" };
                return Poll::Ready(Err(Ended::With(Farewell::Ended { reason: reason.into() })));
            }
            stepped.map(Ok)
        })
        .await?;
        self.relay().await?;
        if self.pipe.upstream.closed {
            tracing::warn!(connection = self.connection.name, "the database closed a session");
            return Err(Ended::With(Farewell::Upstream));
        }
        Ok(())
    }

    /// Until the server owes nothing.
    pub(super) async fn settle(&mut self) -> Result<(), Ended> {
        self.answer_due();
        while !self.replies.is_quiet() {
            self.pump().await?;
            if self.pipe.client.closed {
                return Err(Ended::Quiet);
            }
        }
        self.answer_due();
        Ok(())
    }

    /// Sends the gateway's own answers whose turn has come.
    pub(super) fn answer_due(&mut self) {
        while let Some(frame) = self.replies.due() {
            self.pipe.client.send(&frame);
        }
    }

    /// What a text is, as the session's names stand now.
    pub(super) async fn analyse(&mut self, sql: &str) -> Result<Known, Ended> {
        self.keep_wall().await?;
        if let Some(understood) = self.means_the_same_anyhow(sql) {
            return Ok(understood);
        }
        self.refresh().await?;
        if self.dirty {
            return Ok(Understood::from(self.uncertain(classify(sql, &self.catalog, &self.names))).into());
        }
        if let Some(known) = self.memory.known(sql, &self.catalog) {
            return Ok(known);
        }
        if sql.len() < 8 << 10 {
            let understood = classify(sql, &self.catalog, &self.names).into();
            return Ok(self.memory.remember(sql, &self.catalog, understood));
        }
        // A big text takes its time: off the threads that carry other sessions.
        let (sql, catalog, names) = (sql.to_owned(), Arc::clone(&self.catalog), self.names.clone());
        tokio::task::spawn_blocking(move || Understood::from(classify(&sql, &catalog, &names)).into())
            .await
            .map_err(|error| unavailable(&error))
    }

    /// The same, under the catalog as the server has it at this moment.
    pub(super) async fn analyse_anew(&mut self, sql: &str) -> Result<Known, Ended> {
        self.ask_catalog().await?;
        self.analyse(sql).await
    }

    /// A text in an open transaction that rests on no names: transaction control and settings. Nothing
    /// is asked of the server then. `SET TRANSACTION ISOLATION LEVEL` must come before any query, and a
    /// question of the gateway's would be one.
    fn means_the_same_anyhow(&self, sql: &str) -> Option<Known> {
        use crate::statement::effect::Action;
        if self.status != b'T' || !(self.dirty || self.own_catalog) {
            return None;
        }
        let understood: Understood = classify(sql, &self.catalog, &self.names).into();
        let mut effects = understood.statements.iter().flat_map(|s| &s.effects);
        let anyhow = effects.all(|e| matches!(e.action, Action::Transaction | Action::Set));
        (anyhow && !understood.statements.is_empty()).then(|| understood.into())
    }

    /// Names could not be asked since they may have changed: what rests on names is opaque. In a
    /// failed transaction the server itself refuses everything but its end.
    fn uncertain(&self, mut analysis: crate::statement::classify::Analysis) -> crate::statement::classify::Analysis {
        use crate::statement::effect::{Action, Effect};
        if self.status == b'E' && !self.moved && analysis.statements.len() == 1 {
            return analysis;
        }
        for statement in &mut analysis.statements {
            if !statement.effects.iter().all(|e| matches!(e.action, Action::Transaction | Action::Set)) {
                statement.effects.push(Effect::on_connection(Action::Opaque));
                statement.notes.push("names may mean something else after a statement before it".to_owned());
            }
        }
        analysis
    }

    /// The question that policy is asked of an analysed text.
    pub(super) fn asked(&self, text: &Understood) -> Asked {
        Asked {
            asker: self.asker.clone(),
            connection: self.connection.name.clone(),
            tags: self.connection.tags.clone(),
            effects: text.effects.clone(),
            sql: SqlFacts::of(text, self.status != b'I'),
            session: self.facts.clone(),
            reason: self.own.get("reason").cloned(),
            break_glass: false,
        }
    }

    /// The question, and its other side where it is not known whether a transaction is open.
    fn questions(&self, text: &Understood) -> impl Iterator<Item = Asked> {
        let asked = self.asked(text);
        let mut other = self.moved.then(|| asked.clone());
        if let Some(other) = &mut other {
            other.sql.in_transaction = !other.sql.in_transaction;
        }
        std::iter::once(asked).chain(other)
    }

    /// The question that is not simply answered with yes, if one is.
    pub(super) fn strictest(&self, text: &Understood) -> Asked {
        let policies = self.gateway.policies();
        let strict = |asked: &Asked| decide(&policies, asked, &[], &[], Utc::now()) != Decision::Allow;
        self.questions(text).find(strict).unwrap_or_else(|| self.asked(text))
    }

    /// Whether policy simply allows an analysed text, without approvals.
    pub(super) fn allowed(&self, text: &Known) -> bool {
        if self.wall.against(text).is_some() {
            return false;
        }
        let policies = self.gateway.policies();
        let circumstances = Circumstances {
            in_transaction: self.status != b'I',
            reason: self.own.get("reason").map(String::as_str),
            policies: policies.version(),
        };
        if !self.moved && text.was_allowed(&circumstances) {
            return true;
        }
        let allowed =
            self.questions(text).all(|asked| decide(&policies, &asked, &[], &[], Utc::now()) == Decision::Allow);
        if allowed && !self.moved && !policies.rests_on_time() {
            text.allow(circumstances);
        }
        allowed
    }

    /// Asks policy. The store is asked who could approve only where the answer is not simply yes.
    pub(super) async fn decision(&self, asked: &Asked) -> Result<Decision, Refusal> {
        let policies = self.gateway.policies();
        if decide(&policies, asked, &[], &[], Utc::now()) == Decision::Allow {
            return Ok(Decision::Allow);
        }
        let known = self.gateway.store.people().await.map_err(|error| {
            tracing::error!(%error, "the state can't say who could approve");
            Refusal::Unavailable { message: "the gateway can't check this statement now".into() }
        })?;
        Ok(decide(&policies, asked, &[], &known, Utc::now()))
    }

    /// How long a hold waits here.
    pub(super) fn hold_timeout(&self) -> Duration {
        let gateway = &self.gateway.config.gateway;
        if self.status == b'I' { gateway.hold_timeout } else { gateway.hold_timeout_in_transaction }
    }

    /// Answers `SET/SHOW countersign.*`; the frames of its answer.
    pub(super) fn own_setting(&mut self, setting: &OwnSetting) -> Result<Vec<Bytes>, Refusal> {
        use crate::wire::backend::{complete, one_column, one_value};
        const KNOWN: [&str; 1] = ["reason"];
        let name = match setting {
            OwnSetting::Set { name, .. } | OwnSetting::Show { name } => name.as_str(),
        };
        if !KNOWN.contains(&name) {
            let message = format!("there is no setting countersign.{name}; there is countersign.reason");
            return Err(Refusal::OwnSetting { message });
        }
        Ok(match setting {
            OwnSetting::Set { value: Some(value), .. } => {
                self.own.insert(name.to_owned(), value.clone());
                vec![complete("SET")]
            }
            OwnSetting::Set { value: None, .. } => {
                self.own.remove(name);
                vec![complete("RESET")]
            }
            OwnSetting::Show { .. } => {
                let value = self.own.get(name).cloned().unwrap_or_default();
                vec![one_column(&format!("countersign.{name}")), one_value(&value), complete("SHOW")]
            }
        })
    }

    /// A denied statement, for log and metrics.
    pub(super) async fn record_denial(&self, sql: &str, refusal: &Refusal, rules: &[String]) -> Result<(), Ended> {
        let mut entry = self.header.entry(Kind::Denied);
        entry.detail["rules"] = serde_json::json!(rules);
        entry.sql = Some(sql.to_owned());
        entry.outcome = Some(refusal.line());
        self.gateway.metrics.statement(&self.connection.name, StatementDecision::Deny);
        self.gateway.log.append_durably(&entry).await.map_err(|down| unavailable(&down))
    }
}
