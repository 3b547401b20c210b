//! Whoever keeps the identities calls, over the whole gateway.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use countersign_shared::{
    api::{DecisionBody, Problem},
    ids::SessionId,
    request::Choice,
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::schema::{GROUP, USER};
use crate::{
    approval::{house::House, take::take},
    config::ScimTokens,
    control,
    sessions::Place,
};

const TOKEN: &str = "a-token-of-the-directory";
const CONNECT: &str = r#"
permit (principal, action == Action::"connect", resource) when {
  principal in Group::"engineering" || principal in Group::"dba" || principal in Group::"contractors" };
"#;

struct Directory {
    house: House,
    app: Router,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Directory {
    async fn open() -> Self {
        let house = House::with(|config| config.scim = Some(ScimTokens::of([TOKEN]))).await;
        let policies = crate::approval::house::policies(&format!("{}{CONNECT}", crate::approval::house::POLICY));
        house.policies.send_replace(std::sync::Arc::new(policies));
        let app = control::router(house.gateway.clone());
        Self { house, app }
    }

    async fn sends(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:6480");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 22).await.unwrap();
        Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    async fn calls_with(&self, method: &str, path: &str, more: &[(&str, &str)], body: &Value) -> Answer {
        let bearer = format!("Bearer {TOKEN}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/scim+json")];
        headers.extend(more);
        self.sends(method, &format!("/scim/v2{path}"), &headers, &body.to_string()).await
    }

    async fn calls(&self, method: &str, path: &str, body: Value) -> Answer {
        self.calls_with(method, path, &[], &body).await
    }

    async fn creates(&self, name: &str, subject: &str) -> String {
        let user = json!({ "schemas": [USER], "userName": format!("{name}@Acme.dev"), "externalId": subject });
        let made = self.calls("POST", "/Users", user).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    }

    async fn groups(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({ "schemas": [GROUP], "displayName": name, "members": members });
        let made = self.calls("POST", "/Groups", group).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    }

    async fn patches(&self, path: &str, operation: Value) {
        let patched = self.calls("PATCH", path, patch_of(operation)).await;
        assert_eq!(patched.status, 200, "{}", patched.body);
    }

    async fn token_is_good(&self, who: &str) -> bool {
        let bearer = format!("Bearer {}", self.house.token(who));
        match self.sends("GET", "/v1/sessions", &[("authorization", &bearer)], "").await.status {
            200 => true,
            403 => false,
            other => panic!("{other}"),
        }
    }
}

fn patch_of(operation: Value) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] })
}

fn reason(place: &Place) -> Option<String> {
    place.killed().map(|kill| kill.reason)
}

#[tokio::test]
async fn only_holders_of_the_token_are_answered() {
    let directory = Directory::open().await;
    let ana = directory.house.token("ana@acme.dev");
    let bot = directory.house.bot_token();
    let bearers = [
        ("nobody", None),
        ("an empty one", Some("Bearer ".to_owned())),
        ("another", Some("Bearer a-token-of-the-directorx".to_owned())),
        ("more", Some(format!("Bearer {TOKEN}x"))),
        ("another scheme", Some(format!("Basic {TOKEN}"))),
        ("bare", Some(TOKEN.to_owned())),
        ("a person", Some(format!("Bearer {ana}"))),
        ("the bot", Some(format!("Bearer {bot}"))),
    ];
    for path in ["/Users", "/Users/x", "/Groups", "/ServiceProviderConfig", "/Schemas", "/nothing", ""] {
        for (who, bearer) in &bearers {
            let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
            let answer = directory.sends("GET", &format!("/scim/v2{path}"), &headers, "").await;
            assert_eq!(answer.status, 401, "{who}: {path}");
        }
        let both = [("authorization", format!("Bearer {TOKEN}")), ("authorization", format!("Bearer {TOKEN}"))];
        let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(directory.sends("GET", &format!("/scim/v2{path}"), &both, "").await.status, 401, "two: {path}");
    }
    let foreign = [("authorization", "Bearer a-token-of-the-directory")];
    let at = control::public_router(directory.house.gateway.clone());
    let request = Request::get("/scim/v2/Users").header(header::HOST, "127.0.0.1").header(foreign[0].0, foreign[0].1);
    assert_eq!(at.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status(), StatusCode::OK);

    let without = House::open().await;
    let request = Request::get("/scim/v2/Users").header(header::HOST, "127.0.0.1").header(foreign[0].0, foreign[0].1);
    let answer = control::router(without.gateway.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND, "it is off without a token in the config");
}

