//! How long a hold keeps people waiting beyond their own thinking. Run it alone, on a machine that does nothing
//! else; a release build is faster.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::Story;

const REQUESTS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: cargo test -p countersign-tests --test stories holding_time -- --ignored --nocapture"]
#[allow(clippy::print_stderr, reason = "it prints what it measured")]
async fn how_long_it_takes_from_a_statement_to_its_card_and_from_the_click_to_its_answer() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let (mut cards, mut answers) = (Vec::new(), Vec::new());
    for number in 1..=REQUESTS {
        let began = Instant::now();
        let delete = ana.runs(&format!("delete from orders where id = {number}"));
        let id = ana.is_held().await;
        story.card(&id).await;
        cards.push(began.elapsed());
        // Its place is written on the request before somebody can have read it.
        story.card_is_known(&id).await;
        let clicked = Instant::now();
        priya.presses("approve", &id).await;
        delete.ends().await.expect("it runs");
        answers.push(clicked.elapsed());
    }
    for (what, mut times) in [("statement to card", cards), ("click to the statement's answer", answers)] {
        times.sort();
        let at = |part: usize| times[(times.len() * part).div_ceil(100) - 1];
        eprintln!("{what}: median {:?}, p90 {:?}, max {:?}", at(50), at(90), at(100));
        assert!(at(50) < Duration::from_secs(5), "nobody waits for seconds");
    }
}
