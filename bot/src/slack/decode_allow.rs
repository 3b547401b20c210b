//! What Slack delivers of an approval for a time: the form. Pure.

use countersign_shared::allow::{Parameters, Terms};
use serde_json::Value;

use super::decode::{Person, person, text};
use crate::cards::allow::{self, Carried};

/// The submitted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowForm {
    /// What the press gave it.
    pub carried: Option<Carried>,
    /// What was chosen; `None` where that can't be read.
    pub terms: Option<Terms>,
    /// Who.
    pub person: Person,
}

/// Reads a submission; `None` where it is another form's.
pub(super) fn form(payload: &Value) -> Option<AllowForm> {
    let view = payload.get("view")?;
    if view.get("callback_id")?.as_str()? != allow::CALLBACK {
        return None;
    }
    let chosen = |id: &str| text(view, &format!("/state/values/{id}/{id}/selected_option/value"));
    let [minutes, runs, rows, parameters] = allow::INPUTS.map(chosen);
    let parameters = match parameters.as_deref() {
        None | Some("pinned") => Some(Parameters::Pinned),
        Some("free") => Some(Parameters::Free),
        Some(_) => None,
    };
    let terms = || {
        Some(Terms {
            minutes: minutes?.parse().ok()?,
            runs: runs?.parse().ok()?,
            rows: rows?.parse().ok()?,
            parameters: parameters?,
        })
    };
    Some(AllowForm {
        carried: text(view, "/private_metadata").and_then(|carried| serde_json::from_str(&carried).ok()),
        terms: terms(),
        person: person(payload)?,
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
    fn a_form_says_who_allows_what_of_which_request() {
        let most = Terms { minutes: 60, runs: 20, rows: 500, parameters: Parameters::Free };
        let carried = Carried { request: samples::id(), digest: samples::digest(), channel: Some("C1".into()) };
        let mut submitted = json!({ "type": "view_submission", "team": { "id": "T1" }, "user": { "id": "U1" } });
        submitted["view"] = allow::form(&samples::view(), &most, &carried);
        let chosen = |value: &str| json!({ "selected_option": { "value": value } });
        let table = [
            (["30", "10", "100", "free"], Some(Terms { minutes: 30, runs: 10, rows: 100, ..most })),
            (["30", "10", "many", "free"], None),
            (["30", "-1", "100", "free"], None),
            (["30", "10", "100", "other"], None),
        ];
        for (values, terms) in table {
            let mut state = json!({});
            for (id, value) in allow::INPUTS.iter().zip(values) {
                state[id] = json!({ *id: chosen(value) });
            }
            submitted["view"]["state"] = json!({ "values": state });
            let person = Person { user: "U1".into(), team: Some("T1".into()) };
            let form = AllowForm { carried: Some(carried.clone()), terms, person };
            assert_eq!(interaction(&submitted), Some(Incoming::AllowForm(form)), "{values:?}");
        }
    }
}
