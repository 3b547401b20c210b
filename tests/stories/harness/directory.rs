//! The directory: whoever keeps the identities, as it calls by SCIM.

use serde_json::{Value, json};

use super::Story;

/// With which it calls.
pub const TOKEN: &str = "a-token-of-the-directory";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

impl Story {
    /// The gateway alone, with a directory.
    pub async fn with_a_directory() -> Self {
        Self::with_a_directory_under("").await
    }

    /// The same, under one more policy.
    pub async fn with_a_directory_under(policy: &str) -> Self {
        Self::gateway_with(|config, folder| {
            std::fs::write(folder.join("policy/90-story.cedar"), policy).expect("a policy");
            std::fs::write(folder.join("scim.token"), TOKEN).expect("a file");
            format!("{config}\n[scim]\ntoken = {{ file = \"scim.token\" }}\n")
        })
        .await
    }

    /// What the directory's call answers.
    pub async fn directory(&self, method: &str, path: &str, body: Value) -> Value {
        let url = self.world.facts.control.join(&format!("scim/v2{path}")).expect("an address");
        let client = reqwest::Client::builder().no_proxy().build().expect("an HTTP client");
        let method = method.parse().expect("a method");
        let answer = client.request(method, url).bearer_auth(TOKEN).json(&body).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    /// Creates somebody who works here; their id.
    pub async fn directory_has(&self, who: &str) -> String {
        let person = self.world.idp.person(who).expect("somebody who works here");
        let user = json!({ "schemas": [USER], "userName": person.email, "externalId": person.subject, "active": true });
        self.directory("POST", "/Users", user).await["id"].as_str().expect("an id").to_owned()
    }

    /// Creates a group; its id.
    pub async fn directory_groups(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        self.directory("POST", "/Groups", group).await["id"].as_str().expect("an id").to_owned()
    }

    /// Changes something as Okta or Entra ID would.
    pub async fn directory_patches(&self, path: &str, operation: Value) {
        let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        self.directory("PATCH", path, json!({ "schemas": [schema], "Operations": [operation] })).await;
    }
}
