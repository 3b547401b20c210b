//! The control API, as somebody calls it with a token of theirs.

use countersign_shared::{
    allow::Terms,
    api::{DecisionBody, DecisionTaken, Problem, RequestView, SessionView},
    request::Choice,
};

use super::Story;

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("an HTTP client")
}

/// What an answer says, or why not.
async fn read(answer: reqwest::Response) -> Result<DecisionTaken, Problem> {
    let good = answer.status().is_success();
    let text = answer.text().await.expect("a body");
    let unreadable = |error| -> ! { panic!("{error}: {text}") };
    if good {
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| unreadable(error)))
    } else {
        Err(serde_json::from_str(&text).unwrap_or_else(|error| unreadable(error)))
    }
}

impl Story {
    /// A request as `who` sees it.
    pub async fn request(&self, who: &str, id: &str) -> RequestView {
        let url = self.world.facts.control.join(&format!("v1/requests/{id}")).expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        let answer = client().get(url).bearer_auth(token).send().await.expect("an answer");
        let text = answer.text().await.expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What waits, as `who` sees it.
    pub async fn waiting(&self, who: &str) -> Vec<RequestView> {
        let url = self.world.facts.control.join("v1/requests?state=pending").expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        let answer = client().get(url).bearer_auth(token).send().await.expect("an answer");
        answer.json().await.expect("a list")
    }

    /// Decides by the control API, on what `who` sees there.
    pub async fn decides(&self, who: &str, id: &str, choice: Choice) -> Result<DecisionTaken, Problem> {
        let view = self.request(who, id).await;
        self.decides_on(who, &view, choice).await
    }

    /// Approves by the control API for a time.
    pub async fn allows(&self, who: &str, id: &str, terms: Terms) -> Result<DecisionTaken, Problem> {
        let view = self.request(who, id).await;
        let body = DecisionBody { choice: Choice::Approve, digest: view.digest, reason: None, allow: Some(terms) };
        self.decides_with(who, id, &body).await
    }

    /// Ends what was allowed.
    pub async fn ends_allowance(&self, who: &str, id: &str) -> Result<DecisionTaken, Problem> {
        let url = self.world.facts.control.join(&format!("v1/requests/{id}/allowance")).expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        read(client().delete(url).bearer_auth(token).send().await.expect("an answer")).await
    }

    /// Decides by the control API on `view`, which somebody may have seen.
    pub async fn decides_on(&self, who: &str, view: &RequestView, choice: Choice) -> Result<DecisionTaken, Problem> {
        let body = DecisionBody { choice, digest: view.digest, reason: None, allow: None };
        self.decides_with(who, view.id.as_str(), &body).await
    }

    /// Decides by the control API.
    pub async fn decides_with(&self, who: &str, id: &str, body: &DecisionBody) -> Result<DecisionTaken, Problem> {
        let url = self.world.facts.control.join(&format!("v1/requests/{id}/decisions")).expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        read(client().post(url).bearer_auth(token).json(body).send().await.expect("an answer")).await
    }

    /// Ends every session that `who` may end.
    pub async fn ends_sessions(&self, who: &str) {
        let url = self.world.facts.control.join("v1/sessions").expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        let answer = client().get(url.clone()).bearer_auth(&token).send().await.expect("an answer");
        let sessions: Vec<SessionView> =
            serde_json::from_str(&answer.text().await.expect("a body")).expect("a list of sessions");
        for session in sessions {
            let answer = client().delete(format!("{url}/{}", session.id)).bearer_auth(&token).send().await;
            assert!(answer.expect("an answer").status().is_success());
        }
    }
}
