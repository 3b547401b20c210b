//! Keeps time: ends what is over, and asks again what rests on the time, on policy or on groups.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use countersign_shared::{api::RequestKind, request::State};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{
    ask::open_wishes,
    book::{Live, Now},
    end::{end_grant, end_principal, take_effect, write},
    right::give_approved,
    secrets, stand, uses,
};
use crate::{
    directory::is_gone,
    log::{Entry, Kind},
    runtime::Gateway,
    store::{GrantEnd, GrantFilter, How, RequestFilter, Seen, StoreError},
};

/// How often the wall's clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Wishes past their deadline are looked for at every so-manieth tick.
const WISHES: u64 = 20;
/// What was used is written down at every so-manieth tick.
const USES: u64 = 10;
/// How many ticks lie between two looks at the config's secrets.
const SECRETS: u64 = 3_600;
/// How long after its deadline a statement is ended for whoever should have.
const LATE: Duration = Duration::from_secs(60);
/// Where no grant is about to end.
const LONG: Duration = Duration::from_secs(3600);

/// Reads the grants that count into the book; ends those whose time passed while the gateway was
/// down, and those of who is gone. Before any client is taken.
///
/// # Errors
/// Where the state can't say, or can't write down an end.
pub async fn read(gateway: &Gateway) -> Result<(), StoreError> {
    let open = GrantFilter { open: true, ..GrantFilter::default() };
    let now = Now::read();
    for grant in gateway.store.grants(&open).await? {
        match Live::of(&grant, &gateway.seal, now) {
            Some(live) => gateway.grants.add(live),
            // Whether the time of what we did not seal is over is nothing that its own rows can say.
            None if grant.terms().all(|term| gateway.seal.verify_term(term) && term.until <= now.wall) => {
                end_grant(gateway, &grant.first.grant, expired()).await?;
            }
            None => {}
        }
    }
    // The directory had said that somebody is gone, and what follows from it was cut off.
    for human in gateway.grants.holders() {
        if let Some(gone) = gateway.store.gone(&human).await? {
            end_principal(gateway, &human, &is_gone(&human, gone)).await?;
        }
    }
    // Approved, and cut off before the role was given.
    for request in open_wishes(gateway, None).await? {
        if request.state == State::Approved
            && let Err(why) = give_approved(gateway, &request.new.id).await
        {
            tracing::warn!(request = %request.new.id, why, "a wish that was approved before came to nothing");
        }
    }
    Ok(())
}

fn expired() -> GrantEnd {
    GrantEnd { at: Utc::now(), how: How::Expired, by: None, reason: None }
}

/// Remembers a login or a sign-in. Where it says of somebody what was not known, their sessions are
/// looked at.
///
/// # Errors
/// As [`Store::seen`](crate::store::Store::seen).
pub async fn seen(gateway: &Gateway, seen: &Seen) -> Result<(), StoreError> {
    let before = gateway.store.person(&seen.human.principal).await?;
    gateway.store.seen(seen).await?;
    // What the directory gives stands on both sides.
    let now = gateway.store.person(&seen.human.principal).await?.map(|now| now.groups).unwrap_or_default();
    if before.is_some_and(|before| before.groups.iter().any(|group| !now.contains(group))) {
        gateway.regrouped.notify_one();
    }
    Ok(())
}

/// Ends what is over until it is dropped: while the gateway drains, as at any other time. Waits for
/// neither disk nor state: a slow one keeps nobody in.
pub async fn keep(gateway: Arc<Gateway>) {
    let mut policies = gateway.policies.clone();
    policies.mark_unchanged();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = gateway.grants.next(Now::read()).unwrap_or(LONG);
        tokio::select! {
            () = sleep(next) => {}
            () = gateway.grants.rung() => {}
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
                policies.mark_unchanged();
                stand::look_at_all(&gateway).await;
            }
            _ = ticks.tick() => {
                let began = Instant::now();
                stand::expired_tokens(&gateway);
                if gateway.policies().connect_rests_on_time() {
                    stand::look_at_all(&gateway).await;
                }
                if began.elapsed() > TICK {
                    let milliseconds = began.elapsed().as_millis();
                    tracing::warn!(milliseconds, "looking at all sessions takes longer than a second");
                }
            }
        }
        for over in gateway.grants.take_over(Now::read()) {
            let end = expired();
            take_effect(&gateway, &over, &end);
            let gateway = Arc::clone(&gateway);
            // What can't be written down is remembered, and has ended all the same.
            tokio::spawn(async move { write(&gateway, &over.id.clone(), Some(over), end).await });
        }
    }
}

/// Writes down what could not be before, ends wishes past their deadline, and asks the state who is in
/// which group; until it is dropped.
pub async fn keep_written(gateway: Arc<Gateway>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    let mut watched = None;
    uses::watch(&gateway, &mut watched).await;
    secrets::watch(&gateway).await;
    loop {
        tokio::select! {
            () = gateway.regrouped.notified() => {
                if let Err(error) = stand::regroup(&gateway).await {
                    tracing::error!(%error, "the state can't say who is in which group; it is tried again");
                    gateway.regrouped.notify_one();
                    sleep(TICK).await;
                }
            }
            _ = ticks.tick() => {
                count += 1;
                for (id, end) in gateway.grants.unwritten() {
                    let _remembered = write(&gateway, &id, None, end).await;
                }
                if count.is_multiple_of(USES) {
                    uses::flush(&gateway).await;
                    uses::watch(&gateway, &mut watched).await;
                    uses::flush_permissions(&gateway).await;
                }
                if count.is_multiple_of(SECRETS) {
                    secrets::watch(&gateway).await;
                }
                if count % WISHES == 1 {
                    end_old_wishes(&gateway).await;
                }
            }
        }
    }
}

/// Nobody waits for a wish who could notice its deadline; nor for a statement that was asked for before a restart.
async fn end_old_wishes(gateway: &Gateway) {
    let filter = RequestFilter { states: vec![State::Pending, State::Approved], principal: None, limit: 10_000 };
    let open = match gateway.store.requests(&filter).await {
        Ok(open) => open,
        Err(error) => return tracing::error!(%error, "wishes past their deadline could not be looked for"),
    };
    let now = Utc::now();
    for request in open {
        let late = match request.new.kind {
            RequestKind::Access => Duration::ZERO,
            // Where the gateway that was asked still runs, it is first.
            RequestKind::Statement if request.new.session.is_none() => LATE,
            _ => continue,
        };
        if request.new.expires_at + late > now {
            continue;
        }
        let from = [State::Pending, State::Approved];
        match gateway.store.move_request(&request.new.id, &from, State::Expired, None).await {
            Ok(true) if request.new.kind == RequestKind::Statement => {
                let mut entry = Entry::new(Kind::HoldEnded);
                entry.request = Some(request.new.id);
                entry.outcome = Some(State::Expired.to_string());
                if let Err(down) = gateway.log.append(&entry) {
                    tracing::error!(%down, "the end of a hold is not in the log");
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, request = %request.new.id, "a wish past its deadline could not be ended");
            }
        }
    }
}
