//! What every implementation of [`Store`] must do. SQLite runs it now, PostgreSQL later.

use chrono::{DateTime, TimeDelta, Utc};
use countersign_shared::{
    api::{CardRef, Needed, Outcome, RequestKind, SlackRef},
    bot_token::SlackAccount,
    digest::{Digest, of_bytes},
    duties::Human,
    ids::{GrantId, RequestId, SessionId},
    request::{Assurance, State},
};

use super::{
    Approval, GrantEnd, GrantFilter, How, NewRequest, PendingLink, RequestFilter, Seen, Store, StoreError, Term,
};
use crate::statement::{
    decide::{Asked, Asker, SessionFacts, SqlFacts, Wish},
    effect::{Action, Effect, Object},
};

/// A fixed now, so that no test depends on the clock.
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

pub(super) fn user(name: &str) -> Human {
    Human {
        principal: format!("{name}@acme.dev"),
        issuer: "https://idp".into(),
        subject: format!("sub-{name}"),
        owner: None,
    }
}

pub(super) fn agent(name: &str, owner: &str) -> Human {
    Human { principal: name.into(), owner: Some(format!("{owner}@acme.dev")), ..user(name) }
}

pub(super) fn digest_of(text: &str) -> Digest {
    of_bytes(text.as_bytes())
}

pub(super) fn request_by(human: Human) -> NewRequest {
    let object = Object::Table { schema: "public".into(), name: "orders".into() };
    NewRequest {
        id: RequestId::random(),
        kind: RequestKind::Statement,
        digest: digest_of("delete"),
        asked: Asked {
            asker: Asker { human, groups: vec!["engineering".into()], roles: vec![] },
            connection: "shop".into(),
            tags: [("env".to_owned(), "prod".to_owned())].into(),
            effects: vec![Effect::new(Action::Delete, object)],
            sql: SqlFacts { has_where: true, ..SqlFacts::default() },
            session: SessionFacts { application: "psql\0\u{202e}".into(), address: "127.0.0.1".into() },
            reason: Some("it's \"urgent\"\n".into()),
            break_glass: false,
            wish: None,
            columns: Vec::new(),
            at_commit: false,
            parts: Vec::new(),
        },
        session: Some(SessionId::random()),
        sql: "delete from orders where note = 'ü\0\u{202e}'".into(),
        parameters: vec!["NULL".into(), "o'hara".into()],
        notes: vec!["no index".into()],
        impact: Vec::new(),
        needed: Needed { count: 1, from: vec!["dba".into()], ..Needed::default() },
        channel: Some("C1".into()),
        created_at: now(),
        expires_at: now() + TimeDelta::minutes(15),
        allowable: None,
        steps: Vec::new(),
    }
}

pub(super) fn approval_of(request: &NewRequest, approver: Human) -> Approval {
    Approval {
        request: request.id.clone(),
        digest: request.digest,
        approver,
        assurance: Assurance::StepUp,
        at: now() + TimeDelta::nanoseconds(1_234_567),
        evidence: "jwt".into(),
        allow: None,
        signature: "sig".into(),
    }
}

pub(super) async fn see(store: &dyn Store, human: &Human) {
    let seen = Seen { human: human.clone(), groups: vec!["engineering".into()], at: now(), token: None };
    store.seen(&seen).await.unwrap();
}

/// A request that waits, by somebody who was seen.
pub(super) async fn pending(store: &dyn Store, human: Human) -> NewRequest {
    see(store, &human).await;
    let new = request_by(human);
    store.create_request(&new).await.unwrap();
    new
}

pub(super) async fn state_of(store: &dyn Store, id: &RequestId) -> State {
    store.request(id).await.unwrap().unwrap().state
}

