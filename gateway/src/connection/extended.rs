//! Parse, Bind, Describe, Execute, Close, Flush, Sync.
//!
//! Nothing of a statement that is not simply allowed goes upstream before its permit, but its Parse
//! where the client asks for its description. What stays here is *parked*: the gateway answers
//! ParseComplete and BindComplete itself, and forwards the frames, unchanged, with the Execute.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_shared::digest::Digest;
use postgres_protocol::message::frontend as build;

use super::{
    masks::Pending,
    meant::Meant,
    memory::{Known, Reading},
    session::{Ended, Session, unavailable},
};
use crate::{
    catalog::Snapshot,
    config::Mode,
    refusal::Refusal,
    statement::{
        assemble::{Masking, Request},
        classify::{Statement, TransactionMove, parameter_hazard},
        decide::{Decision, explain::rules_behind},
        effect::Effect,
        understood::{Pin, Understood},
    },
    wire::{
        backend,
        frontend::{Bind, Message, Target},
        replies::Sent,
    },
};

/// A message from here on is counted when it comes.
const COUNTED_ALWAYS: usize = 16 << 10;
/// Of smaller ones, one in so many.
const COUNTED_EACH: usize = 64;

/// The longest name of a statement or portal, in bytes (`NAMEDATALEN` less one).
const LONGEST_NAME: usize = 63;

/// A prepared statement.
#[derive(Clone)]
pub struct Prepared {
    /// Its text; `None` where something opaque may have changed it.
    pub sql: Option<Arc<str>>,
    /// What the text was understood to be, where that was certain.
    pub reading: Option<Reading>,
    /// No other statement of the session has it.
    pub number: u64,
    /// The number of its Parse that went upstream last.
    pub parse: u64,
    /// Its parameters' types, by oid, as the client gave them or the server told since.
    pub types: Arc<[u32]>,
    /// The types that the Parse declares which the server has, or gets: 0, or none, where it finds out.
    pub declared: Arc<[u32]>,
    /// Its Parse, as it came.
    pub frame: Bytes,
    /// Whether the Parse went upstream.
    pub sent: bool,
    /// Whether the server said ParseComplete.
    pub confirmed: bool,
    /// What it meant when its Parse, or a Bind of it, went upstream last.
    pub meant: Option<Meant>,
}

/// A portal.
#[derive(Clone)]
pub struct Portal {
    bind: Arc<Bind>,
    frame: Bytes,
    /// What it was bound to; the name may mean another statement by now.
    of: Arc<Prepared>,
    sent: bool,
    /// What it meant when it went upstream.
    bound: Option<Meant>,
    /// The client's Describe of it, which waits with it.
    describe: Option<Bytes>,
    /// Ran once, as this.
    ran: Option<Ran>,
}

/// What a portal was permitted as: the next Execute goes on with the rows of the same permit, where all of
/// it is as it was. A function that it calls row by row may have been replaced, its principal may have
/// lost a group, and policy may be another.
#[derive(Clone)]
struct Ran {
    /// The catalog of then.
    catalog: Arc<Snapshot>,
    effects: Vec<Effect>,
    standing: u64,
    policies: Digest,
    /// Somebody approved it, all of its rows.
    held: bool,
    /// What its rows leave as.
    masks: Option<Pending>,
}

impl Prepared {
    /// Its Parse with the types that the server told, where the one that came left them to the server.
    fn with_its_types(&self, name: &str) -> Option<BytesMut> {
        let sql = self.sql.as_deref().filter(|_| self.types != self.declared)?;
        let mut out = BytesMut::new();
        build::parse(name, sql, self.types.iter().copied(), &mut out).ok()?;
        Some(out)
    }
}

impl Portal {
    /// What it was understood to be when it went upstream.
    pub fn text(&self) -> Option<&Understood> {
        self.bound.as_ref().map(Meant::text)
    }

    /// Whether the server has it.
    pub const fn is_sent(&self) -> bool {
        self.sent
    }
}

