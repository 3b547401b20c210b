//! Every page that a person reads: plain HTML, no script.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use countersign_shared::{
    allow::{Parameters, Terms},
    api::{AllowanceView, RequestView, SlackRef, StepState, StepView},
    bot_token::SlackAccount,
    request::State,
};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::answer::Refused;
use crate::{config::values::spelled, identity::Identity, visible::visible};

/// What a page may load: nothing but its own style. Forms go back here only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1d2430;--soft:#5b6575;--paper:#fff;--ground:#f3f5f8;--line:#d5dbe3;--go:#0b6b3a;--stop:#a3262c}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#a3adbb;--paper:#1b2029;--ground:#12161c;--line:#353d49;--go:#2f9e63;--stop:#e0666b}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:46rem;margin:2rem auto;padding:1.5rem 2rem;background:var(--paper);border:1px solid var(--line);border-radius:.6rem}
h1{font-size:1.4rem;margin:0 0 1rem}h2{font-size:1rem;margin:1.5rem 0 .4rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem;margin:0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
pre{background:var(--ground);border:1px solid var(--line);border-radius:.4rem;padding:.8rem;white-space:pre-wrap;overflow-wrap:anywhere}
button,.button{display:inline-block;font:inherit;font-weight:600;padding:.6rem 1.2rem;border:0;border-radius:.4rem;color:#fff;background:var(--go);cursor:pointer;text-decoration:none;margin:.3rem .5rem .3rem 0}
button.stop{background:var(--stop)}:focus-visible{outline:3px solid #4b8bf5;outline-offset:2px}
textarea{width:100%;font:inherit;padding:.5rem;border:1px solid var(--line);border-radius:.4rem;background:var(--paper);color:var(--ink)}
.hint{color:var(--soft)}.accounts{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(16rem,1fr))}
.accounts section{border:1px solid var(--line);border-radius:.4rem;padding:1rem}.accounts h2{margin-top:0}";

fn page(status: StatusCode, title: &str, body: &Markup) -> Response {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " · Countersign" }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (body) } }
        }
    };
    let mut response = (status, html).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Something went wrong; as a page.
pub(super) struct Sorry(pub Refused);