/// Runs the whole suite on an empty store.
pub(super) async fn conformance(store: &dyn Store) {
    a_principal_stays_bound_to_its_first_subject(store).await;
    a_request_comes_back_as_it_was_made(store).await;
    who_may_approve_whose_request(store).await;
    an_approval_binds_a_pending_request_before_its_deadline(store).await;
    every_pair_of_states_moves_as_the_life_allows(store).await;
    an_outcome_and_a_card_are_written_once(store).await;
    requests_are_listed_newest_first(store).await;
    orphans_end(store).await;
    a_grant_comes_from_what_was_approved_and_ends_once(store).await;
    links_are_made_once_by_their_nonce(store).await;
    events_grow_by_one_and_ring(store).await;
    store.ping().await.unwrap();
}

async fn a_principal_stays_bound_to_its_first_subject(store: &dyn Store) {
    see(store, &user("bea")).await;
    let seen = |human: Human, groups: &[&str]| Seen {
        human,
        groups: groups.iter().map(ToString::to_string).collect(),
        at: now(),
        token: None,
    };
    store.seen(&seen(user("bea"), &["dba", "support"])).await.unwrap();
    let bea = store.person("BEA@acme.dev").await.unwrap().unwrap();
    assert_eq!((bea.human, bea.groups.as_slice()), (user("bea"), ["dba".to_owned(), "support".to_owned()].as_slice()));
    let impostors = [
        ("another subject", Human { subject: "other".into(), ..user("bea") }),
        ("another issuer", Human { issuer: "https://other".into(), ..user("bea") }),
        ("capitals", Human { principal: "Bea@ACME.dev".into(), subject: "other".into(), ..user("bea") }),
        ("an agent of that name", Human { owner: Some("ana@acme.dev".into()), ..user("bea") }),
    ];
    for (case, human) in impostors {
        let got = store.seen(&seen(human, &["admin"])).await;
        assert!(matches!(got, Err(StoreError::BoundToAnother { .. })), "{case}: {got:?}");
    }
    assert_eq!(store.person("bea@acme.dev").await.unwrap().unwrap().groups, ["dba", "support"], "nothing changed");
    let renamed = Human { principal: "bea.new@acme.dev".into(), ..user("bea") };
    store.seen(&seen(renamed.clone(), &[])).await.expect("a subject may be renamed");
    see(store, &agent("robot", "bea")).await;
    let robot = Human { subject: "stolen".into(), ..agent("robot", "bea") };
    assert!(store.seen(&seen(robot, &[])).await.is_err(), "agents bind too");
    let names: Vec<_> = store.people().await.unwrap().into_iter().map(|known| known.human.principal).collect();
    assert_eq!(names, ["bea.new@acme.dev", "bea@acme.dev", "robot"]);
    assert!(store.person("nobody").await.unwrap().is_none());
}

async fn a_request_comes_back_as_it_was_made(store: &dyn Store) {
    let new = request_by(user("carl"));
    let refused = store.create_request(&new).await;
    assert!(matches!(refused, Err(StoreError::NotFound(_))), "its principal was never seen: {refused:?}");
    let new = pending(store, user("carl")).await;
    see(store, &user("priya")).await;
    let approval = approval_of(&new, user("priya"));
    let after = store.add_approval(&approval).await.unwrap();
    assert_eq!(after, store.request(&new.id).await.unwrap().unwrap());
    assert_eq!((&after.new, after.state, after.approvals.as_slice()), (&new, State::Pending, [approval].as_slice()));
    assert_eq!((after.outcome, after.card), (None, None));
    let twice = store.create_request(&new).await;
    assert!(matches!(twice, Err(StoreError::Refused(_))), "a request is made once: {twice:?}");
    assert!(store.request(&RequestId::random()).await.unwrap().is_none());
}