impl Session {
    pub(super) async fn on_parse(
        &mut self,
        name: &str,
        sql: &str,
        types: Vec<u32>,
        frame: &Bytes,
    ) -> Result<(), Ended> {
        self.describe_parked().await?;
        if self.discarding {
            return Ok(());
        }
        let analysis = self.analyse_in_group(sql, None).await?;
        if self.discarding {
            return Ok(());
        }
        // Names are as of now: SQL may have deallocated it.
        if !name.is_empty() && self.prepared.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Box::pin(self.refuse_group(Refusal::Prepared { code: "42P05", message })).await;
        }
        if analysis.unpins == Some(Pin::Token) {
            // Not even its description may be asked for there.
            Box::pin(self.record_denial(sql, &Refusal::TokenAlone, &[])).await?;
            return Box::pin(self.refuse_group(Refusal::TokenAlone)).await;
        }
        if self.connection.mode == Mode::Enforce
            && let Some(why) = types.iter().find_map(|oid| parameter_hazard(&self.catalog, &self.names, *oid))
        {
            // The server reads the value at Bind, whatever the text says.
            let message = format!("a parameter's type runs code that can't be seen ({why}); cast it in the text");
            return Box::pin(self.refuse_group(Refusal::NotSupported { message })).await;
        }
        if let Some(refusal) = self.too_much_kept(frame) {
            return Box::pin(self.refuse_group(refusal)).await;
        }
        // In a failed transaction the server itself refuses every Parse that would do something.
        let doomed = self.status == b'E' && !self.unsynced && self.replies.is_quiet();
        let passes = doomed && analysis.own_setting.is_none() || self.passes(&analysis);
        let number = self.next_prepared;
        self.next_prepared += 1;
        let text = Some(sql.into());
        let types: Arc<[u32]> = types.into();
        let declared = Arc::clone(&types);
        if !name.is_empty() {
            // SQL's EXECUTE reaches it from now on.
            self.names.prepared.insert(name.to_owned(), sql.to_owned());
            self.memory.forget_prepared();
        }
        let reading = self.reading(&analysis);
        let meant = passes.then(|| self.means(&analysis));
        let (sent, confirmed) = (passes, false);
        let (parse, kept) = (number, frame.clone());
        let prepared =
            Prepared { sql: text, reading, number, parse, types, declared, frame: kept, sent, confirmed, meant };
        self.prepared.insert(name.to_owned(), Arc::new(prepared));
        if passes {
            self.own_catalog.meets(&analysis);
            self.send(frame, Sent::Parse { name: name.to_owned(), of: parse });
        } else {
            self.replies.answer(backend::parse_complete());
        }
        Ok(())
    }

    pub(super) async fn on_bind(&mut self, bind: Bind, frame: &Bytes) -> Result<(), Ended> {
        self.describe_parked().await?;
        if self.discarding {
            return Ok(());
        }
        let Some(prepared) = self.prepared.get(&bind.statement).cloned() else {
            let message = no_statement(&bind.statement);
            return Box::pin(self.refuse_group(Refusal::Prepared { code: "26000", message })).await;
        };
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            let message = format!("cursor \"{}\" already exists", bind.portal);
            return Box::pin(self.refuse_group(Refusal::Prepared { code: "42P03", message })).await;
        }
        if let Some(refusal) = self.too_much_kept(frame) {
            return Box::pin(self.refuse_group(refusal)).await;
        }
        let (mut bound, mut prepared) = (None, prepared);
        let passes = match &prepared.sql {
            Some(sql) if prepared.sent => {
                let analysis = self.analyse_in_group(sql, prepared.reading.as_ref()).await?;
                if self.discarding {
                    return Ok(());
                }
                // The server plans what is bound, and runs code that is marked immutable or stable for that: before any
                // entry of it, were it not kept here until its Execute.
                let passes = self.passes(&analysis) && !analysis.runs_code;
                if passes {
                    self.own_catalog.meets(&analysis);
                    if let Err(refusal) = self.types_to_run(&bind.statement, &analysis) {
                        return Box::pin(self.refuse_group(refusal)).await;
                    }
                    self.looks_up(&bind.statement, &analysis)?;
                    // It may have another Parse now.
                    if let Some(now) = self.prepared.get(&bind.statement) {
                        prepared = Arc::clone(now);
                    }
                    bound = Some(self.means(&analysis));
                }
                passes
            }
            _ => false,
        };
        let name = bind.portal.clone();
        if passes {
            self.binds(&name);
        }
        let (bind, of) = (Arc::new(bind), prepared);
        let portal = Portal { bind, frame: frame.clone(), of, sent: passes, bound, describe: None, ran: None };
        self.portals.insert(name, portal);
        if passes {
            self.send(frame, Sent::Bind);
        } else {
            self.replies.answer(backend::bind_complete());
        }
        Ok(())
    }

    pub(super) async fn on_describe(&mut self, target: Target, name: &str, frame: &Bytes) -> Result<(), Ended> {
        self.describe_parked().await?;
        if self.discarding {
            return Ok(());
        }
        match target {
            Target::Portal => match self.portals.get_mut(name) {
                Some(portal) if portal.sent => self.send(frame, Sent::DescribePortal),
                Some(portal) => portal.describe = Some(frame.clone()),
                // A cursor that SQL declared, or nothing. To describe it runs nothing.
                None => self.send(frame, Sent::DescribePortal),
            },
            Target::Statement => {
                let Some(prepared) = self.prepared.get(name).cloned() else {
                    let message = no_statement(name);
                    return Box::pin(self.refuse_group(Refusal::Prepared { code: "26000", message })).await;
                };
                if let Some(own) = self.own_of(prepared.sql.as_deref()).await? {
                    self.replies.answer(backend::no_parameters());
                    self.replies.answer(own);
                    return Ok(());
                }
                if !self.may_describe(&prepared).await? {
                    return Ok(());
                }
                let meant = self.means_now(&prepared).await?;
                if self.discarding {
                    return Ok(());
                }
                let alone = !self.unsynced;
                let parked = meant.is_some_and(|meant| self.unpark(name, meant));
                self.send(frame, Sent::DescribeStatement { of: self.parse_of(name) });
                if alone && parked {
                    self.sync_ourselves();
                }
            }
        }
        Ok(())
    }

    /// A parked portal whose description the client wants before (or without) its Execute: the
    /// statement's description is asked for instead, with the portal's formats put in.
    async fn describe_parked(&mut self) -> Result<(), Ended> {
        let waiting = self.portals.iter().find(|(_, portal)| portal.describe.is_some()).map(|(name, _)| name.clone());
        match waiting {
            Some(name) => Box::pin(self.describe_portal(name)).await,
            None => Ok(()),
        }
    }

    async fn describe_portal(&mut self, name: String) -> Result<(), Ended> {
        let Some(portal) = self.portals.get_mut(&name) else { return Ok(()) };
        portal.describe = None;
        let (statement, formats) = (portal.bind.statement.clone(), portal.bind.result_formats.clone());
        let portal = portal.clone();
        let Some(prepared) = self.still_bound(&portal).await? else { return Ok(()) };
        if let Some(own) = self.own_of(prepared.sql.as_deref()).await? {
            self.replies.answer(own);
            return Ok(());
        }
        if !self.may_describe(&prepared).await? {
            return Ok(());
        }
        let meant = self.means_now(&prepared).await?;
        if self.discarding {
            return Ok(());
        }
        let alone = !self.unsynced;
        let parked = meant.is_some_and(|meant| self.unpark(&statement, meant));
        let mut out = BytesMut::new();
        build::describe(b'S', &statement, &mut out)?;
        self.send(&out.freeze(), Sent::DescribePortalByStatement { of: self.parse_of(&statement), formats });
        if alone && parked {
            self.sync_ourselves();
        }
        Ok(())
    }

    /// The statement of a portal. One that waits here is bound only when it runs, to what its
    /// statement's name means then: that must still be what the client meant.
    async fn still_bound(&mut self, portal: &Portal) -> Result<Option<Arc<Prepared>>, Ended> {
        if portal.sent {
            return Ok(Some(Arc::clone(&portal.of)));
        }
        let name = &portal.bind.statement;
        match self.prepared.get(name).cloned() {
            Some(now) if now.frame == portal.of.frame && now.sql == portal.of.sql => Ok(Some(now)),
            _ => {
                let message = format!("prepared statement {name:?} was closed or replaced since it was bound");
                Box::pin(self.refuse_group(Refusal::Prepared { code: "26000", message })).await?;
                Ok(None)
            }
        }
    }

    pub(super) async fn on_execute(&mut self, name: &str, limit: i32, frame: &Bytes) -> Result<(), Ended> {
        let Some(portal) = self.portals.get(name).cloned() else {
            // A cursor that SQL declared runs by FETCH, which is classified; here it would not be.
            let message = format!("portal \"{name}\" does not exist");
            return Box::pin(self.refuse_group(Refusal::Prepared { code: "34000", message })).await;
        };
        let described = portal.describe.clone();
        if self.portals.iter().any(|(other, p)| other != name && p.describe.is_some()) {
            self.describe_parked().await?;
            if self.discarding {
                return Ok(());
            }
        }
        let Some(prepared) = self.still_bound(&portal).await? else { return Ok(()) };
        let Some(sql) = &prepared.sql else {
            // Nobody could see what they approve, and no record could say what ran.
            return Box::pin(self.refuse_group(text_not_known())).await;
        };
        let analysis = self.analyse_in_group(sql, prepared.reading.as_ref()).await?;
        if self.discarding {
            return Ok(());
        }
        if analysis.statements.is_empty() && !prepared.sent {
            self.replies.answer(backend::empty_query());
            return Ok(());
        }
        if let Some(setting) = &analysis.own_setting {
            return match Box::pin(self.own_setting_or_token(setting)).await? {
                Ok(mut frames) => {
                    // RowDescription belongs to Describe.
                    if frames.len() > 1 && described.is_none() {
                        frames.remove(0);
                    } else if frames.len() == 1 && described.is_some() {
                        frames.insert(0, backend::no_data());
                    }
                    frames.into_iter().for_each(|frame| self.replies.answer(frame));
                    Ok(())
                }
                Err(refusal) => Box::pin(self.refuse_group(refusal)).await,
            };
        }
        let is_other =
            |then: &Meant| !(then.holds(&self.names.search_path, &analysis) || self.passes_in_doubt(then.text()));
        if portal.bound.as_ref().is_some_and(is_other) {
            let message = format!("what portal {name:?} names is not what it was when it was bound; bind it again");
            return Box::pin(self.refuse_group(Refusal::NotSupported { message })).await;
        }
        if let Some(refusal) = self.against_its_names(&analysis, name) {
            Box::pin(self.record_denial(sql, &refusal, &[])).await?;
            return Box::pin(self.refuse_group(refusal)).await;
        }
        let bind = &portal.bind;
        let mut request = Request {
            sql: Arc::clone(sql),
            parameters: bind.parameters.clone(),
            formats: (0..bind.parameters.len()).map(|index| bind.format(index)).collect(),
            types: Arc::clone(&prepared.types),
            declared: Arc::clone(&prepared.declared),
            limit,
            analysis: Arc::clone(&*analysis),
            masking: Masking::news(),
        };
        let (policies, by_time) = {
            let now = self.gateway.policies();
            (now.version(), now.rests_on_time())
        };
        if !self.connection.classify.is_empty()
            && let Some(then) = portal.ran.as_ref().filter(|_| portal.sent)
            && !Arc::ptr_eq(&then.catalog, &self.catalog)
            && then.catalog.version_of(&then.effects) != self.catalog.version_of(&then.effects)
        {
            // Its rows are those of the plan of then, and would leave as those of what it is now.
            let message = format!("what portal {name:?} reads was changed since it was bound; bind it again");
            return Box::pin(self.refuse_group(Refusal::NotSupported { message })).await;
        }
        let goes_on = portal.ran.as_ref().filter(|then| {
            // What its rows run was found then, and any code of the database may be among it.
            let version = |catalog: &Snapshot| catalog.version_for(&then.effects, true);
            (then.standing, then.policies) == (self.standing, policies)
                && then.effects == analysis.effects
                && (Arc::ptr_eq(&then.catalog, &self.catalog) || version(&then.catalog) == version(&self.catalog))
                && (then.held || !by_time)
                && !(self.is_reviewed() && analysis.moves_transaction)
        });
        let (goes_on, went_held) = (goes_on.is_some(), goes_on.is_some_and(|then| then.held));
        let simply_passes =
            goes_on || portal.sent && self.steps.is_none() && self.allowed(&analysis) || analysis.only_undoes;
        if !simply_passes {
            // It waits until everything before it is answered without error.
            self.flush_upstream();
            self.settle().await?;
            if self.discarding {
                return Ok(());
            }
            // The server may have told the types meanwhile.
            if let Some(now) = self.prepared.values().find(|now| now.number == prepared.number) {
                request.types = Arc::clone(&now.types);
            }
        }
        if !simply_passes
            && self.connection.mode == Mode::Enforce
            && portal.bound.as_ref().is_some_and(|then| !then.is_read_under(&self.settings))
        {
            let message = format!("settings are others than when portal {name:?} was bound; bind it again");
            return Box::pin(self.refuse_group(Refusal::NotSupported { message })).await;
        }
        if !portal.sent {
            self.reads_anew(&bind.statement);
            request.declared = match self.types_to_run(&bind.statement, &analysis) {
                Ok(declared) => declared,
                Err(refusal) => return Box::pin(self.refuse_group(refusal)).await,
            };
        }
        let permit = if goes_on {
            // The same portal goes on: these rows are those of the statement that was permitted.
            self.masks.pending = portal.ran.as_ref().and_then(|then| then.masks.clone());
            request.masking.is_news = false;
            crate::statement::hold::rollback()
        } else {
            match self.permit_masked(&mut request, &analysis).await? {
                Ok(permit) => permit,
                Err(refusal) => return Box::pin(self.refuse_group(refusal)).await,
            }
        };
        let mut permit = permit;
        if permit.is_reviewed()
            && self.status == b'I'
            && let Err(refusal) = Box::pin(self.is_last_of_its_group(limit)).await?
        {
            self.transaction = None;
            return Box::pin(self.refuse_group(refusal)).await;
        }
        let id = permit.request().cloned();
        let guard = match permit.take_guard() {
            Some(guard) => {
                let limits = guard.pieces.into_iter().find_map(|piece| piece.limits);
                match (limits, Box::pin(self.begin_guard(id.as_ref())).await?) {
                    (Some(limits), Ok(before)) => Some((limits, before)),
                    (_, Err(refusal)) => {
                        if permit.is_reviewed() {
                            self.transaction = None;
                        }
                        let open = self.open_run(&permit, &request).await?.into_open();
                        Box::pin(self.leave_unsent(open)).await;
                        return Box::pin(self.refuse_group(refusal)).await;
                    }
                    (None, Ok(_)) => None,
                }
            }
            None => None,
        };
        if !portal.sent {
            self.looks_up(&bind.statement, &analysis)?;
            if !prepared.sent {
                let meant = self.means(&analysis);
                self.unpark(&bind.statement, meant);
            }
            self.binds(name);
            self.pipe.upstream.send(&portal.frame);
            self.replies.sent_late(Sent::Bind);
            if let Some(describe) = described {
                self.send(&describe, Sent::DescribePortal);
            }
        }
        let bound = Some(self.means(&analysis));
        if let Some(portal) = self.portals.get_mut(name) {
            if !std::mem::replace(&mut portal.sent, true) {
                portal.bound = bound;
            }
            portal.describe = None;
            let (catalog, effects) = (Arc::clone(&self.catalog), analysis.effects.clone());
            let held = went_held || permit.request().is_some();
            let masks = self.masks.pending.clone();
            portal.ran =
                (limit > 0).then_some(Ran { catalog, effects, standing: self.standing, policies, held, masks });
        }
        self.unsynced = true;
        let moves = |s: &Statement| !matches!(s.transaction, TransactionMove::None | TransactionMove::Savepoint);
        if analysis.statements.iter().any(moves) {
            self.moved = true;
            // Whoever moves it has it.
            self.block = false;
        }
        if permit.is_reviewed() && !self.is_kept() {
            return Err(unavailable(&"what is reviewed at its commit is in no transaction that is held"));
        }
        self.executing = Some(name).filter(|name| !name.is_empty()).map(str::to_owned);
        if let Some((limits, before)) = guard {
            return Box::pin(self.run_execute_guarded(permit, &limits, &before, &request, name)).await;
        }
        let run = self.next_run;
        self.run(permit, &request, frame, false).await?;
        self.rows_come_as_bound(run, name);
        // COPY changes what the client's next messages mean, and a statement that changes the session
        // changes what they say: look first.
        if self.dirty || analysis.moves_transaction || analysis.copies_in {
            self.flush_upstream();
            while !self.replies.is_quiet() && !self.copy_in {
                self.pump().await?;
            }
        }
        Ok(())
    }

    /// A portal's Bind goes upstream.
    fn binds(&mut self, name: &str) {
        self.bound_now.push(name.to_owned());
        self.bound_names.insert(name.to_owned());
    }

    /// The rows of a run that are kept come in the formats that its portal was bound with.
    pub(super) fn rows_come_as_bound(&mut self, run: u64, portal: &str) {
        let limit = self.connection.record_rows;
        if limit > 0
            && let (Some(open), Some(portal)) = (self.runs.get_mut(run), self.portals.get(portal))
        {
            open.keeps_rows(limit, &portal.bind.result_formats);
        }
    }

    /// Why a message's names can't be used: the server cuts them (`NAMEDATALEN`), and two that differ here would be one there.
    pub(super) fn against_long_names(message: &Message<'_>) -> Option<Refusal> {
        let names = match message {
            Message::Parse { name, .. } | Message::Describe { name, .. } | Message::Close { name, .. } => [*name, ""],
            Message::Bind(bind) => [bind.portal.as_str(), bind.statement.as_str()],
            Message::Execute { portal, .. } => [*portal, ""],
            _ => return None,
        };
        let long = names.into_iter().find(|name| name.len() > LONGEST_NAME)?;
        let message = format!(
            "the name of a prepared statement or portal has {} bytes, and {LONGEST_NAME} are the most that a server tells apart",
            long.len()
        );
        Some(Refusal::Prepared { code: "42622", message })
    }

    pub(super) fn on_close(&mut self, target: Target, name: &str, frame: &Bytes) {
        // Before anything has run there is nothing to close, and nothing has been asked about names: the server would
        // wait for the group's end then, and what follows would be opaque.
        let fresh = self.next_run == 0 && self.names.search_path.is_empty();
        let sent = match target {
            Target::Statement => {
                self.names.prepared.remove(name);
                self.memory.forget_prepared();
                self.prepared.remove(name).map_or(!fresh, |prepared| prepared.sent)
            }
            Target::Portal => self.portals.remove(name).map_or(!fresh, |portal| portal.sent),
        };
        if sent {
            self.send(frame, Sent::Close);
        } else {
            self.replies.answer(backend::close_complete());
        }
    }

    pub(super) async fn on_flush(&mut self, frame: &Bytes) -> Result<(), Ended> {
        self.describe_parked().await?;
        if self.unsynced && !self.discarding {
            self.pipe.upstream.send(frame);
        }
        Ok(())
    }

    pub(super) async fn on_sync(&mut self, frame: &Bytes) -> Result<(), Ended> {
        if !self.discarding {
            let quiet = self.replies.is_quiet();
            self.describe_parked().await?;
            // An error of that is the client's group's, which this Sync ends.
            if quiet && !self.replies.is_quiet() {
                self.settle().await?;
            }
        }
        self.discarding = false;
        self.end_block().await?;
        // An error that came only now is the group's, too, and its Sync is here.
        self.discarding = false;
        if self.unsynced {
            self.pipe.upstream.send(frame);
            self.replies.sent(Sent::Sync);
            // The next group waits for what becomes of this one: what this one prepares may not be
            // there, and something else under its name may.
            self.unsynced = false;
        } else {
            // The server knows nothing of this group, or has ended it for us.
            self.settle().await?;
            self.replies.answer(backend::ready(self.status));
            if self.status == b'I' {
                self.portals.clear();
            }
        }
        self.answer_due();
        Ok(())
    }

    /// Sends a frame of the client's in its group.
    fn send(&mut self, frame: &Bytes, sent: Sent) {
        self.unsynced = true;
        self.pipe.upstream.send(frame);
        self.replies.sent(sent);
    }

    /// A Parse locks what it names until the group ends, and the client may let it wait. Where the group
    /// holds nothing else, it ends for the server here.
    pub(super) fn sync_ourselves(&mut self) {
        self.pipe.upstream.send(&[b'S', 0, 0, 0, 4]);
        self.replies.sent(Sent::OwnSync);
        self.unsynced = false;
    }

    /// Sends a parked Parse, whose ParseComplete the client has had; whether there was one.
    pub(super) fn unpark(&mut self, name: &str, meant: Meant) -> bool {
        if let Some(prepared) = self.prepared.get_mut(name)
            && !prepared.sent
        {
            let of = self.next_prepared;
            self.next_prepared += 1;
            let prepared = Arc::make_mut(prepared);
            (prepared.sent, prepared.confirmed, prepared.parse) = (true, false, of);
            prepared.meant = Some(meant);
            self.unsynced = true;
            // What the server said once of its parameters stays so, as for a plan that it makes anew itself: the client
            // writes their values by it, and whoever approves reads them by it.
            match prepared.with_its_types(name) {
                Some(frame) => {
                    prepared.declared = Arc::clone(&prepared.types);
                    self.pipe.upstream.send(&frame);
                }
                None => self.pipe.upstream.send(&prepared.frame),
            }
            self.replies.sent_late(Sent::Parse { name: name.to_owned(), of });
            return true;
        }
        false
    }

    /// The number of the Parse that a statement's name has now.
    fn parse_of(&self, name: &str) -> u64 {
        self.prepared.get(name).map_or(u64::MAX, |prepared| prepared.parse)
    }

    /// Asks the server for what it has so far.
    pub(super) fn flush_upstream(&mut self) {
        if self.unsynced {
            self.pipe.upstream.send(&[b'H', 0, 0, 0, 4]);
        }
    }

    /// Analyses a text in a group: where names may have changed, everything before is answered first.
    async fn analyse_in_group(&mut self, sql: &str, reading: Option<&Reading>) -> Result<Known, Ended> {
        if self.dirty && !self.replies.is_quiet() {
            self.flush_upstream();
            self.settle().await?;
        }
        self.analyse(sql, reading).await
    }

    /// Statements and portals are kept here as they came, for as long as they live: what one message
    /// may have bounds them together.
    fn too_much_kept(&self, frame: &Bytes) -> Option<Refusal> {
        let count = self.prepared.len() + self.portals.len();
        // Small ones are counted now and then only, since a driver may keep thousands of them.
        if frame.len() < COUNTED_ALWAYS && !count.is_multiple_of(COUNTED_EACH) {
            return None;
        }
        let portals = self.portals.values().map(|portal| portal.frame.len());
        let kept: usize = self.prepared.values().map(|prepared| prepared.frame.len()).chain(portals).sum();
        let most = self.gateway.config.gateway.bounds.caps.parameters;
        (kept + frame.len() > most).then(|| Refusal::Prepared {
            code: "54000",
            message: format!(
                "the prepared statements and portals of this session have {kept} bytes; max_parameters ({most}) is the \
                 most for all of them together. Close some"
            ),
        })
    }

    /// Whether a statement may go upstream as it is, now.
    fn passes(&self, analysis: &Known) -> bool {
        // What meets a classified column waits for its Execute, with what its rows leave as.
        if analysis.own_setting.is_some() || analysis.unpins.is_some() || self.guards(analysis) {
            return false;
        }
        analysis.only_undoes
            || analysis.statements.is_empty()
            || self.connection.mode == Mode::Observe
            || self.allowed(analysis)
    }

    /// What a statement that waits here means now.
    async fn means_now(&mut self, prepared: &Prepared) -> Result<Option<Meant>, Ended> {
        let Some(sql) = prepared.sql.clone().filter(|_| !prepared.sent) else { return Ok(None) };
        let known = self.analyse_in_group(&sql, prepared.reading.as_ref()).await?;
        Ok(Some(self.means(&known)))
    }

    /// Whether a statement's description may be asked for: where it is not denied outright.
    async fn may_describe(&mut self, prepared: &Prepared) -> Result<bool, Ended> {
        if prepared.sent { Ok(true) } else { Box::pin(self.may_describe_parked(prepared)).await }
    }

    async fn may_describe_parked(&mut self, prepared: &Prepared) -> Result<bool, Ended> {
        let Some(sql) = prepared.sql.clone() else {
            Box::pin(self.refuse_group(text_not_known())).await?;
            return Ok(false);
        };
        let analysis = self.analyse_in_group(&sql, prepared.reading.as_ref()).await?;
        // Values come with the Bind: what runs is looked at then.
        self.template = self.template_but_for_values(&sql);
        let asked = self.asked(&analysis);
        self.template = None;
        let mut rules = Vec::new();
        let judged = match self.decision(&asked).await {
            Ok(Decision::Deny(_)) if self.glass_would_do(&asked).await => return Ok(true),
            Ok(decision) => {
                rules = rules_behind(&self.gateway.policies(), &asked, &decision, chrono::Utc::now());
                crate::statement::hold::judge(self.connection.mode, decision, &analysis, &self.connection.name)
            }
            Err(refusal) => crate::statement::hold::Judged::No(refusal),
        };
        match judged {
            crate::statement::hold::Judged::No(refusal) => {
                let refusal = self.with_a_way_out(&asked, refusal).await;
                self.record_denial(&sql, &refusal, &rules).await?;
                Box::pin(self.refuse_group(refusal)).await?;
                Ok(false)
            }
            _ => Ok(true),
        }
    }

    /// What Describe answers for `SET/SHOW countersign.*`.
    async fn own_of(&mut self, sql: Option<&str>) -> Result<Option<Bytes>, Ended> {
        use crate::statement::classify::OwnSetting;
        let Some(sql) = sql else { return Ok(None) };
        let analysis = self.analyse_in_group(sql, None).await?;
        Ok(analysis.own_setting.as_ref().map(|setting| match setting {
            OwnSetting::Set { .. } => backend::no_data(),
            OwnSetting::Show { name } => backend::one_column(&format!("countersign.{name}")),
        }))
    }

    /// An error of the gateway's own in a group: as PostgreSQL's, it undoes what the group did and
    /// drops what follows, up to the client's Sync.
    pub(super) async fn refuse_group(&mut self, refusal: Refusal) -> Result<(), Ended> {
        self.flush_upstream();
        self.settle().await?;
        if self.discarding {
            return Ok(());
        }
        self.pipe.client.send(&refusal.frame());
        self.discarding = true;
        if self.unsynced || self.status == b'T' {
            let mut out = BytesMut::new();
            build::parse("", &Self::failing(), [], &mut out)?;
            build::bind("", "", [], Vec::<()>::new(), |(), _| Ok(postgres_protocol::IsNull::No), [], &mut out)
                .map_err(|_| std::io::Error::other("a Bind could not be built"))?;
            build::execute("", 0, &mut out)?;
            self.pipe.upstream.send(&out);
            self.unsynced = true;
            self.replies.sent_for_us(Sent::Parse { name: String::new(), of: u64::MAX });
            self.replies.sent_for_us(Sent::Bind);
            self.replies.sent_for_us(Sent::Execute { run: u64::MAX });
            self.flush_upstream();
            self.settle().await?;
            self.discarding = true;
        }
        self.prepared.remove("");
        self.portals.remove("");
        Ok(())
    }
}

/// What SQL prepared runs by SQL's EXECUTE, which is analysed.
fn text_not_known() -> Refusal {
    let message = "this statement's text is not known; prepare it by message, or run it with EXECUTE".to_owned();
    Refusal::NotSupported { message }
}

/// As PostgreSQL says it.
fn no_statement(name: &str) -> String {
    if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    }
}
