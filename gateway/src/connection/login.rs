//! The gateway's login at a database: from the startup message to ReadyForQuery. The server is not
//! trusted further than its proof goes: what comes out of turn, or without bounds, ends it.

use bytes::{Buf as _, BytesMut};
use countersign_shared::secret::Secret;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256},
    },
    message::frontend,
};

use super::{
    binding::Binding,
    dial::Dialed,
    pipe::End,
    upstream::{Opened, UpstreamError},
};
use crate::wire::{
    Fields, Violation,
    backend::report,
    frame,
    startup::{self, CancelKey},
};

/// What a login says.
pub struct Words<'a> {
    /// As whom.
    pub user: &'a str,
    /// With which password.
    pub password: Option<&'a Secret<String>>,
    /// Where to.
    pub database: &'a str,
    /// The minor version of protocol 3 to ask for.
    pub minor: u16,
    /// Startup parameters.
    pub parameters: &'a [(String, String)],
}

/// All that a server may say before it is ready, in bytes.
const MOST: usize = 256 << 10;
/// Each is a hash; a hostile server could ask for hours of them.
const ITERATIONS: std::ops::RangeInclusive<u32> = 1..=100_000;
/// Without these the text that is analysed is not the text that the server reads.
const PINNED: [(&str, &str); 2] = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];

/// How far the login is.
enum Stage {
    /// Nothing was asked yet.
    Begun,
    /// A password was sent; the server says whether it is good.
    Answered,
    /// SCRAM: the server's first message is due.
    Challenged(Box<ScramSha256>),
    /// SCRAM: the server's proof is due.
    Proof(Box<ScramSha256>),
    /// AuthenticationOk.
    In,
}

/// Logs in.
///
/// # Errors
/// Why not.
pub async fn log_in(dialed: Dialed, words: &Words<'_>) -> Result<Opened, UpstreamError> {
    let Dialed { mut end, private, binding } = dialed;
    let mut pairs = vec![("user", words.user), ("database", words.database)];
    pairs.extend(words.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    pairs.extend(PINNED.iter().filter(|(name, _)| !words.parameters.iter().any(|(given, _)| given == name)));
    end.send(&startup::message(words.minor, &pairs)?);
    let mut login = Login { words, private, binding, stage: Stage::Begun, minor: words.minor };
    let (mut parameters, mut cancel, mut said) = (Vec::new(), None, 0_usize);
    loop {
        end.flush().await?;
        let (tag, body) = read(&mut end).await?;
        said += body.len() + frame::HEAD;
        if said > MOST {
            return Err(Violation::new("the server says too much before it is ready").into());
        }
        match (tag, &login.stage) {
            (b'R', _) => end.send(&login.on_authentication(&body).await?),
            (b'E', _) => return Err(UpstreamError::Server(report(&body)?)),
            (b'N', _) => {}
            (b'v', Stage::Begun) if login.minor == words.minor => {
                login.minor = startup::negotiated(&body, words.minor)?;
            }
            (b'S', Stage::In) => {
                pinned(&body)?;
                parameters.push(whole(b'S', &body));
            }
            (b'K', Stage::In) if cancel.is_none() => cancel = Some(key(&body, login.minor)?),
            (b'Z', Stage::In) if body[..] == *b"I" => return Ok(Opened { end, parameters, cancel }),
            (b'Z', Stage::In) => return Err(Violation::new("a login does not end in a transaction").into()),
            (other, _) => {
                return Err(Violation::new(format!("{:?} out of turn during the login", char::from(other))).into());
            }
        }
    }
}

struct Login<'a> {
    words: &'a Words<'a>,
    private: bool,
    binding: Binding,
    stage: Stage,
    /// The minor version that both speak.
    minor: u16,
}

impl Login<'_> {
    fn password(&self) -> Result<&[u8], UpstreamError> {
        Ok(self.words.password.ok_or(UpstreamError::NoPassword)?.reveal().as_bytes())
    }

    /// Answers an Authentication message (manual, "Protocol Flow", start-up).
    async fn on_authentication(&mut self, body: &[u8]) -> Result<BytesMut, UpstreamError> {
        let mut fields = Fields::of(body);
        let mut out = BytesMut::new();
        let kind = fields.i32()?;
        self.stage = match (kind, std::mem::replace(&mut self.stage, Stage::Begun)) {
            // Where SCRAM began, it must have ended with the server's proof.
            (0, Stage::Begun | Stage::Answered) => {
                fields.end()?;
                Stage::In
            }
            (3, Stage::Begun) => {
                fields.end()?;
                if !self.private {
                    return Err(UpstreamError::ClearText);
                }
                frontend::password_message(self.password()?, &mut out)?;
                Stage::Answered
            }
            (5, Stage::Begun) => {
                let salt = fields.take(4)?;
                let salt = [salt[0], salt[1], salt[2], salt[3]];
                fields.end()?;
                let hash = md5_hash(self.words.user.as_bytes(), self.password()?, salt);
                frontend::password_message(hash.as_bytes(), &mut out)?;
                Stage::Answered
            }
            (10, Stage::Begun) => {
                let (mechanism, binding) = choose(&mechanisms(fields.rest())?, &self.binding)?;
                let client = ScramSha256::new(self.password()?, binding);
                frontend::sasl_initial_response(mechanism, client.message(), &mut out)?;
                Stage::Challenged(Box::new(client))
            }
            (11, Stage::Challenged(client)) => {
                let client = proven(client, fields.rest()).await?;
                frontend::sasl_response(client.message(), &mut out)?;
                Stage::Proof(client)
            }
            (12, Stage::Proof(mut client)) => {
                client.finish(fields.rest())?;
                Stage::Answered
            }
            (0 | 3 | 5 | 10 | 11 | 12, _) => {
                return Err(Violation::new(format!("authentication message {kind} out of turn")).into());
            }
            (other, _) => return Err(UpstreamError::Method(other)),
        };
        Ok(out)
    }
}

