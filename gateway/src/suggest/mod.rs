//! `countersign classify`: samples a database's columns, read only, and suggests what to classify. It says
//! kinds and counts, never a value, and changes nothing.

pub mod kinds;

use serde::Serialize;

use crate::{
    catalog::{Kind as Relations, Relation, Snapshot, read},
    config::{Config, ConnectionConfig},
    connection::{
        catalogs::Own,
        pipe::End,
        upstream::{self, UpstreamError},
    },
};

use kinds::{Kind, by_name};

/// So many values of a column are looked at.
const SAMPLE: usize = 1_000;
/// From this part of them on, a column is suggested.
const ENOUGH: f64 = 0.6;
/// Fewer values say nothing.
const FEWEST: usize = 3;

/// A suggestion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suggestion {
    /// `public.customers.email`.
    pub column: String,
    /// What it seems to hold.
    pub kind: String,
    /// For `as`.
    #[serde(rename = "as")]
    pub label: String,
    /// For `mask`.
    pub mask: String,
    /// How many values of the sample are of that kind; none where its name alone says so.
    pub fitting: Option<usize>,
    /// How many values were looked at.
    pub sampled: usize,
    /// Between 0 and 1.
    pub confidence: f64,
    /// Whether the config classifies it already.
    pub classified: bool,
}

/// Looks at the columns of a connection's database.
///
/// # Errors
/// In a sentence: no such connection, or a database that can't be asked.
pub async fn suggest(config: &Config, connection: &str) -> Result<Vec<Suggestion>, String> {
    let found = config.connections.get(connection).ok_or_else(|| {
        let names: Vec<&str> = config.connections.keys().map(String::as_str).collect();
        format!("there is no connection {connection:?}; there are {}", names.join(", "))
    })?;
    let failed = |error: UpstreamError| format!("the database of {connection:?} can't be asked: {error}");
    let own = [
        ("application_name", "countersign"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "10000"),
        ("lock_timeout", "500"),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut end = upstream::open(&found.upstream, &own).await.map_err(failed)?.end;
    let snapshot =
        read::read(&mut Own(&mut end)).await.map_err(|error| format!("the catalog can't be read: {error}"))?;
    look(found, &snapshot, &mut end).await.map_err(failed)
}

async fn look(
    connection: &ConnectionConfig,
    snapshot: &Snapshot,
    end: &mut End,
) -> Result<Vec<Suggestion>, UpstreamError> {
    let mut suggestions = Vec::new();
    for relation in snapshot.relations().filter(|relation| !relation.is_builtin() && relation.kind == Relations::Table)
    {
        let texts: Vec<&str> =
            relation.columns.iter().filter(|column| is_text(column.base_oid)).map(|c| c.name.as_str()).collect();
        let rows = if texts.is_empty() { Vec::new() } else { sample(end, relation, &texts).await };
        for column in &relation.columns {
            let at = texts.iter().position(|text| *text == column.name);
            let values = at.map(|at| rows.iter().filter_map(|row| row.get(at)?.as_deref()).collect::<Vec<&str>>());
            let told = one(&column.name, values.as_deref().unwrap_or_default());
            let quote = crate::statement::effect::quote_ident;
            let place = format!("{}.{}.{}", quote(&relation.schema), quote(&relation.name), quote(&column.name));
            let fits = |rule: &crate::statement::mask::rules::Rule| rule.fits(relation, column);
            let classified = connection.classify.iter().any(fits);
            suggestions.extend(told.map(|told| Suggestion { column: place, classified, ..told }));
        }
    }
    suggestions.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then_with(|| a.column.cmp(&b.column)));
    Ok(suggestions)
}

/// text, varchar, char; inet and cidr show as text.
const fn is_text(oid: u32) -> bool {
    matches!(oid, 25 | 1043 | 1042 | 869 | 650)
}

/// Some rows; none where they can't be had, since a table that is locked or slow is no reason to stop.
async fn sample(end: &mut End, relation: &Relation, columns: &[&str]) -> Vec<Vec<Option<String>>> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let list: Vec<String> = columns.iter().map(|name| format!("{}::pg_catalog.text", quoted(name))).collect();
    let (schema, table) = (quoted(&relation.schema), quoted(&relation.name));
    let sql = format!("SELECT {} FROM {schema}.{table} LIMIT {SAMPLE}", list.join(", "));
    match upstream::query(end, &sql).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(table = relation.name, %error, "a table could not be sampled");
            Vec::new()
        }
    }
}

/// What one column seems to hold; the place is filled in by the caller.
fn one(name: &str, values: &[&str]) -> Option<Suggestion> {
    let count = |kind: Kind| values.iter().filter(|value| kind.fits(value)).count();
    #[allow(clippy::cast_precision_loss, reason = "a sample is small")]
    let part = |fitting: usize| fitting as f64 / values.len() as f64;
    let suggestion = |(kind, label, mask): (&str, &str, &str), fitting, confidence| Suggestion {
        column: String::new(),
        kind: kind.to_owned(),
        label: label.to_owned(),
        mask: mask.to_owned(),
        fitting,
        sampled: values.len(),
        confidence,
        classified: false,
    };
    let by_value = Kind::ALL.into_iter().map(|kind| (kind, count(kind)));
    // The surest come first: what is shaped like a national id is mostly shaped like a telephone number, too.
    let mut by_value = by_value;
    let best = by_value.find(|(_, fitting)| values.len() >= FEWEST && part(*fitting) >= ENOUGH);
    match best {
        Some((kind, fitting)) => Some(suggestion(kind.told(), Some(fitting), part(fitting))),
        None => by_name(name).map(|told| suggestion(told, None, 0.5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_what_most_of_its_values_are() {
        let mails = ["a@x.dev", "b@x.dev", "c@x.dev", "none"];
        let found = one("contact", &mails).expect("a suggestion");
        assert_eq!((found.kind.as_str(), found.fitting, found.sampled), ("e-mail address", Some(3), 4));
        assert!(one("label", &["Oak Chair", "Steel Lamp", "x"]).is_none());
        assert!(one("contact", &mails[..2]).is_none(), "too few to say");
        assert_eq!(one("birth_date", &[]).expect("by its name").mask, "year");
    }
}
