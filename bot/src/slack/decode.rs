//! What Slack delivers, as far as the bot acts on it. Pure, and lenient about what it doesn't use.

use countersign_shared::{digest::Digest, ids::RequestId};
use serde_json::Value;

use super::{
    decode_access::{self, AskForm, GrantPress, HomeOpened, KeepForm},
    decode_allow::{self, AllowForm},
    decode_link::{self, LinkPress},
    decode_question::{self, QuestionForm},
    decode_request::{self, RequestPress},
    decode_review::{self, ReviewForm, ReviewPress},
};
use crate::cards::{allow::END, deny, request::read_block_id};

/// Something that a person did in Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A button of ours.
    Press(Press),
    /// The form for a denial's reason.
    DenyForm(DenyForm),
    /// The form that approves for a time.
    AllowForm(AllowForm),
    /// The button that ends what was allowed.
    End(RequestPress),
    /// The button that asks about a request.
    Question(RequestPress),
    /// The button that shows a request whole.
    Details(RequestPress),
    /// A button at a link that waits.
    Link(LinkPress),
    /// The form for that question.
    QuestionForm(QuestionForm),
    /// A button at a grant.
    Grant(GrantPress),
    /// The form that asks for access.
    AskForm(AskForm),
    /// The form that says why a grant shall stay.
    KeepForm(KeepForm),
    /// A button in a review.
    Review(ReviewPress),
    /// The form that says why a reviewed grant stays or goes.
    ReviewForm(ReviewForm),
    /// The home tab was opened.
    Home(HomeOpened),
    /// `/access …`.
    Command(Command),
}

impl Incoming {
    /// What Slack calls this very press, submission or command, where it may not count twice and the
    /// gateway can't tell by itself.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        match self {
            Self::Press(_) | Self::DenyForm(_) | Self::AllowForm(_) => None,
            Self::Question(press) | Self::Details(press) | Self::End(press) => press.trigger.as_deref(),
            Self::Link(press) => press.trigger.as_deref(),
            Self::QuestionForm(form) => form.once.as_deref(),
            Self::Grant(press) => press.trigger.as_deref(),
            Self::AskForm(form) => form.once.as_deref(),
            Self::KeepForm(form) => form.once.as_deref(),
            Self::Review(press) => press.trigger.as_deref(),
            Self::ReviewForm(form) => form.once.as_deref(),
            Self::Home(opened) => opened.once.as_deref(),
            Self::Command(command) => command.trigger.as_deref(),
        }
    }
}

/// Who did it, as the payload says; `users.info` is asked before it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// `U…`.
    pub user: String,
    /// Their workspace, where the payload names it.
    pub team: Option<String>,
}

/// A press of a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// `approve`, `allow`, `deny`, `withdraw`.
    pub action: String,
    /// The button's value.
    pub request: RequestId,
    /// The digest that the pressed message shows, if the payload tells.
    pub digest: Option<Digest>,
    /// Who.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// The pressed message.
    pub ts: Option<String>,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For a form, within three seconds.
    pub trigger: Option<String>,
}

/// A submitted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenyForm {
    /// What the press gave it; `None` where it came back without.
    pub carried: Option<deny::Carried>,
    /// What was typed.
    pub reason: Option<String>,
    /// Who.
    pub person: Person,
}

/// A slash command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What follows `/access`.
    pub text: String,
    /// Who.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For a form, within three seconds; the command's own number, too.
    pub trigger: Option<String>,
}

