//! What a text is, with all that the path of a statement reads of it worked out once.

use std::{ops::Deref, sync::OnceLock};

use serde_json::value::RawValue;

use super::{
    classify::{Analysis, NOTE_ENCODING, NOTE_STRINGS, NOTE_TOKEN, TransactionMove},
    effect::{Action, Effect, Object},
};

/// An analysis, and what follows from it alone.
#[derive(Clone, Debug, Default)]
pub struct Understood {
    analysis: Analysis,
    /// All effects of all statements, sorted, each once.
    pub effects: Vec<Effect>,
    /// Whether nothing but the read group is asked for.
    pub only_reads: bool,
    /// Whether all that it does is to end or undo a transaction without keeping anything.
    pub only_undoes: bool,
    /// Whether the server will ask for COPY data.
    pub copies_in: bool,
    /// The setting that it would give another value than the one that every session has here.
    pub unpins: Option<Pin>,
    /// Whether a statement begins, ends or saves a transaction.
    pub moves_transaction: bool,
    /// Whether names, settings or prepared statements may be others afterwards.
    pub changes_session: Changes,
    /// Whether the catalog may be another afterwards.
    pub changes_catalog: bool,
    /// Whether the catalog certainly is the same afterwards. Of FETCH that is not certain: what a cursor
    /// runs was declared before.
    pub leaves_catalog: bool,
    /// Whether something of it can't be seen.
    pub is_opaque: bool,
    /// Whether code of the database's runs.
    pub runs_code: bool,
    told: OnceLock<Told>,
}

/// The effects as records tell them.
#[derive(Clone, Debug)]
struct Told {
    texts: Vec<String>,
    json: Box<RawValue>,
}

impl Understood {
    /// The effects as records tell them, on the connection that the text was understood for.
    pub fn told(&self, connection: &str) -> &[String] {
        &self.tell(connection).texts
    }

    /// The same as a JSON array.
    pub fn told_in_json(&self, connection: &str) -> &RawValue {
        &self.tell(connection).json
    }

    fn tell(&self, connection: &str) -> &Told {
        self.told.get_or_init(|| {
            let tell = |effect: &Effect| format!("{} {}", effect.action, effect.object.display(connection));
            let texts: Vec<String> = self.effects.iter().map(tell).collect();
            // A list of texts is nothing that JSON can't hold.
            let json = serde_json::value::to_raw_value(&texts).unwrap_or_default();
            Told { texts, json }
        })
    }
}

/// A setting that stays as it is, since with another value the text that is read here is not the
/// text that the server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// `client_encoding`.
    Encoding,
    /// `standard_conforming_strings`.
    Strings,
    /// `countersign.token`, which the server never sees.
    Token,
}

/// When names, settings or prepared statements may be others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Never.
    #[default]
    Not,
    /// Only where the transaction that it ends or undoes had changed them.
    WithTransaction,
    /// Always.
    Always,
}

impl Deref for Understood {
    type Target = Analysis;

    fn deref(&self) -> &Analysis {
        &self.analysis
    }
}

impl From<Analysis> for Understood {
    fn from(analysis: Analysis) -> Self {
        let statements = &analysis.statements;
        let mut effects: Vec<Effect> = statements.iter().flat_map(|s| s.effects.iter().cloned()).collect();
        effects.sort_unstable();
        effects.dedup();
        let always = statements
            .iter()
            .any(|s| s.prepares.is_some() || s.changes_session && s.transaction == TransactionMove::None);
        let changes_session = if always || !effects.iter().all(|effect| leaves_names(effect.action)) {
            Changes::Always
        } else if statements.iter().any(|s| s.changes_session) {
            Changes::WithTransaction
        } else {
            Changes::Not
        };
        let undoes = |s: &super::classify::Statement| s.transaction == TransactionMove::Rollback;
        Self {
            only_reads: effects.iter().all(|effect| effect.action.group() == Some("read")),
            only_undoes: !statements.is_empty() && statements.iter().all(undoes),
            copies_in: effects.iter().any(|effect| effect.action == Action::CopyIn),
            moves_transaction: statements.iter().any(|s| s.transaction != TransactionMove::None),
            changes_catalog: effects.iter().any(|effect| changes_catalog(effect.action)),
            leaves_catalog: effects.iter().all(leaves_catalog)
                && !statements
                    .iter()
                    .any(|s| matches!(s.transaction, TransactionMove::Commit | TransactionMove::Rollback)),
            is_opaque: effects.iter().any(|effect| effect.action == Action::Opaque),
            runs_code: statements.iter().any(|s| s.runs_code),
            unpins: [(NOTE_TOKEN, Pin::Token), (NOTE_ENCODING, Pin::Encoding), (NOTE_STRINGS, Pin::Strings)]
                .into_iter()
                .find_map(|(note, pin)| statements.iter().any(|s| s.marks.contains(note)).then_some(pin)),
            changes_session,
            told: OnceLock::new(),
            effects,
            analysis,
        }
    }
}

/// Whether a name means the same after this; what is not listed may change it.
const fn leaves_names(action: Action) -> bool {
    use Action::{CopyIn, CopyOut, Delete, Insert, Listen, Lock, Merge, Notify, Select, Transaction, Update};
    matches!(
        action,
        Select | Insert | Update | Delete | Merge | CopyIn | CopyOut | Lock | Listen | Notify | Transaction
    )
}

/// Whether the catalog certainly is the same after this. To read nothing that has a name may be to fetch
/// from a cursor.
fn leaves_catalog(effect: &Effect) -> bool {
    leaves_names(effect.action) && !(effect.action == Action::Select && effect.object == Object::Connection)
}

