//! A database server that speaks TLS, and asks for passwords in every way that there is.

use std::time::Duration;

use countersign_demo::{
    database::{Login, Server},
    shop::Shops,
};
use tokio::{
    sync::OnceCell,
    time::{interval, timeout},
};

use super::{
    PATIENCE,
    tls::{Authority, Identity},
};

/// Each login's name says how it is asked. `app` owns the shop.
const RULES: &str = "
hostssl all only_tls all scram-sha-256
hostnossl all only_tls all reject
host all by_md5 all md5
host all in_clear all password
host all all 127.0.0.1/32 scram-sha-256
";
/// The password of every login but the superuser's.
pub const PASSWORD: &str = "a password, with 'quotes' and \\ and é";

/// The server.
pub struct Guarded {
    pub server: Server,
    /// Vouches for the server, under 127.0.0.1 and no name.
    pub authority: Authority,
    /// The server's own.
    pub identity: Identity,
    pub shop: Login,
}

static GUARDED: OnceCell<Guarded> = OnceCell::const_new();

/// One for all stories. It ends with the process.
pub async fn guarded() -> &'static Guarded {
    GUARDED.get_or_init(start).await
}

async fn start() -> Guarded {
    let server = Server::start(None).await.expect("a PostgreSQL server");
    let shops = Shops::prepare(&server).await.expect("a shop to copy");
    let shop = shops.open(&server, "guarded").await.expect("a shop");
    let authority = Authority::new("Guarded");
    let identity = authority.vouches_for(&["127.0.0.1"]);
    let admin = server.superuser("postgres").connect().await.expect("the superuser");
    let quoted = PASSWORD.replace('\'', "''");
    for (name, encryption) in [
        ("only_tls", "scram-sha-256"),
        ("by_md5", "md5"),
        ("in_clear", "scram-sha-256"),
        ("cs_ro", "scram-sha-256"),
        ("cs_rw", "scram-sha-256"),
        ("rotated", "scram-sha-256"),
    ] {
        let sql = format!(
            "SET password_encryption = '{encryption}'; CREATE ROLE {name} LOGIN PASSWORD '{quoted}'; GRANT app TO {name}"
        );
        admin.batch_execute(&sql).await.expect("a login");
    }
    // The server writes its own files: it may run under another account than the test.
    for (file, text) in
        [("server.crt", identity.certificate.as_str()), ("server.key", &identity.key), ("pg_hba.conf", RULES)]
    {
        let sql = format!(
            "COPY (SELECT unnest(string_to_array(trim($text${text}$text$, E'\\n'), E'\\n'))) \
             TO PROGRAM 'umask 077; cat > {file}'"
        );
        admin.batch_execute(&sql).await.expect("a file");
    }
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.expect("a setting");
    admin.batch_execute("SELECT pg_reload_conf()").await.expect("a reload");
    let mut looks = interval(Duration::from_millis(25));
    let speaks = async {
        loop {
            looks.tick().await;
            let fresh = server.superuser("postgres").connect().await.expect("the superuser");
            let shown = fresh.query_one("SHOW ssl", &[]).await.expect("a setting");
            if shown.get::<_, String>(0) == "on" {
                return;
            }
        }
    };
    timeout(PATIENCE, speaks).await.expect("the server speaks TLS");
    Guarded { server, authority, identity, shop }
}

impl Guarded {
    /// `host:port/database` in an upstream's URL.
    pub fn address(&self, host: &str) -> String {
        format!("{host}:{}/{}", self.shop.port, self.shop.database)
    }

    /// Whether each of a login's connections is encrypted.
    pub async fn encrypted(&self, login: &str) -> Vec<bool> {
        let admin = self.server.superuser("postgres").connect().await.expect("the superuser");
        let sql = "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = $1";
        admin.query(sql, &[&login]).await.expect("rows").iter().map(|row| row.get(0)).collect()
    }

    /// Waits until a statement of this login sleeps.
    pub async fn sleeps(&self, login: &str) {
        let admin = self.server.superuser("postgres").connect().await.expect("the superuser");
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event = 'PgSleep'";
        let mut looks = interval(Duration::from_millis(25));
        let sleeps = async {
            while admin.query_one(sql, &[&login]).await.expect("a number").get::<_, i64>(0) == 0 {
                looks.tick().await;
            }
        };
        timeout(PATIENCE, sleeps).await.expect("it sleeps");
    }

    /// Gives a login another password.
    pub async fn rotates(&self, login: &str, password: &str) {
        let admin = self.server.superuser("postgres").connect().await.expect("the superuser");
        admin.batch_execute(&format!("ALTER ROLE {login} PASSWORD '{password}'")).await.expect("another password");
    }
}
