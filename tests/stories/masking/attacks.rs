//! Ways around: sessions of several steps, each of which tries to get a planted value out, or to learn
//! something of it. `attacks.txt` has them, each with its reason; `attacks.sql` what they use.

use std::fmt::Write as _;

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{POLICY, found, lines};
use crate::{fidelity::wire::Wire, harness::Story, masking::channels::Answer};

/// What one Query answers, or nothing more where the session ended.
async fn says(wire: &mut Wire, sql: &str) -> (Answer, bool) {
    let mut out = BytesMut::new();
    frontend::query(sql, &mut out).expect("a Query");
    wire.send(&out).await;
    let mut frames = Vec::new();
    loop {
        let Some(frame) = wire.frame().await else { return (Answer(frames), true) };
        let ready = frame.tag == b'Z';
        frames.push(frame);
        if ready {
            return (Answer(frames), false);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_around_gives_a_planted_value_or_tells_of_one() {
    let story = Story::with_masks_over(POLICY, "", include_str!("attacks.sql")).await;
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let toast = direct
        .query_one(
            "select relname from pg_class where oid = (select reltoastrelid from pg_class where relname = 'big')",
            &[],
        )
        .await
        .expect("its long values' table");
    let toast: String = toast.get(0);
    let (mut told, mut forms) = (String::new(), 0);
    for line in lines(include_str!("attacks.txt")) {
        let [expected, steps, why] = line.as_slice() else { panic!("no three parts: {line:?}") };
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut last = None;
        for step in steps.split(";;") {
            let (answer, ended) = says(&mut wire, &step.trim().replace("{toast}", &toast)).await;
            if let Some(planted) = found(&answer.bytes()) {
                writeln!(told, "LEAK {step} ({why}) in {steps}\n  {planted}: {}", answer.bytes().escape_ascii())
                    .unwrap();
            }
            last = Some(answer);
            if ended {
                break;
            }
        }
        let answer = last.expect("a step");
        let refused = answer.error().is_some_and(|code| code == "42501");
        let good = match *expected {
            "masked" => answer.error().is_none(),
            "refused" => refused,
            _ => true,
        };
        if !good {
            writeln!(told, "NOT {expected}: {steps} ({why})\n  {}", answer.bytes().escape_ascii()).unwrap();
        }
        forms += 1;
    }
    assert!(forms > 100, "{forms} forms");
    assert!(told.is_empty(), "{told}");
}
