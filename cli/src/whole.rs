//! A request as one who decides must read it: all that the page and the card have.

use countersign_shared::api::{AllowanceView, Needed, RequestView, StepState, StepView, steps_so_far};

use crate::api::plain;

/// All of it, over as many lines as it takes. Nothing in it can be taken for another line of ours: what people and clients
/// wrote has its control characters escaped.
pub fn whole(view: &RequestView) -> String {
    let mut text = format!("{}  {}\n", view.id, view.state);
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:<12}{value}\n"));
    let who = match &view.owner {
        Some(owner) => format!("{}, an agent of {}", plain(&view.principal), plain(owner)),
        None => plain(&view.principal),
    };
    line("who", &who);
    let place: Vec<String> = [&view.application, &view.address].into_iter().flatten().map(|part| plain(part)).collect();
    line("on", &[&[view.connection.clone()][..], &place].concat().join(", "));
    line("why", &view.reason.as_deref().map_or_else(|| "nothing was said".to_owned(), plain));
    match &view.access {
        Some(access) => {
            let more = if access.extends.is_some() { "longer as" } else { "as" };
            line("access", &format!("{more} {} for {} minutes", plain(&access.role), access.seconds.div_ceil(60)));
        }
        None => line("statement", &plain(&view.sql)),
    }
    for (number, value) in (1..).zip(&view.parameters) {
        line(&format!("${number}"), &plain(value));
    }
    for impact in &view.impact {
        line("rows", &plain(&impact.sentence()));
        for (name, rows) in impact.sample.iter().flat_map(|rows| [("before", &rows.before), ("after", &rows.after)]) {
            rows.iter().for_each(|row| line(name, &plain(row)));
        }
    }
    for effect in &view.effects {
        line("effect", &plain(&format!("{} {}", effect.action, effect.object)));
    }
    for step in &view.steps {
        line("step", &stepped(step));
    }
    if let Some(so_far) = steps_so_far(&view.steps) {
        line("so far", &so_far);
    }
    for note in &view.notes {
        line("note", &plain(note));
    }
    if view.at_commit {
        line("note", "it has run in a transaction; what waits is its COMMIT");
    } else if view.in_transaction {
        line("note", "a transaction is open and waits along, with its locks");
    }
    line("needs", &needs(&view.needed));
    for approval in &view.approvals {
        line("approved", &format!("{} at {}", plain(&approval.approver), approval.at.format("%H:%M:%S UTC")));
    }
    for denial in &view.denials {
        let why = denial.reason.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
        line("denied", &format!("{} at {}{why}", plain(&denial.by), denial.at.format("%H:%M:%S UTC")));
    }
    for question in &view.questions {
        line("asked", &format!("{}: {}", plain(&question.by), plain(&question.text)));
    }
    if let Some(most) = &view.allowable {
        line("may be", &format!("allowed {}", most.sentence()));
    }
    if let Some(allowance) = &view.allowance {
        line("allowed", &allowed(allowance));
    }
    if let Some(outcome) = &view.outcome {
        let said = [&outcome.by, &outcome.reason, &outcome.tag, &outcome.error];
        let said: Vec<String> = said.into_iter().flatten().map(|part| plain(part)).collect();
        line("ended", &said.join(", "));
    } else {
        line("until", &view.expires_at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    }
    text.truncate(text.trim_end().len());
    text
}

fn needs(needed: &Needed) -> String {
    let people = if needed.count == 1 { "person" } else { "people" };
    let mut text = format!("{} {people}", needed.count);
    if !needed.groups.is_empty() {
        text.push_str(&format!(", one each of {}", plain(&needed.groups.join(", "))));
    }
    if !needed.from.is_empty() {
        text.push_str(&format!("; members of {} may approve", plain(&needed.from.join(", "))));
    }
    if needed.step_up {
        text.push_str("; a fresh sign-in");
    }
    text
}

/// What was allowed of it, and its runs.
pub fn allowed(allowance: &AllowanceView) -> String {
    let AllowanceView { terms, until, approved_by, state, taken, ended_by, ended_why, .. } = allowance;
    let by = ended_by.as_deref().map(|by| format!(" by {}", plain(by))).unwrap_or_default();
    let why = ended_why.as_deref().map(|why| format!(": {}", plain(why))).unwrap_or_default();
    let (until, approved) = (until.format("%H:%M:%S UTC"), plain(&approved_by.join(", ")));
    format!("{} by {approved} until {until}, {taken} taken; {state}{by}{why}", terms.sentence())
}

/// One statement of several, and where it is.
pub fn stepped(step: &StepView) -> String {
    let does: Vec<String> = step.does.iter().map(|one| plain(&format!("{} {}", one.action, one.object))).collect();
    let stands = match step.state {
        StepState::Free => "needs no approval",
        StepState::Waits => "has not been sent",
        StepState::Runs => "runs",
        StepState::Ran => "ran",
        StepState::Failed => "failed",
    };
    let outcome = step.outcome.as_deref().map(|outcome| format!(" ({})", plain(outcome))).unwrap_or_default();
    format!("{}. {}: {stands}{outcome}", step.number, does.join(", "))
}
