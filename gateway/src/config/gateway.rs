//! `[gateway]`.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

use super::{
    Bounds, GatewayConfig, TlsConfig,
    reader::{At, Table},
    s3, values,
};
use crate::{bucket::BucketConfig, policy::Signers, wire::frame::Caps};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn read(table: &Table<'_>, s3: Option<&Table<'_>>) -> Option<GatewayConfig> {
    let doc = table.doc;
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen = table.read("listen", values::address);
    let control = table.read("control", values::address);
    let public = table.read("public", values::address);
    let state = state(table);
    let beside = beside(table, &state);
    let tls = tls(table);
    let addresses = [&listen, &public];
    if table.get("tls").is_none()
        && let Some(open) = addresses.into_iter().flatten().find(|address| !address.value.ip().is_loopback())
    {
        doc.problem(
            open.at,
            format!("{} is not a loopback address, so [gateway] needs `tls`", open.value),
            "tls = { cert = \"chain.pem\", key = \"key.pem\" }",
        );
    }
    let same = |a: &Option<At<SocketAddr>>, b: &Option<At<SocketAddr>>| match (a, b) {
        (Some(a), Some(b)) => a.value == b.value && a.value.port() != 0,
        _ => false,
    };
    if let Some(public) = public.as_ref().filter(|_| same(&listen, &public) || same(&control, &public)) {
        doc.problem(public.at, "`public` is the address of `listen` or of `control`", "give each its own port");
    }
    if let Some(control) = control.as_ref().filter(|_| same(&listen, &control)) {
        doc.problem(control.at, "`listen` and `control` are the same address", "give each its own port");
    }
    if let Some(open) = control.as_ref().filter(|control| !control.value.ip().is_loopback()) {
        doc.problem(
            open.at,
            format!(
                "{} is not a loopback address, and `control` is plain HTTP; `tls` is for `listen` alone",
                open.value
            ),
            "bind `control` to loopback, behind a proxy that speaks TLS; set `url` to how browsers reach that",
        );
    }
    let listen = listen.map_or(local(6432), |found| found.value);
    let control = control.map_or(local(6480), |found| found.value);
    let url = url(table, control);
    let hold_timeout = table.read_or("hold_timeout", 900 * SECOND, values::duration(SECOND..=DAY));
    let place = records(table, s3, &beside);
    let config = GatewayConfig {
        listen,
        control,
        url: url?,
        public: public.map(|found| found.value),
        state: format!("sqlite://{}", state.display()),
        records: place.folder,
        bucket: place.bucket,
        compress_after: compress_after(table),
        index: table.truth("index").unwrap_or(true),
        policy: doc.path(table.text("policy").map_or("policy", |found| found.value)),
        policy_signers: policy_signers(table),
        tls,
        bot_key: key(table, "bot_key").unwrap_or_else(|| beside.join("bot.key")),
        log_key: log_key(table, &beside),
        hold_timeout,
        hold_timeout_in_transaction: table.read_or(
            "hold_timeout_in_transaction",
            (120 * SECOND).min(hold_timeout),
            values::duration(SECOND..=DAY),
        ),
        ask_timeout: table.read_or("ask_timeout", DAY, values::duration(SECOND..=14 * DAY)),
        idle_timeout: table.read_or("idle_timeout", 8 * 3600 * SECOND, values::duration(SECOND..=30 * DAY)),
        checkpoint_interval: table.read_or("checkpoint_interval", SECOND, values::duration(SECOND..=3600 * SECOND)),
        clock_interval: table.read_or("clock_interval", 3600 * SECOND, values::duration(SECOND..=DAY)),
        bounds: bounds(table),
    };
    table.finish();
    Some(config)
}

/// `policy_signers` and `policy_keys`.
fn policy_signers(table: &Table<'_>) -> Option<Signers> {
    let doc = table.doc;
    let (need, keys) = (table.number("policy_signers", 1..=20), table.text("policy_keys"));
    let place = table.read("policy_place", place_name);
    if let (None, Some(place)) = (&need, &place) {
        let message = "`policy_place` says for which gateway policies are signed, and nothing that they must be";
        doc.problem(place.at, message, "policy_signers = 2");
    }
    let place = place.map(|place| place.value);
    match (need, keys) {
        (Some(need), Some(keys)) => match Signers::read(need, &doc.path(keys.value), place.as_deref()) {
            Ok(signers) => Some(signers),
            Err(problems) => {
                for problem in problems {
                    let place = match problem.line {
                        0 => problem.file.display().to_string(),
                        line => format!("{}:{line}", problem.file.display()),
                    };
                    doc.problem(keys.at, format!("{place}: {}", problem.message), &problem.hint.unwrap_or_default());
                }
                None
            }
        },
        (None, Some(keys)) if table.get("policy_signers").is_none() => {
            doc.problem(keys.at, "`policy_keys` says who may sign, and nothing how many must", "policy_signers = 2");
            None
        }
        (Some(_), None) if table.get("policy_keys").is_none() => {
            let hint = "policy_keys = \"signers\", a file with lines like: ana@acme.dev ssh-ed25519 AAAA…";
            doc.problem(table.at, "`policy_signers` needs `policy_keys`", hint);
            None
        }
        _ => None,
    }
}

/// What stands in a namespace of signatures.
fn place_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(good) {
        Ok(text.to_owned())
    } else {
        Err("use up to 64 letters, digits, `.`, `_` and `-`: \"prod\"".to_owned())
    }
}

