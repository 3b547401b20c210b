//! mask: which classified columns a statement's rows hold, what of them its principal may see, and the
//! values that leave instead. Pure; knows no sockets.
//!
//! | file | what it does |
//! |---|---|
//! | [`rules`] | `classify` of the config: patterns, labels, masks |
//! | [`sensitive`] | the rules over one catalog: the columns that are classified |
//! | [`exposure`] | which of them a text gives, and what else it uses them for |
//! | [`plan`] | what is asked of policy about that, and what its rows leave as |
//! | [`hidden`] | what cards and records don't show of a text and its parameters |
//! | [`rows`] | RowDescription and DataRow under a plan |
//! | [`copied`] | COPY TO STDOUT under a plan |
//! | [`value`] | one value under one mask |
//! | [`report`] | errors and notices that may quote values |

pub mod copied;
mod copied_binary;
pub mod exposure;
pub mod hidden;
pub mod plan;
pub mod report;
pub mod rows;
pub mod rules;
pub mod sensitive;
pub mod value;
