//! mask, for a session: which statements are looked at, what policy says of their columns, and what the
//! server's frames leave as.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use chrono::Utc;
use postgres_protocol::message::frontend as build;

use super::{
    memory::Known,
    session::{Ended, Session, unavailable},
};
use crate::{
    catalog::Snapshot,
    refusal::{Refusal, notice},
    statement::{
        assemble::{Masking, Request},
        classify::{
            Doubt,
            columns::{Column, Use},
            off_thread,
        },
        decide::{Asked, ColumnFacts, Decision, revealed_by},
        effect::{Action, Effect, Object},
        hold::Permit,
        mask::{
            copied::CopyMask,
            exposure::{Exposure, exposures},
            hidden::unshown,
            plan::{Cursors, Hidden, Judged, Leaves, Move, Plan, Shown, judge, questions, written},
            report,
            rows::{RowMask, description},
            sensitive::{Class, Sensitive},
            value::HashKey,
        },
        record,
        understood::Understood,
    },
    wire::{
        Fields, Violation, frame,
        replies::{Rows, Sent},
    },
};

/// What a permit comes with.
#[derive(Clone)]
pub(super) enum Pending {
    /// Nothing of it is classified.
    Free,
    /// A plan.
    Plan(Arc<Plan>),
}

/// What a session knows of masks.
#[derive(Default)]
pub(super) struct Masks {
    /// The classified columns of the catalog that was looked at last.
    sensitive: Mutex<Option<(Arc<Snapshot>, Arc<Sensitive>)>>,
    cursors: Cursors,
    /// For the statement that was permitted, until it runs.
    pub pending: Option<Pending>,
    /// What the statement that is being decided asks to reveal.
    pub revealing: Vec<ColumnFacts>,
    runs: VecDeque<Run>,
    /// Whether an error may quote what a statement of this transaction wrote.
    reducing: bool,
    key: Option<HashKey>,
}

/// A statement under a plan, while the server answers it.
struct Run {
    run: u64,
    plan: Arc<Plan>,
    /// The statement of its text that is answered now.
    at: usize,
    /// Its rows, once the server has described them.
    rows: Option<RowMask>,
    copy: Option<CopyMask>,
}

impl Run {
    fn leaves(&self) -> &Leaves {
        self.plan.shields.get(self.at).map_or(&Leaves::Whole, |shield| &shield.leaves)
    }

    fn reduces(&self) -> bool {
        self.plan.shields.get(self.at).is_none_or(|shield| shield.reduces)
    }

    /// Whether the server has not begun to run what it answers.
    fn only_reads(&self) -> bool {
        self.rows.is_none() && self.plan.shields.get(self.at).is_some_and(|shield| shield.is_query)
    }
}

impl Masks {
    /// The transaction is over.
    pub fn end_transaction(&mut self) {
        self.reducing = false;
        self.cursors.end_transaction();
    }

    /// Whether what ends the transaction may quote what was written in it.
    pub const fn is_reducing(&self) -> bool {
        self.reducing
    }

    /// A run is over.
    pub fn ended(&mut self, run: u64) {
        self.runs.retain(|other| other.run != run);
    }

    fn get(&mut self, run: Option<u64>) -> Option<&mut Run> {
        let run = run?;
        self.runs.iter_mut().find(|other| other.run == run)
    }

    /// Whether rows that come now must be read.
    pub fn reads_rows(&mut self, run: Option<u64>) -> bool {
        !self.runs.is_empty()
            && self.get(run).is_some_and(|run| {
                *run.leaves() != Leaves::Clear
                    || run.copy.is_some()
                    || run.rows.as_ref().is_some_and(|rows| !rows.is_clear())
            })
    }
}

/// What becomes of a frame of the server's.
pub(super) enum Frame {
    /// It leaves as it is.
    AsItIs,
    /// This leaves in its place; nothing, where it is empty.
    Instead(Bytes),
}

impl Session {
    /// Whether a text may give or use classified columns.
    pub(super) fn guards(&self, known: &Known) -> bool {
        !self.connection.classify.is_empty() && known.is_guarded(|text| self.sensitive().is_touched_by(text))
    }

