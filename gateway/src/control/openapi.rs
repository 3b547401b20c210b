//! `/v1/openapi.json`: what exists, for readers and generators.

use axum::response::Json;
use serde_json::{Map, Value, json};

/// One call: method, path, sentence, who may, body, what it answers.
struct Call(&'static str, &'static str, &'static str, &'static str, Option<&'static str>, u16, Option<&'static str>);

/// A form, and errors of its own (Back-Channel Logout 1.0, §2.5 and §2.8).
const SIGN_OUT: &str = "/signout/backchannel";

const CALLS: &[Call] = &[
    Call(
        "get",
        "/v1/requests",
        "Requests that the caller sees, the newest first",
        "user, agent, bot",
        None,
        200,
        Some("Requests"),
    ),
    Call("get", "/v1/requests/{id}", "One request", "user, agent, bot", None, 200, Some("Request")),
    Call(
        "post",
        "/v1/requests/{id}/decisions",
        "Approve, deny or withdraw",
        "user, or the bot with a signed click",
        Some("DecisionBody"),
        200,
        Some("DecisionTaken"),
    ),
    Call(
        "post",
        "/v1/requests/{id}/questions",
        "Ask the requester something; it decides nothing",
        "whoever may decide on it, or the bot for them",
        Some("QuestionBody"),
        200,
        Some("QuestionAsked"),
    ),
    Call(
        "post",
        "/v1/requests/{id}/park",
        "Let a held statement wait without its session",
        "its requester or an agent's owner, or the bot for them",
        None,
        200,
        Some("RequestParked"),
    ),
    Call(
        "delete",
        "/v1/requests/{id}/allowance",
        "End what was allowed of it beyond one run",
        "its requester, those who allowed it or may approve it, who administers its connection; or the bot for one of them",
        None,
        200,
        Some("DecisionTaken"),
    ),
    Call("put", "/v1/requests/{id}/card", "Say where the card was posted; once", "bot", Some("Card"), 204, None),
    Call(
        "post",
        "/v1/requests/{id}/audience",
        "Whether others read a channel than those who asked or may decide",
        "bot",
        Some("AudienceBody"),
        200,
        Some("AudienceView"),
    ),
    Call("put", "/v1/channels/{id}", "Say what a channel is called", "bot", Some("Channel"), 204, None),
    Call(
        "get",
        "/v1/access",
        "Roles that the caller may ask for",
        "user, agent, or the bot for a linked user",
        None,
        200,
        Some("AccessOptions"),
    ),
    Call(
        "post",
        "/v1/access",
        "Ask for a role: given at once, or a request that waits",
        "user, agent, or the bot for a linked user",
        Some("AccessBody"),
        201,
        Some("AccessAnswer"),
    ),
    Call(
        "get",
        "/v1/grants",
        "Grants that the caller sees, the newest first",
        "user, agent, bot",
        None,
        200,
        Some("Grants"),
    ),
    Call("get", "/v1/grants/{id}", "One grant", "user, agent, bot", None, 200, Some("Grant")),
    Call(
        "delete",
        "/v1/grants/{id}",
        "End a grant now, in running sessions too",
        "its holder, its approvers, or who administers its connection; or the bot for one of them",
        None,
        200,
        Some("Grant"),
    ),
    Call(
        "post",
        "/v1/grants/{id}/extend",
        "Ask for more time",
        "its holder, or the bot for them",
        Some("ExtendBody"),
        201,
        Some("AccessAnswer"),
    ),
    Call(
        "post",
        "/v1/grants/{id}/keep",
        "Leave an unused grant alone for 30 days",
        "its approvers, or who administers its connection, never its holder; or the bot for one of them",
        Some("KeepBody"),
        200,
        Some("Keep"),
    ),
    Call(
        "get",
        "/v1/digest",
        "Who holds what they don't use",
        "bot, or who administers or audits every connection",
        None,
        200,
        Some("Digest"),
    ),
    Call(
        "get",
        "/v1/delegation",
        "Who stands in for the caller, and for whom the caller does",
        "user, or the bot for one",
        None,
        200,
        Some("StandIns"),
    ),
    Call(
        "put",
        "/v1/delegation",
        "Name who is told of requests in one's place; it gives nobody a right",
        "whoever may approve, or the bot for them",
        Some("DelegateBody"),
        200,
        Some("StandIn"),
    ),
    Call("delete", "/v1/delegation", "End that", "user, or the bot for one", None, 204, None),
    Call(
        "get",
        "/v1/reviews",
        "Reviews of connections' grants, the newest first",
        "who administers or audits their connections; or the bot for one of them",
        None,
        200,
        Some("Reviews"),
    ),
    Call(
        "post",
        "/v1/reviews",
        "Begin to review a connection's grants, or go on",
        "who administers the connection; or the bot for one of them",
        Some("ReviewBody"),
        200,
        Some("Review"),
    ),
    Call(
        "get",
        "/v1/reviews/{id}",
        "One review",
        "who administers or audits its connection; or the bot for one of them",
        None,
        200,
        Some("Review"),
    ),
    Call(
        "post",
        "/v1/reviews/{id}/answers",
        "Say that a grant stays, or end it",
        "who administers the connection, never the grant's holder; or the bot for one of them",
        Some("ReviewAnswerBody"),
        200,
        Some("Review"),
    ),
    Call(
        "post",
        "/v1/notices/claim",
        "Claim the posting of something that is posted once",
        "bot",
        Some("NoticeBody"),
        200,
        Some("Claim"),
    ),
    Call("post", "/v1/notices/posted", "Say that it is posted", "bot", Some("NoticeBody"), 204, None),
    Call(
        "get",
        "/v1/sessions",
        "Live sessions: one's own, or of connections that one administers",
        "user, agent, bot",
        None,
        200,
        Some("Sessions"),
    ),
    Call(
        "delete",
        "/v1/sessions/{id}",
        "End a session now",
        "its user, or who administers its connection",
        None,
        204,
        None,
    ),
    Call(
        "post",
        "/v1/connections/{name}/bypass",
        "Who is on its database and did not come through; what is seen is an entry of the log",
        "user or agent who may audit the connection",
        None,
        200,
        Some("Bypass"),
    ),
    Call(
        "get",
        "/v1/log",
        "The log, as JSON lines; `search` as for `audit search`",
        "user or agent who may audit a connection: what is about those; who audits all, everything",
        None,
        200,
        None,
    ),
    Call(
        "get",
        "/v1/users",
        "Everybody whom the gateway or the directory knows",
        "who administers or audits every connection",
        None,
        200,
        Some("Users"),
    ),
    Call(
        "get",
        "/v1/users/{id}",
        "One, by principal or by SCIM id",
        "who administers or audits every connection",
        None,
        200,
        Some("User"),
    ),
    Call(
        "get",
        "/v1/tokens/denied",
        "Tokens that count no more, the newest first",
        "who administers every connection",
        None,
        200,
        Some("DeniedTokens"),
    ),
    Call(
        "post",
        "/v1/tokens/denied",
        "Deny a token by its `jti` or the SHA-256 of its `header.payload`, now, in running sessions too",
        "who administers every connection",
        Some("DenyTokenBody"),
        201,
        Some("DenyTokenAnswer"),
    ),
    Call(
        "post",
        SIGN_OUT,
        "Somebody signed out: OpenID Connect Back-Channel Logout 1.0",
        "an identity provider, by the token that it brings",
        Some("Logout"),
        200,
        None,
    ),
    Call("get", "/v1/about", "Where to sign in and where to connect", "anybody", None, 200, Some("About")),
    Call("get", "/v1/events", "Server-sent events after `Last-Event-ID`", "user, agent, bot", None, 200, None),
    Call(
        "post",
        "/v1/links",
        "Start the linking of a Slack account",
        "bot",
        Some("SlackAccount"),
        201,
        Some("LinkStarted"),
    ),
    Call("get", "/v1/links", "Every link, those that wait first", "administrator", None, 200, Some("ListedLinks")),
    Call("get", "/v1/links/waiting", "Links that wait, and whom to ask", "bot", None, 200, Some("WaitingLinks")),
    Call("get", "/v1/links/{team}/{user}", "Who a Slack account is", "bot, administrator", None, 200, Some("Link")),
    Call(
        "delete",
        "/v1/links/{team}/{user}",
        "Unlink a Slack account",
        "its owner, or the bot for them, or an administrator",
        None,
        204,
        None,
    ),
    Call(
        "post",
        "/v1/links/{team}/{user}/confirm",
        "Confirm a link whose e-mail addresses differ",
        "another administrator, or the bot for them with LinkChoiceBody",
        None,
        204,
        None,
    ),
    Call(
        "post",
        "/v1/links/{team}/{user}/refuse",
        "End a link that waits",
        "another administrator, or the bot for them",
        Some("LinkChoiceBody"),
        204,
        None,
    ),
];

