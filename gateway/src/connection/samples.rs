//! Rows for the card of a COMMIT: some of those that the transaction changed, as they were and as they are by now.
//! Classified columns are never asked for. Nothing here fails a hold.

use std::{sync::Arc, time::Duration};

use countersign_shared::{api::Impact, impact::Sample};
use tokio::time::Instant;

use super::session::{Ended, Session, unavailable};
use crate::{
    catalog::{Kind, Relation},
    impact::{self, Around},
    statement::{
        assemble::Request,
        classify::{classify, columns::Column},
        counting::{Part, Rows, parts},
        decide::{Decision, decide},
        effect::Action,
        guard::Touched,
        review::on_one_line,
        understood::Understood,
    },
};

/// So many rows of a table are shown, and
const ROWS: usize = 5;
/// so many of its columns, and
const COLUMNS: usize = 12;
/// so many characters of a value.
const CHARACTERS: usize = 60;
/// Rows of so many tables are shown.
const TABLES: usize = 5;
/// How long it may take to find them; the card waits for it.
const WITHIN: Duration = Duration::from_secs(2);

/// What is asked about a table's rows.
struct Wanted {
    names: Vec<String>,
    /// One for each name, over a row that is called `sample`.
    values: Vec<String>,
    /// The columns that are read.
    read: Vec<String>,
    /// Whether the table has more columns.
    more: bool,
}

impl Wanted {
    fn row(&self, values: &[Option<String>]) -> String {
        let told = |(name, value): (&String, &Option<String>)| match value {
            None => format!("{name} = NULL"),
            Some(value) => {
                let cut = if value.chars().count() > CHARACTERS { "…" } else { "" };
                let value: String = value.chars().take(CHARACTERS).collect();
                format!("{name} = {}{cut}", on_one_line(&value))
            }
        };
        let told: Vec<String> = self.names.iter().zip(values).map(told).collect();
        told.join(", ") + if self.more { ", …" } else { "" }
    }

