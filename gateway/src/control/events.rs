//! `GET /v1/events`: server-sent events, resumable by `Last-Event-ID`.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{self, KeepAlive},
    },
};
use chrono::{DateTime, Utc};
use countersign_shared::api::Event;
use futures_util::{Stream, stream};
use tokio::sync::watch;

use super::{
    App,
    answer::Refused,
    caller::{Caller, still},
    listening::Place,
    sight,
};
use crate::{runtime::Gateway, store::StoreError};

/// How often a silent stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many events are read at once.
const BATCH: u32 = 100;

struct Listener {
    gateway: Arc<Gateway>,
    caller: Caller,
    seen: i64,
    bell: watch::Receiver<i64>,
    ready: std::collections::VecDeque<Event>,
    ends_at: Option<DateTime<Utc>>,
    _place: Place,
}

/// Everything after `Last-Event-ID`; without one, everything from now on.
pub(super) async fn stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Refused> {
    let ends_at = match &caller {
        Caller::Bot => None,
        _ => Some(caller.known()?.0.expires_at),
    };
    let gateway = Arc::clone(&app.gateway);
    // Before the number is read, so that nothing falls in between.
    let bell = gateway.store.event_bell();
    let seen = match headers.get("last-event-id") {
        Some(id) => id.to_str().ok().and_then(|id| id.parse().ok()).filter(|id| *id >= 0),
        None => Some(gateway.store.last_event().await?),
    };
    let seen = seen.ok_or_else(|| Refused::bad_request("`Last-Event-ID` is not the number of an event."))?;
    let who = caller.known().ok().map(|(who, _)| who.human.principal.clone());
    let _place = app.listeners.take(who.as_deref())?;
    let listener = Listener { gateway, caller, seen, bell, ready: std::collections::VecDeque::new(), ends_at, _place };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(encode(&event)), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

fn encode(event: &Event) -> sse::Event {
    let line = sse::Event::default().id(event.seq.to_string()).event(event.kind.clone());
    // Serialising plain fields does not fail; an empty line would be skipped by every reader.
    line.data(serde_json::to_string(event).unwrap_or_default())
}

impl Listener {
    /// The next event that the caller may see; `None` ends the stream, and the caller comes back.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ends_at.is_some_and(|end| end <= Utc::now()) {
                return None;
            }
            self.bell.mark_unchanged();
            match self.read().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a stream of events ends");
                    return None;
                }
            }
            // Another process may write to the same state without ringing our bell.
            if let Ok(Err(_)) = tokio::time::timeout(HEARTBEAT, self.bell.changed()).await {
                return None;
            }
        }
    }

    /// Reads what is new; how much there was.
    async fn read(&mut self) -> Result<usize, StoreError> {
        let events = self.gateway.store.events_after(self.seen, BATCH).await?;
        let count = events.len();
        for event in events {
            self.seen = event.seq;
            if self.sees(&event).await? {
                self.ready.push_back(event);
            }
        }
        Ok(count)
    }

    async fn sees(&mut self, event: &Event) -> Result<bool, StoreError> {
        if matches!(self.caller, Caller::Bot) {
            return Ok(true);
        }
        if let Caller::Known { identity, .. } = &mut self.caller {
            // Whoever is gone sees nothing more, nor what a group showed them that they have lost.
            if !still(&self.gateway, identity).await? {
                self.ends_at = Some(Utc::now());
                return Ok(false);
            }
        }
        if let Some(id) = &event.grant {
            let grant = self.gateway.store.grant(id).await?;
            let (who, from) = match self.caller.known() {
                Ok(known) => known,
                Err(_) => return Ok(false),
            };
            return Ok(grant.is_some_and(|grant| sight::sees_grant(&self.gateway, who, from, &grant)));
        }
        let Some(id) = &event.request else { return Ok(false) };
        let Some(request) = self.gateway.store.request(id).await? else { return Ok(false) };
        Ok(sight::caller_sees(&self.gateway, &self.caller, &request))
    }
}
