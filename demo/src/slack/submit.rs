//! Modals from the user's side: fill, submit, close.

use serde_json::{Map, Value, json};

use super::Workspace;
use super::act::{ActError, visible_view};
use super::api::views::{check_view, stack_height};
use super::blocks::all_options;
use super::deliver::{Attempt, Kind};
use super::message::View;
use super::payload;
use super::state::State;

/// What happened to a view that a user submitted.
#[derive(Clone, Debug, PartialEq)]
pub enum Submission {
    /// It closed.
    Closed,
    /// The whole stack closed.
    Cleared,
    /// It stays open with these complaints, by block id; the app's, or Slack's own about an empty field.
    Errors(Map<String, Value>),
    /// It shows something else now.
    Updated(View),
    /// Another one lies on top of it.
    Pushed(View),
}

impl Workspace {
    /// `user` fills a view's inputs, each named by its block id, and submits it. Inputs that are not named keep what
    /// they were given at first. Menus take an option's value, several separated by commas where several can be chosen.
    ///
    /// # Errors
    /// When there is no such view or input for them, or the app did not acknowledge or answered with nonsense.
    pub async fn submit_view(
        &self,
        user: &str,
        view_id: &str,
        values: &[(&str, &str)],
    ) -> Result<Submission, ActError> {
        let prepared = self.shared.change(|state| prepare(state, user, view_id, values))?;
        let payload = match prepared {
            Ok(payload) => payload,
            Err(errors) => return Ok(Submission::Errors(errors)),
        };
        let result = self.shared.deliver(Kind::Interactive, &payload, Attempt::default()).await;
        self.shared.change(|state| {
            let outcome = result.map_err(ActError::from).and_then(|answer| apply(state, view_id, &answer));
            if outcome.is_err() {
                state.notify(user, None, "We had some trouble connecting. Try again?".to_owned());
            }
            outcome
        })
    }

    /// `user` closes a view. The app hears of it if the view says `notify_on_close`.
    ///
    /// # Errors
    /// When they have no such view, or the app did not acknowledge.
    pub async fn close_view(&self, user: &str, view_id: &str) -> Result<(), ActError> {
        let payload = self.shared.change(|state| {
            let view = visible_view(state, user, view_id)?;
            let clears = view.content["clear_on_close"] == true;
            let notifies = view.content["notify_on_close"] == true;
            let payload = notifies.then(|| payload::view_closed(state, &view, clears));
            state.views.retain(|other| other.id != view.id && !(clears && other.root_view_id == view.root_view_id));
            Ok::<_, ActError>(payload)
        })?;
        if let Some(payload) = payload {
            self.shared.deliver(Kind::Interactive, &payload, Attempt::default()).await?;
        }
        Ok(())
    }
}

/// The payload to send, or the complaints that Slack's own client makes before it sends anything.
fn prepare(
    state: &mut State,
    user: &str,
    view_id: &str,
    values: &[(&str, &str)],
) -> Result<Result<Value, Map<String, Value>>, ActError> {
    let view = visible_view(state, user, view_id)?;
    let mut filled = payload::initial_values(view.blocks());
    for (block_id, value) in values {
        let block = view.blocks().iter().find(|block| block["block_id"] == *block_id && block["type"] == "input");
        let element = block.map(|block| &block["element"]).ok_or_else(|| no_input(&view, block_id))?;
        let action_id = element["action_id"].as_str().unwrap_or_default();
        let mut answer = chosen(element, value)?;
        answer["type"] = element["type"].clone();
        filled[*block_id][action_id] = answer;
    }
    let errors = complaints(&view, &filled);
    if !errors.is_empty() {
        remember_errors(state, view_id, &errors);
        return Ok(Err(errors));
    }
    Ok(Ok(payload::view_submission(state, &view, filled)))
}

fn no_input(view: &View, wanted: &str) -> ActError {
    let inputs = view.blocks().iter().filter(|block| block["type"] == "input");
    let present: Vec<&str> = inputs.filter_map(|block| block["block_id"].as_str()).collect();
    ActError::NoElement { wanted: wanted.to_owned(), present: present.join(", ") }
}