async fn who_may_approve_whose_request(store: &dyn Store) {
    for human in [user("ana"), user("ben"), user("priya"), agent("deploy", "ana"), agent("bot", "ben")] {
        see(store, &human).await;
    }
    let ana_renamed = Human { principal: "ana.b@acme.dev".into(), ..user("ana") };
    see(store, &ana_renamed).await;
    let capitals = Human { principal: "ANA@Acme.dev".into(), ..user("ana") };
    let masked = Human { owner: None, ..agent("bot", "ben") };
    let forged = Human { subject: "sub-nobody".into(), ..user("ben") };
    let (by_ana, by_agent) = (user("ana"), agent("deploy", "ana"));
    let table = [
        ("the requester", by_ana.clone(), user("ana"), "same"),
        ("the requester in capitals", by_ana.clone(), capitals, "same"),
        ("the requester under a new name", by_ana.clone(), ana_renamed.clone(), "same"),
        ("the owner of the agent that asks", by_agent.clone(), user("ana"), "same"),
        ("that owner under a new name", by_agent.clone(), ana_renamed, "same"),
        ("the requester's agent", by_ana.clone(), agent("deploy", "ana"), "refused"),
        ("another's agent", by_ana.clone(), agent("bot", "ben"), "refused"),
        ("an agent that calls itself a user", by_ana.clone(), masked, "refused"),
        ("a user under a subject that is not theirs", by_ana.clone(), forged, "unknown"),
        ("a user whom nobody has seen", by_ana.clone(), user("zoe"), "unknown"),
        ("another user", by_ana, user("ben"), "taken"),
        ("another user, for an agent", by_agent, user("priya"), "taken"),
    ];
    for (case, requester, approver, expected) in table {
        let new = pending(store, requester).await;
        let got = store.add_approval(&approval_of(&new, approver)).await;
        let told = match &got {
            Ok(_) => "taken",
            Err(StoreError::SameHuman) => "same",
            Err(StoreError::Refused(_)) => "refused",
            Err(StoreError::NotFound(_)) => "unknown",
            Err(_) => "another error",
        };
        assert_eq!(told, expected, "{case}: {got:?}");
        let count = store.request(&new.id).await.unwrap().unwrap().approvals.len();
        assert_eq!(count, usize::from(expected == "taken"), "{case}");
    }
}

async fn an_approval_binds_a_pending_request_before_its_deadline(store: &dyn Store) {
    see(store, &user("ben")).await;
    see(store, &user("priya")).await;
    let new = pending(store, user("ana")).await;
    let yes = approval_of(&new, user("priya"));

    let late = Approval { at: new.expires_at, ..yes.clone() };
    let got = store.add_approval(&late).await;
    assert!(matches!(got, Err(StoreError::Over { state: State::Expired })), "at its deadline it is over: {got:?}");
    let other = Approval { digest: digest_of("drop"), ..yes.clone() };
    assert!(matches!(store.add_approval(&other).await, Err(StoreError::Refused(_))), "another digest");
    let lost = Approval { request: RequestId::random(), ..yes.clone() };
    assert!(matches!(store.add_approval(&lost).await, Err(StoreError::NotFound("request"))));
    let unsigned = Approval { signature: String::new(), ..yes.clone() };
    assert!(matches!(store.add_approval(&unsigned).await, Err(StoreError::Refused(_))), "unsigned");

    let just = Approval { at: new.expires_at - TimeDelta::nanoseconds(1), ..yes.clone() };
    store.add_approval(&just).await.expect("just before its deadline");
    assert!(matches!(store.add_approval(&yes).await, Err(StoreError::AlreadyDecided)), "twice");
    let priya_renamed = Human { principal: "priya.k@acme.dev".into(), ..user("priya") };
    see(store, &priya_renamed).await;
    let again = store.add_approval(&approval_of(&new, priya_renamed)).await;
    assert!(matches!(again, Err(StoreError::AlreadyDecided)), "the same human under a new name: {again:?}");

    let denied = Outcome { by: Some("ben@acme.dev".into()), ..Outcome::default() };
    assert!(store.move_request(&new.id, &[State::Pending], State::Denied, Some(&denied)).await.unwrap());
    let got = store.add_approval(&approval_of(&new, user("ben"))).await;
    assert!(matches!(got, Err(StoreError::Over { state: State::Denied })), "after a denial: {got:?}");
    let request = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!((request.approvals.len(), request.outcome), (1, Some(denied)));
}

