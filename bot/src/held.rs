//! What a bot may do with the answer to its claim on a message. Pure.

use std::time::{Duration, Instant};

use countersign_shared::api::{CLAIM_HOLDS, Claim};

/// So long after this bot asked, nobody else can have had its claim.
const HOLDS: Duration = Duration::from_secs(CLAIM_HOLDS as u64);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Post it: nobody else has.
    Post,
    /// Look on Slack for it first: somebody may have posted it and ended there and then.
    LookFirst,
    /// Another bot is about to.
    Wait,
    /// It is posted.
    Over,
}

/// When this bot last asked for what it then got. Nobody else can have posted in its place as long as that counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held(Option<Instant>);

impl Held {
    /// Takes the answer to a claim that was asked for at `asked`.
    pub(crate) fn takes(&mut self, claim: Claim, asked: Instant) -> Step {
        let ours = self.0.is_some_and(|since| asked.duration_since(since) < HOLDS);
        self.0 = matches!(claim, Claim::Yours | Claim::InDoubt).then_some(asked);
        match claim {
            Claim::Yours => Step::Post,
            Claim::InDoubt if ours => Step::Post,
            Claim::InDoubt => Step::LookFirst,
            Claim::Taken => Step::Wait,
            Claim::Done => Step::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::type_complexity, reason = "a table, explained where it begins")]
    fn who_claims_again_posts_only_where_nobody_else_can_have() {
        use Claim::{Done, InDoubt, Taken, Yours};
        // The answers, each so many seconds after the first; what the last one means.
        let table: [(&str, &[(Claim, u64)], Step); 9] = [
            ("the first", &[(Yours, 0)], Step::Post),
            ("after another bot, or before this one was started", &[(InDoubt, 0)], Step::LookFirst),
            ("another bot has it", &[(Taken, 0)], Step::Wait),
            ("done", &[(Done, 0)], Step::Over),
            ("again, soon", &[(Yours, 0), (InDoubt, 89)], Step::Post),
            ("again and again", &[(Yours, 0), (InDoubt, 60), (InDoubt, 120)], Step::Post),
            ("so late that another may have had it", &[(Yours, 0), (InDoubt, 90)], Step::LookFirst),
            ("another had it meanwhile", &[(Yours, 0), (Taken, 20), (InDoubt, 30)], Step::LookFirst),
            ("looked for, and tried again", &[(InDoubt, 0), (InDoubt, 5)], Step::Post),
        ];
        for (case, answers, expected) in table {
            let (mut held, begin) = (Held::default(), Instant::now());
            let mut last = None;
            for (claim, seconds) in answers {
                last = Some(held.takes(*claim, begin + Duration::from_secs(*seconds)));
            }
            assert_eq!(last, Some(expected), "{case}");
        }
    }
}
