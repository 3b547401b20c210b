//! `@allowance("30m, 10 runs, 500 rows, free parameters")` on a permit: what it permits once it is approved, an approver
//! may allow for so long, so often, and to touch so many rows each time.

use std::time::Duration;

use cedar_policy::{Effect, Policy};
use countersign_shared::allow::{Parameters, Terms};

use crate::config::values::duration;

/// The annotation's name.
pub(super) const NAME: &str = "allowance";
/// How an annotation is written.
pub(super) const HINT: &str = "write @allowance(\"30m, 10 runs, 500 rows\") before the permit that reads \
                               `context.approvals`, with `, free parameters` where their values may be others";

/// A day: what lasts longer is a grant's matter.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The most runs.
const MOST_RUNS: u32 = 1_000;
/// The most rows of one run.
const MOST_ROWS: u64 = 1_000_000_000;

/// What a policy lets approvers allow, if it says so.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(super) fn of(policy: &Policy, reads_approvals: bool) -> Result<Option<Terms>, String> {
    let Some(text) = policy.annotation(NAME) else { return Ok(None) };
    if policy.effect() != Effect::Permit {
        return Err("only a permit can have an allowance: a forbid permits nothing".to_owned());
    }
    if !reads_approvals {
        return Err("it has an allowance and asks for no approval, so nobody could give it".to_owned());
    }
    read(text).map(Some)
}

fn read(text: &str) -> Result<Terms, String> {
    let wrong = |part: &str| format!("its allowance says {part:?}, which is not understood");
    let (mut minutes, mut runs, mut rows, mut parameters) = (None, None, None, None);
    for part in text.split(',').map(str::trim) {
        let twice = match part.split_once(' ').map(|(number, what)| (number, what.trim())) {
            Some((number, "run" | "runs")) => {
                let count = number.parse().ok().filter(|count| (1..=MOST_RUNS).contains(count));
                runs.replace(count.ok_or_else(|| wrong(part))?).is_some()
            }
            Some((number, "row" | "rows")) => {
                let count = number.parse().ok().filter(|count| (1..=MOST_ROWS).contains(count));
                rows.replace(count.ok_or_else(|| wrong(part))?).is_some()
            }
            Some(("free", "parameters")) => parameters.replace(Parameters::Free).is_some(),
            Some(("pinned", "parameters")) => parameters.replace(Parameters::Pinned).is_some(),
            _ => {
                let time = duration(Duration::from_secs(60)..=LONGEST)(part).map_err(|_| wrong(part))?;
                if !time.as_secs().is_multiple_of(60) {
                    return Err(wrong(part));
                }
                minutes.replace(u32::try_from(time.as_secs() / 60).map_err(|_| wrong(part))?).is_some()
            }
        };
        if twice {
            return Err(format!("its allowance says twice what {part:?} says"));
        }
    }
    let lacks = |what: &str| format!("its allowance does not say {what}");
    Ok(Terms {
        minutes: minutes.ok_or_else(|| lacks("for how long"))?,
        runs: runs.ok_or_else(|| lacks("how many runs"))?,
        rows: rows.ok_or_else(|| lacks("how many rows a run may touch"))?,
        parameters: parameters.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(policy: &str) -> Result<Option<Terms>, String> {
        let policy = Policy::parse(None, policy).expect(policy);
        of(&policy, true)
    }

    #[test]
    fn an_allowance_says_how_long_how_often_and_how_much() {
        let pinned = Terms { minutes: 30, runs: 10, rows: 500, parameters: Parameters::Pinned };
        let table = [
            ("30m, 10 runs, 500 rows", Ok(pinned)),
            ("500 rows,10 runs , 30m", Ok(pinned)),
            ("30m, 10 runs, 500 rows, pinned parameters", Ok(pinned)),
            (
                "2h, 1 run, 1 row, free parameters",
                Ok(Terms { minutes: 120, runs: 1, rows: 1, parameters: Parameters::Free }),
            ),
            ("30m, 10 runs", Err("how many rows")),
            ("30m, 500 rows", Err("how many runs")),
            ("10 runs, 500 rows", Err("for how long")),
            ("30m, 1h, 10 runs, 500 rows", Err("twice")),
            ("25h, 10 runs, 500 rows", Err("not understood")),
            ("90s, 10 runs, 500 rows", Err("not understood")),
            ("30m, 0 runs, 500 rows", Err("not understood")),
            ("30m, 10 runs, -1 rows", Err("not understood")),
            ("30m, 1001 runs, 5 rows", Err("not understood")),
            ("30m, 10 runs, any rows", Err("not understood")),
            ("30m, 10 runs, 500 rows, any parameters", Err("not understood")),
            ("", Err("not understood")),
        ];
        for (text, expected) in table {
            let found = of_text(&format!("@allowance(\"{text}\") permit (principal, action, resource);"));
            match expected {
                Ok(terms) => assert_eq!(found, Ok(Some(terms)), "{text}"),
                Err(why) => assert!(found.as_ref().is_err_and(|said| said.contains(why)), "{text}: {found:?}"),
            }
        }
        assert_eq!(of_text("permit (principal, action, resource);"), Ok(None));
    }

    #[test]
    fn only_a_permit_that_asks_for_approvals_has_one() {
        let text = "@allowance(\"30m, 10 runs, 500 rows\") forbid (principal, action, resource);";
        assert!(of_text(text).is_err());
        let permit = Policy::parse(None, text.replace("forbid", "permit")).expect("a permit");
        assert!(of(&permit, false).is_err() && of(&permit, true).is_ok());
    }
}
