//! Filters and patches as tables of cases.

use serde_json::{Map, Value, json};

use super::{
    document, filter, patch,
    project::Projection,
    query::{Parameters, Query},
    schema::{GROUP, GROUPS, Type, USER, USERS},
};

fn object(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn ana() -> Map<String, Value> {
    object(json!({
        "schemas": [USER], "id": "2819c223", "externalId": "00uAna", "userName": "Ana@acme.dev", "active": true,
        "displayName": "Ana \"A\" Díaz", "name": { "givenName": "Ana", "familyName": "Díaz" },
        "emails": [
            { "value": "ana@acme.dev", "type": "work", "primary": true },
            { "value": "ana@home.example", "type": "home" },
        ],
        "groups": [{ "value": "g1", "display": "dba", "type": "direct" }],
        "meta": { "resourceType": "User", "lastModified": "2026-11-24T08:00:00.500Z" },
    }))
}

#[test]
fn a_filter_fits_or_not() {
    let table = [
        (r#"userName eq "ana@ACME.dev""#, true),
        (r#"USERNAME Eq "ana@acme.dev""#, true),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName eq "ana@acme.dev""#, true),
        (r#"userName ne "ana@acme.dev""#, false),
        (r#"externalId eq "00uana""#, false),
        (r#"externalId eq "00uAna""#, true),
        (r#"userName co "@acme" and userName sw "ANA" and userName ew ".dev""#, true),
        (r#"userName sw "na""#, false),
        (r#"displayName eq "ana \"a\" d\u00edaz""#, true),
        (
            r#"userName gt "an" and userName lt "anb" and userName ge "ana@acme.dev" and userName le "ana@acme.dev""#,
            true,
        ),
        (r#"userName gt "ana@acme.dev""#, false),
        ("active eq true", true),
        ("active eq false", false),
        (r#"active eq "True""#, true),
        ("active ne false", true),
        ("displayName pr", true),
        ("title2 pr or userName pr", false),
        ("name.familyName pr and not (name.formatted pr)", true),
        ("name.formatted eq null", true),
        ("name.givenName eq null", false),
        ("name.givenName ne null", true),
        (r#"name.formatted ne "x""#, true),
        (r#"emails eq "ANA@home.example""#, true),
        (r#"emails.type eq "home""#, true),
        (r#"emails[type eq "home"]"#, true),
        (r#"emails[type eq "home" and primary eq true]"#, false),
        (r#"emails[type eq "work" and primary eq true]"#, true),
        (r#"emails[not (type eq "work") and value co "home"]"#, true),
        (r#"groups[display eq "dba"]"#, true),
        (r#"groups eq "g1""#, true),
        (r#"meta.lastModified gt "2026-11-24T08:00:00Z""#, true),
        (r#"meta.lastModified eq "2026-11-24T09:00:00.5+01:00""#, true),
        (r#"meta.lastModified lt "2026-11-24T08:00:00Z""#, false),
        (r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#, true),
        (r#"userName eq "x" or active eq true and displayName pr"#, true),
        (r#"(userName eq "x" or active eq true) and displayName eq "y""#, false),
        (r#"userName eq "x" and active eq true or displayName pr"#, true),
        (r#"not(active eq false)"#, true),
        (r#"userName eq "a]b""#, false),
    ];
    for (text, expected) in table {
        match filter::parse(&USERS, text) {
            Ok(filter) => assert_eq!(filter.fits(&ana()), expected, "{text}"),
            Err(error) => assert!(text.starts_with("title2"), "{text}: {error:?}"),
        }
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    let deep = format!("{}active eq true{}", "(".repeat(17), ")".repeat(17));
    let long = format!("userName eq \"{}\"", "x".repeat(4096));
    let table = [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq ana",
        "userName eq 7",
        "userName eq \"ana",
        "userName eq \"\\x\"",
        "userName is \"ana\"",
        "nobody eq \"ana\"",
        "members eq \"x\"",
        "password eq \"x\"",
        "eq \"ana\"",
        "active gt true",
        "active eq 1",
        "active co \"t\"",
        "meta.lastModified gt \"yesterday\"",
        "meta.lastModified co \"2026\"",
        "name eq \"Ana\"",
        "userName gt null",
        "userName eq \"a\" and",
        "userName eq \"a\" or or active eq true",
        "userName eq \"a\" active eq true",
        "not active eq true",
        "(active eq true",
        "active eq true)",
        "emails[type eq \"work\"",
        "emails[]",
        "emails[emails[type eq \"work\"]]",
        "userName[value eq \"x\"]",
        "emails.type[value eq \"x\"]",
        "emails[nothing eq \"x\"]",
        deep.as_str(),
        long.as_str(),
    ];
    for text in table {
        let error = filter::parse(&USERS, text).err().unwrap_or_else(|| panic!("{text} is taken"));
        assert_eq!(error.word, Some("invalidFilter"), "{text}");
    }
}

fn patched(kind: &'static Type, before: &Map<String, Value>, operations: Value) -> Result<Map<String, Value>, String> {
    let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
    patch::apply(kind, before, &body).map_err(|sorry| sorry.word.unwrap_or("?").to_owned())
}

/// What a patch makes of one attribute of Ana.
fn table_of(cases: Vec<(&str, Value, &str, Value)>) {
    for (case, operations, attribute, expected) in cases {
        let after = patched(&USERS, &ana(), operations).unwrap_or_else(|word| panic!("{case}: {word}"));
        assert_eq!(after.get(attribute).cloned().unwrap_or(Value::Null), expected, "{case}");
    }
}

#[test]
fn what_a_patch_adds_and_replaces() {
    let work = json!({ "value": "ana@acme.dev", "type": "work", "primary": true });
    let home = json!({ "value": "ana@home.example", "type": "home" });
    let other = json!({ "value": "a@x.example", "type": "other" });
    table_of(vec![
        ("a path", json!([{ "op": "replace", "path": "displayName", "value": "A" }]), "displayName", json!("A")),
        (
            "a schema in it",
            json!([{ "op": "replace", "path": format!("{USER}:displayName"), "value": "A" }]),
            "displayName",
            json!("A"),
        ),
        ("its case", json!([{ "op": "Replace", "path": "DISPLAYNAME", "value": "A" }]), "displayName", json!("A")),
        ("no path", json!([{ "op": "replace", "value": { "displayName": "A" } }]), "displayName", json!("A")),
        ("Okta deactivates", json!([{ "op": "replace", "value": { "active": false } }]), "active", json!(false)),
        (
            "Entra ID deactivates",
            json!([{ "op": "Replace", "path": "active", "value": "False" }]),
            "active",
            json!(false),
        ),
        (
            "a list of one",
            json!([{ "op": "Replace", "path": "active", "value": [{ "value": "False" }] }]),
            "active",
            json!(false),
        ),
        (
            "add replaces one",
            json!([{ "op": "add", "path": "userName", "value": "b@acme.dev" }]),
            "userName",
            json!("b@acme.dev"),
        ),
        (
            "below",
            json!([{ "op": "replace", "path": "name.givenName", "value": "B" }]),
            "name",
            json!({ "givenName": "B", "familyName": "Díaz" }),
        ),
        (
            "an object keeps the rest",
            json!([{ "op": "replace", "path": "name", "value": { "givenName": "B" } }]),
            "name",
            json!({ "givenName": "B", "familyName": "Díaz" }),
        ),
        (
            "a dot without a path",
            json!([{ "op": "Add", "value": { "name.givenName": "B" } }]),
            "name",
            json!({ "givenName": "B", "familyName": "Díaz" }),
        ),
        (
            "the schema as a key",
            json!([{ "op": "add", "value": { USER: { "displayName": "A" } } }]),
            "displayName",
            json!("A"),
        ),
        (
            "what is read back is no wish",
            json!([{ "op": "replace", "value": { "id": "x", "meta": {}, "groups": [], "schemas": [], "displayName": "A" } }]),
            "displayName",
            json!("A"),
        ),
        (
            "what is not kept is not in the way",
            json!([{ "op": "add", "path": "title", "value": "CEO" }, { "op": "replace", "path": "addresses[type eq \"work\"].country", "value": "DE" }, { "op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "x" }, { "op": "add", "value": { "unheard": 1, "displayName": "A" } }]),
            "displayName",
            json!("A"),
        ),
        (
            "an empty text is none",
            json!([{ "op": "replace", "path": "displayName", "value": "" }]),
            "displayName",
            Value::Null,
        ),
        (
            "null is none",
            json!([{ "op": "replace", "path": "displayName", "value": null }]),
            "displayName",
            Value::Null,
        ),
        ("one more", json!([{ "op": "add", "path": "emails", "value": other }]), "emails", json!([work, home, other])),
        (
            "several more",
            json!([{ "op": "add", "path": "emails", "value": [other, home] }]),
            "emails",
            json!([work, other, home]),
        ),
        ("others", json!([{ "op": "replace", "path": "emails", "value": [other] }]), "emails", json!([other])),
        ("none", json!([{ "op": "replace", "path": "emails", "value": [] }]), "emails", Value::Null),
        (
            "a new primary",
            json!([{ "op": "add", "path": "emails", "value": [{ "value": "p@x.example", "primary": true }] }]),
            "emails",
            json!([{ "value": "ana@acme.dev", "type": "work", "primary": false }, home, { "value": "p@x.example", "primary": true }]),
        ),
        (
            "of one",
            json!([{ "op": "replace", "path": "emails[type eq \"work\"].value", "value": "w@x.example" }]),
            "emails",
            json!([{ "value": "w@x.example", "type": "work", "primary": true }, home]),
        ),
        (
            "another primary",
            json!([{ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": "true" }]),
            "emails",
            json!([{ "value": "ana@acme.dev", "type": "work", "primary": false }, { "value": "ana@home.example", "type": "home", "primary": true }]),
        ),
        (
            "a whole one",
            json!([{ "op": "replace", "path": "emails[type eq \"home\"]", "value": { "value": "h@x.example" } }]),
            "emails",
            json!([work, { "value": "h@x.example", "type": "home" }]),
        ),
        (
            "one that is not there",
            json!([{ "op": "Add", "path": "emails[type eq \"other\"].value", "value": "a@x.example" }]),
            "emails",
            json!([work, home, other]),
        ),
        (
            "of all",
            json!([{ "op": "replace", "path": "emails.type", "value": "work" }]),
            "emails",
            json!([work, { "value": "ana@home.example", "type": "work" }]),
        ),
        (
            "a bracket in a text",
            json!([{ "op": "add", "path": "emails[type eq \"a]b\"].value", "value": "x@x.example" }]),
            "emails",
            json!([work, home, { "type": "a]b", "value": "x@x.example" }]),
        ),
        (
            "in order",
            json!([{ "op": "replace", "path": "displayName", "value": "A" }, { "op": "remove", "path": "displayName" }]),
            "displayName",
            Value::Null,
        ),
    ]);
}

#[test]
fn what_a_patch_removes() {
    let work = json!({ "value": "ana@acme.dev", "type": "work", "primary": true });
    let home = json!({ "value": "ana@home.example", "type": "home" });
    table_of(vec![
        ("one", json!([{ "op": "remove", "path": "displayName" }]), "displayName", Value::Null),
        (
            "what is not there",
            json!([{ "op": "remove", "path": "name.formatted" }]),
            "name",
            json!({ "givenName": "Ana", "familyName": "Díaz" }),
        ),
        (
            "all below",
            json!([{ "op": "remove", "path": "name.givenName" }, { "op": "remove", "path": "name.familyName" }]),
            "name",
            Value::Null,
        ),
        ("chosen ones", json!([{ "op": "remove", "path": "emails[type eq \"work\"]" }]), "emails", json!([home])),
        (
            "chosen ones that are gone",
            json!([{ "op": "remove", "path": "emails[type eq \"x\"]" }]),
            "emails",
            json!([work, home]),
        ),
        (
            "below chosen ones",
            json!([{ "op": "remove", "path": "emails[type eq \"work\"].primary" }]),
            "emails",
            json!([{ "value": "ana@acme.dev", "type": "work" }, home]),
        ),
        ("all", json!([{ "op": "remove", "path": "emails" }]), "emails", Value::Null),
        (
            "named in the value",
            json!([{ "op": "Remove", "path": "emails", "value": [{ "value": "ana@acme.dev" }] }]),
            "emails",
            json!([home]),
        ),
    ]);
}

#[test]
fn members_come_and_go() {
    let member = |id: &str| json!({ "value": id, "type": "User", "$ref": format!("https://x/Users/{id}") });
    let before = object(json!({ "schemas": [GROUP], "displayName": "dba", "members": [member("1"), member("2")] }));
    let ids = |operations: Value| {
        let after = patched(&GROUPS, &before, operations).unwrap();
        let members = after.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
        members.iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    let table = [
        (json!([{ "op": "Add", "path": "members", "value": [{ "value": "3" }] }]), "1 2 3"),
        (json!([{ "op": "add", "path": "members", "value": { "value": "3" } }]), "1 2 3"),
        (json!([{ "op": "add", "value": { "members": [{ "value": "3" }] } }]), "1 2 3"),
        (json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }] }]), "1 2"),
        (json!([{ "op": "remove", "path": "members[value eq \"1\"]" }]), "2"),
        (json!([{ "op": "Remove", "path": "members", "value": [{ "value": "2" }] }]), "1"),
        (json!([{ "op": "remove", "path": "members", "value": [{ "$ref": null, "value": "2" }] }]), "1"),
        (json!([{ "op": "remove", "path": "members" }]), ""),
        (json!([{ "op": "replace", "path": "members", "value": [{ "value": "9" }] }]), "9"),
    ];
    for (operations, expected) in table {
        assert_eq!(ids(operations.clone()), expected, "{operations}");
    }
}

#[test]
fn what_is_no_patch_is_refused() {
    let table = [
        (json!([]), "invalidSyntax"),
        (json!("x"), "invalidSyntax"),
        (json!(["x"]), "invalidSyntax"),
        (json!([{}]), "invalidSyntax"),
        (json!([{ "op": "move", "path": "displayName", "value": "x" }]), "invalidSyntax"),
        (json!([{ "op": "replace", "path": 7, "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "nothing", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[type eq \"work\"]x", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[type eq \"work\"].nothing", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "userName[value eq \"x\"]", "value": "x" }]), "invalidPath"),
        (json!([{ "op": "replace", "path": "emails[type = 1].value", "value": "x" }]), "invalidFilter"),
        (json!([{ "op": "replace", "path": "emails[type eq \"other\"].value", "value": "x" }]), "noTarget"),
        (json!([{ "op": "add", "path": "emails[type co \"other\"].value", "value": "x" }]), "noTarget"),
        (json!([{ "op": "remove" }]), "noTarget"),
        (json!([{ "op": "add", "value": "x" }]), "invalidValue"),
        (json!([{ "op": "add" }]), "invalidValue"),
        (json!([{ "op": "add", "path": "displayName" }]), "invalidValue"),
        (json!([{ "op": "add", "path": "displayName", "value": 7 }]), "invalidValue"),
        (json!([{ "op": "add", "path": "displayName", "value": "a\u{0}b" }]), "invalidValue"),
        (json!([{ "op": "add", "path": "displayName", "value": "x".repeat(1025) }]), "invalidValue"),
        (json!([{ "op": "add", "path": "active", "value": "maybe" }]), "invalidValue"),
        (json!([{ "op": "add", "path": "emails", "value": [7] }]), "invalidValue"),
        (
            json!([{ "op": "add", "path": "emails", "value": [{ "value": "a", "primary": true }, { "value": "b", "primary": true }] }]),
            "invalidValue",
        ),
        (json!([{ "op": "remove", "path": "userName" }]), "mutability"),
        (json!([{ "op": "remove", "path": "active" }]), "mutability"),
        (json!([{ "op": "replace", "path": "id", "value": "x" }]), "mutability"),
        (json!([{ "op": "add", "path": "groups", "value": [{ "value": "g2" }] }]), "mutability"),
        (json!([{ "op": "remove", "path": "groups[value eq \"g1\"]" }]), "mutability"),
        (json!([{ "op": "replace", "path": "meta.version", "value": "x" }]), "mutability"),
        (json!([{ "op": "replace", "path": "schemas", "value": [] }]), "mutability"),
    ];
    for (operations, word) in table {
        assert_eq!(patched(&USERS, &ana(), operations.clone()), Err(word.to_owned()), "{operations}");
    }
    for body in
        [json!({}), json!([]), json!({ "schemas": [USER], "Operations": [{ "op": "remove", "path": "emails" }] })]
    {
        let error = patch::apply(&USERS, &ana(), &body).expect_err("no patch");
        assert_eq!(error.word, Some("invalidSyntax"), "{body}");
    }
}

#[test]
fn a_body_is_read_for_what_is_known() {
    let body = json!({
        "schemas": [USER, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"], "USERNAME": "a@acme.dev",
        "id": "mine", "meta": { "version": "x" }, "groups": [{ "value": "admins" }], "title": "CEO", "active": "True",
        "emails": [{ "value": "a@acme.dev", "unheard": 1 }, { "value": "a@acme.dev" }, {}], "displayName": "",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "x" },
    });
    let read = document::read(&USERS, &body).unwrap();
    let schemas = body["schemas"].clone();
    let expected =
        json!({ "schemas": schemas, "userName": "a@acme.dev", "active": true, "emails": [{ "value": "a@acme.dev" }] });
    assert_eq!(Value::Object(read), expected);
    let bad = [
        (json!([]), "invalidSyntax"),
        (json!({ "userName": "x" }), "invalidSyntax"),
        (json!({ "schemas": [GROUP], "userName": "x" }), "invalidSyntax"),
        (json!({ "schemas": [USER], "userName": "x", "username": "y" }), "invalidSyntax"),
        (json!({ "schemas": [USER], "userName": ["x", "y"] }), "invalidValue"),
        (json!({ "schemas": [USER], "userName": { "a": 1 } }), "invalidValue"),
        (json!({ "schemas": [USER], "userName": "x", "emails": "x\u{7}" }), "invalidValue"),
        (json!({ "schemas": [USER], "userName": "x", "name": "Ana" }), "invalidValue"),
    ];
    for (body, word) in bad {
        let error = document::read(&USERS, &body).expect_err("no user");
        assert_eq!(error.word, Some(word), "{body}");
    }
}

#[test]
fn only_what_was_asked_for_is_shown() {
    let names = |names: &str| Some(names.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let table = [
        (names("userName"), None, "id schemas userName"),
        (names("USERNAME name.givenName"), None, "id name:givenName schemas userName"),
        (names("nothing"), None, "id schemas"),
        (names("emails.value"), None, "emails id schemas"),
        (None, names("emails groups meta name id schemas"), "active displayName externalId id schemas userName"),
        (
            None,
            names("name.givenName emails meta groups"),
            "active displayName externalId id name:familyName schemas userName",
        ),
    ];
    for (only, without, expected) in table {
        let shown = Projection::of(&USERS, only, without).unwrap().of_resource(ana());
        let mut told: Vec<String> = shown
            .iter()
            .map(|(name, value)| match value.as_object().filter(|_| name == "name") {
                Some(below) => format!("{name}:{}", below.keys().cloned().collect::<Vec<_>>().join(",")),
                None => name.clone(),
            })
            .collect();
        told.sort();
        assert_eq!(told.join(" "), expected);
    }
    assert!(Projection::of(&USERS, names("a"), names("b")).is_err());
}

#[test]
fn a_list_comes_in_pages_and_in_order() {
    let all: Vec<_> = ["dora", "Ana", "carl", "ben"]
        .iter()
        .enumerate()
        .map(|(n, name)| object(json!({ "id": n.to_string(), "userName": name, "active": n % 2 == 0 })))
        .collect();
    let table = [
        (json!({}), (4, "dora Ana carl ben")),
        (json!({ "sortBy": "userName" }), (4, "Ana ben carl dora")),
        (json!({ "sortBy": "userName", "sortOrder": "descending" }), (4, "dora carl ben Ana")),
        (json!({ "sortBy": "displayName" }), (4, "dora Ana carl ben")),
        (json!({ "sortBy": "userName", "startIndex": "2", "count": "2" }), (4, "ben carl")),
        (json!({ "startIndex": -3, "count": 1 }), (4, "dora")),
        (json!({ "startIndex": 9 }), (4, "")),
        (json!({ "count": 0 }), (4, "")),
        (json!({ "count": -1 }), (4, "")),
        (json!({ "filter": "active eq true", "sortBy": "userName", "count": 1 }), (2, "carl")),
    ];
    for (parameters, (total, names)) in table {
        let read: Parameters = serde_json::from_value(parameters.clone()).unwrap();
        let query = Query::of(&USERS, &read).unwrap();
        let page = query.page(query.matching(all.clone()));
        let listed: Vec<_> =
            page["Resources"].as_array().unwrap().iter().map(|one| one["userName"].as_str().unwrap()).collect();
        assert_eq!((&page["totalResults"], listed.join(" ").as_str()), (&json!(total), names), "{parameters}");
    }
    for (parameters, word) in [
        (json!({ "filter": "x" }), "invalidFilter"),
        (json!({ "sortBy": "x" }), "invalidPath"),
        (json!({ "sortBy": "userName", "sortOrder": "up" }), "invalidValue"),
        (json!({ "count": "many" }), "invalidValue"),
    ] {
        let read: Parameters = serde_json::from_value(parameters.clone()).unwrap();
        assert_eq!(Query::of(&USERS, &read).expect_err("no query").word, Some(word), "{parameters}");
    }
}
