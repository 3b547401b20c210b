//! What a statement meant when the server looked its names up. The server does that once, and again where the search
//! path is another or where what it found has changed; not where something new hides what it found (manual,
//! PREPARE). So what runs need not be what its text means now.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_protocol::message::frontend as build;

use super::{
    extended::{Portal, Prepared},
    memory::Known,
    session::{Ended, Session},
};
use crate::{
    config::Mode,
    refusal::Refusal,
    statement::{
        classify::{CursorMove, Statement, classify, parameter_hazard, prepared_texts},
        decide::{Decision, decide},
        effect::quote_ident,
        understood::Understood,
    },
    wire::replies::Sent,
};

/// Under which search path and settings names were looked up and constants read, and what came of it.
#[derive(Clone)]
pub struct Meant {
    path: Arc<[String]>,
    settings: Arc<[(String, String)]>,
    text: Arc<Understood>,
}

/// Under so many paths SQL's EXECUTE may have looked up the names of one statement.
const LOOKED_UP: usize = 16;

impl Meant {
    /// What came of it.
    pub fn text(&self) -> &Understood {
        &self.text
    }

    /// Whether constants and names were read as they would be now.
    pub fn is_read_under(&self, settings: &Arc<[(String, String)]>) -> bool {
        Arc::ptr_eq(&self.settings, settings) || self.settings == *settings
    }

    fn is(&self, now: &Arc<Understood>) -> bool {
        let (one, other) = (&self.text.statements, &now.statements);
        let same = || one.iter().zip(other).all(|(one, other)| one.resolved == other.resolved);
        Arc::ptr_eq(&self.text, now) || one.len() == other.len() && same()
    }

    /// Whether the server, asked to run it now, runs what it means now: it does, or it looks its names up anew.
    fn runs(&self, now: &Self) -> bool {
        self.is(&now.text) || *self.path != *now.path
    }

    /// The same for a portal, whose names are never looked up anew; but code that it calls looks up its own.
    pub fn holds(&self, path: &[String], now: &Arc<Understood>) -> bool {
        let calls = || now.statements.iter().any(|statement| statement.runs_code);
        Arc::ptr_eq(&self.text, now) || self.is(now) && (*self.path == *path || !calls())
    }
}

impl Prepared {
    /// Whether the server would run what the text means now. Under another path it would look its names up anew, but
    /// only where this is carried out.
    fn still_means(&self, known: &Known) -> bool {
        self.meant.as_ref().is_some_and(|then| Arc::ptr_eq(&then.text, known) || then.is(known))
    }
}

impl Session {
    /// What a text means now.
    pub(super) fn means(&self, known: &Known) -> Meant {
        self.meant(Arc::clone(known))
    }

    fn meant(&self, text: Arc<Understood>) -> Meant {
        let (path, settings) = (self.names.search_path.as_slice().into(), Arc::clone(&self.settings));
        Meant { path, settings, text }
    }

    /// A statement that somebody has approved is about to run: where the server read its constants under other settings
    /// (`DateStyle`) than those under which it was understood, its Parse goes there again. What passes by itself keeps what it
    /// was, as it does without a gateway.
    pub(super) fn reads_anew(&mut self, name: &str) {
        let settings = Arc::clone(&self.settings);
        let other = |prepared: &Prepared| prepared.meant.as_ref().is_some_and(|then| !then.is_read_under(&settings));
        if let Some(prepared) = self.prepared.get_mut(name).filter(|prepared| prepared.sent && other(prepared)) {
            // It means nothing any more that could still be meant.
            Arc::make_mut(prepared).meant = None;
        }
    }

    /// A prepared statement that the server has is about to be bound: where it would run something else than it means
    /// now, the server is made to forget it, and its Parse goes there again.
    pub(super) fn looks_up(&mut self, name: &str, known: &Known) -> Result<(), Ended> {
        let forgets = |prepared: &&Arc<Prepared>| prepared.sent && !prepared.still_means(known);
        if self.prepared.get(name).filter(forgets).is_none() {
            return Ok(());
        }
        let meant = self.means(known);
        if !name.is_empty() {
            let mut out = BytesMut::new();
            build::close(b'S', name, &mut out)?;
            self.unsynced = true;
            self.pipe.upstream.send(&out);
            self.replies.sent_late(Sent::Close);
        }
        if let Some(prepared) = self.prepared.get_mut(name) {
            Arc::make_mut(prepared).sent = false;
        }
        self.unpark(name, meant);
        Ok(())
    }

    /// The types that the Parse declares by which a statement is about to be bound: the one that the server has, or the
    /// one that it gets.
    pub(super) fn types_to_run(&self, name: &str, known: &Known) -> Result<Arc<[u32]>, Refusal> {
        let Some(prepared) = self.prepared.get(name) else { return Ok(Arc::default()) };
        if prepared.sent && prepared.still_means(known) {
            return Ok(Arc::clone(&prepared.declared));
        }
        let told = prepared.types != prepared.declared;
        let refused = |why: &str| {
            let message = format!("what statement {name:?} names is not what it was, and {why}; prepare it again");
            Err(Refusal::NotSupported { message })
        };
        // No Parse has more: it would go without them, and the server would find out others.
        if told && prepared.types.len() > usize::from(i16::MAX.unsigned_abs()) {
            return refused("its parameters are too many to be named by type");
        }
        let hazard = |oid: &u32| parameter_hazard(&self.catalog, &self.names, *oid);
        let enforced = self.connection.mode == Mode::Enforce;
        match prepared.types.iter().find_map(hazard).filter(|_| told && enforced) {
            Some(why) => refused(&format!("a parameter's type runs code that can't be seen ({why})")),
            None => Ok(Arc::clone(&prepared.types)),
        }
    }

