//! What every implementation of [`Directory`](super::directory::Directory) must do.

use chrono::TimeDelta;
use countersign_shared::duties::Human;
use serde_json::json;

use super::{
    Seen, Store, StoreError,
    conformance::{agent, now, see, user},
    directory::{DirectoryUser, Gone, GroupFields, GroupId, UserFields, UserId},
};

fn fields(name: &str) -> UserFields {
    let profile = json!({ "emails": [{ "value": format!("{name}@acme.dev"), "primary": true }] });
    UserFields {
        user_name: format!("{name}@acme.dev"),
        external_id: Some(format!("sub-{name}")),
        active: true,
        display_name: Some(name.to_uppercase()),
        profile: profile.as_object().unwrap().clone(),
    }
}

fn group_of(name: &str, members: &[&UserId]) -> GroupFields {
    let members = members.iter().map(|id| (*id).clone()).collect();
    GroupFields { display_name: name.into(), external_id: None, members }
}

/// Runs the whole suite on an empty store.
pub(super) async fn conformance(store: &dyn Store) {
    a_user_comes_back_as_it_was_created_and_changes_by_version(store).await;
    names_and_external_ids_are_one_users(store).await;
    groups_have_members_that_are_users(store).await;
    whoever_is_gone_stays_out_until_created_anew(store).await;
    groups_of_the_directory_join_those_of_the_token(store).await;
    everybody_is_listed_with_what_is_known(store).await;
}

async fn a_user_comes_back_as_it_was_created_and_changes_by_version(store: &dyn Store) {
    let is = UserFields { user_name: "Carla@Acme.dev".into(), ..fields("carla") };
    let made = store.create_user(&is, now()).await.unwrap();
    assert_eq!((&made.is, made.version, made.created_at, made.modified_at), (&is, 1, now(), now()));
    assert_eq!(store.user(&made.id).await.unwrap(), Some(made.clone()));
    assert_eq!(store.users(Some("CARLA@acme.dev")).await.unwrap(), std::slice::from_ref(&made), "a name has no case");
    let later = now() + TimeDelta::seconds(1);
    let changed = UserFields { display_name: None, ..is.clone() };
    let second = store.replace_user(&made.id, 1, &changed, later).await.unwrap().expect("version 1 is the newest");
    assert_eq!((&second.is, second.version, second.created_at, second.modified_at), (&changed, 2, now(), later));
    assert!(store.replace_user(&made.id, 1, &is, later).await.unwrap().is_none(), "an old version");
    assert!(!store.delete_user(&made.id, 1).await.unwrap(), "an old version");
    assert_eq!(store.user(&made.id).await.unwrap(), Some(second));
    let nowhere = store.replace_user(&UserId::random(), 1, &is, later).await;
    assert!(matches!(nowhere, Err(StoreError::NotFound("user"))), "{nowhere:?}");
    assert!(store.delete_user(&made.id, 2).await.unwrap());
    assert!(store.users(None).await.unwrap().is_empty());
}

async fn names_and_external_ids_are_one_users(store: &dyn Store) {
    let ute = store.create_user(&fields("ute"), now()).await.unwrap();
    let vera = store.create_user(&fields("vera"), now()).await.unwrap();
    let same_name = UserFields { user_name: "UTE@acme.dev".into(), external_id: None, ..fields("x") };
    let same_subject = UserFields { external_id: Some("sub-ute".into()), ..fields("x") };
    for (is, what) in [(same_name, "userName"), (same_subject, "externalId")] {
        let created = store.create_user(&is, now()).await;
        assert!(matches!(created, Err(StoreError::Taken(it)) if it == what), "{what}: {created:?}");
        let replaced = store.replace_user(&vera.id, 1, &is, now()).await;
        assert!(matches!(replaced, Err(StoreError::Taken(it)) if it == what), "{what}: {replaced:?}");
    }
    let without = UserFields { external_id: None, ..fields("w") };
    let w = store.create_user(&without, now()).await.unwrap();
    let two = UserFields { user_name: "w2@acme.dev".into(), ..without };
    let w2 = store.create_user(&two, now()).await.expect("two may have none");
    for user in [ute, vera, w, w2] {
        assert!(store.delete_user(&user.id, user.version).await.unwrap());
    }
}

