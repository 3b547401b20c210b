//! A whole gateway for tests: real state, log, policies and identity provider, and a few people.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use countersign_shared::{
    allow::Terms,
    api::{Needed, RequestKind, SessionView},
    bot_token::{BotKey, Purpose, SlackAccount},
    digest::{Digest, of_bytes},
    duties::Human,
    ids::{RequestId, SessionId},
    request::{Assurance, Choice, State},
};
use tokio::sync::watch;

use super::{keys, seal::SealKey, take::Chooser};
use crate::{
    config::{Bounds, Config, ConnectionConfig, Durability, GatewayConfig, Mode, Upstream, UpstreamTls},
    identity::{Issuers, provider::Provider},
    metrics::Metrics,
    policy::Policies,
    runtime::{Gateway, Holds},
    sessions::{Place, Sessions, Standing},
    statement::{
        decide::{Asked, Asker, SessionFacts, SqlFacts, Wish},
        effect::{Action, Effect, Object},
    },
    store::{
        NewRequest, Request, Seen,
        allowances::{Allowable, Bound},
        sqlite::SqliteStore,
    },
};

/// Who writes needs one, who changes the schema two; a merge needs a fresh sign-in.
pub const POLICY: &str = r#"
permit (principal in Group::"engineering", action in Action::"read", resource in Connection::"shop");
permit (principal in Group::"engineering", action in [Action::"insert", Action::"update", Action::"delete"],
        resource in Connection::"shop") when { context.approvals.count >= 1 };
permit (principal in Group::"engineering", action in Action::"ddl", resource in Connection::"shop")
when { context.approvals.count >= 2 && context.approvals.groups.contains("dba") };
permit (principal in Group::"engineering", action == Action::"merge", resource in Connection::"shop")
when { context.approvals.count >= 1 && context.approvals.step_up };
permit (principal in Group::"ci", action == Action::"select", resource in Connection::"shop");
permit (principal in Group::"ci", action == Action::"delete", resource in Connection::"shop")
when { context.approvals.count >= 1 };
permit (principal in Group::"dba", action == Action::"approve", resource in Connection::"shop");
permit (principal in Group::"admins", action == Action::"administer", resource in Connection::"shop");
permit (principal in Group::"auditors", action == Action::"audit", resource in Connection::"shop");
"#;

/// The people, their subjects and groups.
pub const PEOPLE: &[(&str, &str, &[&str])] = &[
    ("ana@acme.dev", "1", &["engineering"]),
    ("ben@acme.dev", "2", &["engineering"]),
    ("priya@acme.dev", "3", &["dba"]),
    ("dario@acme.dev", "4", &["dba", "engineering"]),
    ("olu@acme.dev", "5", &["admins"]),
    ("sam@acme.dev", "6", &["auditors"]),
];

pub struct House {
    pub gateway: Arc<Gateway>,
    pub provider: Provider,
    pub bot: BotKey,
    pub policies: watch::Sender<Arc<Policies>>,
    pub folder: tempfile::TempDir,
}

