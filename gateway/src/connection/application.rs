//! `application_name`: the server has `ana@acme.dev|psql`, so that its own views and its log tell who
//! it is; the client has what it chose.
//!
//! However a client changes it (SET, SET LOCAL, `set_config`, RESET, the end of a transaction), the
//! server reports the new value before it is ready. One without the principal is set again before the
//! client's next message.

use bytes::Bytes;

use crate::wire::{Fields, Violation, backend};

/// A session's name for itself.
pub struct Application {
    prefix: String,
    /// What the client knows it as.
    told: Option<String>,
    /// A value on the server that lacks the principal.
    bare: Option<String>,
}

impl Application {
    /// Of a principal's session, of which the client knows nothing yet.
    #[must_use]
    pub fn of(principal: &str) -> Self {
        Self { prefix: format!("{principal}|"), told: None, bare: None }
    }

    /// Takes a ParameterStatus' body; for this setting, what the client reads in its place. Nothing,
    /// where it knows.
    ///
    /// # Errors
    /// Where the fields do not fill the body.
    pub fn reported(&mut self, body: &[u8]) -> Result<Option<Option<Bytes>>, Violation> {
        let mut fields = Fields::of(body);
        let (name, value) = (fields.text()?, fields.text()?);
        fields.end()?;
        if name != "application_name" {
            return Ok(None);
        }
        let own = value.strip_prefix(self.prefix.as_str());
        self.bare = own.is_none().then(|| value.to_owned());
        let own = own.unwrap_or(value);
        if self.told.as_deref() == Some(own) {
            return Ok(Some(None));
        }
        self.told = Some(own.to_owned());
        Ok(Some(Some(backend::parameter_status(name, own))))
    }

    /// What sets it again, once. A utility statement: it takes no snapshot, which some statements must
    /// come before. In a transaction it is undone with the client's own change, or reported again.
    pub fn sets_again(&mut self, in_transaction: bool) -> Option<String> {
        let value = format!("{}{}", self.prefix, self.bare.take()?).replace('\'', "''");
        let local = if in_transaction { "LOCAL " } else { "" };
        Some(format!("SET {local}application_name = '{value}'"))
    }

    /// After [`Self::sets_again`]: what the server made of it is no reason to set it again. It cuts
    /// long names short.
    pub fn is_set(&mut self) {
        self.bare = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(application: &mut Application, value: &str) -> Option<Bytes> {
        let body = [b"application_name\0", value.as_bytes(), b"\0"].concat();
        application.reported(&body).expect("a report").expect("of this setting")
    }

    #[test]
    fn the_client_reads_its_own_name_and_the_server_keeps_the_principal() {
        let mut application = Application::of("ana@acme.dev");
        let told = |name: &str| Some(backend::parameter_status("application_name", name));
        assert_eq!(said(&mut application, "ana@acme.dev|psql"), told("psql"));
        assert_eq!(application.sets_again(false), None, "it has the principal");
        assert_eq!(said(&mut application, "it's"), told("it's"));
        let again = application.sets_again(false);
        assert_eq!(again.as_deref(), Some("SET application_name = 'ana@acme.dev|it''s'"));
        assert_eq!(said(&mut application, "ana@acme.dev|it's"), None, "the client knows");
        assert_eq!(application.sets_again(true), None, "once");
    }

    #[test]
    fn a_name_that_the_server_cuts_is_not_set_for_ever() {
        let mut application = Application::of("ana@acme.dev");
        said(&mut application, "x");
        assert_eq!(application.sets_again(true).as_deref(), Some("SET LOCAL application_name = 'ana@acme.dev|x'"));
        said(&mut application, "ana@");
        application.is_set();
        assert_eq!(application.sets_again(false), None);
    }

    #[test]
    fn other_settings_are_not_its_business() {
        assert_eq!(Application::of("ana@acme.dev").reported(b"TimeZone\0UTC\0"), Ok(None));
    }
}
