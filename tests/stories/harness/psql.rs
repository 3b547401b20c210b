//! The real psql.

use std::process::{Output, Stdio};

use tokio::{process::Command, time::timeout};

use super::{PATIENCE, Story, server};

impl Story {
    /// psql, logged in as `who` through the gateway, without anybody's ~/.psqlrc.
    pub fn psql(&self, who: &str) -> Command {
        let (listen, person) = (self.world.facts.listen, self.world.idp.person(who).expect("somebody"));
        let line = format!("host={} port={} dbname=shop user={}", listen.ip(), listen.port(), person.email);
        let mut command = Command::new(server().psql());
        command.arg("-X").arg(line).env("PGPASSWORD", self.world.idp.token_for(who).expect("a token"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Runs `psql -c command` to its end, straight to the database.
    pub async fn psql_runs_directly(&self, command: &str) -> Output {
        let upstream = &self.world.upstream;
        let line = format!(
            "host={} port={} dbname={} user={}",
            upstream.host, upstream.port, upstream.database, upstream.user
        );
        let mut psql = Command::new(server().psql());
        psql.arg("-X").arg(line).args(["-v", "ON_ERROR_STOP=1", "-c", command]).stdin(Stdio::null());
        let output = psql.env("PGPASSWORD", upstream.password.reveal()).kill_on_drop(true).output();
        timeout(PATIENCE, output).await.expect("psql ends").expect("psql")
    }

    /// Runs `psql -c command` to its end.
    pub async fn psql_runs(&self, who: &str, command: &str) -> Output {
        let output = self.psql(who).args(["-v", "ON_ERROR_STOP=1", "-c", command]).output();
        timeout(PATIENCE, output).await.expect("psql ends").expect("psql")
    }
}
