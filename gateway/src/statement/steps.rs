//! A text that is asked for statement by statement: where its statements are, what is kept of each, and which of them a
//! text is that somebody sends later. Pure.
//!
//! What is compared is the statement from its first token to its last, byte for byte, and nothing may stand around it
//! that does not stand there in the text that was approved. Only empty lines between tokens don't count: psql leaves
//! them away.

use std::ops::Range;

use countersign_shared::digest::{Digest, Fields, of_bytes};
use pg_query::{
    NodeEnum,
    protobuf::{RawStmt, ScanToken, Token, TransactionStmt, TransactionStmtKind},
};
use serde::{Deserialize, Serialize};

use super::{
    classify::{Doubt, TransactionMove, with_tree},
    effect::{Action, Effect, Object},
    understood::Understood,
};

/// So many statements one request may have.
pub const MOST: usize = 100;

/// One statement of a text that was asked for statement by statement, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The comments between the statement before it and its first token.
    pub before: String,
    /// The comments between its last token and its semicolon.
    pub after: String,
    /// Its own text.
    pub text: Digest,
    /// Within which of the transactions that the text itself begins it stands, from 1; 0 for none.
    pub block: u32,
    /// Whether it needs an approval. If not, policy lets it pass whenever it comes, and it need not come.
    pub needed: bool,
    /// All that an approval of just this statement binds, but the definitions of what it touches.
    pub meaning: Digest,
    /// These, by object.
    pub rests: Vec<(String, Digest)>,
    /// What it does, as people read it: an action, and an object.
    pub does: Vec<(String, String)>,
}

/// A statement within a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes, from the first token to the last.
    pub range: Range<usize>,
    /// The same without the empty lines between tokens.
    pub text: String,
    /// The comments right before it.
    pub before: String,
    /// Those between it and its semicolon.
    pub after: String,
    /// Whether anything but blanks and semicolons follows before the next statement, or the end.
    pub followed: bool,
    /// What it does to the transaction.
    pub control: Control,
}

/// What a statement does to the transaction, as far as a text may do it that is asked for so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing, or SAVEPOINT and RELEASE.
    None,
    /// A plain BEGIN.
    Begin,
    /// A plain COMMIT.
    Commit,
    /// Something else, which can't be followed: ROLLBACK, AND CHAIN, PREPARE TRANSACTION, BEGIN with modes.
    Other,
}

/// The statements of a text in order.
///
/// # Errors
/// Why it can't be read, or that it has more than [`MOST`].
pub fn split(sql: &str) -> Result<Vec<Piece>, Doubt> {
    with_tree(sql, |tree| {
        let tree = tree?;
        let count = tree.stmts.len();
        if count > MOST {
            return Err(Doubt::TooLarge { what: format!("it has {count} statements, and {MOST} are the most") });
        }
        let scanned =
            pg_query::scan(sql).map_err(|error| Doubt::Syntax { message: error.to_string(), position: None })?;
        // One that is not known could be left away unseen.
        let tokens: Option<Vec<Lexeme>> = scanned.tokens.iter().map(|token| Lexeme::of(sql, token)).collect();
        let tokens = tokens.ok_or_else(unclear)?;
        tree.stmts.iter().map(|raw| piece(sql, &tokens, raw)).collect()
    })
}

/// The one statement of a text that somebody sends; nothing where it is not one, or more stands around it.
#[must_use]
pub fn sent(sql: &str) -> Option<Piece> {
    let [piece] = <[Piece; 1]>::try_from(split(sql).ok()?).ok()?;
    (!piece.followed).then_some(piece)
}

#[derive(Clone, Debug)]
struct Lexeme {
    range: Range<usize>,
    comment: bool,
    ends: bool,
}

impl Lexeme {
    fn of(sql: &str, token: &ScanToken) -> Option<Self> {
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        let text = sql.get(range.clone())?;
        let kind = Token::try_from(token.token).ok()?;
        // A comment up to the end of its line may come with that.
        let end = range.start + text.trim_end_matches(['\n', '\r']).len();
        let comment = matches!(kind, Token::SqlComment | Token::CComment);
        let range = if comment { range.start..end } else { range };
        Some(Self { range, comment, ends: kind == Token::Ascii59 })
    }
}

fn unclear() -> Doubt {
    Doubt::Syntax { message: "it is not clear where its statements end".to_owned(), position: None }
}

