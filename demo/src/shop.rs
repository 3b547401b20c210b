//! The shop: what the demo's database holds, and the login that the gateway uses upstream.

use crate::database::{DatabaseError, Login, Server, quoted};

/// The tables and the rows.
pub const SQL: &str = include_str!("shop.sql");
/// The upstream login. It owns the shop, and is no superuser.
pub const LOGIN: &str = "app";
const TEMPLATE: &str = "shop_template";

/// A server's shops: the rows are made once and copied for each database.
#[derive(Clone, Debug)]
pub struct Shops {
    app: Login,
}

impl Shops {
    /// Makes the login and the template on `server`, where they are missing.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn prepare(server: &Server) -> Result<Self, DatabaseError> {
        let app = server.create_login(LOGIN, TEMPLATE).await?;
        if !exists(server, TEMPLATE).await? {
            // Filled under another name: a template that is there is whole.
            let draft = format!("{TEMPLATE}_draft");
            let admin = server.superuser("postgres").connect().await?;
            admin.batch_execute(&format!("DROP DATABASE IF EXISTS {}", quoted(&draft))).await?;
            server.create_database(&draft, Some(LOGIN)).await?;
            fill(&app.on(&draft)).await?;
            close(server, &draft).await?;
            let rename = format!("ALTER DATABASE {} RENAME TO {}", quoted(&draft), quoted(TEMPLATE));
            admin.batch_execute(&rename).await?;
        }
        Ok(Self { app })
    }

    /// A shop of its own under `name`, made unless it is there. Tells how `app` gets in.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub async fn open(&self, server: &Server, name: &str) -> Result<Login, DatabaseError> {
        if !exists(server, name).await? {
            server.copy_database(TEMPLATE, name, Some(LOGIN)).await?;
        }
        Ok(self.app.on(name))
    }
}

async fn fill(owner: &Login) -> Result<(), DatabaseError> {
    Ok(owner.connect().await?.batch_execute(SQL).await?)
}

/// Ends what is still connected to `database`: a backend outlives its client by a moment.
async fn close(server: &Server, database: &str) -> Result<(), DatabaseError> {
    let admin = server.superuser("postgres").connect().await?;
    let ends = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1";
    admin.execute(ends, &[&database]).await?;
    Ok(())
}

async fn exists(server: &Server, database: &str) -> Result<bool, DatabaseError> {
    let admin = server.superuser("postgres").connect().await?;
    Ok(admin.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&database]).await?.is_some())
}
