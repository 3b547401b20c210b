//! Parameters and constants that meet a classified column, for cards and records, which others read.
//!
//! By tokens: what stands beside the name of another column, or after LIMIT, is shown; all else of such a
//! statement is not. To hide too much costs an approver a constant; to hide too little, a person a secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use pg_query::protobuf::{KeywordKind, ScanToken, Token};

use super::{exposure::Exposure, sensitive::Sensitive};
use crate::statement::classify::columns::Column;

/// What is not shown of one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unshown {
    /// Its text with a sign in place of each.
    pub sql: Option<String>,
    /// Parameters from 0, with their signs.
    pub parameters: BTreeMap<usize, String>,
}

/// What must not be shown of `sql`, which has these exposures and writes these columns. `bound`
/// parameters come with it.
#[must_use]
pub fn unshown(sql: &str, exposures: &[Exposure], sensitive: &Sensitive, bound: usize) -> Unshown {
    let met: BTreeSet<&Column> = exposures.iter().flat_map(|e| e.uses.keys().chain(&e.writes_to)).collect();
    let Some(label) = met.iter().find_map(|column| sensitive.class(column)).map(|class| class.label.clone()) else {
        return Unshown::default();
    };
    let names: BTreeSet<&str> = met.iter().map(|column| column.name.as_str()).collect();
    let mut signs = Signs { label, parameters: BTreeMap::new(), count: 0 };
    let Ok(tokens) = pg_query::scan_tokens(sql) else {
        // What can't be read is not shown at all.
        let parameters = (0..bound).map(|at| (at, signs.next())).collect();
        return Unshown { sql: Some(signs.next()), parameters };
    };
    let mut spans: Vec<(Range<usize>, String)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(span) = span(token, sql) else { continue };
        let parameter = token.token() == Token::Param;
        let constant = matches!(
            token.token(),
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst | Token::Iconst | Token::Fconst
        );
        if !(parameter || constant) || is_shown(&tokens[..at], sql, &names) {
            continue;
        }
        let number = sql[span.clone()].trim_start_matches('$').parse::<usize>().ok().filter(|_| parameter);
        match number.and_then(|number| number.checked_sub(1)) {
            Some(number) => _ = signs.of(number),
            None => spans.push((span, signs.next())),
        }
    }
    let mut shown = String::with_capacity(sql.len());
    let mut from = 0;
    for (span, sign) in &spans {
        shown.push_str(&sql[from..span.start]);
        shown.push_str(sign);
        from = span.end;
    }
    shown.push_str(&sql[from..]);
    Unshown { sql: (!spans.is_empty()).then_some(shown), parameters: signs.parameters }
}

struct Signs {
    label: String,
    parameters: BTreeMap<usize, String>,
    count: usize,
}

impl Signs {
    fn next(&mut self) -> String {
        self.count += 1;
        format!("‹{} #{}›", self.label, self.count)
    }

    fn of(&mut self, parameter: usize) -> String {
        if let Some(sign) = self.parameters.get(&parameter) {
            return sign.clone();
        }
        let sign = self.next();
        self.parameters.insert(parameter, sign.clone());
        sign
    }
}

fn span(token: &ScanToken, sql: &str) -> Option<Range<usize>> {
    let (start, end) = (usize::try_from(token.start).ok()?, usize::try_from(token.end).ok()?);
    sql.get(start..end).map(|_| start..end)
}

/// Whether what comes after these tokens plainly meets another column, or none.
fn is_shown(before: &[ScanToken], sql: &str, names: &BTreeSet<&str>) -> bool {
    let text = |token: &ScanToken| span(token, sql).map(|span| &sql[span]).unwrap_or_default();
    match before {
        [.., name, operator] if is_comparison(text(operator)) => {
            let word = text(name);
            let is_name = name.token() == Token::Ident || name.keyword_kind() != KeywordKind::NoKeyword;
            // A quoted name, or one in capitals, may be any.
            is_name
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && !names.contains(word)
                && !names.contains("*")
        }
        [.., last] => matches!(last.token(), Token::Limit | Token::Offset),
        [] => false,
    }
}

fn is_comparison(text: &str) -> bool {
    matches!(text, "=" | "<" | ">" | "<=" | ">=" | "<>" | "!=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::builder::Builder,
        statement::{
            classify::{Names, classify},
            mask::{
                exposure::exposures,
                rules::{Mask, Rule},
            },
        },
    };

    fn shown(sql: &str) -> (String, Vec<usize>) {
        let snapshot = Builder::new().table("public.c", &["id", "name", "email"]).build();
        let names = Names { search_path: vec!["pg_catalog".into(), "public".into()], ..Names::default() };
        let rule = Rule::parse("public.c.email", "pii".into(), Mask::Redact, 0).unwrap();
        let sensitive = Sensitive::new(&[rule], &snapshot);
        let analysis = classify(sql, &snapshot, &names);
        let exposures = exposures(sql, &analysis, (&snapshot, &names), &sensitive);
        let unshown = unshown(sql, &exposures, &sensitive, 3);
        (unshown.sql.unwrap_or_else(|| sql.to_owned()), unshown.parameters.into_keys().collect())
    }

    #[test]
    fn what_meets_a_classified_column_is_not_shown() {
        let table: [(&str, &str, &[usize]); 9] = [
            ("update c set name = 'x' where id = 1", "update c set name = 'x' where id = 1", &[]),
            ("update c set email = 'x' where id = 1", "update c set email = ‹pii #1› where id = 1", &[]),
            ("delete from c where email = 'x' and id = 7", "delete from c where email = ‹pii #1› and id = 7", &[]),
            ("delete from c where 'x' = email", "delete from c where ‹pii #1› = email", &[]),
            ("delete from c where lower(email) like 'x%'", "delete from c where lower(email) like ‹pii #1›", &[]),
            ("delete from c where \"email\" = 'x'", "delete from c where \"email\" = ‹pii #1›", &[]),
            ("update c set email = $2 where id = $1", "update c set email = $2 where id = $1", &[1]),
            ("insert into c values (1, 'n', 'x')", "insert into c values (‹pii #1›, ‹pii #2›, ‹pii #3›)", &[]),
            (
                "select id from c where email in ('x', $3) limit 5",
                "select id from c where email in (‹pii #1›, $3) limit 5",
                &[2],
            ),
        ];
        for (sql, expected, parameters) in table {
            assert_eq!(shown(sql), (expected.to_owned(), parameters.to_vec()), "{sql}");
        }
    }
}
