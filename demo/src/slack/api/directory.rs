//! Who is in the workspace: `auth.test`, `users.*`, `usergroups.*`, `conversations.*`

use serde_json::{Value, json};

use super::super::state::State;
use super::{Answer, Arguments, Refused, granted};

pub(super) fn auth_test(state: &mut State, _: &Arguments) -> Answer {
    let (team, app) = (state.team(), state.app());
    Ok(json!({
        "url": format!("https://{}.slack.com/", team.domain), "team": team.name, "team_id": team.id,
        "user": app.name.to_lowercase(), "user_id": app.bot_user_id, "bot_id": app.bot_id,
        "is_enterprise_install": false,
    }))
}

pub(super) fn users_info(state: &mut State, arguments: &Arguments) -> Answer {
    let id = arguments.text("user").ok_or_else(|| Refused::missing("user"))?;
    let person = state.person(id).ok_or("user_not_found")?;
    Ok(json!({"user": person.to_json(state.team(), may_see_email(state))}))
}

pub(super) fn users_list(state: &mut State, _: &Arguments) -> Answer {
    let email = may_see_email(state);
    let members: Vec<Value> = state.config.people.iter().map(|person| person.to_json(state.team(), email)).collect();
    Ok(json!({"members": members, "cache_ts": 1_700_000_000, "response_metadata": {"next_cursor": ""}}))
}

pub(super) fn users_lookup_by_email(state: &mut State, arguments: &Arguments) -> Answer {
    let email = arguments.text("email").ok_or_else(|| Refused::missing("email"))?;
    let found = state.config.people.iter().find(|person| {
        !person.deleted && !person.is_bot && !person.is_stranger && person.email.eq_ignore_ascii_case(email)
    });
    let person = found.ok_or("users_not_found")?;
    Ok(json!({"user": person.to_json(state.team(), true)}))
}

fn may_see_email(state: &State) -> bool {
    state.config.scopes.iter().any(|scope| scope == "users:read.email")
}

pub(super) fn usergroups_list(state: &mut State, arguments: &Arguments) -> Answer {
    let (disabled, users) = (arguments.flag("include_disabled"), arguments.flag("include_users"));
    let groups = state.config.usergroups.iter().filter(|group| disabled || !group.disabled);
    let groups: Vec<Value> = groups.map(|group| group.to_json(state.team(), users)).collect();
    Ok(json!({"usergroups": groups}))
}

pub(super) fn usergroups_users_list(state: &mut State, arguments: &Arguments) -> Answer {
    let id = arguments.text("usergroup").ok_or_else(|| Refused::missing("usergroup"))?;
    let group = state.usergroup(id).ok_or("no_such_subteam")?;
    if group.disabled && !arguments.flag("include_disabled") {
        return Err("subteam_disabled".into());
    }
    Ok(json!({"users": group.users}))
}

pub(super) fn conversations_open(state: &mut State, arguments: &Arguments) -> Answer {
    if let Some(id) = arguments.text("channel") {
        let channel = state.channel(id).filter(|channel| channel.direct_with.is_some()).ok_or("channel_not_found")?;
        return Ok(json!({"channel": {"id": channel.id}, "no_op": true, "already_open": true}));
    }
    let users = arguments.list("users");
    let [user] = users.as_slice() else {
        return Err(if users.is_empty() { "users_list_not_supplied" } else { "method_not_supported" }.into());
    };
    match state.person(user) {
        None => return Err("user_not_found".into()),
        Some(person) if person.deleted => return Err("user_disabled".into()),
        Some(person) if person.is_bot => return Err("cannot_dm_bot".into()),
        Some(_) => {}
    }
    let (id, was_open) = state.direct_message(user);
    let bot = state.app().bot_user_id.clone();
    let channel = match state.channel(&id) {
        Some(channel) if arguments.flag("return_im") => channel.to_json(&bot),
        _ => json!({"id": id}),
    };
    let mut answer = json!({"channel": channel});
    if was_open {
        answer["no_op"] = json!(true);
        answer["already_open"] = json!(true);
    }
    Ok(answer)
}

pub(super) fn conversations_info(state: &mut State, arguments: &Arguments) -> Answer {
    let id = arguments.text("channel").ok_or_else(|| Refused::missing("channel"))?;
    let bot = &state.app().bot_user_id;
    let channel = state.channel(id).ok_or("channel_not_found")?;
    granted(state, if channel.is_private { "groups:read" } else { "channels:read" })?;
    if channel.is_private && !channel.has(bot) {
        return Err("channel_not_found".into());
    }
    Ok(json!({"channel": channel.to_json(bot)}))
}

pub(super) fn conversations_members(state: &mut State, arguments: &Arguments) -> Answer {
    let id = arguments.text("channel").ok_or_else(|| Refused::missing("channel"))?;
    let bot = state.app().bot_user_id.clone();
    let channel = state.channel(id).ok_or("channel_not_found")?;
    granted(state, if channel.is_private { "groups:read" } else { "channels:read" })?;
    if channel.is_private && !channel.has(&bot) {
        return Err("channel_not_found".into());
    }
    let people = state.config.people.iter().filter(|person| !person.deleted);
    let all = people.map(|person| person.id.as_str()).filter(|id| *id != bot).chain([bot.as_str()]);
    let members: Vec<&str> = all.filter(|user| channel.has(user)).collect();
    let limit = match arguments.text("limit").map(str::parse::<usize>) {
        None => 100,
        Some(Ok(limit @ 1..=1_000)) => limit,
        Some(_) => return Err("invalid_limit".into()),
    };
    let start = match arguments.text("cursor").filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => cursor.strip_prefix("next:").and_then(|n| n.parse().ok()).ok_or("invalid_cursor")?,
    };
    let page: Vec<&str> = members.iter().skip(start).take(limit).copied().collect();
    let next = if start + limit < members.len() { format!("next:{}", start + limit) } else { String::new() };
    Ok(json!({"members": page, "response_metadata": {"next_cursor": next}}))
}
