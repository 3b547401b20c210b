//! Runs a command that has two ways into one database: straight, and through the real gateway under
//! a policy that allows everything. Whatever the command finds to differ is the gateway's doing.
//!
//! `through DATABASE COMMAND [ARGUMENTS…]`; the command finds, in its environment, for `DIRECT` and
//! `THROUGH`: `…_HOST`, `…_PORT`, `…_USER`, `…_PASSWORD`, and beside them `DATABASE`, `PG_BIN`,
//! `GATEWAY_LOG`, `SCIM_URL` and `SCIM_TOKEN`.

use std::{
    error::Error,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use countersign_demo::{
    database::{Login, Server},
    people::People,
    world::{World, WorldConfig},
};
use tokio::{
    process::{Child, Command},
    time::{Instant, interval},
};
use url::Url;

/// Classified, recorded and asked of policy like any other; held or denied never.
const ALLOW_ALL: &str = "permit (principal, action, resource);\n";
/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Good only for as long as this program runs, and on this machine.
const SCIM_TOKEN: &str = "for-the-tests-alone-0123456789";
/// Who logs in through the gateway.
const WHO: &str = "ana";

#[tokio::main]
async fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (Some(database), Some(program)) = (words.next(), words.next()) else {
        eprintln!("usage: through DATABASE COMMAND [ARGUMENTS...]");
        return ExitCode::from(2);
    };
    // One TLS and one crypto backend for everything in the process.
    let _first = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(&database, &program, words.collect()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("through: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(database: &str, program: &str, arguments: Vec<String>) -> Result<u8, Box<dyn Error>> {
    let server = Server::start(None).await?;
    let direct = server.create_database(database, None).await?;
    let (world, _gateway, said) = gateway(&direct).await?;
    let (listen, person) = (world.facts.listen, world.idp.person(WHO)?);
    let status = Command::new(program)
        .args(arguments)
        .env("DATABASE", database)
        .env("PG_BIN", server.program("psql").parent().unwrap_or_else(|| Path::new("")))
        .env("GATEWAY_LOG", said)
        .env("SCIM_URL", world.facts.control.join("scim/v2")?.as_str())
        .env("SCIM_TOKEN", SCIM_TOKEN)
        .env("DIRECT_HOST", &direct.host)
        .env("DIRECT_PORT", direct.port.to_string())
        .env("DIRECT_USER", &direct.user)
        .env("DIRECT_PASSWORD", direct.password.reveal())
        .env("THROUGH_HOST", listen.ip().to_string())
        .env("THROUGH_PORT", listen.port().to_string())
        .env("THROUGH_USER", &person.email)
        .env("THROUGH_PASSWORD", world.idp.token_for(WHO)?)
        .status()
        .await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Starts the gateway in front of `direct`; its stderr goes to the file that is returned.
async fn gateway(direct: &Login) -> Result<(World, Child, PathBuf), Box<dyn Error>> {
    let mut url = Url::parse(&direct.url())?;
    url.set_password(Some(direct.password.reveal())).map_err(|()| "the database's address takes no password")?;
    let config = WorldConfig { database_url: Some(url), people: People::acme(), ..WorldConfig::default() };
    let world = World::start(config).await?;
    let file = &world.facts.config;
    let renamed = fs::read_to_string(file)?
        .replace("name     = \"shop\"", &format!("name     = {}", serde_json::json!(direct.database)));
    fs::write(file.with_file_name("scim.token"), SCIM_TOKEN)?;
    fs::write(file, format!("{renamed}\n[scim]\ntoken = {{ file = \"scim.token\" }}\n"))?;
    for entry in fs::read_dir(&world.facts.policy)? {
        fs::remove_file(entry?.path())?;
    }
    fs::write(world.facts.policy.join("allow.cedar"), ALLOW_ALL)?;

    let said = file.with_file_name("gateway.stderr");
    let binary = std::env::current_exe()?.with_file_name("countersign-under-test");
    let mut child = Command::new(binary)
        .arg("--config")
        .arg(file)
        .arg("gateway")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said)?)
        .kill_on_drop(true)
        .spawn()?;
    let health = world.facts.control.join("healthz")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let (deadline, mut tries) = (Instant::now() + PATIENCE, interval(Duration::from_millis(25)));
    loop {
        tries.tick().await;
        if client.get(health.clone()).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok((world, child, said));
        }
        if child.try_wait()?.is_some() || Instant::now() > deadline {
            return Err(format!("the gateway did not start:\n{}", fs::read_to_string(&said)?).into());
        }
    }
}
