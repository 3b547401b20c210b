//! `countersign.batch`: what a transaction's statements need is asked together, at its COMMIT.
//!
//! What runs before it is approved is what policy lets run so, batch or not: the setting chooses between two ways that
//! policy leaves, and never adds one. Where policy wants a statement approved before it runs, the batch can't wait
//! for others to come, so the statement is refused with what to do.

use super::session::{Ended, Session};
use crate::{
    refusal::Refusal,
    statement::{
        assemble::Request,
        decide::{Asked, Decision},
        guard::Guard,
        hold::Permit,
    },
};

/// Whether a value of the setting means yes; nothing where it means nothing.
pub(super) fn is_on(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some(true),
        "off" | "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

impl Session {
    /// Whether what would be held here is to be asked together.
    pub(super) fn asks_together(&self) -> bool {
        let on = self.own.get("batch").and_then(|value| is_on(value)).unwrap_or_default();
        on && (self.status == b'T' || self.moved) && !self.block
    }

    /// A statement that would be held by itself, in a transaction whose statements are asked together.
    pub(super) async fn ask_together(
        &mut self,
        request: &Request,
        asked: Asked,
        rules: Vec<String>,
        counted: Option<Guard>,
    ) -> Result<Result<Permit, Refusal>, Ended> {
        let at_commit = Asked { at_commit: true, ..asked.clone() };
        match self.decision(&at_commit).await {
            Ok(Decision::Hold(needed)) if needed.at_commit => {
                Ok(self.review(request, asked, rules, counted).await?.map_err(Refusal::together))
            }
            Ok(_) => {
                let refusal = Refusal::NotTogether { why: "policy wants it approved before it runs".to_owned() };
                self.record_denial(&request.sql, &refusal, &rules).await?;
                Ok(Err(refusal))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_means_yes_or_no_or_nothing() {
        for (value, expected) in [
            ("on", Some(true)),
            ("TRUE", Some(true)),
            ("off", Some(false)),
            ("0", Some(false)),
            ("maybe", None),
            ("", None),
        ] {
            assert_eq!(is_on(value), expected, "{value}");
        }
    }
}
