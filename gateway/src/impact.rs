//! What a held statement would do, measured before anybody is asked: how many rows, of how many, found
//! how. On a connection of its own that is read only, with short timeouts; nothing is asked that does
//! more than read, and nothing here fails a hold.

use std::{sync::Arc, time::Duration};

use countersign_shared::api::Impact;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::{
    catalog::{Relation, Snapshot},
    config::Upstream,
    connection::{
        pipe::End,
        upstream::{self, Bound, UpstreamError},
    },
    statement::{
        assemble::Request,
        classify::{Names, classify},
        counting::{Part, Rows, Writes, parameters_of},
        effect::{Action, Effect, Object},
        guard::{Measured, oids},
        understood::Understood,
    },
};

mod carried;
pub mod transaction;

/// How long all of it may take; the card waits for it, and so does the end of a session's access.
const WITHIN: Duration = Duration::from_millis(700);
/// Longer texts are not measured: to take them apart takes its time, on a thread that others share.
pub const LONGEST: usize = 8 << 10;
/// So many are measured at once; for more, nobody looks.
static PLACES: Semaphore = Semaphore::const_new(8);
/// Up to here a table is counted; for a larger one the planner's number is good enough.
const COUNTED_BYTES: u64 = 16 << 20;
/// Statements of one text that are measured.
const MOST: usize = 10;

/// The session that asks.
pub struct Around<'a> {
    /// The login that its statements have.
    pub upstream: &'a Upstream,
    /// The catalog as it sees it.
    pub catalog: &'a Arc<Snapshot>,
    /// What its names mean.
    pub names: &'a Names,
    /// Settings that change meaning: `search_path`, `TimeZone`, `role`.
    pub settings: &'a [(String, String)],
    /// Why nobody else can see what it sees, if that is so.
    pub hidden: Option<&'static str>,
}

/// What will be asked about each statement of a request that writes rows.
pub struct Questions(Vec<Question>);

impl Questions {
    /// Decides what may be asked. `permitted` says whether policy lets the requester read something
    /// without anybody's approval: what they may not read, no count may tell them.
    #[must_use]
    pub fn about(
        request: &Request,
        parts: &[Part],
        around: &Around<'_>,
        permitted: impl Fn(&Understood) -> bool,
    ) -> Self {
        if request.sql.len() > LONGEST {
            return Self(Vec::new());
        }
        let mut questions = Vec::new();
        // What runs before in the same text may change what a later statement meets.
        let mut before = false;
        for (at, (part, statement)) in parts.iter().zip(&request.analysis.statements).take(MOST).enumerate() {
            let hidden = around.hidden.or_else(|| before.then_some("statements before it in the text may change that"));
            let around = Around { hidden, ..*around };
            for writes in &part.writes {
                let asked = Question::about(at, writes, &statement.effects, &around, &permitted);
                questions.extend(asked.into_iter().map(|question| question.with_bound(request.parameters.len())));
            }
            let leaves = |effect: &Effect| matches!(effect.action, Action::Select | Action::Transaction);
            before |= !statement.effects.iter().all(leaves);
        }
        Self(questions)
    }

    /// Asks. Takes less than a second.
    pub async fn ask(self, request: &Request, around: &Around<'_>) -> Vec<Measured> {
        let mut all = self.0;
        let values = Values::from(request);
        if all.iter().any(Question::asks) {
            let work = async {
                let Ok(_place) = PLACES.try_acquire() else { return Ok(Some("many others are measured now")) };
                let mut end = upstream::open(around.upstream, &parameters(around)).await?.end;
                // Once it has begun, nothing that runs in it can make it write.
                upstream::query(&mut end, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                for one in &mut all {
                    one.ask(&mut end, &values).await?;
                }
                // These are texts of ours, which nobody's path may give another meaning.
                upstream::query(&mut end, "SET LOCAL search_path TO pg_catalog").await?;
                for one in all.iter_mut().filter(|one| one.asks() && one.impact.cascade_of.is_none()) {
                    one.impact.of = one.size(&mut end).await?;
                }
                upstream::query(&mut end, "ROLLBACK").await?;
                Ok::<_, UpstreamError>(None)
            };
            let why = match tokio::time::timeout(WITHIN, work).await {
                Ok(Ok(why)) => why,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the impact of a statement could not be measured");
                    Some("the database could not be asked")
                }
                Err(_) => Some("counting took too long"),
            };
            if let Some(why) = why {
                let open = all.iter_mut().filter(|one| one.impact.rows.is_none());
                open.for_each(|one| one.impact.unknown = Some(why.to_owned()));
            }
        }
        all.into_iter().map(|one| one.measured(around.catalog)).collect()
    }
}