/// What the state holds once `value` is chosen or typed, without its `type`.
pub(super) fn chosen(element: &Value, value: &str) -> Result<Value, ActError> {
    let kind = element["type"].as_str().unwrap_or_default();
    let refuse = || ActError::NoOption {
        action_id: element["action_id"].as_str().unwrap_or_default().to_owned(),
        value: value.to_owned(),
    };
    let option = |value: &str| {
        let options = element.as_object().into_iter().flat_map(all_options);
        options.into_iter().find(|option| option["value"] == value).cloned().ok_or_else(refuse)
    };
    let slot = if kind == "overflow" { "selected_option" } else { payload::slot_of(kind).ok_or_else(refuse)?.0 };
    let parts = || value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let held = match slot {
        "selected_option" => option(value)?,
        "selected_options" => Value::Array(parts().map(option).collect::<Result<_, _>>()?),
        "selected_date_time" => json!(value.parse::<i64>().map_err(|_| refuse())?),
        slot if slot.ends_with('s') => json!(parts().collect::<Vec<_>>()),
        _ if value.is_empty() => Value::Null,
        _ => json!(value),
    };
    Ok(json!({slot: held}))
}

/// Required inputs are filled, and texts have the lengths that the view asks for.
fn complaints(view: &View, filled: &Value) -> Map<String, Value> {
    let mut errors = Map::new();
    for block in view.blocks().iter().filter(|block| block["type"] == "input") {
        let element = &block["element"];
        let (Some(id), Some(action)) = (block["block_id"].as_str(), element["action_id"].as_str()) else { continue };
        let kind = element["type"].as_str().unwrap_or_default();
        let Some((slot, _)) = payload::slot_of(kind) else { continue };
        let value = &filled[id][action][slot];
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        let length = value.as_str().map(|text| i64::try_from(text.chars().count()).unwrap_or(i64::MAX));
        let complaint = match length {
            _ if is_empty && block["optional"] == true => continue,
            _ if is_empty => "Please complete this required field.".to_owned(),
            Some(length) if element["min_length"].as_i64().is_some_and(|least| length < least) => {
                format!("Please enter at least {} characters.", element["min_length"])
            }
            Some(length) if length > element["max_length"].as_i64().unwrap_or(3000) => {
                format!("Please enter at most {} characters.", element["max_length"].as_i64().unwrap_or(3000))
            }
            _ => continue,
        };
        errors.insert(id.to_owned(), json!(complaint));
    }
    errors
}

fn remember_errors(state: &mut State, view_id: &str, errors: &Map<String, Value>) {
    if let Some(view) = state.views.iter_mut().find(|view| view.id == view_id) {
        view.errors = errors.clone();
    }
}

/// Does what the acknowledgement says, <https://docs.slack.dev/surfaces/modals#response_actions>.
fn apply(state: &mut State, view_id: &str, answer: &Value) -> Result<Submission, ActError> {
    let unusable = |what: &str| ActError::BadAnswer(what.to_owned());
    // The app may have updated or closed the view with a method while it decided.
    let view = state.views.iter().find(|view| view.id == view_id).cloned();
    match answer["response_action"].as_str() {
        None => {
            state.views.retain(|view| view.id != view_id);
            Ok(Submission::Closed)
        }
        Some("clear") => {
            let root = view.map(|view| view.root_view_id);
            state.views.retain(|view| Some(&view.root_view_id) != root.as_ref());
            Ok(Submission::Cleared)
        }
        Some("errors") => {
            let view = view.ok_or_else(|| unusable("errors for a view that is gone"))?;
            let errors = answer["errors"].as_object().filter(|errors| !errors.is_empty());
            let errors = errors.ok_or_else(|| unusable("errors without errors"))?.clone();
            let is_input =
                |id: &String| view.blocks().iter().any(|block| block["block_id"] == **id && block["type"] == "input");
            if let Some(id) = errors.keys().find(|id| !is_input(id)) {
                return Err(unusable(&format!("an error for {id}, which is not an input block of the view")));
            }
            remember_errors(state, view_id, &errors);
            Ok(Submission::Errors(errors))
        }
        Some(action @ ("update" | "push")) => {
            let content = check_view(answer["view"].clone())
                .map_err(|refused| unusable(&format!("{}: {}", refused.word, refused.details.join("; "))))?;
            let view = view.ok_or_else(|| unusable("a view that is gone"))?;
            if action == "push" {
                if stack_height(state, &view) >= 3 {
                    return Err(unusable("more than three views on each other"));
                }
                return Ok(Submission::Pushed(state.show_view(&view.user, content, Some(view_id))));
            }
            let view = state.change_view(view_id, content).ok_or_else(|| unusable("a view that is gone"))?;
            Ok(Submission::Updated(view))
        }
        Some(other) => Err(unusable(&format!("response_action {other}"))),
    }
}
