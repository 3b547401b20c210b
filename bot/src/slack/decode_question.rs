//! What Slack delivers of a question: the form that asks it. Pure.

use countersign_shared::question::LONGEST;
use serde_json::Value;

use super::decode::{Person, person, text};
use crate::cards::question::{self, Carried};

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
    fn a_form_says_who_asks_what_about_which_request() {
        let mut submitted = json!({ "team": { "id": "T1" }, "user": { "id": "U1" } });
        let person = Person { user: "U1".into(), team: Some("T1".into()) };
        let carried = Carried { request: samples::id(), channel: Some("C1".into()) };
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
