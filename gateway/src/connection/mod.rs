//! accept → authenticate → session: one client's connection.
//!
//! | file | what it does |
//! |---|---|
//! | [`accept`] | listens, bounds, TLS, the first packet |
//! | [`authenticate`] | a token into a principal that may connect |
//! | [`upstream`] | the gateway's own login at the database |
//! | [`session`] | the loop: reads like the path of a statement |
//! | [`simple`], [`extended`] | the two protocols' requests |
//! | [`wait`] | a held statement |
//! | [`relay`] | the server's frames, through the reply queue |
//! | [`facts`] | what the session means by a name, asked of the server |
//! | [`catalogs`] | the newest snapshot of each database's catalog |
//! | [`memory`] | what a session need not work out twice |
//! | [`cancel`] | who may be cancelled by which key |

pub mod accept;
pub mod authenticate;
pub mod cancel;
pub mod catalogs;
pub mod extended;
pub mod facts;
pub mod memory;
pub mod pipe;
pub mod relay;
pub mod session;
pub mod simple;
pub mod upstream;
pub mod wait;
