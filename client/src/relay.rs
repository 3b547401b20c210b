//! Both ways between a program and the gateway, message by message; and a newer token for the session, put in
//! where nothing is on its way.
//!
//! The token goes by the extended protocol under a name of its own, since a simple Query would take the
//! program's unnamed statement away. The program waits meanwhile, and reads nothing of it.

use std::{future::Future, io, pin::Pin, sync::Arc, task::Poll, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use countersign_gateway::connection::pipe::{End, Pipe};
use countersign_shared::secret::Secret;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    NotSignedIn,
    proxy::{Pass, Passes},
};

/// A newer token is asked for when so much of the old one's time is left, which is when one may be had.
const SOON: TimeDelta = TimeDelta::seconds(115);
/// With less than this left, it is put into an open transaction too, which would else end with the session.
const LAST: TimeDelta = TimeDelta::seconds(30);
/// So long is waited after a try that came to nothing.
const AGAIN: Duration = Duration::from_secs(10);
/// The name that the statement has while it is there. Programs use others.
const NAME: &[u8] = b"countersign renews\0";

type Asked = Pin<Box<dyn Future<Output = Result<Pass, NotSignedIn>> + Send>>;

/// One program's session.
pub struct Relay {
    pipe: Pipe,
    /// What is left of the message on its way from the program, and from the gateway.
    left: (usize, usize),
    /// What is on its way.
    flow: Flow,
    /// The gateway answers a token of ours now.
    renewing: bool,
    token: Secret<String>,
    expires_at: Option<DateTime<Utc>>,
    passes: Arc<Passes>,
    asked: Option<Asked>,
    /// A newer one, which waits until nothing is on its way.
    newer: Option<Pass>,
    /// One that the gateway did not take.
    refused: Option<Secret<String>>,
    due: Option<Pin<Box<Sleep>>>,
}

/// What of the protocol must be known to say that nothing is on its way (manual, "Message Flow").
#[derive(Debug)]
struct Flow {
    /// So many ReadyForQuery are still to come.
    owed: usize,
    /// Messages were sent without their Sync.
    open: bool,
    /// `I`, `T` or `E`.
    status: u8,
}

impl Default for Flow {
    fn default() -> Self {
        // The login's own ReadyForQuery.
        Self { owed: 1, open: false, status: b'I' }
    }
}

impl Flow {
    fn hears(&mut self, tag: u8) {
        match tag {
            b'Q' | b'F' | b'S' => {
                self.owed += 1;
                self.open = false;
            }
            b'P' | b'B' | b'D' | b'E' | b'C' | b'H' => self.open = true,
            _ => {}
        }
    }

    fn is_ready(&mut self, status: u8) {
        self.owed = self.owed.saturating_sub(1);
        self.status = status;
    }

    /// A Sync that the server ignores, during COPY, leaves one owed for ever: then nothing is put in any more.
    const fn is_idle(&self) -> bool {
        self.owed == 0 && !self.open
    }
}

impl Relay {
    /// Goes on with a login that has sent `pass`.
    pub fn new(client: End, gateway: End, pass: &Pass, passes: Arc<Passes>) -> Self {
        let mut relay = Self {
            pipe: Pipe { client, upstream: gateway },
            left: (0, 0),
            flow: Flow::default(),
            renewing: false,
            token: pass.token.clone(),
            expires_at: pass.expires_at,
            passes,
            asked: None,
            newer: None,
            refused: None,
            due: None,
        };
        relay.ask_later();
        relay
    }

    /// Until one side ends.
    ///
    /// # Errors
    /// Where a socket fails.
    pub async fn run(mut self) -> io::Result<()> {
        loop {
            self.take_from_program();
            self.take_from_gateway();
            // What could be passed on is; what is left was cut off.
            if self.pipe.upstream.closed && !self.pipe.client.is_full() {
                return self.pipe.client.flush().await;
            }
            if self.pipe.client.closed && !self.pipe.upstream.is_full() {
                return self.pipe.upstream.flush().await;
            }
            self.put_in();
            self.step().await?;
        }
    }

