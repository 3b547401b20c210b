//! What the session means by a name, asked of the server itself: search path, temporary relations,
//! prepared statements, and the settings that an approval binds.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use super::{
    masks::Frame,
    session::{Ended, Session},
};
use crate::{
    catalog::{Snapshot, temporary},
    refusal::{Farewell, Refusal},
    statement::classify::is_temporary_schema,
    statement::understood::Pin,
    wire::{backend, frame, startup::Startup},
};

/// What is sent upstream beside user and database, and the `countersign.*` options, which stay here.
type Parameters = (Vec<(String, String)>, BTreeMap<String, String>);

/// Startup parameters that change nothing but how values look, or how long things may take.
const HARMLESS: [&str; 10] = [
    "datestyle",
    "timezone",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "client_min_messages",
    "search_path",
];

/// Sorts a client's startup parameters into what goes upstream and what stays.
///
/// # Errors
/// A parameter that must not be set, or not so.
pub fn startup_parameters(startup: &Startup, principal: &str) -> Result<Parameters, Refusal> {
    let mut upstream = Vec::new();
    let mut own = BTreeMap::new();
    let mut application = "";
    let options = startup.get("options").map(options).transpose()?.unwrap_or_default();
    let given = startup.parameters.iter().map(|(name, value)| (name.clone(), value.clone()));
    for (name, value) in given.clone().chain(options) {
        match name.to_ascii_lowercase().as_str() {
            "user" | "database" | "options" | "replication" => {}
            "application_name" => {}
            "client_encoding" => {
                let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
                if !matches!(plain.to_ascii_lowercase().as_str(), "utf8" | "unicode") {
                    return Err(Pin::Encoding.into());
                }
            }
            "standard_conforming_strings" if matches!(value.as_str(), "on" | "true" | "yes" | "1") => {}
            lower if HARMLESS.contains(&lower) => upstream.push((name, value)),
            // It would stand in process lists.
            "countersign.token" => return Err(Refusal::TokenAlone),
            "countersign.batch" if super::batch::is_on(&value).is_none() => {
                let message = format!("countersign.batch is on or off, not {value:?}");
                return Err(Refusal::OwnSetting { message });
            }
            lower if lower.starts_with("countersign.") => {
                own.insert(lower.trim_start_matches("countersign.").to_owned(), value);
            }
            // Protocol options that we do not know are negotiated away.
            lower if lower.starts_with("_pq_.") => {}
            _ => {
                return Err(Refusal::NotSupported {
                    message: format!(
                        "the startup parameter {name:?} is not passed on; set it with SET after the login"
                    ),
                });
            }
        }
    }
    if let Some((_, name)) = startup.parameters.iter().find(|(name, _)| name == "application_name") {
        application = name;
    }
    upstream.push(("application_name".into(), format!("{principal}|{application}")));
    upstream.push(("client_encoding".into(), "UTF8".into()));
    upstream.push(("standard_conforming_strings".into(), "on".into()));
    Ok((upstream, own))
}

/// A `countersign.*` option of the startup packet, by its name without that; none where the options can't
/// be read, which [`startup_parameters`] says.
pub fn own_option(startup: &Startup, name: &str) -> Option<String> {
    let options = startup.get("options").and_then(|text| options(text).ok()).unwrap_or_default();
    let own = options
        .into_iter()
        .rev()
        .find(|(key, _)| key.to_ascii_lowercase().strip_prefix("countersign.").is_some_and(|key| key == name));
    own.map(|(_, value)| value)
}

/// Reads `-c name=value` and `--name=value`; a backslash keeps the next character (manual, libpq
/// `options`).
fn options(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let bad = || Refusal::NotSupported {
        message: "only -c name=value and --name=value are read from the startup options".into(),
    };
    let (mut words, mut word, mut chars) = (Vec::new(), String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut pairs = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.as_str(), word.strip_prefix("-c"), word.strip_prefix("--")) {
            ("-c", ..) => words.next().ok_or_else(bad)?,
            (_, Some(rest), _) | (_, _, Some(rest)) => rest.to_owned(),
            _ => return Err(bad()),
        };
        let (name, value) = setting.split_once('=').ok_or_else(bad)?;
        pairs.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(pairs)
}

const FACTS: &str = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text, \
     pg_catalog.current_setting('search_path'), pg_catalog.current_setting('TimeZone'), CURRENT_USER::pg_catalog.text, \
     pg_catalog.current_setting('transaction_read_only'), pg_catalog.current_setting('session_replication_role'), \
     pg_catalog.current_schema()::pg_catalog.text";
