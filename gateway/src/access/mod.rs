//! Access for a bounded time: asked for, given, and over.
//!
//! | file | what it does |
//! |---|---|
//! | [`ask`] | a wish, asked of policy like any statement |
//! | [`right`] | proof that a role may be given, and the giving |
//! | [`book`] | the grants that count now, for the sessions |
//! | [`end`] | the one way in which access ends |
//! | [`review`] | a connection's grants, looked at one by one |
//! | [`stand`] | whether the sessions that live may go on |
//! | [`tokens`] | tokens that count no more |
//! | [`poll`] | asks providers whether tokens still count |
//! | [`keep`] | the clock of all that |
//! | [`uses`] | when grants were last used |
//! | [`delegate`] | who is told in somebody's place |
//! | [`digest`] | what that makes of them |

pub mod ask;
pub mod book;
pub mod delegate;
pub mod digest;
pub mod end;
pub mod keep;
pub mod poll;
pub mod review;
pub mod right;
pub mod secrets;
pub mod stand;
pub mod tokens;
pub mod uses;

#[cfg(test)]
mod stories;
