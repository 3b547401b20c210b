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

/// What is sent in the extended protocol, up to a Sync.
#[derive(Clone, Copy)]
enum Say {
    Query(&'static str),
    Parse(&'static str, &'static str),
    /// Portal, statement.
    Bind(&'static str, &'static str),
    Describe(&'static str),
    Execute(&'static str, i32),
    CloseStatement(&'static str),
    Sync,
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_two_protocols_share_give_no_planted_value() {
    use Say::{Bind, CloseStatement, Describe, Execute, Parse, Query, Sync};
    const MAILS: &str = "select lower(email) from people";
    const LABELS: &str = "select label from goods";
    let sessions: [(&str, &[Say]); 8] = [
        ("a statement of the protocol, run by SQL", &[Parse("s", MAILS), Sync, Query("execute s")]),
        (
            "a statement of SQL, bound by the protocol",
            &[Query("prepare s as select lower(email) from people"), Bind("", "s"), Execute("", 0), Sync],
        ),
        (
            "a name that an error kept from being given again",
            &[
                Parse("s", MAILS),
                Sync,
                Parse("", "selec 1"),
                CloseStatement("s"),
                Parse("s", LABELS),
                Sync,
                Bind("", "s"),
                Execute("", 0),
                Sync,
            ],
        ),
        (
            "a name that is taken",
            &[Parse("s", MAILS), Sync, Parse("s", LABELS), Sync, Bind("", "s"), Execute("", 0), Sync],
        ),
        (
            "a cursor of SQL, run by the protocol",
            &[
                Query("begin"),
                Query("declare k cursor for select lower(email) from people"),
                Describe("k"),
                Execute("k", 2),
                Execute("k", 0),
                Sync,
            ],
        ),
        (
            "two portals in turns",
            &[
                Query("begin"),
                Parse("m", MAILS),
                Parse("l", LABELS),
                Bind("a", "m"),
                Bind("b", "l"),
                Execute("a", 1),
                Execute("b", 1),
                Execute("a", 1),
                Execute("b", 0),
                Execute("a", 0),
                Sync,
            ],
        ),
        (
            "a portal of the protocol, fetched by SQL",
            &[
                Query("begin"),
                Parse("m", MAILS),
                Bind("c", "m"),
                Sync,
                Query("fetch 2 from c"),
                Query("fetch all from c"),
            ],
        ),
        (
            "a portal in place of another",
            &[
                Query("begin"),
                Parse("m", MAILS),
                Parse("l", LABELS),
                Bind("", "l"),
                Bind("", "m"),
                Execute("", 0),
                Sync,
            ],
        ),
    ];
    let story = Story::with_masks(POLICY, "").await;
    let mut told = String::new();
    for (why, says) in sessions {
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut frames = Vec::new();
        let mut out = BytesMut::new();
        for say in says {
            let written = match *say {
                Query(sql) => frontend::query(sql, &mut out),
                Parse(name, sql) => frontend::parse(name, sql, [], &mut out),
                Bind(portal, name) => {
                    let bound = frontend::bind(
                        portal,
                        name,
                        [],
                        [],
                        |(): (), _| Ok(postgres_protocol::IsNull::Yes),
                        [0],
                        &mut out,
                    );
                    assert!(bound.is_ok(), "a Bind");
                    Ok(())
                }
                Describe(portal) => frontend::describe(b'P', portal, &mut out),
                Execute(portal, limit) => frontend::execute(portal, limit, &mut out),
                CloseStatement(name) => frontend::close(b'S', name, &mut out),
                Sync => {
                    frontend::sync(&mut out);
                    Ok(())
                }
            };
            written.expect("a message");
            if matches!(say, Query(_) | Sync) {
                wire.send(&out).await;
                out.clear();
                while let Some(frame) = wire.frame().await {
                    let ready = frame.tag == b'Z';
                    frames.push(frame);
                    if ready {
                        break;
                    }
                }
            }
        }
        let answer = Answer(frames);
        if let Some(planted) = found(&answer.bytes()) {
            writeln!(told, "{why}: {planted} {}", answer.bytes().escape_ascii()).unwrap();
        }
        assert!(answer.rows() > 0 || answer.error().is_some(), "{why}: something is answered");
    }
    assert!(told.is_empty(), "{told}");
}