/// Settings that give constants and comparisons another meaning.
pub(super) const MEANINGS: [&str; 15] = [
    "default_transaction_isolation",
    "quote_all_identifiers",
    "row_security",
    "xmlbinary",
    "DateStyle",
    "IntervalStyle",
    "default_text_search_config",
    "extra_float_digits",
    "bytea_output",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "array_nulls",
    "transform_null_equals",
    "xmloption",
];
const PREPARED: &str = "SELECT s.name, s.statement, s.from_sql FROM pg_catalog.pg_prepared_statements s";

impl Session {
    /// Brings the catalog up to date. Names are in doubt where it has other schemas than before: one that
    /// is new may have been on the path before it was there.
    pub(super) async fn refresh_catalog(&mut self) -> Result<(), Ended> {
        let before = Arc::clone(&self.catalog);
        self.take_catalog().await?;
        // What something temporary stands on may have another name now.
        let doubtful = !self.names.temporary.is_empty() || !before.has_same_schemas(&self.catalog);
        self.dirty |= doubtful && !Arc::ptr_eq(&before, &self.catalog);
        Ok(())
    }

    /// Brings names up to date, where they may have changed. The server must be quiet for them to be
    /// asked; in a failed transaction nothing can be, and nothing but ROLLBACK runs.
    pub(super) async fn refresh_names(&mut self) -> Result<(), Ended> {
        // Simple queries of ours would end the client's group; its own Sync comes first.
        if self.dirty
            && self.status != b'E'
            && self.replies.is_quiet()
            && !self.unsynced
            && Box::pin(self.take_facts()).await?
        {
            self.dirty = false;
            self.memory.forget();
        }
        Ok(())
    }

    /// Asks for search path, temporary relations, settings and prepared statements. `false` where the
    /// server did not say (a timeout that the session set, for one) or said more than the catalog
    /// knows: names stay in doubt, and what rests on them stays opaque.
    async fn take_facts(&mut self) -> Result<bool, Ended> {
        let meanings = MEANINGS.map(|name| format!(", pg_catalog.current_setting('{name}')")).concat();
        let facts = self.own_query(&format!("{FACTS}{meanings}")).await?;
        let Some(row) = facts.and_then(|mut rows| rows.pop()) else { return Ok(false) };
        let text = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        let Some(path) = serde_json::from_str::<Vec<String>>(&text(0)).ok() else { return Ok(false) };
        self.names.search_path = path;
        self.names.creates_in = row.get(6).cloned().flatten();
        let settings = ["search_path", "TimeZone", "role", "transaction_read_only", "session_replication_role"];
        let places = settings.iter().zip(1..).chain(MEANINGS.iter().zip(7..));
        self.settings = places.map(|(name, index)| ((*name).to_owned(), text(index))).collect();
        let known = |schema: &String| is_temporary_schema(schema) || self.catalog.has_schema(schema);
        let all_known = self.names.search_path.iter().all(known);
        Ok(self.take_temporary().await? && self.take_prepared().await? && all_known)
    }

    /// Temporary relations and types, where the session has a schema for them.
    async fn take_temporary(&mut self) -> Result<bool, Ended> {
        let mut own = Some(temporary::Own::default());
        if self.names.search_path.iter().any(|schema| is_temporary_schema(schema)) {
            own = self.own_query(&temporary::QUERY).await?.and_then(|rows| temporary::read(&rows));
        }
        let known = own.is_some();
        (self.names.temporary, self.names.temporary_types) = own.unwrap_or_default();
        Ok(known)
    }

    /// What is prepared is what the server says, but for what is parked here.
    async fn take_prepared(&mut self) -> Result<bool, Ended> {
        let Some(rows) = self.own_query(PREPARED).await? else { return Ok(false) };
        let there: BTreeMap<String, (String, bool)> = rows
            .into_iter()
            .filter_map(|row| match row.as_slice() {
                [Some(name), Some(sql), from_sql] => {
                    Some((name.clone(), (sql.clone(), from_sql.as_deref() == Some("t"))))
                }
                _ => None,
            })
            .collect();
        self.prepared.retain(|name, prepared| name.is_empty() || !prepared.sent || there.contains_key(name));
        for (name, (sql, from_sql)) in &there {
            let known = self.prepared.get(name).is_some_and(|prepared| prepared.sql.as_deref() == Some(sql));
            if !known || *from_sql {
                // What SQL's PREPARE made has the whole PREPARE as its text, which does nothing; a
                // Bind of it would do what is within. EXECUTE is analysed, a Bind is opaque.
                let frame = bytes::Bytes::new();
                let prepared = super::extended::Prepared {
                    sql: None,
                    reading: None,
                    number: u64::MAX,
                    parse: u64::MAX,
                    types: Arc::default(),
                    declared: Arc::default(),
                    frame,
                    sent: true,
                    confirmed: true,
                    meant: None,
                };
                self.prepared.insert(name.clone(), Arc::new(prepared));
            }
        }
        self.names.prepared =
            self.prepared.iter().filter_map(|(name, p)| Some((name.clone(), p.sql.as_deref()?.to_owned()))).collect();
        self.names.prepared.extend(there.into_iter().map(|(name, (sql, _))| (name, sql)));
        Ok(true)
    }