    /// Waits until something came, went, or is due.
    async fn step(&mut self) -> io::Result<()> {
        let (pipe, due, asked) = (&mut self.pipe, &mut self.due, &mut self.asked);
        let mut came = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = pipe.poll_step(cx, 0) {
                return Poll::Ready(done);
            }
            if let Some(answer) = asked
                && let Poll::Ready(answer) = answer.as_mut().poll(cx)
            {
                came = Some(answer);
                return Poll::Ready(Ok(()));
            }
            match due.as_mut().map(|due| due.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await?;
        if self.due.as_ref().is_some_and(|due| due.is_elapsed()) {
            self.due = None;
            if self.asked.is_none() && self.newer.is_none() {
                self.asked = Some((self.passes)());
            }
        }
        if let Some(answer) = came {
            self.asked = None;
            match answer {
                Ok(pass) if pass.token != self.token && Some(&pass.token) != self.refused.as_ref() => {
                    self.newer = Some(pass);
                    // To look again when the transaction that is open must not wait any longer.
                    self.wake_at(self.expires_at.map(|end| end - LAST));
                }
                // The same, or none: the session ends with what it has, unless the next try brings one.
                _ => self.due = Some(Box::pin(sleep_until(Instant::now() + AGAIN))),
            }
        }
        Ok(())
    }

    fn ask_later(&mut self) {
        let now = Utc::now();
        self.wake_at(self.expires_at.map(|end| (end - SOON).max(now + (end - now) / 2)));
    }

    fn wake_at(&mut self, at: Option<DateTime<Utc>>) {
        let wait = |at: DateTime<Utc>| (at - Utc::now()).to_std().unwrap_or_default();
        self.due = at.map(|at| Box::pin(sleep_until(Instant::now() + wait(at))));
    }

    fn take_from_program(&mut self) {
        let Pipe { client, upstream } = &mut self.pipe;
        while !client.input.is_empty() && !upstream.is_full() {
            if self.left.0 == 0 {
                if self.renewing {
                    return;
                }
                let Some((tag, size)) = head(&client.input) else { return };
                self.flow.hears(tag);
                self.left.0 = size;
            }
            let n = self.left.0.min(client.input.len());
            upstream.send_from(&mut client.input, n);
            self.left.0 -= n;
        }
    }

    fn take_from_gateway(&mut self) {
        while !self.pipe.upstream.input.is_empty() && !self.pipe.client.is_full() {
            let Pipe { client, upstream } = &mut self.pipe;
            if self.left.1 == 0 {
                let Some((tag, size)) = head(&upstream.input) else { return };
                let whole = upstream.input.len() >= size;
                if self.renewing && !matches!(tag, b'N' | b'S' | b'A') {
                    if !whole {
                        return;
                    }
                    let frame = upstream.input.split_to(size).freeze();
                    if tag == b'E' && is_fatal(&frame) {
                        client.send(&frame);
                    }
                    self.answered(tag, &frame);
                    continue;
                }
                if tag == b'Z' {
                    if !whole {
                        return;
                    }
                    self.flow.is_ready(upstream.input[5.min(size - 1)]);
                }
                self.left.1 = size;
            }
            let n = self.left.1.min(upstream.input.len());
            client.send_from(&mut upstream.input, n);
            self.left.1 -= n;
        }
    }

    /// A part of the answer to a token of ours.
    fn answered(&mut self, tag: u8, frame: &[u8]) {
        match tag {
            b'C' => {
                if let Some(pass) = self.newer.take() {
                    (self.token, self.expires_at) = (pass.token, pass.expires_at);
                    self.ask_later();
                }
            }
            b'Z' => {
                self.renewing = false;
                self.flow.status = frame.get(5).copied().unwrap_or(self.flow.status);
                if let Some(pass) = self.newer.take() {
                    // Whoever signs in anew meanwhile has another.
                    self.refused = Some(pass.token);
                    self.due = Some(Box::pin(sleep_until(Instant::now() + AGAIN)));
                }
            }
            _ => {}
        }
    }

    /// Puts a newer token in, where nothing is on its way.
    fn put_in(&mut self) {
        let Some(pass) = &self.newer else { return };
        let idle = self.flow.is_idle() && self.left == (0, 0);
        let quiet = self.pipe.client.input.is_empty() && self.pipe.upstream.input.is_empty();
        let last = self.expires_at.is_some_and(|end| end - Utc::now() < LAST);
        // A transaction would fail with a token that is refused.
        if self.renewing || !idle || !quiet || self.flow.status != b'I' && !last {
            return;
        }
        // A token is base64 with dots; what is not could end the text.
        let token = pass.token.reveal();
        if token.contains(['\'', '\\', '\0']) {
            self.refused = self.newer.take().map(|pass| pass.token);
            return;
        }
        let sql = format!("SET countersign.token = '{token}'\0");
        let upstream = &mut self.pipe.upstream;
        for (tag, body) in [
            (b'P', [NAME, sql.as_bytes(), &[0, 0]].concat()),
            (b'B', [NAME, NAME, &[0; 6]].concat()),
            (b'E', [NAME, &[0; 4]].concat()),
            (b'C', [b"P", NAME].concat()),
            (b'C', [b"S", NAME].concat()),
            (b'S', Vec::new()),
        ] {
            upstream.send(&[tag]);
            upstream.send(&u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
            upstream.send(&body);
        }
        self.renewing = true;
    }
}

/// The type and the whole size of the message that begins here.
fn head(input: &[u8]) -> Option<(u8, usize)> {
    let [tag, size @ ..] = input.first_chunk::<5>()?;
    // One that is too short is for the other side to refuse.
    let size = usize::try_from(u32::from_be_bytes(*size)).unwrap_or(usize::MAX);
    Some((*tag, size.saturating_add(1).max(5)))
}

/// Whether an ErrorResponse ends the session: its severity, which is not translated (`V`).
fn is_fatal(frame: &[u8]) -> bool {
    let fields = frame.get(5..).unwrap_or_default().split(|byte| *byte == 0);
    fields.clone().any(|field| matches!(field, b"VFATAL" | b"VPANIC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_on_its_way_when_all_is_answered() {
        // What a program sends, `z` for a ReadyForQuery that comes, and whether it is idle then.
        let table = [
            ("", false),
            ("z", true),
            ("zQ", false),
            ("zQz", true),
            ("zPBDE", false),
            ("zPBDES", false),
            ("zPBDESz", true),
            ("zPBESPBESz", false),
            ("zPBESPBESzz", true),
            ("zPHz", false),
            ("zQdddcz", true),
            ("zFz", true),
            ("zPBESdddcSz", false),
            ("zSz", true),
        ];
        for (case, idle) in table {
            let mut flow = Flow::default();
            for tag in case.bytes() {
                if tag == b'z' { flow.is_ready(b'I') } else { flow.hears(tag) }
            }
            assert_eq!(flow.is_idle(), idle, "{case}");
        }
    }

    #[test]
    fn what_ends_the_session_is_told_from_what_does_not() {
        let error = |severity: &str| {
            [b"E\0\0\0\x20S".as_slice(), severity.as_bytes(), b"\0V", severity.as_bytes(), b"\0C57P01\0\0"].concat()
        };
        assert!(is_fatal(&error("FATAL")) && !is_fatal(&error("ERROR")) && !is_fatal(b"E"));
    }
}
