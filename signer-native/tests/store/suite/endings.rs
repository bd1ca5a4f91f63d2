//! Profiles and agents that end: what the transaction itself insists on, whoever asked before it.

use std::collections::BTreeSet;

use edgeseal_signer::store::{AgentCertificate, Grant, ProfileRow, Repeatable, Terms};

use super::*;

pub(super) async fn a_profile_ends_when_it_is_retired_and_keyless(place: Place) {
    let store = place.open().await;
    let row = |settings: &str| ProfileRow { name: "web".to_owned(), settings: settings.to_owned(), retired_at: None };
    let conflict = |outcome| assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{outcome:?}");
    let later = THEN.plus_secs(1);
    store.create_profile(&row("{}"), THEN).await.unwrap();
    store.create_profile(&ProfileRow { name: "other".to_owned(), ..row("{}") }, THEN).await.unwrap();
    conflict(store.delete_profile("web", later).await);
    conflict(store.retire_profile("web", None).await);
    conflict(store.retire_profile("nobody", Some(THEN)).await);

    let version = store.profiles_version().await.unwrap();
    store.retire_profile("web", Some(THEN)).await.unwrap();
    assert!(store.profiles_version().await.unwrap() > version, "other signers hear of it");
    let retired: Vec<_> = store.profiles().await.unwrap().into_iter().map(|row| (row.name, row.retired_at)).collect();
    assert_eq!(retired, [("other".to_owned(), None), ("web".to_owned(), Some(THEN))]);
    conflict(store.retire_profile("web", Some(later)).await);
    conflict(store.edit_profile(&row("{\"a\":1}"), later).await);

    // Retired too late, or with a key that the HSM may have.
    conflict(store.delete_profile("web", Timestamp::from_millis(THEN.as_millis() - 1)).await);
    let key = key(1, "web");
    published(&store, &key).await;
    conflict(store.delete_profile("web", THEN).await);
    store.apply(&[change(&key, State::Published, State::Retired)], &Guard::None).await.unwrap();
    conflict(store.delete_profile("web", THEN).await);
    let destroyed = Change { id: key.id, from: State::Retired, to: State::Destroyed, set: vec![(Mark::Destroyed, Some(THEN))] };
    store.apply(&[destroyed], &Guard::None).await.unwrap();

    // In use again, it stays.
    store.retire_profile("web", None).await.unwrap();
    conflict(store.delete_profile("web", later).await);
    store.edit_profile(&row("{\"a\":1}"), later).await.unwrap();
    store.retire_profile("web", Some(THEN)).await.unwrap();
    store.delete_profile("web", THEN).await.unwrap();
    conflict(store.delete_profile("web", THEN).await);
    assert_eq!(store.profiles().await.unwrap().len(), 1);
    assert_eq!(states(&store).await, [State::Destroyed], "what the key was is still told");
}

pub(super) async fn an_invitation_leaves_the_policy_that_it_does_not_give(place: Place) {
    let store = place.open().await;
    let invite = async |terms: Terms<'_>, code: &str| store.invite("shop", terms, code, THEN, THEN.plus_secs(60)).await;
    let policy = async || store.agents().await.unwrap().remove(0).policy;
    let gone = invite(Terms::Kept, "first").await;
    assert!(matches!(gone, Err(StoreError::Conflict(_))), "{gone:?}");
    assert!(store.agents().await.unwrap().is_empty() && store.use_invitation("first", THEN).await.unwrap().is_none());

    store.create_agent("shop", "wide", THEN).await.unwrap();
    store.revoke_agent("shop", THEN).await.unwrap();
    // Since somebody looked at it.
    store.edit_agent("shop", "narrow").await.unwrap();
    invite(Terms::Kept, "second").await.unwrap();
    assert_eq!(policy().await.as_deref(), Some("narrow"));
    assert_eq!(store.agents().await.unwrap()[0].revoked_at, None, "it is let in again");
    assert!(store.use_invitation("second", THEN).await.unwrap().is_some());
    invite(Terms::Given("another"), "third").await.unwrap();
    assert_eq!(policy().await.as_deref(), Some("another"));
    invite(Terms::Configured, "fourth").await.unwrap();
    assert_eq!(policy().await, None);
}

