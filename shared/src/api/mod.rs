//! The control API's types, once, for gateway, bot and command line.
//!
//! Times are RFC 3339 in UTC. Ids are those of [`crate::ids`]. Every error body is [`Problem`].

mod about;
mod allowances;
mod bypass;
mod decisions;
mod digest;
mod grants;
mod links;
mod people;
mod requests;
mod reviews;
mod slack;
mod tokens;

pub use self::{
    about::*, allowances::*, bypass::*, decisions::*, digest::*, grants::*, links::*, people::*, requests::*,
    reviews::*, slack::*, tokens::*,
};
pub use crate::impact::Impact;
