//! The only maker of an ErrorResponse; a SQLSTATE per variant.
//!
//! What a client reads is allow-listed here: what happened, why, what to do next. What went wrong
//! inside stays inside (in the gateway's own log).

use bytes::Bytes;
use chrono::{DateTime, Utc};
use countersign_shared::ids::RequestId;
use pgwire::error::ErrorInfo;

use crate::{identity::TokenRefused, sessions::MOST_RENEWALS, statement::understood::Pin, wire::backend};

mod steps;

pub use steps::NotAStep;

/// Why a client that asked does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedHow {
    /// Its connection keeps nobody waiting.
    Retry,
    /// Its session only asks.
    Ahead,
    /// The same, and it was approved since.
    Approved,
    /// Its session waited, until somebody parked it.
    Parked,
    /// Its session only asks, for each statement by itself.
    Each,
    /// The same, and it was approved since.
    EachApproved,
}

/// Why the gateway says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Policy denies the statement.
    Denied {
        /// The rule's `@error`, or what is denied.
        message: String,
        /// Which effect, which rules.
        detail: String,
    },
    /// As [`Refusal::Denied`], where policy would let it pass by break-glass.
    DeniedUnlessGlass {
        /// The rule's `@error`, or what is denied.
        message: String,
        /// Which effect, which rules.
        detail: String,
    },
    /// It uses a classified column as policy does not permit.
    Masked {
        /// Which, and as what.
        message: String,
        /// Why.
        detail: String,
    },
    /// Approval was asked for, and the client does not wait for it.
    AskedFor {
        /// Which request.
        request: RequestId,
        /// Until when it may be approved, and run.
        until: DateTime<Utc>,
        /// Why it does not wait.
        how: AskedHow,
    },
    /// The session only asks ahead, and policy lets this pass without anybody's approval.
    NothingToAsk,
    /// Policy denies it, and would not if somebody said why.
    NeedsReason {
        /// Which effect, which rules.
        detail: String,
    },
    /// Policy denies it, and it is not even SQL.
    Syntax {
        /// The parser's message.
        message: String,
        /// One-based character position.
        position: Option<usize>,
    },
    /// Policy denies it, since it names a relation that is not there.
    UnknownRelation {
        /// As written.
        name: String,
    },
    /// A function that the catalog does not have.
    UnknownFunction {
        /// As written.
        name: String,
    },
    /// An approver said no.
    DeniedBy {
        /// Which request.
        request: RequestId,
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
    },
    /// Taken back by the requester.
    Withdrawn {
        /// Which request.
        request: RequestId,
    },
    /// Nobody decided in time.
    Expired {
        /// Which request.
        request: RequestId,
    },
    /// What the approval rests on is no longer so.
    Void {
        /// Which request.
        request: RequestId,
        /// What changed.
        why: String,
    },
    /// It touched more rows than were approved, and was undone.
    TooManyRows {
        /// Which request; nothing where policy let it pass unasked.
        request: Option<RequestId>,
        /// How many, of what, and how many were approved.
        why: String,
    },
    /// What was approved could not be checked against what was done, so it was undone.
    NotMeasured {
        /// Which request; nothing where policy let it pass unasked.
        request: Option<RequestId>,
    },
    /// A text whose rows can't be counted statement by statement.
    Mixed {
        /// Why.
        why: &'static str,
    },
    /// Policy permits it for being reviewed at its COMMIT alone, and here it can't be.
    NotReviewed {
        /// Why.
        why: String,
        /// What to do.
        hint: &'static str,
    },
    /// It is not to be asked for by itself, and can't be with the rest of its transaction.
    NotTogether {
        /// Why.
        why: String,
    },
    /// The server says at the end of a transaction what it would have said at its COMMIT.
    Late {
        /// Its SQLSTATE.
        code: String,
        /// Its message.
        message: String,
    },
    /// A transaction was under review, and is no more.
    RolledBack(Box<Self>),
    /// A prepared statement or portal that is not there, or is there twice.
    Prepared {
        /// SQLSTATE: `26000`, `34000`, `42P05`, `42P03`; `54000` where there are too many.
        code: &'static str,
        /// As PostgreSQL says it.
        message: String,
    },
    /// The transaction has failed, and the statement does not end it.
    FailedTransaction,
    /// `countersign.*` where it can't be answered, or a value that is none.
    OwnSetting {
        /// What is wrong.
        message: String,
    },
    /// A token that does not renew its session.
    Token,
    /// A good token for a session that has had too many.
    RenewedTooOften,
    /// `countersign.token` in company, or to be shown.
    TokenAlone,
    /// A setting that must stay as it is.
    Pinned {
        /// Its name.
        name: String,
        /// Its only value.
        value: &'static str,
        /// How a client sets it.
        hint: String,
    },
    /// Log, state or policy can't say, so nothing passes.
    Unavailable {
        /// What.
        message: String,
    },
    /// About a text that is asked for statement by statement.
    Step(NotAStep),
    /// Something that the gateway does not carry.
    NotSupported {
        /// What.
        message: String,
    },
}

