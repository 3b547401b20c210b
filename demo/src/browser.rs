//! A browser without scripts: cookies, redirects and forms, for stories in which somebody signs in.
//!
//! It reads the plain pages of this project (no tag soup), and finds only what a person would see
//! and press.

use reqwest::{
    Client, Method, RequestBuilder,
    header::{LOCATION, ORIGIN, REFERER},
    redirect,
};
use url::Url;

/// Why there is no next page.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The network, or the address.
    #[error("the page can't be opened: {0}")]
    Network(#[from] reqwest::Error),
    /// An address that is none.
    #[error("a link leads nowhere: {0}")]
    Address(#[from] url::ParseError),
    /// Twenty redirects.
    #[error("the pages redirect in circles")]
    Circles,
    /// Nothing to press.
    #[error("there is no button {button:?} on the page:\n{page}")]
    NoButton {
        /// The one that was looked for.
        button: String,
        /// The page as text.
        page: String,
    },
}

/// One person's browser.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    stops: Vec<String>,
    /// Where it is.
    pub url: Url,
    /// How the last page answered.
    pub status: u16,
    /// The last page.
    pub body: String,
}

/// A form of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `get` or `post`.
    pub method: String,
    /// Relative to the page.
    pub action: String,
    /// Names and values of its inputs.
    pub inputs: Vec<(String, String)>,
    /// Its submit buttons: name, value and text.
    pub buttons: Vec<Button>,
}

/// A submit button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Button {
    /// Empty where it has none.
    pub name: String,
    /// Goes along when it is pressed.
    pub value: String,
    /// What a person reads.
    pub text: String,
}

impl Browser {
    /// A browser without cookies, on an empty page.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new() -> Result<Self, BrowserError> {
        let client = Client::builder().cookie_store(true).redirect(redirect::Policy::none()).no_proxy().build()?;
        let url = Url::parse("about:blank")?;
        Ok(Self { client, stops: Vec::new(), url, status: 0, body: String::new() })
    }

    /// Doesn't follow a redirect to an address that starts like this, but stays with it in
    /// [`Browser::url`]: for a callback that nobody serves.
    pub fn stop_at(&mut self, start: &str) {
        self.stops.push(start.into());
    }

    /// Opens an address, and follows where it leads.
    ///
    /// # Errors
    /// Where no page is reached; an error page is a page.
    pub async fn open(&mut self, address: &str) -> Result<(), BrowserError> {
        let url = Url::parse(address)?;
        self.go(self.client.get(url.clone()), url).await
    }

    /// Presses the button whose value or text is `button`, with the form's other fields as they
    /// are, or as `fields` fills them in.
    ///
    /// # Errors
    /// Where there is no such button, or no page comes of it.
    pub async fn press(&mut self, button: &str, fields: &[(&str, &str)]) -> Result<(), BrowserError> {
        let found = forms(&self.body).into_iter().find_map(|form| {
            let pressed = form.buttons.iter().find(|b| b.value == button || b.text.trim() == button).cloned();
            Some((pressed?, form))
        });
        let missing = || BrowserError::NoButton { button: button.into(), page: self.body.clone() };
        let (pressed, form) = found.ok_or_else(missing)?;
        let mut pairs = form.inputs;
        for (name, value) in fields {
            pairs.retain(|(kept, _)| kept != name);
            pairs.push(((*name).into(), (*value).into()));
        }
        if !pressed.name.is_empty() {
            pairs.push((pressed.name, pressed.value));
        }
        let url = if form.action.is_empty() { self.url.clone() } else { self.url.join(&form.action)? };
        let request = if form.method.eq_ignore_ascii_case("post") {
            self.client.request(Method::POST, url.clone()).form(&pairs)
        } else {
            self.client.get(url.clone()).query(&pairs)
        };
        let origin = self.url.origin().ascii_serialization();
        self.go(request.header(ORIGIN, origin).header(REFERER, self.url.as_str()), url).await
    }

    /// Whether the page shows `text`.
    #[must_use]
    pub fn shows(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// The page as a person reads it: without tags, spaces as one.
    #[must_use]
    pub fn text(&self) -> String {
        let body = self.body.split_once("<body").map_or(self.body.as_str(), |(_, body)| body);
        let text: Vec<_> = body.split('<').filter_map(|part| Some(part.split_once('>')?.1)).collect();
        decoded(&text.join(" ")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    async fn go(&mut self, first: RequestBuilder, url: Url) -> Result<(), BrowserError> {
        let mut request = first;
        self.url = url;
        for _ in 0..20 {
            let answer = request.send().await?;
            self.status = answer.status().as_u16();
            let next = answer.headers().get(LOCATION).and_then(|next| next.to_str().ok()).map(str::to_owned);
            let Some(next) = next.filter(|_| (300..400).contains(&self.status)) else {
                self.body = answer.text().await?;
                return Ok(());
            };
            self.url = self.url.join(&next)?;
            if self.stops.iter().any(|stop| self.url.as_str().starts_with(stop)) {
                self.body.clear();
                return Ok(());
            }
            request = self.client.get(self.url.clone());
        }
        Err(BrowserError::Circles)
    }
}

/// The forms of a page.
#[must_use]
pub fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for part in html.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap_or((part, ""));
        let name = tag.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or_default();
        let value = |wanted: &str| attribute(tag, wanted).unwrap_or_default();
        match (name, forms.last_mut().filter(|_| open)) {
            ("form", _) => {
                open = true;
                forms.push(Form { method: value("method"), action: value("action"), ..Form::default() });
            }
            ("", Some(_)) if tag == "/form" => open = false,
            ("textarea", Some(form)) => form.inputs.push((value("name"), decoded(text))),
            ("input", Some(form)) => match value("type").as_str() {
                "submit" => {
                    form.buttons.push(Button { name: value("name"), value: value("value"), text: value("value") });
                }
                "checkbox" | "radio" if attribute(tag, "checked").is_none() => {}
                _ => form.inputs.push((value("name"), value("value"))),
            },
            ("button", Some(form)) => {
                form.buttons.push(Button { name: value("name"), value: value("value"), text: decoded(text) });
            }
            _ => {}
        }
    }
    forms
}

/// An attribute's value; empty where it has none.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag.split_once(char::is_whitespace)?.1.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let (value, after) = match after.strip_prefix("=\"").and_then(|quoted| quoted.split_once('"')) {
            Some(pair) => pair,
            None if after.starts_with('=') => after[1..].split_once(char::is_whitespace).unwrap_or((&after[1..], "")),
            None => ("", after),
        };
        if name == wanted {
            return Some(decoded(value));
        }
        rest = after.trim_start();
    }
    None
}

fn decoded(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_a_person_would_send_it() {
        let html = r#"<input name="stray"><form method="post" action="/go?a=1&amp;b=2">
            <input type="hidden" name="token" value="x&quot;y"><input type=checkbox name="no">
            <textarea name="why">because</textarea>
            <button type="submit" name="person" value="ana@acme.dev">Ana <small>dba</small></button></form>
            <form><input type="submit" value="Find"></form>"#;
        let forms = forms(html);
        assert_eq!(forms.len(), 2);
        assert_eq!((forms[0].method.as_str(), forms[0].action.as_str()), ("post", "/go?a=1&b=2"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(forms[0].inputs, [pair("token", "x\"y"), pair("why", "because")]);
        assert_eq!(forms[0].buttons[0].value, "ana@acme.dev");
        assert_eq!(forms[1].buttons[0].text, "Find");
    }
}
