//! A way into a database.

use std::fmt;

use countersign_shared::secret::Secret;
use tokio_postgres::{Client, Config, NoTls};
use url::Url;

use super::DatabaseError;

/// Who logs in where, directly, not through the gateway.
#[derive(Clone, Debug)]
pub struct Login {
    /// Always an address on this machine, unless somebody named another database.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
    /// Its password; empty where none is needed.
    pub password: Secret<String>,
}

impl Login {
    /// Takes a `postgres://user:password@host:port/database` URL apart.
    ///
    /// # Errors
    /// Which part is missing.
    pub fn from_url(url: &Url) -> Result<Self, DatabaseError> {
        let bad = |what| DatabaseError::Url(what);
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad("it does not start with postgres://"));
        }
        let config: Config = url.as_str().parse().map_err(|_| bad("PostgreSQL's own rules refuse it"))?;
        let user = config.get_user().ok_or_else(|| bad("it names no user"))?;
        let password = config.get_password().unwrap_or_default();
        Ok(Self {
            host: url.host_str().ok_or_else(|| bad("it names no host"))?.to_owned(),
            port: url.port().unwrap_or(5432),
            database: config.get_dbname().unwrap_or(user).to_owned(),
            user: user.to_owned(),
            password: Secret::new(String::from_utf8_lossy(password).into_owned()),
        })
    }

    /// The same role on another database of the same server.
    #[must_use]
    pub fn on(&self, database: &str) -> Self {
        Self { database: database.into(), ..self.clone() }
    }

    /// As a URL without the password: fit for a config file or a log.
    #[must_use]
    pub fn url(&self) -> String {
        self.to_string()
    }

    /// For `tokio_postgres`.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).dbname(&self.database).user(&self.user);
        config.password(self.password.reveal()).application_name("countersign-demo");
        config
    }

    /// Connects without TLS. The connection lives until the client is dropped.
    ///
    /// # Errors
    /// What PostgreSQL or the network says.
    pub async fn connect(&self) -> Result<Client, DatabaseError> {
        let (client, connection) = self.config().connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the database ended");
            }
        });
        Ok(client)
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_told_without_its_password() {
        let url = "postgres://app:p%40ss@db.acme.dev:6000/shop".parse().unwrap();
        let login = Login::from_url(&url).unwrap();
        assert_eq!(login.password.reveal(), "p@ss");
        assert_eq!(login.url(), "postgres://app@db.acme.dev:6000/shop");
        assert!(!format!("{login:?}").contains("p@ss"));
    }

    #[test]
    fn a_url_that_leads_nowhere_is_refused() {
        for (url, why) in [
            ("mysql://app@db/shop", "another database's scheme"),
            ("postgres://db/shop", "nobody to log in as"),
            ("postgres:shop", "no host"),
        ] {
            assert!(Login::from_url(&url.parse().unwrap()).is_err(), "{why}: {url}");
        }
    }
}
