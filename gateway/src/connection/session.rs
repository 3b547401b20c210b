//! session: the loop. It reads like the path of a statement: take a message, make sure that the
//! server is quiet, let `simple` or `extended` do the rest, pass the answers on.
//!
//! One request is decided at a time, and only when everything before it has been answered: so that
//! transaction state, names and errors are what they are, not what they were.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    pin::Pin,
    sync::Arc,
    task::Poll,
};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use countersign_shared::{api::SessionView, digest::Digest, ids::SessionId};
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use super::{
    application::Application,
    authenticate::Admitted,
    awake,
    cancel::{CancelKeys, Registered, Target, Withdraw},
    catalogs::Shared,
    extended::{Portal, Prepared},
    finish::Leftover,
    masks::Masks,
    meant::Meant,
    memory::Memory,
    own_catalog::OwnCatalog,
    pipe::{End, Pipe},
    roles::RolesRead,
    runs::Runs,
    simple::CROWD,
    steps::Begun,
    upstream,
    wall::Wall,
};
use crate::{
    access::{stand, tokens},
    catalog::Snapshot,
    config::ConnectionConfig,
    directory,
    log::Kind,
    metrics::StatementDecision,
    refusal::Farewell,
    runtime::Gateway,
    sessions::{Place, Standing},
    statement::{
        classify::Names,
        decide::{Asker, SessionFacts},
        record::Header,
        review::Transaction,
        understood::Understood,
    },
    wire::{
        frame,
        frontend::{self, Message},
        replies::{Replies, Rows},
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
    /// The transaction may have triggers to come at its end.
    pub(super) put_off: bool,
    /// What the catalog said of all that they may meet, when the first of them was put off.
    pub(super) put_off_under: Option<Digest>,
    /// What is guarded, and what the catalog said of all that it touches when it was permitted.
    pub(super) guarded_under: Option<(Arc<Understood>, Digest)>,
    /// The schema has changed since: what happens then may be other code than what was looked at.
    pub(super) commit_in_doubt: bool,
    /// So many bytes of a row on its way are still to pass; shown or not.
    pub(super) passing: (usize, Rows),
    /// What the open transaction has done, where policy may review it at its COMMIT.
    pub(super) transaction: Option<Box<Transaction>>,
    /// The run of the COMMIT that somebody has approved, until it has been sent.
    pub(super) approved_commit: Option<u64>,
    /// Rows of a guarded statement that the client may not see yet.
    pub(super) kept: BytesMut,
    /// The transaction that is open is the gateway's own: a guarded statement runs in it, and the client's
    /// group ends it.
    pub(super) block: bool,
    pub(super) runs: Runs,
    /// What its statements' rows leave as.
    pub(super) masks: Masks,
    pub(super) next_run: u64,
    /// Counts the statements that pass.
    pub(super) passed: Counter,
    pub(super) next_prepared: u64,
    pub(super) prepared: HashMap<String, Arc<Prepared>>,
    /// Portals whose Bind went upstream in the group that is open; an error in it may mean that they are not there.
    pub(super) bound_now: Vec<String>,
    /// The portal with a name that is being run: it is there.
    pub(super) executing: Option<String>,
    /// Names that portals have had in this transaction: whatever became of them, SQL's FETCH does not take their rows.
    pub(super) bound_names: HashSet<String>,
    /// What SQL's PREPARE made, with what that meant then.
    pub(super) prepared_by_sql: HashMap<String, Vec<Meant>>,
    pub(super) portals: HashMap<String, Portal>,
    pub(super) names: Names,
    /// Settings that change meaning, for the digest.
    pub(super) settings: Arc<[(String, String)]>,
    /// Something that is more than a read ran in this transaction.
    pub(super) wrote: bool,
    /// A transaction that changed the catalog is about to end, whatever begins after it in one text.
    pub(super) settles: bool,
    /// Names may resolve differently than we know.
    pub(super) dirty: bool,
    /// Names or settings were changed in this transaction; its end may undo that.
    pub(super) changed: bool,
    /// The catalog may have changed in this transaction, which only this session sees.
    pub(super) own_catalog: OwnCatalog,
    pub(super) catalog: Arc<Snapshot>,
    /// Where the newest one is.
    pub(super) catalogs: Arc<Shared>,
    /// `countersign.*`.
    pub(super) own: BTreeMap<String, String>,
    /// What it has begun to send of what was approved statement by statement.
    pub(super) steps: Option<Box<Begun>>,
    /// The newest event of the state at which its principal had nothing of that kind.
    pub(super) no_steps_at: Option<i64>,
    /// How many rows the statement that is being decided would touch, where policy asks.
    pub(super) rows: Option<u64>,
    /// The template that it is, where policy was asked with it.
    pub(super) template: Option<String>,
    /// The reason in the text that was analysed last.
    pub(super) said: Option<String>,
    /// What texts are, and whether policy simply allows them.
    pub(super) memory: Memory,
    pub(super) withdraw: Arc<Withdraw>,
    pub(super) place: Place,
    /// Grows with each change of the groups and roles in `asker`.
    pub(super) standing: u64,
    /// The book of grants that `asker`'s roles were read from.
    pub(super) roles_read: RolesRead,
    /// Rings no later than the session must end by itself.
    pub(super) alarm: Pin<Box<Sleep>>,
    pub(super) expires_at: Instant,
    /// When the client last said something.
    pub(super) idle_since: Instant,
    /// The same before what it says now.
    pub(super) idle_before: Instant,
    cancel: Option<CancelKey>,
    _registered: Option<Registered>,
}

/// What is left of a session.
#[derive(Default)]
pub struct Over {
    /// The client's last word.
    pub farewell: Option<Farewell>,
    /// The end of the server's side, where the session was ended.
    pub finishing: Option<tokio::task::JoinHandle<()>>,
}

impl From<Farewell> for Over {
    fn from(farewell: Farewell) -> Self {
        Self { farewell: Some(farewell), finishing: None }
    }
}

/// Runs a session to its end. `client` is left with what is to be written.
pub async fn run(
    gateway: Arc<Gateway>,
    client: &mut End,
    startup: Startup,
    admitted: Admitted,
    address: String,
    keys: CancelKeys,
) -> Over {
    let taken = std::mem::replace(client, End::new(Box::new(tokio::io::empty())));
    let login = (Arc::clone(&gateway), admitted.session.clone(), admitted.identity.human.principal.clone());
    let mut session = match Box::pin(Session::begin(gateway, taken, startup, admitted, address, keys)).await {
        Ok(session) => session,
        Err((end, farewell)) => {
            let (gateway, id, principal) = login;
            let mut entry = crate::log::Entry::new(Kind::Logout);
            (entry.session, entry.principal) = (Some(id), Some(principal));
            entry.outcome = Some(format!("{farewell:?}").chars().take(200).collect());
            if let Err(down) = gateway.log.append(&entry) {
                tracing::error!(%down, "a logout is not in the log");
            }
            *client = end;
            return farewell.into();
        }
    };
    let ended = session.serve().await;
    // Before anything is written down: what runs stops now.
    let finishing =
        matches!(ended, Ended::With(Farewell::Ended { .. })).then(|| tokio::spawn(session.leftover().finish()));
    let connection = session.connection.name.clone();
    Box::pin(session.lose_runs()).await;
    Box::pin(session.leave_steps()).await;
    // What waited for an approval goes nowhere; the last word does.
    drop(session.pipe.client.no_longer_kept_back());
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
    let farewell = match ended {
        Ended::Quiet => None,
        Ended::With(farewell) => Some(farewell),
    };
    Over { farewell, finishing }
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
        let Admitted { identity, connection, roles, login_by_role, session: id } = admitted;
        let application = startup.get("application_name").unwrap_or_default().to_owned();
        let principal = identity.human.principal.clone();
        let (mut parameters, own) = match super::facts::startup_parameters(&startup, &principal) {
            Ok(both) => both,
            Err(refusal) => return Err((client, Farewell::Startup(refusal))),
        };
        let asker = Asker { human: identity.human, groups: identity.groups, roles };
        let wall = Wall::at_login(&gateway.policies(), &asker, &connection);
        parameters.extend(wall.parameter());
        let opened = match upstream::open_speaking(&connection.upstream, &parameters, startup.spoken()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(connection = connection.name, %error, "the database can't be reached");
                return Err((client, Farewell::Upstream));
            }
        };
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
        let facts = SessionFacts { application, address };
        let standing = Standing {
            human: asker.human.clone(),
            groups: asker.groups.clone(),
            facts: facts.clone(),
            expires_at: identity.expires_at,
            token: identity.token.clone(),
            login: connection.upstream.user.clone(),
        };
        let place = gateway.sessions.join(view, standing);
        if login_by_role {
            place.rests_on(&asker.roles);
        }
        // Access may have ended before the session could be found and told so.
        place.looked_at(|live| stand::look_at(&gateway, live));
        tokens::look_again(&gateway, &place.live()).await;
        directory::look_again(&gateway, &place).await;
        let began = Instant::now();
        Ok(Self {
            application: application_name,
            asker,
            wall,
            facts,
            standing: 0,
            roles_read: RolesRead::default(),
            header: Header::from(entry),
            pipe: Pipe { client, upstream: opened.end },
            replies: Replies::default(),
            status: b'I',
            copy_in: false,
            copying: 0,
            discarding: false,
            unsynced: false,
            moved: false,
            put_off: false,
            put_off_under: None,
            guarded_under: None,
            commit_in_doubt: false,
            passing: (0, Rows::Show),
            transaction: None,
            approved_commit: None,
            kept: BytesMut::new(),
            block: false,
            runs: Runs::default(),
            masks: Masks::default(),
            next_run: 0,
            passed: gateway.metrics.statements(&connection.name, StatementDecision::Allow),
            next_prepared: 0,
            prepared: HashMap::new(),
            prepared_by_sql: HashMap::new(),
            bound_now: Vec::new(),
            executing: None,
            bound_names: HashSet::new(),
            portals: HashMap::new(),
            names: Names {
                login: connection.upstream.user.clone(),
                reads_otherwise: reads_otherwise(&opened.parameters),
                ..Names::default()
            },
            settings: Arc::default(),
            wrote: false,
            settles: false,
            dirty: true,
            changed: false,
            own_catalog: OwnCatalog::default(),
            catalog: Arc::default(),
            catalogs: gateway.catalogs.of(&connection.name),
            own,
            steps: None,
            no_steps_at: None,
            rows: None,
            template: None,
            said: None,
            memory: Memory::default(),
            withdraw,
            place,
            alarm: Box::pin(tokio::time::sleep_until(began)),
            expires_at: began + left,
            idle_since: began,
            idle_before: began,
            cancel: opened.cancel,
            _registered: registered,
            gateway,
            connection,
            id,
        })
    }

    /// The server's process, where it said which.
    pub(super) fn backend(&self) -> Option<i32> {
        self.cancel.as_ref().map(|key| key.pid)
    }

    /// The server's side, of which the session wants nothing more.
    fn leftover(&mut self) -> Leftover {
        Leftover {
            busy: !self.replies.is_quiet() || self.copy_in || self.unsynced,
            end: std::mem::replace(&mut self.pipe.upstream, End::new(Box::new(tokio::io::empty()))),
            upstream: self.connection.upstream.clone(),
            key: self.cancel.clone(),
            connection: self.connection.name.clone(),
        }
    }

    async fn serve(&mut self) -> Ended {
        loop {
            // What came with the message before is not taken from somebody whose access is over.
            if let Some(kill) = self.place.killed()
                && !kill.when_quiet
            {
                return Ended::With(Farewell::Ended { reason: kill.reason });
            }
            if self.steps_are_over() {
                Box::pin(self.tell_steps()).await;
            }
            if let Err(ended) = self.name_application().await {
                return ended;
            }
            let worked = match self.next_frame() {
                Ok(Some(frame)) => self.on_frame(&frame).await,
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
    fn next_frame(&mut self) -> Result<Option<Bytes>, Ended> {
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
        Ok(Some(self.pipe.client.input.split_to(head.size).freeze()))
    }

    async fn on_frame(&mut self, frame: &Bytes) -> Result<(), Ended> {
        let message = frontend::parse(frame)?;
        match message {
            Message::Terminate => return Err(Ended::Quiet),
            _ if self.copy_in => return self.on_copy(&message, frame),
            // Left over from a COPY that failed; the server would ignore them too.
            Message::CopyData | Message::CopyDone | Message::CopyFail => return Ok(()),
            Message::Sync => return self.on_sync(frame).await,
            _ if self.discarding => return Ok(()),
            message if let Some(refusal) = Self::against_long_names(&message) => {
                Box::pin(self.refuse_group(refusal)).await?;
            }
            Message::FunctionCall => self.on_function_call().await?,
            Message::Query { sql } => self.on_query(sql, frame).await?,
            Message::Parse { name, sql, types } => self.on_parse(name, sql, types, frame).await?,
            Message::Bind(bind) => self.on_bind(bind, frame).await?,
            Message::Describe { target, name } => self.on_describe(target, name, frame).await?,
            Message::Execute { portal, limit } => self.on_execute(portal, limit, frame).await?,
            Message::Close { target, name } => self.on_close(target, name, frame),
            Message::Flush => self.on_flush(frame).await?,
        }
        self.answer_due();
        Ok(())
    }

    /// COPY FROM STDIN: data passes; what else a client sends here would be read by the server as
    /// something we have not seen.
    fn on_copy(&mut self, message: &Message<'_>, frame: &Bytes) -> Result<(), Ended> {
        match message {
            Message::CopyData => {
                if let Some(open) = self.runs.get_mut(self.copying) {
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
        let silent = self.pipe.client.input.is_empty();
        let (place, pipe, alarm) = (&self.place, &mut self.pipe, &mut self.alarm);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(reason) = place.poll_killed(cx, quiet) {
                return Poll::Ready(Err(Ended::With(Farewell::Ended { reason })));
            }
            // Deadlines move with every message; the alarm is set anew only when it rings.
            while alarm.as_mut().poll(cx).is_ready() {
                if Instant::now() >= until {
                    let reason =
                        if until == idle { "the session did nothing for too long" } else { "the token has expired" };
                    return Poll::Ready(Err(Ended::With(Farewell::Ended { reason: reason.into() })));
                }
                alarm.as_mut().reset(until);
            }
            pipe.poll_step(cx, want)?.map(Ok)
        })
        .await?;
        let now = Instant::now();
        awake::worked(now.into_std(), self.gateway.sessions.active() < CROWD);
        if !self.pipe.client.input.is_empty() {
            if silent {
                self.idle_before = self.idle_since;
            }
            self.idle_since = now;
        }
        self.relay().await?;
        if self.pipe.client.keeps_too_much() {
            let reason = "what this text returns is more than can be kept back until it is approved; send BEGIN, its \
                          statements and COMMIT one by one";
            return Err(Ended::With(Farewell::Ended { reason: reason.to_owned() }));
        }
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
}

/// Whether a database has another encoding than UTF-8, by what the server said of itself.
fn reads_otherwise(parameters: &[BytesMut]) -> bool {
    let encoding = parameters.iter().find_map(|frame| {
        let mut fields = crate::wire::Fields::of(frame.get(frame::HEAD..)?);
        (fields.text().ok()? == "server_encoding").then(|| fields.text().ok().map(str::to_owned))?
    });
    encoding.as_deref() != Some("UTF8")
}

#[cfg(test)]
mod tests {
    use super::*;

    type Begins<F> = fn(Arc<Gateway>, &'static mut End, Startup, Admitted, String, CancelKeys) -> F;

    const fn size<F>(_: Begins<F>) -> usize {
        size_of::<F>()
    }

    /// What seldom happens is boxed where it is awaited: a session keeps room for the longest way that
    /// a statement can take otherwise, and 64 of them do not fit into a core's cache.
    #[test]
    fn what_a_session_keeps_of_its_own_is_small() {
        let bytes = size(run);
        assert!(bytes <= 8 << 10, "{bytes} bytes");
    }
}
