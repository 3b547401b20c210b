//! What somebody asks for with a command or a button: one call of the control API, signed as theirs.
//!
//! The bot says who it was and what they want. Whether they may is the gateway's to say.

use countersign_shared::{
    api::{
        AccessAnswer, AccessBody, AccessOption, DecisionTaken, DelegateBody, ExtendBody, GrantView, KeepBody, KeepView,
        LinkChoiceBody, QuestionAsked, QuestionBody, RequestParked, RequestView, ReviewAnswerBody, ReviewBody,
        ReviewView, SessionView, SlackRef, StandIn,
    },
    bot_token::SlackAccount,
    digest::of_bytes,
    ids::{GrantId, RequestId, ReviewId, SessionId},
};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::control::{Control, ControlError};

/// Somebody who asks, once.
pub(crate) struct Acts<'a> {
    control: &'a Control,
    account: &'a SlackAccount,
    /// What Slack delivered, by its own id.
    once: Option<&'a str>,
}

impl<'a> Acts<'a> {
    /// What `account` asks for. `once` is the id of what Slack delivered: however often it is, it
    /// counts once.
    pub(crate) const fn of(control: &'a Control, account: &'a SlackAccount, once: Option<&'a str>) -> Self {
        Self { control, account, once }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: Option<&str>) -> Result<T, ControlError> {
        let answer = self.control.act(Method::GET, (path, query), Vec::new(), self.account, None).await?;
        crate::control::read(answer).await
    }

    async fn change(&self, method: Method, path: &[&str], body: Vec<u8>) -> Result<reqwest::Response, ControlError> {
        // The same press or command for the same call has the same number, whichever bot it reaches.
        let number = self.once.map(|once| {
            of_bytes(format!("{once}\n{method} {}\n{}", path.join("/"), of_bytes(&body)).as_bytes()).to_string()
        });
        self.control.act(method, (path, None), body, self.account, number).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &(impl Serialize + Sync),
    ) -> Result<T, ControlError> {
        let body = serde_json::to_vec(body).map_err(|error| ControlError::Unreachable(error.to_string()))?;
        crate::control::read(self.change(Method::POST, path, body).await?).await
    }

    /// Roles that they may ask for.
    pub(crate) async fn options(&self) -> Result<Vec<AccessOption>, ControlError> {
        self.get(&["access"], None).await
    }

    /// Asks for a role.
    pub(crate) async fn ask(&self, body: &AccessBody) -> Result<AccessAnswer, ControlError> {
        self.post(&["access"], body).await
    }

    /// Asks for more time.
    pub(crate) async fn extend(&self, id: &GrantId, body: &ExtendBody) -> Result<AccessAnswer, ControlError> {
        self.post(&["grants", id.as_str(), "extend"], body).await
    }

    /// The grants that they see, those that count now.
    pub(crate) async fn grants(&self) -> Result<Vec<GrantView>, ControlError> {
        self.get(&["grants"], Some("limit=1000")).await
    }

    /// One that they see.
    pub(crate) async fn grant(&self, id: &GrantId) -> Result<GrantView, ControlError> {
        self.get(&["grants", id.as_str()], None).await
    }

    /// Ends a grant.
    pub(crate) async fn end_grant(&self, id: &GrantId) -> Result<GrantView, ControlError> {
        crate::control::read(self.change(Method::DELETE, &["grants", id.as_str()], Vec::new()).await?).await
    }

    /// Leaves an unused grant as it is for a while.
    pub(crate) async fn keep(&self, id: &GrantId, reason: &str) -> Result<KeepView, ControlError> {
        self.post(&["grants", id.as_str(), "keep"], &KeepBody { reason: reason.to_owned() }).await
    }

    /// Who stands in for them, and for whom they do.
    pub(crate) async fn stand_ins(&self) -> Result<Vec<StandIn>, ControlError> {
        self.get(&["delegation"], None).await
    }

    /// Names who is told in their place.
    pub(crate) async fn delegate(&self, body: &DelegateBody) -> Result<StandIn, ControlError> {
        let body = serde_json::to_vec(body).map_err(|error| ControlError::Unreachable(error.to_string()))?;
        crate::control::read(self.change(Method::PUT, &["delegation"], body).await?).await
    }