/// What each of some questions with the request's parameters answers, on a connection of its own that is read only;
/// nothing for what is not answered in time.
pub async fn looked_up(
    around: &Around<'_>,
    request: &Request,
    questions: &[String],
) -> Vec<Option<Vec<Vec<Option<String>>>>> {
    let mut found = vec![None; questions.len()];
    if questions.is_empty() {
        return found;
    }
    let values = Values::from(request);
    let work = async {
        let Ok(_place) = PLACES.try_acquire() else { return Ok(()) };
        let mut end = upstream::open(around.upstream, &parameters(around)).await?.end;
        upstream::query(&mut end, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        for (sql, found) in questions.iter().zip(&mut found) {
            *found = Some(upstream::query_with(&mut end, sql, &values.of(sql)).await?);
        }
        upstream::query(&mut end, "ROLLBACK").await.map(|_| ())
    };
    match tokio::time::timeout(WITHIN, work).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a sample of rows could not be looked up"),
        Err(_) => tracing::debug!("a sample of rows took too long"),
    }
    found
}

/// With what the connection starts. A role or a path that the session has changed counts here too.
fn parameters(around: &Around<'_>) -> Vec<(String, String)> {
    let fixed = [
        ("application_name", "countersign"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "500"),
        ("lock_timeout", "100"),
    ];
    let mut all: Vec<(String, String)> = fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    // An empty search path is one, too.
    let sets = |name: &str, value: &str| match name {
        "role" => value != around.upstream.user,
        "transaction_read_only" | "session_replication_role" => false,
        _ => true,
    };
    all.extend(around.settings.iter().filter(|(name, value)| sets(name, value)).cloned());
    all
}

/// What is written in one table, what may be asked about it, and what is known of it by now.
struct Question {
    /// The statement's number in the text.
    statement: usize,
    table: Option<Arc<Relation>>,
    /// Counts its rows.
    count: Option<String>,
    /// Its plan.
    explain: Option<String>,
    impact: Impact,
}

impl Question {
    /// About the table that is written itself, and about those to which foreign keys carry it on.
    fn about(
        statement: usize,
        writes: &Writes,
        effects: &[Effect],
        around: &Around<'_>,
        permitted: &impl Fn(&Understood) -> bool,
    ) -> Vec<Self> {
        let mut objects: Vec<&Object> = effects
            .iter()
            .filter(|effect| effect.action == writes.action && writes.is_on(&effect.object))
            .map(|effect| &effect.object)
            .collect();
        objects.dedup();
        // A cascade may write a table of the same name elsewhere.
        let [Object::Table { schema, name }] = objects.as_slice() else { return Vec::new() };
        let reads = |sql: &str| {
            let analysis: Understood = classify(sql, around.catalog, around.names).into();
            let only = !analysis.effects.is_empty() && analysis.effects.iter().all(|e| e.action == Action::Select);
            only.then_some(analysis)
        };
        let mut impact = Impact {
            action: writes.action.to_string(),
            table: format!("{schema}.{name}"),
            unknown: around.hidden.map(str::to_owned),
            ..Impact::default()
        };
        let (mut count, mut explain) = (None, None);
        let mut counted = None;
        match &writes.rows {
            Rows::Named(rows) => {
                (impact.rows, impact.counted, impact.unknown) = (Some(*rows), true, None);
            }
            _ if around.hidden.is_some() => {}
            Rows::Unknown => {
                impact.unknown = Some(format!("{} of this form can't be counted without running it", writes.action));
            }
            Rows::Found(found) | Rows::AtMost(found) => {
                impact.at_most = matches!(writes.rows, Rows::AtMost(_));
                let plan = format!("EXPLAIN (FORMAT JSON) {}", found.find);
                explain = Some(plan).filter(|plan| reads(plan).is_some_and(|analysis| permitted(&analysis)));
                impact.unknown = match reads(&found.find) {
                    None if effects.iter().any(|effect| effect.action == Action::Temp) => {
                        Some("temporary tables are seen by their own session alone".to_owned())
                    }
                    None => Some("to count it would do more than read".to_owned()),
                    Some(analysis) if !permitted(&analysis) => {
                        Some("policy does not let the requester read what it is about".to_owned())
                    }
                    Some(analysis) => depends_on_the_session(&analysis, around),
                };
                if impact.unknown.is_none() {
                    count = Some(found.count.clone());
                    counted = Some(found);
                }
            }
        }
        let table = around.catalog.relation(schema, name).cloned();
        let mut carried = carried::on(writes, counted, table.as_ref(), around);
        for one in &mut carried {
            one.statement = statement;
            let why = match one.count.as_deref().map(reads) {
                Some(Some(analysis)) if permitted(&analysis) => continue,
                Some(Some(_)) => "policy does not let the requester read it",
                Some(None) => "to count it would do more than read",
                None => "it can't be counted without running it",
            };
            one.count = None;
            one.impact.unknown.get_or_insert(why.to_owned());
        }
        let own = Self { statement, table, count, explain, impact };
        std::iter::once(own).chain(carried).collect()
    }

