//! record: opened before forward, closed after the server's answer. What can't be recorded is not
//! forwarded.

use std::{borrow::Cow, time::Instant};

use chrono::Utc;
use countersign_shared::{digest::Digest, ids::RequestId};
use serde::Serialize;

use super::{
    assemble::Request,
    copied::{Copied, Copying},
    hold::Permit,
    mask::plan::Told,
    rows::Rows,
};
use crate::{
    approval::{allowance::Run, steps::Stepped},
    config::Durability,
    log::{Entry, Kind, Line, Log, LogDown, Of, Which},
    wire::backend::Report,
};

/// Who and where, the same in all entries of a session.
#[derive(Clone, Debug)]
pub struct Header {
    /// An entry with the session's own fields filled in.
    pub(super) entry: Entry,
    of: Of,
}

impl From<Entry> for Header {
    fn from(entry: Entry) -> Self {
        Self { of: Of::from(&entry), entry }
    }
}

impl Header {
    /// An entry of this session.
    #[must_use]
    pub fn entry(&self, kind: Kind) -> Entry {
        Entry { time: Utc::now(), kind, ..self.entry.clone() }
    }

    fn line<'a, D>(&'a self, kind: Which, request: Option<&'a RequestId>, outcome: &'a str, detail: D) -> Line<'a, D> {
        let request = request.map(RequestId::as_str);
        Line { time: Utc::now(), kind, of: &self.of, request, sql: None, outcome, detail }
    }
}

/// Proof that a statement's entry was handed to the operating system (or fsynced, for what is more
/// than a read). Only [`open`] makes one; `forward` takes it by value.
#[derive(Debug)]
pub struct Recorded {
    open: Open,
}

/// A statement whose outcome is not recorded yet.
#[derive(Clone, Debug)]
pub struct Open {
    request: Option<RequestId>,
    /// The run of it, where more than one was allowed.
    run: Option<u32>,
    /// Which statement of its request, where that was asked for statement by statement.
    step: Option<u32>,
    only_reads: bool,
    since: Instant,
    /// Command tags so far; a simple Query may have several.
    pub tags: Vec<String>,
    /// COPY data that is on its way in.
    copying: Option<Copying>,
    /// COPY data that has come in.
    copied: Vec<Copied>,
    /// Rows that have left, where the connection keeps any.
    rows: Option<Box<Rows>>,
}

impl Recorded {
    /// Keeps what the outcome's entry needs.
    #[must_use]
    pub fn into_open(self) -> Open {
        self.open
    }
}

impl Open {
    /// The server waits for COPY data.
    pub fn copies(&mut self) {
        self.copying = Some(Copying::default());
    }

    /// COPY data goes to the server.
    pub fn takes(&mut self, data: &[u8]) {
        if let Some(copying) = &mut self.copying {
            copying.take(data);
        }
    }

    /// The server completed a statement.
    pub fn completed(&mut self, tag: String) {
        self.copied.extend(self.copying.take().map(|copying| copying.end(Some(&tag))));
        self.tags.push(tag);
    }

    /// So many of its rows are kept; in these formats they come.
    pub fn keeps_rows(&mut self, limit: usize, formats: &[u16]) {
        if limit > 0 {
            let rows = self.rows.get_or_insert_with(|| Box::new(Rows::up_to(limit)));
            rows.come_in(formats);
        }
    }

    /// What is kept of its rows, where any more are looked at.
    pub fn rows(&mut self) -> Option<&mut Rows> {
        self.rows.as_deref_mut().filter(|rows| rows.wants())
    }

    /// The released request, if it was a held statement.
    #[must_use]
    pub const fn request(&self) -> Option<&RequestId> {
        self.request.as_ref()
    }

    /// Which of its runs, where more than one was allowed.
    #[must_use]
    pub const fn run(&self) -> Option<u32> {
        self.run
    }

    /// Which statement of its request, where that was asked for statement by statement.
    #[must_use]
    pub const fn step(&self) -> Option<u32> {
        self.step
    }

