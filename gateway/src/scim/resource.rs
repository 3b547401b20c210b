//! The calls that users and groups have in common (RFC 7644, section 3).
//!
//! A change goes on to its end where the client hangs up in the middle: what is written down must also
//! take effect.

use std::{fmt::Display, sync::Arc};

use async_trait::async_trait;
use axum::{
    body::Bytes,
    extract::{FromRequest, Path, Query as UrlQuery, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::{
    App, LARGEST_BODY, base,
    discovery::{answer, etag},
    document, patch as patches,
    query::{Parameters, Query},
    schema::Type,
    sorry::Sorry,
};
use crate::{
    log::{Entry, Kind},
    runtime::Gateway,
    store::{StoreError, directory::Kept},
};

/// A kind of resource, over the state.
#[async_trait]
pub(super) trait Noun: Sized + Send + Sync + 'static {
    type Id: Display + Clone + Send + Sync;
    type Fields: PartialEq + Send + Sync;

    fn kind() -> &'static Type;
    fn id(text: &str) -> Self::Id;

    /// A resource, as clients send it, into what is kept.
    fn read(resource: &Map<String, Value>) -> Result<Self::Fields, Sorry>;
    /// The contrary, without `meta`.
    fn write(kept: &Kept<Self::Id, Self::Fields>, base: &str) -> Map<String, Value>;
    /// What a replacement keeps where the client does not say it.
    fn keep(before: &Map<String, Value>, after: &mut Map<String, Value>);
    /// For the log: who or what it is.
    fn name(is: &Self::Fields) -> String;

    async fn all(gateway: &Gateway, query: &Query) -> Result<Vec<Kept<Self::Id, Self::Fields>>, StoreError>;
    async fn one(gateway: &Gateway, id: &Self::Id) -> Result<Option<Kept<Self::Id, Self::Fields>>, StoreError>;
    async fn create(
        gateway: &Gateway,
        is: &Self::Fields,
        now: DateTime<Utc>,
    ) -> Result<Kept<Self::Id, Self::Fields>, StoreError>;
    async fn replace(
        gateway: &Gateway,
        before: &Kept<Self::Id, Self::Fields>,
        is: &Self::Fields,
        now: DateTime<Utc>,
    ) -> Result<Option<Kept<Self::Id, Self::Fields>>, StoreError>;
    async fn delete(gateway: &Gateway, before: &Kept<Self::Id, Self::Fields>) -> Result<bool, StoreError>;

    /// Makes a change count at once.
    async fn take_effect(gateway: &Gateway, before: Option<&Self::Fields>, after: Option<&Self::Fields>);
}

type Found<N> = Kept<<N as Noun>::Id, <N as Noun>::Fields>;
type Asked = Result<UrlQuery<Parameters>, QueryRejection>;

fn asked(query: Asked) -> Result<Parameters, Sorry> {
    query.map(|UrlQuery(parameters)| parameters).map_err(|_| Sorry::value("The query can't be read."))
}

fn searched(body: Value) -> Result<Parameters, Sorry> {
    let unreadable = || Sorry::syntax("The search can't be read.");
    // A list would be taken for the members in order.
    if !body.is_object() {
        return Err(unreadable());
    }
    serde_json::from_value(body).map_err(|_| unreadable())
}

/// A weak ETag (RFC 7644, section 3.14). Memberships, which are the groups' matter, don't change a user's.
fn version<N: Noun>(kept: &Found<N>) -> String {
    format!("W/\"{}\"", kept.version)
}

fn location<N: Noun>(kept: &Found<N>, base: &str) -> String {
    format!("{base}{}/{}", N::kind().endpoint, kept.id)
}

fn whole<N: Noun>(kept: &Found<N>, base: &str) -> Map<String, Value> {
    let mut resource = N::write(kept, base);
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let meta = json!({
        "resourceType": N::kind().name, "created": time(kept.created_at), "lastModified": time(kept.modified_at),
        "location": location::<N>(kept, base), "version": version::<N>(kept),
    });
    resource.insert("schemas".to_owned(), json!([N::kind().schema]));
    resource.insert("id".to_owned(), kept.id.to_string().into());
    resource.insert("meta".to_owned(), meta);
    resource
}

/// A resource as an answer, with its ETag and address.
fn shown<N: Noun>(status: StatusCode, kept: &Found<N>, base: &str, parameters: &Parameters) -> Result<Response, Sorry> {
    let resource = Query::shown(N::kind(), parameters)?.of_resource(whole::<N>(kept, base));
    let mut response = answer(&resource.into());
    *response.status_mut() = status;
    for (name, text) in [(header::ETAG, version::<N>(kept)), (header::LOCATION, location::<N>(kept, base))] {
        if let Ok(value) = HeaderValue::try_from(text) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

pub(super) async fn list<N: Noun>(State(gateway): State<App>, query: Asked) -> Result<Response, Sorry> {
    page::<N>(&gateway, &asked(query)?).await
}

pub(super) async fn search<N: Noun>(State(gateway): State<App>, Body(body): Body) -> Result<Response, Sorry> {
    let parameters = searched(body)?;
    page::<N>(&gateway, &parameters).await
}

async fn matching<N: Noun>(gateway: &Gateway, query: &Query) -> Result<Vec<Map<String, Value>>, Sorry> {
    let base = base(gateway);
    let all = N::all(gateway, query).await?.iter().map(|kept| whole::<N>(kept, &base)).collect();
    Ok(query.matching(all))
}

async fn page<N: Noun>(gateway: &Gateway, parameters: &Parameters) -> Result<Response, Sorry> {
    let query = Query::of(N::kind(), parameters)?;
    Ok(answer(&query.page(matching::<N>(gateway, &query).await?)))
}

/// A search over both kinds (RFC 7644, section 3.4.2.1). What names an attribute that one of them does
/// not have matches none of it.
pub(super) async fn search_all<A: Noun, B: Noun>(
    State(gateway): State<App>,
    Body(body): Body,
) -> Result<Response, Sorry> {
    let parameters = searched(body)?;
    let (one, other) = (Query::of(A::kind(), &parameters), Query::of(B::kind(), &parameters));
    let mut found = Vec::new();
    if let Ok(query) = &one {
        found.extend(matching::<A>(&gateway, query).await?);
    }
    if let Ok(query) = &other {
        found.extend(matching::<B>(&gateway, query).await?);
    }
    Ok(answer(&one.or(other)?.page(found)))
}

async fn find<N: Noun>(gateway: &Gateway, id: &str) -> Result<Found<N>, Sorry> {
    N::one(gateway, &N::id(id)).await?.ok_or_else(Sorry::not_found)
}

pub(super) async fn show<N: Noun>(
    State(gateway): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Asked,
) -> Result<Response, Sorry> {
    let found = find::<N>(&gateway, &id).await?;
    if etag(&headers, &header::IF_NONE_MATCH).is_some_and(|tags| names(tags, found.version)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    shown::<N>(StatusCode::OK, &found, &base(&gateway), &asked(query)?)
}

/// Whether a list of ETags names a version (RFC 9110, section 8.8.3; compared as weak ones).
fn names(tags: &str, version: i64) -> bool {
    let own = format!("\"{version}\"");
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own)
}

/// Runs a change to its end, whoever still listens.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Sorry>> + Send + 'static,
) -> Result<T, Sorry> {
    tokio::spawn(work).await.map_err(|error| Sorry::unavailable(&error))?
}

/// That it changed, in the log. Nobody logs in while the log is down, so a change is not held up by it.
async fn record<N: Noun>(gateway: &Gateway, id: &N::Id, what: &str, is: &N::Fields, more: Value) {
    let entry = Entry {
        outcome: Some(what.to_owned()),
        detail: json!({ "type": N::kind().name, "id": id.to_string(), "name": N::name(is), "changed": more }),
        ..Entry::new(Kind::Directory)
    };
    if let Err(down) = gateway.log.append_durably(&entry).await {
        tracing::error!(%down, id = %id, what, "a change of the directory is not in the log");
    }
}

pub(super) async fn create<N: Noun>(
    State(gateway): State<App>,
    query: Asked,
    Body(body): Body,
) -> Result<Response, Sorry> {
    let parameters = asked(query)?;
    let mut resource = document::read(N::kind(), &body)?;
    N::keep(&Map::new(), &mut resource);
    document::is_whole(N::kind(), &resource)?;
    let is = N::read(&resource)?;
    let base = base(&gateway);
    let made = to_the_end(async move {
        let made = N::create(&gateway, &is, Utc::now()).await?;
        N::take_effect(&gateway, None, Some(&made.is)).await;
        record::<N>(&gateway, &made.id, "created", &made.is, N::write(&made, "").into()).await;
        Ok(made)
    });
    shown::<N>(StatusCode::CREATED, &made.await?, &base, &parameters)
}

pub(super) async fn replace<N: Noun>(
    State(gateway): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Asked,
    Body(body): Body,
) -> Result<Response, Sorry> {
    let parameters = asked(query)?;
    let resource = document::read(N::kind(), &body)?;
    let base = base(&gateway);
    let changed = change::<N>(&gateway, &id, &headers, move |before| {
        let mut after = resource.clone();
        N::keep(before, &mut after);
        Ok(after)
    });
    shown::<N>(StatusCode::OK, &changed.await?, &base, &parameters)
}

pub(super) async fn patch<N: Noun>(
    State(gateway): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    query: Asked,
    Body(body): Body,
) -> Result<Response, Sorry> {
    let parameters = asked(query)?;
    let base = base(&gateway);
    let changed = change::<N>(&gateway, &id, &headers, move |before| patches::apply(N::kind(), before, &body));
    shown::<N>(StatusCode::OK, &changed.await?, &base, &parameters)
}

/// Reads, changes, and writes where nobody else wrote in between; else once more.
async fn change<N: Noun>(
    gateway: &App,
    id: &str,
    headers: &HeaderMap,
    how: impl Fn(&Map<String, Value>) -> Result<Map<String, Value>, Sorry> + Send + 'static,
) -> Result<Found<N>, Sorry> {
    const TRIES: usize = 8;
    let only = etag(headers, &header::IF_MATCH).map(str::to_owned);
    let (gateway, id) = (Arc::clone(gateway), id.to_owned());
    to_the_end(async move {
        let base = base(&gateway);
        for _ in 0..TRIES {
            let before = find::<N>(&gateway, &id).await?;
            if only.as_ref().is_some_and(|tags| !names(tags, before.version)) {
                return Err(Sorry::precondition());
            }
            let resource = how(&whole::<N>(&before, &base))?;
            document::is_whole(N::kind(), &resource)?;
            let is = N::read(&resource)?;
            if is == before.is {
                return Ok(before);
            }
            let Some(after) = N::replace(&gateway, &before, &is, Utc::now()).await? else { continue };
            N::take_effect(&gateway, Some(&before.is), Some(&after.is)).await;
            let changed = difference(&N::write(&before, ""), &N::write(&after, ""));
            record::<N>(&gateway, &after.id, "changed", &after.is, changed).await;
            return Ok(after);
        }
        Err(Sorry::unavailable(&"too many change the same resource at once"))
    })
    .await
}

pub(super) async fn delete<N: Noun>(
    State(gateway): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Sorry> {
    let only = etag(&headers, &header::IF_MATCH).map(str::to_owned);
    to_the_end(async move {
        let before = find::<N>(&gateway, &id).await?;
        if only.is_some_and(|tags| !names(&tags, before.version)) || !N::delete(&gateway, &before).await? {
            return Err(Sorry::precondition());
        }
        N::take_effect(&gateway, Some(&before.is), None).await;
        record::<N>(&gateway, &before.id, "deleted", &before.is, Value::Null).await;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}

/// The attributes that are others than before, as they are now.
fn difference(before: &Map<String, Value>, after: &Map<String, Value>) -> Value {
    let mut changed: Map<String, Value> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    changed.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name.clone(), Value::Null)));
    changed.into()
}

/// A JSON body of either media type.
pub(super) struct Body(pub Value);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Sorry;

    async fn from_request(request: Request, state: &S) -> Result<Self, Sorry> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !["application/scim+json", "application/json"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
            return Err(Sorry::media_type());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Sorry::too_large(LARGEST_BODY)
            } else {
                Sorry::syntax("The body can't be read.")
            }
        })?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Sorry::syntax(format!("The body is no JSON: {error}.")))
    }
}
