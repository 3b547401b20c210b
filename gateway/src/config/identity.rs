//! `[[identity]]` and `[[agent]]`.

use std::time::Duration;

use countersign_shared::secret::Secret;

use super::{
    AgentConfig, IdentityConfig, PollConfig,
    reader::{At, Table},
    secrets::secret,
    values,
};

pub(super) fn read(tables: &[Table<'_>]) -> Vec<IdentityConfig> {
    let mut all: Vec<At<IdentityConfig>> = Vec::new();
    for table in tables {
        if let Some(one) = identity(table) {
            if all.iter().any(|other| other.value.issuer == one.issuer) {
                table.doc.problem(table.at, format!("the issuer {} is configured twice", one.issuer), "remove one");
            }
            if tables.len() > 1 {
                no_overlap(table, &one, &all);
            }
            all.push(At { value: one, at: table.at });
        }
    }
    all.into_iter().map(|found| found.value).collect()
}

fn identity(table: &Table<'_>) -> Option<IdentityConfig> {
    let issuer = issuer(table);
    let audience = table.need("audience", "the `aud` that tokens for this gateway carry").map(|found| found.value);
    let client_id = table.filled("client_id").or_else(|| audience.clone());
    let client_secret = secret(table, "client_secret");
    let user_claim = table.filled("user_claim").unwrap_or_else(|| "email".to_owned());
    let groups_claim = table.filled("groups_claim").unwrap_or_else(|| "groups".to_owned());
    let minute = Duration::from_secs(60);
    let max_token_age = table.read_or("max_token_age", 720 * minute, values::duration(minute..=30 * 1440 * minute));
    let poll = poll(table, client_id.as_ref(), client_secret.as_ref());
    let domains = table.texts("domains").map(|found| found.value.iter().map(|name| name.to_lowercase()).collect());
    let groups = table.texts("groups").map(|found| found.value);
    table.finish();
    Some(IdentityConfig {
        issuer: issuer?,
        audience: audience?,
        client_id: client_id?,
        client_secret,
        user_claim,
        groups_claim,
        max_token_age,
        poll,
        domains,
        groups,
    })
}

/// `poll = { introspect = true, every = "60s" }`, as the client that signs people in or as one of its own.
fn poll(table: &Table<'_>, client_id: Option<&String>, client_secret: Option<&Secret<String>>) -> Option<PollConfig> {
    let poll = table.table("poll")?;
    let introspect = poll.truth("introspect");
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let every = poll.read_or("every", minute, values::duration(second..=60 * minute));
    let own_id = poll.filled("client_id");
    let own_secret = secret(&poll, "client_secret");
    poll.finish();
    if introspect != Some(true) {
        let hint = "introspect = true; without `poll`, nobody is asked";
        table.doc.problem(poll.at, "`poll` of [[identity]] can do nothing but introspect", hint);
    }
    // The gateway has to prove who asks (RFC 7662, §2.1).
    let client_secret = own_secret.or_else(|| client_secret.cloned());
    if client_secret.is_none() && poll.get("client_secret").is_none() {
        let hint = "client_secret = { file = \"secrets/idp.secret\" }, of a client that may introspect";
        table.doc.problem(poll.at, "`poll` of [[identity]] needs `client_secret`", hint);
    }
    Some(PollConfig { every, client_id: own_id.or_else(|| client_id.cloned())?, client_secret: client_secret? })
}

fn issuer(table: &Table<'_>) -> Option<String> {
    table.must("issuer", "the URL that tokens carry as `iss`");
    // Kept byte for byte: issuers are compared as texts.
    table.read("issuer", |text| values::web_url(text).map(|_| text.to_owned())).map(|found| found.value)
}

/// Where there are several issuers, each may assert only what is its own.
fn no_overlap(table: &Table<'_>, one: &IdentityConfig, others: &[At<IdentityConfig>]) {
    let hint =
        "where there are several issuers, each says what it may assert: domains = [\"acme.dev\"], groups = [\"*\"]";
    for (key, list) in [("domains", &one.domains), ("groups", &one.groups)] {
        if list.is_none() {
            table.doc.problem(table.at, format!("[[identity]] needs `{key}`"), hint);
        }
    }
    let overlap = |a: &Option<Vec<String>>, b: &Option<Vec<String>>| {
        let (a, b) = (a.as_deref().unwrap_or_default(), b.as_deref().unwrap_or_default());
        let both = |any: &str| any == "*";
        a.iter().find(|x| b.iter().any(|y| x == &y || both(x) || both(y))).cloned()
    };
    for other in others {
        for (key, mine, theirs) in
            [("domains", &one.domains, &other.value.domains), ("groups", &one.groups, &other.value.groups)]
        {
            if let Some(shared) = overlap(mine, theirs) {
                let issuer = &other.value.issuer;
                table.doc.problem(table.at, format!("`{key}` overlaps with {issuer}: {shared:?}"), hint);
            }
        }
    }
}

pub(super) fn agents(tables: &[Table<'_>]) -> Vec<AgentConfig> {
    let mut all: Vec<AgentConfig> = Vec::new();
    for table in tables {
        table.must("name", "the principal, as in Agent::\"deploy\"");
        let name = table.read("name", values::name).map(|found| found.value);
        let issuer = issuer(table);
        let subject = table.need("subject", "the `sub` of its tokens").map(|found| found.value);
        table.must("owner", "the user who answers for it: \"ana@acme.dev\"");
        let owner = table.read("owner", values::user).map(|found| found.value);
        let groups = table.texts("groups").map(|found| found.value).unwrap_or_default();
        table.finish();
        let (Some(name), Some(issuer), Some(subject), Some(owner)) = (name, issuer, subject, owner) else { continue };
        if all.iter().any(|other| other.name == name) {
            table.doc.problem(table.at, format!("there are two agents named {name:?}"), "rename one");
        }
        if all.iter().any(|other| other.issuer == issuer && other.subject == subject) {
            table.doc.problem(table.at, format!("another agent has the issuer and subject of {name:?}"), "remove one");
        }
        all.push(AgentConfig { name, issuer, subject, owner, groups });
    }
    all
}
