//! `/Groups`.

use std::collections::HashSet;

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
        directory::{DirectoryGroup, GroupFields, GroupId, UserId},
    },
};

/// The longest name, in bytes; as long as one of a token.
const LONGEST_NAME: usize = 256;

/// Groups.
pub(super) struct Groups;

fn member(value: &Value) -> Result<UserId, Sorry> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or(USERS.name);
    let group = value.get("$ref").and_then(Value::as_str).is_some_and(|at| at.contains("/Groups/"));
    if !kind.eq_ignore_ascii_case(USERS.name) || group {
        return Err(Sorry::value("Members are users; a group can't be in a group."));
    }
    let id = value.get("value").and_then(Value::as_str);
    id.map(UserId::named).ok_or_else(|| Sorry::value("A member has no `value`."))
}

#[async_trait]
impl Noun for Groups {
    type Id = GroupId;
    type Fields = GroupFields;

    fn kind() -> &'static Type {
        &GROUPS
    }

    fn id(text: &str) -> GroupId {
        GroupId::named(text)
    }

    fn read(resource: &Map<String, Value>) -> Result<GroupFields, Sorry> {
        let text = |name: &str| resource.get(name).and_then(Value::as_str).map(str::to_owned);
        let display_name = text("displayName").ok_or_else(|| Sorry::value("displayName is missing."))?;
        if display_name.len() > LONGEST_NAME {
            return Err(Sorry::value(format!("displayName has at most {LONGEST_NAME} bytes.")));
        }
        let members = resource.get("members").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut members = members.iter().map(member).collect::<Result<Vec<_>, _>>()?;
        members.sort();
        members.dedup();
        Ok(GroupFields { display_name, external_id: text("externalId"), members })
    }

    fn write(kept: &DirectoryGroup, base: &str) -> Map<String, Value> {
        let mut resource = Map::new();
        resource.insert("displayName".to_owned(), kept.is.display_name.as_str().into());
        if let Some(external_id) = &kept.is.external_id {
            resource.insert("externalId".to_owned(), external_id.as_str().into());
        }
        let member = |(id, _): &(String, String)| json!({ "value": id, "type": "User", "$ref": format!("{base}{}/{id}", USERS.endpoint) });
        if !kept.related.is_empty() {
            resource.insert("members".to_owned(), kept.related.iter().map(member).collect());
        }
        resource
    }

    fn keep(_: &Map<String, Value>, _: &mut Map<String, Value>) {}

    fn name(is: &GroupFields) -> String {
        is.display_name.clone()
    }

    async fn all(gateway: &Gateway, query: &Query) -> Result<Vec<DirectoryGroup>, StoreError> {
        gateway
            .store
            .groups(query.filter.as_ref().and_then(|filter| filter.only("displayName")).filter(|name| name.is_ascii()))
            .await
    }

    async fn one(gateway: &Gateway, id: &GroupId) -> Result<Option<DirectoryGroup>, StoreError> {
        gateway.store.group(id).await
    }

    async fn create(gateway: &Gateway, is: &GroupFields, now: DateTime<Utc>) -> Result<DirectoryGroup, StoreError> {
        gateway.store.create_group(is, now).await
    }

    async fn replace(
        gateway: &Gateway,
        before: &DirectoryGroup,
        is: &GroupFields,
        now: DateTime<Utc>,
    ) -> Result<Option<DirectoryGroup>, StoreError> {
        gateway.store.replace_group(&before.id, before.version, is, now).await
    }

    async fn delete(gateway: &Gateway, before: &DirectoryGroup) -> Result<bool, StoreError> {
        gateway.store.delete_group(&before.id, before.version).await
    }

    /// Whoever was in it may have lost it, also where it only has another name now.
    async fn take_effect(gateway: &Gateway, before: Option<&GroupFields>, after: Option<&GroupFields>) {
        let Some(before) = before else { return };
        let kept: HashSet<&UserId> = after
            .filter(|after| after.display_name == before.display_name)
            .map(|after| after.members.iter().collect())
            .unwrap_or_default();
        let lost = before.members.iter().filter(|member| !kept.contains(member));
        let whom = directory::Whom::members(gateway, lost).await;
        directory::settle(gateway, whom.as_ref()).await;
    }
}
