//! Bytes that nobody sent on purpose, for every parser that strangers reach: libFuzzer looks for those
//! that take a new way through it. Every parser must return, soon, and what it reads must be what was
//! there. `FUZZ_TARGET` says which one; `scripts/fuzz.sh` runs all.
//!
//! One program for all targets, since each would have the whole gateway in it.

#![no_main]

mod login;
mod sql;
mod text;
mod wire;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

/// By name; `corpus/` has a folder for each.
const TARGETS: [(&str, Target); 16] = [
    ("head", wire::head),
    ("first_packet", wire::first_packet),
    ("options", wire::options),
    ("client_message", wire::client_message),
    ("server_message", wire::server_message),
    ("negotiation", wire::negotiation),
    ("login", login::login),
    ("replies", wire::replies),
    ("value", wire::value),
    ("classify", sql::classify_twice),
    ("classify_long", sql::classify_long),
    ("shape", sql::shape_promise),
    ("token", text::token),
    ("config", text::config),
    ("log", text::log),
    ("slack", text::slack),
];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|(name, _)| *name == wanted).map(|(_, target)| *target).unwrap_or_else(|| {
        let names = TARGETS.map(|(name, _)| name).join(" ");
        eprintln!("FUZZ_TARGET must be one of: {names}");
        std::process::exit(2)
    })
});

fuzz_target!(|data: &[u8]| (*TARGET)(data));
