//! `classify` and `on_doubt` of `[[connection]]`.

use super::{reader::Table, values};
use crate::statement::mask::rules::{Mask, Of, OnDoubt, Rule};

/// The rules in the order of the file, and what happens in doubt.
pub(super) fn read(table: &Table<'_>) -> (Vec<Rule>, OnDoubt) {
    let mut rules: Vec<Rule> = Vec::new();
    for one in table.tables("classify") {
        let ways = [
            one.read("column", Of::column).map(|found| found.value),
            one.read("type", Of::of_type).map(|found| found.value),
            one.read("comment", Of::comment).map(|found| found.value),
        ];
        let said = ["column", "type", "comment"].into_iter().filter(|key| one.get(key).is_some()).count();
        let of_comment = one.get("comment").is_some();
        if said == 0 {
            one.must("column", "column = \"public.customers.email\", or `type`, or `comment`");
        } else if said > 1 {
            let message = "an entry of `classify` has one of `column`, `type` and `comment`";
            table.doc.problem(one.at, message, "make an entry of each");
        }
        // A comment says as what.
        let label = if of_comment { one.filled("as") } else { one.need("as", "as = \"pii\"").map(|found| found.value) };
        let mask = one.read_or("mask", Mask::Redact, values::one_of(&Mask::ALL));
        one.finish();
        let Some(of) = ways.into_iter().flatten().next() else { continue };
        let label = match (label, &of) {
            (Some(label), _) => label,
            (None, Of::Comment(label)) => label.clone(),
            (None, _) => continue,
        };
        if rules.iter().any(|other| other.of == of) {
            let message = format!("`classify` has the columns that are {of} twice");
            table.doc.problem(one.at, message, "the first counts; remove the other");
        }
        rules.push(Rule { of, label, mask, line: table.doc.line(one.at) });
    }
    let on_doubt = [("mask", OnDoubt::Mask), ("refuse", OnDoubt::Refuse)];
    (rules, table.read_or("on_doubt", OnDoubt::Mask, values::one_of(&on_doubt)))
}