    /// What is known now, and of which tables: a partitioned table's rows are those of its partitions.
    fn measured(self, catalog: &Snapshot) -> Measured {
        Measured { statement: self.statement, impact: self.impact, oids: oids(self.table, catalog) }
    }

    /// Asks nothing that needs a parameter which was not bound: the server would refuse the statement too.
    fn with_bound(mut self, bound: usize) -> Self {
        let all_there = |sql: &String| parameters_of(sql).last().is_none_or(|last| *last <= bound);
        self.count = self.count.filter(all_there);
        self.explain = self.explain.filter(all_there);
        self
    }

    fn asks(&self) -> bool {
        self.count.is_some() || self.explain.is_some()
    }

    /// The count, else the planner's estimate; how the rows are found.
    async fn ask(&mut self, end: &mut End, values: &Values<'_>) -> Result<(), UpstreamError> {
        if let Some(sql) = &self.count {
            match number(end, sql, values).await? {
                Some(rows) => (self.impact.rows, self.impact.counted) = (Some(rows), true),
                None => self.impact.unknown = Some("counting failed or took too long".to_owned()),
            }
        }
        if let Some(explain) = &self.explain
            && let Some(plan) = first(end, explain, values).await?
        {
            let plan: Value = serde_json::from_str(&plan).unwrap_or_default();
            let plan = &plan[0]["Plan"];
            self.impact.scan = self.table.as_ref().and_then(|table| scan(plan, &table.name));
            if self.impact.rows.is_none() {
                self.impact.rows = plan["Plan Rows"].as_u64();
            }
        }
        Ok(())
    }

    async fn size(&self, end: &mut End) -> Result<Option<u64>, UpstreamError> {
        // A row policy's functions were judged under the session's path, and would run under another here.
        let asked = |table: &&Arc<Relation>| !has_policies(table) && self.impact.action != Action::Insert.as_str();
        let Some(table) = self.table.as_ref().filter(asked) else { return Ok(None) };
        let sql = format!(
            "SELECT CASE WHEN pg_relation_size({oid}) < {COUNTED_BYTES} AND c.relkind = 'r' THEN -1
               ELSE coalesce((SELECT sum(p.reltuples) FROM pg_partition_tree({oid}) t
                              JOIN pg_class p ON p.oid = t.relid WHERE t.isleaf), c.reltuples)::bigint END
             FROM pg_class c WHERE c.oid = {oid}",
            oid = table.oid
        );
        let nothing = Values::default();
        match first(end, &sql, &nothing).await?.and_then(|text| text.parse::<i64>().ok()) {
            Some(-1) => {
                let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                let sql = format!("SELECT count(*) FROM {}.{}", quoted(&table.schema), quoted(&table.name));
                number(end, &sql, &nothing).await
            }
            Some(many) => Ok(u64::try_from(many).ok().filter(|many| *many > 0)),
            None => Ok(None),
        }
    }
}

fn has_policies(table: &Arc<Relation>) -> bool {
    table.expressions.iter().any(|e| e.what.starts_with("the policy "))
}

