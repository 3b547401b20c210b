//! assemble: a simple Query, or Parse/Bind/Execute, into one request; later stages never look at
//! frames.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use countersign_shared::digest::{Digest, Fields};

use super::{mask::plan::Told, understood::Understood, values};

/// A statement with its bound parameters, and the exact bytes that a permit would forward.
#[derive(Clone, Debug)]
pub struct Request {
    /// The text.
    pub sql: Arc<str>,
    /// Bound parameters; `None` for NULL.
    pub parameters: Vec<Option<Bytes>>,
    /// Their formats: 0 text, 1 binary; one each.
    pub formats: Vec<u16>,
    /// Their types' oids as the server reads them, as far as they are known; 0 where not.
    pub types: Arc<[u32]>,
    /// Those that the client or its Parse says they have, which the server then does not find out; 0, or none, where it does.
    pub declared: Arc<[u32]>,
    /// At most so many rows; 0 for all.
    pub limit: i32,
    /// What it is.
    pub analysis: Arc<Understood>,
    /// What is told of its classified columns.
    pub masking: Masking,
}

/// What is told of a statement's classified columns.
#[derive(Clone, Debug, Default)]
pub struct Masking {
    /// The masked outputs.
    pub told: Vec<Told>,
    /// The columns that an approval revealed.
    pub revealed: Vec<String>,
    /// Parameters that meet a classified column: how a card shows them, and how a record does.
    pub hidden: BTreeMap<usize, (String, String)>,
    /// The text as a card shows it, where constants of it meet one.
    pub shown: Option<String>,
    /// Whether the client has not been told yet.
    pub is_news: bool,
}

impl Masking {
    /// Nothing yet, of which the client has not been told.
    #[must_use]
    pub fn news() -> Self {
        Self { is_news: true, ..Self::default() }
    }
}

/// What a statement's meaning rests on, beside its own bytes (DESIGN §5).
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The session's id.
    pub session: &'a str,
    /// The principal.
    pub principal: &'a str,
    /// The login upstream.
    pub login: &'a str,
    /// The connection's name and the database upstream.
    pub database: (&'a str, &'a str),
    /// Settings that change meaning, by name: `search_path`, `TimeZone`, the role.
    pub settings: &'a [(String, String)],
    /// `I`, `T` or `E`.
    pub transaction: u8,
    /// The catalog version of the touched objects.
    pub catalog: Digest,
}

impl Request {
    /// The same, as it is understood by now.
    #[must_use]
    pub fn understood_as(&self, now: &Arc<Understood>) -> Self {
        Self { analysis: Arc::clone(now), ..self.clone() }
    }

    /// What an approval of this request binds.
    #[must_use]
    pub fn digest(&self, around: &Surroundings<'_>) -> Digest {
        let fields = Fields::of("countersign/statement/v2")
            .field("sql", self.sql.as_bytes())
            .field("parameters", (self.parameters.len() as u64).to_be_bytes());
        self.circumstances(self.values(fields), around).finish()
    }

    /// The statement as it is sent: its text, and how many parameters of which types it has.
    #[must_use]
    pub fn text_digest(&self) -> Digest {
        let of = |index: usize| self.types.get(index).copied().unwrap_or(0);
        let types = (0..self.parameters.len().max(self.types.len())).map(|index| of(index).to_be_bytes());
        Fields::of("countersign/allowed-text/v1")
            .field("sql", self.sql.as_bytes())
            .field("parameters", (self.parameters.len() as u64).to_be_bytes())
            .list("types", types)
            .field("limit", self.limit.to_be_bytes())
            .finish()
    }

    /// What an allowance of this statement binds: all that an approval does but the session, and, unless `pinned`, the
    /// parameters' values; and what is masked of it.
    #[must_use]
    pub fn allowance_digest(&self, around: &Surroundings<'_>, masks: &str, pinned: bool) -> Digest {
        let fields = Fields::of("countersign/allowance/v2")
            .field("text", self.text_digest().as_bytes())
            .field("masks", masks)
            .field("pinned", [u8::from(pinned)]);
        let fields = if pinned { self.values(fields) } else { fields };
        self.circumstances(fields, around).finish()
    }

    fn values(&self, mut fields: Fields) -> Fields {
        for (index, value) in self.parameters.iter().enumerate() {
            let format = self.formats.get(index).copied().unwrap_or(0);
            let of = self.types.get(index).copied().unwrap_or(0);
            fields = fields
                .field("type", of.to_be_bytes())
                .field("format", format.to_be_bytes())
                .optional("value", value.as_ref());
        }
        fields
    }

