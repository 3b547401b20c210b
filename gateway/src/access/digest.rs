//! Who holds what they don't use: what is known, told apart from what is not. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::api::Finding;

use crate::store::usage::{Keep, Uses, Watch};

/// Beyond this, an end is as good as none.
const FAR: TimeDelta = TimeDelta::days(90);

/// A grant, as far as the finding rests on it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// When it was given.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// Its uses.
    pub uses: Option<&'a Uses>,
    /// Who wants it kept.
    pub keep: Option<&'a Keep>,
}

/// What is to be said of a grant. `since` is when recording began.
#[must_use]
pub fn finding(held: Held<'_>, since: DateTime<Utc>, stale_after: TimeDelta, now: DateTime<Utc>) -> Finding {
    if held.keep.is_some_and(|keep| keep.until > now) {
        return Finding::Kept;
    }
    let unused_from = held.uses.map_or_else(|| held.from.max(since), |uses| uses.last);
    let long = now - unused_from > stale_after;
    match held.uses {
        Some(_) if long => Finding::Stale,
        None if long => Finding::NeverUsed,
        _ if held.until - now > FAR => Finding::FarEnd,
        Some(_) => Finding::InUse,
        None if held.from < since => Finding::NoData,
        None => Finding::TooNew,
    }
}

/// What is to be said of a role or of a permission: `last` is when it was last had or used. Of what was there when
/// watching began, nobody knows how long it had been unused then.
#[must_use]
pub fn of_watched(watch: Watch, last: Option<DateTime<Utc>>, unused_for: TimeDelta, now: DateTime<Utc>) -> Finding {
    let long = now - last.map_or(watch.since, |last| last.max(watch.since)) > unused_for;
    match last {
        Some(_) if long => Finding::Stale,
        None if long => Finding::NeverUsed,
        // Used before it was watched, as far as other records say.
        Some(last) if now - last <= unused_for => Finding::InUse,
        _ if watch.before => Finding::NoData,
        _ => Finding::TooNew,
    }
}

#[cfg(test)]
mod tests {
    use countersign_shared::ids::GrantId;

    use super::*;

    #[test]
    fn unused_is_told_apart_from_too_new_and_from_no_data() {
        let now = Utc::now();
        let ago = |days: i64| now - TimeDelta::days(days);
        let used = |days: i64| Some(Uses { first: ago(days + 1), last: ago(days) });
        let kept = |days: i64| {
            let until = now + TimeDelta::days(days);
            let (by, reason) = ("priya@acme.dev".to_owned(), "on call".to_owned());
            Some(Keep { grant: GrantId::random(), at: ago(1), until, by, reason })
        };
        // given so many days ago, ends in so many, used, kept, recorded since; stale after 14 days
        let table = [
            ("used yesterday", 30, 30, used(1), None, 60, Finding::InUse),
            ("used long ago", 30, 30, used(15), None, 60, Finding::Stale),
            ("never used", 30, 30, None, None, 60, Finding::NeverUsed),
            ("given a week ago", 7, 30, None, None, 60, Finding::TooNew),
            ("just at the limit", 14, 30, None, None, 60, Finding::TooNew),
            ("older than the records", 30, 30, None, None, 7, Finding::NoData),
            ("older than records that are old enough", 90, 30, None, None, 60, Finding::NeverUsed),
            ("ends in a year, used", 30, 365, used(1), None, 60, Finding::FarEnd),
            ("ends in a year, too new", 1, 365, None, None, 60, Finding::FarEnd),
            ("ends in a year, stale", 60, 365, used(30), None, 60, Finding::Stale),
            ("kept", 30, 30, None, kept(29), 60, Finding::Kept),
            ("kept until yesterday", 60, 30, None, kept(-1), 60, Finding::NeverUsed),
        ];
        for (case, given, ends, uses, keep, since, expected) in table {
            let until = now + TimeDelta::days(ends);
            let held = Held { from: ago(given), until, uses: uses.as_ref(), keep: keep.as_ref() };
            assert_eq!(finding(held, ago(since), TimeDelta::days(14), now), expected, "{case}");
        }
    }

    #[test]
    fn of_roles_and_permissions_too_unused_is_told_apart_from_what_nobody_can_know() {
        let now = Utc::now();
        let ago = |days: i64| now - TimeDelta::days(days);
        // watched for so many days, there before, last used so many days ago; unused after 30 days
        let table = [
            ("used yesterday", 60, true, Some(1), Finding::InUse),
            ("used just before the limit", 60, true, Some(30), Finding::InUse),
            ("used long ago", 60, true, Some(31), Finding::Stale),
            ("never used", 31, false, None, Finding::NeverUsed),
            ("never used, there when watching began", 31, true, None, Finding::NeverUsed),
            ("new", 30, false, None, Finding::TooNew),
            ("there when watching began, a week ago", 7, true, None, Finding::NoData),
            ("used long ago, and new again", 7, false, Some(60), Finding::TooNew),
            ("used lately, before it was watched", 1, true, Some(7), Finding::InUse),
        ];
        for (case, since, before, last, expected) in table {
            let last = last.map(ago);
            let watch = Watch { since: ago(since), before, last };
            assert_eq!(of_watched(watch, last, TimeDelta::days(30), now), expected, "{case}");
        }
    }
}