/// A request that was led to `state` by legal moves.
pub(super) async fn led_to(store: &dyn Store, state: State) -> NewRequest {
    use State::{Approved, Denied, Done, Expired, Pending, Released, Unknown, Void, Withdrawn};
    see(store, &user("priya")).await;
    let new = pending(store, user("ana")).await;
    let path: &[State] = match state {
        Pending => &[],
        Approved => &[Approved],
        Denied => &[Denied],
        Withdrawn => &[Withdrawn],
        Expired => &[Expired],
        Void => &[Void],
        Released => &[Approved, Released],
        Done => &[Approved, Released, Done],
        Unknown => &[Approved, Released, Unknown],
    };
    let mut at = Pending;
    for next in path {
        if *next == Approved {
            store.add_approval(&approval_of(&new, user("priya"))).await.unwrap();
        }
        assert!(store.move_request(&new.id, &[at], *next, None).await.unwrap());
        at = *next;
    }
    new
}

async fn every_pair_of_states_moves_as_the_life_allows(store: &dyn Store) {
    for from in State::ALL {
        let new = led_to(store, from).await;
        for to in State::ALL {
            if from.may_become(to) {
                continue;
            }
            let got = store.move_request(&new.id, &[from], to, None).await;
            assert!(matches!(got, Err(StoreError::Refused(_))), "{from} → {to}: {got:?}");
            assert_eq!(state_of(store, &new.id).await, from);
        }
    }
    let new = pending(store, user("ana")).await;
    let got = store.move_request(&new.id, &[State::Pending], State::Approved, None).await;
    assert!(matches!(got, Err(StoreError::Refused(_))), "approved by nobody: {got:?}");
    let moved = store.move_request(&new.id, &[State::Approved], State::Released, None).await.unwrap();
    assert!(!moved, "it is in another state");
    assert_eq!(state_of(store, &new.id).await, State::Pending);
    let nowhere = store.move_request(&RequestId::random(), &[State::Pending], State::Void, None).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound("request"))));
}

async fn an_outcome_and_a_card_are_written_once(store: &dyn Store) {
    let new = pending(store, user("ana")).await;
    let card = |ts: &str| CardRef { channel: "C1".into(), ts: ts.into() };
    assert!(store.set_card(&new.id, &card("1.1")).await.unwrap());
    assert!(!store.set_card(&new.id, &card("2.2")).await.unwrap(), "the first one stays");
    let needed = Needed { count: 2, groups: vec!["dba".into()], ..Needed::default() };
    store.set_needed(&new.id, &needed).await.unwrap();
    let request = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!((request.card, request.new.needed), (Some(card("1.1")), needed.clone()));
    let nowhere = RequestId::random();
    assert!(matches!(store.set_card(&nowhere, &card("1")).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.set_needed(&nowhere, &needed).await, Err(StoreError::NotFound(_))));
}

async fn requests_are_listed_newest_first(store: &dyn Store) {
    let dora = user("dora");
    see(store, &dora).await;
    let mut ids = Vec::new();
    for minute in 0..105 {
        let created_at = now() + TimeDelta::minutes(minute);
        let new = NewRequest { created_at, expires_at: created_at + TimeDelta::minutes(1), ..request_by(dora.clone()) };
        store.create_request(&new).await.unwrap();
        ids.insert(0, new.id);
    }
    store.move_request(&ids[1], &[State::Pending], State::Void, None).await.unwrap();
    let listed = async |states: &[State], limit| {
        let filter = RequestFilter { states: states.to_vec(), principal: Some("Dora@acme.dev".into()), limit };
        store.requests(&filter).await.unwrap().into_iter().map(|request| request.new.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&[], 2).await, ids[..2]);
    assert_eq!(listed(&[], 0).await, ids[..100], "a hundred by default");
    assert_eq!(listed(&[State::Void, State::Done], 0).await, ids[1..2]);
    assert_eq!(listed(&[State::Pending], 1).await, ids[..1]);
}

