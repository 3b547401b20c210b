//! Where a connection leads: `upstream`, `password`, `upstream_tls`, `logins`.

use std::{path::Path, sync::Arc};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use url::Url;

use super::{
    password::Password,
    reader::{At, Table},
    secrets::password,
    values,
};

/// Where a connection leads, and as whom.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Host name, IP address, or folder of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Login.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Password>,
    /// Database.
    pub database: String,
    /// TLS.
    pub tls: UpstreamTls,
}

/// `upstream_tls`, in libpq's words.
#[derive(Clone, Debug, Default)]
pub enum UpstreamTls {
    /// None; the default on loopback and Unix sockets.
    #[default]
    Disable,
    /// Against listeners only: nobody says who the server is.
    Require,
    /// The chain, whatever the host's name.
    VerifyCa(Authorities),
    /// Chain and host name; the default elsewhere.
    VerifyFull(Authorities),
}

/// Who may vouch for a server.
#[derive(Clone, Debug)]
pub struct Authorities(pub Arc<RootCertStore>);

/// A login, and whose it is.
#[derive(Clone, Debug)]
pub struct LoginRule {
    /// Whose.
    pub whose: Whose,
    /// Login upstream.
    pub user: String,
    /// Its password, if it needs one.
    pub password: Option<Password>,
    /// Where in the file it stands.
    pub(super) at: usize,
}

/// Who has a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Members of a group.
    Group(String),
    /// Holders of a role.
    Role(String),
}

pub(super) fn read(table: &Table<'_>) -> Option<Upstream> {
    table.must("upstream", "upstream = \"postgres://app@db.acme.dev:5432/shop\"");
    let upstream = table.read("upstream", url);
    let password = password(table, "password");
    let tls = tls(table, upstream.as_ref().map(|found| found.value.host.as_str()));
    Some(Upstream { password, tls: tls?, ..upstream?.value })
}

/// `postgres://user@host:port/database`; the rest is filled in later.
fn url(text: &str) -> Result<Upstream, String> {
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

fn tls(table: &Table<'_>, host: Option<&str>) -> Option<UpstreamTls> {
    let local = host.is_some_and(values::is_local);
    if table.get("upstream_tls").is_none() {
        return if local { Some(UpstreamTls::Disable) } else { system(table).map(UpstreamTls::VerifyFull) };
    }
    let below = table.table("upstream_tls")?;
    let mode = below.read(
        "mode",
        values::one_of(&[
            ("verify-full", Mode::VerifyFull),
            ("verify-ca", Mode::VerifyCa),
            ("require", Mode::Require),
            ("disable", Mode::Disable),
        ]),
    );
    let ca = below.text("ca").map(|found| At { value: table.doc.path(found.value), at: found.at });
    let given = below.get("mode").is_some();
    below.finish();
    let mode = if given { mode?.value } else { Mode::VerifyFull };
    if mode != Mode::Disable && host.is_some_and(|host| host.starts_with('/')) {
        table.doc.problem(below.at, "PostgreSQL speaks no TLS on a Unix socket", "remove `upstream_tls`");
        return None;
    }
    let authorities = match (mode, ca) {
        (Mode::Disable | Mode::Require, Some(ca)) => {
            table.doc.problem(ca.at, "`ca` has no meaning in this mode", "remove it, or use \"verify-full\"");
            return None;
        }
        (Mode::Disable | Mode::Require, None) => None,
        (Mode::VerifyCa | Mode::VerifyFull, Some(ca)) => Some(named(table, &ca)?),
        (Mode::VerifyCa | Mode::VerifyFull, None) => Some(system(table)?),
    };
    if !local && matches!(mode, Mode::Disable) {
        let message = "the database's password and data cross the network in clear";
        table.doc.warning(below.at, message, "use { mode = \"verify-full\" }");
    }
    if !local && matches!(mode, Mode::Require) {
        let message = "nobody verifies the database's certificate, so whoever is on the path may stand in for it";
        table.doc.warning(below.at, message, "use { mode = \"verify-full\", ca = \"ca.pem\" }");
    }
    Some(match (mode, authorities) {
        (Mode::VerifyCa, Some(authorities)) => UpstreamTls::VerifyCa(authorities),
        (Mode::VerifyFull, Some(authorities)) => UpstreamTls::VerifyFull(authorities),
        (Mode::Require, _) => UpstreamTls::Require,
        _ => UpstreamTls::Disable,
    })
}

fn named(table: &Table<'_>, ca: &At<std::path::PathBuf>) -> Option<Authorities> {
    authorities(&ca.value)
        .map_err(|why| table.doc.problem(ca.at, format!("{}: {why}", ca.value.display()), "name a PEM file"))
        .ok()
}

fn authorities(file: &Path) -> Result<Authorities, String> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| format!("no certificates can be read: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|error| format!("a certificate is no authority's: {error}"))?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(Authorities(Arc::new(roots))) }
}

impl Authorities {
    /// The machine's; none where it has none, and then nobody can be verified.
    #[must_use]
    pub fn of_the_system() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self(Arc::new(roots))
    }

    /// Those of a PEM file.
    ///
    /// # Errors
    /// In a sentence.
    pub fn of_file(file: &Path) -> Result<Self, String> {
        authorities(file)
    }
}

/// The system's.
fn system(table: &Table<'_>) -> Option<Authorities> {
    let system = Authorities::of_the_system();
    if system.0.is_empty() {
        let message = "this machine has no certificates of authorities to verify the database by";
        table.doc.problem(table.at, message, "upstream_tls = { mode = \"verify-full\", ca = \"ca.pem\" }");
        return None;
    }
    Some(system)
}

pub(super) fn logins(table: &Table<'_>) -> Vec<LoginRule> {
    table.tables("logins").iter().filter_map(login).collect()
}

fn login(table: &Table<'_>) -> Option<LoginRule> {
    const FORM: &str = "{ group = \"engineering\", user = \"cs_ro\", password = { env = \"NAME\" } }";
    let (group, role) = (table.filled("group"), table.filled("role"));
    let user = table.need("user", FORM);
    let password = password(table, "password");
    table.finish();
    let whose = match (group, role) {
        (Some(group), None) => Whose::Group(group),
        (None, Some(role)) => Whose::Role(role),
        (None, None) if table.get("group").is_some() || table.get("role").is_some() => return None,
        _ => {
            table.doc.problem(table.at, format!("{} must name one `group` or one `role`", table.name), FORM);
            return None;
        }
    };
    Some(LoginRule { whose, user: user?.value, password, at: table.at })
}