    /// The classified columns of the catalog of now.
    pub(super) fn sensitive(&self) -> Arc<Sensitive> {
        let mut kept = self.masks.sensitive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, sensitive)) = kept.as_ref()
            && Arc::ptr_eq(of, &self.catalog)
        {
            return Arc::clone(sensitive);
        }
        let sensitive = self.catalogs.sensitive(&self.connection.classify, &self.catalog);
        *kept = Some((Arc::clone(&self.catalog), Arc::clone(&sensitive)));
        sensitive
    }

    /// decide, and hold where policy says so; with what the rows leave as.
    pub(super) async fn permit_masked(
        &mut self,
        request: &mut Request,
        known: &Known,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        self.masks.revealing.clear();
        let harmless = known.only_undoes || known.statements.is_empty() || known.unpins.is_some();
        if harmless || !self.guards(known) {
            let permit = self.permit(request, known).await;
            self.masks.pending = Some(Pending::Free);
            return permit;
        }
        Box::pin(self.permit_sensitive(request, known)).await
    }

    /// The same for what meets a classified column.
    async fn permit_sensitive(
        &mut self,
        request: &mut Request,
        known: &Known,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        self.masks.pending = None;
        let exposures = self.exposures(&request.sql, known).await?;
        let judged = self.judge_columns(&exposures, known, &[]);
        if self.own.get("reveal").is_some_and(|why| !why.is_empty()) && !judged.wanted.is_empty() {
            if self.could_be_revealed(known, &judged.wanted).await? {
                self.masks.revealing.clone_from(&judged.wanted);
            } else {
                let said = "nobody can approve to reveal what this statement uses; it stays masked";
                self.replies.answer(notice(said, None));
            }
        }
        if self.masks.revealing.is_empty()
            && let Some(hidden) = &judged.hidden
        {
            let hidden = hidden.clone();
            return self.hide(request, &hidden).await.map(Err);
        }
        request.masking = self.masking(request, &exposures, &judged);
        let permit = self.permit(request, known).await;
        let revealing = std::mem::take(&mut self.masks.revealing);
        let permit = match permit? {
            Ok(permit) => permit,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut judged = judged;
        if permit.request().is_some() || !revealing.is_empty() {
            // As it is now: what was approved is revealed, and nothing else.
            let exposures = self.exposures(&request.sql, known).await?;
            judged = self.judge_columns(&exposures, known, &revealing);
            if let Some(hidden) = &judged.hidden {
                let refusal = self.hide(request, hidden).await?;
                self.leave_unforwarded(request, &permit).await?;
                return Ok(Err(refusal));
            }
            request.masking.told.clone_from(&judged.plan.told);
            request.masking.revealed =
                revealing.iter().map(|facts| facts.column.display(&self.connection.name)).collect();
        }
        self.masks.pending = Some(Pending::Plan(Arc::new(judged.plan)));
        Ok(Ok(permit))
    }

    /// What a text does with classified columns. A big one is read off the threads that carry sessions.
    async fn exposures(&self, sql: &str, known: &Known) -> Result<Vec<Exposure>, Ended> {
        let sensitive = self.sensitive();
        if sql.len() < 8 << 10 {
            return Ok(exposures(sql, known, (&self.catalog, &self.names), &sensitive));
        }
        let (sql, known, catalog, names) =
            (sql.to_owned(), Arc::clone(&**known), Arc::clone(&self.catalog), self.names.clone());
        let found = off_thread(move || exposures(&sql, &known, (&catalog, &names), &sensitive)).await;
        found.ok_or_else(|| unavailable(&"no thread could analyse a text"))
    }

    /// What a text's columns come to; `approved` are those that somebody approved to reveal.
    fn judge_columns(&self, exposures: &[Exposure], text: &Understood, approved: &[ColumnFacts]) -> Judged {
        let sensitive = self.sensitive();
        let cursors = &self.masks.cursors;
        let asks = questions(exposures, &sensitive, cursors).into_iter().filter_map(|(column, uses)| {
            let classification = sensitive.class(&column)?.label.clone();
            Some(ColumnFacts { column: column.object(), classification, uses: uses.into_iter().collect() })
        });
        let answers = self.ask_to_reveal(text, asks.collect());
        let mut may = |column: &Column, class: &Class, used: Use| {
            let object = column.object();
            if approved.iter().any(|facts| facts.column == object && facts.uses.contains(&used)) {
                return true;
            }
            let key = (object, used);
            match answers.get(&key) {
                Some(yes) => *yes,
                None => {
                    let classification = class.label.clone();
                    let facts = ColumnFacts { column: key.0.clone(), classification, uses: vec![used] };
                    self.ask_to_reveal(text, vec![facts]).get(&key).copied().unwrap_or_default()
                }
            }
        };
        judge(exposures, &sensitive, &self.masks.cursors, self.connection.on_doubt, &mut may)
    }

    /// What of some columns may be revealed without anybody's approval.
    fn ask_to_reveal(&self, text: &Understood, columns: Vec<ColumnFacts>) -> HashMap<(Object, Use), bool> {
        if columns.is_empty() {
            return HashMap::new();
        }
        let asked = self.asked_to_reveal(text, columns);
        let policies = self.gateway.policies();
        let (answers, by) = revealed_by(&policies, &asked, Utc::now());
        policies.permissions().mark(&by);
        answers.into_iter().map(|(column, used, yes)| ((column, used), yes)).collect()
    }

    fn asked_to_reveal(&self, text: &Understood, columns: Vec<ColumnFacts>) -> Asked {
        let effects = columns.iter().map(|facts| Effect::new(Action::Reveal, facts.column.clone())).collect();
        Asked { effects, columns, ..self.asked(text) }
    }

    async fn could_be_revealed(&self, text: &Understood, wanted: &[ColumnFacts]) -> Result<bool, Ended> {
        let asked = self.asked_to_reveal(text, wanted.to_vec());
        match self.decision(&asked).await {
            Ok(decision) => Ok(!matches!(decision, Decision::Deny(_))),
            Err(refusal) => Err(unavailable(&refusal.line())),
        }
    }

    async fn hide(&self, request: &Request, hidden: &Hidden) -> Result<Refusal, Ended> {
        let refusal = match &request.analysis.doubt {
            Some(Doubt::Syntax { message, position }) => {
                Refusal::Syntax { message: message.clone(), position: *position }
            }
            Some(Doubt::UnknownRelation { name }) => Refusal::UnknownRelation { name: name.clone() },
            Some(Doubt::UnknownFunction { name }) => Refusal::UnknownFunction { name: name.clone() },
            _ => refusal_of(hidden),
        };
        self.record_denial(&request.sql, &refusal, &[]).await?;
        Ok(refusal)
    }

    /// A permit that is not used: its request says so.
    async fn leave_unforwarded(&self, request: &Request, permit: &Permit) -> Result<(), Ended> {
        let durability = self.connection.durability;
        let recorded = record::open(&self.gateway.log, &self.header, request, permit, durability, false)
            .await
            .map_err(|down| unavailable(&down))?;
        self.leave_unsent(recorded.into_open()).await;
        Ok(())
    }

    /// What is told of a statement, and what of it is not shown.
    fn masking(&mut self, request: &Request, exposures: &[Exposure], judged: &Judged) -> Masking {
        let unshown = unshown(&request.sql, exposures, &self.sensitive(), request.parameters.len());
        let key = self.hash_key();
        let hash = |at: usize| request.parameters.get(at).and_then(Option::as_ref).map(|value| key.text(value));
        let hidden = unshown.parameters.into_iter().map(|(at, sign)| {
            let record = hash(at).map_or_else(|| sign.clone(), |hash| format!("hash:{hash}"));
            (at, (sign, record))
        });
        let told = judged.plan.told.clone();
        Masking { told, hidden: hidden.collect(), shown: unshown.sql, is_news: true, ..Masking::default() }
    }

    fn hash_key(&mut self) -> HashKey {
        let seal = &self.gateway.seal;
        self.masks.key.get_or_insert_with(|| HashKey::new(seal.derive("countersign/mask/v1").as_bytes())).clone()
    }

    /// A permitted statement is about to be forwarded. `frame` is its Query or Execute.
    pub(super) fn masks_begin(
        &mut self,
        run: u64,
        request: &Request,
        frame: &Bytes,
        simple: bool,
    ) -> Result<(), Ended> {
        if self.connection.classify.is_empty() {
            return Ok(());
        }
        let plan = match self.masks.pending.take() {
            Some(Pending::Free) => return Ok(()),
            Some(Pending::Plan(plan)) => plan,
            None if !self.sensitive().is_touched_by(&request.analysis) => return Ok(()),
            // Nobody judged it.
            None => Arc::new(Plan::whole()),
        };
        if let Some(said) = plan.notice().filter(|_| request.masking.is_news) {
            self.replies
                .answer(notice(&said, Some("SET countersign.reveal = 'why' asks for approval to see it once.")));
        }
        for moved in &plan.moves {
            if let Move::Declares(name, cursor) = moved {
                self.masks.cursors.declare(name.clone(), cursor.clone());
            }
        }
        self.masks.reducing |= plan.reduces_to_the_end;
        let masked = plan.shields.iter().any(|shield| shield.leaves != Leaves::Clear);
        if !simple && masked {
            // What its rows are must be known, whether or not the client asks.
            let portal = Fields::of(&frame[frame::HEAD..]).text()?.to_owned();
            let mut out = BytesMut::new();
            build::describe(b'P', &portal, &mut out)?;
            self.pipe.upstream.send(&out);
            self.replies.sent_late(Sent::DescribeToMask { run });
        }
        self.hash_key();
        self.masks.runs.push_back(Run { run, plan, at: 0, rows: None, copy: None });
        Ok(())
    }

    /// What a frame that is no row leaves as. `run` is the one that it answers.
    pub(super) fn mask_frame(&mut self, run: Option<u64>, tag: u8, body: &[u8]) -> Result<Frame, Ended> {
        // A guarded Query runs alone.
        let of_query = || self.masks.runs.back().map(|run| run.run).filter(|_| self.replies.describes_query());
        let run = run.or_else(of_query);
        match tag {
            b'T' => self.described(run, body)?,
            b'H' => self.copies_out(run, body)?,
            b'C' | b'I' => self.statement_ended(run),
            b'E' | b'N' => return self.mask_report(run, tag, body),
            b'A' => return self.mask_notification(body),
            _ => {}
        }
        Ok(Frame::AsItIs)
    }

    fn described(&mut self, run: Option<u64>, body: &[u8]) -> Result<(), Ended> {
        let Some(number) = run else { return Ok(()) };
        let fields = description(body)?;
        let sensitive = self.sensitive();
        let catalog = Arc::clone(&self.catalog);
        let name = |oid: u32| catalog.type_facts(oid).map(|facts| facts.name.clone());
        if self.masks.get(run).is_none() {
            // Its text is not known to meet a classified column; the server says that it does.
            if !fields.iter().any(|field| sensitive.by_number(field.table, field.column).is_some()) {
                return Ok(());
            }
            tracing::error!(
                connection = self.connection.name,
                "rows hold a classified column that their text does not"
            );
            self.masks.runs.push_back(Run {
                run: number,
                plan: Arc::new(Plan::whole()),
                at: 0,
                rows: None,
                copy: None,
            });
        }
        if let Some(run) = self.masks.get(run) {
            run.rows = Some(RowMask::new(run.leaves(), &fields, &run.plan, &sensitive, name));
        }
        Ok(())
    }

    fn copies_out(&mut self, run: Option<u64>, body: &[u8]) -> Result<(), Ended> {
        let Some(run) = self.masks.get(run).filter(|run| *run.leaves() != Leaves::Clear) else { return Ok(()) };
        let mut fields = Fields::of(body);
        let (overall, count) = (fields.u8()?, usize::from(fields.u16()?));
        let shield = run.plan.shields.get(run.at);
        let form = shield.and_then(|shield| shield.copies.as_ref()).filter(|form| overall == form.code());
        let shown = match run.leaves() {
            Leaves::Columns(shown) if shown.len() == count => shown.clone(),
            _ => vec![Shown::Computed; count],
        };
        let Some(form) = form else { return Err(Violation::new("a COPY that must be masked has another form").into()) };
        run.copy = Some(CopyMask::new(form, &shown, shield.map(|shield| shield.kinds.as_slice()).unwrap_or_default()));
        Ok(())
    }

    fn statement_ended(&mut self, run: Option<u64>) {
        let Some(run) = self.masks.get(run) else { return };
        let at = run.at;
        let plan = Arc::clone(&run.plan);
        run.at += 1;
        (run.rows, run.copy) = (None, None);
        for moved in &plan.moves {
            if let Move::Closes(of, name) = moved
                && *of == at
            {
                self.masks.cursors.close(name.as_deref());
            }
        }
    }

    fn mask_report(&mut self, run: Option<u64>, tag: u8, body: &[u8]) -> Result<Frame, Ended> {
        let reads_text = self.replies.reads_text();
        let (reducing, any) = (self.masks.reducing, self.masks.runs.iter().any(Run::reduces));
        let (reduces, only_read) = match self.masks.get(run) {
            Some(run) => (run.reduces(), run.only_reads()),
            None => (run.is_none() && any, reads_text),
        };
        if !(reduces || reducing) {
            return Ok(Frame::AsItIs);
        }
        let left = report::reduced(tag, body, only_read || reads_text)?;
        Ok(Frame::Instead(left.unwrap_or_default().into()))
    }

    /// An error to a statement of the gateway's own that ends what the client wrote, as it leaves.
    pub(super) fn mask_late_error(&self, error: &Bytes) -> Result<Bytes, Ended> {
        if !self.masks.reducing {
            return Ok(error.clone());
        }
        let left = report::reduced(b'E', error.get(frame::HEAD..).unwrap_or_default(), false)?;
        Ok(left.unwrap_or_default().into())
    }

    /// What others' rows may be put into by code of the database keeps its channel alone.
    pub(super) fn mask_notification(&self, body: &[u8]) -> Result<Frame, Ended> {
        if self.connection.classify.is_empty() || !self.sensitive().notifies || body.ends_with(b"\0\0") {
            return Ok(Frame::AsItIs);
        }
        let sensitive = self.sensitive();
        let text = Understood::default();
        let facts = sensitive.all().filter_map(|column| {
            let classification = sensitive.class(&column)?.label.clone();
            Some(ColumnFacts { column: column.object(), classification, uses: vec![Use::Output] })
        });
        if self.ask_to_reveal(&text, facts.collect()).values().all(|yes| *yes) {
            Ok(Frame::AsItIs)
        } else {
            Ok(Frame::Instead(report::without_payload(body)?.into()))
        }
    }

    /// Writes one row, or one message of COPY data, as it leaves, to the client or to what is kept for it; from which
    /// byte on it stands there. `whole` is its frame.
    pub(super) fn mask_row(&mut self, run: Option<u64>, whole: &[u8], rows: Rows) -> Result<usize, Ended> {
        let unknown = || Ended::from(Violation::new("rows that must be masked come without a description"));
        let (tag, body) = (whole.first().copied().unwrap_or_default(), whole.get(frame::HEAD..).unwrap_or_default());
        let Masks { runs, key, .. } = &mut self.masks;
        let run = runs.iter_mut().find(|other| Some(other.run) == run).ok_or_else(unknown)?;
        let key = key.as_ref().ok_or_else(unknown)?;
        let out = if rows == Rows::Keep { &mut self.kept } else { self.pipe.client.queue() };
        let left = out.len();
        if tag == b'D' {
            run.rows.as_ref().ok_or_else(unknown)?.write(body, key, out)?;
            return Ok(left);
        }
        let row = run.copy.as_mut().ok_or_else(unknown)?.row(body, key);
        let row = row.ok_or_else(|| Violation::new("a row of a COPY that must be masked can't be read"))?;
        out.extend_from_slice(b"d");
        out.extend_from_slice(&u32::try_from(row.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&row);
        Ok(left)
    }
}

fn refusal_of(hidden: &Hidden) -> Refusal {
    let what = hidden
        .column
        .as_ref()
        .map_or_else(|| "classified columns".to_owned(), |(column, label)| format!("{} ({label})", written(column)));
    let how = match hidden.used {
        Use::Output => "gives",
        Use::Predicate => "chooses, joins, orders or groups rows by",
        Use::Lookup => "looks rows up by",
        Use::Join => "joins rows by",
        Use::Source => "writes, copies or hands to code",
    };
    let message = format!("this statement {how} {what}, which you may not see");
    let mut detail = match hidden.used {
        Use::Lookup | Use::Join => {
            let (word, compare) = (hidden.used.word(), hidden.used.compare());
            format!("No policy permits reveal with use \"{word}\" and compare \"{compare}\".")
        }
        other => format!("No policy permits reveal with use \"{other}\"."),
    };
    if let Some(because) = &hidden.because {
        detail = format!("{detail} {because}.");
    }
    Refusal::Masked { message, detail }
}