/// Why a session does not begin, or ends. Always FATAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The token was refused.
    Token(TokenRefused),
    /// The token counts no more. To the client it is [`Self::Token`].
    TokenEnded {
        /// Why, for the log.
        reason: String,
    },
    /// No such connection, or not for this principal: deliberately the same words.
    NotAllowed {
        /// As the client said it.
        connection: String,
        /// The principal.
        principal: String,
    },
    /// The directory keeps this principal out. To the client it is [`Self::NotAllowed`].
    Gone {
        /// As the client said it.
        connection: String,
        /// The principal.
        principal: String,
        /// Why.
        how: crate::store::directory::Gone,
    },
    /// `user` contradicts the token.
    OtherUser,
    /// TLS is needed here.
    NeedsTls,
    /// Too many connections.
    TooMany {
        /// From one address; else in all.
        from_address: bool,
    },
    /// A message over a bound.
    TooBig {
        /// Its bytes.
        size: usize,
        /// The bound.
        cap: usize,
        /// The key in `[gateway]` that sets it.
        setting: &'static str,
    },
    /// Another protocol than 3.
    OtherProtocol {
        /// As the client asked.
        major: u16,
        /// As the client asked.
        minor: u16,
    },
    /// A connection for replication.
    Replication,
    /// The client took too long to log in.
    TooSlow,
    /// The database can't be reached or refuses the gateway.
    Upstream,
    /// Access ended, somebody ended the session, or the gateway stops.
    Ended {
        /// In a sentence.
        reason: String,
    },
    /// The bytes were not the protocol.
    Protocol {
        /// In a sentence.
        message: String,
    },
    /// A startup parameter that is refused.
    Startup(Refusal),
    /// Log or state can't say.
    Unavailable,
}

fn info(severity: &str, code: &str, message: impl Into<String>) -> ErrorInfo {
    let mut info = ErrorInfo::new(severity.to_owned(), code.to_owned(), message.into());
    info.severity_nonlocalized = Some(severity.to_owned());
    info
}

fn with(mut info: ErrorInfo, detail: Option<String>, hint: Option<String>) -> ErrorInfo {
    info.detail = detail;
    info.hint = hint;
    info
}

const SAY_AGAIN: &str = "Nothing was run. Ask again if it is still needed.";

impl From<Pin> for Refusal {
    fn from(pin: Pin) -> Self {
        match pin {
            Pin::Encoding => Self::Pinned {
                name: "client_encoding".into(),
                value: "UTF8",
                hint: "Set PGCLIENTENCODING=UTF8.".into(),
            },
            Pin::Strings => Self::Pinned {
                name: "standard_conforming_strings".into(),
                value: "on",
                hint: "Write a backslash that means something as E'\\n'.".into(),
            },
            Pin::Token => Self::TokenAlone,
        }
    }
}

fn named(request: Option<&RequestId>) -> String {
    request.map_or_else(|| "this".to_owned(), |request| format!("request {request}"))
}

impl Refusal {
    /// A denial that a reason would have spared.
    #[must_use]
    pub fn without_a_reason(self) -> Self {
        match self {
            Self::Denied { detail, .. } => Self::NeedsReason { detail },
            other => other,
        }
    }

    /// What can't be reviewed at its COMMIT, where that is not all that policy permits it for.
    #[must_use]
    pub fn together(self) -> Self {
        match self {
            Self::NotReviewed { why, .. } => Self::NotTogether { why },
            other => other,
        }
    }

    /// A denial that break-glass would spare.
    #[must_use]
    pub fn unless_glass(self) -> Self {
        match self {
            Self::Denied { message, detail } => Self::DeniedUnlessGlass { message, detail },
            other => other,
        }
    }