pub(super) async fn a_deleted_agent_does_not_come_back(place: Place) {
    let store = place.open().await;
    let certificate = |fingerprint: &str| AgentCertificate {
        fingerprint: fingerprint.to_owned(),
        agent: "shop".to_owned(),
        issued_at: THEN,
        not_after: THEN.plus_secs(60),
        revoked_at: None,
    };
    store.create_agent("shop", "{}", THEN).await.unwrap();
    let invited = async |code: &str| {
        store.invite("shop", Terms::Given("{}"), code, THEN, THEN.plus_secs(60)).await.unwrap();
        store.use_invitation(code, THEN).await.unwrap().unwrap();
    };
    let refused = store.insert_agent_certificate(&certificate("one"), Grant::Invitation("first")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "without an invitation: {refused:?}");
    invited("first").await;
    // Who does not know whether they used it gives back their own use alone.
    store.give_invitation_back("first", THEN.plus_secs(1)).await.unwrap();
    assert_eq!(store.use_invitation("first", THEN).await.unwrap(), None);
    store.give_invitation_back("first", THEN).await.unwrap();
    assert_eq!(store.use_invitation("first", THEN).await.unwrap().as_deref(), Some("shop"));
    store.insert_agent_certificate(&certificate("one"), Grant::Invitation("first")).await.unwrap();
    store.invite("shop", Terms::Given("{}"), "code", THEN, THEN.plus_secs(60)).await.unwrap();
    let own = Key { agent: Some("shop".to_owned()), ..key(1, "web") };
    published(&store, &own).await;
    let asked = async |agent: &str, jwt_id: &str| {
        let request = Repeatable { body: "body".to_owned(), jwt_id: jwt_id.to_owned(), at: THEN };
        store.repeatable(agent, "key", &request, THEN.plus_secs(60)).await.unwrap().jwt_id
    };
    assert_eq!((asked("shop", "its").await, asked("desk", "its").await), ("its".to_owned(), "its".to_owned()));
    let refused = store.delete_agent("shop", THEN).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.agent_certificates(THEN).await.unwrap()[0].revoked_at, None, "nothing of it was done");

    store.apply(&[change(&own, State::Published, State::Retired)], &Guard::None).await.unwrap();
    let version = store.agents_version().await.unwrap();
    store.delete_agent("shop", THEN).await.unwrap();
    assert!(store.agents_version().await.unwrap() > version, "other signers hear of it");
    assert_eq!((store.agents().await.unwrap(), store.use_invitation("code", THEN).await.unwrap()), (Vec::new(), None));
    for grant in [Grant::Invitation("first"), Grant::Certificate("one")] {
        let refused = store.insert_agent_certificate(&certificate("two"), grant).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "one that was under way: {refused:?}");
    }

    // Another one of its name has certificates and requests of its own, and shows nothing else.
    assert_eq!(store.barred_agents().await.unwrap(), BTreeSet::from(["shop".to_owned()]));
    assert_eq!((asked("shop", "new").await, asked("desk", "new").await), ("new".to_owned(), "its".to_owned()));
    store.create_agent("shop", "{}", THEN).await.unwrap();
    invited("second").await;
    for grant in [Grant::Invitation("first"), Grant::Certificate("one")] {
        let refused = store.insert_agent_certificate(&certificate("two"), grant).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "one that is still under way: {refused:?}");
    }
    store.insert_agent_certificate(&certificate("three"), Grant::Invitation("second")).await.unwrap();
    let mut known = store.agent_certificates(THEN).await.unwrap();
    known.sort_by(|one, other| one.fingerprint.cmp(&other.fingerprint));
    let known: Vec<_> = known.iter().map(|row| (row.fingerprint.as_str(), row.revoked_at)).collect();
    assert_eq!(known, [("one", Some(THEN)), ("three", None)]);
    let renewed = AgentCertificate { not_after: THEN.plus_secs(90), ..certificate("four") };
    store.insert_agent_certificate(&renewed, Grant::Certificate("three")).await.unwrap();
    assert_eq!(store.forget_agent_certificates(THEN.plus_secs(60)).await.unwrap(), 2);
    assert_eq!(store.agent_certificates(THEN).await.unwrap().len(), 1, "what has not ended stays");
    store.delete_agent("shop", THEN).await.unwrap();
    store.revoke_agent("desk", THEN).await.unwrap();
    assert_eq!(store.barred_agents().await.unwrap(), BTreeSet::from(["desk".to_owned(), "shop".to_owned()]));
}
