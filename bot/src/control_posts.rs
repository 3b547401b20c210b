//! What the bot asks the gateway for itself: grants, links that wait and the digest, and which messages are posted.

use countersign_shared::{
    api::{AccessDigest, Claim, GrantView, NoticeBody, WaitingLink},
    ids::GrantId,
};
use reqwest::Method;

use crate::control::{Control, ControlError, done, found, read};

impl Control {
    /// `GET /v1/grants`: those that count, or the newest of all.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn grants(&self, all: bool) -> Result<Vec<GrantView>, ControlError> {
        let query = if all { "state=all&limit=300" } else { "state=active&limit=1000" };
        read(self.own(Method::GET, &["grants"], Some(query), None).await?).await
    }

    /// `GET /v1/grants/{id}`; `None` where there is none.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn grant(&self, id: &GrantId) -> Result<Option<GrantView>, ControlError> {
        found(read(self.own(Method::GET, &["grants", id.as_str()], None, None).await?).await)
    }

    /// `GET /v1/links/waiting`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn waiting_links(&self) -> Result<Vec<WaitingLink>, ControlError> {
        read(self.own(Method::GET, &["links", "waiting"], None, None).await?).await
    }

    /// `GET /v1/digest`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn digest(&self) -> Result<AccessDigest, ControlError> {
        read(self.own(Method::GET, &["digest"], None, None).await?).await
    }

    /// `POST /v1/notices/claim`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn claim(&self, name: &str) -> Result<Claim, ControlError> {
        read(self.own(Method::POST, &["notices", "claim"], None, Some(&self.notice(name))).await?).await
    }

    /// `POST /v1/notices/posted`.
    ///
    /// # Errors
    /// Where the gateway refuses or is away.
    pub async fn posted(&self, name: &str) -> Result<(), ControlError> {
        done(self.own(Method::POST, &["notices", "posted"], None, Some(&self.notice(name))).await?).await
    }

    fn notice(&self, name: &str) -> NoticeBody {
        NoticeBody { name: name.to_owned(), by: self.name().to_owned() }
    }
}
