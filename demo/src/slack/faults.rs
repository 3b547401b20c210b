//! Bad days on demand.

use std::time::Instant;

use super::Workspace;
use super::socket;
use super::state::Fault;

impl Workspace {
    /// The next `times` calls of `method` (`*` for any, `response_url` too) answer 429 with this `Retry-After`.
    pub fn rate_limit(&self, method: &str, times: usize, retry_after: u64) {
        self.shared.change(|state| state.order_fault(method, times, &Fault::RateLimited { retry_after }));
    }

    /// The next `times` calls of `method` answer `ok: false` with this error word.
    pub fn fail(&self, method: &str, times: usize, error: &str) {
        self.shared.change(|state| state.order_fault(method, times, &Fault::Error(error.to_owned())));
    }

    /// The next `times` calls of `method` answer with this HTTP status and no body.
    pub fn break_down(&self, method: &str, times: usize, status: u16) {
        self.shared.change(|state| state.order_fault(method, times, &Fault::Status(status)));
    }

    /// The next `times` calls of `method` are done, and their answers never come.
    pub fn lose_answers(&self, method: &str, times: usize) {
        self.shared.change(|state| state.order_fault(method, times, &Fault::Unanswered));
    }

    /// Closes every Socket Mode connection without a word. The app may come back.
    pub fn drop_connections(&self) {
        self.shared.change(socket::drop_all);
    }

    /// Asks every Socket Mode connection to reconnect, as Slack does every few hours.
    pub fn refresh_connections(&self) {
        self.shared.change(socket::refresh);
    }

    /// Slack is away: connections close, every call answers 503, nothing is delivered.
    pub fn go_down(&self) {
        self.shared.change(|state| {
            state.is_down = true;
            socket::drop_all(state);
        });
    }

    /// Slack is back.
    pub fn come_back(&self) {
        self.shared.change(|state| state.is_down = false);
    }

    /// Every `trigger_id` and `response_url` handed out so far is too old from now on.
    pub fn expire_everything(&self) {
        self.shared.change(|state| {
            let now = Instant::now();
            state.triggers.values_mut().for_each(|trigger| trigger.expires = now);
            state.response_urls.values_mut().for_each(|url| url.expires = now);
        });
    }

    /// A message disappears, as if an admin had deleted it.
    pub fn delete_message(&self, channel: &str, ts: &str) {
        self.shared.change(|state| {
            state.messages.retain(|message| message.channel != channel || message.ts != ts);
        });
    }
}
