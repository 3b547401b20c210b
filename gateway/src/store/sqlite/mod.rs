//! The state in one SQLite file: one connection writes, a few read.

mod allowances;
mod checkpoints;
mod delegations;
mod directory;
mod directory_groups;
mod errors;
mod events;
mod grants;
mod links;
mod open;
mod people;
mod questions;
mod requests;
mod reviews;
mod steps;
mod tokens;
mod usage;

#[cfg(test)]
mod cheats;
#[cfg(test)]
mod races;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{CardRef, Claim, Event, Needed, Outcome, SlackRef},
    duties::Human,
    ids::{GrantId, RequestId, ReviewId, SessionId},
    request::State,
};
use futures_util::future::BoxFuture;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::watch;

use self::errors::unavailable;
use super::{
    Approval, Grant, GrantEnd, GrantFilter, Link, ListedLink, NewRequest, PendingLink, Request, RequestFilter, Seen,
    Store, StoreError, Term,
    allowances::{Allowance, AllowanceEnd, Allowances, Denial, OpenFilter},
    checkpoints::Checkpoints,
    delegations::{Delegation, Delegations},
    directory::{Account, Directory, DirectoryGroup, DirectoryUser, Gone, GroupFields, GroupId, UserFields, UserId},
    questions::{Kept, Question, Questions},
    reviews::{Answer, Review, Reviews},
    steps::{StepEnd, Steps},
    tokens::{TokenEnd, TokenFacts, Tokens},
    usage::{Keep, Kind, Usage, UsageStore},
};
use crate::{log::chain::Known as KnownLog, statement::decide::Known};

/// The state in a SQLite file. Cheap to clone.
#[derive(Clone)]
pub struct SqliteStore {
    /// Has one connection, so that writers queue here and not at the file's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    bell: watch::Sender<i64>,
}

impl SqliteStore {
    /// Opens the file that `url` names (`sqlite://path`, the path taken as it is), makes it if it is
    /// not there (mode 0600), and brings its schema up to date.
    ///
    /// # Errors
    /// Where the URL is not one, the file can't be made or read, or a newer version wrote it.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (writer, readers) = open::pools(&open::path_of(url)?).await?;
        let newest = events::last(&readers).await?;
        Ok(Self { writer, readers, bell: watch::Sender::new(newest) })
    }

    /// Closes the file. What was committed is on the disk already.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Runs `work` in one transaction and rings the bell if it made an event.
    ///
    /// It runs as a task of its own: a caller that goes away (a closed client) must not leave a
    /// committed change that nobody was told of.
    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let store = self.clone();
        let task = tokio::spawn(async move {
            let mut transaction = store.writer.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)?;
            let done = work(&mut transaction).await?;
            let newest = events::last(&mut *transaction).await?;
            transaction.commit().await.map_err(unavailable)?;
            store.bell.send_if_modified(|rung| {
                let later = newest > *rung;
                *rung = newest.max(*rung);
                later
            });
            Ok(done)
        });
        task.await.map_err(|e| StoreError::Unavailable(format!("a write was cut short: {e}")))?
    }
}

/// Others may have their turn here, where a test lets them.
async fn step() {
    #[cfg(test)]
    super::turns::turn().await;
}

#[async_trait]
impl Store for SqliteStore {
    async fn seen(&self, seen: &Seen) -> Result<(), StoreError> {
        let seen = seen.clone();
        self.write(move |db| Box::pin(async move { people::seen(db, &seen).await })).await
    }

    async fn person(&self, principal: &str) -> Result<Option<Known>, StoreError> {
        people::person(&self.readers, principal).await
    }

    async fn people(&self) -> Result<Vec<Known>, StoreError> {
        people::people(&self.readers).await
    }

    async fn create_request(&self, new: &NewRequest) -> Result<(), StoreError> {
        let new = new.clone();
        self.write(move |db| Box::pin(async move { requests::create(db, &new).await })).await
    }

    async fn request(&self, id: &RequestId) -> Result<Option<Request>, StoreError> {
        step().await;
        requests::one(&self.readers, id).await
    }

    async fn requests(&self, filter: &RequestFilter) -> Result<Vec<Request>, StoreError> {
        requests::list(&self.readers, filter).await
    }

    async fn add_approval(&self, approval: &Approval) -> Result<Request, StoreError> {
        step().await;
        let approval = approval.clone();
        self.write(move |db| Box::pin(async move { requests::approve(db, &approval).await })).await
    }

