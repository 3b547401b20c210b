//! What a card says of rows: the number first, and a second question where a number is no comfort.

use countersign_shared::{
    api::{Impact, RequestView},
    impact::NO_WHERE,
};
use serde_json::{Value, json};

use super::{
    blocks,
    visible::{length, short},
};

/// A share of a table in percent from which on a second question is asked.
const MUCH: f64 = 20.0;

/// How long one of them may be.
pub const LENGTH: usize = 400;

/// The lines that come first on a card: what happens to how many rows of what.
pub fn lines(view: &RequestView) -> Vec<Value> {
    let several = view.impact.iter().any(|one| one.statement > 0);
    let line = |one: &Impact| {
        let of = if several { format!("Statement {}: ", one.statement + 1) } else { String::new() };
        blocks::line(vec![blocks::bold(&short(&format!("{of}{}", one.sentence()), LENGTH))])
    };
    view.impact.iter().map(line).collect()
}

/// Of how many tables rows are shown, and how long that may be in all.
const SAMPLES: usize = 5;
const SAMPLE_LENGTH: usize = 2_400;

/// Some of the rows, as they were and as they are by now.
pub fn sample(view: &RequestView) -> Vec<Value> {
    let mut elements = Vec::new();
    let mut left = SAMPLE_LENGTH;
    for one in &view.impact {
        let Some(sample) = &one.sample else { continue };
        if elements.len() / 2 >= SAMPLES {
            break;
        }
        let of = |when: &str, rows: &[String]| -> Vec<String> {
            rows.iter().map(|row| format!("{when} {}", short(row, 300))).collect()
        };
        let mut lines = of("before:", &sample.before);
        lines.extend(of("after: ", &sample.after));
        lines.extend(sample.missing.as_deref().map(|why| format!("({})", short(why, 200))));
        let mut text = String::new();
        for line in lines {
            let size = length(&line) + 1;
            if size > left {
                text.push_str("… (cut)\n");
                left = 0;
                break;
            }
            left -= size;
            text.push_str(&line);
            text.push('\n');
        }
        let title = format!("Some rows of {}, {}:", short(&one.table, 120), short(&one.action, 20));
        elements.push(blocks::line(vec![blocks::bold(&title)]));
        elements.push(blocks::code(text.trim_end()));
        if left == 0 {
            break;
        }
    }
    elements
}

/// What the button that approves says: with one number, that number.
pub fn approve(view: &RequestView) -> String {
    // What a foreign key carries on has a line of its own, and no part in the first number.
    let mut own = view.impact.iter().filter(|one| one.cascade_of.is_none());
    match (own.next(), own.next()) {
        (Some(one), None) => one.number().map_or_else(|| "Approve".to_owned(), |rows| format!("Approve {rows}")),
        _ => "Approve".to_owned(),
    }
}

/// Why a second question is asked before an approval counts.
fn doubts(view: &RequestView) -> Vec<String> {
    let mut doubts = Vec::new();
    if view.notes.iter().any(|note| note == NO_WHERE) {
        doubts.push("It has no WHERE.".to_owned());
    }
    for one in &view.impact {
        if let Some(percent) = one.percent().filter(|percent| *percent > MUCH) {
            doubts.push(format!("It touches {percent:.0} % of {}.", short(&one.table, 80)));
        }
        if !one.counted {
            doubts.push("The number of rows was not counted.".to_owned());
        }
    }
    let changes = |action: &str| matches!(action, "create" | "alter" | "truncate" | "drop");
    if view.effects.iter().any(|effect| changes(&effect.action)) {
        doubts.push("It changes the schema.".to_owned());
    }
    doubts.dedup();
    doubts.truncate(4);
    doubts
}

/// The button that approves.
pub fn button(view: &RequestView) -> Value {
    with_doubts(blocks::button("approve", &approve(view), Some("primary"), view.id.as_str()), view)
}

/// A button with the second question that is asked before it counts, where there is one.
pub fn with_doubts(mut button: Value, view: &RequestView) -> Value {
    let doubts = doubts(view);
    if !doubts.is_empty() {
        let text = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
        button["confirm"] = json!({
            "title": text("Approve this?"),
            "text": text(&doubts.join(" ")),
            "confirm": text("Approve"),
            "deny": text("Not now"),
        });
    }
    button
}

#[cfg(test)]
mod tests {
    use countersign_shared::api::EffectView;

    use super::*;
    use crate::cards::samples;

    fn view(impact: Vec<Impact>) -> RequestView {
        RequestView { impact, ..samples::view() }
    }

    fn orders(rows: Option<u64>, counted: bool, of: Option<u64>) -> Impact {
        let table = "public.orders".to_owned();
        Impact { action: "delete".into(), table, rows, counted, of, ..Impact::default() }
    }

    #[test]
    fn the_button_says_the_number_that_it_approves() {
        let carried = Impact { cascade_of: Some("public.orders".into()), ..orders(Some(9), true, None) };
        let table = [
            (vec![], "Approve"),
            (vec![orders(Some(1_204), true, None)], "Approve 1,204 rows"),
            (vec![orders(Some(1_204), false, None)], "Approve about 1,204 rows"),
            (vec![orders(None, false, None)], "Approve"),
            (vec![orders(Some(1), true, None), orders(Some(2), true, None)], "Approve"),
            (vec![orders(Some(1), true, None), carried], "Approve 1 row"),
        ];
        for (impact, label) in table {
            assert_eq!(button(&view(impact))["text"]["text"], label);
        }
    }

    #[test]
    fn what_should_give_pause_is_asked_again() {
        let ddl = EffectView { action: "alter".into(), object: "Table::\"shop/public.orders\"".into() };
        let table = [
            ("a few rows, counted", view(vec![orders(Some(3), true, Some(1_000))]), None),
            ("a fifth of the table", view(vec![orders(Some(200), true, Some(1_000))]), None),
            ("more", view(vec![orders(Some(201), true, Some(1_000))]), Some("It touches 20 % of public.orders.")),
            ("an estimate", view(vec![orders(Some(3), false, None)]), Some("The number of rows was not counted.")),
            ("no WHERE", RequestView { notes: vec![NO_WHERE.into()], ..samples::view() }, Some("It has no WHERE.")),
            ("DDL", RequestView { effects: vec![ddl], ..samples::view() }, Some("It changes the schema.")),
        ];
        for (case, view, question) in table {
            let confirm = &button(&view)["confirm"]["text"]["text"];
            assert_eq!(confirm.as_str(), question, "{case}");
        }
    }
}
