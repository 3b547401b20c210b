//! Whether sessions may go on: `connect` is asked again where what it rests on has changed.

use std::{collections::HashMap, sync::Arc};

use chrono::Utc;
use countersign_shared::duties::Human;

use super::{
    book::{Live as LiveGrant, Now},
    end::{Lost, Why, end},
};
use crate::{
    runtime::Gateway,
    sessions::Live,
    statement::{
        decide::{Asker, SessionFacts, permits},
        effect::{Action, Effect},
    },
    store::How,
};

/// What is the same for sessions that are asked about in the same words.
type Question = (Human, Vec<String>, Vec<String>, String, String, String, String);

/// Answers that were given in this look.
#[derive(Default)]
struct Answers(HashMap<Question, bool>);

/// Whether a session may go on, as its groups and its principal's roles stand now.
pub fn may_go_on(gateway: &Gateway, live: &Live) -> bool {
    let roles = gateway.grants.roles_of(&live.standing().human, live.connection(), Now::read()).names;
    Answers::default().may_connect(gateway, live, roles)
}

impl Answers {
    /// Whether policy permits `connect`, and the config names the login at the database that the session has.
    fn may_connect(&mut self, gateway: &Gateway, live: &Live, roles: Vec<String>) -> bool {
        let standing = live.standing();
        let SessionFacts { application, address } = standing.facts.clone();
        let (human, groups) = (standing.human.clone(), live.groups());
        let login = standing.login.clone();
        let question = (human, groups, roles, live.connection().to_owned(), login, application, address);
        if let Some(answer) = self.0.get(&question) {
            return *answer;
        }
        let (human, groups, roles, connection, login, ..) = question.clone();
        let asker = Asker { human, groups, roles };
        let answer = gateway.config.connections.get(&connection).is_some_and(|config| {
            let connect = Effect::on_connection(Action::Connect);
            let on = (config.name.as_str(), &config.tags);
            // A role that came later brings no other login to a session that lives.
            let has_login = |roles: &[String]| config.as_seen_by(&asker.groups, roles).upstream.user == login;
            (has_login(&asker.roles) || has_login(&[]))
                && permits(&gateway.policies(), &asker, on, &connect, &standing.facts, Utc::now())
        });
        self.0.insert(question, answer);
        answer
    }
}

/// A grant has gone: ends its holder's sessions that rest on its role, or can't connect without it.
/// The others merely lose it.
pub(super) fn without(gateway: &Gateway, gone: &LiveGrant, lost: Lost) {
    let theirs = |live: &Live| live.connection() == gone.connection && live.standing().human == gone.human;
    let roles = gateway.grants.roles_of(&gone.human, &gone.connection, Now::read()).names;
    let (mut over, mut rest) = (Vec::new(), Vec::new());
    for live in gateway.sessions.all(theirs) {
        let kept = live.rests_on().iter().all(|role| roles.contains(role));
        if kept { rest.push(live) } else { over.push(live) }
    }
    let why = Why::Grant(lost);
    // Those that are known to end don't wait for policy's answer about the others.
    end(gateway, &over, &why);
    let mut answers = Answers::default();
    rest.retain(|live| !answers.may_connect(gateway, live, roles.clone()));
    end(gateway, &rest, &why);
}

/// Asks of every session whether it may go on: by its token, its roles, and policy.
pub async fn look_at_all(gateway: &Gateway) {
    let mut answers = Answers::default();
    for (number, live) in gateway.sessions.all(|live| !live.is_ended()).into_iter().enumerate() {
        look(gateway, &live, &mut answers);
        // Thousands of sessions must not keep a thread from everything else.
        if number % 64 == 63 {
            tokio::task::yield_now().await;
        }
    }
}

/// The same of one session. A login looks here once more when it is among those that can be ended.
pub fn look_at(gateway: &Gateway, live: &Arc<Live>) {
    look(gateway, live, &mut Answers::default());
}

fn look(gateway: &Gateway, live: &Arc<Live>, answers: &mut Answers) {
    let now = Now::read();
    let standing = live.standing();
    let roles = gateway.grants.roles_of(&standing.human, live.connection(), now).names;
    let why = if now.wall >= live.expires_at() {
        Some(Why::TokenExpired)
    } else if let Some(role) = live.rests_on().into_iter().find(|role| !roles.contains(role)) {
        let connection = live.connection().to_owned();
        Some(Why::Grant(Lost { role, connection, how: How::Expired, by: None }))
    } else if !answers.may_connect(gateway, live, roles) {
        Some(Why::NotPermitted)
    } else {
        None
    };
    if let Some(why) = why {
        end(gateway, std::slice::from_ref(live), &why);
    }
}

/// Ends the sessions whose token is over by the wall's clock: their own timers follow the machine's,
/// which may have slept.
pub(super) fn expired_tokens(gateway: &Gateway) {
    let now = Utc::now();
    let over = gateway.sessions.all(|live| now >= live.expires_at() && !live.is_ended());
    if !over.is_empty() {
        end(gateway, &over, &Why::TokenExpired);
    }
}

/// Somebody's groups are others than before: leaves every session the groups that its principal still
/// has, and looks at all of them.
///
/// # Errors
/// Where the state can't say.
pub(super) async fn regroup(gateway: &Gateway) -> Result<(), crate::store::StoreError> {
    let people = gateway.store.people().await?;
    let known: HashMap<&Human, &[String]> =
        people.iter().map(|known| (&known.human, known.groups.as_slice())).collect();
    for live in gateway.sessions.all(|_| true) {
        if let Some(groups) = known.get(&live.standing().human) {
            live.narrow(groups);
        }
    }
    look_at_all(gateway).await;
    Ok(())
}
