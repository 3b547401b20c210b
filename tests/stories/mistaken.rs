//! What has a name is not taken for another that has it at the server: a harmless statement passes, and what runs is
//! what was held. The database is the judge.

use crate::{
    fidelity::wire::{Wire, bind, close, describe, execute, parse, sync},
    harness::Story,
};

const HELD: &str = "update products set stock = 0 where id < 8";
const HARMLESS: &str = "select 1";

fn long(last: &str) -> String {
    "x".repeat(63) + last
}

/// Each with the groups that a client sends, and waits for.
fn ways() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let run = |name: &str| [bind("", name, &[], 0), execute("", 0), sync()].concat();
    let fails = [parse("e", "select 1/0"), bind("q", "e", &[], 0), execute("q", 0)].concat();
    let (a, b, c) = (long("a"), long("b"), long("c"));
    vec![
        (
            "the Parse of the harmless one is skipped after an error",
            vec![[parse("", HELD), describe(b'S', ""), fails.clone(), parse("", HARMLESS), sync()].concat(), run("")],
        ),
        (
            "after a Bind that fails",
            vec![
                [
                    parse("x", HARMLESS),
                    parse("", HELD),
                    describe(b'S', ""),
                    bind("nope", "x", &[Some("1"), Some("2")], 0),
                    parse("", HARMLESS),
                    sync(),
                ]
                .concat(),
                run(""),
            ],
        ),
        (
            "with a name",
            vec![
                [parse("n", HELD), describe(b'S', "n"), fails, close(b'S', "n"), parse("n", HARMLESS), sync()].concat(),
                run("n"),
            ],
        ),
        (
            "names that the server cuts",
            vec![
                [parse(&a, HARMLESS), sync()].concat(),
                [close(b'S', &c), sync()].concat(),
                [parse(&b, HELD), describe(b'S', &b), sync()].concat(),
                run(&a),
            ],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_harmless_statement_is_not_taken_for_one_that_is_held() {
    let story = Story::begin_under("").await;
    for (why, groups) in ways() {
        let mut wire = Wire::through(&story, "ana", &[]).await;
        let mut said = Vec::new();
        'groups: for group in groups {
            wire.send(&group).await;
            loop {
                let Some(frame) = wire.frame().await else { break 'groups };
                if frame.held().is_some() {
                    said.push("held".to_owned());
                    break 'groups;
                }
                said.extend((frame.tag == b'E').then(|| frame.field(b'C').unwrap_or_default()));
                if frame.tag == b'Z' {
                    break;
                }
            }
        }
        assert_eq!(
            story.number("select count(*) from products where stock = 0 and id < 8").await,
            0,
            "{why}: {said:?}"
        );
        assert!(!story.database_ran(HELD), "{why}: {said:?}");
        assert!(!said.is_empty(), "{why}: the client is told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_server_would_cut_is_refused() {
    let story = Story::begin_under("").await;
    let mut wire = Wire::through(&story, "ana", &[]).await;
    let whole = "x".repeat(63);
    wire.send(&[parse(&whole, HARMLESS), bind(&whole, &whole, &[], 0), execute(&whole, 0), sync()].concat()).await;
    let mut says = async |out: Vec<u8>| {
        wire.send(&out).await;
        let mut error = None;
        loop {
            let frame = wire.frame().await.expect("the session goes on");
            match frame.tag {
                b'E' => error = frame.field(b'C'),
                b'Z' => return error,
                _ => {}
            }
        }
    };
    assert_eq!(says(Vec::new()).await, None, "63 bytes are told apart");
    let cut = long("y");
    for out in [
        parse(&cut, HARMLESS),
        bind(&cut, "", &[], 0),
        bind("", &cut, &[], 0),
        describe(b'S', &cut),
        describe(b'P', &cut),
        execute(&cut, 0),
        close(b'S', &cut),
        close(b'P', &cut),
    ] {
        assert_eq!(says([out, sync()].concat()).await.as_deref(), Some("42622"));
    }
}