    /// Milliseconds since it was forwarded.
    #[must_use]
    pub fn milliseconds(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What is told of a statement beside its text.
#[derive(Serialize)]
struct Detail<'a, E> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parameters: Vec<String>,
    effects: E,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    /// The policies that stopped it, or would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<&'a [String]>,
    /// With `rules`: the client's application name.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<&'a str>,
    /// Outputs that leave masked.
    #[serde(skip_serializing_if = "<[Told]>::is_empty")]
    masked: &'a [Told],
    /// Columns that an approval revealed.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    revealed: &'a [String],
    /// What EXECUTE runs, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    executes: Vec<&'a (String, String)>,
    /// Which run it is of what somebody allowed, and who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    allowance: Option<serde_json::Value>,
    /// Which statement it is of a text that was approved statement by statement, and who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<serde_json::Value>,
    /// The template that it is, where policy let it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<&'a str>,
}

/// What the EXECUTEs of a text run, which it does not say itself.
fn executes(request: &Request) -> Vec<&(String, String)> {
    request.analysis.statements.iter().flat_map(|statement| &statement.executes).collect()
}

/// What is told of a statement that is held, in its entry's detail.
#[must_use]
pub fn held(request: &Request, header: &Header, digest: Digest, rules: &[String]) -> serde_json::Value {
    let connection = header.entry.connection.as_deref().unwrap_or_default();
    let effects = request.analysis.told(connection);
    let application = header.entry.detail["application"].as_str();
    let parameters = request.parameters_as_text();
    let (masked, revealed) = (&request.masking.told, &request.masking.revealed);
    let executes = executes(request);
    let (digest, rules) = (Some(digest), Some(rules));
    let (allowance, step, template) = (None, None, None);
    let detail = Detail {
        parameters,
        effects,
        digest,
        rules,
        application,
        masked,
        revealed,
        executes,
        allowance,
        step,
        template,
    };
    // Texts, lists and a digest: nothing that JSON can't hold.
    serde_json::to_value(detail).unwrap_or_default()
}

/// Opens a statement's record, just before it is forwarded. `crowded`: many others do so now.
///
/// # Errors
/// [`LogDown`]: nothing may be forwarded.
pub async fn open(
    log: &Log,
    header: &Header,
    request: &Request,
    permit: &Permit,
    durability: Durability,
    crowded: bool,
) -> Result<Recorded, LogDown> {
    let held = permit.request();
    let connection = header.entry.connection.as_deref().unwrap_or_default();
    let effects = request.analysis.told_in_json(connection);
    let rules = permit.rules();
    let application = rules.and_then(|_| header.entry.detail["application"].as_str());
    let parameters = request.parameters_as_text();
    let (masked, revealed) = (&request.masking.told, &request.masking.revealed);
    let executes = executes(request);
    let allowance = permit.run().map(Run::evidence);
    let step = permit.step().map(Stepped::told);
    let (digest, template) = (None, permit.template());
    let detail = Detail {
        parameters,
        effects,
        digest,
        rules,
        application,
        masked,
        revealed,
        executes,
        allowance,
        step,
        template,
    };
    let mut line = header.line(Which::Statement, held, permit.outcome(), detail);
    line.sql = Some(&request.sql);
    let only_reads = held.is_none() && request.analysis.only_reads;
    let position = if crowded { log.append_together(&line).await? } else { log.append(&line)? };
    if !only_reads || durability == Durability::Strict {
        log.synced(position).await?;
    }
    Ok(Recorded {
        open: Open {
            request: held.cloned(),
            run: permit.run().map(Run::number),
            step: permit.step().map(Stepped::number),
            only_reads,
            since: Instant::now(),
            tags: Vec::new(),
            copying: None,
            copied: Vec::new(),
            rows: None,
        },
    })
}

/// How a statement ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With these command tags.
    Completed(Vec<String>),
    /// With the server's error.
    Failed(Report),
    /// With the server's error before it began: its Parse or its Bind failed.
    Unbegun(Report),
    /// The server skipped it, after an error before it.
    Skipped,
    /// Access ended before it was forwarded.
    Unsent,
    /// It did more than was approved, and was undone.
    Undone(String),
    /// The connection broke first.
    Lost,
}