    fn circumstances(&self, fields: Fields, around: &Surroundings<'_>) -> Fields {
        // What EXECUTE runs is no part of its text.
        let executes = self.analysis.statements.iter().flat_map(|statement| &statement.executes);
        let resolved = self.analysis.statements.iter().flat_map(|statement| &statement.resolved);
        fields
            .list(
                "effects",
                self.analysis.effects.iter().map(|effect| format!("{} {:?}", effect.action, effect.object)),
            )
            // A type of the same name that comes into being, in whatever schema, may be the one that is meant.
            .list("resolved", resolved.map(|oid| oid.to_be_bytes()))
            .list("executes", executes.flat_map(|(name, text)| [name, text]))
            .field("limit", self.limit.to_be_bytes())
            .field("session", around.session)
            .field("principal", around.principal)
            .field("login", around.login)
            .field("connection", around.database.0)
            .field("database", around.database.1)
            .list("settings", around.settings.iter().flat_map(|(name, value)| [name, value]))
            .field("transaction", [around.transaction])
            .field("catalog", around.catalog.as_bytes())
    }

    /// Of each parameter in the text format that the client calls something that its text may not look like, a sentence.
    #[must_use]
    pub fn read_otherwise(&self) -> Vec<String> {
        let named = |at: usize| {
            let text = self.formats.get(at).copied().unwrap_or(0) == 0 && self.parameters.get(at)?.is_some();
            let name = values::read_as(self.declared.get(at).copied().filter(|_| text)?)?;
            Some(format!(
                "Parameter ${} is sent as {name}: it is read by that type, and may not be what its text looks like.",
                at + 1
            ))
        };
        (0..self.parameters.len()).filter_map(named).collect()
    }

    /// Parameters as a card shows them.
    #[must_use]
    pub fn parameters_on_a_card(&self) -> Vec<String> {
        let mut shown = self.parameters_as_text();
        for (at, (card, _)) in &self.masking.hidden {
            if let Some(shown) = shown.get_mut(*at) {
                card.clone_into(shown);
            }
        }
        shown
    }

    /// The text as a card shows it.
    #[must_use]
    pub fn sql_on_a_card(&self) -> &str {
        self.masking.shown.as_deref().unwrap_or(&self.sql)
    }

