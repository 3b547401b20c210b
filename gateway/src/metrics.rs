//! `/metrics` in Prometheus' text form.

/// The gateway's counters.
#[derive(Default)]
pub struct Metrics {}

impl Metrics {
    /// The text of `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        String::new()
    }
}