async fn orphans_end(store: &dyn Store) {
    let mut made = Vec::new();
    for state in State::ALL {
        made.push((state, led_to(store, state).await.id));
    }
    let wish = NewRequest { kind: RequestKind::Access, ..request_by(user("ana")) };
    store.create_request(&wish).await.unwrap();
    let ahead = NewRequest { session: None, ..request_by(user("ana")) };
    store.create_request(&ahead).await.unwrap();
    let cut_off = released_wish(store, 3600, None).await;
    let ended = store.end_orphans("the gateway stopped").await.unwrap();
    assert_eq!(state_of(store, &cut_off.id).await, State::Unknown, "a wish that came to no grant gives none");
    for (state, id) in made {
        let request = store.request(&id).await.unwrap().unwrap();
        let expected = match state {
            State::Pending | State::Approved => State::Void,
            State::Released => State::Unknown,
            over => over,
        };
        assert_eq!(request.state, expected, "was {state}");
        assert_eq!(ended.contains(&id), state != expected, "was {state}");
        if state != expected {
            assert_eq!(request.outcome.unwrap().reason.as_deref(), Some("the gateway stopped"));
        }
    }
    assert_eq!(state_of(store, &wish.id).await, State::Pending, "a wish for access outlives the gateway");
    assert_eq!(state_of(store, &ahead.id).await, State::Pending, "so does what no session waits with");
    assert!(store.end_orphans("again").await.unwrap().is_empty());
}

/// Ana's wish for `writer` on the shop, approved by priya and released.
pub(super) async fn released_wish(store: &dyn Store, seconds: u64, extends: Option<&GrantId>) -> NewRequest {
    see(store, &user("ana")).await;
    see(store, &user("priya")).await;
    let mut new = NewRequest { kind: RequestKind::Access, session: None, ..request_by(user("ana")) };
    new.asked.effects = vec![Effect::new(Action::Request, Object::Role { name: "writer".into() })];
    new.asked.wish = Some(Wish { seconds, extends: extends.cloned() });
    store.create_request(&new).await.unwrap();
    store.add_approval(&approval_of(&new, user("priya"))).await.unwrap();
    for (from, to) in [(State::Pending, State::Approved), (State::Approved, State::Released)] {
        assert!(store.move_request(&new.id, &[from], to, None).await.unwrap());
    }
    new
}

/// The term that a released wish comes to.
pub(super) fn term_of(wish: &NewRequest) -> Term {
    Term {
        grant: GrantId::random(),
        number: 0,
        human: wish.asked.asker.human.clone(),
        connection: "shop".into(),
        role: "writer".into(),
        reason: "INC-1".into(),
        request: Some(wish.id.clone()),
        approved_by: vec!["priya@acme.dev".into()],
        from: now(),
        until: now() + TimeDelta::hours(1),
        signature: "sig".into(),
    }
}

