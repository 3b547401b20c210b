//! Slack's side of the bot: connecting, verifying, decoding, posting. Decides nothing.

pub mod check;
pub mod connect;
pub mod decode;
pub mod decode_access;
pub mod decode_allow;
pub mod decode_link;
pub mod decode_question;
pub mod decode_request;
pub mod decode_review;
pub mod files;
pub mod http;
pub mod post;
pub mod socket;
pub mod verify;

pub use connect::Slack;
pub use post::SlackError;