impl<E: Into<Refused>> From<E> for Sorry {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Sorry {
    fn into_response(self) -> Response {
        let problem = &self.0.problem;
        let body = html! {
            p { (visible(&problem.error)) }
            @if let Some(hint) = &problem.hint { p.hint { (visible(hint)) } }
        };
        page(self.0.status, "That did not work", &body)
    }
}

/// Where there are several identity providers. Plain links: a form's target may not redirect away
/// under the page's own policy.
pub(super) fn choose_provider(path: &str, issuers: &[&str]) -> Response {
    let body = html! {
        p { "Choose where you sign in." }
        ul { @for (n, issuer) in issuers.iter().enumerate() {
            li { a.button href={ (path) "/with/" (n) } { "Sign in at " (issuer) } }
        } }
    };
    page(StatusCode::OK, "Sign in", &body)
}

/// Both accounts, before anything counts.
pub(super) fn confirm_link(nonce: &str, csrf: &str, slack: &SlackAccount, who: &Identity) -> Response {
    let differs = !mails_agree(slack, who);
    let body = html! {
        p { "Approvals that this Slack account gives will count as yours. Link them only if both are you." }
        div.accounts {
            section {
                h2 { "Slack" }
                dl {
                    dt { "Name" } dd { (visible(&slack.name)) }
                    dt { "E-mail" } dd { (slack.email.as_deref().map_or_else(|| "not shown by Slack".to_owned(), visible)) }
                    dt { "User" } dd { (visible(&slack.user)) }
                    dt { "Workspace" } dd { (visible(&slack.team)) }
                }
            }
            section {
                h2 { "Identity" }
                dl {
                    dt { "Signed in as" } dd { (visible(&who.human.principal)) }
                    dt { "At" } dd { (visible(&who.human.issuer)) }
                }
            }
        }
        @if differs {
            p { strong { "The two e-mail addresses differ." } " An administrator has to confirm this link before it counts." }
        }
        form method="post" action={ "/link/" (nonce) "/confirm" } {
            input type="hidden" name="csrf" value=(csrf);
            button type="submit" { "Link these accounts" }
        }
        p.hint { "Not you, or somebody sent you here? Close this page; nothing has been linked." }
    };
    page(StatusCode::OK, "Link your Slack account", &body)
}

/// Whether Slack and the provider know the person by the same address.
pub(super) fn mails_agree(slack: &SlackAccount, who: &Identity) -> bool {
    slack.email.as_deref().is_some_and(|mail| mail.eq_ignore_ascii_case(&who.human.principal))
}

/// After the button.
pub(super) fn linked(slack: &SlackRef, principal: &str, confirmed: bool) -> Response {
    let body = html! {
        p { "Slack user " strong { (visible(&slack.user)) } " of workspace " (visible(&slack.team)) " is now "
            strong { (visible(principal)) } "." }
        @if confirmed { p { "You can close this page and go back to Slack." } }
        @else { p { "The e-mail addresses differ, so this link waits for an administrator to confirm it: "
            code { "countersign users confirm-link " (visible(&slack.team)) "/" (visible(&slack.user)) " " (visible(principal)) } } }
    };
    page(StatusCode::OK, if confirmed { "Linked" } else { "Waits for an administrator" }, &body)
}

/// What a page's reader may do.
pub(super) struct May {
    /// Decide on the request.
    pub decide: bool,
    /// End what was allowed of it.
    pub end: bool,
}

/// A request whole, with what its reader may do.
pub(super) fn request(view: &RequestView, who: &Identity, csrf: &str, may: May) -> Response {
    let body = html! {
        dl {
            dt { "State" } dd { (view.state) }
            dt { "Asked by" } dd { (visible(&view.principal)) @if let Some(owner) = &view.owner { " (for " (visible(owner)) ")" } }
            dt { "On" } dd { (visible(&view.connection)) }
            @if let Some(reason) = &view.reason { dt { "Because" } dd { (visible(reason)) } }
            @if let Some(application) = &view.application { dt { "With" } dd { (visible(application)) } }
            @if let Some(address) = &view.address { dt { "From" } dd { (visible(address)) } }
            dt { "Ends at" } dd { (view.expires_at.format("%Y-%m-%d %H:%M:%S UTC")) }
            dt { "Approved by" } dd {
                @if view.approvals.is_empty() { "nobody yet" }
                @for approval in &view.approvals {
                    (visible(&approval.approver)) " "
                    @if let Some(allow) = &approval.allow { "(" (allow.sentence()) ") " }
                }
            }
            @if !view.denials.is_empty() {
                dt { "Denied by" } dd {
                    @for one in &view.denials {
                        (visible(&one.by)) @if let Some(reason) = &one.reason { ": " (visible(reason)) } ". "
                    }
                    @if view.denials_needed > 1 { (view.denials_needed) " denials end it." }
                }
            }
            dt { "You are" } dd { (visible(&who.human.principal)) }
        }
        @if let Some(access) = &view.access {
            h2 { "What would be given" }
            p {
                "The role " strong { (visible(&access.role)) } " for "
                strong { (spelled(std::time::Duration::from_secs(access.seconds))) }
                @if access.extends.is_some() { ", from now on; they have it already" } "."
            }
        } @else {
            h2 { "What would run" }
            pre { (visible(&view.sql)) }
        }
        @if !view.steps.is_empty() {
            h2 { "Statement by statement" }
            ol { @for step in &view.steps { li {
                @for effect in &step.does { (effect.action) " on " (visible(&effect.object)) "; " }
                strong { (stands(step)) }
                @if let Some(outcome) = &step.outcome { " (" (visible(outcome)) ")" }
            } } }
        }
        @if !view.parameters.is_empty() {
            h2 { "With the parameters" }
            ol { @for parameter in &view.parameters { li { pre { (visible(parameter)) } } } }
        }
        h2 { "What it does" }
        @if !view.impact.is_empty() { ul { @for one in &view.impact { li { strong { (visible(&one.sentence())) } } } } }
        @for one in &view.impact {
            @if let Some(sample) = &one.sample {
                h2 { "Some rows of " (visible(&one.table)) ", " (visible(&one.action)) }
                pre {
                    @for row in &sample.before { "before: " (visible(row)) "\n" }
                    @for row in &sample.after { "after:  " (visible(row)) "\n" }
                    @if let Some(missing) = &sample.missing { "(" (visible(missing)) ")" }
                }
            }
        }
        ul { @for effect in &view.effects { li { (effect.action) " on " (visible(&effect.object)) } } }
        @if !view.notes.is_empty() { ul { @for note in &view.notes { li { (visible(note)) } } } }
        @if view.in_transaction { p { "A transaction is open and waits along, with its locks." } }
        @if !view.questions.is_empty() {
            h2 { "What was asked" }
            ul { @for one in &view.questions { li { (visible(&one.by)) ": " (visible(&one.text)) } } }
        }
        @if let Some(outcome) = &view.outcome {
            @if let Some(by) = &outcome.by { p { "Ended by " (visible(by)) "." } }
            @if let Some(reason) = &outcome.reason { p { "Reason: " (visible(reason)) } }
        }
        @if let Some(allowance) = &view.allowance { (allowed(allowance)) }
        @if let (true, Some("open")) = (may.end, view.allowance.as_ref().map(|one| one.state.as_str())) {
            form method="post" action={ "/requests/" (view.id) } {
                input type="hidden" name="csrf" value=(csrf);
                button.stop type="submit" name="choice" value="end" { "End this" }
            }
        }
        @if let (true, State::Pending | State::Approved) = (may.decide, view.state) {
            form method="post" action={ "/requests/" (view.id) } {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="digest" value=(view.digest);
                label for="reason" { "Reason (for a denial)" }
                textarea id="reason" name="reason" rows="2" maxlength="2000" {}
                button type="submit" name="choice" value="approve" { "Approve" }
                button.stop type="submit" name="choice" value="deny" { "Deny" }
                @if let Some(most) = &view.allowable { (allow_form(view, most)) }
            }
        }
        p.hint { "Characters that can't be seen are shown as \\u{…}. Digest " (view.digest) }
    };
    page(StatusCode::OK, &format!("Request {}", view.id), &body)
}

/// What an approver may allow beyond one run, with what somebody allowed before filled in.
fn allow_form(view: &RequestView, most: &Terms) -> Markup {
    let given = view.approvals.iter().find_map(|approval| approval.allow).unwrap_or(*most);
    let number = |name: &str, label: &str, most: u64, value: u64| {
        html! {
            p {
                label for=(name) { (label) " (at most " (most) ") " }
                input id=(name) name=(name) type="number" min="1" max=(most) value=(value);
            }
        }
    };
    html! {
        h2 { "Or for a time" }
        p { "The same text by " (visible(&view.principal)) " on " (visible(&view.connection)) ", without anybody being asked \
             again. Each run is in the log under your approval; whoever may approve it can end this." }
        (number("minutes", "Minutes", most.minutes.into(), given.minutes.into()))
        (number("runs", "Runs, the one that waits among them", most.runs.into(), given.runs.into()))
        (number("rows", "Rows that a run may touch", most.rows, given.rows))
        @if !view.parameters.is_empty() && most.parameters == Parameters::Free {
            p {
                label for="parameters" { "Parameters " }
                select id="parameters" name="parameters" {
                    option value="pinned" { "just these values" }
                    option value="free" selected[given.parameters == Parameters::Free && given != *most] { "any values" }
                }
            }
        }
        button type="submit" name="choice" value="allow" { "Approve for this time" }
    }
}

/// What was allowed, and its runs.
/// Where one of several statements is.
const fn stands(step: &StepView) -> &'static str {
    match step.state {
        StepState::Free => "needs no approval",
        StepState::Waits => "has not been sent",
        StepState::Runs => "runs",
        StepState::Ran => "ran",
        StepState::Failed => "failed",
    }
}

fn allowed(allowance: &AllowanceView) -> Markup {
    html! {
        h2 { "Allowed " (allowance.terms.sentence()) }
        p {
            "By " @for by in &allowance.approved_by { (visible(by)) " " }
            "until " (allowance.until.format("%Y-%m-%d %H:%M:%S UTC")) "; " (allowance.taken) " taken. It is "
            strong { (allowance.state) }
            @if let Some(by) = &allowance.ended_by { ", by " (visible(by)) }
            @if let Some(why) = &allowance.ended_why { ": " (visible(why)) } "."
        }
        ul { @for run in &allowance.runs {
            li {
                "Run " (run.number) " at " (run.at.format("%H:%M:%S UTC")) ": "
                (run.outcome.as_deref().map_or_else(|| "not known yet".to_owned(), visible))
                @if run.discarded { " (does not count)" }
            }
        } }
    }
}

/// What came of a choice on a page.
pub(super) fn decided(view: &RequestView, message: &str) -> Response {
    let body = html! {
        p { (visible(message)) }
        p.hint { "Request " (view.id) " on " (visible(&view.connection)) " is " (view.state) "." }
    };
    page(StatusCode::OK, "Done", &body)
}