/// Binds the login to the TLS connection wherever the server can: never less because somebody between
/// would like it so. Where it can't, `y` tells it that we could, so that it notices who took it out.
fn choose(offered: &[String], binding: &Binding) -> Result<(&'static str, ChannelBinding), UpstreamError> {
    let offers = |name| offered.iter().any(|offered| offered == name);
    match binding {
        Binding::NoTls if offers(SCRAM_SHA_256_PLUS) => {
            Err(Violation::new("the server offers to bind a login to TLS, and there is no TLS").into())
        }
        Binding::EndPoint(hash) if offers(SCRAM_SHA_256_PLUS) => {
            Ok((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash.clone())))
        }
        Binding::NoHash if offers(SCRAM_SHA_256_PLUS) => Err(UpstreamError::Unbindable),
        _ if !offers(SCRAM_SHA_256) => Err(UpstreamError::Method(10)),
        Binding::EndPoint(_) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
        Binding::NoTls | Binding::NoHash => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
    }
}

/// Answers the server's challenge; off the threads that carry sessions, since it hashes for a while.
async fn proven(mut client: Box<ScramSha256>, challenge: &[u8]) -> Result<Box<ScramSha256>, UpstreamError> {
    let text = std::str::from_utf8(challenge).map_err(|_| Violation::new("SCRAM is not text"))?;
    let iterations = text.split(',').find_map(|part| part.strip_prefix("i=")).and_then(|i| i.parse().ok());
    if !iterations.is_some_and(|iterations| ITERATIONS.contains(&iterations)) {
        return Err(Violation::new("the server's SCRAM iteration count is out of bounds").into());
    }
    let challenge = challenge.to_vec();
    let work = move || client.update(&challenge).map(|()| client);
    Ok(tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)??)
}

fn mechanisms(rest: &[u8]) -> Result<Vec<String>, Violation> {
    let mut fields = Fields::of(rest);
    let mut names = Vec::new();
    loop {
        match fields.text()? {
            "" => {
                fields.end()?;
                return Ok(names);
            }
            name => names.push(name.to_owned()),
        }
    }
}

/// BackendKeyData: four bytes of secret in protocol 3.0, up to 256 in 3.2.
fn key(body: &[u8], minor: u16) -> Result<CancelKey, Violation> {
    let mut fields = Fields::of(body);
    let pid = fields.i32()?;
    let secret = fields.rest();
    let fits = if minor >= 2 { (4..=256).contains(&secret.len()) } else { secret.len() == 4 };
    if fits {
        Ok(CancelKey { pid, secret: secret.to_vec() })
    } else {
        Err(Violation::new(format!("a cancel key of {} bytes in protocol 3.{minor}", secret.len())))
    }
}

fn pinned(body: &[u8]) -> Result<(), Violation> {
    let mut fields = Fields::of(body);
    let (name, value) = (fields.text()?, fields.text()?);
    fields.end()?;
    match PINNED.iter().find(|(pinned, _)| *pinned == name) {
        Some((_, wanted)) if *wanted != value => {
            Err(Violation::new(format!("{name} is {value:?} although {wanted:?} was asked for")))
        }
        _ => Ok(()),
    }
}

/// Reads one whole frame: its type, and its body.
async fn read(end: &mut End) -> Result<(u8, BytesMut), UpstreamError> {
    loop {
        if let Some(head) = frame::head(&end.input, |_| frame::LOGIN_CAP)?
            && end.input.len() >= head.size
        {
            let mut whole = end.input.split_to(head.size);
            whole.advance(frame::HEAD);
            return Ok((head.tag, whole));
        }
        end.read().await?;
    }
}

fn whole(tag: u8, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(body.len() + frame::HEAD);
    frame.extend_from_slice(&[tag]);
    frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}
