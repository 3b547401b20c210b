//! Rows as Markdown, CSV and JSON.

use super::export::field;

/// A head and its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// What the columns are called.
    pub head: Vec<&'static str>,
    /// One text for each column.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// RFC 4180, with a head line.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut lines = vec![self.head.join(",")];
        lines.extend(self.rows.iter().map(|row| row.iter().map(|text| field(text)).collect::<Vec<_>>().join(",")));
        lines.join("\n")
    }

    /// A table of GitHub's Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        if self.rows.is_empty() {
            return "none".to_owned();
        }
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let mut lines = vec![line(self.head.iter().map(|name| (*name).to_owned()).collect())];
        lines.push(line(self.head.iter().map(|_| "---".to_owned()).collect()));
        lines.extend(self.rows.iter().map(|row| line(row.iter().map(|text| cell(text)).collect())));
        lines.join("\n")
    }
}

/// What somebody wrote, as one cell that says just that.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => cell.push(' '),
            c if c.is_control() => cell.extend(c.escape_unicode()),
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '&' => cell.extend(['\\', c]),
            c => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out_of_its_cell() {
        let table = Table { head: vec!["a", "b"], rows: vec![vec!["x|y\n<b>".into(), "=1,2".into()]] };
        assert_eq!(table.markdown(), "| a | b |\n| --- | --- |\n| x\\|y \\<b\\> | =1,2 |");
        assert_eq!(table.csv(), "a,b\n\"x|y\n<b>\",\"'=1,2\"");
        assert_eq!(Table::default().markdown(), "none");
    }
}
