//! `/metrics` in Prometheus' text form.
//!
//! Labels come from closed sets and from the names of configured connections, never from what a
//! client sends: a principal, an address or SQL would grow without bound, and tell too much.

use std::sync::atomic::AtomicU64;

use countersign_shared::request::State;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
                let text = match self { $(Self::$variant => $text,)+ };
                EncodeLabelValue::encode(&text, encoder)
            }
        }
    };
}

label! {
    /// How a login ended.
    LoginResult {
        /// Let in.
        Accepted = "accepted",
        /// The token is not valid, too old, or for somebody else.
        TokenRefused = "token_refused",
        /// Who it is was proved, and policy or the configuration does not let them in.
        Denied = "denied",
        /// Something that a login rests on did not answer.
        Unavailable = "unavailable",
    }
}

label! {
    /// What was decided of a statement.
    StatementDecision {
        /// Passed.
        Allow = "allow",
        /// Held.
        Hold = "hold",
        /// Refused.
        Deny = "deny",
    }
}

label! {
    /// How a load of policy ended.
    LoadResult {
        /// In force.
        Loaded = "loaded",
        /// Wrong; the one before stays in force.
        Refused = "refused",
    }
}

/// A [`State`] as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End(State);

impl EncodeLabelValue for End {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfConnection {
    connection: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClock {
    of: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatement {
    connection: String,
    decision: StatementDecision,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfHold {
    connection: String,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLogin {
    result: LoginResult,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLoad {
    result: LoadResult,
}

/// From a second to the longest hold, in seconds.
const HOLD_SECONDS: [f64; 10] = [1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0];

/// The gateway's counters. `connection` is always the name of a configured connection.
pub struct Metrics {
    registry: Registry,
    sessions: Family<OfConnection, Gauge>,
    logins: Family<OfLogin, Counter>,
    statements: Family<OfStatement, Counter>,
    holds_pending: Gauge,
    holds: Family<OfHold, Counter>,
    hold_seconds: Histogram,
    log_entries: Counter,
    log_down: Gauge<i64>,
    siem_lag: Gauge<i64>,
    policy_loads: Family<OfLoad, Counter>,
    policy_stale: Gauge<i64>,
    clock_ahead: Family<OfClock, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let sessions = Family::default();
        registry.register("sessions", "Live sessions", sessions.clone());
        let logins = Family::default();
        registry.register("logins", "Logins by how they ended", logins.clone());
        let statements = Family::default();
        registry.register("statements", "Statements by what was decided of them", statements.clone());
        let holds_pending: Gauge = Gauge::default();
        registry.register("holds_pending", "Statements that wait for approval now", holds_pending.clone());
        let holds = Family::default();
        registry.register("holds", "Holds by how they ended", holds.clone());
        let hold_seconds = Histogram::new(HOLD_SECONDS);
        registry.register("hold_seconds", "How long a statement was held, in seconds", hold_seconds.clone());
        let log_entries: Counter = Counter::default();
        registry.register("log_entries", "Entries handed to the log", log_entries.clone());
        let log_down: Gauge<i64> = Gauge::default();
        registry.register("log_down", "1 where the log can't be written and no statement passes", log_down.clone());
        let siem_lag: Gauge<i64> = Gauge::default();
        registry.register("siem_lag", "Signed entries that the collector has not taken", siem_lag.clone());
        let policy_loads = Family::default();
        registry.register("policy_loads", "Loads of policy by how they ended", policy_loads.clone());
        let policy_stale: Gauge<i64> = Gauge::default();
        let help = "1 where the policy folder says something that can't be put in force";
        registry.register("policy_stale", help, policy_stale.clone());
        let clock_ahead = Family::default();
        let help = "By how much this machine's clock is ahead of another, in seconds";
        registry.register("clock_ahead_seconds", help, clock_ahead.clone());
        // A gauge, since the older text form knows no type for such a metric.
        let build: Family<[(&str, &str); 1], Gauge> = Family::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "The version that runs", build);
        let metrics = Self {
            registry,
            sessions,
            logins,
            statements,
            holds_pending,
            holds,
            hold_seconds,
            log_entries,
            log_down,
            siem_lag,
            policy_loads,
            policy_stale,
            clock_ahead,
        };
        metrics.show_what_has_not_happened();
        metrics
    }
}

impl Metrics {
    /// A counter that appears with its first event hides that event from `rate()`.
    fn show_what_has_not_happened(&self) {
        use LoginResult::{Accepted, Denied, TokenRefused, Unavailable};
        for result in [Accepted, TokenRefused, Denied, Unavailable] {
            drop(self.logins.get_or_create(&OfLogin { result }));
        }
        for result in [LoadResult::Loaded, LoadResult::Refused] {
            drop(self.policy_loads.get_or_create(&OfLoad { result }));
        }
    }

    /// A login ended.
    pub fn login(&self, result: LoginResult) {
        self.logins.get_or_create(&OfLogin { result }).inc();
    }

    /// A session began on `connection`.
    pub fn session_began(&self, connection: &str) {
        self.sessions.get_or_create(&OfConnection { connection: connection.to_owned() }).inc();
    }

    /// A session on `connection` ended.
    pub fn session_ended(&self, connection: &str) {
        self.sessions.get_or_create(&OfConnection { connection: connection.to_owned() }).dec();
    }

    /// A statement was decided.
    pub fn statement(&self, connection: &str, decision: StatementDecision) {
        self.statements.get_or_create(&OfStatement { connection: connection.to_owned(), decision }).inc();
    }

    /// The statements of `connection` that were decided so: for whoever counts many.
    pub fn statements(&self, connection: &str, decision: StatementDecision) -> Counter {
        self.statements.get_or_create(&OfStatement { connection: connection.to_owned(), decision }).clone()
    }

    /// A statement waits for approval.
    pub fn hold_began(&self) {
        self.holds_pending.inc();
    }

    /// A hold ended as `end` after so many seconds: `released`, or why it was refused.
    pub fn hold_ended(&self, connection: &str, end: State, seconds: f64) {
        self.holds_pending.dec();
        self.holds.get_or_create(&OfHold { connection: connection.to_owned(), end: End(end) }).inc();
        self.hold_seconds.observe(seconds);
    }

    /// An entry was handed to the log.
    pub fn log_entry(&self) {
        self.log_entries.inc();
    }

    /// Whether the log can be written.
    pub fn log_is_down(&self, down: bool) {
        self.log_down.set(i64::from(down));
    }

    /// So many entries wait for the collector.
    pub fn siem_lags(&self, entries: u64) {
        self.siem_lag.set(i64::try_from(entries).unwrap_or(i64::MAX));
    }

    /// Policy was loaded, or refused.
    pub fn policy_load(&self, result: LoadResult) {
        self.policy_loads.get_or_create(&OfLoad { result }).inc();
    }

    /// Whether the folder says something else than what is in force, since it can't be.
    pub fn policy_is_stale(&self, stale: bool) {
        self.policy_stale.set(i64::from(stale));
    }

    /// This clock is ahead of another, by so many seconds.
    pub fn clock_is_ahead(&self, of: &str, seconds: f64) {
        self.clock_ahead.get_or_create(&OfClock { of: of.to_owned() }).set(seconds);
    }

    /// The `Content-Type` of [`Self::render`].
    pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The text of `/metrics`, in the OpenMetrics form.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail.
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics) -> Vec<String> {
        metrics.render().lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn what_happened_is_counted_under_its_name() {
        let metrics = Metrics::default();
        metrics.login(LoginResult::Accepted);
        metrics.login(LoginResult::TokenRefused);
        metrics.session_began("shop");
        metrics.session_began("shop");
        metrics.session_ended("shop");
        metrics.statement("shop", StatementDecision::Deny);
        metrics.hold_began();
        metrics.hold_began();
        metrics.hold_ended("shop", State::Withdrawn, 2.5);
        metrics.log_entry();
        metrics.log_is_down(true);
        metrics.policy_load(LoadResult::Loaded);
        metrics.policy_is_stale(true);
        let lines = lines(&metrics);
        let expected = [
            "countersign_logins_total{result=\"accepted\"} 1",
            "countersign_logins_total{result=\"token_refused\"} 1",
            "countersign_logins_total{result=\"denied\"} 0",
            "countersign_sessions{connection=\"shop\"} 1",
            "countersign_statements_total{connection=\"shop\",decision=\"deny\"} 1",
            "countersign_holds_pending 1",
            "countersign_holds_total{connection=\"shop\",end=\"withdrawn\"} 1",
            "countersign_hold_seconds_bucket{le=\"1.0\"} 0",
            "countersign_hold_seconds_bucket{le=\"3.0\"} 1",
            "countersign_hold_seconds_count 1",
            "countersign_log_entries_total 1",
            "countersign_log_down 1",
            "countersign_policy_loads_total{result=\"loaded\"} 1",
            "countersign_policy_loads_total{result=\"refused\"} 0",
            "countersign_policy_stale 1",
            concat!("countersign_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ];
        for line in expected {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
    }

    #[test]
    fn a_hostile_name_stays_within_its_label() {
        let metrics = Metrics::default();
        metrics.session_began("a\"} 1\nfake_metric 7\\");
        assert!(!lines(&metrics).iter().any(|line| line.starts_with("fake_metric")));
    }
}
