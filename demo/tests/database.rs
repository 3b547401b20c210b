//! A private PostgreSQL, as a story: it starts, holds a shop, tells what it ran, and ends.

use std::{
    io::{BufRead, BufReader, Write, stdout},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use countersign_demo::{database::Server, shop::Shops};

/// Runs this very test binary again, as a process that holds a server until it is killed.
const HOLDER: &str = "COUNTERSIGN_TEST_HOLDS_A_SERVER";

#[tokio::test]
async fn a_server_starts_holds_shops_and_tells_what_it_ran() {
    let server = Server::start(None).await.unwrap();
    let shops = Shops::prepare(&server).await.unwrap();
    let first = shops.open(&server, "first").await.unwrap().connect().await.unwrap();
    let second = shops.open(&server, "second").await.unwrap().connect().await.unwrap();

    let before = server.log_position();
    let deleted = first.execute("DELETE FROM orders WHERE status = 'cancelled'", &[]).await.unwrap();
    assert!(deleted > 100, "a shop has cancelled orders, not {deleted}");
    let ran = server.log_since(before).unwrap();
    assert!(ran.contains("DELETE FROM orders") && ran.contains("user=app db=first"), "the log is the judge: {ran}");

    let left: i64 = second.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0);
    assert_eq!(left, 2400, "one shop's loss is not another's");
    let row = second.query_one("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user", &[]);
    let row = row.await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (false, false), "the upstream login is no superuser");
}

#[tokio::test]
async fn a_password_is_demanded_and_stands_in_no_log() {
    let server = Server::start(None).await.unwrap();
    let shops = Shops::prepare(&server).await.unwrap();
    let app = shops.open(&server, "shop").await.unwrap();
    app.connect().await.unwrap();

    let mut config = app.config();
    let refused = config.password("wrong").connect(tokio_postgres::NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "28P01");
    assert!(!server.log_since(0).unwrap().contains(app.password.reveal()));
}

#[tokio::test]
async fn a_folder_that_is_kept_holds_its_rows_when_it_is_taken_up_again() {
    let folder = tempfile::Builder::new().prefix("countersign-kept-").tempdir_in("/tmp").unwrap();
    open_up(folder.path());
    let kept = folder.path().join("database");
    let server = Server::start(Some(kept.clone())).await.unwrap();
    let shops = Shops::prepare(&server).await.unwrap();
    let app = shops.open(&server, "shop").await.unwrap().connect().await.unwrap();
    app.execute("CREATE TABLE kept AS SELECT 42 AS answer", &[]).await.unwrap();
    drop((app, server));

    let server = Server::start(Some(kept)).await.unwrap();
    let shops = Shops::prepare(&server).await.unwrap();
    let app = shops.open(&server, "shop").await.unwrap().connect().await.unwrap();
    let answer: i32 = app.query_one("SELECT answer FROM kept", &[]).await.unwrap().get(0);
    assert_eq!(answer, 42);
}

#[tokio::test]
async fn the_server_is_gone_with_its_folder_when_its_starter_is_killed() {
    if std::env::var_os(HOLDER).is_some() {
        let server = Server::start(None).await.unwrap();
        writeln!(stdout(), "\nholding {} {}", server.port(), server.socket_folder().display()).unwrap();
        std::future::pending::<()>().await;
    }
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "the_server_is_gone_with_its_folder_when_its_starter_is_killed"])
        .env(HOLDER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let facts = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("holding ").map(str::to_owned)).unwrap();
    let (port, folder) = facts.split_once(' ').unwrap();
    let address = ("127.0.0.1", port.parse().unwrap());
    assert!(std::net::TcpStream::connect(address).is_ok(), "the server runs while its starter does");

    holder.kill().unwrap(); // SIGKILL: no destructor runs
    holder.wait().unwrap();
    let killed = Instant::now();
    while std::net::TcpStream::connect(address).is_ok() || Path::new(folder).exists() {
        assert!(killed.elapsed() < Duration::from_secs(20), "the server outlives its starter");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A temporary folder is closed to others; the server's account must pass it.
fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}
