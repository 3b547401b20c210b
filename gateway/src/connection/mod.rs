//! accept → authenticate → session: one client's connection.
//!
//! | file | what it does |
//! |---|---|
//! | [`accept`] | listens, bounds, TLS, the first packet |
//! | [`places`] | how many clients may be here at once |
//! | [`tls`] | TLS, towards clients and databases |
//! | [`authenticate`] | a token into a principal that may connect |
//! | [`upstream`] | the gateway's own connections to the database |
//! | [`dial`], [`binding`], [`login`] | a socket to it, what ties a login to that, and the login |
//! | [`shards`] | the threads that carry sessions |
//! | [`session`] | the loop: reads like the path of a statement |
//! | [`simple`], [`extended`] | the two protocols' requests |
//! | [`judge`] | what a text is, and what policy says of it |
//! | [`wait`] | a held statement |
//! | `retry`, `ahead` | requests with which no session waits |
//! | `each`, [`steps`] | texts that are asked for statement by statement, and sent so |
//! | [`relay`] | the server's frames, through the reply queue |
//! | `renew` | a newer token for a session that lives |
//! | [`facts`] | what the session means by a name, asked of the server |
//! | [`application`] | its name for itself, here and on the server |
//! | [`catalogs`] | the newest snapshot of each database's catalog |
//! | [`own_catalog`] | the catalog of a transaction that has changed it |
//! | [`roles`] | what grants give the session, and what it rests on |
//! | [`finish`] | the server's side of a session that was ended |
//! | `masks` | which columns leave masked, and what policy says of them |
//! | [`memory`] | what a session need not work out twice |
//! | `meant` | what a statement meant when the server looked its names up |
//! | [`cancel`] | who may be cancelled by which key |

pub mod accept;
mod ahead;
mod allowed;
pub mod application;
pub mod authenticate;
mod awake;
mod batch;
pub mod binding;
pub mod cancel;
pub mod catalogs;
pub mod dial;
mod each;
pub mod extended;
pub mod facts;
pub mod finish;
mod guarded;
pub mod judge;
pub mod live;
pub mod login;
#[cfg(test)]
mod login_tests;
mod masks;
mod meant;
pub mod memory;
pub mod own_catalog;
mod park;
pub mod pipe;
pub mod places;
pub mod relay;
mod renew;
mod retry;
mod review;
pub mod roles;
mod runs;
mod samples;
pub mod session;
pub mod shards;
pub mod simple;
pub mod steps;
pub mod tls;
pub mod upstream;
pub mod wait;
pub mod wall;
