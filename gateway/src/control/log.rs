//! `GET /v1/log`: the entries that the caller may `audit`, as JSON lines. Reading them is an entry too.

use std::{collections::BTreeSet, io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{App, answer::Refused, caller::Caller, sight};
use crate::{
    log::{Entry, Kind},
    records::{export::Format, find::Search, index::Index, search},
};

/// So many bytes are sent together.
const CHUNK: usize = 64 << 10;
/// So many chunks wait for a slow reader.
const CHUNKS: usize = 4;

/// What is asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// As for `audit search`; all where there is none.
    #[serde(default)]
    search: String,
}

/// What a caller may see.
struct Sight {
    connections: BTreeSet<String>,
    /// They audit every connection, and so see also what is about none.
    all: bool,
}

impl Sight {
    fn sees(&self, entry: &Entry) -> bool {
        self.all || entry.connection.as_ref().is_some_and(|connection| self.connections.contains(connection))
    }
}

pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Response, Refused> {
    let gateway = &app.gateway;
    let (who, from) = caller.known()?;
    let connections = sight::audited(gateway, who, from);
    if connections.is_empty() {
        return Err(Refused::forbidden("Only who may `audit` a connection reads its log."));
    }
    let sight = Sight { all: connections.len() == gateway.config.connections.len(), connections };
    let search = Search::parse(&asked.search, Utc::now()).map_err(|why| Refused::bad_request(&why))?;
    let place = Arc::clone(&app.listeners).try_acquire_owned().map_err(|_| {
        let error = "Too many read from this gateway already.";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error, "Try again in a moment.")
    })?;
    let entry = Entry {
        principal: Some(who.human.principal.clone()),
        outcome: Some("the log was read".to_owned()),
        detail: json!({ "search": asked.search, "connections": sight.connections, "address": from.address }),
        ..Entry::new(Kind::Audit)
    };
    gateway.log.append_durably(&entry).await?;
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let records = gateway.config.records();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut chunk = Vec::with_capacity(CHUNK);
        let found = search::search(&records, Index::beside(&records).as_ref(), &search, |seq, entry| {
            if sight.sees(entry) {
                chunk.extend_from_slice(Format::JsonLines.line(seq, entry).as_bytes());
                chunk.push(b'\n');
            }
            chunk.len() < CHUNK || sender.blocking_send(Ok(Bytes::from(std::mem::take(&mut chunk)))).is_ok()
        });
        // The answer breaks off: half a log must not look like a whole one.
        if let Err(error) = &found {
            tracing::error!(%error, "the log can't be read on");
        }
        let rest = found.map(|_| Bytes::from(chunk)).map_err(|_| io::Error::other("the log can't be read on"));
        let _gone = sender.blocking_send(rest);
    });
    let body = Body::from_stream(ReceiverStream::new(chunks));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}
