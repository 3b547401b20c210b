//! Signing in from a machine without a browser (RFC 8628).

use std::sync::Arc;

use axum::{
    Form, Json,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{
    exchange::{client_of, refuse},
    page,
    state::{Device, Shared, SignIn, Wish},
    token::now,
};
use crate::random;

#[derive(Deserialize)]
pub(super) struct Begin {
    client_id: Option<String>,
    client_secret: Option<String>,
    scope: Option<String>,
}

/// Gives a device its codes.
pub(super) async fn begin(State(shared): State<Arc<Shared>>, headers: HeaderMap, Form(asked): Form<Begin>) -> Response {
    let mut state = shared.lock();
    let client = match client_of(&state, &headers, asked.client_id.as_deref(), asked.client_secret.as_deref()) {
        Ok(client) => client,
        Err(refused) => return refuse(refused),
    };
    let Ok(redirect) = Url::parse(&shared.url) else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let wish = Wish {
        client,
        redirect,
        state: None,
        nonce: None,
        challenge: None,
        scope: asked.scope.unwrap_or_else(|| "openid".into()),
        hint: None,
    };
    let (device_code, user_code) = (random::token(), user_code(&random::token()));
    let at = format!("{}/device", shared.url);
    let answer = json!({
        "device_code": device_code, "user_code": user_code, "verification_uri": at,
        "verification_uri_complete": format!("{at}?user_code={user_code}"), "expires_in": 600, "interval": 1,
    });
    state.devices.insert(device_code, Device { user_code, wish, answer: None });
    Json(answer).into_response()
}

/// Eight letters that can't be mistaken for one another, in two groups (RFC 8628 §6.1).
fn user_code(random: &str) -> String {
    const LETTERS: &[u8] = b"BCDFGHJKLMNPQRST";
    let letter = |c: char| c.to_digit(16).map(|digit| char::from(LETTERS[digit as usize]));
    let mut code: String = random.chars().filter_map(letter).take(8).collect();
    code.insert(4, '-');
    code
}

#[derive(Deserialize)]
pub(super) struct Asked {
    user_code: Option<String>,
}

/// Asks for the code, then for the person.
pub(super) async fn ask(State(shared): State<Arc<Shared>>, Query(asked): Query<Asked>) -> Response {
    let Some(typed) = asked.user_code else { return page::ask_code() };
    let typed = typed.trim().to_uppercase();
    let state = shared.lock();
    match state.devices.values().find(|device| device.user_code == typed && device.answer.is_none()) {
        Some(device) => page::choose("/device", ("user_code", &typed), &device.wish.client, &state.people, None),
        None => page::say(StatusCode::NOT_FOUND, "Unknown code", "No device waits for this code. Start again there."),
    }
}

#[derive(Deserialize)]
pub(super) struct Answer {
    user_code: String,
    person: Option<String>,
}

/// Signs the device in, or cancels.
pub(super) async fn answer(State(shared): State<Arc<Shared>>, Form(form): Form<Answer>) -> Response {
    let mut state = shared.lock();
    let subject = form.person.as_deref().and_then(|who| state.people.person(who)).map(|person| person.subject.clone());
    let waits = |device: &&mut Device| device.user_code == form.user_code && device.answer.is_none();
    let Some(device) = state.devices.values_mut().find(waits) else {
        return page::say(StatusCode::NOT_FOUND, "Unknown code", "No device waits for this code. Start again there.");
    };
    let wish = device.wish.clone();
    device.answer = Some(subject.map(|subject| SignIn { wish, subject, at: now() }).ok_or(()));
    page::say(StatusCode::OK, "Done", "Go back to your device.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_code_is_two_groups_of_four_letters() {
        assert_eq!(user_code("0123456789abcdef"), "BCDF-GHJK");
    }
}