async fn a_grant_comes_from_what_was_approved_and_ends_once(store: &dyn Store) {
    let wish = released_wish(store, 3600, None).await;
    let term = term_of(&wish);
    see(store, &user("ben")).await;
    let waits = NewRequest { kind: RequestKind::Access, ..request_by(user("ana")) };
    store.create_request(&waits).await.unwrap();
    let hold = led_to(store, State::Released).await;
    let table = [
        ("another person", Term { human: user("ben"), ..term.clone() }),
        ("another connection", Term { connection: "crm".into(), ..term.clone() }),
        ("another role", Term { role: "admin".into(), ..term.clone() }),
        ("longer", Term { until: term.until + TimeDelta::milliseconds(1), ..term.clone() }),
        ("a request that waits", Term { request: Some(waits.id), ..term.clone() }),
        ("a statement", Term { request: Some(hold.id), ..term.clone() }),
        ("a second term without a first", Term { number: 1, ..term.clone() }),
        ("no time at all", Term { until: term.from, ..term.clone() }),
        ("approvers without a request", Term { request: None, ..term.clone() }),
        ("a request without approvers", Term { approved_by: vec![], ..term.clone() }),
        ("unsigned", Term { signature: String::new(), ..term.clone() }),
    ];
    for (case, term) in table {
        let got = store.give(&term).await;
        assert!(matches!(got, Err(StoreError::Refused(_))), "{case}: {got:?}");
    }
    assert_eq!(state_of(store, &wish.id).await, State::Released, "nothing was spent");
    let before = store.last_event().await.unwrap();
    store.give(&term).await.unwrap();
    assert_eq!(state_of(store, &wish.id).await, State::Done);
    let again = Term { grant: GrantId::random(), ..term.clone() };
    assert!(matches!(store.give(&again).await, Err(StoreError::Refused(_))), "a request is spent once");

    let id = &term.grant;
    let longer = released_wish(store, 3600, Some(id)).await;
    let from = term.from + TimeDelta::minutes(30);
    let more =
        Term { number: 1, request: Some(longer.id.clone()), from, until: from + TimeDelta::hours(1), ..term.clone() };
    let elsewhere = Term { grant: GrantId::random(), number: 0, ..more.clone() };
    assert!(store.give(&elsewhere).await.is_err(), "what was asked was an extension of another grant");
    let late = Term { from: term.until, ..more.clone() };
    assert!(matches!(store.give(&late).await, Err(StoreError::GrantOver)), "its time is over");
    store.give(&more).await.unwrap();
    let grant = store.grant(id).await.unwrap().unwrap();
    assert_eq!((&grant.first, grant.more.as_slice(), &grant.end), (&term, [more].as_slice(), &None));

    let end = GrantEnd { at: now(), how: How::Revoked, by: Some("priya@acme.dev".into()), reason: Some("done".into()) };
    assert!(store.end_grant(id, &end).await.unwrap());
    assert!(!store.end_grant(id, &GrantEnd { how: How::Expired, ..end.clone() }).await.unwrap(), "once");
    assert_eq!(store.grant(id).await.unwrap().unwrap().end, Some(end.clone()), "the first end stays");
    let nowhere = store.end_grant(&GrantId::random(), &end).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound("grant"))), "{nowhere:?}");
    let revived = released_wish(store, 7200, Some(id)).await;
    let revived =
        Term { number: 2, request: Some(revived.id), from, until: from + TimeDelta::hours(2), ..term.clone() };
    assert!(matches!(store.give(&revived).await, Err(StoreError::GrantOver)), "what has ended is not extended");

    let open = Term { grant: GrantId::random(), request: None, approved_by: vec![], ..term.clone() };
    store.give(&open).await.expect("what policy gives at once");
    let listed = async |open, principal: Option<&str>| {
        let filter = GrantFilter { open, principal: principal.map(Into::into), limit: 0 };
        store.grants(&filter).await.unwrap().into_iter().map(|grant| grant.first.grant).collect::<Vec<_>>()
    };
    assert_eq!(listed(true, None).await, std::slice::from_ref(&open.grant));
    assert_eq!(listed(false, Some("ANA@acme.dev")).await.len(), 2);
    assert!(listed(false, Some("ben@acme.dev")).await.is_empty());
    let events = store.events_after(before, 100).await.unwrap();
    let told: Vec<_> = events.iter().filter(|e| e.grant.is_some()).map(|e| e.kind.as_str()).collect();
    assert_eq!(told, ["grant.created", "grant.extended", "grant.ended", "grant.created"]);
    assert_eq!(events.iter().find(|e| e.grant.is_some()).unwrap().grant.as_ref(), Some(id));
}

