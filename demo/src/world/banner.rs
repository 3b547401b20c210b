//! What `countersign demo` prints: ready to paste.

use std::fmt::Write as _;

use super::Facts;

/// The text for a terminal.
#[must_use]
pub fn banner(facts: &Facts) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        // Writing to a String can't fail.
        let _infallible = writeln!(text, "{line}");
    };
    say("");
    say("Countersign is running. Everything below is on this machine only.");
    for line in &facts.psql {
        say("");
        say(&format!("  {}:", line.title));
        say(&format!("  {}", line.command));
    }
    if let Some(page) = &facts.slack_page {
        say("");
        say("  Slack, where you choose who you are and press the buttons:");
        say(&format!("  {page}"));
    }
    say("");
    say("What to try:");
    tries(facts, &mut say);
    say("");
    say(&format!("  config    {}", facts.config.display()));
    say(&format!("  policies  {}", facts.policy.display()));
    say(&format!("  control   {}", facts.control));
    say(&format!("  sign-in   {}", facts.issuer));
    if let Some(log) = &facts.database_log {
        say(&format!("  what PostgreSQL was told to run  {}", log.display()));
    }
    say("");
    say(if facts.kept {
        "Ctrl-C ends everything; the folder stays. The passwords above are tokens for twelve hours."
    } else {
        "Ctrl-C ends everything and removes it. The passwords above are tokens for twelve hours."
    });
    text
}

fn tries(facts: &Facts, say: &mut impl FnMut(&str)) {
    let (read, write, drop) = if facts.has_shop {
        ("select * from order_totals limit 5;", "delete from orders where status = 'cancelled';", "drop table refunds;")
    } else {
        ("select 1;", "a DELETE", "a DROP TABLE")
    };
    say(&format!("  1. As Ana:  {read}   it passes."));
    say(&format!("  2. As Ana:  {write}   it waits, and a card appears in Slack."));
    say("  3. As Ana in Slack, press Approve: the first click asks you to link your account (sign in as Ana).");
    say("     Then she is told no: nobody approves their own request.");
    say("  4. As Priya in Slack, link, press Approve: the same psql goes on.");
    say("  5. Again, and deny it with a reason: psql shows it. Again, and press Ctrl-C in psql: the card says so.");
    say(&format!("  6. As Ana:  {drop}   it is refused at once, whoever approves."));
}
