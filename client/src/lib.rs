//! A person's own side: signing in at the identity provider, keeping what it gave, and what psql needs
//! to come through a gateway.
//!
//! | file | job |
//! |---|---|
//! | `gateway` | what a gateway says of itself: where to sign in, where PostgreSQL's protocol is spoken |
//! | `provider` | the identity provider: what it offers, and its tokens |
//! | `device` | signing in on another device |
//! | `browser` | signing in with this machine's browser |
//! | `kept` | the sign-in that is kept, and its silent renewal |
//! | `place` | the file that it is kept in, which only its owner reads |
//! | `connect` | the `PG*` variables |
//! | `proxy` | ports of this machine for programs that keep a password |
//! | `relay` | a program's session through it, with newer tokens as the old ones end |
//! | `ports` | which port is whose, and the password for all of them |

pub mod browser;
pub mod connect;
pub mod device;
pub mod gateway;
pub mod kept;
pub mod place;
pub mod ports;
pub mod provider;
pub mod proxy;
pub mod relay;

/// Why somebody is not signed in. Told to the person as it is.
#[derive(Debug, thiserror::Error)]
pub enum NotSignedIn {
    /// Nobody has signed in here.
    #[error("nobody is signed in here; run `countersign login`")]
    Nobody,
    /// The token is over and can't be renewed.
    #[error("the sign-in ended ({0}); run `countersign login`")]
    Over(String),
    /// The gateway does not say where to sign in.
    #[error("{0}")]
    Gateway(String),
    /// The provider can't be asked, or does not do what is needed.
    #[error("{0}")]
    Provider(String),
    /// The provider, or the person there, said no.
    #[error("the identity provider refused: {0}")]
    Refused(String),
    /// What was to be kept can't be written or read.
    #[error("{path}: {why}")]
    Place {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Bytes that nobody guesses, as text.
fn random() -> Result<String, NotSignedIn> {
    use base64::Engine as _;
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NotSignedIn::Provider("no random numbers can be had".to_owned()))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}
