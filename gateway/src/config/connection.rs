//! `[[connection]]` and `[[role]]`.

use std::{collections::BTreeMap, time::Duration};

use url::Url;

use super::{
    ConnectionConfig, Durability, Mode, RoleConfig, Upstream, UpstreamTls,
    reader::{At, Table},
    secrets::secret,
    values,
};

pub(super) fn read(tables: &[Table<'_>]) -> BTreeMap<String, ConnectionConfig> {
    let mut all = BTreeMap::new();
    for table in tables {
        if let Some(one) = connection(table)
            && let Some(other) = all.insert(one.name.clone(), one)
        {
            let message = format!("there are two connections named {:?}", other.name);
            table.doc.problem(table.at, message, "rename one");
        }
    }
    all
}

fn connection(table: &Table<'_>) -> Option<ConnectionConfig> {
    table.must("name", "what clients say as dbname");
    let name = table.read("name", values::name);
    table.must("upstream", "upstream = \"postgres://app@db.acme.dev:5432/shop\"");
    let upstream = table.read("upstream", upstream);
    let password = secret(table, "password");
    let tls = upstream_tls(table, upstream.as_ref().map(|found| found.value.host.as_str()));
    let tags = table.table("tags").map(|tags| tags.all_texts().into_iter().collect()).unwrap_or_default();
    let mode =
        table.read_or("mode", Mode::Enforce, values::one_of(&[("enforce", Mode::Enforce), ("observe", Mode::Observe)]));
    let durability = table.read_or(
        "durability",
        Durability::Relaxed,
        values::one_of(&[("relaxed", Durability::Relaxed), ("strict", Durability::Strict)]),
    );
    let channel = table.text("channel").map(|found| found.value.to_owned());
    not_yet(table);
    table.finish();
    let upstream = Upstream { password, tls: tls?, ..upstream?.value };
    Some(ConnectionConfig { name: name?.value, upstream, tags, mode, channel, durability })
}

/// `postgres://user@host:port/database`; the rest is filled in later.
fn upstream(text: &str) -> Result<Upstream, String> {
    const FORM: &str = "write \"postgres://user@host:5432/database\"";
    let url = Url::parse(text).map_err(|_| FORM)?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(FORM.to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("leave out what follows `?` or `#`; TLS is set by `upstream_tls`".to_owned());
    }
    if url.password().is_some() {
        return Err("take the password out of the URL; write password = { env = \"NAME\" } beside it".to_owned());
    }
    let decoded = |part: &str| values::percent_decoded(part).filter(|part| !part.is_empty()).ok_or(FORM);
    let host = decoded(url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']'))?;
    let database = decoded(url.path().trim_start_matches('/'))?;
    let user = decoded(url.username()).map_err(|_| "name the login: \"postgres://user@host:5432/database\"")?;
    let port = url.port().unwrap_or(5432);
    Ok(Upstream { host, port, user, password: None, database, tls: UpstreamTls::Disable })
}

fn upstream_tls(table: &Table<'_>, host: Option<&str>) -> Option<UpstreamTls> {
    let local = host.is_some_and(values::is_local);
    if table.get("upstream_tls").is_none() {
        return Some(if local { UpstreamTls::Disable } else { UpstreamTls::VerifyFull { ca: None } });
    }
    let tls = table.table("upstream_tls")?;
    let mode = tls.read("mode", |text| match text {
        "verify-full" => Ok(true),
        "disable" => Ok(false),
        _ => {
            Err("use \"verify-full\" or \"disable\"; what lies between protects from nobody who is on the path".into())
        }
    });
    let ca = tls.text("ca").map(|found| {
        let path = table.doc.path(found.value);
        if let Err(error) = std::fs::File::open(&path) {
            table.doc.problem(found.at, format!("{} can't be read: {error}", path.display()), "");
        }
        At { value: path, at: found.at }
    });
    let given = tls.get("mode").is_some();
    tls.finish();
    let verify = if given { mode.as_ref()?.value } else { true };
    match (verify, ca) {
        (true, ca) => Some(UpstreamTls::VerifyFull { ca: ca.map(|ca| ca.value) }),
        (false, Some(ca)) => {
            table.doc.problem(ca.at, "`ca` has no meaning where TLS is disabled", "remove it, or use \"verify-full\"");
            None
        }
        (false, None) => {
            if !local {
                let message = "the database's password and data cross the network in clear";
                table.doc.warning(tls.at, message, "use { mode = \"verify-full\" }");
            }
            Some(UpstreamTls::Disable)
        }
    }
}

/// Keys of later versions. Those that would protect something are refused rather than ignored.
fn not_yet(table: &Table<'_>) {
    let logins = table.tables("logins");
    for login in &logins {
        for key in ["group", "role", "user"] {
            login.text(key);
        }
        login.get("password");
        login.finish();
    }
    if let Some(login) = logins.first() {
        let message = "`logins` is not available in this version, and every session would use the login of `upstream`";
        table.doc.problem(login.at, message, "remove it");
    }
    let classified = table.tables("classify");
    for one in &classified {
        one.need("column", "column = \"public.customers.email\"");
        one.need("as", "as = \"pii\"");
        let masks = ["redact", "null", "hash", "email", "last4", "year"].map(|mask| (mask, ()));
        one.read("mask", values::one_of(&masks));
        one.finish();
    }
    if let Some(one) = classified.first() {
        let message = "`classify` is not available in this version, and the columns would leave unmasked";
        table.doc.problem(one.at, message, "remove it");
    }
    let harmless = |key: &str, at: usize| {
        table.doc.warning(at, format!("`{key}` is read, but has no effect in this version"), "");
    };
    if let Some(found) = table.read("on_hold", values::one_of(&[("wait", false), ("retry", true)]))
        && found.value
    {
        harmless("on_hold", found.at);
    }
    if let Some(found) = table.read("on_doubt", values::one_of(&[("mask", false), ("refuse", true)]))
        && found.value
    {
        harmless("on_doubt", found.at);
    }
    if let Some(found) = table.read("row_tolerance", row_tolerance) {
        harmless("row_tolerance", found.at);
    }
}

/// `10`, `5%`, `10 or 5%`.
fn row_tolerance(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        let part = part.trim();
        part.strip_suffix('%').map_or_else(
            || part.parse::<u32>().is_ok(),
            |percent| percent.trim().parse::<u32>().is_ok_and(|percent| percent <= 100),
        )
    };
    let parts: Vec<&str> = text.split(" or ").collect();
    if parts.len() <= 2 && parts.into_iter().all(part) { Ok(()) } else { Err("write \"10 or 5%\"".to_owned()) }
}

pub(super) fn roles(tables: &[Table<'_>]) -> Vec<RoleConfig> {
    let mut all: Vec<RoleConfig> = Vec::new();
    for table in tables {
        table.must("name", "what /access gives: \"shop-writer\"");
        let name = table.read("name", values::name).map(|found| found.value);
        table.must("max_duration", "the longest grant: \"8h\"");
        let within = Duration::from_secs(60)..=Duration::from_secs(365 * 86_400);
        let max_duration = table.read("max_duration", values::duration(within)).map(|found| found.value);
        table.finish();
        let (Some(name), Some(max_duration)) = (name, max_duration) else { continue };
        if all.iter().any(|other| other.name == name) {
            table.doc.problem(table.at, format!("there are two roles named {name:?}"), "rename one");
        }
        all.push(RoleConfig { name, max_duration });
    }
    all
}