pub(super) async fn document() -> Json<Value> {
    Json(build())
}

fn build() -> Value {
    let mut paths = Map::new();
    for Call(method, path, summary, who, body, status, answer) in CALLS {
        let of = |name: &str| json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{name}") } } });
        let mut good = json!({ "description": "Done" });
        if let Some(name) = answer {
            good["content"] = of(name);
        }
        if *path == "/v1/events" {
            good["content"] = json!({ "text/event-stream": { "schema": { "$ref": "#/components/schemas/Event" } } });
        }
        let parameters: Vec<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .chain(queries(path))
            .collect();
        let mut operation = json!({
            "summary": summary, "description": format!("For: {who}."), "parameters": parameters,
            "responses": {
                status.to_string(): good,
                "default": { "description": "What happened, why, and what to do next", "content": of("Problem") },
            },
        });
        if let Some(name) = body {
            operation["requestBody"] = json!({ "required": true, "content": of(name) });
        }
        if *path == SIGN_OUT {
            let form = operation["requestBody"]["content"]["application/json"].take();
            operation["requestBody"]["content"] = json!({ "application/x-www-form-urlencoded": form });
            operation["responses"]["default"]["content"] = of("OAuthError");
            operation["security"] = json!([]);
        }
        let entry = paths.entry(*path).or_insert_with(|| json!({}));
        entry[*method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Countersign control API", "version": env!("CARGO_PKG_VERSION") },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": { "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } },
                        "schemas": schemas() },
    })
}

