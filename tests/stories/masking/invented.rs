//! Queries of the grammar, each by a channel of its own: nothing planted leaves, and what is not classified is answered as
//! the database answers it.

use std::fmt::Write as _;

use super::{POLICY, channels::Channel, found, grammar::Grammar};
use crate::{fidelity::wire::Wire, harness::Story};

/// So many are asked where nobody says otherwise.
const QUERIES: usize = 800;
/// Of so many it is looked whether the database itself would give something planted: what never would proves nothing.
const PROVED: usize = 100;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_leaves_by_queries_that_nobody_thought_of() {
    let (seed, queries) = (number("COUNTERSIGN_MASK_SEED", 1), number("COUNTERSIGN_MASK_QUERIES", QUERIES));
    let story = Story::with_masks(POLICY, "").await;
    let channels = Channel::ALL;
    let mut work = Vec::new();
    for plain in [false, true] {
        let mut through = Wire::through(&story, "ana", &[]).await;
        let mut direct = Wire::direct(&story.world.upstream, &[]).await;
        work.push(tokio::spawn(async move {
            // Each query is a seed's own, so that one alone can be asked again.
            let count = if plain { queries / 4 } else { queries };
            let (mut answered, mut gives, mut told) = (0, 0, String::new());
            for at in seed..seed + count {
                let query = Grammar::new(at as u64, plain).query();
                let channel = channels[at % channels.len()];
                let answer = channel.asks_within(&mut through, &query, true).await;
                answered += usize::from(answer.error().is_none());
                if let Some(planted) = found(&answer.bytes()) {
                    let bytes = answer.bytes();
                    writeln!(told, "seed {at}, {channel:?}: {query}\n  gives {planted}: {}", bytes.escape_ascii())
                        .unwrap();
                }
                if !plain && at - seed < PROVED {
                    gives +=
                        usize::from(found(&channel.asks_within(&mut direct, &query, true).await.bytes()).is_some());
                }
                if plain && !channel.tells_times() {
                    let straight = channel.asks_within(&mut direct, &query, true).await;
                    // An error says less where the query names a table with something classified.
                    let same = match straight.error() {
                        Some(code) => answer.error() == Some(code),
                        None => straight.is_like(&answer),
                    };
                    if !same {
                        let (one, other) = (straight.bytes(), answer.bytes());
                        let (one, other) = (one.escape_ascii(), other.escape_ascii());
                        writeln!(told, "seed {at}, {channel:?}: {query}\n  directly {one}\n  through {other}").unwrap();
                    }
                }
            }
            (count, answered, gives, told)
        }));
    }
    for (what, work) in ["classified", "plain"].into_iter().zip(work) {
        let (asked, answered, gives, told) = work.await.expect("no panic");
        println!("{what}: {asked} queries from seed {seed} on, {answered} answered");
        let proves = what == "plain" || gives * 10 > asked.min(PROVED);
        assert!(proves, "of {} queries only {gives} would give something planted", asked.min(PROVED));
        assert!(told.is_empty(), "{told}");
        assert!(answered * 3 > asked, "{what}: {answered} of {asked} are answered");
    }
}
