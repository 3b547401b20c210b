//! `GET /v1/log`: the entries that the caller may `audit`, as JSON lines. Reading them is an entry too.

use std::{collections::BTreeSet, io, sync::Arc};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{
    App,
    answer::Refused,
    caller::{Caller, still},
    listening::Place,
    sight,
};
use crate::{
    identity::Identity,
    log::{Entry, Kind},
    records::{export::Format, find::Search, index::Index, search},
    runtime::Gateway,
    statement::decide::SessionFacts,
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
#[derive(Clone)]
struct Sight {
    connections: BTreeSet<String>,
    /// They audit every connection, and so see also what is about none.
    all: bool,
}

/// Whoever reads: what they may see is asked again as long as they do.
struct Reader {
    gateway: Arc<Gateway>,
    who: Identity,
    from: SessionFacts,
    sight: Sight,
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    over: bool,
    _place: Place,
}

impl Reader {
    /// Whether they may still see what they were let see at the beginning.
    async fn may_go_on(&mut self) -> bool {
        match still(&self.gateway, &mut self.who).await {
            Ok(true) => sight::audited(&self.gateway, &self.who, &self.from).is_superset(&self.sight.connections),
            Ok(false) => false,
            Err(error) => {
                tracing::error!(%error, "whether somebody may still read the log is not known");
                false
            }
        }
    }
}

impl Reader {
    /// What was read next, where they may still have it now, when it leaves.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        let chunk = self.chunks.recv().await?;
        if self.may_go_on().await {
            return Some(chunk);
        }
        // As where it can't be read: it must not look like all of it.
        self.over = true;
        Some(Err(io::Error::other("it may not be read any more")))
    }
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
    let place = app.listeners.take(Some(&who.human.principal))?;
    let entry = Entry {
        principal: Some(who.human.principal.clone()),
        outcome: Some("the log was read".to_owned()),
        detail: json!({ "search": asked.search, "connections": sight.connections, "address": from.address }),
        ..Entry::new(Kind::Audit)
    };
    // What comes after that entry is for the next who asks.
    let upto = gateway.log.append(&entry)?;
    gateway.log.synced(upto).await?;
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let reader = Reader {
        gateway: Arc::clone(gateway),
        who: who.clone(),
        from: from.clone(),
        sight: sight.clone(),
        chunks,
        over: false,
        _place: place,
    };
    let records = gateway.config.records();
    tokio::task::spawn_blocking(move || {
        let mut chunk = Vec::with_capacity(CHUNK);
        let found = search::search(&records, Index::beside(&records).as_ref(), &search, |seq, entry| {
            if seq > upto.0 {
                return false;
            }
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
    let body = Body::from_stream(stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((chunk, reader))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use futures_util::StreamExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        approval::house::{House, POLICY},
        policy::testing::policies,
    };

    /// What comes until the answer ends or breaks off, once so much has come and `then` is done; whether it ended.
    async fn reads(house: &House, then: impl AsyncFnOnce()) -> (String, bool) {
        let request = Request::get("/v1/log").header(header::HOST, "127.0.0.1:6480");
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", house.token("sam@acme.dev")));
        let app = crate::control::router(Arc::clone(&house.gateway));
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut body = response.into_body().into_data_stream();
        let mut came = body.next().await.unwrap().unwrap().to_vec();
        then().await;
        while let Some(more) = body.next().await {
            let Ok(more) = more else { return (String::from_utf8(came).unwrap(), false) };
            came.extend_from_slice(&more);
        }
        (String::from_utf8(came).unwrap(), true)
    }

    #[tokio::test]
    async fn who_loses_the_right_to_read_reads_no_more_and_nobody_what_comes_later() {
        let house = House::open().await;
        let statement = |sql: &str| Entry {
            connection: Some("shop".into()),
            sql: Some(format!("{sql} {}", "x".repeat(CHUNK))),
            ..Entry::new(Kind::Statement)
        };
        for _ in 0..40 {
            house.gateway.log.append(&statement("early")).unwrap();
        }
        let (came, ended) = reads(&house, async || {
            house.gateway.log.append_durably(&statement("late")).await.unwrap();
        })
        .await;
        assert!(ended && came.matches("early").count() == 40 && !came.contains("late"));
        let (came, ended) = reads(&house, async || {
            let without = POLICY.replace("Group::\"auditors\"", "Group::\"nobody\"");
            house.policies.send_replace(Arc::new(policies(&without)));
        })
        .await;
        assert!(!ended, "it breaks off");
        assert!(came.matches("early").count() == 1, "at once");
    }
}
