//! The life of a request, and the legal moves in it (DESIGN §10).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a request is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for approvals.
    Pending,
    /// All that policy asks for is there; the session has not released it yet.
    Approved,
    /// An approver said no.
    Denied,
    /// The requester took it back: Ctrl-C, a closed client, or the button.
    Withdrawn,
    /// The deadline passed.
    Expired,
    /// Something that the decision rests on changed, or the gateway stopped.
    Void,
    /// About to be forwarded; written down before, and never twice.
    Released,
    /// Ran, and its outcome is known.
    Done,
    /// Was released, and whether it ran is not known: the gateway died in between.
    Unknown,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Withdrawn,
        Self::Expired,
        Self::Void,
        Self::Released,
        Self::Done,
        Self::Unknown,
    ];

    /// Whether `self → next` is a legal move.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use State::{Approved, Denied, Done, Expired, Pending, Released, Unknown, Void, Withdrawn};
        matches!(
            (self, next),
            (Pending, Approved | Denied | Withdrawn | Expired | Void)
                | (Approved, Released | Denied | Withdrawn | Expired | Void)
                | (Released, Done | Unknown)
        )
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        Self::ALL.iter().all(|next| !self.may_become(*next))
    }

    /// The name that the store, the API and the log use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Void => "void",
            Self::Released => "released",
            Self::Done => "done",
            Self::Unknown => "unknown",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How sure we are that the approver was at the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assurance {
    /// A linked Slack account pressed the button.
    Slack,
    /// A token at the control API.
    Cli,
    /// A fresh sign-in at the identity provider.
    StepUp,
}

/// What an approver chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// Yes.
    Approve,
    /// No; this ends the request.
    Deny,
    /// The requester takes it back.
    Withdraw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_released_that_was_not_approved() {
        for state in State::ALL {
            assert_eq!(state.may_become(State::Released), state == State::Approved, "{state}");
        }
    }

    #[test]
    fn what_is_over_stays_over() {
        let over = [State::Denied, State::Withdrawn, State::Expired, State::Void, State::Done, State::Unknown];
        for state in State::ALL {
            assert_eq!(state.is_final(), over.contains(&state), "{state}");
        }
    }

    #[test]
    fn every_state_has_its_name() {
        for state in State::ALL {
            assert_eq!(State::from_name(state.as_str()), Some(state));
        }
    }
}