async fn groups_have_members_that_are_users(store: &dyn Store) {
    let (ida, jo) = (
        store.create_user(&fields("ida"), now()).await.unwrap(),
        store.create_user(&fields("jo"), now()).await.unwrap(),
    );
    let team = store.create_group(&group_of("Team", &[&ida.id]), now()).await.unwrap();
    assert_eq!(team.related, [(ida.id.to_string(), "ida@acme.dev".to_owned())]);
    let of_ida = store.user(&ida.id).await.unwrap().unwrap().related;
    assert_eq!(of_ida, [(team.id.to_string(), "Team".to_owned())]);
    let twice = store.create_group(&group_of("TEAM", &[]), now()).await;
    assert!(matches!(twice, Err(StoreError::Taken("displayName"))), "{twice:?}");
    let stranger = store.create_group(&group_of("Other", &[&UserId::random()]), now()).await;
    assert!(matches!(stranger, Err(StoreError::NotFound("user"))), "{stranger:?}");
    assert_eq!(store.groups(None).await.unwrap().len(), 1, "nothing of it was kept");
    let stranger = store.replace_group(&team.id, 1, &group_of("Team", &[&UserId::random()]), now()).await;
    assert!(matches!(stranger, Err(StoreError::NotFound("user"))), "{stranger:?}");
    assert_eq!(store.group(&team.id).await.unwrap(), Some(team.clone()), "nothing changed");

    let other = store.replace_group(&team.id, 1, &group_of("Crew", &[&jo.id]), now()).await.unwrap().unwrap();
    assert_eq!((other.version, other.is.members), (2, vec![jo.id.clone()]));
    assert!(store.replace_group(&team.id, 1, &group_of("Crew", &[]), now()).await.unwrap().is_none());
    assert_eq!(store.groups(Some("crew")).await.unwrap().len(), 1);
    assert!(store.delete_user(&jo.id, 1).await.unwrap());
    assert!(store.group(&team.id).await.unwrap().unwrap().is.members.is_empty(), "who is deleted is no member");
    assert!(!store.delete_group(&team.id, 1).await.unwrap() && store.delete_group(&team.id, 2).await.unwrap());
    assert!(store.group(&team.id).await.unwrap().is_none() && store.group(&GroupId::random()).await.unwrap().is_none());
    assert!(store.delete_user(&ida.id, 1).await.unwrap());
}

async fn login(store: &dyn Store, human: &Human) -> Option<Gone> {
    match store.seen(&Seen { human: human.clone(), groups: vec!["token".into()], at: now(), token: None }).await {
        Ok(()) => {
            assert_eq!(store.gone(human).await.unwrap(), None);
            assert!(store.person(&human.principal).await.unwrap().is_some());
            None
        }
        Err(StoreError::Gone { how, .. }) => {
            assert_eq!(store.gone(human).await.unwrap(), Some(how));
            assert!(store.person(&human.principal).await.unwrap().is_none(), "who is gone approves nothing");
            let people = store.people().await.unwrap();
            assert!(people.iter().all(|known| known.human != *human), "nor is asked to");
            Some(how)
        }
        Err(error) => panic!("{error}"),
    }
}

async fn whoever_is_gone_stays_out_until_created_anew(store: &dyn Store) {
    let (max, robot) = (user("max"), agent("max-robot", "max"));
    let both = async |expected: Option<Gone>, case: &str| {
        assert_eq!(login(store, &max).await, expected, "{case}");
        assert_eq!(login(store, &robot).await, expected, "{case}: an agent of his");
    };
    both(None, "the directory never heard of him").await;
    let mut kept = store.create_user(&fields("max"), now()).await.unwrap();
    both(None, "active").await;
    let change = async |kept: &mut DirectoryUser, is: UserFields| {
        *kept = store.replace_user(&kept.id, kept.version, &is, now()).await.unwrap().unwrap();
    };
    change(&mut kept, UserFields { active: false, ..fields("max") }).await;
    both(Some(Gone::Deactivated), "deactivated").await;
    change(&mut kept, fields("max")).await;
    both(None, "reactivated").await;

    let by_subject = UserFields { user_name: "max.new@acme.dev".into(), active: false, ..fields("max") };
    change(&mut kept, by_subject.clone()).await;
    let renamed = Human { principal: "max.new@acme.dev".into(), ..max.clone() };
    assert_eq!(login(store, &renamed).await, Some(Gone::Deactivated));
    assert!(login(store, &max).await.is_some(), "under the name that he gave up, too");
    change(&mut kept, UserFields { active: true, ..by_subject }).await;
    assert_eq!(login(store, &renamed).await, None, "under the new one");
    assert_eq!(login(store, &max).await, Some(Gone::Deleted), "the old name may be another's tomorrow");
    change(&mut kept, fields("max")).await;
    both(None, "named back").await;

    assert!(store.delete_user(&kept.id, kept.version).await.unwrap());
    both(Some(Gone::Deleted), "deleted").await;
    let alias = Human { principal: "max.alias@acme.dev".into(), ..max.clone() };
    assert_eq!(login(store, &alias).await, Some(Gone::Deleted), "by his subject alone");
    let other_subject = Human { subject: "sub-other".into(), ..max.clone() };
    assert_eq!(login(store, &other_subject).await, Some(Gone::Deleted), "by his name alone");

    let another = UserFields { user_name: "max.alias@acme.dev".into(), ..fields("max") };
    let alias_kept = store.create_user(&another, now()).await.unwrap();
    assert_eq!(login(store, &alias).await, None, "created anew under another name");
    assert_eq!(login(store, &max).await, Some(Gone::Deleted), "which is not the old one");
    assert!(store.delete_user(&alias_kept.id, 1).await.unwrap());
    let anew = store.create_user(&UserFields { external_id: None, ..fields("max") }, now()).await.unwrap();
    assert_eq!(login(store, &max).await, Some(Gone::Deleted), "the subject went with another name last");
    assert!(store.delete_user(&anew.id, 1).await.unwrap());
    let anew = store.create_user(&fields("max"), now()).await.unwrap();
    both(None, "created anew").await;
    assert!(store.delete_user(&anew.id, 1).await.unwrap());
    let anew = store.create_user(&UserFields { external_id: None, ..fields("max") }, now()).await.unwrap();
    both(None, "created anew without a subject").await;
    assert!(store.delete_user(&anew.id, 1).await.unwrap());
}

