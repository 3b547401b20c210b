//! What an entry is found by, and what of that a search needs. Pure.
//!
//! Most words of a search are **terms**: exact, and kept for each entry. A search for a part of a text goes by **grams**, three
//! bytes that follow one another, kept for each block of entries: all grams of the part must be in the block. Neither is ever
//! the answer: what is so found is read, and asked itself.

use crate::{
    log::{Entry, seal::sealed},
    records::find::{Is, Search, effects, named},
};

/// How many grams there are: three bytes of six bits.
pub const GRAMS: usize = 1 << 18;
/// The term of entries of which something is sealed.
pub const SEALED: &str = "x:";

/// What an entry must have to be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// This term.
    Term(String),
    /// A text in which all these grams are; or something sealed, which may have any.
    Grams(Vec<u32>),
}

/// The term of a kind of entry.
pub fn kind(name: &str) -> String {
    format!("k:{name}")
}

/// The term of a session.
pub fn session(id: &str) -> String {
    format!("s:{id}")
}

/// Hands on each term of an entry.
pub fn terms_of(entry: &Entry, mut term: impl FnMut(&str)) {
    let mut with = |what: &str, value: &str| term(&[what, value].concat());
    with("k:", entry.kind.as_str());
    if let Some(id) = &entry.session {
        with("s:", id.as_str());
    }
    if let Some(id) = &entry.request {
        with("r:", id.as_str());
    }
    if let Some(principal) = &entry.principal {
        let principal = principal.to_lowercase();
        with("p:", &principal);
        if let Some((local, _)) = principal.split_once('@') {
            with("p:", local);
        }
    }
    if let Some(connection) = &entry.connection {
        with("c:", connection);
    }
    for (action, object) in effects(entry) {
        with("a:", action);
        let Some(name) = named(object).map(str::to_lowercase) else { continue };
        with("t:", &name);
        for (at, _) in name.match_indices(['.', '/']) {
            with("t:", &name[at + 1..]);
        }
    }
    if sealed(entry).is_some() {
        with(SEALED, "");
    }
}

/// Hands on each text of an entry in which parts are searched for. What is sealed is none: it would be found by nobody.
pub fn texts_of(entry: &mut Entry, mut text: impl FnMut(&str)) {
    let texts = [&entry.sql, &entry.outcome, &entry.principal, &entry.connection];
    texts.into_iter().flatten().for_each(|value| text(value));
    if let Some(detail) = entry.detail.as_object_mut() {
        detail.remove("sealed");
    }
    if !entry.detail.is_null() {
        text(&entry.detail.to_string());
    }
}

/// What each entry must have that a search means. None: it may be any.
pub fn needs_of(search: &Search) -> Vec<Need> {
    let mut needs = Vec::new();
    for is in search.wanted() {
        let term = |what: &str, value: &str| Need::Term([what, value].concat());
        needs.push(match is {
            Is::Table(table) => term("t:", table),
            Is::Action(action) => term("a:", action),
            Is::By(who) => term("p:", who),
            Is::On(connection) => term("c:", connection),
            Is::Kind(of) => term("k:", of.as_str()),
            Is::Session(id) => term("s:", id),
            Is::Request(id) => term("r:", id),
            Is::Outcome(part) | Is::Sql(part) | Is::Text(part) => {
                let mut grams = Vec::new();
                grams_of(part, |gram| grams.push(gram));
                grams.sort_unstable();
                grams.dedup();
                // Of less than three bytes there is none, and everything may have it.
                if grams.is_empty() {
                    continue;
                }
                Need::Grams(grams)
            }
        });
    }
    needs
}

/// Six bits for a byte, upper case as lower case. Those that share them find more than they should, which is read and
/// left out.
const FOLDED: [u8; 256] = {
    let others = b" _.,\"'()=*-/:;<>@$%\\{}[]";
    let mut folded = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let low = (byte as u8).to_ascii_lowercase();
        folded[byte] = match low {
            b'a'..=b'z' => low - b'a',
            b'0'..=b'9' => 26 + low - b'0',
            _ => 60 + low % 4,
        };
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        folded[others[at] as usize] = 36 + at as u8;
        at += 1;
    }
    folded
};

/// Hands on the grams of a text, some of them more than once.
pub fn grams_of(text: &str, mut gram: impl FnMut(u32)) {
    let lower;
    let bytes = if text.is_ascii() {
        text.as_bytes()
    } else {
        lower = text.to_lowercase();
        lower.as_bytes()
    };
    let mut last = 0;
    for (at, byte) in bytes.iter().enumerate() {
        last = (last << 6 | u32::from(FOLDED[usize::from(*byte)])) & (GRAMS as u32 - 1);
        if at >= 2 {
            gram(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::Utc;
    use serde_json::json;

    use super::*;
    use crate::log::Kind;

    #[test]
    fn whatever_a_search_means_is_found_by_what_it_needs() {
        let mut entry = Entry::new(Kind::Statement);
        entry.principal = Some("Zoë@Acme.dev".into());
        entry.connection = Some("shop".into());
        entry.session = Some("ABCD1234".parse().unwrap());
        entry.request = Some("K7Q2".parse().unwrap());
        entry.sql = Some("DELETE FROM \"Örders\" -- \u{1b} İstanbul".into());
        entry.outcome = Some("released".into());
        entry.detail = json!({
            "effects": ["delete Table::\"shop/public.Orders\"", "select Connection::\"shop\""],
            "parameters": ["1\"2", "\\x00"]
        });
        let (mut terms, mut grams) = (BTreeSet::new(), BTreeSet::new());
        terms_of(&entry, |term| {
            terms.insert(term.to_owned());
        });
        texts_of(&mut entry.clone(), |text| {
            grams_of(text, |gram| {
                grams.insert(gram);
            });
        });
        let table = [
            ("table:orders action:delete by:zoë on:shop", true),
            ("table:public.orders by:ZOË@acme.dev kind:statement", true),
            ("table:shop/public.orders session:abcd1234 request:k7q2", true),
            ("sql:\"örders\" outcome:LEASED", true),
            ("İstanbul acme.dev parameters text:\\\\x00", true),
            ("or -nowhere -by:ana", true),
            ("table:rders", false),
            ("action:select table:carts", false),
            ("by:ana", false),
            ("sql:nowhere", false),
            ("on:shop2", false),
        ];
        for (text, found) in table {
            let search = Search::parse(text, Utc::now()).unwrap();
            let has = needs_of(&search).iter().all(|need| match need {
                Need::Term(term) => terms.contains(term),
                Need::Grams(all) => all.iter().all(|gram| grams.contains(gram)),
            });
            assert_eq!(has, found, "{text}");
            assert!(has || !search.fits(&entry), "{text}");
        }
    }
}