    async fn take_catalog(&mut self) -> Result<(), Ended> {
        let changes = &self.gateway.changes;
        let shared = match self.catalogs.fresh(changes, self.shared_login()) {
            Some(catalog) => catalog,
            None => Box::pin(self.catalogs.read(changes, self.shared_login()))
                .await
                .unwrap_or_else(|error| self.no_catalog(&error)),
        };
        if self.own_catalog.is_changed() && self.status == b'T' {
            match Box::pin(self.see_own_catalog(&shared)).await? {
                Some(own) => self.catalog = own,
                None => {
                    // What names mean here can't be asked: what rests on them is opaque.
                    self.catalog = shared;
                    self.dirty = true;
                }
            }
        } else {
            self.catalog = shared;
        }
        Ok(())
    }

    /// Asks the server whether the catalog is what it was, however short ago that was asked.
    /// `false` where it did not say.
    pub(super) async fn ask_catalog(&self) -> bool {
        self.catalog_now().await.is_some()
    }

    /// The catalog as the server says now, without what this session has not committed. Nothing where it did not say.
    pub(super) async fn catalog_now(&self) -> Option<Arc<Snapshot>> {
        let read = self.catalogs.read_now(&self.gateway.changes, self.shared_login()).await;
        read.inspect_err(|error| drop(self.no_catalog(error))).ok()
    }

    /// The connection's own login, whoever's session asks: all share what is read.
    fn shared_login(&self) -> &crate::config::Upstream {
        let connections = &self.gateway.config.connections;
        &connections.get(&self.connection.name).unwrap_or(&self.connection).upstream
    }

    /// What nobody can look up is unknown: every statement that names something is opaque.
    fn no_catalog(&self, error: &str) -> Arc<Snapshot> {
        tracing::error!(connection = self.connection.name, error, "the catalog can't be read; statements are opaque");
        Arc::default()
    }

    /// DDL passed: what we know of the catalog is old.
    pub(super) fn forget_catalog(&self) {
        self.gateway.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// A query of the gateway's own on the session's connection, while the server is quiet and no
    /// group is open. `None` for an error, which changes the transaction's state as any would.
    pub(super) async fn own_query(&mut self, sql: &str) -> Result<Option<Vec<Vec<Option<String>>>>, Ended> {
        let mut out = bytes::BytesMut::new();
        postgres_protocol::message::frontend::query(sql, &mut out)?;
        self.pipe.upstream.send(&out);
        Ok(self.own_answer().await?.ok())
    }

    /// What the server says up to ReadyForQuery to something of the gateway's own: rows, or its error.
    pub(super) async fn own_answer(&mut self) -> Result<Result<Vec<Vec<Option<String>>>, bytes::Bytes>, Ended> {
        let (mut rows, mut failed) = (Vec::new(), None);
        loop {
            self.pipe.upstream.flush().await?;
            while let Some(head) = frame::head(&self.pipe.upstream.input, |_| frame::SERVER_CAP)? {
                if self.pipe.upstream.input.len() < head.size {
                    break;
                }
                let whole = self.pipe.upstream.input.split_to(head.size).freeze();
                let body = &whole[frame::HEAD..];
                match head.tag {
                    b'D' => rows.push(backend::row(body)?),
                    b'E' => failed = Some(whole),
                    b'S' => match self.application.reported(body)? {
                        Some(told) => self.pipe.client.send(told.as_deref().unwrap_or_default()),
                        None => self.pipe.client.send(&whole),
                    },
                    b'A' => match self.mask_notification(body)? {
                        Frame::AsItIs => self.pipe.client.send(&whole),
                        Frame::Instead(instead) => self.pipe.client.send(&instead),
                    },
                    b'N' if self.masks.is_reducing() => {}
                    b'N' => self.pipe.client.send(&whole),
                    b'Z' => {
                        self.status = body.first().copied().unwrap_or(b'I');
                        if self.status == b'E' {
                            self.steps_fail();
                        }
                        self.unsynced = false;
                        self.moved = false;
                        return Ok(failed.map_or(Ok(rows), Err));
                    }
                    _ => {}
                }
            }
            // What the gateway asks may wait as long as any statement: for a lock, or for what was put off.
            let (place, upstream) = (&self.place, &mut self.pipe.upstream);
            tokio::select! {
                biased;
                reason = std::future::poll_fn(|cx| place.poll_killed(cx, false)) => {
                    return Err(Ended::With(Farewell::Ended { reason }));
                }
                read = upstream.read() => drop(read?),
                () = tokio::time::sleep_until(self.expires_at) => {
                    return Err(Ended::With(Farewell::Ended { reason: "the token has expired".to_owned() }));
                }
            }
        }
    }
}
