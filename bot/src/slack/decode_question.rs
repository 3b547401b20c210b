//! What Slack delivers of a question: the button that asks for one, and its form. Pure.

use countersign_shared::{ids::RequestId, question::LONGEST};
use serde_json::Value;

use super::decode::{Person, person, text};
use crate::cards::question::{self, Carried};

/// A press of Ask at a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionPress {
    /// The button's value.
    pub request: RequestId,
    /// Who.
    pub person: Person,
    /// Where.
    pub channel: Option<String>,
    /// For a private answer.
    pub response_url: Option<String>,
    /// For the form, within three seconds.
    pub trigger: Option<String>,
}

/// The submitted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuestionForm {
    /// What the press gave it.
    pub carried: Option<Carried>,
    /// As typed.
    pub question: Option<String>,
    /// Who.
    pub person: Person,
    /// The submission's own number.
    pub once: Option<String>,
}

/// Reads a press; `None` where it is none of these.
pub(super) fn press(payload: &Value) -> Option<QuestionPress> {
    let actions = payload.get("actions")?.as_array()?;
    let action = actions.iter().find(|action| action.get("action_id").and_then(Value::as_str) == Some("ask"))?;
    Some(QuestionPress {
        request: text(action, "/value")?.parse().ok()?,
        person: person(payload)?,
        channel: text(payload, "/channel/id").or_else(|| text(payload, "/container/channel_id")),
        response_url: text(payload, "/response_url"),
        trigger: text(payload, "/trigger_id"),
    })
}

/// Reads a submission; `None` where it is another form's.
pub(super) fn form(payload: &Value) -> Option<QuestionForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != question::CALLBACK {
        return None;
    }
    let typed = text(view, &format!("/state/values/{0}/{0}/value", question::QUESTION));
    let typed = typed.map(|typed| typed.trim().chars().take(LONGEST).collect::<String>());
    Some(QuestionForm {
        carried: text(view, "/private_metadata").and_then(|carried| serde_json::from_str(&carried).ok()),
        question: typed.filter(|typed| !typed.is_empty()),
        person: person(payload)?,
        once: text(view, "/id"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cards::samples,
        slack::decode::{Incoming, interaction},
    };

    #[test]
    fn a_press_and_its_form_say_who_asks_what_about_which_request() {
        let people = json!({ "team": { "id": "T1" }, "user": { "id": "U1" }, "channel": { "id": "C1" } });
        let person = Person { user: "U1".into(), team: Some("T1".into()) };
        let mut pressed = people.clone();
        pressed["type"] = json!("block_actions");
        pressed["trigger_id"] = json!("t");
        pressed["actions"] = json!([{ "action_id": "ask", "value": samples::id() }]);
        let press = QuestionPress {
            request: samples::id(),
            person: person.clone(),
            channel: Some("C1".into()),
            response_url: None,
            trigger: Some("t".into()),
        };
        assert_eq!(interaction(&pressed), Some(Incoming::Question(press)));
        let carried = Carried { request: samples::id(), channel: Some("C1".into()) };
        let mut submitted = people;
        submitted["type"] = json!("view_submission");
        submitted["view"] = question::form(&carried);
        submitted["view"]["id"] = json!("V1");
        for (typed, expected) in [(" Why now? ", Some("Why now?")), ("  ", None)] {
            submitted["view"]["state"] = json!({ "values": { "question": { "question": { "value": typed } } } });
            let form = QuestionForm {
                carried: Some(carried.clone()),
                question: expected.map(str::to_owned),
                person: person.clone(),
                once: Some("V1".into()),
            };
            assert_eq!(interaction(&submitted), Some(Incoming::QuestionForm(form)), "{typed:?}");
        }
    }
}
