//! The catalog in a transaction that has changed it, which nobody else sees yet.
//!
//! It is read over the session's own connection, and read anew only where it may be another: after a
//! statement of which it is not certain that it leaves the catalog alone, where the server says that it
//! is another; and wherever the catalog that all share has become another, as what others commit shows
//! in this transaction too.

use std::sync::Arc;

use super::{
    catalogs::Own,
    session::{Ended, Session, unavailable},
};
use crate::{
    catalog::{
        Snapshot,
        read::CatalogQuery as _,
        within::{self, Seen, Version},
    },
    statement::understood::Understood,
};

/// What is known of the catalog of an open transaction.
#[derive(Debug, Default)]
pub struct OwnCatalog {
    /// The transaction may have changed it.
    changed: bool,
    /// Something ran that can't be seen. It may have left more that runs later: at FETCH, or at SET
    /// CONSTRAINTS.
    unseen: bool,
    /// The catalog that all shared before the transaction's first statement.
    began: Option<Arc<Snapshot>>,
    read: Option<Read>,
}

/// What was read last.
#[derive(Debug)]
struct Read {
    snapshot: Arc<Snapshot>,
    version: Version,
    /// What all shared then.
    beside: Arc<Snapshot>,
    /// Nothing has run since that could have changed it.
    certain: bool,
}

/// What to do about a statement that comes now.
#[derive(Debug)]
enum Next {
    /// It is what was read.
    Use(Arc<Snapshot>),
    /// It is, if the server says that nothing has changed.
    Ask(Version),
    /// It must be read.
    Read,
}

impl OwnCatalog {
    /// Whether the transaction may have changed the catalog.
    pub const fn is_changed(&self) -> bool {
        self.changed
    }

    /// A transaction is about to begin, or goes on, under the catalog that all share.
    pub fn begins(&mut self, catalog: &Arc<Snapshot>) {
        self.began.get_or_insert_with(|| Arc::clone(catalog));
    }

    /// A statement goes to the server, or something of it that the planner may run.
    pub fn meets(&mut self, text: &Understood) {
        self.unseen |= text.is_opaque;
        if let Some(read) = &mut self.read {
            read.certain &= text.leaves_catalog;
        }
    }

    /// A statement runs.
    pub fn runs(&mut self, text: &Understood) {
        self.changed |= text.changes_catalog;
        self.meets(text);
    }

    /// The transaction is over.
    pub fn ends(&mut self) {
        *self = Self::default();
    }

    fn next(&self, beside: &Arc<Snapshot>) -> Next {
        match &self.read {
            Some(read) if !Arc::ptr_eq(&read.beside, beside) => Next::Read,
            Some(read) if read.certain && !self.unseen => Next::Use(Arc::clone(&read.snapshot)),
            Some(read) => Next::Ask(read.version.clone()),
            None => Next::Read,
        }
    }

    /// The server says that it is still what was read.
    fn stays(&mut self) -> Option<Arc<Snapshot>> {
        let read = self.read.as_mut()?;
        read.certain = true;
        Some(Arc::clone(&read.snapshot))
    }

    fn keeps(&mut self, seen: Seen, beside: &Arc<Snapshot>) -> Arc<Snapshot> {
        let hidden = seen.repeats && !self.began.as_ref().is_some_and(|began| Arc::ptr_eq(began, beside));
        // Statements use what others have committed since, but no question shows it. Then nothing is known.
        let snapshot = if hidden { Arc::default() } else { Arc::new(seen.snapshot) };
        let kept = Arc::clone(&snapshot);
        self.read = Some(Read { snapshot, version: seen.version, beside: Arc::clone(beside), certain: true });
        kept
    }
}

impl Session {
    /// The catalog as this transaction sees it; `None` where the server can't be asked now.
    pub(super) async fn see_own_catalog(&mut self, beside: &Arc<Snapshot>) -> Result<Option<Arc<Snapshot>>, Ended> {
        let mut next = self.own_catalog.next(beside);
        if let Next::Use(snapshot) = next {
            return Ok(Some(snapshot));
        }
        if self.unsynced || !self.replies.is_quiet() {
            return Ok(None);
        }
        let server = &mut Own(&mut self.pipe.upstream);
        for _attempt in 0..ATTEMPTS {
            match look(server, &next).await.map_err(|error| unavailable(&error))? {
                Ok(Found::Same) if let Some(snapshot) = self.own_catalog.stays() => return Ok(Some(snapshot)),
                Ok(Found::Same) => next = Next::Read,
                Ok(Found::Seen(seen)) => return Ok(Some(self.own_catalog.keeps(*seen, beside))),
                // Somebody dropped something meanwhile, whose name the server looked up.
                Err(error) => tracing::debug!(error, "a transaction's catalog could not be read; once more"),
            }
        }
        // The transaction's own changes can't be seen, and what others see is not what it sees: nothing is known.
        Ok(Some(Arc::default()))
    }
}

/// How often it is tried to read a catalog that others change meanwhile.
const ATTEMPTS: usize = 5;
/// What is done between these is undone, and the transaction goes on.
const MARK: &str = "SAVEPOINT \"countersign looks\"";
const UNDO: &str = "ROLLBACK TO SAVEPOINT \"countersign looks\"";
const FORGET: &str = "RELEASE SAVEPOINT \"countersign looks\"";

