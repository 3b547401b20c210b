//! `classify` and `on_doubt` of `[[connection]]`.

use super::{reader::Table, values};
use crate::statement::mask::rules::{Mask, OnDoubt, Rule};

/// The rules in the order of the file, and what happens in doubt.
pub(super) fn read(table: &Table<'_>) -> (Vec<Rule>, OnDoubt) {
    let mut rules: Vec<Rule> = Vec::new();
    for one in table.tables("classify") {
        one.must("column", "column = \"public.customers.email\"");
        let label = one.need("as", "as = \"pii\"");
        let mask = one.read_or("mask", Mask::Redact, values::one_of(&Mask::ALL));
        let parse = |text: &str| Rule::parse(text, String::new(), mask, table.doc.line(one.at));
        let rule = one.read("column", parse).map(|found| found.value);
        one.finish();
        let (Some(rule), Some(label)) = (rule, label) else { continue };
        if rules.iter().any(|other| other.text == rule.text) {
            let message = format!("`classify` has {:?} twice", rule.text);
            table.doc.problem(one.at, message, "the first counts; remove the other");
        }
        let mut rule = rule;
        rule.label = label.value;
        rules.push(rule);
    }
    let on_doubt = [("mask", OnDoubt::Mask), ("refuse", OnDoubt::Refuse)];
    (rules, table.read_or("on_doubt", OnDoubt::Mask, values::one_of(&on_doubt)))
}