fn queries(path: &str) -> Vec<Value> {
    let query = |name: &str, about: &str| json!({ "name": name, "in": "query", "description": about, "schema": { "type": "string" } });
    match path {
        "/v1/requests" => vec![
            query("state", "States, with commas between"),
            query("principal", "Only this requester's"),
            query("decidable", "`true`: only what the caller may decide on"),
            query("allowed", "`open`: only what is allowed for a time now"),
            query("limit", "At most so many, up to 1000; 100 by default"),
        ],
        "/v1/grants" => vec![
            query("state", "`active` (the default) or `all`"),
            query("principal", "Only this holder's"),
            query("limit", "At most so many, up to 1000; 100 by default"),
        ],
        "/v1/events" => vec![json!({ "name": "Last-Event-ID", "in": "header", "schema": { "type": "integer" } })],
        _ => Vec::new(),
    }
}

fn object(required: &[&str], optional: &[&str]) -> Value {
    let fields: Map<String, Value> =
        required.iter().chain(optional).map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({ "type": "object", "required": required, "properties": fields })
}

fn schemas() -> Value {
    let list = |of: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{of}") } });
    let mut decision = object(&["choice", "digest"], &["reason", "allow"]);
    decision["properties"]["choice"] = json!({ "enum": ["approve", "deny", "withdraw"] });
    let mut schemas = json!({
        "About": object(&["host", "port", "tls", "issuers"], &[]),
        "Problem": object(&["code", "error"], &["hint"]),
        "Request": object(
            &["id", "kind", "state", "digest", "connection", "principal", "sql", "parameters", "effects",
              "in_transaction", "notes", "impact", "created_at", "expires_at", "needed", "approvals"],
            &["owner", "session", "access", "reason", "application", "address", "outcome", "channel", "card", "requester_slack", "questions",
              "allowable", "allowance", "denials", "denials_needed", "steps"],
        ),
        "Requests": list("Request"),
        "DecisionBody": decision,
        "DecisionTaken": object(&["request", "message"], &[]),
        "Channel": object(&["name"], &[]),
        "Card": object(&["channel", "ts"], &[]),
        "Session": object(&["id", "principal", "connection", "address", "started_at", "state"], &["application"]),
        "Sessions": list("Session"),
        "AccessOption": object(&["connection", "role", "longest", "at_once"], &[]),
        "AccessOptions": list("AccessOption"),
        "AccessBody": object(&["connection", "role", "duration", "reason"], &[]),
        "ExtendBody": object(&["duration", "reason"], &[]),
        "AccessAnswer": object(&["message"], &["grant", "request"]),
        "Grant": object(
            &["id", "principal", "connection", "role", "reason", "created_at", "expires_at", "approved_by", "state", "seconds"],
            &["owner", "ended_at", "ended_by", "request", "slack"],
        ),
        "Grants": list("Grant"),
        "KeepBody": object(&["reason"], &[]),
        "Keep": object(&["by", "until", "reason"], &[]),
        "Digest": object(&["at", "stale_after", "recorded_since", "grants", "roles", "agents", "sessions"], &[]),
        "StandIn": object(&["of", "delegate", "until"], &["slack"]),
        "StandIns": list("StandIn"),
        "DelegateBody": object(&["to", "until"], &[]),
        "Review": object(&["id", "connection", "opened_by", "opened_at", "items"], &["checkpoint", "closed_at"]),
        "Reviews": list("Review"),
        "ReviewBody": object(&["connection"], &[]),
        "ReviewAnswerBody": object(&["grant", "choice", "reason"], &[]),
        "NoticeBody": object(&["name", "by"], &[]),
        "Claim": json!({ "enum": ["yours", "in_doubt", "taken", "done"] }),
        "User": object(
            &["principal", "state", "groups"],
            &["display_name", "owner", "issuer", "subject", "first_seen", "last_seen", "directory"],
        ),
        "Users": list("User"),
        "DeniedToken": object(&["issuer", "reason", "denied_at"], &["jti", "sha256", "denied_by"]),
        "DeniedTokens": list("DeniedToken"),
        "DenyTokenBody": object(&["reason"], &["issuer", "jti", "sha256"]),
        "DenyTokenAnswer": object(&["denied", "sessions"], &[]),
        "Logout": object(&["logout_token"], &[]),
        "OAuthError": object(&["error", "error_description"], &[]),
        "Event": object(&["seq", "at", "kind"], &["request", "grant"]),
        "SlackAccount": object(&["team", "user", "name", "full_member"], &["email"]),
        "LinkStarted": object(&["url", "expires_at"], &[]),
        "Link": object(&["slack", "principal", "confirmed"], &[]),
    });
    // One macro takes no more.
    schemas["ListedLink"] = object(&["slack", "principal", "confirmed", "made_at"], &["slack_name", "slack_email"]);
    schemas["ListedLinks"] = list("ListedLink");
    schemas["WaitingLink"] =
        object(&["slack", "principal", "confirmed", "made_at", "administrators"], &["slack_name", "slack_email"]);
    schemas["WaitingLinks"] = list("WaitingLink");
    schemas["LinkChoiceBody"] = object(&["principal"], &[]);
    schemas["AudienceBody"] = object(&["readers"], &[]);
    schemas["AudienceView"] = object(&["wider"], &[]);
    let (whole, maybe) = (["connection", "at", "ours", "backends", "roles", "restricted", "misses"], []);
    schemas["Bypass"] = object(&whole, &maybe);
    schemas["QuestionBody"] = object(&["question"], &[]);
    schemas["RequestParked"] = object(&["request", "message"], &[]);
    schemas["QuestionAsked"] = object(&["request", "message"], &[]);
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_the_document_refers_to_is_in_it() {
        let document = build();
        let text = document.to_string();
        let names: Vec<_> =
            text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert!(names.len() > CALLS.len());
        for name in names {
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }
}