fn piece(sql: &str, tokens: &[Lexeme], raw: &RawStmt) -> Result<Piece, Doubt> {
    let start = usize::try_from(raw.stmt_location).map_err(|_| unclear())?;
    let end = match usize::try_from(raw.stmt_len).map_err(|_| unclear())? {
        0 => sql.len(),
        length => start + length,
    };
    let own = |lexeme: &&Lexeme| !lexeme.comment && lexeme.range.start >= start && lexeme.range.end <= end;
    let first = tokens.iter().find(own).ok_or_else(unclear)?.range.start;
    let last = tokens.iter().rfind(own).ok_or_else(unclear)?.range.end;
    let begins = tokens.iter().filter(|t| t.ends && t.range.end <= first).map(|t| t.range.end).max().unwrap_or(0);
    let semicolon = tokens.iter().find(|t| t.ends && t.range.start >= last);
    let ends = semicolon.map_or(sql.len(), |t| t.range.start);
    // Between a statement and its semicolon there is nothing but comments.
    if tokens.iter().any(|t| !t.comment && t.range.start >= last && t.range.end <= ends) {
        return Err(unclear());
    }
    let behind = semicolon.map_or(sql.len(), |t| t.range.end);
    let next = tokens.iter().find(|t| !t.ends && t.range.start >= behind);
    let text = |range: Range<usize>| lean(sql, tokens, &range).ok_or_else(unclear);
    Ok(Piece {
        text: text(first..last)?,
        before: text(begins..first)?.trim().to_owned(),
        after: text(last..ends)?.trim().to_owned(),
        followed: next.is_some(),
        control: raw.stmt.as_deref().and_then(|stmt| stmt.node.as_ref()).map_or(Control::Other, control),
        range: first..last,
    })
}

/// A part of a text without its empty lines, where they stand between tokens; nothing where more than blanks does.
fn lean(sql: &str, tokens: &[Lexeme], range: &Range<usize>) -> Option<String> {
    let (mut lean, mut at) = (String::new(), range.start);
    for token in tokens.iter().filter(|token| token.range.start >= range.start && token.range.end <= range.end) {
        blank(&mut lean, sql.get(at..token.range.start)?)?;
        lean.push_str(sql.get(token.range.clone())?);
        at = token.range.end;
    }
    blank(&mut lean, sql.get(at..range.end)?)?;
    Some(lean)
}

fn blank(lean: &mut String, text: &str) -> Option<()> {
    for c in text.chars() {
        match c {
            '\n' if lean.ends_with('\n') => {}
            // What the server's scanner calls space.
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => lean.push(c),
            _ => return None,
        }
    }
    Some(())
}

fn control(node: &NodeEnum) -> Control {
    use TransactionStmtKind as Kind;
    let NodeEnum::TransactionStmt(TransactionStmt { kind, options, chain, .. }) = node else { return Control::None };
    match Kind::try_from(*kind) {
        Ok(Kind::TransStmtBegin | Kind::TransStmtStart) if options.is_empty() => Control::Begin,
        Ok(Kind::TransStmtCommit) if !chain => Control::Commit,
        Ok(Kind::TransStmtSavepoint | Kind::TransStmtRelease) => Control::None,
        _ => Control::Other,
    }
}

impl Piece {
    /// Its own text.
    #[must_use]
    pub fn digest(&self) -> Digest {
        of_bytes(self.text.as_bytes())
    }
}

impl Step {
    /// Whether a text is this statement.
    #[must_use]
    pub fn is(&self, sent: &Piece) -> bool {
        self.text == sent.digest() && ends_in(&self.before, &sent.before) && begins_with(&self.after, &sent.after)
    }
}

/// Whether comments end in some of them, each whole.
fn ends_in(all: &str, some: &str) -> bool {
    let Some(rest) = all.strip_suffix(some) else { return false };
    let ends = || rest.trim_end_matches([' ', '\t']).ends_with('\n') || rest.trim_end().ends_with("*/");
    some.is_empty() || rest.trim().is_empty() || (ends() && are_comments(rest))
}

/// Whether comments begin with some of them, each whole.
fn begins_with(all: &str, some: &str) -> bool {
    let Some(rest) = all.strip_prefix(some) else { return false };
    let begins = || rest.trim_start_matches([' ', '\t']).starts_with(['\n', '\r']) || some.ends_with("*/");
    some.is_empty() || rest.trim().is_empty() || (begins() && are_comments(rest))
}