    /// SQLSTATE (manual, appendix A).
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Denied { .. }
            | Self::DeniedUnlessGlass { .. }
            | Self::Masked { .. }
            | Self::NeedsReason { .. }
            | Self::AskedFor { .. }
            | Self::DeniedBy { .. }
            | Self::NotReviewed { .. }
            | Self::NotTogether { .. }
            | Self::TooManyRows { .. } => "42501",
            Self::Syntax { .. } => "42601",
            Self::UnknownRelation { .. } => "42P01",
            Self::UnknownFunction { .. } => "42883",
            Self::Withdrawn { .. } | Self::Expired { .. } | Self::Void { .. } => "57014",
            Self::Prepared { code, .. } => code,
            Self::Late { code, .. } => code,
            Self::RolledBack(inner) => inner.code(),
            Self::FailedTransaction => "25P02",
            Self::OwnSetting { .. } | Self::Pinned { .. } | Self::TokenAlone => "22023",
            Self::Token => "28P01",
            Self::RenewedTooOften => "54000",
            Self::Unavailable { .. } | Self::NotMeasured { .. } => "58000",
            Self::NotSupported { .. } | Self::Mixed { .. } => "0A000",
            Self::NothingToAsk => "55000",
            Self::Step(step) => step.code(),
        }
    }

    fn info(&self, severity: &str) -> ErrorInfo {
        let code = self.code();
        let (message, detail, hint) = match self {
            Self::Denied { message, detail } => {
                (message.clone(), Some(detail.clone()), Some("Nothing was run. Ask whoever keeps the policy.".into()))
            }
            Self::DeniedUnlessGlass { message, detail } => (
                message.clone(),
                Some(detail.clone()),
                Some(
                    "Nothing was run. If it can't wait, SET countersign.break_glass = 'why' and run it again: it runs \
                     at once, and another person reviews it."
                        .into(),
                ),
            ),
            Self::Masked { message, detail } => (
                message.clone(),
                Some(detail.clone()),
                Some(
                    "Nothing was run. Leave the column out, or SET countersign.reveal = 'why' and run it again to ask \
                     for approval."
                        .into(),
                ),
            ),
            Self::AskedFor { request, until, how } => {
                let until = until.format("%Y-%m-%d %H:%M UTC");
                let detail = match how {
                    AskedHow::Retry => "This connection does not keep its clients waiting; nothing was run.",
                    AskedHow::Ahead | AskedHow::Approved | AskedHow::Each | AskedHow::EachApproved => {
                        "This session only asks; nothing was run."
                    }
                    AskedHow::Parked => "It was parked: this session waits no more. Nothing was run.",
                };
                let hint = match how {
                    AskedHow::Retry => {
                        format!("Send the same statement again once it is approved, until {until}; it then runs, once.")
                    }
                    AskedHow::Ahead => format!(
                        "Once it is approved, send the same text as one query in an ordinary session, until {until}; it \
                         then runs, once."
                    ),
                    AskedHow::Parked => format!(
                        "Once it is approved, send the same text again, in this or another session, until {until}; it \
                         then runs, once."
                    ),
                    AskedHow::Each => format!(
                        "Once it is approved, send its statements one by one, in this order and in one session, until \
                         {until}; each then runs, once."
                    ),
                    AskedHow::EachApproved => format!(
                        "Send its statements one by one, in this order and in one session, until {until}; each runs once."
                    ),
                    AskedHow::Approved => {
                        format!("Send the same text as one query in an ordinary session, until {until}; it runs once.")
                    }
                };
                let approved = matches!(how, AskedHow::Approved | AskedHow::EachApproved);
                let state = if approved { "is approved" } else { "waits for approval" };
                (format!("request {request} {state}"), Some(detail.to_owned()), Some(hint))
            }
            Self::Step(step) => {
                let (message, hint) = step.parts();
                (message, None, Some(hint))
            }
            Self::NothingToAsk => (
                "policy lets this pass without an approval".to_owned(),
                Some("This session only asks; nothing was run.".to_owned()),
                Some("Send it in an ordinary session, without countersign.ask.".to_owned()),
            ),
            Self::NeedsReason { detail } => (
                "policy asks for a reason".to_owned(),
                Some(detail.clone()),
                Some(
                    "Nothing was run. Say why, and send it again: SET countersign.reason = 'why', or begin the \
                     statement with /* reason: why */"
                        .into(),
                ),
            ),
            Self::Syntax { message, .. } => (message.clone(), None, None),
            Self::UnknownRelation { name } => (
                format!("relation {name:?} does not exist"),
                Some(
                    "The gateway did not find it in the database's catalog, so it did not pass the statement on."
                        .into(),
                ),
                None,
            ),
            Self::UnknownFunction { name } => (
                format!("function {name} does not exist"),
                Some("The gateway found it neither in the database's catalog nor in the server, so it did not pass the statement on.".into()),
                None,
            ),
            Self::DeniedBy { request, by, reason } => (
                format!("request {request} was denied by {by}"),
                reason.as_ref().map(|reason| format!("Reason: {reason}")),
                Some("Nothing was run. Talk to them before you ask again.".into()),
            ),
            Self::Withdrawn { request } => (format!("request {request} was withdrawn"), None, Some(SAY_AGAIN.into())),
            Self::Expired { request } => {
                (format!("nobody decided on request {request} in time"), None, Some(SAY_AGAIN.into()))
            }
            Self::Void { request, why } => {
                (format!("request {request} is void"), Some(why.clone()), Some(SAY_AGAIN.into()))
            }
            Self::TooManyRows { request, why } => (
                match request {
                    Some(request) => format!("request {request} was undone: it touched more rows than were approved"),
                    None => {
                        "this was undone: it touched more rows than were counted when policy let it pass".to_owned()
                    }
                },
                Some(format!("{why}.")),
                Some("Nothing of it is left. Look at what has changed since, and ask again.".into()),
            ),
            Self::NotMeasured { request } => (
                format!(
                    "{} was undone: how many rows it touched can't be read from the database",
                    named(request.as_ref())
                ),
                Some("The row guard reads pg_stat_xact_all_tables, and needs track_counts to be on.".into()),
                Some("Nothing of it is left. Ask whoever runs the database.".into()),
            ),
            Self::Mixed { why } => (
                format!("this text is not held as one: {why}"),
                Some("Each of its writes is counted, and undone where it touches more rows than were approved.".into()),
                Some("Nothing was run. Send its statements one by one: BEGIN, each write, COMMIT.".into()),
            ),
            Self::NotReviewed { why, hint } => (
                format!("policy permits this only where its COMMIT is reviewed, and {why}"),
                None,
                Some(format!("Nothing was run. {hint}")),
            ),
            Self::NotTogether { why } => (
                format!("this can't be asked for at the COMMIT of its transaction: {why}"),
                Some("countersign.batch is on: nothing of this transaction is asked for by itself.".to_owned()),
                Some(
                    "Nothing was run. Send the whole transaction as one query (BEGIN; …; COMMIT), or ask for it ahead: \
                     countersign request CONNECTION -f FILE. Or SET countersign.batch = off, and each statement waits by \
                     itself."
                        .to_owned(),
                ),
            ),
            Self::RolledBack(inner) => {
                let told = inner.info(severity);
                let left = "The transaction was rolled back; nothing of it is left.";
                (told.message, told.detail, Some(left.to_owned()))
            }
            Self::Late { message, .. } => (message.clone(), None, None),
            Self::Prepared { message, .. } | Self::NotSupported { message } => (message.clone(), None, None),
            Self::FailedTransaction => (
                "current transaction is aborted, commands ignored until end of transaction block".to_owned(),
                None,
                None,
            ),
            Self::OwnSetting { message } => (
                message.clone(),
                None,
                Some("Set countersign.* alone, in a statement of its own: SET countersign.reason = 'why'".into()),
            ),
            Self::Token => (
                "the token is not accepted; the session goes on with the one that it has".to_owned(),
                None,
                Some(
                    "It must be good, newer, and of the same person and issuer. Whoever runs the gateway finds the \
                     reason in its log."
                        .into(),
                ),
            ),
            Self::RenewedTooOften => (
                format!(
                    "a session is renewed with at most {MOST_RENEWALS} tokens; it goes on with the one that it has"
                ),
                None,
                Some("Connect again before that one ends.".into()),
            ),
            Self::TokenAlone => (
                "countersign.token can only be set, by a statement of its own".to_owned(),
                None,
                Some("SET countersign.token = '…'; it is never shown, recorded or passed on.".into()),
            ),
            Self::Pinned { name, value, hint } => {
                (format!("{name} is {value} in every session through the gateway"), None, Some(hint.clone()))
            }
            Self::Unavailable { message } => (
                message.clone(),
                None,
                Some("Nothing was run. The gateway passes nothing that it cannot check and record.".into()),
            ),
        };
        let mut info = with(info(severity, code, message), detail, hint);
        if let Self::Syntax { position, .. } = self {
            info.position = position.map(|p| p.to_string());
        }
        info
    }

    /// The ErrorResponse.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        backend::error(self.info("ERROR"))
    }

    /// One line for the log.
    #[must_use]
    pub fn line(&self) -> String {
        let info = self.info("ERROR");
        format!("{} {}", info.code, info.message)
    }
}