    /// SQL's PREPARE is about to run: what EXECUTE would mean now is what it means to the server.
    pub(super) fn prepares(&mut self, sql: &str, text: &Understood) {
        if !text.statements.iter().any(|statement| statement.prepares.is_some()) {
            return;
        }
        for (name, text) in prepared_texts(sql) {
            // Where there is one, this fails, and the one that is there means what it meant.
            if self.names.prepared.contains_key(&name) {
                continue;
            }
            let mut names = self.names.clone();
            names.prepared.insert(name.clone(), text);
            let executed = classify(&executes(&name), &self.catalog, &names);
            let meant = self.meant(Arc::new(executed.into()));
            self.prepared_by_sql.insert(name, vec![meant]);
        }
    }

    /// Why a text must not run: what it executes or fetches is not what it says. `portal` is what runs it, of which
    /// nothing can be fetched meanwhile.
    pub(super) fn against_its_names(&mut self, text: &Understood, portal: &str) -> Option<Refusal> {
        for statement in &text.statements {
            let name = match &statement.cursor {
                Some(CursorMove::Fetches { name }) => {
                    Some(name.clone()).filter(|name| self.bound_names.contains(name) && !self.may_be_fetched(name))
                }
                _ => None,
            };
            let others = || self.bound_names.iter().any(|name| name != portal);
            if name.is_some() || statement.fetches_within && others() {
                let what = name.map_or_else(|| "portals that are open".to_owned(), |name| format!("portal {name:?}"));
                let message = format!(
                    "FETCH and MOVE can't take rows of {what} here; send Execute for them, or DECLARE a cursor"
                );
                return Some(Refusal::NotSupported { message });
            }
        }
        let executes_any = text.statements.iter().flat_map(|statement| &statement.executes);
        let names: Vec<String> = executes_any.map(|(name, _)| name.clone()).collect();
        names.into_iter().find_map(|name| self.executes_something_else(&name))
    }

    /// Why nobody can be asked about an EXECUTE: its statement's constants were read under other settings than those under
    /// which they are understood now.
    pub(super) fn executes_what_was_read_otherwise(&self, text: &Understood) -> Option<Refusal> {
        let otherwise = |name: &str| {
            let by_message = self.prepared.get(name).and_then(|prepared| prepared.meant.as_ref());
            let by_sql = || self.prepared_by_sql.get(name).into_iter().flatten();
            by_message.into_iter().chain(by_sql()).any(|then| !then.is_read_under(&self.settings))
        };
        let mut executed = text.statements.iter().flat_map(|statement| &statement.executes);
        executed.find(|(name, _)| otherwise(name)).map(|(name, _)| Refusal::NotSupported {
            message: format!(
                "settings are others than when statement {name:?} was prepared, by which its constants were read; \
                 DEALLOCATE and prepare it again"
            ),
        })
    }

    /// Whether policy lets a text pass, now and unasked, of which nobody knew what it is. What it leaves as must be known.
    pub(super) fn passes_in_doubt(&self, text: &Understood) -> bool {
        text.is_opaque && self.connection.classify.is_empty() && self.simply_allows(text)
    }

    fn simply_allows(&self, text: &Understood) -> bool {
        let policies = self.gateway.policies();
        decide(&policies, &self.strictest(text), &[], &[], chrono::Utc::now()) == Decision::Allow
    }

    /// Whether a portal gives by FETCH and MOVE just what its Execute would give now, unasked: rows that are read, and
    /// nothing that anybody looks at one by one.
    fn may_be_fetched(&self, name: &str) -> bool {
        let Some(text) = self.portals.get(name).filter(|portal| portal.is_sent()).and_then(Portal::text) else {
            return false;
        };
        let plain = |s: &Statement| !(s.runs_code || s.changes_session || s.fetches_within || s.opens_within);
        self.connection.classify.is_empty()
            && text.only_reads
            && !text.is_opaque
            && text.statements.iter().all(plain)
            && self.simply_allows(text)
    }

    fn executes_something_else(&mut self, name: &str) -> Option<Refusal> {
        let now: Arc<Understood> = Arc::new(classify(&executes(name), &self.catalog, &self.names).into());
        let meant = self.meant(Arc::clone(&now));
        // An EXECUTE of what was prepared by message means what a Bind of it does.
        let by_message = self.prepared.get(name).and_then(|prepared| prepared.meant.as_ref());
        let runs = match (by_message, self.prepared_by_sql.get_mut(name)) {
            (Some(then), _) => then.is(&now),
            // Whether an EXECUTE is carried out is not known here. Where it is, its names were looked up then; where
            // it is not, they are as before. It must be right either way.
            (None, Some(then)) => {
                let runs = then.iter().all(|then| then.runs(&meant));
                if runs && !then.iter().any(|then| then.is(&now) && then.path == meant.path) {
                    then.push(meant);
                }
                runs && then.len() <= LOOKED_UP
            }
            // What the text itself prepares is not there yet; what nobody saw being prepared may be anything.
            (None, None) => !self.names.prepared.contains_key(name),
        };
        if runs {
            return None;
        }
        let message = format!(
            "what prepared statement {name:?} names is not what it was when it was prepared; DEALLOCATE and prepare it again"
        );
        Some(Refusal::NotSupported { message })
    }
}

fn executes(name: &str) -> String {
    format!("EXECUTE {}", quote_ident(name))
}
