//! A program that speaks PostgreSQL to the gateway, with a token as its password.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_postgres::{AsyncMessage, Config, Error, NoTls, SimpleQueryMessage, error::DbError, types::ToSql};

use super::PATIENCE;

/// An error as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// SQLSTATE; `closed` where the connection is gone.
    pub code: String,
    pub message: String,
    pub detail: String,
    pub hint: String,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match error.as_db_error() {
            Some(said) => Self {
                code: said.code().code().to_owned(),
                message: said.message().to_owned(),
                detail: text(said.detail()),
                hint: text(said.hint()),
            },
            None => {
                Self { code: "closed".into(), message: error.to_string(), detail: String::new(), hint: String::new() }
            }
        }
    }
}

/// What a simple query gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Every row of every statement, as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows affected, one number for each statement.
    pub affected: Vec<u64>,
}

/// A statement on its way.
pub struct Running<T>(JoinHandle<Result<T, Error>>);

impl<T> Running<T> {
    pub fn waits(&self) -> bool {
        !self.0.is_finished()
    }

    /// Waits for its end, whatever that is.
    pub async fn is_over(&self) {
        let mut looks = interval(Duration::from_millis(25));
        while self.waits() {
            looks.tick().await;
        }
    }

    /// How it ends.
    pub async fn ends(self) -> Result<T, Refused> {
        let ended = timeout(PATIENCE, self.0).await.expect("the statement ends");
        Ok(ended.expect("no panic")?)
    }

    /// The error that it ends with.
    pub async fn gets_refused(self) -> Refused {
        match self.ends().await {
            Ok(_) => panic!("it ran"),
            Err(refused) => refused,
        }
    }
}

/// A logged-in session.
pub struct Client {
    pub pg: Arc<tokio_postgres::Client>,
    notices: Mutex<mpsc::UnboundedReceiver<DbError>>,
    connection: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub async fn log_in(gateway: SocketAddr, connection: &str, token: &str) -> Result<Self, Refused> {
        let mut config = Config::new();
        config.host(gateway.ip().to_string()).port(gateway.port()).dbname(connection).password(token);
        config.user("").application_name("stories").connect_timeout(PATIENCE);
        Self::log_in_with(&config).await
    }

    pub async fn log_in_with(config: &Config) -> Result<Self, Refused> {
        let (pg, mut connection) = timeout(PATIENCE, config.connect(NoTls)).await.expect("an answer to the login")?;
        let (told, notices) = mpsc::unbounded_channel();
        let connection = tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message
                    && told.send(notice).is_err()
                {
                    break;
                }
            }
        });
        Ok(Self { pg: Arc::new(pg), notices: Mutex::new(notices), connection })
    }

    /// Sends statements by the simple protocol, as psql does.
    pub fn runs(&self, sql: &str) -> Running<Answer> {
        let (pg, sql) = (self.pg.clone(), sql.to_owned());
        Running(tokio::spawn(async move {
            let mut answer = Answer::default();
            for message in pg.simple_query(&sql).await? {
                match message {
                    SimpleQueryMessage::Row(row) => {
                        answer.rows.push((0..row.len()).map(|n| row.get(n).map(str::to_owned)).collect());
                    }
                    SimpleQueryMessage::CommandComplete(count) => answer.affected.push(count),
                    _ => {}
                }
            }
            Ok(answer)
        }))
    }

    /// Sends a statement by the extended protocol, as drivers do.
    pub fn executes(&self, sql: &str, values: Vec<Box<dyn ToSql + Sync + Send>>) -> Running<u64> {
        let (pg, sql) = (self.pg.clone(), sql.to_owned());
        Running(tokio::spawn(async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
            pg.execute(&sql, &values).await
        }))
    }

    /// The id in the notice that says the statement is held.
    pub async fn is_held(&self) -> String {
        let notice = self.is_told_that_it_is_held().await;
        notice.split_whitespace().next().expect("an id").to_owned()
    }

    /// What the notice says, from the id on.
    pub async fn is_told_that_it_is_held(&self) -> String {
        self.is_held_or_gone().await.expect("a notice, not the end of the connection")
    }

    /// The same; nothing where the connection ends first.
    pub async fn is_held_or_gone(&self) -> Option<String> {
        let mut notices = self.notices.lock().await;
        let notice = async {
            while let Some(notice) = notices.recv().await {
                if let Some((_, rest)) = notice.message().split_once("held for approval ") {
                    return Some(rest.to_owned());
                }
            }
            None
        };
        timeout(PATIENCE, notice).await.expect("a notice that the statement is held")
    }

    /// The notice that has these words.
    pub async fn is_told(&self, words: &str) -> String {
        let mut notices = self.notices.lock().await;
        loop {
            let notice = notices.recv().await.expect("a notice, not the end of the connection");
            if notice.message().contains(words) {
                return notice.message().to_owned();
            }
        }
    }

    /// Ctrl-C.
    pub async fn presses_ctrl_c(&self) {
        self.pg.cancel_token().cancel_query(NoTls).await.expect("a cancel request is taken");
    }

    /// The socket is gone, without a goodbye.
    pub fn closes(&self) {
        self.connection.abort();
    }
}