    async fn move_request(
        &self,
        id: &RequestId,
        from: &[State],
        to: State,
        outcome: Option<&Outcome>,
    ) -> Result<bool, StoreError> {
        requests::refuse_illegal(from, to)?;
        step().await;
        let (id, from, outcome) = (id.clone(), from.to_vec(), outcome.cloned());
        self.write(move |db| {
            Box::pin(async move { requests::change_state(db, &id, &from, to, outcome.as_ref()).await })
        })
        .await
    }

    async fn set_needed(&self, id: &RequestId, needed: &Needed) -> Result<(), StoreError> {
        let (id, needed) = (id.clone(), needed.clone());
        self.write(move |db| Box::pin(async move { requests::set_needed(db, &id, &needed).await })).await
    }

    async fn set_card(&self, id: &RequestId, card: &CardRef) -> Result<bool, StoreError> {
        let (id, card) = (id.clone(), card.clone());
        self.write(move |db| Box::pin(async move { requests::set_card(db, &id, &card).await })).await
    }

    async fn end_orphans(&self, reason: &str) -> Result<Vec<RequestId>, StoreError> {
        let outcome = Outcome { reason: Some(reason.to_owned()), ..Outcome::default() };
        self.write(move |db| Box::pin(async move { requests::end_orphans(db, &outcome).await })).await
    }

    async fn give(&self, term: &Term) -> Result<(), StoreError> {
        let term = term.clone();
        self.write(move |db| Box::pin(async move { grants::give(db, &term).await })).await
    }

    async fn end_grant(&self, id: &GrantId, end: &GrantEnd) -> Result<bool, StoreError> {
        let (id, end) = (id.clone(), end.clone());
        self.write(move |db| Box::pin(async move { grants::end(db, &id, &end).await })).await
    }

    async fn grant(&self, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        grants::one(&self.readers, id).await
    }

    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        grants::list(&self.readers, filter).await
    }

    async fn start_link(&self, link: &PendingLink) -> Result<(), StoreError> {
        let link = link.clone();
        self.write(move |db| Box::pin(async move { links::start(db, &link).await })).await
    }

    async fn pending_link(&self, nonce: &str, now: DateTime<Utc>) -> Result<Option<PendingLink>, StoreError> {
        links::pending(&self.readers, nonce, now).await
    }

    async fn complete_link(
        &self,
        nonce: &str,
        principal: &str,
        confirmed: bool,
        now: DateTime<Utc>,
    ) -> Result<Link, StoreError> {
        let (nonce, principal) = (nonce.to_owned(), principal.to_owned());
        self.write(move |db| Box::pin(async move { links::complete(db, &nonce, &principal, confirmed, now).await }))
            .await
    }

    async fn link_of_slack(&self, slack: &SlackRef) -> Result<Option<Link>, StoreError> {
        links::of_slack(&self.readers, slack).await
    }

    async fn links_of(&self, principal: &str) -> Result<Vec<Link>, StoreError> {
        links::of_principal(&self.readers, principal).await
    }

    async fn links(&self) -> Result<Vec<ListedLink>, StoreError> {
        links::all(&self.readers).await
    }

    async fn confirm_link(&self, slack: &SlackRef, principal: &str) -> Result<bool, StoreError> {
        let (slack, principal) = (slack.clone(), principal.to_owned());
        self.write(move |db| Box::pin(async move { links::confirm(db, &slack, &principal).await })).await
    }

    async fn unlink(&self, slack: &SlackRef) -> Result<bool, StoreError> {
        let slack = slack.clone();
        self.write(move |db| Box::pin(async move { links::remove(db, &slack).await })).await
    }

    async fn events_after(&self, seq: i64, limit: u32) -> Result<Vec<Event>, StoreError> {
        events::after(&self.readers, seq, limit).await
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        events::last(&self.readers).await
    }

    fn event_bell(&self) -> watch::Receiver<i64> {
        self.bell.subscribe()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        events::last(&self.readers).await.map(drop)
    }
}

#[async_trait]
impl Directory for SqliteStore {
    async fn create_user(&self, is: &UserFields, now: DateTime<Utc>) -> Result<DirectoryUser, StoreError> {
        let is = is.clone();
        self.write(move |db| Box::pin(async move { directory::create(db, &is, now).await })).await
    }

    async fn user(&self, id: &UserId) -> Result<Option<DirectoryUser>, StoreError> {
        directory::one(&self.readers, id).await
    }

    async fn users(&self, principal: Option<&str>) -> Result<Vec<DirectoryUser>, StoreError> {
        directory::list(&self.readers, principal).await
    }