#[tokio::test]
async fn a_user_lives_by_versions() {
    let directory = Directory::open().await;
    let id = directory.creates("Ana", "1").await;
    let path = format!("/Users/{id}");
    let read = directory.calls("GET", &path, Value::Null).await;
    assert_eq!((read.status, read.body["userName"].as_str()), (200, Some("Ana@Acme.dev")));
    assert_eq!(read.headers[header::CONTENT_TYPE], "application/scim+json");
    assert_eq!(read.headers[header::ETAG].to_str().unwrap(), read.body["meta"]["version"].as_str().unwrap());
    let location = format!("http://127.0.0.1:6480/scim/v2/Users/{id}");
    assert_eq!(read.body["meta"]["location"], location.as_str());
    let same = directory.calls_with("GET", &path, &[("if-none-match", "W/\"1\"")], &Value::Null).await;
    assert_eq!(same.status, 304);

    let rename = patch_of(json!({ "op": "replace", "path": "displayName", "value": "Ana" }));
    let other = directory.calls_with("PATCH", &path, &[("if-match", "W/\"7\"")], &rename).await;
    assert_eq!((other.status, directory.calls("GET", &path, Value::Null).await.body), (412, read.body.clone()));
    let fits = directory.calls_with("PATCH", &path, &[("if-match", "W/\"6\", W/\"1\"")], &rename).await;
    assert_eq!((fits.status, fits.body["meta"]["version"].as_str()), (200, Some("W/\"2\"")));
    let again = directory.calls("PATCH", &path, rename).await;
    assert_eq!(again.body["meta"]["version"], "W/\"2\"", "what changes nothing is no version");

    let off =
        directory.calls("PATCH", &path, patch_of(json!({ "op": "Replace", "path": "active", "value": "False" }))).await;
    assert_eq!(off.body["active"], false);
    let put = json!({ "schemas": [USER], "userName": "ana@acme.dev" });
    let put = directory.calls("PUT", &path, put).await;
    assert_eq!((put.status, &put.body["active"]), (200, &json!(false)), "silence lets nobody in");
    assert_eq!((put.body.get("displayName"), put.body.get("externalId")), (None, None));
    assert_eq!(directory.calls_with("DELETE", &path, &[("if-match", "W/\"1\"")], &Value::Null).await.status, 412);
    assert_eq!(directory.calls("DELETE", &path, Value::Null).await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(directory.calls(method, &path, Value::Null).await.status, 404, "{method}");
    }
    directory.groups("team", &[]).await;
    directory.creates("ben", "2").await;
    for (filter, total) in [("userName sw \"b\"", 1), ("displayName eq \"Team\"", 1), ("meta.version pr", 2)] {
        let found = directory.calls("POST", "/.search", json!({ "filter": filter, "count": 1 })).await;
        assert_eq!(found.body["totalResults"], total, "{filter}: {}", found.body);
    }
    let log = directory.house.log_text();
    assert!(log.contains("\"directory\"") && log.contains("ana@acme.dev") && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn garbage_changes_nothing() {
    let directory = Directory::open().await;
    let ana = directory.creates("ana", "1").await;
    let ben = directory.creates("ben", "2").await;
    let team = directory.groups("team", &[&ana]).await;
    let all = async || {
        let users = directory.calls("GET", "/Users", Value::Null).await.body;
        (users, directory.calls("GET", "/Groups", Value::Null).await.body)
    };
    let before = all().await;
    let user = |more: Value| {
        let mut user = json!({ "schemas": [USER], "userName": "zoe@acme.dev" });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        user.to_string()
    };
    let group = |more: Value| {
        let mut group = json!({ "schemas": [GROUP], "displayName": "other" });
        group.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        group.to_string()
    };
    let op = |operation: Value| patch_of(operation).to_string();
    let (at_ana, at_team) = (format!("/Users/{ana}"), format!("/Groups/{team}"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    #[rustfmt::skip]
    let table: Vec<(&str, &str, String, u16, &str)> = vec![
        ("POST", "/Users", String::new(), 400, "invalidSyntax"),
        ("POST", "/Users", "{".into(), 400, "invalidSyntax"),
        ("POST", "/Users", "[]".into(), 400, "invalidSyntax"),
        ("POST", "/Users", deep, 400, "invalidSyntax"),
        ("POST", "/Users", json!({ "userName": "zoe@acme.dev" }).to_string(), 400, "invalidSyntax"),
        ("POST", "/Users", json!({ "schemas": [USER] }).to_string(), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "userName": "" })), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "userName": " zoe@acme.dev" })), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "userName": "x".repeat(300) })), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "userName": "zoe\n@acme.dev" })), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "active": "perhaps" })), 400, "invalidValue"),
        ("POST", "/Users", user(json!({ "userName": "ANA@acme.dev" })), 409, "uniqueness"),
        ("POST", "/Users", user(json!({ "externalId": "1" })), 409, "uniqueness"),
        ("POST", "/Users?count=1", "x".repeat(2 << 20), 413, ""),
        ("PUT", &at_ana, user(json!({ "userName": "ben@acme.dev" })), 409, "uniqueness"),
        ("PUT", "/Users/nobody", user(json!({})), 404, ""),
        ("PATCH", &at_ana, op(json!({ "op": "remove", "path": "userName" })), 400, "mutability"),
        ("PATCH", &at_ana, op(json!({ "op": "replace", "path": "userName", "value": null })), 400, "invalidValue"),
        ("PATCH", &at_ana, op(json!({ "op": "replace", "path": "active", "value": null })), 400, "invalidValue"),
        ("PATCH", &at_ana, op(json!({ "op": "replace", "path": "userName", "value": "ben@acme.dev" })), 409, "uniqueness"),
        ("PATCH", &at_ana, op(json!({ "op": "replace", "path": "groups", "value": [] })), 400, "mutability"),
        ("PATCH", &at_ana, json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
            { "op": "replace", "path": "active", "value": false }, { "op": "replace", "path": "nothing", "value": 1 } ] }).to_string(),
            400, "invalidPath"),
        ("PATCH", "/Users/nobody", op(json!({ "op": "remove", "path": "name" })), 404, ""),
        ("POST", "/Groups", json!({ "schemas": [GROUP] }).to_string(), 400, "invalidValue"),
        ("POST", "/Groups", group(json!({ "displayName": "TEAM" })), 409, "uniqueness"),
        ("POST", "/Groups", group(json!({ "members": [{ "value": "nobody" }] })), 400, "invalidValue"),
        ("POST", "/Groups", group(json!({ "members": [{ "type": "User" }] })), 400, "invalidValue"),
        ("POST", "/Groups", group(json!({ "members": [{ "value": team, "type": "Group" }] })), 400, "invalidValue"),
        ("POST", "/Groups", group(json!({ "members": "all" })), 400, "invalidValue"),
        ("PATCH", &at_team, op(json!({ "op": "add", "path": "members", "value": [{ "value": ben }, { "value": "nobody" }] })), 400, "invalidValue"),
        ("PATCH", &at_team, op(json!({ "op": "remove", "path": "displayName" })), 400, "mutability"),
        ("GET", "/Users?filter=userName+is+%22x%22", String::new(), 400, "invalidFilter"),
        ("GET", "/Users?count=x", String::new(), 400, "invalidValue"),
        ("GET", "/Users?attributes=userName&excludedAttributes=name", String::new(), 400, "invalidValue"),
        ("GET", "/Users/%2e%2e%2fGroups", String::new(), 404, ""),
        ("GET", "/Nothing", String::new(), 404, ""),
        ("GET", "/Schemas?filter=x", String::new(), 403, ""),
        ("POST", "/.search", "[]".into(), 400, "invalidSyntax"),
        ("POST", "/.search", json!({ "filter": "nothing pr" }).to_string(), 400, "invalidFilter"),
        ("POST", "/Bulk", "{}".into(), 404, ""),
        ("DELETE", "/Users", String::new(), 405, ""),
        ("PUT", "/Schemas", "{}".into(), 405, ""),
    ];
    let bearer = format!("Bearer {TOKEN}");
    for (method, path, body, status, word) in table {
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json; charset=utf-8")];
        let answer = directory.sends(method, &format!("/scim/v2{path}"), &headers, &body).await;
        let body: String = body.chars().take(200).collect();
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.body["scimType"].as_str().unwrap_or_default(), word, "{method} {path} {body}");
        assert_eq!(answer.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
        assert_eq!(answer.body["status"], status.to_string());
        assert_eq!(all().await, before, "{method} {path} {body}");
    }
    let headers = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
    let plain = directory.sends("POST", "/scim/v2/Users", &headers, &user(json!({}))).await;
    assert_eq!((plain.status, all().await), (415, before));
}