    fn rows(&self, rows: &[Vec<Option<String>>]) -> Vec<String> {
        rows.iter().take(ROWS).map(|row| self.row(row)).collect()
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Session {
    fn wanted(&self, table: &Relation) -> Wanted {
        let sensitive = self.sensitive();
        let mut wanted = Wanted { names: Vec::new(), values: Vec::new(), read: Vec::new(), more: false };
        for (at, column) in table.columns.iter().enumerate() {
            if at >= COLUMNS {
                wanted.more = true;
                break;
            }
            let name = column.name.clone();
            let of = Column { schema: table.schema.clone(), table: table.name.clone(), name: name.clone() };
            wanted.names.push(name.clone());
            match sensitive.class(&of) {
                Some(class) => wanted.values.push(format!("'‹{}›'", class.label.replace('\'', "''"))),
                None => {
                    let value =
                        format!("pg_catalog.left((sample.{})::pg_catalog.text, {})", quoted(&name), CHARACTERS + 1);
                    wanted.values.push(value);
                    wanted.read.push(name);
                }
            }
        }
        wanted
    }

    /// Whether a question does nothing but read what the requester may read.
    fn only_looks(&self, sql: &str) -> bool {
        let text: Understood = classify(sql, &self.catalog, &self.names).into();
        let only = !text.effects.is_empty() && text.effects.iter().all(|effect| effect.action == Action::Select);
        let policies = self.gateway.policies();
        only && decide(&policies, &self.asked(&text), &[], &[], chrono::Utc::now()) == Decision::Allow
    }

    /// Some of the rows that a statement is about to change, by the same conditions, as another session sees them.
    /// Nothing where that is not what this one sees.
    pub(super) async fn sample_before(&self, request: &Request) -> Vec<(String, Vec<String>)> {
        if self.hides().is_some() || request.sql.len() > impact::LONGEST {
            return Vec::new();
        }
        let parts = parts(&request.sql);
        let [Part { writes, .. }] = parts.as_slice() else { return Vec::new() };
        let mut asks = Vec::new();
        for one in writes.iter().filter(|one| matches!(one.action, Action::Update | Action::Delete)).take(TABLES) {
            let Rows::Found(found) = &one.rows else { continue };
            let on =
                |effect: &&crate::statement::effect::Effect| effect.action == one.action && one.is_on(&effect.object);
            let Some(crate::statement::effect::Object::Table { schema, name }) =
                request.analysis.effects.iter().find(on).map(|effect| &effect.object)
            else {
                continue;
            };
            let Some(table) = self.catalog.relation(schema, name).filter(|table| table.kind == Kind::Table) else {
                continue;
            };
            let wanted = self.wanted(table);
            let Some(find) = found.columns(&wanted.read) else { continue };
            let sql = format!("SELECT {} FROM ({find}) AS sample LIMIT {ROWS}", wanted.values.join(", "));
            if self.only_looks(&sql) {
                asks.push((format!("{schema}.{name}"), wanted, sql));
            }
        }
        let around = Around {
            upstream: &self.connection.upstream,
            catalog: &self.catalog,
            names: &self.names,
            settings: &self.settings,
            hidden: None,
        };
        let texts: Vec<String> = asks.iter().map(|(_, _, sql)| sql.clone()).collect();
        let found = impact::looked_up(&around, request, &texts).await;
        asks.into_iter()
            .zip(found)
            .filter_map(|((table, wanted, _), rows)| Some((table, wanted.rows(&rows?))))
            .collect()
    }

    /// Adds what is known of rows to what is told of them. The open transaction is as it was afterwards.
    pub(super) async fn sample(&mut self, touched: &Touched, impact: &mut [Impact]) -> Result<(), Ended> {
        let ends = Instant::now() + WITHIN;
        let before =
            self.transaction.as_ref().map(|transaction| transaction.rows_before().to_vec()).unwrap_or_default();
        for one in impact.iter_mut().take(TABLES) {
            let mut sample = Sample::default();
            if one.action != "insert" {
                match before.iter().find(|(table, _)| *table == one.table) {
                    Some((_, rows)) => sample.before.clone_from(rows),
                    None => sample.missing = Some("what was there before is not known".to_owned()),
                }
            }
            if one.action != "delete" {
                match self.sample_after(touched, &one.table, ends).await? {
                    Ok(rows) => sample.after = rows,
                    Err(why) => sample.missing = Some(why.to_owned()),
                }
            }
            one.sample = Some(sample);
        }
        Ok(())
    }

    /// Rows of a table that the open transaction has written.
    async fn sample_after(
        &mut self,
        touched: &Touched,
        table: &str,
        ends: Instant,
    ) -> Result<Result<Vec<String>, &'static str>, Ended> {
        let Some(relation) = self.touched_table(touched, table) else { return Ok(Err("its rows can't be shown")) };
        let wanted = self.wanted(&relation);
        // In the transaction's own words: rows of savepoints have others.
        let sql = format!(
            "SELECT {} FROM ONLY {}.{} AS sample WHERE sample.xmin OPERATOR(pg_catalog.=) \
             pg_catalog.pg_current_xact_id()::pg_catalog.xid LIMIT {ROWS}",
            wanted.values.join(", "),
            quoted(&relation.schema),
            quoted(&relation.name),
        );
        let plain = format!(
            "SELECT {} FROM ONLY {}.{} AS sample",
            wanted.values.join(", "),
            quoted(&relation.schema),
            quoted(&relation.name)
        );
        if !self.only_looks(&plain) {
            return Ok(Err("policy does not let the requester read its rows"));
        }
        let left = ends.saturating_duration_since(Instant::now()).as_millis();
        if left == 0 {
            return Ok(Err("there was no time to look for its rows"));
        }
        const HERE: &str = "\"countersign looks\"";
        if self.own_beside(&format!("SAVEPOINT {HERE}")).await?.is_err() {
            return Err(unavailable(&"a savepoint could not be made"));
        }
        let timed = self.own_beside(&format!("SET LOCAL statement_timeout = {left}")).await?.is_ok();
        let found = if timed { self.own_beside(&sql).await?.ok() } else { None };
        let back = self.own_beside(&format!("ROLLBACK TO SAVEPOINT {HERE}")).await?;
        let gone = self.own_beside(&format!("RELEASE SAVEPOINT {HERE}")).await?;
        if back.is_err() || gone.is_err() || self.status != b'T' {
            return Err(unavailable(&"a transaction that was looked at is not as it was"));
        }
        Ok(match found {
            Some(rows) if rows.is_empty() => Err("no row of it was found that is still as it was written"),
            Some(rows) => Ok(wanted.rows(&rows)),
            None => Err("its rows could not be looked up in time"),
        })
    }

    fn touched_table(&self, touched: &Touched, table: &str) -> Option<Arc<Relation>> {
        let (oid, _) = touched.tables.iter().find(|(_, (name, _))| name == table)?;
        let mut dots = table.match_indices('.').map(|(at, _)| at);
        let found = dots.find_map(|at| self.catalog.relation(&table[..at], &table[at + 1..]))?;
        (found.oid == *oid && found.kind == Kind::Table).then(|| Arc::clone(found))
    }
}