/// Why the same question would be answered otherwise to another session.
fn depends_on_the_session(analysis: &Understood, around: &Around<'_>) -> Option<String> {
    const ITS_OWN: [&str; 12] = [
        "current_setting",
        "currval",
        "lastval",
        "pg_backend_pid",
        "inet_client_addr",
        "inet_client_port",
        "random",
        "random_normal",
        "gen_random_uuid",
        "clock_timestamp",
        "pg_my_temp_schema",
        "setseed",
    ];
    let functions = analysis.statements.iter().flat_map(|s| &s.functions);
    let own = functions.filter_map(|name| name.strip_prefix("pg_catalog.")).find(|name| ITS_OWN.contains(name));
    if let Some(own) = own {
        return Some(format!("{own}() says something else to every session"));
    }
    let tables = analysis.statements.iter().flat_map(|s| &s.tables);
    let relations = tables.filter_map(|table| {
        let (schema, name) = table.split_once('.')?;
        around.catalog.relation(schema, name)
    });
    relations.into_iter().any(has_policies).then(|| "row policies may show other rows to every session".to_owned())
}

/// What a question's parameters are bound to.
#[derive(Default)]
struct Values<'a>(Vec<Bound<'a>>);

impl<'a> From<&'a Request> for Values<'a> {
    fn from(request: &'a Request) -> Self {
        let bound = |(at, value): (usize, &'a Option<bytes::Bytes>)| Bound {
            of: request.types.get(at).copied().unwrap_or(0),
            format: request.formats.get(at).copied().unwrap_or(0),
            value: value.as_deref(),
        };
        Self(request.parameters.iter().enumerate().map(bound).collect())
    }
}

impl<'a> Values<'a> {
    /// Those up to the last that a text uses. One that it does not use still has its place.
    fn of(&self, sql: &str) -> Vec<Bound<'a>> {
        let used = parameters_of(sql);
        let last = used.last().copied().unwrap_or(0);
        let place = |(at, bound): (usize, &Bound<'a>)| {
            if used.binary_search(&(at + 1)).is_ok() { *bound } else { Bound { of: TEXT, format: 0, value: None } }
        };
        self.0.iter().take(last).enumerate().map(place).collect()
    }
}

async fn number(end: &mut End, sql: &str, values: &Values<'_>) -> Result<Option<u64>, UpstreamError> {
    Ok(first(end, sql, values).await?.and_then(|text| text.parse().ok()))
}

/// The first value of an answer; none where the server refuses the question, or gives it up in time.
async fn first(end: &mut End, sql: &str, values: &Values<'_>) -> Result<Option<String>, UpstreamError> {
    upstream::query(end, "SAVEPOINT asked").await?;
    match upstream::query_with(end, sql, &values.of(sql)).await {
        Ok(rows) => Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten()),
        Err(UpstreamError::Server(report)) if report.severity != "FATAL" => {
            tracing::debug!(code = report.code, "the impact's question was refused");
            upstream::query(end, "ROLLBACK TO SAVEPOINT asked").await?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The oid of `text`.
const TEXT: u32 = 25;

/// How a table's rows are found. A partitioned table's are found in its partitions, of which none has its name.
fn scan(plan: &Value, table: &str) -> Option<String> {
    let mut nodes = vec![plan];
    while let Some(node) = nodes.pop() {
        if node["Relation Name"] == table {
            return match node["Node Type"].as_str() {
                Some("Seq Scan") => Some("reads the whole table".to_owned()),
                Some("Index Scan" | "Index Only Scan") => {
                    Some(format!("uses the index {}", node["Index Name"].as_str().unwrap_or("?")))
                }
                Some("Bitmap Heap Scan") => Some("uses an index".to_owned()),
                _ => None,
            };
        }
        nodes.extend(node["Plans"].as_array().into_iter().flatten());
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_says_how_rows_are_found() {
        let by_index = json!({ "Node Type": "Nested Loop", "Plans": [
            { "Node Type": "Index Scan", "Relation Name": "orders", "Index Name": "orders_pkey" },
            { "Node Type": "Seq Scan", "Relation Name": "refunds" } ] });
        assert_eq!(scan(&by_index, "orders").as_deref(), Some("uses the index orders_pkey"));
        assert_eq!(scan(&by_index, "refunds").as_deref(), Some("reads the whole table"));
        assert_eq!((scan(&by_index, "products"), scan(&json!({}), "orders")), (None, None));
    }
}