impl Farewell {
    /// The ErrorResponse.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        let (code, message, hint) = match self {
            Self::Token(TokenRefused::Unavailable) => {
                ("57P03", TokenRefused::Unavailable.to_string(), Some("Use an OIDC token of yours as the password."))
            }
            Self::Token(_) | Self::TokenEnded { .. } => (
                "28P01",
                TokenRefused::Expired.to_string(),
                Some(
                    "The password is an OIDC token of yours (`countersign token`); it may be over. Whoever runs the \
                     gateway finds the reason in its log.",
                ),
            ),
            Self::NotAllowed { connection, principal } | Self::Gone { connection, principal, .. } => (
                "28000",
                format!("{principal} may not connect to {connection:?}, or there is no such connection"),
                Some("Check the dbname, or ask whoever keeps the policy."),
            ),
            Self::OtherUser => (
                "28000",
                "the user name and the token name different people".to_owned(),
                Some("Leave the user out, or give the one in the token."),
            ),
            Self::NeedsTls => (
                "28000",
                "this address takes TLS connections only".to_owned(),
                Some("Connect with sslmode=require, or better verify-full."),
            ),
            Self::TooMany { from_address } => {
                let (of, key) = if *from_address {
                    (" from one address", "max_connections_per_address")
                } else {
                    ("", "max_connections")
                };
                let hint = format!("Close some, or ask whoever runs the gateway to raise {key} in [gateway].");
                return fatal("53300", format!("too many connections{of}"), Some(&hint));
            }
            Self::TooBig { size, cap, setting } => {
                let message = format!("a message of {size} bytes is over this gateway's bound of {cap}");
                let hint =
                    format!("Send less at once, or ask whoever runs the gateway to raise {setting} in [gateway].");
                return fatal("54000", message, Some(&hint));
            }
            Self::OtherProtocol { major, minor } => {
                ("0A000", format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2"), None)
            }
            Self::Replication => (
                "0A000",
                "replication connections do not pass through this gateway".to_owned(),
                Some("It carries SQL that can be judged. Replicate from the database itself."),
            ),
            Self::TooSlow => ("57014", "the login took too long".to_owned(), None),
            Self::Upstream => (
                "08006",
                "the database behind this connection can't be reached".to_owned(),
                Some("Try again in a moment; whoever runs the gateway finds the cause in its log."),
            ),
            Self::Ended { reason } => ("57P01", reason.clone(), None),
            Self::Protocol { message } => ("08P01", message.clone(), None),
            Self::Startup(refusal) => return backend::error(refusal.info("FATAL")),
            Self::Unavailable => (
                "57P03",
                "the gateway can't check or record anything now, so it lets nobody in".to_owned(),
                Some("Try again in a moment."),
            ),
        };
        fatal(code, message, hint)
    }
}

