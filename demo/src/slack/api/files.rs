//! `files.*`: an upload in three steps, as a snippet in a thread.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State as Extract},
    http::StatusCode,
    routing::post,
};
use serde_json::{Value, json};

use super::super::{
    Shared,
    state::{State, fresh_id},
};
use super::{Answer, Arguments, Refused};

/// A file, from the moment that its address was given.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// `F…`
    pub id: String,
    /// As the app named it.
    pub name: String,
    length: usize,
    /// What was sent; `None` until then.
    pub content: Option<Vec<u8>>,
    /// Channel and thread where it was shared.
    pub shared_in: Option<(String, Option<String>)>,
}

pub(super) fn get_upload_url(state: &mut State, arguments: &Arguments) -> Answer {
    let name = arguments.text("filename").ok_or_else(|| Refused::missing("filename"))?;
    let length = arguments.text("length").ok_or_else(|| Refused::missing("length"))?;
    let length = length.parse().ok().filter(|length| *length > 0).ok_or("invalid_arguments")?;
    let file = File { id: fresh_id('F'), name: name.to_owned(), length, content: None, shared_in: None };
    let url = format!("{}/upload/v1/{}", state.base, file.id);
    let answer = json!({"upload_url": url, "file_id": file.id});
    state.files.push(file);
    Ok(answer)
}

pub(super) fn complete_upload(state: &mut State, arguments: &Arguments) -> Answer {
    let files = arguments.structure("files").ok().flatten().ok_or_else(|| Refused::missing("files"))?;
    let channel = arguments.text("channel_id").map(str::to_owned);
    let thread = arguments.text("thread_ts").map(str::to_owned);
    if let Some(id) = &channel {
        let bot = state.app().bot_user_id.clone();
        let there = state.channel(id).ok_or("channel_not_found")?;
        if !there.has(&bot) {
            return Err("not_in_channel".into());
        }
    }
    let mut done = Vec::new();
    for wanted in files.as_array().cloned().unwrap_or_default() {
        let file = state.files.iter_mut().find(|file| wanted["id"] == file.id).ok_or("file_not_found")?;
        if file.content.is_none() {
            return Err("file_not_found".into());
        }
        file.shared_in = channel.clone().map(|channel| (channel, thread.clone()));
        done.push(json!({"id": file.id, "title": wanted["title"]}));
    }
    Ok(json!({"files": Value::Array(done)}))
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/upload/v1/{id}", post(upload))
}

/// No token: the address is the secret.
async fn upload(Extract(shared): Extract<Arc<Shared>>, Path(id): Path<String>, body: Bytes) -> (StatusCode, String) {
    shared.change(|state| match state.files.iter_mut().find(|file| file.id == id && file.content.is_none()) {
        Some(file) if file.length == body.len() => {
            file.content = Some(body.to_vec());
            (StatusCode::OK, format!("OK - {}", body.len()))
        }
        Some(_) => (StatusCode::BAD_REQUEST, "the length is another".to_owned()),
        None => (StatusCode::NOT_FOUND, "no such upload".to_owned()),
    })
}
