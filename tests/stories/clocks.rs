//! What the log says of the gateway's own clock.

use serde_json::Value;

use crate::{evidence::said, harness::Story};

#[tokio::test(flavor = "multi_thread")]
async fn how_far_the_clock_is_off_is_in_the_log_and_told_to_whoever_watches() {
    let often =
        |config: &str, _: &std::path::Path| config.replacen("[gateway]\n", "[gateway]\nclock_interval = \"1s\"\n", 1);
    let story = Story::gateway_with(often).await;
    let log = story.folder().join("records/log/00000001.jsonl");
    let entries = || {
        let text = std::fs::read_to_string(&log).expect("the log");
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        entries.filter(|entry| entry["kind"] == "clock").collect::<Vec<_>>()
    };
    story.until(|| entries().len() >= 2).await;

    let entry = &entries()[0];
    assert_eq!(entry["outcome"], "this clock is within a second of the others");
    let others = entry["detail"]["others"].as_array().expect("others");
    let of = |begin: &str| {
        let one = others.iter().find(|one| one["of"].as_str().is_some_and(|of| of.starts_with(begin)));
        one.unwrap_or_else(|| panic!("no {begin} in {entry}"))
    };
    // They share one clock with the gateway, so it can be off by no more than is not known of it.
    for of in [of("database of shop"), of("issuer http")] {
        let (ahead, within) = (of["ahead_ms"].as_f64().expect("known"), of["within_ms"].as_f64().expect("known"));
        assert!(ahead.abs() <= within + 1.0, "{of}");
    }
    let found = story.tells(&["audit", "search", "kind:clock"]).await;
    assert!(found.status.success() && said(&found).contains("within a second"), "{}", said(&found));

    let watched =
        reqwest::get(story.world.facts.control.join("metrics").expect("an address")).await.expect("an answer");
    let text = watched.text().await.expect("text");
    assert!(text.contains("countersign_clock_ahead_seconds{of=\"database of shop\"}"), "{text}");
}