impl End {
    /// One line.
    #[must_use]
    pub fn line(&self) -> Cow<'_, str> {
        match self {
            Self::Completed(tags) => match tags.as_slice() {
                [tag] => tag.into(),
                tags => tags.join("; ").into(),
            },
            Self::Failed(report) | Self::Unbegun(report) => format!("{} {}", report.code, report.message).into(),
            Self::Skipped => "skipped".into(),
            Self::Unsent => "not forwarded: access ended first".into(),
            Self::Undone(why) => format!("undone: {why}").into(),
            Self::Lost => "the session ended before the database answered".into(),
        }
    }
}

/// Closes a statement's record.
///
/// # Errors
/// [`LogDown`]: nothing more may be forwarded.
pub fn close(log: &Log, header: &Header, open: &Open, end: &End) -> Result<(), LogDown> {
    #[derive(Serialize)]
    struct Took<'a> {
        milliseconds: u64,
        /// The server said no: the outcome is a SQLSTATE and what it said.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        failed: bool,
        #[serde(skip_serializing_if = "<[Copied]>::is_empty")]
        copied: &'a [Copied],
        #[serde(skip_serializing_if = "Option::is_none")]
        rows: Option<&'a Rows>,
    }
    let mut copied = Cow::from(&open.copied);
    if let Some(copying) = open.copying.clone() {
        copied.to_mut().push(copying.end(None));
    }
    let outcome = end.line();
    // What was undone was shown to nobody.
    let rows = open.rows.as_deref().filter(|rows| !rows.is_empty() && !matches!(end, End::Undone(_)));
    let failed = matches!(end, End::Failed(_) | End::Unbegun(_));
    let took = Took { milliseconds: open.milliseconds(), failed, copied: &copied, rows };
    let line = header.line(Which::Outcome, open.request.as_ref(), &outcome, took);
    if open.only_reads { log.append_later(&line) } else { log.append(&line).map(|_| ()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::Record as _;
    use crate::statement::{
        classify::{Analysis, Statement},
        effect::{Action, Effect, Object},
    };

    #[test]
    fn what_every_statement_leaves_reads_back_as_an_entry() {
        let mut of = Entry::new(Kind::Login);
        of.session = Some(countersign_shared::ids::SessionId::random());
        of.principal = Some("ana@acme.dev".into());
        of.connection = Some("shop".into());
        let header = Header::from(of);
        let orders = Object::Table { schema: "public".into(), name: "orders".into() };
        let statement = Statement { effects: vec![Effect::new(Action::Delete, orders)], ..Statement::default() };
        let request = Request {
            sql: "DELETE FROM orders -- \u{1b}[2J\r\nfake".into(),
            parameters: vec![None],
            formats: vec![0],
            types: [25].into(),
            declared: Arc::default(),
            limit: 0,
            analysis: Arc::new(Analysis { statements: vec![statement], ..Analysis::default() }.into()),
            masking: crate::statement::assemble::Masking::default(),
        };
        let id = RequestId::random();
        let detail = Detail {
            parameters: request.parameters_as_text(),
            effects: request.analysis.told("shop"),
            digest: None,
            rules: None,
            application: None,
            masked: &[],
            revealed: &[],
            executes: vec![],
            allowance: None,
            step: None,
            template: None,
        };
        let mut line = header.line(Which::Statement, Some(&id), "released", detail);
        line.sql = Some(&request.sql);
        let mut text = Vec::new();
        line.write(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(['\u{1b}', '\r', '\n']), "control characters are escaped: {text}");
        let read: Entry = serde_json::from_str(&text).unwrap();
        let mut expected = header.entry(Kind::Statement);
        expected.time = read.time;
        expected.request = Some(id);
        expected.sql = Some(request.sql.to_string());
        expected.outcome = Some("released".into());
        let effects = [r#"delete Table::"shop/public.orders""#];
        expected.detail = serde_json::json!({ "parameters": ["NULL"], "effects": effects });
        assert_eq!(read, expected);
    }
}
