//! The pages, plain HTML without a script.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

use crate::people::{People, Person};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:3rem auto;padding:0 1rem;color:#1d1c1d}\
h1{font-size:1.3rem}p{color:#555}button{display:block;width:100%;text-align:left;font:inherit;padding:.6rem .8rem;margin:.4rem 0;\
border:1px solid #bbb;border-radius:.5rem;background:#fff;cursor:pointer}button:hover,button:focus{border-color:#1264a3;background:#f2f8fc}\
small{color:#666;float:right}.quiet{border:0;color:#666;text-align:center}input{font:inherit;padding:.4rem}";

fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Acme" }
                style { (maud::PreEscaped(STYLE)) }
            }
            body { h1 { (title) } (body) }
        }
    }
}

/// A page that is not kept, framed or scripted.
pub(super) fn answer(status: StatusCode, title: &str, body: &Markup) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, document(title, body)).into_response()
}

/// One button per person; `hidden` goes along.
pub(super) fn choose(
    action: &str,
    hidden: (&str, &str),
    client: &str,
    people: &People,
    hint: Option<&str>,
) -> Response {
    let (name, value) = hidden;
    let mut staff: Vec<&Person> = people.people.iter().collect();
    staff.sort_by_key(|person| hint != Some(person.email.as_str()));
    let body = html! {
        p { "Acme's identity provider. " b { (client) } " wants to know who you are." }
        form method="post" action=(action) {
            input type="hidden" name=(name) value=(value);
            @for person in staff {
                button type="submit" name="person" value=(person.email) {
                    (person.name) small { (person.groups.join(", ")) }
                }
            }
            button class="quiet" type="submit" name="cancel" value="yes" { "Cancel" }
        }
    };
    answer(StatusCode::OK, "Sign in", &body)
}

/// Where a device's code is typed.
pub(super) fn ask_code() -> Response {
    let body = html! {
        form method="get" action="/device" {
            label { "The code on your device " input name="user_code" autocomplete="off" autofocus; }
            button type="submit" { "Continue" }
        }
    };
    answer(StatusCode::OK, "Sign in elsewhere", &body)
}

/// A sentence.
pub(super) fn say(status: StatusCode, title: &str, sentence: &str) -> Response {
    answer(status, title, &html! { p { (sentence) } })
}

/// Where somebody looks who only has the address.
pub(super) async fn home() -> Response {
    say(StatusCode::OK, "Acme's identity provider", "Sign in from the application that you want to use.")
}

/// What a captive portal says to whatever it is asked.
pub(super) fn babble() -> Response {
    say(StatusCode::OK, "Welcome to the café", "Accept our terms to go on.")
}
