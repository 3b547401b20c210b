//! Access for a time, as somebody asks for it by the control API.

use countersign_shared::{
    api::{AccessAnswer, GrantView, Problem},
    request::Choice,
};
use reqwest::Method;
use serde_json::{Value, from_value, json};

use super::Story;

impl Story {
    pub async fn calls(&self, who: &str, method: Method, path: &str, body: Option<Value>) -> Result<Value, Problem> {
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let url = self.world.facts.control.join(path).expect("an address");
        let token = self.world.idp.token_for(who).expect("a token");
        let mut request = client.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let good = answer.status().is_success();
        let text = answer.text().await.expect("a body");
        let unreadable = |error| -> ! { panic!("{error}: {text}") };
        if good {
            Ok(serde_json::from_str(&text).unwrap_or_else(|error| unreadable(error)))
        } else {
            Err(serde_json::from_str(&text).unwrap_or_else(|error| unreadable(error)))
        }
    }

    /// Asks for a role on the shop.
    pub async fn asks_for(&self, who: &str, role: &str, duration: &str) -> Result<AccessAnswer, Problem> {
        let body = json!({ "connection": "shop", "role": role, "duration": duration, "reason": "INC-42" });
        let answer = self.calls(who, Method::POST, "v1/access", Some(body)).await?;
        Ok(from_value(answer).expect("an answer"))
    }

    /// Asks for more time.
    pub async fn asks_for_more(&self, who: &str, grant: &str, duration: &str) -> Result<AccessAnswer, Problem> {
        let body = json!({ "duration": duration, "reason": "not done yet" });
        let answer = self.calls(who, Method::POST, &format!("v1/grants/{grant}/extend"), Some(body)).await?;
        Ok(from_value(answer).expect("an answer"))
    }

    /// Asks for a role, which priya approves; the grant's id.
    pub async fn is_granted(&self, who: &str, role: &str, duration: &str) -> String {
        let answer = self.asks_for(who, role, duration).await.expect("a request");
        let request = answer.request.expect("somebody is asked").id;
        self.decides("priya", request.as_str(), Choice::Approve).await.expect("an approval");
        let grants = self.grants(who).await;
        grants.into_iter().find(|grant| grant.role == role).expect("a grant").id.to_string()
    }

    /// The grants that `who` sees.
    pub async fn grants(&self, who: &str) -> Vec<GrantView> {
        let list = self.calls(who, Method::GET, "v1/grants", None).await.expect("a list");
        from_value(list).expect("a list of grants")
    }

    /// Ends a grant.
    pub async fn ends_grant(&self, who: &str, grant: &str) -> Result<GrantView, Problem> {
        let grant = self.calls(who, Method::DELETE, &format!("v1/grants/{grant}"), None).await?;
        Ok(from_value(grant).expect("a grant"))
    }
}
