//! The gateway's stream of events: followed, resumed where it broke, and caught up after.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use countersign_shared::{api::Event, request::State};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{Bot, backoff::Backoff, control::ControlError};

/// The longest line that is kept; an event is far shorter.
const LINE_LIMIT: usize = 1 << 20;
/// How old a request may be whose card is refreshed after an absence.
const RECENT: TimeDelta = TimeDelta::hours(24);
/// How many such cards at most; Slack takes 50 updates a minute.
const RECENT_LIMIT: usize = 50;

/// Reads server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: String,
    id: Option<String>,
    skipping: bool,
}

/// One event: its id, if it has one, and its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl Parser {
    /// Takes bytes as they come; returns the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' => messages.extend(self.end_of_line()),
                _ if self.line.len() < LINE_LIMIT => self.line.push(*byte),
                _ => self.skipping = true,
            }
        }
        messages
    }

    fn end_of_line(&mut self) -> Option<Message> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.skipping) {
            return None;
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let line = String::from_utf8_lossy(&line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            let id = self.id.take();
            return (!data.is_empty()).then_some(Message { id, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if self.data.is_empty() => value.clone_into(&mut self.data),
            "data" if self.data.len() + value.len() < LINE_LIMIT => {
                self.data.push('\n');
                self.data.push_str(value);
            }
            "id" => self.id = Some(value.to_owned()),
            // Comments, `event` (the data has it too) and `retry`.
            _ => {}
        }
        None
    }
}

/// Follows the events until `shutdown`.
pub(crate) async fn follow(bot: &Bot, shutdown: &CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));
    let mut last = None;
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return,
            ended = stream(bot, &mut last, &mut backoff) => ended,
        };
        match ended {
            Ok(()) => tracing::info!("the gateway ended the stream of events; reconnecting"),
            Err(error) => {
                tracing::warn!(%error, "no events from the gateway; trying again");
                if matches!(error, ControlError::Refused(_)) {
                    // It may be the place to resume that it refuses. Catching up covers the gap.
                    last = None;
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(backoff.wait()) => {}
        }
    }
}

async fn stream(bot: &Bot, last: &mut Option<String>, backoff: &mut Backoff) -> Result<(), ControlError> {
    let mut bytes = bot.control().events(last.as_deref()).await?.bytes_stream();
    // Subscribed first, listed second: nothing falls between.
    catch_up(bot).await?;
    // A gateway that restarted has forgotten.
    bot.introduce_channels();
    bot.life().ring();
    bot.linking().ring();
    bot.counting().ring();
    bot.reached().ring();
    backoff.reset();
    tracing::info!("following the gateway's events");
    let mut parser = Parser::default();
    while let Some(chunk) = bytes.next().await {
        for message in parser.push(&chunk?) {
            match serde_json::from_str::<Event>(&message.data) {
                Ok(event) => {
                    *last = Some(message.id.unwrap_or_else(|| event.seq.to_string()));
                    heard(bot, event);
                }
                Err(error) => tracing::warn!(%error, "an event of the gateway's was not understood"),
            }
        }
    }
    Ok(())
}

fn heard(bot: &Bot, event: Event) {
    if let (Some(request), "request.created" | "request.updated") = (event.request, event.kind.as_str()) {
        bot.touch(&request);
        bot.counting().ring();
        bot.reached().ring();
    }
    if event.kind == "link.created" {
        bot.linking().ring();
    }
    if event.kind.starts_with("grant.") {
        bot.life().ring();
    }
}

/// Posts what was missed, and refreshes the cards of what ended meanwhile. Of a request without a card
/// nobody knows whether one was posted, and not written down, by a bot that ended there and then.
async fn catch_up(bot: &Bot) -> Result<(), ControlError> {
    let pending = bot.control().requests(true).await?;
    // All doubts before any card.
    for view in pending.iter().filter(|view| view.card.is_none()) {
        bot.board().doubt(&view.id);
    }
    for view in &pending {
        bot.touch(&view.id);
    }
    let since = Utc::now() - RECENT;
    let mut ended = bot.control().requests(false).await?;
    ended.retain(|view| view.state != State::Pending && view.created_at > since);
    ended.sort_by_key(|view| std::cmp::Reverse(view.created_at));
    for view in ended.iter().take(RECENT_LIMIT) {
        if view.card.is_none() {
            bot.board().doubt(&view.id);
        }
        bot.touch_unless_told(&view.id);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text =
            ": heartbeat\n\nid: 7\nevent: request.created\ndata: {\"a\":\ndata: \"é\"}\n\nid: 8\r\ndata:x\r\n\r\n";
        let expected = vec![
            Message { id: Some("7".into()), data: "{\"a\":\n\"é\"}".into() },
            Message { id: Some("8".into()), data: "x".into() },
        ];
        for size in 1..=text.len() {
            let mut parser = Parser::default();
            let messages: Vec<Message> = text.as_bytes().chunks(size).flat_map(|chunk| parser.push(chunk)).collect();
            assert_eq!(messages, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_event_read() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; 3 * LINE_LIMIT]), []);
        assert!(parser.line.len() <= LINE_LIMIT);
        assert_eq!(parser.push(b"\ndata: y\n\n"), [Message { id: None, data: "y".into() }]);
    }
}
