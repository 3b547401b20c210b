//! Nothing that is classified leaves in clear: planted values, hundreds of forms, every channel. The
//! database is the judge of what is answered as it would be directly.
//!
//! `expressions.txt` × `contexts.txt`, and `statements.txt`, are the forms, each with its reason.

mod attacks;
mod channels;
mod told;

use std::fmt::Write as _;

use self::channels::Channel;
use crate::{fidelity::wire::Wire, harness::Story};

/// Everything passes, but that nobody sees what is classified.
const POLICY: &str = r#"permit (principal, action, resource) unless { action == Action::"reveal" };"#;

const CLASSIFY: &str = r#"
classify = [
  { column = "public.people.email", as = "pii", mask = "email" },
  { column = "public.people.ssn", as = "pii", mask = "last4" },
  { column = "public.people.dob", as = "pii", mask = "year" },
  { column = "public.people.born", as = "pii", mask = "year" },
  { column = "public.people.salary", as = "pay" },
  { column = "public.people.token", as = "secret", mask = "hash" },
  { column = "public.people.profile", as = "pii" },
  { column = "public.people.tags", as = "pii" },
  { column = "public.*.secret", as = "secret" },
  { column = "public.logins.email", as = "pii", mask = "hash" },
  { column = "public.contacts.mail", as = "pii", mask = "email" },
  { column = "public.contacts.both_of", as = "pii" },
  { column = "public.contacts.mood", as = "pii" },
  { column = "public.pointing.mail", as = "pii" },
]
"#;

/// What must never leave, in any of these spellings.
const PLANTED: [&str; 13] = [
    "zqcanary",
    "yrancqz",
    "yranacqz",
    "7a7163616e617279",
    "enFjYW5hcn",
    "xqcxnxry",
    "991-17",
    "99117",
    "1987-06-13",
    "13.06.1987",
    "918273645",
    "deadbeef-0000",
    "11:22:33",
];

impl Story {
    /// A gateway with the planted table behind it.
    pub async fn with_masks(policy: &str, more: &str) -> Self {
        Self::with_masks_over(policy, more, "").await
    }

    /// The same, with more in the database.
    pub async fn with_masks_over(policy: &str, more: &str, sql: &str) -> Self {
        let mut story = Self::prepare().await;
        let direct = story.world.upstream.connect().await.expect("a way into the database");
        direct.batch_execute(include_str!("shop.sql")).await.expect("the planted table");
        direct.batch_execute(sql).await.expect("what is there beside it");
        let folder = &story.world.facts.policy;
        for entry in std::fs::read_dir(folder).expect("the policies") {
            std::fs::remove_file(entry.expect("a file").path()).expect("a file less");
        }
        std::fs::write(folder.join("only.cedar"), policy).expect("a policy");
        let file = &story.world.facts.config;
        let config = std::fs::read_to_string(file).expect("the config");
        let name = "name     = \"shop\"\n";
        assert!(config.contains(name));
        std::fs::write(file, config.replace(name, &format!("{name}{CLASSIFY}{more}"))).expect("a changed config");
        story.starts("gateway").await;
        story
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| line.split(" | ").map(str::trim).collect())
}

/// Every expression in every context.
fn generated() -> Vec<String> {
    let mut forms = Vec::new();
    for context in lines(include_str!("contexts.txt")) {
        for expression in lines(include_str!("expressions.txt")) {
            forms.push(context[0].replace("{e}", expression[0]));
        }
    }
    forms
}

/// What of an answer was planted.
fn found(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    PLANTED.into_iter().find(|planted| text.contains(&planted.to_lowercase()))
}

/// The statements with what is expected of each.
fn statements() -> Vec<(&'static str, &'static str)> {
    lines(include_str!("statements.txt")).map(|line| (line[0], line[1])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_planted_value_leaves_by_any_form_and_channel() {
    let story = Story::with_masks(POLICY, "").await;
    let forms = generated();
    assert!(forms.len() >= 500, "{} forms", forms.len());
    let mut told = String::new();
    let mut wires = Vec::new();
    for _ in Channel::ALL {
        wires.push(Wire::through(&story, "ana", &[]).await);
    }
    let work = Channel::ALL.into_iter().zip(wires).map(|(channel, mut wire)| {
        let forms = forms.clone();
        tokio::spawn(async move {
            let (mut told, mut rows, mut masked) = (String::new(), 0, 0);
            for (number, form) in forms.iter().enumerate() {
                // Each form goes by each channel; the ones that cost more take their turns.
                if !channel.takes(number) {
                    continue;
                }
                let answer = channel.asks_within(&mut wire, form, channel == Channel::Cursor).await;
                rows += answer.rows();
                masked += usize::from(answer.error().is_none());
                if let Some(planted) = found(&answer.bytes()) {
                    writeln!(told, "{channel:?}: {form}\n  gives {planted}: {}", answer.bytes().escape_ascii())
                        .unwrap();
                }
            }
            (told, rows, masked)
        })
    });
    for work in work.collect::<Vec<_>>() {
        let (one, rows, masked) = work.await.expect("no panic");
        told.push_str(&one);
        assert!(rows > 100 && masked > 50, "the forms are answered: {rows} rows of {masked}\n{told}");
    }
    assert!(told.is_empty(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_masked_refused_or_left_alone_as_expected() {
    let story = Story::with_masks(POLICY, "").await;
    let mut told = String::new();
    for channel in [Channel::Simple, Channel::Extended] {
        let mut through = Wire::through(&story, "ana", &[]).await;
        let mut direct = Wire::direct(&story.world.upstream, &[]).await;
        for (expected, sql) in statements() {
            if channel == Channel::Extended && sql.contains("; ") || channel == Channel::Simple && sql.contains("$1") {
                continue;
            }
            let within = !sql.starts_with("begin") && !sql.starts_with("selec 1");
            let answer = channel.asks_within(&mut through, sql, within).await;
            let planted = found(&answer.bytes());
            let refused = answer.error().is_some_and(|code| code == "42501");
            let good = match expected {
                "masked" => answer.error().is_none(),
                "refused" => refused,
                "clear" => {
                    let straight = channel.asks_within(&mut direct, sql, within).await;
                    let same = straight.is_like(&answer);
                    if !same {
                        writeln!(told, "directly {}", straight.bytes().escape_ascii()).unwrap();
                    }
                    same
                }
                _ => true,
            };
            if planted.is_some() || !good {
                let bytes = answer.bytes();
                writeln!(told, "{channel:?} {expected}: {sql}\n  {planted:?} {}", bytes.escape_ascii()).unwrap();
            }
        }
    }
    assert!(told.is_empty(), "{told}");
}
