//! The words that the gateway, the bot and the command line share.
//!
//! Nothing here does I/O. What two of the three would otherwise write twice lives here once:
//! identifiers, the digest that an approval binds, the life of a request, separation of duties,
//! and the types of the control API.

pub mod allow;
pub mod api;
pub mod bot_token;
pub mod digest;
pub mod duties;
pub mod ids;
pub mod impact;
pub mod question;
pub mod request;
pub mod secret;
