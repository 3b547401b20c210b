//! Allowing a statement for a time: an approver says yes not once, but to so many runs of the same text by the same
//! principal on the same connection, within so many minutes.

use serde::{Deserialize, Serialize};

/// Whether the parameters' values are part of what was allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameters {
    /// Just those values that were shown.
    #[default]
    Pinned,
    /// Any values.
    Free,
}

impl Parameters {
    /// Its word in policies, in the API and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Free => "free",
        }
    }
}

/// What somebody allows, or the most that policy lets somebody allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Terms {
    /// For so long from the last approval on, in minutes.
    pub minutes: u32,
    /// So many runs, the one that waits among them.
    pub runs: u32,
    /// No run touches more rows than this, of all tables together.
    pub rows: u64,
    /// Whether other values may take the place of those that were shown.
    #[serde(default)]
    pub parameters: Parameters,
}

impl Terms {
    /// Whether all of this is within `most`, and there is anything of it.
    #[must_use]
    pub fn are_within(&self, most: &Self) -> bool {
        (1..=most.minutes).contains(&self.minutes)
            && (1..=most.runs).contains(&self.runs)
            && (1..=most.rows).contains(&self.rows)
            && (self.parameters == Parameters::Pinned || most.parameters == Parameters::Free)
    }

    /// What both let somebody allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            minutes: self.minutes.min(other.minutes),
            runs: self.runs.min(other.runs),
            rows: self.rows.min(other.rows),
            parameters: if self.parameters == other.parameters { self.parameters } else { Parameters::Pinned },
        }
    }

    /// `for 30 min, 10 runs of at most 500 rows each, with any parameters`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let counted = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
        let parameters = match self.parameters {
            Parameters::Pinned => "with the same parameters",
            Parameters::Free => "with any parameters",
        };
        let (runs, rows) = (counted(self.runs.into(), "run"), counted(self.rows, "row"));
        format!("for {} min, {runs} of at most {rows} each, {parameters}", self.minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Terms = Terms { minutes: 30, runs: 10, rows: 500, parameters: Parameters::Pinned };

    #[test]
    fn what_is_allowed_is_something_and_within_the_most() {
        let free = Parameters::Free;
        let table = [
            ("the most", MOST, true),
            ("less", Terms { minutes: 1, runs: 1, rows: 1, ..MOST }, true),
            ("no time", Terms { minutes: 0, ..MOST }, false),
            ("no run", Terms { runs: 0, ..MOST }, false),
            ("no row", Terms { rows: 0, ..MOST }, false),
            ("more time", Terms { minutes: 31, ..MOST }, false),
            ("more runs", Terms { runs: 11, ..MOST }, false),
            ("more rows", Terms { rows: 501, ..MOST }, false),
            ("other parameters", Terms { parameters: free, ..MOST }, false),
        ];
        for (case, terms, within) in table {
            assert_eq!(terms.are_within(&MOST), within, "{case}");
        }
        assert!(MOST.are_within(&Terms { parameters: free, ..MOST }), "pinned where they could be free");
    }

    #[test]
    fn of_two_limits_the_tighter_counts_in_each() {
        let other = Terms { minutes: 60, runs: 2, rows: 900, parameters: Parameters::Free };
        let both = Terms { minutes: 30, runs: 2, rows: 500, parameters: Parameters::Pinned };
        assert_eq!((MOST.and(other), other.and(MOST)), (both, both));
    }
}
