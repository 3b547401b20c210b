//! `manifest.yaml` declares exactly what the bot uses.

use std::collections::BTreeSet;

use countersign_bot::slack::{decode_access::EVENTS, post::METHODS};

const MANIFEST: &str = include_str!("../../manifest.yaml");

/// The items of the list under `key:`, which is all the YAML that this file needs.
fn list(key: &str) -> BTreeSet<&'static str> {
    let lines = MANIFEST.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    let items = lines.map_while(|line| line.trim().strip_prefix("- "));
    items.map(|item| item.split('#').next().unwrap_or_default().trim()).collect()
}

#[test]
fn the_scopes_are_those_that_the_methods_need() {
    let mut needed: BTreeSet<&str> = METHODS.iter().flat_map(|(_, scopes)| scopes.iter().copied()).collect();
    // Not of a method: the slash command, and the e-mail in `users.info`.
    needed.extend(["commands", "users:read.email"]);
    assert_eq!(list("bot"), needed);
}

#[test]
fn no_method_is_called_that_the_table_does_not_name() {
    let sources = [
        include_str!("../src/slack/post.rs"),
        include_str!("../src/slack/files.rs"),
        include_str!("../src/slack/socket.rs"),
    ]
    .join("\n");
    for call in ["self.call(\"", "self.get(\""] {
        for rest in sources.split(call).skip(1) {
            let method = rest.split('"').next().unwrap_or_default();
            assert!(METHODS.iter().any(|(name, _)| *name == method), "{method}");
        }
    }
}

#[test]
fn the_events_are_those_that_are_read() {
    assert_eq!(list("bot_events"), BTreeSet::from(EVENTS));
    assert!(MANIFEST.contains("home_tab_enabled: true"), "whose opening is an event");
}

#[test]
fn socket_mode_is_on() {
    assert!(MANIFEST.contains("socket_mode_enabled: true"));
    assert!(MANIFEST.contains("command: /access"));
    assert!(MANIFEST.contains("interactivity:\n    is_enabled: true"));
}