    async fn replace_user(
        &self,
        id: &UserId,
        version: i64,
        is: &UserFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryUser>, StoreError> {
        let (id, is) = (id.clone(), is.clone());
        self.write(move |db| Box::pin(async move { directory::replace(db, &id, version, &is, now).await })).await
    }

    async fn delete_user(&self, id: &UserId, version: i64) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |db| Box::pin(async move { directory::delete(db, &id, version).await })).await
    }

    async fn create_group(&self, is: &GroupFields, now: DateTime<Utc>) -> Result<DirectoryGroup, StoreError> {
        let is = is.clone();
        self.write(move |db| Box::pin(async move { directory_groups::create(db, &is, now).await })).await
    }

    async fn group(&self, id: &GroupId) -> Result<Option<DirectoryGroup>, StoreError> {
        directory_groups::one(&self.readers, id).await
    }

    async fn groups(&self, name: Option<&str>) -> Result<Vec<DirectoryGroup>, StoreError> {
        directory_groups::list(&self.readers, name).await
    }

    async fn replace_group(
        &self,
        id: &GroupId,
        version: i64,
        is: &GroupFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryGroup>, StoreError> {
        let (id, is) = (id.clone(), is.clone());
        self.write(move |db| Box::pin(async move { directory_groups::replace(db, &id, version, &is, now).await })).await
    }

    async fn delete_group(&self, id: &GroupId, version: i64) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |db| Box::pin(async move { directory_groups::delete(db, &id, version).await })).await
    }

    async fn gone(&self, human: &Human) -> Result<Option<Gone>, StoreError> {
        directory::gone(&self.readers, human).await
    }

    async fn groups_of(&self, human: &Human) -> Result<Vec<String>, StoreError> {
        directory::groups_of(&self.readers, human).await
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        directory::accounts(&self.readers).await
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn end_tokens(&self, ends: &[TokenEnd], once: Option<&str>) -> Result<bool, StoreError> {
        let (ends, once) = (ends.to_vec(), once.map(str::to_owned));
        self.write(move |db| Box::pin(async move { tokens::end(db, &ends, once.as_deref(), Utc::now()).await })).await
    }

    async fn token_ended(&self, token: &TokenFacts) -> Result<Option<String>, StoreError> {
        tokens::ended(&self.readers, token).await
    }

    async fn denied_tokens(&self) -> Result<Vec<TokenEnd>, StoreError> {
        tokens::denied(&self.readers).await
    }
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn keep_checkpoint(&self, known: &KnownLog, size: u64, at: DateTime<Utc>) -> Result<(), StoreError> {
        let known = known.clone();
        self.write(move |db| Box::pin(async move { checkpoints::keep(db, &known, size, at).await })).await
    }

    async fn checkpoints(&self) -> Result<Vec<KnownLog>, StoreError> {
        checkpoints::read(&self.readers).await
    }
}

#[async_trait]
impl UsageStore for SqliteStore {
    async fn record_uses(&self, uses: &[(GrantId, DateTime<Utc>)]) -> Result<(), StoreError> {
        let uses = uses.to_vec();
        self.write(move |db| Box::pin(async move { usage::record(db, &uses).await })).await
    }

    async fn watch(&self, kind: Kind, names: &[String], now: DateTime<Utc>) -> Result<(), StoreError> {
        let names = names.to_vec();
        self.write(move |db| Box::pin(async move { usage::watch(db, kind, &names, now).await })).await
    }

    async fn record_watched(&self, kind: Kind, names: &[String], at: DateTime<Utc>) -> Result<(), StoreError> {
        let names = names.to_vec();
        self.write(move |db| Box::pin(async move { usage::record_watched(db, kind, &names, at).await })).await
    }

    async fn usage(&self) -> Result<Usage, StoreError> {
        usage::read(&self.readers).await
    }

    async fn keep_grant(&self, keep: &Keep) -> Result<(), StoreError> {
        let keep = keep.clone();
        self.write(move |db| Box::pin(async move { usage::keep(db, &keep).await })).await
    }

    async fn claim(&self, name: &str, by: &str, now: DateTime<Utc>, lease: TimeDelta) -> Result<Claim, StoreError> {
        let (name, by) = (name.to_owned(), by.to_owned());
        self.write(move |db| Box::pin(async move { usage::claim(db, &name, &by, now, lease).await })).await
    }

    async fn posted(&self, name: &str, by: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let (name, by) = (name.to_owned(), by.to_owned());
        self.write(move |db| Box::pin(async move { usage::posted(db, &name, &by, now).await })).await
    }
}

#[async_trait]
impl Reviews for SqliteStore {
    async fn open_review(&self, review: &Review) -> Result<Review, StoreError> {
        let review = review.clone();
        self.write(move |db| Box::pin(async move { reviews::open(db, &review).await })).await
    }

    async fn review(&self, id: &ReviewId) -> Result<Option<Review>, StoreError> {
        reviews::one(&self.readers, id).await
    }

