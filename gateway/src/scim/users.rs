//! `/Users`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    query::Query,
    resource::Noun,
    schema::{GROUPS, Type, USERS},
    sorry::Sorry,
};
use crate::{
    directory,
    runtime::Gateway,
    store::{
        StoreError,
        directory::{DirectoryUser, UserFields, UserId},
    },
};

/// The longest `userName`, in bytes: a principal is an address.
const LONGEST_NAME: usize = 256;
/// What is kept of a user and decides nothing.
const PROFILE: [&str; 2] = ["name", "emails"];

/// Users.
pub(super) struct Users;

fn text(resource: &Map<String, Value>, name: &str) -> Option<String> {
    resource.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[async_trait]
impl Noun for Users {
    type Id = UserId;
    type Fields = UserFields;

    fn kind() -> &'static Type {
        &USERS
    }

    fn id(text: &str) -> UserId {
        UserId::named(text)
    }

    fn read(resource: &Map<String, Value>) -> Result<UserFields, Sorry> {
        let user_name = text(resource, "userName").ok_or_else(|| Sorry::value("userName is missing."))?;
        if user_name.len() > LONGEST_NAME || user_name.trim() != user_name {
            return Err(Sorry::value(format!("userName has at most {LONGEST_NAME} bytes, and no spaces around it.")));
        }
        let profile = PROFILE.iter().filter_map(|name| Some(((*name).to_owned(), resource.get(*name)?.clone())));
        Ok(UserFields {
            user_name,
            external_id: text(resource, "externalId"),
            active: resource.get("active") == Some(&Value::Bool(true)),
            display_name: text(resource, "displayName"),
            profile: profile.collect(),
        })
    }

    fn write(kept: &DirectoryUser, base: &str) -> Map<String, Value> {
        let is = &kept.is;
        let mut resource = is.profile.clone();
        resource.insert("userName".to_owned(), is.user_name.as_str().into());
        resource.insert("active".to_owned(), is.active.into());
        for (name, value) in [("externalId", &is.external_id), ("displayName", &is.display_name)] {
            if let Some(value) = value {
                resource.insert(name.to_owned(), value.as_str().into());
            }
        }
        let group = |(id, name): &(String, String)| json!({ "value": id, "display": name, "type": "direct", "$ref": format!("{base}{}/{id}", GROUPS.endpoint) });
        if !kept.related.is_empty() {
            resource.insert("groups".to_owned(), kept.related.iter().map(group).collect());
        }
        resource
    }

    /// A user whom a replacement does not mention as active stays as they are: silence lets nobody in.
    fn keep(before: &Map<String, Value>, after: &mut Map<String, Value>) {
        let active = before.get("active").cloned().unwrap_or(Value::Bool(true));
        after.entry("active").or_insert(active);
    }

    fn name(is: &UserFields) -> String {
        is.principal()
    }

    async fn all(gateway: &Gateway, query: &Query) -> Result<Vec<DirectoryUser>, StoreError> {
        // Every client asks for one by name before it creates it.
        gateway
            .store
            .users(query.filter.as_ref().and_then(|filter| filter.only("userName")).filter(|name| name.is_ascii()))
            .await
    }

    async fn one(gateway: &Gateway, id: &UserId) -> Result<Option<DirectoryUser>, StoreError> {
        gateway.store.user(id).await
    }

    async fn create(gateway: &Gateway, is: &UserFields, now: DateTime<Utc>) -> Result<DirectoryUser, StoreError> {
        gateway.store.create_user(is, now).await
    }

    async fn replace(
        gateway: &Gateway,
        before: &DirectoryUser,
        is: &UserFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryUser>, StoreError> {
        gateway.store.replace_user(&before.id, before.version, is, now).await
    }

    async fn delete(gateway: &Gateway, before: &DirectoryUser) -> Result<bool, StoreError> {
        gateway.store.delete_user(&before.id, before.version).await
    }

    async fn take_effect(gateway: &Gateway, before: Option<&UserFields>, after: Option<&UserFields>) {
        let whom = directory::Whom::users(before.into_iter().chain(after));
        directory::settle(gateway, Some(&whom)).await;
    }
}