fn are_comments(text: &str) -> bool {
    let comment = |token: &ScanToken| matches!(Token::try_from(token.token), Ok(Token::SqlComment | Token::CComment));
    pg_query::scan(text).is_ok_and(|scanned| scanned.tokens.iter().all(comment))
}

/// What an approval of a text binds that is asked for statement by statement: what is shown, and every statement with
/// what an approval of it alone would bind, in order.
#[must_use]
pub fn digest(shown: &str, steps: &[Step]) -> Digest {
    let fields =
        Fields::of("countersign/steps/v1").field("shown", shown).field("steps", (steps.len() as u64).to_be_bytes());
    steps
        .iter()
        .fold(fields, |fields, step| {
            let rests = step.rests.iter().flat_map(|(object, version)| [object.as_bytes(), version.as_bytes()]);
            fields
                .field("before", &step.before)
                .field("after", &step.after)
                .field("text", step.text.as_bytes())
                .field("block", step.block.to_be_bytes())
                .field("needed", [u8::from(step.needed)])
                .field("meaning", step.meaning.as_bytes())
                .list("rests", rests)
                .list("does", step.does.iter().flat_map(|(action, object)| [action, object]))
        })
        .finish()
}

/// Which statement a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The one that comes next, by its number from 1.
    Due(u32),
    /// Another one; with the one that comes next, if any does.
    Not {
        /// Which it is.
        number: u32,
        /// Which comes next.
        due: Option<u32>,
    },
    /// None of them.
    Other,
}

/// Which of `steps` a text is, of which `taken` have been sent.
#[must_use]
pub fn next(steps: &[Step], taken: &[u32], sent: &Piece) -> Next {
    let numbered = || (1_u32..).zip(steps);
    let due = numbered().find(|(number, step)| step.needed && !taken.contains(number));
    match due {
        Some((number, step)) if step.is(sent) => Next::Due(number),
        due => match numbered().find(|(_, step)| step.needed && step.is(sent)) {
            Some((number, _)) => Next::Not { number, due: due.map(|(number, _)| number) },
            None => Next::Other,
        },
    }
}

