//! What one statement would do to the rows of a table, and how people are told.

use serde::{Deserialize, Serialize};

/// The note of a write that means every row.
pub const NO_WHERE: &str = "There is no WHERE: every row is meant.";

/// Measured before anybody was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// `delete`, `update`, `insert`, `merge`.
    pub action: String,
    /// The table, `public.orders`.
    pub table: String,
    /// How many rows; `None` where nobody can say.
    pub rows: Option<u64>,
    /// Whether they were counted. If not, the planner's estimate is all there is.
    pub counted: bool,
    /// How many rows the table has, about.
    pub of: Option<u64>,
    /// How they are found: `reads the whole table`, `uses the index orders_pkey`.
    pub scan: Option<String>,
    /// Why there is no number, or no count.
    pub unknown: Option<String>,
    /// Whether the number is the most that it can be, as of a MERGE, and not what it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most: bool,
    /// The table whose rows carry this on, by a foreign key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cascade_of: Option<String>,
    /// The statement's number in its text, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub statement: usize,
    /// Whether that has happened, in a transaction that has not been committed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// Some of its rows, where that has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// With how many rows it still counts as what was approved; above, it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Some rows of a table that were changed, each as `id = 1, status = paid`. What is classified is not in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// As they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// As they are by now; not of the same rows always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// Why something is not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks like that")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Impact {
    /// `delete 1,204 rows of public.orders, counted: 3.1 % of 38,910; uses the index orders_pkey`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { action, table, scan, .. } = self;
        let why = self.unknown.as_deref().unwrap_or("nobody could say");
        let mut text = match (self.number(), self.counted) {
            (Some(rows), true) if self.done => format!("{action} {rows} of {table}, done and not committed"),
            (Some(rows), true) => format!("{action} {rows} of {table}, counted"),
            (Some(rows), false) => format!("{action} {rows} of {table}, by the planner's estimate ({why})"),
            (None, _) => format!("{action} rows of {table}, how many is unknown: {why}"),
        };
        if let Some(parent) = &self.cascade_of {
            text.push_str(&format!(", carried on from {parent} by a foreign key"));
        }
        if let (Some(percent), Some(of)) = (self.percent(), self.of) {
            text.push_str(&format!(": {percent:.1} % of {}", thousands(of)));
        }
        if let Some(scan) = scan {
            text.push_str(&format!("; {scan}"));
        }
        if let Some(limit) = self.limit {
            text.push_str(&format!("; undone above {}", thousands(limit)));
        }
        text
    }

    /// `1,204 rows`, `at most 1,204 rows`, `about 1,204 rows`; nothing where nobody can say.
    #[must_use]
    pub fn number(&self) -> Option<String> {
        let rows = many(self.rows?);
        Some(match (self.counted, self.at_most) {
            (false, _) => format!("about {rows}"),
            (true, true) => format!("at most {rows}"),
            (true, false) => rows,
        })
    }

    /// The share of the table in percent, where both numbers are there.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        let (rows, of) = (self.rows?, self.of?);
        #[allow(clippy::cast_precision_loss, reason = "exact to more than anybody reads")]
        (of > 0).then(|| (rows as f64 / of as f64 * 100.0).min(100.0))
    }
}

fn many(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{} rows", thousands(rows)) }
}

/// `12,345,678`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_with_what_it_rests_on() {
        let counted = Impact {
            action: "delete".into(),
            table: "public.orders".into(),
            rows: Some(1_204),
            counted: true,
            of: Some(38_910),
            scan: Some("uses the index orders_pkey".into()),
            ..Impact::default()
        };
        let said = "delete 1,204 rows of public.orders, counted: 3.1 % of 38,910; uses the index orders_pkey";
        assert_eq!((counted.sentence().as_str(), counted.number().as_deref()), (said, Some("1,204 rows")));
        let why = Some("counting failed or took too long".to_owned());
        let guessed = Impact { counted: false, of: None, scan: None, unknown: why.clone(), ..counted.clone() };
        let said =
            "delete about 1,204 rows of public.orders, by the planner's estimate (counting failed or took too long)";
        assert_eq!((guessed.sentence().as_str(), guessed.number().as_deref()), (said, Some("about 1,204 rows")));
        let most = Impact { at_most: true, limit: Some(1_265), of: None, scan: None, ..counted };
        assert_eq!(most.sentence(), "delete at most 1,204 rows of public.orders, counted; undone above 1,265");
        let carried = Impact { at_most: false, cascade_of: Some("a.b".into()), limit: None, ..most };
        let said = "delete 1,204 rows of public.orders, counted, carried on from a.b by a foreign key";
        assert_eq!(carried.sentence(), said);
        let done = Impact { done: true, rows: Some(3), counted: true, unknown: None, ..guessed.clone() };
        assert_eq!(done.sentence(), "delete 3 rows of public.orders, done and not committed");
        let unknown = Impact { rows: None, ..guessed };
        let said = "delete rows of public.orders, how many is unknown: counting failed or took too long";
        assert_eq!((unknown.sentence().as_str(), unknown.number()), (said, None));
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        for (rows, said) in
            [(0, "0 rows"), (1, "1 row"), (999, "999 rows"), (1_000, "1,000 rows"), (12_345_678, "12,345,678 rows")]
        {
            assert_eq!(many(rows), said);
        }
    }
}
