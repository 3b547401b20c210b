//! What the directory (SCIM) keeps here: users, groups, and who is not let in any more.

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use countersign_shared::duties::Human;
use serde_json::{Map, Value};

use super::StoreError;

macro_rules! id {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// A new one that nobody can guess.
            #[must_use]
            pub fn random() -> Self {
                Self(uuid::Uuid::new_v4().to_string())
            }

            /// As somebody named it; there may be none such.
            #[must_use]
            pub fn named(text: &str) -> Self {
                Self(text.to_owned())
            }

            /// Its text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A user's SCIM `id`.
    UserId
}
id! {
    /// A group's SCIM `id`.
    GroupId
}

/// What a client of SCIM says of a user (RFC 7643, section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFields {
    /// `userName`, as it was said.
    pub user_name: String,
    /// `externalId`: the `sub` of the user's tokens.
    pub external_id: Option<String>,
    /// Whether they are let in.
    pub active: bool,
    /// `displayName`.
    pub display_name: Option<String>,
    /// `name` and `emails`, which decide nothing here.
    pub profile: Map<String, Value>,
}

impl UserFields {
    /// The principal that tokens name.
    #[must_use]
    pub fn principal(&self) -> String {
        self.user_name.to_ascii_lowercase()
    }
}

/// What a client of SCIM says of a group (RFC 7643, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFields {
    /// `displayName`: the group's name in policies.
    pub display_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// `members`; each once, in order.
    pub members: Vec<UserId>,
}

/// One version of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<I, T> {
    /// Its id.
    pub id: I,
    /// What it is.
    pub is: T,
    /// Grows with each change.
    pub version: i64,
    /// Since when; to the millisecond.
    pub created_at: DateTime<Utc>,
    /// Of when this version is.
    pub modified_at: DateTime<Utc>,
    /// The other side of memberships, with names: a user's groups, or a group's members.
    pub related: Vec<(String, String)>,
}

/// A user with the names of their groups.
pub type DirectoryUser = Kept<UserId, UserFields>;
/// A group with the names of its members.
pub type DirectoryGroup = Kept<GroupId, GroupFields>;

/// Why the directory keeps somebody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// `active` is false.
    Deactivated,
    /// The user was deleted, or the name given up.
    Deleted,
}

impl Gone {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Deleted => "deleted",
        }
    }
}

/// Somebody whom the gateway or the directory knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The principal.
    pub principal: String,
    /// The human behind it, once they were seen.
    pub human: Option<Human>,
    /// Groups, from the last token and from the directory.
    pub groups: Vec<String>,
    /// When they first signed in.
    pub first_seen: Option<DateTime<Utc>>,
    /// When they last did.
    pub last_seen: Option<DateTime<Utc>>,
    /// Their id in the directory.
    pub directory: Option<UserId>,
    /// `displayName` there.
    pub display_name: Option<String>,
    /// Whether the directory keeps them out.
    pub gone: Option<Gone>,
}

/// The directory's part of the state. Every method does all of what it says, durably, or nothing.
#[async_trait]
pub trait Directory: Send + Sync {
    /// Creates a user.
    ///
    /// # Errors
    /// `Taken` where another has the name or the `externalId`.
    async fn create_user(&self, is: &UserFields, now: DateTime<Utc>) -> Result<DirectoryUser, StoreError>;

    /// A user.
    async fn user(&self, id: &UserId) -> Result<Option<DirectoryUser>, StoreError>;

    /// Users, the oldest first; where a principal is named, at most that one.
    async fn users(&self, principal: Option<&str>) -> Result<Vec<DirectoryUser>, StoreError>;

    /// Compare and swap: replaces version `version` of a user. `None` where it is another by now.
    ///
    /// # Errors
    /// `NotFound`; `Taken`.
    async fn replace_user(
        &self,
        id: &UserId,
        version: i64,
        is: &UserFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryUser>, StoreError>;

    /// Deletes a user; name and `externalId` stay known as ended. `false` where there is no such version.
    async fn delete_user(&self, id: &UserId, version: i64) -> Result<bool, StoreError>;

    /// Creates a group.
    ///
    /// # Errors
    /// `Taken` where another has the name; `NotFound` where a member is none of the users.
    async fn create_group(&self, is: &GroupFields, now: DateTime<Utc>) -> Result<DirectoryGroup, StoreError>;

    /// A group.
    async fn group(&self, id: &GroupId) -> Result<Option<DirectoryGroup>, StoreError>;

    /// Groups, the oldest first; where a name is given, at most that one.
    async fn groups(&self, name: Option<&str>) -> Result<Vec<DirectoryGroup>, StoreError>;

    /// As [`replace_user`](Self::replace_user).
    ///
    /// # Errors
    /// `NotFound`, also where a member is none of the users; `Taken`.
    async fn replace_group(
        &self,
        id: &GroupId,
        version: i64,
        is: &GroupFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryGroup>, StoreError>;

    /// Deletes a group. `false` where there is no such version.
    async fn delete_group(&self, id: &GroupId, version: i64) -> Result<bool, StoreError>;

    /// Whether the directory keeps somebody out: by name or by subject; an agent, by its owner's.
    async fn gone(&self, human: &Human) -> Result<Option<Gone>, StoreError>;

    /// The groups that the directory gives somebody. An agent has none.
    async fn groups_of(&self, human: &Human) -> Result<Vec<String>, StoreError>;

    /// Everybody whom the gateway or the directory knows, by principal.
    async fn accounts(&self) -> Result<Vec<Account>, StoreError>;
}