#[tokio::test]
async fn whoever_is_deactivated_is_out_at_once_with_their_agents() {
    let directory = Directory::open().await;
    let house = &directory.house;
    let (priya, ana) = (directory.creates("priya", "3").await, directory.creates("ana", "1").await);
    let sessions: Vec<(SessionId, Place)> =
        ["priya@acme.dev", "deploy", "ana@acme.dev"].into_iter().map(|who| house.session(who)).collect();
    let at = format!("/Users/{priya}");
    let active = |active: bool| json!({ "op": "replace", "value": { "active": active } });
    directory.patches(&at, active(true)).await;
    assert!(sessions.iter().all(|(_, place)| place.killed().is_none()));

    // She approves; then she is gone, and it counts no more.
    let request = house.ana_deletes().await;
    let body = DecisionBody { choice: Choice::Approve, digest: request.digest, reason: None, allow: None };
    directory.patches(&at, active(false)).await;
    let told: Vec<_> = sessions.iter().map(|(_, place)| reason(place)).collect();
    assert_eq!(told[0].as_deref(), Some("priya@acme.dev was deactivated"));
    assert_eq!(told[1].as_deref(), Some("priya@acme.dev, who answers for deploy, was deactivated"));
    assert_eq!(told[2], None, "others go on");
    let refused: Result<_, Problem> = take(&house.gateway, &house.chooser("priya@acme.dev"), &request.id, &body).await;
    assert_eq!(refused.unwrap_err().code, "forbidden");
    for who in ["priya@acme.dev", "deploy"] {
        assert!(!directory.token_is_good(who).await, "{who}");
    }
    assert!(directory.token_is_good("ana@acme.dev").await);
    assert!(directory.token_is_good("ben@acme.dev").await, "whom the directory does not know is let in by token");
    directory.patches(&at, active(true)).await;
    assert!(directory.token_is_good("priya@acme.dev").await && directory.token_is_good("deploy").await);
    take(&house.gateway, &house.chooser("priya@acme.dev"), &request.id, &body).await.expect("she may again");

    assert_eq!(directory.calls("DELETE", &format!("/Users/{ana}"), Value::Null).await.status, 204);
    assert_eq!(reason(&sessions[2].1).as_deref(), Some("ana@acme.dev was deleted"));
    assert!(!directory.token_is_good("ana@acme.dev").await, "the old token is no way back");
    directory.creates("ana", "1").await;
    assert!(directory.token_is_good("ana@acme.dev").await, "created anew");
}

