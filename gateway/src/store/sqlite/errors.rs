//! What SQLite says, in the store's words.

use countersign_shared::request::State;

use super::super::StoreError;

/// Whatever can't be told apart: the state did not answer, and whoever meets it refuses.
pub(super) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A row that this version did not write, or that somebody changed past us.
pub(super) fn unreadable(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("{what} in the state can't be read: {why}"))
}

/// The word behind `wall:` where a trigger of the schema refused.
fn wall(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.message().strip_prefix("wall:")
}

/// Whether a trigger of the schema refused with this word.
pub(super) fn is_wall(error: &sqlx::Error, word: &str) -> bool {
    wall(error) == Some(word)
}

/// The refusal of a trigger; `state` is where the request is that it was about.
pub(super) fn refused(error: sqlx::Error, state: Option<State>) -> StoreError {
    let sentence = match wall(&error) {
        Some("same_human") => return StoreError::SameHuman,
        Some("already_decided") => return StoreError::AlreadyDecided,
        // Past its deadline, a request may still be `pending` for a moment.
        Some("over") => {
            let state = state.filter(|state| *state != State::Pending).unwrap_or(State::Expired);
            return StoreError::Over { state };
        }
        Some("no_grant") => return StoreError::NotFound("grant"),
        Some("grant_over") => return StoreError::GrantOver,
        Some("taken") => return StoreError::Taken("id"),
        Some("not_found") => return StoreError::NotFound("request"),
        Some("unknown_person") => return StoreError::NotFound("person with this issuer and subject"),
        Some("agent") => "an agent cannot approve; only people can",
        Some("other_digest") => "the approval is for another digest than the request's",
        Some("gone") => "the directory says that its holder is gone",
        Some("exists") => "there is a request with this id already",
        Some("not_allowable") => "nothing of this request may be allowed beyond one run",
        Some("not_allowed") => "no run of this is allowed any more",
        Some("illegal_move") => "a request cannot make this move",
        Some("unapproved") => "a request without an approval of its digest cannot be approved or released",
        Some("fixed" | "kept" | "bound" | "linked") => "this cannot be changed any more",
        Some(_) | None => {
            let broken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_check_violation);
            if broken {
                return StoreError::Refused(error.to_string());
            }
            return unavailable(error);
        }
    };
    StoreError::Refused(sentence.to_owned())
}