/// Where keys lie that are not named: beside the state.
fn beside(table: &Table<'_>, state: &Path) -> PathBuf {
    state.parent().map(PathBuf::from).unwrap_or_else(|| table.doc.folder.clone())
}

fn log_key(table: &Table<'_>, beside: &Path) -> PathBuf {
    key(table, "log_key").unwrap_or_else(|| beside.join("log.key"))
}

/// Where records are.
pub(super) struct Place {
    /// Here.
    pub folder: PathBuf,
    /// And there.
    pub bucket: Option<BucketConfig>,
}

/// The records, and the key that signs them.
pub(super) fn evidence(table: &Table<'_>, s3: Option<&Table<'_>>) -> (Place, PathBuf) {
    let beside = beside(table, &state(table));
    (records(table, s3, &beside), log_key(table, &beside))
}

fn compress_after(table: &Table<'_>) -> Option<Duration> {
    let within = Duration::ZERO..=3650 * DAY;
    let read = |text: &str| if text == "never" { Ok(None) } else { values::duration(within)(text).map(Some) };
    table.read_or("compress_after", Some(DAY), read)
}

fn bounds(table: &Table<'_>) -> Bounds {
    let usual = Bounds::default();
    let connections = table.number("max_connections", 1..=1_000_000).unwrap_or(usual.connections);
    let mine = table.number("max_connections_per_address", 1..=1_000_000);
    // PostgreSQL itself takes no message over 1 GB.
    let cap = |key, usual| table.read_or(key, usual, values::size(64 << 10..=1 << 30));
    Bounds {
        connections,
        connections_per_address: mine.unwrap_or(usual.connections_per_address).min(connections),
        login_timeout: table.read_or("login_timeout", usual.login_timeout, values::duration(SECOND..=600 * SECOND)),
        caps: Caps {
            statement: cap("max_statement", usual.caps.statement),
            parameters: cap("max_parameters", usual.caps.parameters),
            copy_data: cap("max_copy_data", usual.caps.copy_data),
        },
    }
}

/// Without a trailing slash, as far as a URL can be.
fn url(table: &Table<'_>, control: SocketAddr) -> Option<Url> {
    let given = table.read("url", values::web_url).map(|found| found.value);
    given.or_else(|| Url::parse(&format!("http://{control}")).ok())
}

/// The path of the SQLite file.
fn state(table: &Table<'_>) -> PathBuf {
    let read = table.read("state", |text| match text.strip_prefix("sqlite://") {
        Some(path) if path.starts_with(':') || path.contains(['?', '#']) || path.is_empty() => {
            Err("name a file: \"sqlite://countersign.db\"".to_owned())
        }
        Some(path) => Ok(path.to_owned()),
        None if text.starts_with("postgres") => {
            Err("PostgreSQL as the state is not available in this version; use \"sqlite://countersign.db\"".to_owned())
        }
        None => Err("write \"sqlite://countersign.db\"".to_owned()),
    });
    table.doc.path(&read.map_or("countersign.db".to_owned(), |found| found.value))
}

fn records(table: &Table<'_>, s3: Option<&Table<'_>>, beside: &Path) -> Place {
    enum Said {
        Folder(String),
        Bucket(String, String),
    }
    let read = table.read("records", |text| match text.strip_prefix("file://") {
        Some(path) if !path.is_empty() => Ok(Said::Folder(path.to_owned())),
        _ if text.starts_with("s3://") => {
            BucketConfig::place(text).map(|(bucket, prefix)| Said::Bucket(bucket, prefix))
        }
        _ => Err("write \"file://./records\" or \"s3://bucket/prefix\"".to_owned()),
    });
    match read {
        Some(At { value: Said::Bucket(bucket, prefix), at }) => {
            let Some(s3) = s3 else {
                let hint = "[s3] says how long nothing may change there: lock = \"compliance\", keep = \"365d\"";
                table.doc.problem(at, "records in a bucket need [s3]", hint);
                return Place { folder: beside.join("records"), bucket: None };
            };
            let (spool, bucket) = s3::read(s3, bucket, prefix);
            Place { folder: spool.unwrap_or_else(|| beside.join("records")), bucket }
        }
        found => {
            if let Some(s3) = s3 {
                table.doc.problem(s3.at, "[s3] is for records in a bucket", "records = \"s3://bucket/prefix\"");
            }
            let folder = match found {
                Some(At { value: Said::Folder(path), .. }) => path,
                _ => "records".to_owned(),
            };
            Place { folder: table.doc.path(&folder), bucket: None }
        }
    }
}

fn tls(table: &Table<'_>) -> Option<TlsConfig> {
    let tls = table.table("tls")?;
    let file = |key| {
        let found = tls.need(key, "tls = { cert = \"chain.pem\", key = \"key.pem\" }")?;
        let path = table.doc.path(&found.value);
        if let Err(error) = std::fs::File::open(&path) {
            table.doc.problem(found.at, format!("{} can't be read: {error}", path.display()), "");
        }
        Some(path)
    };
    let (cert, key) = (file("cert"), file("key"));
    tls.finish();
    Some(TlsConfig { cert: cert?, key: key? })
}

/// `{ file = "…" }`, which need not exist yet.
fn key(table: &Table<'_>, key: &'static str) -> Option<PathBuf> {
    let place = table.table(key)?;
    let file = place.need("file", "write { file = \"path\" }");
    place.finish();
    Some(table.doc.path(&file?.value))
}