#[tokio::test]
async fn an_approval_of_somebody_who_is_gone_counts_no_more() {
    let directory = Directory::open().await;
    let house = &directory.house;
    let priya = directory.creates("priya", "3").await;
    let request =
        house.asks(house.human("ana@acme.dev"), &["engineering"], crate::statement::effect::Action::Create).await;
    let body = DecisionBody { choice: Choice::Approve, digest: request.digest, reason: None, allow: None };
    take(&house.gateway, &house.chooser("priya@acme.dev"), &request.id, &body).await.expect("one of two");
    let counted = async || {
        let stored = house.request(&request.id).await;
        crate::approval::count::countersigners(&house.gateway, &stored, chrono::Utc::now()).await.unwrap().len()
    };
    assert_eq!(counted().await, 1);
    directory.patches(&format!("/Users/{priya}"), json!({ "op": "Replace", "path": "active", "value": "False" })).await;
    assert_eq!(counted().await, 0);
}

#[tokio::test]
async fn groups_of_the_directory_count_and_end() {
    let directory = Directory::open().await;
    let house = &directory.house;
    let ben = directory.creates("ben", "2").await;
    let sees_requests = async || {
        let bearer = format!("Bearer {}", house.token("ben@acme.dev"));
        let _hers = house.ana_deletes().await;
        let listed = directory.sends("GET", "/v1/requests?state=pending", &[("authorization", &bearer)], "").await;
        listed.body.as_array().unwrap().len()
    };
    assert_eq!(sees_requests().await, 0, "an engineer decides on nothing");
    let dba = directory.groups("dba", &[&ben]).await;
    assert!(sees_requests().await > 0, "a DBA by the directory");
    assert_eq!(house.gateway.store.person("ben@acme.dev").await.unwrap().unwrap().groups, ["engineering", "dba"]);
    let groups_of_ben = directory.calls("GET", &format!("/Users/{ben}"), Value::Null).await.body["groups"].clone();
    assert_eq!((&groups_of_ben[0]["display"], &groups_of_ben[0]["value"]), (&json!("dba"), &json!(dba)));

    let (_id, place) = house.session_with("ben@acme.dev", &["engineering", "dba"]);
    directory
        .patches(&format!("/Groups/{dba}"), json!({ "op": "Remove", "path": "members", "value": [{ "value": ben }] }))
        .await;
    assert_eq!(place.narrowed(), Some(vec!["engineering".to_owned()]));
    assert_eq!(reason(&place), None, "he may still connect");
    assert_eq!(sees_requests().await, 0);

    let guests = directory.groups("contractors", &[&ben]).await;
    let (_id, place) = house.session_with("ben@acme.dev", &["contractors"]);
    directory
        .patches(&format!("/Groups/{guests}"), json!({ "op": "replace", "path": "displayName", "value": "Guests" }))
        .await;
    assert_eq!(reason(&place).as_deref(), Some("ben@acme.dev lost a group that this session needs"));
}