/// What a look at the catalog within a transaction shows.
enum Found {
    Same,
    Seen(Box<Seen>),
}

/// Looks at the catalog in a savepoint that is undone. The inner error is the server's.
///
/// # Errors
/// Where the transaction can't go on.
async fn look(server: &mut Own<'_>, next: &Next) -> Result<Result<Found, String>, String> {
    server.rows(MARK).await?;
    // A look waits for nobody's lock, and leaves none of its own: what it took goes with the savepoint.
    server.rows("SET LOCAL lock_timeout TO '200ms'").await?;
    let found = find(server, next).await;
    server.rows(UNDO).await?;
    server.rows(FORGET).await?;
    Ok(found)
}

async fn find(server: &mut Own<'_>, next: &Next) -> Result<Found, String> {
    if let Next::Ask(version) = next
        && within::is_still(server, version).await?
    {
        return Ok(Found::Same);
    }
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).map_err(|error| error.to_string())?;
    Ok(Found::Seen(Box::new(within::read(server, i64::from_ne_bytes(seed)).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::builder::Builder,
        statement::classify::{Names, classify},
    };

    fn text(sql: &str) -> Understood {
        let mut builder = Builder::new();
        builder.table("public.orders", &["id", "status"]);
        let names = Names { search_path: vec!["public".into()], ..Names::default() };
        classify(sql, &builder.build(), &names).into()
    }

    fn seen(repeats: bool) -> Seen {
        Seen { snapshot: Snapshot::default(), version: Version::default(), repeats }
    }

    /// What is done about the statement after these, in a transaction whose catalog was just read.
    fn after(statements: &[&str]) -> Next {
        let shared = Arc::new(Snapshot::default());
        let mut own = OwnCatalog::default();
        own.begins(&shared);
        own.runs(&text("create table mine (id int)"));
        assert!(own.is_changed() && matches!(own.next(&shared), Next::Read));
        own.keeps(seen(false), &shared);
        statements.iter().for_each(|sql| own.runs(&text(sql)));
        own.next(&shared)
    }

    #[test]
    fn it_is_asked_again_after_what_may_have_changed_it() {
        let leaves = [
            "select * from orders",
            "insert into orders values (1, 'new')",
            "update orders set status = 'x' where id = 1",
            "delete from orders where id = 1",
            "copy orders from stdin",
            "lock table orders",
            "notify it",
            "savepoint here",
            "release here",
        ];
        for sql in leaves {
            assert!(matches!(after(&[sql]), Next::Use(_)), "{sql}");
        }
        let may_change = [
            "create view v as select 1",
            "alter table orders add column note text",
            "drop table orders",
            "create temp table t (id int)",
            "do $$ begin execute 'x'; end $$",
            "select not_known()",
            "select * from not_known",
            "rollback to here",
            "commit and chain",
            "set constraints all immediate",
            "fetch from c",
            "close c",
            "set search_path = elsewhere",
            "set role other",
            "discard all",
            "select 1; drop table orders",
            "selec 1",
        ];
        for sql in may_change {
            assert!(matches!(after(&[sql]), Next::Ask(_)), "{sql}");
            assert!(matches!(after(&[sql, "select * from orders"]), Next::Ask(_)), "{sql}, and something else");
        }
    }

    #[test]
    fn once_something_unseen_ran_it_is_always_asked() {
        let shared = Arc::new(Snapshot::default());
        let mut own = OwnCatalog::default();
        own.runs(&text("select not_known()"));
        own.keeps(seen(false), &shared);
        assert!(own.stays().is_some());
        own.runs(&text("select * from orders"));
        assert!(matches!(own.next(&shared), Next::Ask(_)), "it may have left a cursor or a deferred trigger");
        own.ends();
        assert!(!own.is_changed() && matches!(own.next(&shared), Next::Read));
    }

    #[test]
    fn what_the_planner_may_run_counts_before_it_runs() {
        let shared = Arc::new(Snapshot::default());
        let mut own = OwnCatalog::default();
        own.runs(&text("create table mine (id int)"));
        own.keeps(seen(false), &shared);
        own.meets(&text("select not_known()"));
        assert!(matches!(own.next(&shared), Next::Ask(_)));
    }

    #[test]
    fn what_others_commit_is_read() {
        let (before, after) = (Arc::new(Snapshot::default()), Arc::new(Snapshot::default()));
        let mut own = OwnCatalog::default();
        own.begins(&before);
        own.runs(&text("create table mine (id int)"));
        own.keeps(seen(false), &before);
        assert!(matches!(own.next(&after), Next::Read), "the shared one is another");
        own.keeps(seen(false), &after);
        assert!(matches!(own.next(&after), Next::Use(_)));
    }

    #[test]
    fn nothing_is_known_where_a_transaction_uses_what_it_does_not_show() {
        let known = || Seen { snapshot: Builder::new().build(), ..seen(true) };
        let (before, after) = (Arc::new(Snapshot::default()), Arc::new(Snapshot::default()));
        let mut own = OwnCatalog::default();
        assert!(!own.keeps(known(), &before).is_known(), "nobody saw it begin");
        own.begins(&before);
        assert!(own.keeps(known(), &before).is_known());
        assert!(!own.keeps(known(), &after).is_known(), "others have committed since");
        let reads_committed = Seen { repeats: false, ..known() };
        assert!(own.keeps(reads_committed, &after).is_known());
    }
}