impl House {
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A house whose config `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provider = Provider::start().await;
        let at = |name: &str| folder.path().join(name);
        let mut config = config(&provider, folder.path());
        change(&mut config);
        let (pem, verifier) = keys::load_or_create_bot_key(&at("bot.key")).unwrap();
        let (policies, in_force) = watch::channel(Arc::new(policies(POLICY)));
        let store = SqliteStore::open(&format!("sqlite://{}", at("state.db").display())).await.unwrap();
        let gateway = Arc::new(Gateway {
            issuers: Issuers::new(&config.identities, &config.agents).unwrap(),
            config,
            policies: in_force,
            policies_refused: watch::channel(Vec::new()).1,
            store: Arc::new(store),
            log: crate::log::testing::open(&at("records")).unwrap(),
            bot: verifier,
            seal: SealKey::load_or_create(&at("log.key")).unwrap(),
            catalogs: Arc::default(),
            changes: Arc::default(),
            sessions: Sessions::default(),
            grants: crate::access::book::Book::default(),
            regrouped: tokio::sync::Notify::new(),
            asking: tokio::sync::Mutex::default(),
            holds: Holds::default(),
            channels: crate::channels::ChannelNames::default(),
            metrics: Metrics::default(),
        });
        let bot = BotKey::from_pem(pem.reveal().as_bytes()).unwrap();
        let house = Self { gateway, provider, bot, policies, folder };
        for (name, _, groups) in PEOPLE {
            house.seen(house.human(name), groups).await;
        }
        house.seen(house.agent(), &["ci"]).await;
        house
    }

    /// Another gateway on the same state, with the same keys, that remembers nothing else.
    pub fn reopened(&self) -> Arc<Gateway> {
        let at = |name: &str| self.folder.path().join(name);
        let config = self.gateway.config.clone();
        let (_, bot) = keys::load_or_create_bot_key(&at("bot.key")).unwrap();
        Arc::new(Gateway {
            issuers: Issuers::new(&config.identities, &config.agents).unwrap(),
            config,
            policies: self.policies.subscribe(),
            policies_refused: watch::channel(Vec::new()).1,
            store: Arc::clone(&self.gateway.store),
            log: crate::log::testing::open(&at("records-again")).unwrap(),
            bot,
            seal: SealKey::load_or_create(&at("log.key")).unwrap(),
            catalogs: Arc::default(),
            changes: Arc::default(),
            sessions: Sessions::default(),
            grants: crate::access::book::Book::default(),
            regrouped: tokio::sync::Notify::new(),
            asking: tokio::sync::Mutex::default(),
            holds: Holds::default(),
            channels: crate::channels::ChannelNames::default(),
            metrics: Metrics::default(),
        })
    }

    pub fn human(&self, name: &str) -> Human {
        let (_, subject, _) = PEOPLE.iter().find(|(known, ..)| *known == name).unwrap();
        let issuer = self.provider.url.clone();
        Human { principal: name.into(), issuer, subject: (*subject).into(), owner: None }
    }

    /// `deploy`, for which priya answers.
    pub fn agent(&self) -> Human {
        let issuer = self.provider.url.clone();
        Human { principal: "deploy".into(), issuer, subject: "repo:shop".into(), owner: Some("priya@acme.dev".into()) }
    }

    pub async fn seen(&self, human: Human, groups: &[&str]) {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.gateway.store.seen(&Seen { human, groups, at: Utc::now(), token: None }).await.unwrap();
    }

    /// A verified person at the command line.
    pub fn chooser(&self, name: &str) -> Chooser {
        let groups = PEOPLE.iter().find(|(known, ..)| *known == name).unwrap().2;
        Chooser {
            human: self.human(name),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            assurance: Assurance::Cli,
            evidence: "test".into(),
        }
    }

    /// A good token of a person or of the agent.
    pub fn token(&self, name: &str) -> String {
        if name == "deploy" {
            return self.provider.token(&self.provider.claims("x@acme.dev", "repo:shop", &[]));
        }
        let (_, subject, groups) = PEOPLE.iter().find(|(known, ..)| *known == name).unwrap();
        self.provider.token(&self.provider.claims(name, subject, groups))
    }

    pub fn bot_token(&self) -> String {
        self.bot.sign(Purpose::Call).unwrap()
    }

    /// A click of `user`, as the bot signs it.
    pub fn click(&self, request: &NewRequest, choice: Choice, slack: SlackAccount) -> String {
        let (id, digest) = (request.id.clone(), request.digest);
        self.bot.sign(Purpose::Decision { request: id, digest, choice, reason: None, allow: None, slack }).unwrap()
    }

    /// The request that `who` makes by doing `action` to the orders.
    pub async fn asks(&self, who: Human, groups: &[&str], action: Action) -> NewRequest {
        self.asks_until(who, groups, action, TimeDelta::minutes(15)).await
    }

    pub async fn ana_deletes(&self) -> NewRequest {
        self.asks(self.human("ana@acme.dev"), &["engineering"], Action::Delete).await
    }

    /// Ana's wish for `writer`, which priya has approved.
    pub async fn ana_asks_for_writer(&self) -> NewRequest {
        let (now, object) = (Utc::now(), Object::Role { name: "writer".into() });
        let new = NewRequest {
            kind: RequestKind::Access,
            asked: Asked {
                effects: vec![Effect::new(Action::Request, object)],
                wish: Some(Wish { seconds: 3600, extends: None }),
                columns: Vec::new(),
                at_commit: false,
                parts: Vec::new(),
                ..self.ana_deletes().await.asked
            },
            session: None,
            sql: String::new(),
            id: RequestId::random(),
            created_at: now,
            expires_at: now + TimeDelta::hours(1),
            digest: of_bytes(b"a wish"),
            parameters: Vec::new(),
            notes: Vec::new(),
            impact: Vec::new(),
            needed: Needed::default(),
            channel: None,
            allowable: None,
            steps: Vec::new(),
        };
        self.gateway.store.create_request(&new).await.unwrap();
        let approval = self.gateway.seal.seal(crate::store::Approval {
            request: new.id.clone(),
            digest: new.digest,
            approver: self.human("priya@acme.dev"),
            assurance: Assurance::Cli,
            at: now,
            evidence: "test".into(),
            allow: None,
            signature: String::new(),
        });
        self.gateway.store.add_approval(&approval).await.unwrap();
        new
    }

    pub async fn asks_until(&self, who: Human, groups: &[&str], action: Action, until: TimeDelta) -> NewRequest {
        self.asks_with(who, groups, action, until, None).await
    }

    /// Ana's delete, of which approvers may allow so much.
    pub async fn ana_deletes_for(&self, most: Terms) -> NewRequest {
        let (ana, within) = (self.human("ana@acme.dev"), TimeDelta::minutes(15));
        let bound = Bound { text: of_bytes(b"text"), free: of_bytes(b"free"), pinned: of_bytes(b"pinned") };
        self.asks_with(ana, &["engineering"], Action::Delete, within, Some(Allowable { most, bound })).await
    }

    async fn asks_with(
        &self,
        who: Human,
        groups: &[&str],
        action: Action,
        until: TimeDelta,
        allowable: Option<Allowable>,
    ) -> NewRequest {
        let now = Utc::now();
        let table = Object::Table { schema: "public".into(), name: "orders".into() };
        let asked = Asked {
            asker: Asker {
                human: who,
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                roles: Vec::new(),
            },
            connection: "shop".into(),
            tags: BTreeMap::new(),
            effects: vec![Effect::new(Action::Select, table.clone()), Effect::new(action, table)],
            sql: SqlFacts { has_where: true, statement_count: 1, ..SqlFacts::default() },
            session: SessionFacts { application: "psql".into(), address: "127.0.0.1".into() },
            reason: Some("a ticket".into()),
            break_glass: false,
            wish: None,
            columns: Vec::new(),
            at_commit: false,
            parts: Vec::new(),
        };
        let step_up = action == Action::Merge;
        let new = NewRequest {
            id: RequestId::random(),
            kind: RequestKind::Statement,
            digest: of_bytes(b"what ana saw"),
            asked,
            session: Some(SessionId::random()),
            sql: "delete from orders where id = 7 -- \u{202E}<b>".into(),
            parameters: Vec::new(),
            notes: Vec::new(),
            impact: Vec::new(),
            needed: Needed { count: 1, groups: Vec::new(), from: vec!["dba".into()], step_up, at_commit: false },
            channel: Some("C1".into()),
            created_at: now,
            expires_at: now + until,
            allowable,
            steps: Vec::new(),
        };
        self.gateway.store.create_request(&new).await.unwrap();
        new
    }

    pub async fn request(&self, id: &RequestId) -> Request {
        self.gateway.store.request(id).await.unwrap().unwrap()
    }

    pub async fn state(&self, id: &RequestId) -> State {
        self.request(id).await.state
    }

    /// A live session of `who`.
    pub fn session(&self, who: &str) -> (SessionId, Place) {
        let groups = PEOPLE.iter().find(|(known, ..)| *known == who).map_or(&["ci"][..], |(.., groups)| groups);
        self.session_with(who, groups)
    }

    /// A live session of `who`, in these groups.
    pub fn session_with(&self, who: &str, groups: &[&str]) -> (SessionId, Place) {
        let id = SessionId::random();
        let view = SessionView {
            id: id.clone(),
            principal: who.into(),
            connection: "shop".into(),
            address: "127.0.0.1".into(),
            application: None,
            started_at: Utc::now(),
            state: "idle".into(),
        };
        let human = if who == "deploy" { self.agent() } else { self.human(who) };
        let standing = Standing {
            human,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            facts: SessionFacts { application: "psql".into(), address: "127.0.0.1".into() },
            expires_at: Utc::now() + TimeDelta::hours(1),
            token: None,
            login: "app".into(),
        };
        let place = self.gateway.sessions.join(view, standing);
        (id, place)
    }

    /// A live session that rests on this token.
    pub async fn session_by(&self, token: &str) -> Place {
        let identity = self.gateway.issuers.verify(token).await.unwrap();
        let (_, place) = self.session_with(&identity.human.principal, &[]);
        let standing = Standing {
            human: identity.human,
            groups: identity.groups,
            expires_at: identity.expires_at,
            token: identity.token,
            ..place.live().standing().clone()
        };
        let view = SessionView { id: SessionId::random(), ..self.gateway.sessions.list().pop().unwrap() };
        self.gateway.sessions.join(view, standing)
    }

    /// Everything that the log holds, as text.
    pub fn log_text(&self) -> String {
        fn read(folder: &std::path::Path, out: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, out);
                    continue;
                }
                match std::fs::read(&path) {
                    Ok(bytes) => out.push_str(&String::from_utf8_lossy(&bytes)),
                    // What a checkpoint was written to has its place by now.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => panic!("{}: {error}", path.display()),
                }
            }
        }
        let mut out = String::new();
        read(&self.folder.path().join("records"), &mut out);
        out
    }
}

/// Policies of this text.
pub fn policies(text: &str) -> Policies {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10-base.cedar"), text).unwrap();
    Policies::load(folder.path()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A full member of workspace T1.
pub fn slack(user: &str, email: Option<&str>) -> SlackAccount {
    SlackAccount {
        team: "T1".into(),
        user: user.into(),
        name: format!("{user} <b>"),
        email: email.map(Into::into),
        full_member: true,
    }
}

/// A digest that nobody saw.
pub fn other_digest() -> Digest {
    of_bytes(b"something else")
}

fn config(provider: &Provider, folder: &std::path::Path) -> Config {
    let shop = ConnectionConfig {
        card: crate::config::CardContent::Full,
        name: "shop".into(),
        upstream: Upstream {
            host: "127.0.0.1".into(),
            port: 5432,
            user: "app".into(),
            password: None,
            database: "shop".into(),
            tls: UpstreamTls::Disable,
        },
        tags: BTreeMap::new(),
        mode: Mode::Enforce,
        channel: None,
        durability: Durability::Relaxed,
        on_hold: crate::config::OnHold::Wait,
        row_tolerance: crate::statement::guard::Tolerance::default(),
        denials: 1,
        record_rows: 0,
        seal: None,
        record_keep: None,
        logins: Vec::new(),
        classify: Vec::new(),
        on_doubt: crate::statement::mask::rules::OnDoubt::Mask,
    };
    Config {
        file: folder.join("countersign.toml"),
        text: countersign_shared::secret::Secret::new(String::new()),
        gateway: GatewayConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            control: "127.0.0.1:0".parse().unwrap(),
            url: "http://127.0.0.1:6480".parse().unwrap(),
            public: None,
            state: String::new(),
            records: folder.join("records"),
            bucket: None,
            compress_after: None,
            index: false,
            policy: folder.join("policy"),
            policy_signers: None,
            tls: None,
            bot_key: folder.join("bot.key"),
            log_key: folder.join("log.key"),
            checkpoint_interval: Duration::from_secs(1),
            clock_interval: Duration::from_secs(3600),
            hold_timeout: Duration::from_secs(900),
            hold_timeout_in_transaction: Duration::from_secs(120),
            ask_timeout: Duration::from_secs(86_400),
            idle_timeout: Duration::from_secs(900),
            bounds: Bounds::default(),
        },
        identities: vec![provider.config()],
        agents: vec![provider.agent("deploy", "repo:shop", "priya@acme.dev")],
        connections: BTreeMap::from([("shop".to_owned(), shop)]),
        roles: Vec::new(),
        routes: Vec::new(),
        slack: None,
        siem: None,
        scim: None,
        warnings: Vec::new(),
    }
}