async fn links_are_made_once_by_their_nonce(store: &dyn Store) {
    let account = |user: &str| SlackAccount {
        team: "T1".into(),
        user: user.into(),
        name: "n".into(),
        email: None,
        full_member: true,
    };
    let slack = |user: &str| SlackRef { team: "T1".into(), user: user.into() };
    let end = now() + TimeDelta::minutes(10);
    let start = async |nonce: &str, user: &str| {
        let link = PendingLink { nonce: nonce.into(), slack: account(user), expires_at: end };
        store.start_link(&link).await.unwrap();
        link
    };
    let link = start("n1", "U1").await;
    assert_eq!(store.pending_link("n1", now()).await.unwrap(), Some(link.clone()));
    assert_eq!(store.pending_link("n2", now()).await.unwrap(), None);
    assert_eq!(store.pending_link("n1", end).await.unwrap(), None, "ended");
    assert!(matches!(store.complete_link("n1", "ana@acme.dev", true, end).await, Err(StoreError::NotFound("link"))));
    assert!(store.start_link(&link).await.is_err(), "a nonce is used once");

    let made = store.complete_link("n1", "ana@acme.dev", false, now()).await.unwrap();
    assert_eq!((&made.slack, made.principal.as_str(), made.confirmed), (&slack("U1"), "ana@acme.dev", false));
    assert_eq!(store.pending_link("n1", now()).await.unwrap(), None, "used");
    let again = store.complete_link("n1", "ana@acme.dev", true, now()).await;
    assert!(matches!(again, Err(StoreError::NotFound("link"))), "used: {again:?}");

    start("n3", "U1").await;
    let taken = store.complete_link("n3", "ben@acme.dev", true, now()).await;
    assert!(matches!(taken, Err(StoreError::Linked(_))), "the Slack account is another's: {taken:?}");
    start("n4", "U2").await;
    let second = store.complete_link("n4", "Ana@acme.dev", true, now()).await;
    assert!(matches!(second, Err(StoreError::Linked(_))), "a second Slack account: {second:?}");
    assert_eq!(store.link_of_slack(&slack("U2")).await.unwrap(), None);

    start("n6", "U6").await;
    let six = store.complete_link("n6", "six@acme.dev", true, now()).await.unwrap();
    let listed = store.links().await.unwrap();
    assert_eq!(listed.iter().map(|one| &one.link).collect::<Vec<_>>(), [&made, &six], "what waits comes first");
    assert_eq!((listed[0].name.as_deref(), &listed[0].email, listed[0].made_at), (Some("n"), &None, now()));
    assert!(!store.confirm_link(&slack("U1"), "ben@acme.dev").await.unwrap(), "it is somebody else's now");
    assert!(!store.links_of("ana@acme.dev").await.unwrap()[0].confirmed);
    assert!(store.confirm_link(&slack("U1"), "Ana@acme.dev").await.unwrap());
    assert!(!store.confirm_link(&slack("U9"), "ana@acme.dev").await.unwrap());
    assert_eq!(store.links_of("ANA@acme.dev").await.unwrap(), [super::Link { confirmed: true, ..made }]);
    start("n5", "U1").await;
    let kept = store.complete_link("n5", "ana@acme.dev", false, now()).await.unwrap();
    assert!(kept.confirmed, "signing in again does not take a confirmation away");
    assert!(store.unlink(&slack("U1")).await.unwrap());
    assert!(!store.unlink(&slack("U1")).await.unwrap());
    store.complete_link("n4", "ana@acme.dev", true, now()).await.expect("free again, and the nonce unspent");
}

async fn events_grow_by_one_and_ring(store: &dyn Store) {
    let mut bell = store.event_bell();
    let before = store.last_event().await.unwrap();
    assert_eq!(*bell.borrow_and_update(), before);
    let new = pending(store, user("ana")).await;
    assert!(bell.has_changed().unwrap());
    assert_eq!(*bell.borrow_and_update(), before + 1);
    see(store, &user("priya")).await;
    assert!(!bell.has_changed().unwrap(), "a login is no event");
    store.add_approval(&approval_of(&new, user("priya"))).await.unwrap();
    store.set_needed(&new.id, &new.needed).await.unwrap();
    store.add_approval(&approval_of(&new, user("priya"))).await.unwrap_err();
    assert!(!store.move_request(&new.id, &[State::Approved], State::Void, None).await.unwrap());
    assert!(store.move_request(&new.id, &[State::Pending], State::Approved, None).await.unwrap());
    let events = store.events_after(before, 10).await.unwrap();
    let told: Vec<_> = events.iter().map(|e| (e.seq - before, e.kind.as_str(), e.request.as_ref())).collect();
    let id = Some(&new.id);
    assert_eq!(told, [(1, "request.created", id), (2, "request.updated", id), (3, "request.updated", id)]);
    assert_eq!(store.events_after(before, 1).await.unwrap(), events[..1]);
    assert_eq!(*bell.borrow(), store.last_event().await.unwrap());
}