pub(super) fn text(value: &Value, path: &str) -> Option<String> {
    value.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

pub(super) fn person(payload: &Value) -> Option<Person> {
    let user = text(payload, "/user/id")?;
    // `team` is where the bot is installed; a stranger's own workspace is in `user`.
    let team = text(payload, "/user/team_id").or_else(|| text(payload, "/team/id"));
    Some(Person { user, team })
}

/// Reads an interaction payload; `None` where it is nothing of ours.
#[must_use]
pub fn interaction(payload: &Value) -> Option<Incoming> {
    match payload.get("type")?.as_str()? {
        "block_actions" => {
            let grant = || decode_access::press(payload).map(Incoming::Grant);
            let review = || decode_review::press(payload).map(Incoming::Review);
            let question = || decode_request::press(payload, "ask").map(Incoming::Question);
            let link = || decode_link::press(payload).map(Incoming::Link);
            let details = || decode_request::press(payload, "details").map(Incoming::Details);
            let end = || decode_request::press(payload, END).map(Incoming::End);
            press(payload)
                .map(Incoming::Press)
                .or_else(question)
                .or_else(end)
                .or_else(details)
                .or_else(link)
                .or_else(grant)
                .or_else(review)
        }
        "view_submission" => {
            let asks = || decode_access::ask_form(payload).map(Incoming::AskForm);
            let keeps = || decode_access::keep_form(payload).map(Incoming::KeepForm);
            let reviews = || decode_review::form(payload).map(Incoming::ReviewForm);
            let questions = || decode_question::form(payload).map(Incoming::QuestionForm);
            let allows = || decode_allow::form(payload).map(Incoming::AllowForm);
            form(payload)
                .map(Incoming::DenyForm)
                .or_else(allows)
                .or_else(questions)
                .or_else(asks)
                .or_else(keeps)
                .or_else(reviews)
        }
        _ => None,
    }
}

fn press(payload: &Value) -> Option<Press> {
    let actions = payload.get("actions")?.as_array()?;
    let action = actions.iter().find(|action| {
        matches!(action.get("action_id").and_then(Value::as_str), Some("approve" | "allow" | "deny" | "withdraw"))
    })?;
    let request: RequestId = text(action, "/value")?.parse().ok()?;
    Some(Press {
        action: text(action, "/action_id")?,
        digest: shown_digest(payload, action, &request),
        request,
        person: person(payload)?,
        channel: text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id")),
        ts: text(payload, "/container/message_ts").or_else(|| text(payload, "/message/ts")),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

/// The digest in the pressed row's `block_id`, else in the pressed message's rows. One that names
/// another request than the button does not count.
fn shown_digest(payload: &Value, action: &Value, request: &RequestId) -> Option<Digest> {
    if let Some((id, digest)) = text(action, "/block_id").and_then(|block_id| read_block_id(&block_id)) {
        return (id == *request).then_some(digest);
    }
    let blocks = payload.pointer("/message/blocks")?.as_array()?;
    let ids = blocks.iter().filter_map(|block| block.get("block_id")?.as_str());
    ids.filter_map(read_block_id).find(|(id, _)| id == request).map(|(_, digest)| digest)
}

fn form(payload: &Value) -> Option<DenyForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != deny::CALLBACK {
        return None;
    }
    let carried = text(view, "/private_metadata").and_then(|carried| serde_json::from_str(&carried).ok());
    let reason = text(view, &format!("/state/values/{0}/{0}/value", deny::REASON));
    let reason = reason.map(|reason| reason.trim().chars().take(deny::REASON_LIMIT).collect::<String>());
    Some(DenyForm { carried, reason: reason.filter(|reason| !reason.is_empty()), person: person(payload)? })
}

/// Reads a slash command: in Socket Mode a payload of JSON, over HTTP a form's fields.
#[must_use]
pub fn command(payload: &Value) -> Option<Incoming> {
    let person = Person { user: text(payload, "/user_id")?, team: text(payload, "/team_id") };
    Some(Incoming::Command(Command {
        text: text(payload, "/text").unwrap_or_default(),
        person,
        channel: text(payload, "/channel_id"),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cards::{request::block_id, samples};

    fn pressed() -> Value {
        json!({
            "type": "block_actions",
            "team": { "id": "T1", "domain": "acme" },
            "user": { "id": "U1", "team_id": "T1", "username": "priya" },
            "channel": { "id": "C1" },
            "container": { "type": "message", "message_ts": "1.2", "channel_id": "C1" },
            "trigger_id": "t",
            "response_url": "https://hooks.slack.com/x",
            "message": { "blocks": [] },
            "actions": [{
                "type": "button", "action_id": "approve", "value": "K7Q2AB9X",
                "block_id": block_id(&samples::id(), &samples::digest()),
            }],
        })
    }

    fn read(payload: &Value) -> Option<Press> {
        match interaction(payload)? {
            Incoming::Press(press) => Some(press),
            _ => None,
        }
    }

    #[test]
    fn a_press_carries_the_digest_that_its_card_showed() {
        let press = read(&pressed()).unwrap();
        assert_eq!((press.request, press.digest), (samples::id(), Some(samples::digest())));
        assert_eq!(press.person, Person { user: "U1".into(), team: Some("T1".into()) });
        assert_eq!((press.channel.as_deref(), press.ts.as_deref()), (Some("C1"), Some("1.2")));
    }

    #[test]
    fn without_a_block_id_in_the_action_the_message_tells() {
        let mut payload = pressed();
        payload["actions"][0]["block_id"] = json!("x");
        assert_eq!(read(&payload).unwrap().digest, None);
        payload["message"]["blocks"] = json!([{ "block_id": block_id(&samples::id(), &samples::digest()) }]);
        assert_eq!(read(&payload).unwrap().digest, Some(samples::digest()));
    }

    #[test]
    fn a_digest_of_another_request_does_not_count() {
        let mut payload = pressed();
        payload["actions"][0]["value"] = json!("OTHER123");
        payload["message"]["blocks"] = json!([{ "block_id": block_id(&samples::id(), &samples::digest()) }]);
        assert_eq!(read(&payload).unwrap().digest, None);
    }

    #[test]
    fn what_is_not_ours_is_nothing() {
        let mut table = vec![json!({}), json!({ "type": "shortcut" }), json!({ "type": "block_actions" }), json!(7)];
        for (path, value) in [("action_id", json!("open_page")), ("value", json!("../../x")), ("value", json!(null))] {
            let mut payload = pressed();
            payload["actions"][0][path] = value;
            table.push(payload);
        }
        for payload in table {
            assert_eq!(interaction(&payload), None, "{payload}");
        }
    }

    #[test]
    fn a_form_gives_back_what_it_carried() {
        let carried = deny::Carried { request: samples::id(), digest: samples::digest(), channel: Some("C1".into()) };
        let mut view = deny::form(&carried);
        view["state"] =
            json!({ "values": { "reason": { "reason": { "type": "plain_text_input", "value": " no " } } } });
        let payload =
            json!({ "type": "view_submission", "team": { "id": "T1" }, "user": { "id": "U1" }, "view": view });
        let person = Person { user: "U1".into(), team: Some("T1".into()) };
        let form = DenyForm { carried: Some(carried), reason: Some("no".into()), person };
        assert_eq!(interaction(&payload), Some(Incoming::DenyForm(form)));
    }

    #[test]
    fn a_command_has_its_text_and_its_person() {
        let payload = json!({ "user_id": "U1", "team_id": "T1", "text": "link", "response_url": "r", "channel_id": "C", "trigger_id": "t" });
        let person = Person { user: "U1".into(), team: Some("T1".into()) };
        let (channel, response_url, trigger) = (Some("C".into()), Some("r".into()), Some("t".into()));
        let expected = Command { text: "link".into(), person, channel, response_url, trigger };
        assert_eq!(command(&payload), Some(Incoming::Command(expected)));
        assert_eq!(command(&json!({})), None);
    }
}
