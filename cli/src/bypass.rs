//! `audit bypass`: who reaches a database by another way, as the gateway sees it now.

use std::{path::Path, process::ExitCode};

use countersign_gateway::config::{Config, check_all};
use countersign_shared::api::BypassView;
use reqwest::Method;

use crate::api::{Api, NOTHING, plain};

/// Prints it; 1 where somebody is there.
pub async fn run(file: &Path, connection: Option<String>, json: bool) -> ExitCode {
    let names = match connection {
        Some(name) => vec![name],
        None => match Config::load(file) {
            Ok(config) => config.connections.into_keys().collect(),
            Err(_) => {
                let problems: Vec<String> = check_all(file).problems.iter().map(ToString::to_string).collect();
                return crate::fail(&problems.join("\n"), 2);
            }
        },
    };
    let api = match Api::open(file).await {
        Ok(api) => api,
        Err(error) => return crate::fail(&error, 2),
    };
    let mut views = Vec::new();
    for name in names {
        let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
        match api.call::<BypassView>(Method::POST, &format!("/v1/connections/{name}/bypass"), NOTHING).await {
            Ok(view) => views.push(view),
            Err(error) => return crate::fail(&error, 1),
        }
    }
    let found: usize = views.iter().map(|view| view.backends.len()).sum();
    if json {
        crate::say_json(&views);
    } else {
        views.iter().for_each(|view| crate::say(&told(view)));
    }
    if found == 0 { ExitCode::SUCCESS } else { crate::fail(&format!("{found} backends came by another way"), 1) }
}

/// As text.
fn told(view: &BypassView) -> String {
    let BypassView { connection, at, ours, backends, roles, restricted, misses } = view;
    let at = at.format("%F %T UTC");
    let mut lines =
        vec![format!("{connection}, {at}: {ours} backends through the gateway, {} by another way", backends.len())];
    for backend in backends {
        let text = |value: &Option<String>| value.as_deref().map_or_else(|| "?".to_owned(), plain);
        let (login, application) = (text(&backend.login), text(&backend.application));
        let (address, kind, since) = (text(&backend.address), text(&backend.kind), text(&backend.since));
        lines.push(format!("  {:>8}  {login}  {application}  from {address}  {kind}  since {since}", backend.pid));
    }
    if *restricted {
        lines.push(
            "  of some only process id and login are seen: GRANT pg_read_all_stats TO the gateway's login".to_owned(),
        );
    }
    lines.push("roles that can log in there:".to_owned());
    for role in roles {
        let marks = [
            (role.gateway, "the gateway's"),
            (role.superuser, "superuser"),
            (role.replication, "replication"),
            (role.bypasses_row_security, "bypasses row security"),
            (role.expired, "expired"),
        ];
        let marks: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
        lines.push(format!("  {}  {}", plain(&role.name), marks.join(", ")).trim_end().to_owned());
    }
    lines.push("what this can't see:".to_owned());
    lines.extend(misses.iter().map(|miss| format!("  - {miss}")));
    lines.join("\n")
}
