//! What Slack's channels are called, as the bot told it. For notices alone: nothing rests on it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Names by channel id.
#[derive(Debug, Default)]
pub struct ChannelNames(Mutex<HashMap<String, String>>);

impl ChannelNames {
    /// A channel's name, without the `#`.
    pub fn learn(&self, id: String, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, name);
    }

    /// How people call a channel: `#db-approvals`, or its id while the name is not known.
    #[must_use]
    pub fn called(&self, id: &str) -> String {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(id).map_or_else(|| id.to_owned(), |name| format!("#{name}"))
    }
}