    /// Ends that.
    pub(crate) async fn end_delegation(&self) -> Result<(), ControlError> {
        crate::control::done(self.change(Method::DELETE, &["delegation"], Vec::new()).await?).await
    }

    /// Begins to review a connection's grants, or goes on.
    pub(crate) async fn open_review(&self, connection: &str) -> Result<ReviewView, ControlError> {
        self.post(&["reviews"], &ReviewBody { connection: connection.to_owned() }).await
    }

    /// A review.
    pub(crate) async fn review(&self, id: &ReviewId) -> Result<ReviewView, ControlError> {
        self.get(&["reviews", id.as_str()], None).await
    }

    /// Says that a grant stays or goes.
    pub(crate) async fn answer_review(
        &self,
        id: &ReviewId,
        body: &ReviewAnswerBody,
    ) -> Result<ReviewView, ControlError> {
        self.post(&["reviews", id.as_str(), "answers"], body).await
    }

    /// One request that they see.
    pub(crate) async fn request(&self, id: &RequestId) -> Result<RequestView, ControlError> {
        self.get(&["requests", id.as_str()], None).await
    }

    /// What waits and is theirs.
    pub(crate) async fn own_requests(&self, principal: &str) -> Result<Vec<RequestView>, ControlError> {
        let mine: String = url::form_urlencoded::byte_serialize(principal.as_bytes()).collect();
        self.get(&["requests"], Some(&format!("state=pending&principal={mine}"))).await
    }

    /// What waits for them.
    pub(crate) async fn requests_to_decide(&self) -> Result<Vec<RequestView>, ControlError> {
        self.get(&["requests"], Some("state=pending&decidable=true")).await
    }

    /// Asks about a request.
    pub(crate) async fn question(&self, id: &RequestId, question: &str) -> Result<QuestionAsked, ControlError> {
        self.post(&["requests", id.as_str(), "questions"], &QuestionBody { question: question.to_owned() }).await
    }

    /// Lets a held statement of theirs wait without its session.
    pub(crate) async fn park(&self, id: &RequestId) -> Result<RequestParked, ControlError> {
        let path = ["requests", id.as_str(), "park"];
        crate::control::read(self.change(Method::POST, &path, Vec::new()).await?).await
    }

    /// Ends what was allowed of a request for a time.
    pub(crate) async fn end_allowance(&self, id: &RequestId) -> Result<DecisionTaken, ControlError> {
        let path = ["requests", id.as_str(), "allowance"];
        crate::control::read(self.change(Method::DELETE, &path, Vec::new()).await?).await
    }

    /// What of theirs, or of theirs to decide, is allowed for a time now.
    pub(crate) async fn allowed(&self) -> Result<Vec<RequestView>, ControlError> {
        self.get(&["requests"], Some("allowed=open")).await
    }

    /// The sessions that they may end.
    pub(crate) async fn sessions(&self) -> Result<Vec<SessionView>, ControlError> {
        self.get(&["sessions"], None).await
    }

    /// Ends a session.
    pub(crate) async fn kill(&self, id: &SessionId) -> Result<(), ControlError> {
        crate::control::done(self.change(Method::DELETE, &["sessions", id.as_str()], Vec::new()).await?).await
    }

    /// Confirms or refuses a link that waits, if it is still that principal's.
    pub(crate) async fn choose_link(
        &self,
        link: &SlackRef,
        principal: &str,
        confirm: bool,
    ) -> Result<(), ControlError> {
        let body = serde_json::to_vec(&LinkChoiceBody { principal: principal.to_owned() });
        let body = body.map_err(|error| ControlError::Unreachable(error.to_string()))?;
        let path = ["links", &link.team, &link.user, if confirm { "confirm" } else { "refuse" }];
        crate::control::done(self.change(Method::POST, &path, body).await?).await
    }

    /// Ends the link of their account.
    pub(crate) async fn unlink(&self) -> Result<(), ControlError> {
        let path = ["links", &self.account.team, &self.account.user];
        crate::control::done(self.change(Method::DELETE, &path, Vec::new()).await?).await
    }
}
