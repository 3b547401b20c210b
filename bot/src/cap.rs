//! How many cards of one session wait at a time: five, and one that counts the rest. Pure.
//!
//! Nobody reads a hundred cards; whoever floods a channel hides in it what matters. What has no card yet is decided
//! all the same: in the home tab, by command line, on its page. What ran by break-glass is never kept back: it has
//! happened, and its card is how somebody hears of it.

use std::collections::BTreeMap;

use countersign_shared::{
    api::{RequestKind, RequestView},
    digest::Fields,
    ids::RequestId,
};

/// So many cards of one asker wait at a time.
pub const MOST: usize = 5;

/// What one asker has waiting.
#[derive(Debug, PartialEq, Eq)]
pub struct Queue<'v> {
    /// A name for the asker, of sixteen letters and digits.
    pub asker: String,
    /// Those that have a card, or get one.
    pub first: Vec<&'v RequestView>,
    /// Those that are counted, the oldest first.
    pub behind: Vec<&'v RequestView>,
}

/// Whose cards count together: a session's; without one, those of one principal on one connection. Reviews of what ran
/// by break-glass are apart, or they would keep back what is asked.
#[must_use]
pub fn asker(view: &RequestView) -> String {
    let review = view.kind == RequestKind::Review;
    let fields = Fields::of("countersign/asker/v1").field("review", [u8::from(review)]);
    let fields = match &view.session {
        Some(session) => fields.field("session", session.as_str()),
        None => fields.field("principal", &view.principal).field("connection", &view.connection),
    };
    fields.finish().to_string()[..16].to_owned()
}

/// What waits, by asker. Whoever has a card keeps it; then the oldest come first.
#[must_use]
pub fn queues(pending: &[RequestView]) -> Vec<Queue<'_>> {
    let mut askers: BTreeMap<String, Vec<&RequestView>> = BTreeMap::new();
    for view in pending {
        askers.entry(asker(view)).or_default().push(view);
    }
    let queue = |(asker, views): (String, Vec<_>)| in_order(asker, views);
    askers.into_iter().map(queue).collect()
}

fn in_order(asker: String, mut views: Vec<&RequestView>) -> Queue<'_> {
    views.sort_by_key(|view| (view.card.is_none(), view.created_at, view.id.to_string()));
    let cards = views.iter().filter(|view| view.card.is_some()).count();
    let reviews = views.first().is_some_and(|view| view.kind == RequestKind::Review);
    let most = if reviews { usize::MAX } else { MOST.max(cards) };
    let behind = views.split_off(views.len().min(most));
    Queue { asker, first: views, behind }
}

/// The requests that have a card, or get one now.
#[must_use]
pub fn first(pending: &[RequestView]) -> Vec<&RequestId> {
    queues(pending).into_iter().flat_map(|queue| queue.first).map(|view| &view.id).collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use countersign_shared::{api::CardRef, ids::SessionId};

    use super::*;
    use crate::cards::samples;

    fn view(minutes: i64, card: bool) -> RequestView {
        let sample = samples::view();
        RequestView {
            id: RequestId::random(),
            created_at: sample.created_at + TimeDelta::minutes(minutes),
            card: card.then(|| CardRef { channel: "C1".into(), ts: "1.1".into() }),
            ..sample
        }
    }

    #[test]
    #[allow(clippy::type_complexity, reason = "a table, explained where it begins")]
    fn five_have_cards_and_the_rest_are_counted() {
        // Minutes at which each was made, and whether it has a card; the minutes of those that come first.
        let table: [(&str, &[(i64, bool)], &[i64]); 7] = [
            ("nothing", &[], &[]),
            ("few", &[(2, false), (1, false)], &[1, 2]),
            ("five", &[(1, false), (2, false), (3, false), (4, false), (5, false)], &[1, 2, 3, 4, 5]),
            ("a sixth", &[(6, false), (1, true), (2, true), (3, true), (4, true), (5, true)], &[1, 2, 3, 4, 5]),
            (
                "one of them ended",
                &[(6, false), (7, false), (2, true), (3, true), (4, true), (5, true)],
                &[2, 3, 4, 5, 6],
            ),
            (
                "who has a card keeps it",
                &[(1, false), (2, true), (3, true), (4, true), (5, true), (6, true)],
                &[2, 3, 4, 5, 6],
            ),
            (
                "more cards than there should be",
                &[(1, true), (2, true), (3, true), (4, true), (5, true), (6, true), (0, false)],
                &[1, 2, 3, 4, 5, 6],
            ),
        ];
        let begin = samples::view().created_at;
        for (case, made, expected) in table {
            let views: Vec<RequestView> = made.iter().map(|(minutes, card)| view(*minutes, *card)).collect();
            let queues = queues(&views);
            let got = queues.iter().flat_map(|queue| &queue.first);
            let got: Vec<i64> = got.map(|view| (view.created_at - begin).num_minutes()).collect();
            assert_eq!(got, expected, "{case}");
            let behind: usize = queues.iter().map(|queue| queue.behind.len()).sum();
            assert_eq!(behind, made.len() - expected.len(), "{case}: nothing is left out");
            assert!(queues.iter().flat_map(|queue| &queue.behind).all(|view| view.card.is_none()), "{case}");
        }
    }

    #[test]
    fn each_session_has_five_and_reviews_keep_nothing_back() {
        let session = Some(SessionId::random());
        let other = Some(SessionId::random());
        let sample = samples::view();
        let table = [
            ("the same session", RequestView { session: session.clone(), ..sample.clone() }, true),
            ("another of the same person", RequestView { session: other, ..sample.clone() }, false),
            ("none", sample.clone(), false),
            ("a review", RequestView { session: session.clone(), kind: RequestKind::Review, ..sample.clone() }, false),
        ];
        let of_session = asker(&RequestView { session, ..sample.clone() });
        for (case, view, same) in table {
            assert_eq!(asker(&view) == of_session, same, "{case}");
        }
        let alone = asker(&sample);
        for (case, view, same) in [
            ("the same", sample.clone(), true),
            ("a wish, without a session too", RequestView { kind: RequestKind::Access, ..sample.clone() }, true),
            ("somebody else", RequestView { principal: "ben@acme.dev".into(), ..sample.clone() }, false),
            ("elsewhere", RequestView { connection: "payroll".into(), ..sample.clone() }, false),
        ] {
            assert_eq!(asker(&view) == alone, same, "{case}");
        }
        let (mut views, mut fifth) = (Vec::new(), Vec::new());
        for number in 0..12 {
            views.push(RequestView { principal: format!("p{}", number % 2), ..view(number, false) });
        }
        fifth.extend(first(&views).into_iter().cloned());
        assert_eq!(fifth.len(), 10, "five each");
        let ran: Vec<_> = views.into_iter().map(|view| RequestView { kind: RequestKind::Review, ..view }).collect();
        assert_eq!(first(&ran).len(), ran.len(), "what has happened is never kept back");
    }
}