async fn groups_of_the_directory_join_those_of_the_token(store: &dyn Store) {
    let (nora, robot) = (user("nora"), agent("nora", "max"));
    see(store, &nora).await;
    let kept = store.create_user(&UserFields { external_id: None, ..fields("nora") }, now()).await.unwrap();
    let dba = store.create_group(&group_of("dba", &[&kept.id]), now()).await.unwrap();
    let same = store.create_group(&group_of("engineering", &[&kept.id]), now()).await.unwrap();
    assert_eq!(store.groups_of(&nora).await.unwrap(), ["dba", "engineering"]);
    assert_eq!(store.groups_of(&robot).await.unwrap(), [""; 0], "an agent has none");
    let stranger = Human { principal: "eve@acme.dev".into(), ..nora.clone() };
    assert_eq!(store.groups_of(&stranger).await.unwrap(), [""; 0], "a subject alone gives nothing");
    let groups = async || store.person("nora@acme.dev").await.unwrap().unwrap().groups;
    assert_eq!(groups().await, ["engineering", "dba"], "the token's first, each once");
    let known = store.people().await.unwrap().into_iter().find(|known| known.human == nora).unwrap();
    assert_eq!(known.groups, ["engineering", "dba"]);
    store.replace_group(&dba.id, 1, &group_of("dba", &[]), now()).await.unwrap().unwrap();
    assert_eq!(groups().await, ["engineering"]);
    assert!(store.delete_group(&dba.id, 2).await.unwrap() && store.delete_group(&same.id, 1).await.unwrap());
}

async fn everybody_is_listed_with_what_is_known(store: &dyn Store) {
    see(store, &user("pia")).await;
    see(store, &agent("pia-robot", "pia")).await;
    let pia = store.create_user(&UserFields { active: false, ..fields("pia") }, now()).await.unwrap();
    let quin = store.create_user(&fields("quin"), now()).await.unwrap();
    store.create_group(&group_of("quins", &[&quin.id]), now()).await.unwrap();
    let accounts = store.accounts().await.unwrap();
    let one = |name: &str| accounts.iter().find(|account| account.principal == name).unwrap();
    let hers = one("pia@acme.dev");
    assert_eq!(
        (hers.human.clone(), hers.gone, hers.directory.clone()),
        (Some(user("pia")), Some(Gone::Deactivated), Some(pia.id))
    );
    assert_eq!(
        (hers.first_seen, hers.last_seen, hers.display_name.as_deref()),
        (Some(now()), Some(now()), Some("PIA"))
    );
    let robot = one("pia-robot");
    assert_eq!((robot.gone, robot.directory.clone()), (Some(Gone::Deactivated), None));
    let his = one("quin@acme.dev");
    assert_eq!((his.human.clone(), his.gone, his.groups.as_slice()), (None, None, ["quins".to_owned()].as_slice()));
    assert_eq!(one("max@acme.dev").gone, Some(Gone::Deleted), "tombstones are listed too");
    let mut names: Vec<_> = accounts.iter().map(|account| &account.principal).collect();
    let sorted = names.clone();
    names.sort();
    names.dedup();
    assert_eq!(names, sorted, "each once, in order");
}