fn fatal(code: &str, message: String, hint: Option<&str>) -> Bytes {
    backend::error(with(info("FATAL", code, message), None, hint.map(str::to_owned)))
}

/// A NoticeResponse of the gateway's own.
#[must_use]
pub fn notice(message: &str, hint: Option<&str>) -> Bytes {
    backend::notice(with(info("NOTICE", "00000", message), None, hint.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::backend::report;

    #[test]
    fn a_denial_names_who_and_why() {
        let request = "K7Q2".parse().expect("an id");
        let refusal =
            Refusal::DeniedBy { request, by: "priya@acme.dev".into(), reason: Some("not on a Friday".into()) };
        let frame = refusal.frame();
        let text = String::from_utf8_lossy(&frame).into_owned();
        assert!(text.contains("denied by priya@acme.dev") && text.contains("not on a Friday"), "{text}");
        assert_eq!(report(&frame[5..]).expect("a report").code, "42501");
    }

    #[test]
    fn who_has_renewed_too_often_reads_what_to_do() {
        let refusal = Refusal::RenewedTooOften;
        let text = String::from_utf8_lossy(&refusal.frame()).into_owned();
        assert!(text.contains(&format!("at most {MOST_RENEWALS} tokens")) && text.contains("Connect again"), "{text}");
        assert_eq!(refusal.code(), "54000");
    }

    #[test]
    fn an_unknown_connection_reads_like_a_forbidden_one() {
        let say = |connection: &str| {
            Farewell::NotAllowed { connection: connection.into(), principal: "ana@acme.dev".into() }.frame()
        };
        assert_eq!(say("shop").len(), say("prod").len());
    }
}
