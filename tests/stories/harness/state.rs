//! The state's file, as somebody opens it who got hold of it.

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::Story;

impl Story {
    /// A way into the state beside the gateway's.
    pub async fn state(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.folder().join("countersign.db"));
        SqliteConnection::connect_with(&options).await.expect("the state")
    }
}