    async fn reviews(&self, limit: u32) -> Result<Vec<Review>, StoreError> {
        reviews::newest(&self.readers, limit).await
    }

    async fn answer_review(&self, id: &ReviewId, grant: &GrantId, answer: &Answer) -> Result<(), StoreError> {
        let (id, grant, answer) = (id.clone(), grant.clone(), answer.clone());
        self.write(move |db| Box::pin(async move { reviews::answer(db, &id, &grant, &answer).await })).await
    }

    async fn close_review(&self, id: &ReviewId, at: DateTime<Utc>) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |db| Box::pin(async move { reviews::close(db, &id, at).await })).await
    }
}

#[async_trait]
impl Delegations for SqliteStore {
    async fn delegate(&self, delegation: &Delegation) -> Result<(), StoreError> {
        let delegation = delegation.clone();
        self.write(move |db| Box::pin(async move { delegations::keep(db, &delegation).await })).await
    }

    async fn end_delegation(&self, principal: &str) -> Result<bool, StoreError> {
        let principal = principal.to_owned();
        self.write(move |db| Box::pin(async move { delegations::end(db, &principal).await })).await
    }

    async fn delegations(&self, now: DateTime<Utc>) -> Result<Vec<Delegation>, StoreError> {
        delegations::open(&self.readers, now).await
    }
}

#[async_trait]
impl Questions for SqliteStore {
    async fn keep_question(&self, question: &Question, most: u32) -> Result<Kept, StoreError> {
        let question = question.clone();
        self.write(move |db| Box::pin(async move { questions::keep(db, &question, most).await })).await
    }

    async fn questions(&self, request: &RequestId) -> Result<Vec<Question>, StoreError> {
        questions::of(&self.readers, request).await
    }
}

#[async_trait]
impl Allowances for SqliteStore {
    async fn release_allowed(&self, allowance: &Allowance, session: Option<&SessionId>) -> Result<bool, StoreError> {
        let (allowance, session) = (allowance.clone(), session.cloned());
        self.write(move |db| Box::pin(async move { allowances::release(db, &allowance, session.as_ref()).await })).await
    }

    async fn take_run(
        &self,
        request: &RequestId,
        now: DateTime<Utc>,
        session: Option<&SessionId>,
    ) -> Result<Option<(u32, u32)>, StoreError> {
        let (request, session) = (request.clone(), session.cloned());
        self.write(move |db| Box::pin(async move { allowances::take(db, &request, now, session.as_ref()).await })).await
    }

    async fn end_run(
        &self,
        request: &RequestId,
        number: u32,
        outcome: &str,
        discarded: bool,
    ) -> Result<bool, StoreError> {
        let (request, outcome) = (request.clone(), outcome.to_owned());
        self.write(move |db| {
            Box::pin(async move { allowances::end_run(db, &request, number, &outcome, discarded).await })
        })
        .await
    }

    async fn end_allowance(&self, request: &RequestId, end: &AllowanceEnd) -> Result<bool, StoreError> {
        let (request, end) = (request.clone(), end.clone());
        self.write(move |db| Box::pin(async move { allowances::end(db, &request, &end).await })).await
    }

    async fn allowance(&self, request: &RequestId) -> Result<Option<Allowance>, StoreError> {
        allowances::one(&self.readers, request).await
    }

    async fn open_allowances(&self, filter: &OpenFilter) -> Result<Vec<Allowance>, StoreError> {
        allowances::open(&self.readers, filter).await
    }

    async fn deny(&self, denial: &Denial, needed: u32, outcome: &Outcome) -> Result<bool, StoreError> {
        let (denial, outcome) = (denial.clone(), outcome.clone());
        self.write(move |db| Box::pin(async move { allowances::deny(db, &denial, needed, &outcome).await })).await
    }
}

#[async_trait]
impl Steps for SqliteStore {
    async fn has_steps(&self, principal: &str) -> Result<bool, StoreError> {
        steps::any(&self.readers, principal).await
    }

    async fn take_step(
        &self,
        request: &RequestId,
        number: u32,
        now: DateTime<Utc>,
        session: &SessionId,
    ) -> Result<bool, StoreError> {
        step().await;
        let (request, session) = (request.clone(), session.clone());
        self.write(move |db| Box::pin(async move { steps::take(db, &request, number, now, &session).await })).await
    }

    async fn end_step(
        &self,
        request: &RequestId,
        number: u32,
        end: &StepEnd,
        known: bool,
        milliseconds: u64,
    ) -> Result<Option<State>, StoreError> {
        let (request, end) = (request.clone(), end.clone());
        self.write(move |db| Box::pin(async move { steps::end(db, &request, number, &end, known, milliseconds).await }))
            .await
    }
}
