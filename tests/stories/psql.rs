//! The real psql.

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::harness::Story;

#[tokio::test(flavor = "multi_thread")]
async fn what_psql_asks_of_the_catalog_passes() {
    let story = Story::begin().await;
    let (mut failed, mut compared) = (Vec::new(), 0);
    for (command, shown) in [
        (r"\d", "order_totals"),
        (r"\dt", "customers"),
        (r"\d orders", "orders_status_created_at"),
        (r"\d+ order_totals", "View definition"),
        (r"\l", "postgres"),
        (r"\df", "List of functions"),
        (r"\du", "app"),
        (r"\dn", "public"),
        ("table customers", "(800 rows)"),
    ] {
        // An older psql can't describe a newer server, with or without the gateway.
        if !story.psql_runs_directly(command).await.status.success() {
            continue;
        }
        let output = story.psql_runs("ana", command).await;
        compared += 1;
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() || !said.contains(shown) {
            failed.push(format!("{command}: {said}{wrong}"));
        }
    }
    assert!(failed.is_empty() && compared > 0, "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_waits_and_goes_on() {
    let story = Story::begin().await;
    let priya = story.linked("priya").await;
    let cancelled = story.number("select count(*) from orders where status = 'cancelled'").await;
    let mut psql =
        story.psql("ana").args(["-c", "delete from orders where status = 'cancelled'"]).spawn().expect("psql");
    let mut said = BufReader::new(psql.stderr.take().expect("stderr")).lines();
    let notice = said.next_line().await.expect("a line").expect("a notice");
    let (_, rest) = notice.split_once("held for approval ").unwrap_or_else(|| panic!("{notice}"));
    priya.presses("approve", rest.split_whitespace().next().expect("an id")).await;
    let output = psql.wait_with_output().await.expect("psql ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("DELETE {cancelled}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_shows_why_somebody_said_no() {
    let story = Story::begin().await;
    let priya = story.linked("priya").await;
    let mut psql = story.psql("ana").args(["-c", "delete from orders"]).spawn().expect("psql");
    let mut said = BufReader::new(psql.stderr.take().expect("stderr")).lines();
    let notice = said.next_line().await.expect("a line").expect("a notice");
    let (_, rest) = notice.split_once("held for approval ").unwrap_or_else(|| panic!("{notice}"));
    priya.denies(rest.split_whitespace().next().expect("an id"), "all of them, on a Friday?").await;
    let mut rest = String::new();
    while let Some(line) = said.next_line().await.expect("a line") {
        rest = format!("{rest}{line}\n");
    }
    assert!(rest.contains("ERROR:") && rest.contains("denied by priya@acme.dev"), "{rest}");
    assert!(rest.contains("all of them, on a Friday?"), "{rest}");
    assert!(!psql.wait().await.expect("psql ends").success());
    assert!(!story.database_ran("delete from orders"));
}