    /// Parameters as records have them: text as it is, with the type that the client says it is of where that reads it
    /// otherwise than it looks; binary as the server would print it; a keyed hash of
    /// what meets a classified column.
    #[must_use]
    pub fn parameters_as_text(&self) -> Vec<String> {
        let show = |(index, value): (usize, &Option<Bytes>)| match value {
            None => "NULL".to_owned(),
            Some(_) if self.masking.hidden.contains_key(&index) => {
                self.masking.hidden.get(&index).map(|(_, record)| record.clone()).unwrap_or_default()
            }
            Some(bytes) if self.formats.get(index).copied().unwrap_or(0) == 0 => {
                values::text_of(self.declared.get(index).copied().unwrap_or(0), bytes)
            }
            Some(bytes) => values::binary(self.types.get(index).copied().unwrap_or(0), bytes),
        };
        self.parameters.iter().enumerate().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::classify::{Analysis, Statement};

    fn request(sql: &str, parameters: &[Option<&'static str>]) -> Request {
        Request {
            sql: sql.into(),
            parameters: parameters.iter().map(|p| p.map(|p| Bytes::from_static(p.as_bytes()))).collect(),
            formats: vec![0; parameters.len()],
            types: vec![23; parameters.len()].into(),
            declared: Arc::default(),
            limit: 0,
            analysis: Arc::default(),
            masking: Masking::default(),
        }
    }

    #[test]
    fn every_circumstance_changes_the_digest() {
        let catalog = Fields::of("t").finish();
        let path = [("search_path".to_owned(), "public".to_owned())];
        let evil = [("search_path".to_owned(), "evil, public".to_owned())];
        let around = Surroundings {
            session: "S1",
            principal: "ana@acme.dev",
            login: "app",
            database: ("shop", "shop"),
            settings: &path,
            transaction: b'I',
            catalog,
        };
        let delete = request("DELETE FROM t WHERE id = $1", &[Some("1")]);
        let digest = delete.digest(&around);
        let mut binary = delete.clone();
        binary.formats = vec![1];
        let mut retyped = delete.clone();
        retyped.types = [25].into();
        let mut limited = delete.clone();
        limited.limit = 1;
        let executes = |text: &str| {
            let executes = vec![("p".to_owned(), text.to_owned())];
            let statement = Statement { executes, ..Statement::default() };
            let analysis = Analysis { statements: vec![statement], ..Analysis::default() };
            Request { analysis: Arc::new(analysis.into()), ..request("EXECUTE p", &[]) }.digest(&around)
        };
        assert_ne!(executes("DELETE FROM t WHERE id = 1"), executes("DELETE FROM t"), "what EXECUTE runs");
        let resolved = |oids: &[u32]| {
            let statement = Statement { resolved: oids.to_vec(), ..Statement::default() };
            let analysis = Analysis { statements: vec![statement], ..Analysis::default() };
            Request { analysis: Arc::new(analysis.into()), ..request("SELECT 'b'::en", &[]) }.digest(&around)
        };
        assert_ne!(resolved(&[17_000]), resolved(&[17_000, 17_001]), "another type of that name");
        let others = [
            ("another text", request("DELETE FROM t WHERE id = $1 ", &[Some("1")]).digest(&around)),
            ("another value", request(&delete.sql, &[Some("2")]).digest(&around)),
            ("NULL, not empty", request(&delete.sql, &[None]).digest(&around)),
            ("empty, not NULL", request(&delete.sql, &[Some("")]).digest(&around)),
            ("another format", binary.digest(&around)),
            ("another type", retyped.digest(&around)),
            ("another row limit", limited.digest(&around)),
            ("another session", delete.digest(&Surroundings { session: "S2", ..around.clone() })),
            ("another principal", delete.digest(&Surroundings { principal: "ben@acme.dev", ..around.clone() })),
            ("another login", delete.digest(&Surroundings { login: "rw", ..around.clone() })),
            ("another database", delete.digest(&Surroundings { database: ("shop", "crm"), ..around.clone() })),
            ("another search_path", delete.digest(&Surroundings { settings: &evil, ..around.clone() })),
            ("an open transaction", delete.digest(&Surroundings { transaction: b'T', ..around.clone() })),
            ("another catalog", delete.digest(&Surroundings { catalog: Fields::of("u").finish(), ..around.clone() })),
        ];
        for (case, other) in others {
            assert_ne!(digest, other, "{case}");
        }
        assert_eq!(digest, delete.digest(&around), "the same stays the same");
        // What is allowed for a time binds the same, with the values or without.
        let free = |request: &Request, around: &Surroundings<'_>| request.allowance_digest(around, "", false);
        let pinned = |request: &Request, around: &Surroundings<'_>| request.allowance_digest(around, "", true);
        let other_value = request(&delete.sql, &[Some("2")]);
        assert_eq!(free(&delete, &around), free(&other_value, &around), "any value");
        assert_ne!(pinned(&delete, &around), pinned(&other_value, &around), "just that value");
        assert_ne!(free(&delete, &around), delete.allowance_digest(&around, "pii", false), "another mask");
        assert_eq!(delete.text_digest(), other_value.text_digest());
        for (case, other) in [
            ("another text", request("DELETE FROM t WHERE id = $1 ", &[Some("1")])),
            ("another type", retyped),
            ("another row limit", limited),
            ("another number of parameters", request(&delete.sql, &[Some("1"), Some("2")])),
        ] {
            assert_ne!(free(&delete, &around), free(&other, &around), "{case}");
            assert_ne!(delete.text_digest(), other.text_digest(), "{case}");
        }
        for (case, other) in [
            ("another principal", Surroundings { principal: "ben@acme.dev", ..around.clone() }),
            ("another login", Surroundings { login: "rw", ..around.clone() }),
            ("another connection", Surroundings { database: ("crm", "shop"), ..around.clone() }),
            ("another search_path", Surroundings { settings: &evil, ..around.clone() }),
            ("an open transaction", Surroundings { transaction: b'T', ..around.clone() }),
            ("another catalog", Surroundings { catalog: Fields::of("u").finish(), ..around.clone() }),
        ] {
            assert_ne!(free(&delete, &around), free(&delete, &other), "{case}");
        }
    }

    #[test]
    fn parameters_are_shown_whole() {
        let mut request = request("", &[Some("a'b"), None, Some("\0\0\u{1}\u{2}"), Some("\u{1}\u{2}")]);
        request.formats = vec![0, 0, 1, 1];
        request.types = [25, 25, 23].into();
        let bytes = "\\x0102 (2 bytes of a type that was not named)";
        assert_eq!(request.parameters_as_text(), ["a'b", "NULL", "258", bytes]);
    }
}