/// Why nobody can know, before `earlier` has run, what `later` is by then; nothing where that can be known. `runs_code`:
/// functions of the database count for `later`.
#[must_use]
pub fn rests_on(later: &Understood, runs_code: bool, earlier: &Understood) -> Option<String> {
    let changes = |effect: &&Effect| matches!(effect.action.group(), Some("ddl" | "admin"));
    let defines = |effect: &&Effect| changes(effect) && !matches!(effect.action, Action::Truncate | Action::Maintain);
    let temporary = |effect: &Effect| effect.action == Action::Temp;
    let sets = |effect: &Effect| matches!(effect.action, Action::Set | Action::Transaction | Action::Select);
    if earlier
        .statements
        .iter()
        .any(|s| s.changes_session && s.transaction == TransactionMove::None && s.effects.iter().all(sets))
    {
        return Some("changes what names or values mean".to_owned());
    }
    if earlier.effects.iter().any(temporary) {
        return Some("makes something temporary".to_owned());
    }
    if earlier.statements.iter().any(|s| s.prepares.is_some()) {
        return Some("prepares a statement".to_owned());
    }
    for effect in earlier.effects.iter().filter(defines) {
        match &effect.object {
            Object::Connection | Object::Role { .. } => return Some("may change anything".to_owned()),
            Object::Function { schema, name } if runs_code => {
                return Some(format!("changes the function {schema}.{name}"));
            }
            Object::Function { .. } | Object::Schema { .. } => {}
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                let same = |object: &Object| match object {
                    Object::Table { schema: s, name: n } | Object::Column { schema: s, table: n, .. } => {
                        s == schema && n == name
                    }
                    _ => false,
                };
                if later.effects.iter().any(|effect| same(&effect.object)) {
                    return Some(format!("changes {schema}.{name}"));
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::builder::Builder,
        statement::classify::{Names, classify},
    };

    fn texts(sql: &str) -> Vec<(String, String, String)> {
        split(sql).unwrap().into_iter().map(|piece| (piece.before, piece.text, piece.after)).collect()
    }

    #[test]
    fn a_text_is_split_where_the_server_splits_it() {
        let sql = "-- V12\n/* one; */\n\nselect 'a;\n\nb', $$;\n\n;$$ -- in;\n\n  as x -- after\n; ;\n-- two\nbegin;\nselect 5\n-- end;";
        let expected = [
            ("-- V12\n/* one; */", "select 'a;\n\nb', $$;\n\n;$$ -- in;\n  as x", "-- after"),
            ("-- two", "begin", ""),
            ("", "select 5", "-- end;"),
        ];
        let expected: Vec<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).into();
        assert_eq!(texts(sql), expected);
        assert_eq!(texts("create rule r as on insert to t do also (delete from a; delete from b); select 1").len(), 2);
        assert!(split("selec 1").is_err());
        assert_eq!(split(&"select 1;".repeat(MOST)).unwrap().len(), MOST);
        assert!(matches!(split(&"select 1;".repeat(MOST + 1)), Err(Doubt::TooLarge { what }) if what.contains("101")));
        assert_eq!(split(" ; -- nothing").unwrap(), []);
        for (sql, control) in [
            ("begin", Control::Begin),
            ("start transaction", Control::Begin),
            ("begin isolation level serializable", Control::Other),
            ("begin read only", Control::Other),
            ("commit", Control::Commit),
            ("end", Control::Commit),
            ("commit and chain", Control::Other),
            ("rollback", Control::Other),
            ("savepoint a", Control::None),
            ("rollback to a", Control::Other),
            ("prepare transaction 'x'", Control::Other),
            ("select 1", Control::None),
        ] {
            assert_eq!(split(sql).unwrap()[0].control, control, "{sql}");
        }
    }

    #[test]
    fn every_byte_of_a_statement_is_its_own() {
        for sql in [
            "select 1 + 2 - -3 * 4 / 5 % 6 ^ 7, |/ 4, @ -1, 5 !~ 6, a ->> 'x' #> '{}' @> b ?| c ?& d",
            "select a[1:2], f(b => 1), f(c := 2), x.*, (y).z, $1, 'é ü 𝒙'::text, e'a\\nb', u&'\\0061', b'01', x'1F'",
            "select 0x1F, 1_000, 1e5, .5, 5., \"Weird \"\" name\", u&\"d\\0061t\" from t -- in\n where a <> b /* /* e */ */ and c != d",
            "create function f() returns int language sql as $tag$ select 1; $tag$",
            "update t set a = a || 'b'\n'c' where b between symmetric 1 and 2 returning *",
        ] {
            let [piece] = <[Piece; 1]>::try_from(split(sql).unwrap()).unwrap();
            assert_eq!((piece.text.as_str(), piece.before.as_str(), piece.after.as_str()), (sql, "", ""), "{sql}");
            // With anything less or more it is no such statement.
            let step = &steps(sql)[0];
            let ends = sql.char_indices().map(|(at, _)| at).filter(|at| *at > 0);
            assert!(ends.into_iter().all(|at| sent(&sql[..at]).is_none_or(|sent| !step.is(&sent))), "{sql}");
        }
    }

    fn steps(sql: &str) -> Vec<Step> {
        let step = |piece: Piece| Step {
            text: piece.digest(),
            before: piece.before,
            after: piece.after,
            block: 0,
            needed: true,
            meaning: of_bytes(b"meaning"),
            rests: vec![("public.orders".to_owned(), of_bytes(b"version"))],
            does: vec![("delete".to_owned(), "Table::\"shop/public.orders\"".to_owned())],
        };
        split(sql).unwrap().into_iter().map(step).collect()
    }

    #[test]
    fn what_is_sent_is_what_stands_in_the_text() {
        let steps = steps("-- V12\n/* why */\n\ndelete from a -- all\n;\n/* b */ delete\n\nfrom b;");
        let table = [
            ("delete from a", 1),
            ("delete from a;", 1),
            ("\n delete from a ; \n", 1),
            ("/* why */\ndelete from a -- all\n;", 1),
            ("-- V12\n/* why */\ndelete from a -- all\n;", 1),
            ("-- V12\n\n/* why */\n\ndelete from a -- all\n;", 1),
            ("delete\nfrom b", 2),
            ("delete\n\n\nfrom b", 2),
            ("/* b */ delete\nfrom b;", 2),
            ("delete from b", 0),
            ("delete  from a", 0),
            ("DELETE from a", 0),
            ("/* other */ delete from a", 0),
            ("delete from a -- other", 0),
            ("delete from a; -- all", 0),
            ("-- V12\ndelete from a", 0),
            ("delete from a; delete\nfrom b", 0),
            ("delete from a where true", 0),
            ("", 0),
        ];
        for (sql, number) in table {
            let found = sent(sql).and_then(|sent| steps.iter().position(|step| step.is(&sent)));
            assert_eq!(found.map_or(0, |at| at + 1), number, "{sql:?}");
        }
    }

    #[test]
    fn they_come_in_order_and_each_once() {
        let mut steps = steps("delete from a; select 1; delete from b; delete from a");
        steps[1].needed = false;
        let next = |taken: &[u32], sql: &str| next(&steps, taken, &sent(sql).unwrap());
        let (a, b) = ("delete from a", "delete from b");
        assert_eq!(next(&[], a), Next::Due(1));
        assert_eq!(next(&[], b), Next::Not { number: 3, due: Some(1) });
        assert_eq!(next(&[1], a), Next::Not { number: 1, due: Some(3) });
        assert_eq!(next(&[1], b), Next::Due(3));
        assert_eq!(next(&[1], "select 1"), Next::Other, "it passes by itself");
        assert_eq!(next(&[1, 3], a), Next::Due(4));
        assert_eq!(next(&[1, 3, 4], a), Next::Not { number: 1, due: None });
        assert_eq!(next(&[1], "delete from c"), Next::Other);
    }

    #[test]
    fn the_digest_binds_every_statement_and_their_order() {
        let sql = "delete from a; delete from b";
        let all = steps(sql);
        let of = |change: &dyn Fn(&mut Vec<Step>)| {
            let mut steps = all.clone();
            change(&mut steps);
            digest(sql, &steps)
        };
        let whole = digest(sql, &all);
        assert_eq!(whole, of(&|_| {}));
        assert_ne!(whole, digest("delete from a", &all), "what is shown");
        type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<Step>));
        let table: [Change<'_>; 11] = [
            ("order", &|s| s.swap(0, 1)),
            ("one less", &|s| drop(s.pop())),
            ("one twice", &|s| s.push(s[0].clone())),
            ("before", &|s| s[0].before.push_str("-- x")),
            ("after", &|s| s[0].after.push_str("-- x")),
            ("text", &|s| s[1].text = of_bytes(b"x")),
            ("block", &|s| s[1].block = 1),
            ("needed", &|s| s[1].needed = false),
            ("meaning", &|s| s[1].meaning = of_bytes(b"x")),
            ("definitions", &|s| s[1].rests[0].1 = of_bytes(b"x")),
            ("what it does", &|s| s[1].does.clear()),
        ];
        for (what, change) in table {
            assert_ne!(whole, of(change), "{what}");
        }
    }

    #[test]
    fn what_rests_on_a_statement_before_it_is_known() {
        let mut builder = Builder::new();
        builder.table("public.orders", &["id"]).table("public.products", &["id"]);
        let catalog = builder.build();
        let names = Names { search_path: vec!["public".into()], ..Names::default() };
        let of = |sql: &str| Understood::from(classify(sql, &catalog, &names));
        let table = [
            ("delete from products", "delete from orders", false),
            ("alter table products add a int", "delete from orders", false),
            ("alter table orders add a int", "delete from orders", true),
            ("create index on orders (id)", "delete from orders", true),
            ("alter table orders add a int", "insert into products select * from orders", true),
            ("drop table orders", "delete from orders", true),
            ("truncate orders", "delete from orders", false),
            ("set search_path = evil", "delete from orders", true),
            ("select set_config('datestyle', 'German', false)", "delete from orders", true),
            ("set lock_timeout = '1s'", "delete from orders", false),
            ("create temp table t (id int)", "delete from orders", true),
            ("prepare p as select 1", "delete from orders", true),
            ("do $$ begin execute 'x'; end $$", "delete from orders", true),
            ("begin", "delete from orders", false),
            ("commit", "delete from orders", false),
            ("select 1", "delete from orders", false),
        ];
        for (earlier, later, expected) in table {
            let why = rests_on(&of(later), false, &of(earlier));
            assert_eq!(why.is_some(), expected, "{earlier}; {later}: {why:?}");
        }
        let function = of("create or replace function f() returns int language sql as 'select 1'");
        let delete = of("delete from orders");
        assert_eq!(rests_on(&delete, false, &function), None, "it runs none");
        assert!(rests_on(&delete, true, &function).is_some_and(|why| why.contains("public.f")));
    }
}
