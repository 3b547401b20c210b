//! A question from somebody who may decide: to the session that waits, and into the thread of the card. It decides
//! nothing, prolongs nothing, and voids nothing.

use chrono::Utc;
use countersign_shared::{
    api::{Problem, QuestionAsked},
    duties::{self, Human},
    ids::RequestId,
    question::LONGEST,
    request::State,
};
use serde_json::json;

use super::{release::entry, say, take::may_approve, view::view};
use crate::{
    log::Kind,
    runtime::Gateway,
    store::{
        Request, StoreError,
        questions::{Kept, Question},
    },
};

/// So many questions one person may ask about one request.
pub const MOST: u32 = 10;

/// Passes `text` of `who` on, if they may decide on the request `id` and it waits. The same text again is passed on
/// once.
///
/// # Errors
/// Why it was not passed on, for the one who asked.
pub async fn ask(
    gateway: &Gateway,
    who: &Human,
    groups: &[String],
    id: &RequestId,
    text: &str,
) -> Result<QuestionAsked, Problem> {
    let now = Utc::now();
    let failed = |error: StoreError| say::store(&error, id);
    let text = text.trim();
    if !text.chars().any(char::is_alphanumeric) && !text.contains('?') {
        return Err(say::no_question());
    }
    if text.chars().count() > LONGEST {
        return Err(say::question_too_long());
    }
    if let Some(how) = gateway.store.gone(who).await.map_err(failed)? {
        return Err(say::store(&StoreError::Gone { principal: who.principal.clone(), how }, id));
    }
    let request = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
    let asked = &request.new.asked;
    duties::may_countersign(who, &asked.asker.human).map_err(say::own_question)?;
    if !may_approve(&gateway.policies(), asked, who, groups, now) {
        return Err(say::not_an_approver(&request.new.needed));
    }
    if request.state != State::Pending || now >= request.new.expires_at {
        return Err(say::no_question_any_more(&request));
    }
    let earlier = gateway.store.questions(id).await.map_err(failed)?;
    let mut own = earlier.iter().filter(|one| one.by.eq_ignore_ascii_case(&who.principal));
    if own.clone().any(|one| one.text == text) {
        return Ok(QuestionAsked {
            request: view(gateway, &request).await.map_err(failed)?,
            message: say::asked_before(),
        });
    }
    if own.nth(MOST as usize - 1).is_some() {
        return Err(say::too_many_questions(MOST));
    }
    let question = Question { request: id.clone(), by: who.principal.clone(), text: text.to_owned(), at: now };
    // Before it is on its way, as with decisions; what is refused below is said to be in the log, too.
    record(gateway, &request, &question, "asked").await?;
    let (outcome, message) = match gateway.store.keep_question(&question, MOST).await {
        Ok(Kept::As(_)) => {
            gateway.holds.ask(id);
            let after = gateway.store.request(id).await.map_err(failed)?.ok_or_else(|| say::not_found(id))?;
            let message = say::question_passed_on(&after.new);
            return Ok(QuestionAsked { request: view(gateway, &after).await.map_err(failed)?, message });
        }
        Ok(Kept::Before) => ("not passed on: asked before", Ok(say::asked_before())),
        Ok(Kept::TooMany) => ("not passed on: too many", Err(say::too_many_questions(MOST))),
        Err(StoreError::Over { .. }) => {
            let now = gateway.store.request(id).await.map_err(failed)?.unwrap_or_else(|| request.clone());
            ("not passed on: it was over", Err(say::no_question_any_more(&now)))
        }
        Err(error) => ("not passed on", Err(say::store(&error, id))),
    };
    record(gateway, &request, &question, outcome).await?;
    Ok(QuestionAsked { request: view(gateway, &request).await.map_err(failed)?, message: message? })
}

async fn record(gateway: &Gateway, request: &Request, question: &Question, outcome: &str) -> Result<(), Problem> {
    let mut entry = entry(Kind::Question, request);
    entry.principal = Some(question.by.clone());
    entry.outcome = Some(outcome.to_owned());
    entry.detail = json!({ "requester": request.new.asked.asker.human.principal, "question": question.text });
    gateway.log.append_durably(&entry).await.map_err(|down| {
        tracing::error!(error = %down, request = %request.new.id, "a question was not passed on");
        say::unavailable()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        approval::{house::House, take::take},
        statement::effect::Action,
    };
    use countersign_shared::{api::DecisionBody, request::Choice};

    async fn asks(house: &House, who: &str, id: &RequestId, text: &str) -> Result<QuestionAsked, Problem> {
        let who = house.chooser(who);
        ask(&house.gateway, &who.human, &who.groups, id, text).await
    }

    #[tokio::test]
    async fn a_question_decides_prolongs_and_voids_nothing() {
        let house = House::open().await;
        let request = house.ana_deletes().await;
        let before = house.request(&request.id).await;
        let waiting = house.gateway.holds.wait_for(&request.id);
        let asked = asks(&house, "priya@acme.dev", &request.id, " why now? ").await.unwrap();
        assert_eq!(asked.request.questions.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(), ["why now?"]);
        waiting.asked().await;
        assert_eq!(house.request(&request.id).await, before);
        let log = house.log_text();
        assert!(log.contains("\"question\"") && log.contains("why now?"), "{log}");
    }

    #[tokio::test]
    async fn who_may_ask_is_who_may_decide_and_only_while_it_waits() {
        let house = House::open().await;
        let request = house.ana_deletes().await;
        let code = async |who: &str, text: &str| asks(&house, who, &request.id, text).await.map_err(|no| no.code);
        let long = "?".repeat(LONGEST + 1);
        for (who, text, expected) in [
            ("ana@acme.dev", "why?", "own_request"),
            ("ben@acme.dev", "why?", "not_an_approver"),
            ("olu@acme.dev", "why?", "not_an_approver"),
            ("priya@acme.dev", " \n", "bad_request"),
            ("priya@acme.dev", "…", "bad_request"),
            ("priya@acme.dev", &long, "bad_request"),
        ] {
            assert_eq!(code(who, text).await.unwrap_err(), expected, "{who}: {text:?}");
        }
        assert_eq!(house.gateway.store.questions(&request.id).await.unwrap(), [], "nothing of it was passed on");
        for number in 0..MOST {
            code("priya@acme.dev", &format!("question {number}")).await.unwrap();
        }
        assert_eq!(code("priya@acme.dev", "one more?").await.unwrap_err(), "too_many");
        let again = asks(&house, "priya@acme.dev", &request.id, "question 3").await.unwrap();
        assert!(again.message.contains("already"), "{}", again.message);
        assert_eq!(house.gateway.store.questions(&request.id).await.unwrap().len(), MOST as usize);
        let body = DecisionBody { choice: Choice::Deny, digest: request.digest, reason: None, allow: None };
        take(&house.gateway, &house.chooser("priya@acme.dev"), &request.id, &body).await.unwrap();
        let over = asks(&house, "priya@acme.dev", &request.id, "and now?").await.unwrap_err();
        assert!(over.code == "over" && over.error.contains("no question any more: it was denied"), "{over:?}");
    }

    #[tokio::test]
    async fn an_agents_owner_does_not_ask_about_the_agents_request() {
        let house = House::open().await;
        let request = house.asks(house.agent(), &["ci"], Action::Delete).await;
        let refused = asks(&house, "priya@acme.dev", &request.id, "why?").await.unwrap_err();
        assert_eq!(refused.code, "own_request");
    }
}