fn changes_catalog(action: Action) -> bool {
    matches!(action.group(), Some("ddl" | "admin")) || action == Action::Temp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::Snapshot,
        statement::classify::{Names, classify},
    };

    fn understood(sql: &str) -> Understood {
        classify(sql, &Snapshot::default(), &Names::default()).into()
    }

    #[test]
    fn a_text_that_would_take_a_pin_says_which() {
        let table = [
            ("SET client_encoding = 'SJIS'", Some(Pin::Encoding)),
            ("SET NAMES 'latin1'", Some(Pin::Encoding)),
            ("SELECT 1; SET LOCAL standard_conforming_strings = off", Some(Pin::Strings)),
            ("SET countersign.token = 'ey'; SELECT 1", Some(Pin::Token)),
            ("SELECT set_config('Countersign.Token', 'ey', false)", Some(Pin::Token)),
            ("SET LOCAL countersign.token = 'ey'; SET client_encoding = 'latin1'", Some(Pin::Token)),
            ("SET countersign.token = 'ey", Some(Pin::Token)),
            ("SET countersign . \"token\" TO ey.ey", Some(Pin::Token)),
            ("SELECT current_setting('countersign.token')", Some(Pin::Token)),
            ("SHOW countersign.token; SELECT 1", Some(Pin::Token)),
            (
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET countersign.token = 'ey' AS 'SELECT 1'",
                Some(Pin::Token),
            ),
            ("ALTER ROLE ana SET countersign.token = 'ey'", Some(Pin::Token)),
            ("DO $$ BEGIN SET countersign.token = 'ey'; END $$", Some(Pin::Token)),
            ("SET countersign./**/token = 'ey'; SELECT 1", Some(Pin::Token)),
            ("SET countersign/* a */./* b */token = 'ey'; SELECT 1", Some(Pin::Token)),
            ("SET countersign. -- a\n token = 'ey'; SELECT 1", Some(Pin::Token)),
            ("SET LOCAL COUNTERSIGN./**/\"TOKEN\" = 'ey'; SELECT 1", Some(Pin::Token)),
            (r#"SET U&"\0063ountersign".token = 'ey'; SELECT 1"#, Some(Pin::Token)),
            (r#"SET countersign.U&"t\006fken" = 'ey'; SELECT 1"#, Some(Pin::Token)),
            (r#"SET countersign.U&"t\006fken" FROM CURRENT"#, Some(Pin::Token)),
            (r#"SHOW countersign.U&"t\006fken"; SELECT 1"#, Some(Pin::Token)),
            (r"SELECT set_config(E'countersign\x2eToken', 'ey', false)", Some(Pin::Token)),
            (r"SELECT set_config(U&'countersign\002etoken'::text, $1, false)", Some(Pin::Token)),
            ("SELECT pg_catalog.set_config('countersign.'\n't'\n'oken', 'ey', false)", Some(Pin::Token)),
            (r"SELECT current_setting(E'countersign.t\x6fken')", Some(Pin::Token)),
            (r#"PREPARE p AS SELECT set_config(E'countersign.t\x6fken', 'ey', false)"#, Some(Pin::Token)),
            ("DO $$ BEGIN SET countersign./**/token = 'ey'; END $$", Some(Pin::Token)),
            (r#"DO $$ BEGIN SET countersign.U&"t\006fken" = 'ey'; END $$"#, Some(Pin::Token)),
            (r"DO $$ BEGIN PERFORM set_config(E'countersign.t\x6fken', 'ey', false); END $$", Some(Pin::Token)),
            (r#"ALTER ROLE ana SET countersign.U&"t\006fken" = 'ey'"#, Some(Pin::Token)),
            (r#"ALTER DATABASE shop SET countersign.U&"t\006fken" = 'ey'"#, Some(Pin::Token)),
            (r#"ALTER SYSTEM SET countersign.U&"t\006fken" = 'ey'"#, Some(Pin::Token)),
            (r#"ALTER FUNCTION f() SET countersign.U&"t\006fken" = 'ey'"#, Some(Pin::Token)),
            (
                r#"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET countersign.U&"t\006fken" = 'ey' AS 'SELECT 1'"#,
                Some(Pin::Token),
            ),
            ("SET countersign./* never ends", None),
            ("SET countersign./**/token = 'ey'", None),
            (r#"SET countersign.U&"t\006fken" = 'ey'"#, None),
            ("SET countersign.token = 'ey'", None),
            ("SET countersign.reason = 'a token'; SELECT 1", None),
            ("SET client_encoding = 'utf-8'; SET standard_conforming_strings = on", None),
        ];
        for (sql, pin) in table {
            assert_eq!(understood(sql).unpins, pin, "{sql}");
        }
    }

    #[test]
    fn what_may_change_names_is_asked_again() {
        let table = [
            ("SELECT 1", Changes::Not),
            ("BEGIN", Changes::Not),
            ("COMMIT", Changes::WithTransaction),
            ("ROLLBACK", Changes::WithTransaction),
            ("SET search_path = evil", Changes::Always),
            ("PREPARE p AS SELECT 1", Changes::Always),
            ("DISCARD ALL", Changes::Always),
            ("CREATE TEMP TABLE orders (id int)", Changes::Always),
            ("DO $$ BEGIN EXECUTE 'x'; END $$", Changes::Always),
            ("SELEC 1", Changes::Always),
        ];
        for (sql, expected) in table {
            assert_eq!(understood(sql).changes_session, expected, "{sql}");
        }
    }

    #[test]
    fn an_empty_text_reads_nothing_and_undoes_nothing() {
        let empty = understood("");
        assert!(!empty.only_undoes && empty.effects.is_empty());
        assert!(understood("ROLLBACK; ROLLBACK").only_undoes);
        assert!(!understood("ROLLBACK; SELECT 1").only_undoes, "what comes after it is asked about");
    }
}
