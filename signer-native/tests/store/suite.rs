mod commits;
mod endings;

use std::{os::unix::fs::PermissionsExt as _, slice::from_ref, time::Duration};

use self::commits::the_end_of_a_chain;
use self::endings::{
    a_deleted_agent_does_not_come_back, a_profile_ends_when_it_is_retired_and_keyless,
    an_invitation_leaves_the_policy_that_it_does_not_give,
};
use edgeseal_core::{Algorithm, Timestamp};
use edgeseal_signer::{
    audit::{AuditFilter, AuditRow},
    hsm::KeyId,
    keys::{Change, Key, Mark, Origin, Published, Purpose, State},
    revocation::{Entry, Kind},
    store::{
        Acknowledgement, Approval, Ceremony, Decision, EdgeRow, Guard, PasskeyRow, PostgresSettings, Registration, SessionRow,
        Store, StoreError, StoreSettings, UserRow,
    },
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::postgres;

/// An empty store on one of the two, which can be opened again.
#[derive(Debug)]
struct Place {
    settings: StoreSettings,
    _folder: Option<TempDir>,
}

impl Place {
    async fn open(&self) -> Store {
        Store::open(&self.settings).await.unwrap()
    }
}

fn sqlite(_: &str) -> Place {
    let folder = tempfile::tempdir().unwrap();
    Place { settings: StoreSettings::Sqlite(folder.path().join("store.db")), _folder: Some(folder) }
}

fn postgres(name: &str) -> Place {
    let url = postgres::shared().database(name);
    let password = Some(Zeroizing::new(postgres::PASSWORD.to_owned()));
    Place { settings: StoreSettings::Postgres(PostgresSettings { url, password }), _folder: None }
}

/// Each test twice.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::sqlite(stringify!($name))).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::postgres(stringify!($name))).await; })*
        }
    };
}

on_both!(
    rows_survive_a_reopening,
    changes_are_all_or_none,
    one_active_key_per_slot,
    the_longest_lifetime_only_grows,
    an_import_that_failed_may_be_tried_again,
    a_kid_belongs_to_one_key,
    a_set_does_not_grow_beyond_its_limit,
    audit_rows_are_appended_once,
    audit_pages,
    the_end_of_a_chain,
    a_search_goes_on_where_it_ended,
    checkpoints_in_order,
    a_lease_has_one_holder,
    a_leader_that_lost_its_lease_writes_nothing,
    the_proposer_never_approves,
    writers_at_the_same_time,
    codes_of_people,
    an_administrator_is_left,
    sessions_and_ceremonies,
    a_revocation_only_gets_longer,
    a_compromise_is_on_the_list_or_did_not_happen,
    sequences_of_an_edge_rise_and_see_no_less,
    an_edge_that_was_told_and_one_that_was_not,
    a_profile_ends_when_it_is_retired_and_keyless,
    an_invitation_leaves_the_policy_that_it_does_not_give,
    a_deleted_agent_does_not_come_back,
);

const THEN: Timestamp = Timestamp::from_millis(1_760_000_000_456);

fn key(number: u8, profile: &str) -> Key {
    Key {
        issuer: "tenant".to_owned(),
        profile: profile.to_owned(),
        rsa_bits: 3_072,
        max_lifetime: 600,
        ..Key::generating(
            KeyId::from_hex(&format!("{number:032x}")).unwrap(),
            Purpose::Token,
            Algorithm::Ps384,
            Timestamp::from_millis(1_750_000_000_123 + u64::from(number)),
        )
    }
}

fn change(key: &Key, from: State, to: State) -> Change {
    let mark = match to {
        State::Published => Mark::Published,
        State::Active => Mark::Activated,
        State::Retiring => Mark::Demoted,
        _ => Mark::Retired,
    };
    Change { id: key.id, from, to, set: vec![(mark, Some(THEN))] }
}

async fn published(store: &Store, key: &Key) {
    let published = Published { kid: format!("kid-{}", key.id), jwk: "{}".to_owned() };
    store.insert_key(key, &Guard::None).await.unwrap();
    let change = change(key, State::Generating, State::Published);
    assert!(store.publish(&change, &published, Origin::Generated, |_| true).await.unwrap());
}

async fn states(store: &Store) -> Vec<State> {
    store.keys().await.unwrap().iter().map(|key| key.state).collect()
}

async fn rows_survive_a_reopening(place: Place) {
    let written = Key { agent: Some("shop".to_owned()), not_after: Some(THEN), ..key(1, "default") };
    let store = place.open().await;
    store.insert_key(&written, &Guard::None).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), from_ref(&written));
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.keys().await.unwrap(), from_ref(&written));
    // Every moment has its column, and can be taken back.
    let marks = [
        Mark::Published,
        Mark::Activated,
        Mark::Suspended,
        Mark::Demoted,
        Mark::Retired,
        Mark::Destroy,
        Mark::Destroyed,
        Mark::Compromised,
    ];
    let set = marks.iter().map(|mark| (*mark, Some(THEN))).collect();
    let all = Change { id: written.id, from: State::Generating, to: State::Failed, set };
    store.apply(from_ref(&all), &Guard::None).await.unwrap();
    let at = Some(THEN);
    let everything = Key {
        state: State::Failed,
        published_at: at,
        activated_at: at,
        suspended_at: at,
        demoted_at: at,
        retired_at: at,
        destroy_at: at,
        destroyed_at: at,
        compromised_at: at,
        ..written.clone()
    };
    assert_eq!(store.keys().await.unwrap(), from_ref(&everything));
    let set = marks.iter().map(|mark| (*mark, None)).collect();
    let none = Change { id: written.id, from: State::Failed, to: State::Generating, set };
    store.apply(from_ref(&none), &Guard::None).await.unwrap();
    assert_eq!(store.keys().await.unwrap(), from_ref(&written));
    if let StoreSettings::Sqlite(path) = &place.settings {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

async fn changes_are_all_or_none(place: Place) {
    let store = place.open().await;
    let (old, new) = (key(1, "default"), key(2, "default"));
    published(&store, &old).await;
    published(&store, &new).await;
    store.apply(&[change(&old, State::Published, State::Active)], &Guard::None).await.unwrap();
    // The second change does not hold, so neither is written.
    let changes = [change(&old, State::Active, State::Retiring), change(&new, State::Active, State::Retired)];
    assert!(matches!(store.apply(&changes, &Guard::None).await, Err(StoreError::Conflict(_))));
    assert_eq!(states(&store).await, [State::Active, State::Published]);
    let changes = [change(&old, State::Active, State::Retiring), change(&new, State::Published, State::Active)];
    store.apply(&changes, &Guard::None).await.unwrap();
    let keys = store.keys().await.unwrap();
    assert_eq!((keys[0].demoted_at, keys[0].activated_at), (Some(THEN), Some(THEN)));
    assert_eq!(keys[1].kid(), Some(format!("kid-{}", new.id).as_str()));
}

async fn one_active_key_per_slot(place: Place) {
    let store = place.open().await;
    let of_agent = |number, agent: &str| Key { agent: Some(agent.to_owned()), ..key(number, "default") };
    let audit = Key { purpose: Purpose::Audit, profile: String::new(), ..key(6, "") };
    let keys = [key(1, "default"), key(2, "default"), key(3, "rs256"), of_agent(4, "shop"), of_agent(5, "desk"), audit];
    for key in &keys {
        published(&store, key).await;
    }
    let activate = async |index: usize| store.apply(&[change(&keys[index], State::Published, State::Active)], &Guard::None).await;
    for index in [0, 2, 3, 4, 5] {
        activate(index).await.unwrap();
    }
    assert!(matches!(activate(1).await, Err(StoreError::Conflict(_))));
}

async fn the_longest_lifetime_only_grows(place: Place) {
    let store = place.open().await;
    let key = key(1, "default");
    store.insert_key(&key, &Guard::None).await.unwrap();
    for seconds in [3_600, 60] {
        store.allow_lifetime(key.id, seconds).await.unwrap();
        assert_eq!(store.keys().await.unwrap()[0].max_lifetime, 3_600);
    }
}

async fn an_import_that_failed_may_be_tried_again(place: Place) {
    let store = place.open().await;
    let imported = Key { origin: Origin::Imported, ..key(1, "default") };
    for (key, again) in [(imported, true), (key(2, "default"), false)] {
        store.insert_key(&key, &Guard::None).await.unwrap();
        assert!(store.insert_key(&key, &Guard::None).await.is_err(), "under way");
        store.apply(&[change(&key, State::Generating, State::Failed)], &Guard::None).await.unwrap();
        assert_eq!(store.insert_key(&key, &Guard::None).await.is_ok(), again, "{key:?}");
    }
    assert_eq!(states(&store).await, [State::Generating, State::Failed]);
}

async fn a_kid_belongs_to_one_key(place: Place) {
    let store = place.open().await;
    let (one, two) = (key(1, "default"), key(2, "default"));
    published(&store, &one).await;
    store.insert_key(&two, &Guard::None).await.unwrap();
    let taken = Published { kid: format!("kid-{}", one.id), jwk: "{}".to_owned() };
    let refused = store.publish(&change(&two, State::Generating, State::Published), &taken, Origin::Imported, |_| true).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(states(&store).await, [State::Published, State::Generating]);
}

async fn a_set_does_not_grow_beyond_its_limit(place: Place) {
    let mut processes = Vec::new();
    for number in 1..=6 {
        let (store, key) = (place.open().await, key(number, "default"));
        store.insert_key(&key, &Guard::None).await.unwrap();
        processes.push((store, key));
    }
    let publishing = processes.iter().map(async |(store, key)| {
        let published = Published { kid: format!("kid-{}", key.id), jwk: "{}".to_owned() };
        let fits = |keys: &[Key]| keys.iter().filter(|key| key.state == State::Published).count() < 3;
        store.publish(&change(key, State::Generating, State::Published), &published, Origin::Generated, fits).await.unwrap()
    });
    let published = futures_util::future::join_all(publishing).await;
    assert_eq!(published.iter().filter(|published| **published).count(), 3, "{published:?}");
    assert_eq!(states(&processes[0].0).await.iter().filter(|state| **state == State::Published).count(), 3);
}

fn row(chain: &str, seq: u64) -> AuditRow {
    AuditRow {
        chain: chain.to_owned(),
        seq,
        hash: format!("hash-{chain}-{seq}"),
        digest: (seq % 2 == 1).then(|| format!("digest-{seq}")),
        at: Timestamp::from_millis(1_000 * seq),
        body: format!("{{\"seq\":{seq}, \"text\":\"ä \\u0000 '\"}}"),
    }
}

async fn audit_rows_are_appended_once(place: Place) {
    let store = place.open().await;
    assert_eq!(store.audit_tails().await.unwrap(), []);
    store.append_audit(vec![row("a", 1), row("a", 2), row("b", 1)]).await.unwrap();
    // The last row is there already, so none is written.
    let refused = store.append_audit(vec![row("a", 3), row("a", 4), row("a", 2)]).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    store.append_audit(Vec::new()).await.unwrap();
    let tails = store.audit_tails().await.unwrap();
    assert_eq!(tails, [("a".to_owned(), 2, "hash-a-2".to_owned()), ("b".to_owned(), 1, "hash-b-1".to_owned())]);
    assert_eq!(store.audit_by_digest("digest-1").await.unwrap(), [row("a", 1), row("b", 1)]);
    assert_eq!(store.audit_by_digest("digest-0").await.unwrap(), []);
    // Found in every block of the index, the last one included.
    let far: Vec<AuditRow> = (3..4_100).map(|seq| row("a", seq)).collect();
    for rows in far.chunks(500) {
        store.append_audit(rows.to_vec()).await.unwrap();
    }
    for seq in [2_047, 2_049, 4_095, 4_097, 4_099] {
        assert_eq!(store.audit_by_digest(&format!("digest-{seq}")).await.unwrap(), [row("a", seq)]);
    }
    let browse = async |filter: AuditFilter| store.audit_browse(&filter, 10, Duration::MAX).await.unwrap().0;
    let about = |seq: u64| AuditFilter { digest: Some(format!("digest-{seq}")), ..AuditFilter::default() };
    assert_eq!(browse(about(1)).await, [row("b", 1), row("a", 1)]);
    assert_eq!(browse(AuditFilter { before: Some(row("b", 1).place()), ..about(1) }).await, [row("a", 1)]);
    assert_eq!(browse(AuditFilter { from: Some(Timestamp::from_millis(1_001)), ..about(1) }).await, []);
    assert_eq!(browse(AuditFilter { to: Some(Timestamp::from_millis(1_000)), ..about(1) }).await, []);
    assert_eq!(browse(about(4_099)).await, [row("a", 4_099)]);
    for (until, last) in
        [(500, None), (1_000, Some(1_000)), (2_999, Some(2_000)), (9_999_999, Some(4_099_000)), (u64::MAX, Some(4_099_000))]
    {
        let written = store.audit_written_by(Timestamp::from_millis(until)).await.unwrap();
        assert_eq!(written, last.map(Timestamp::from_millis), "{until}");
    }
}

async fn audit_pages(place: Place) {
    let store = place.open().await;
    let rows: Vec<AuditRow> = (0..777).map(|seq| row("a", seq)).collect();
    store.append_audit(rows.clone()).await.unwrap();
    store.append_audit(vec![row("b", 0)]).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.audit_page("a", after, 100).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 100);
        after = Some(last.seq);
        found.extend(page);
    }
    assert_eq!(found, rows);
}

async fn a_search_goes_on_where_it_ended(place: Place) {
    let store = place.open().await;
    let rows = |from: u64, to: u64| (from..to).map(|seq| row("a", seq)).collect::<Vec<AuditRow>>();
    let wanted = |seq: u64| AuditRow { body: r#"{"action":"keys.generate","subject":"one"}"#.to_owned(), ..row("a", seq) };
    store.append_audit([rows(1, 7), vec![wanted(7), wanted(8)]].concat()).await.unwrap();
    for from in (9..21_009).step_by(500) {
        store.append_audit(rows(from, from + 500)).await.unwrap();
    }
    let filter = AuditFilter { subject: Some("one".to_owned()), ..AuditFilter::default() };
    // Whoever has the time finds it at once.
    let (found, next) = store.audit_browse(&filter, 10, Duration::MAX).await.unwrap();
    assert_eq!((found, next), (vec![wanted(8), wanted(7)], None));
    assert_eq!(store.audit_browse(&filter, 1, Duration::MAX).await.unwrap(), (vec![wanted(8)], Some(wanted(8).place())));
    // Whoever has none looks at so many rows for each answer.
    let mut filter = filter;
    for _ in 0..2 {
        let (found, next) = store.audit_browse(&filter, 10, Duration::ZERO).await.unwrap();
        assert_eq!(found, []);
        assert!(next.is_some() && next != filter.before, "{next:?}");
        filter.before = next;
    }
    assert_eq!(store.audit_browse(&filter, 10, Duration::ZERO).await.unwrap(), (vec![wanted(8), wanted(7)], None));
    // From the other end, as of a moment that is known.
    let since = AuditFilter { from: Some(wanted(7).at), before: None, ..filter };
    assert_eq!(store.audit_earliest(&since, 10).await.unwrap(), [wanted(7), wanted(8)]);
    assert_eq!(store.audit_earliest(&since, 1).await.unwrap(), [wanted(7)]);
    assert_eq!(store.audit_earliest(&AuditFilter { to: Some(wanted(7).at), ..since }, 10).await.unwrap(), []);
}

async fn checkpoints_in_order(place: Place) {
    let store = place.open().await;
    for id in [0, 1, 2] {
        store.append_checkpoint(id, &format!("document {id}"), &[]).await.unwrap();
    }
    assert_eq!(store.last_checkpoint().await.unwrap(), Some((2, "document 2".to_owned())));
    store.append_audit(vec![row("a", 1), row("a", 2), row("b", 1)]).await.unwrap();
    let stated = [("a".to_owned(), 2)];
    let refused = store.append_checkpoint(1, "another", &stated).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(store.audit_tails().await.unwrap().len(), 2, "what was refused states nothing");
    store.append_checkpoint(3, "document 3", &stated).await.unwrap();
    assert_eq!(store.audit_tails().await.unwrap(), [("b".to_owned(), 1, "hash-b-1".to_owned())]);
    store.append_audit(vec![row("a", 3)]).await.unwrap();
    assert_eq!(store.audit_tails().await.unwrap().len(), 2);
    assert_eq!(store.checkpoints(None, 2).await.unwrap(), [(0, "document 0".to_owned()), (1, "document 1".to_owned())]);
    assert_eq!(store.checkpoints(Some(1), 1).await.unwrap(), [(2, "document 2".to_owned())]);
}

async fn a_lease_has_one_holder(place: Place) {
    let store = place.open().await;
    let at = Timestamp::from_secs;
    let first = store.take_lease("rotation", "one", at(100), at(110)).await.unwrap().unwrap();
    assert_eq!(first.number, 1);
    assert_eq!(store.take_lease("rotation", "two", at(105), at(115)).await.unwrap(), None);
    // Its holder holds on to it under the same number.
    assert_eq!(store.take_lease("rotation", "one", at(105), at(115)).await.unwrap(), Some(first.clone()));
    assert_eq!(store.take_lease("rotation", "two", at(114), at(124)).await.unwrap(), None);
    let second = store.take_lease("rotation", "two", at(115), at(125)).await.unwrap().unwrap();
    assert_eq!(second.number, 2);
    // What the first one gives back is not its own any more.
    store.give_lease_back(&first).await.unwrap();
    assert_eq!(store.take_lease("rotation", "one", at(116), at(126)).await.unwrap(), None);
    store.give_lease_back(&second).await.unwrap();
    assert_eq!(store.take_lease("rotation", "one", at(117), at(127)).await.unwrap().unwrap().number, 3);
    assert_eq!(store.take_lease("checkpoint", "two", at(117), at(127)).await.unwrap().unwrap().number, 1);
    // One whose clock is a day ahead holds nobody up.
    store.take_lease("ahead", "one", at(86_400), at(86_410)).await.unwrap().unwrap();
    assert_eq!(store.take_lease("ahead", "two", at(100), at(110)).await.unwrap().unwrap().number, 2);
}

async fn a_leader_that_lost_its_lease_writes_nothing(place: Place) {
    let store = place.open().await;
    let at = Timestamp::from_secs;
    let key_of = key(1, "default");
    published(&store, &key_of).await;
    let activate = [change(&key_of, State::Published, State::Active)];
    let slow = store.take_lease("rotation", "slow", at(100), at(110)).await.unwrap().unwrap();
    store.take_lease("rotation", "fast", at(110), at(120)).await.unwrap().unwrap();
    let refused = store.apply(&activate, &Guard::Fence(slow.clone())).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert!(store.insert_key(&key(2, "default"), &Guard::Fence(slow.clone())).await.is_err());
    assert_eq!(states(&store).await, [State::Published]);
    // Even if it gets the lease again, the old number is worth nothing.
    let again = store.take_lease("rotation", "slow", at(120), at(130)).await.unwrap().unwrap();
    assert!(store.apply(&activate, &Guard::Fence(slow)).await.is_err());
    store.apply(&activate, &Guard::Fence(again)).await.unwrap();
    assert_eq!(states(&store).await, [State::Active]);
}

async fn the_proposer_never_approves(place: Place) {
    let store = place.open().await;
    let at = Timestamp::from_secs;
    let key_of = key(1, "default");
    published(&store, &key_of).await;
    let proposal = |id: &str, proposed: u64| Approval {
        id: id.to_owned(),
        action: "keys.schedule_destroy".to_owned(),
        subject: "kid".to_owned(),
        detail: "{}".to_owned(),
        proposer: "alice".to_owned(),
        proposed_at: at(proposed),
        expires_at: at(proposed + 100),
        decided: None,
    };
    let guard =
        |id: &str, approver: &str, now: u64| Guard::Approval { id: id.to_owned(), approver: approver.to_owned(), at: at(now) };
    let change = [change(&key_of, State::Published, State::Retired)];
    store.propose(&proposal("one", 100)).await.unwrap();
    assert!(matches!(store.propose(&proposal("two", 199)).await, Err(StoreError::Conflict(_))), "one is open");
    for refused in [guard("one", "alice", 150), guard("one", "bob", 200), guard("none", "bob", 150)] {
        assert!(matches!(store.apply(&change, &refused).await, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    assert_eq!(states(&store).await, [State::Published]);
    // It lapsed, so another takes its place; its proposer may withdraw that.
    store.propose(&proposal("two", 200)).await.unwrap();
    store.withdraw("two", "alice", at(201)).await.unwrap();
    assert!(store.apply(&change, &guard("two", "bob", 202)).await.is_err());
    store.propose(&proposal("three", 203)).await.unwrap();
    store.apply(&change, &guard("three", "bob", 204)).await.unwrap();
    assert_eq!(states(&store).await, [State::Retired]);
    let decided: Vec<Option<Decision>> =
        store.approvals().await.unwrap().iter().map(|approval| approval.decided.as_ref().map(|decided| decided.0)).collect();
    assert_eq!(decided, [Some(Decision::Lapsed), Some(Decision::Withdrawn), Some(Decision::Approved)]);
    // An approval counts once.
    assert!(store.apply(&change, &guard("three", "carol", 205)).await.is_err());
}

/// Two processes at one store: every step is taken once, and nobody fails but for having come second.
async fn writers_at_the_same_time(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    for number in 0..20 {
        let key_of = key(number, &format!("profile-{number}"));
        published(&one, &key_of).await;
        let change = [change(&key_of, State::Published, State::Active)];
        let rows = |chain: &str| vec![row(chain, u64::from(number))];
        let (first, second, third, fourth) = tokio::join!(
            one.apply(&change, &Guard::None),
            two.apply(&change, &Guard::None),
            one.append_audit(rows("one")),
            two.append_audit(rows("two")),
        );
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(first.and(second), Err(StoreError::Conflict(_))));
        third.unwrap();
        fourth.unwrap();
    }
    let at = Timestamp::from_secs;
    let (first, second) =
        tokio::join!(one.take_lease("rotation", "one", at(100), at(110)), two.take_lease("rotation", "two", at(100), at(110)));
    assert!(first.unwrap().is_some() != second.unwrap().is_some());
}

fn user(name: &str, role: &str) -> UserRow {
    UserRow {
        name: name.to_owned(),
        display_name: name.to_uppercase(),
        role: role.to_owned(),
        handle: format!("handle of {name}"),
        created_at: Timestamp::from_secs(100),
        disabled_at: None,
        last_login_at: None,
    }
}

fn session(id: &str, person: &str, at: u64) -> SessionRow {
    SessionRow {
        id: id.to_owned(),
        reference: format!("reference of {id}"),
        person: person.to_owned(),
        via: "passkey".to_owned(),
        address: "127.0.0.1".to_owned(),
        user_agent: String::new(),
        created_at: Timestamp::from_secs(at),
        seen_at: Timestamp::from_secs(at),
        proved_at: Some(Timestamp::from_secs(at)),
    }
}

fn registration(person: &str, passkey: &str, code: Option<&str>, at: u64) -> Registration {
    Registration {
        passkey: PasskeyRow {
            id: passkey.to_owned(),
            person: person.to_owned(),
            label: "a key".to_owned(),
            transports: 3,
            public_key: "AA".to_owned(),
            state: "BB".to_owned(),
            backed_up: true,
            created_at: Timestamp::from_secs(at),
            last_used_at: None,
        },
        code: code.map(str::to_owned),
        user: None,
        recovery_codes: vec![format!("one of {person}"), format!("two of {person}")],
        session: session(&format!("session by {passkey}"), person, at),
        ends: None,
    }
}

/// Set-up, invitation, new beginning: a code is good once and in time, and does all of it or nothing.
async fn codes_of_people(place: Place) {
    let (store, at) = (place.open().await, Timestamp::from_secs);
    store.insert_person_code("early", "setup", None, at(90), at(190)).await.unwrap();
    store.insert_person_code("setup", "setup", None, at(100), at(200)).await.unwrap();
    assert_eq!(store.person_code("early", at(101)).await.unwrap(), None, "the later code takes its place");
    let open = store.person_code("setup", at(199)).await.unwrap().unwrap();
    assert_eq!((open.kind.as_str(), open.person, open.expires_at), ("setup", None, at(200)));
    let first = |at| Registration { user: Some(user("alice", "administrator")), ..registration("alice", "a", Some("setup"), at) };
    assert!(matches!(store.register(&first(200)).await, Err(StoreError::Conflict(_))), "too late");
    assert!(store.users().await.unwrap().is_empty(), "nothing was left behind");
    let other = place.open().await;
    let second = Registration { user: Some(user("eve", "administrator")), ..registration("eve", "e", Some("setup"), 150) };
    let first = first(150);
    let (one, two) = tokio::join!(store.register(&first), other.register(&second));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let users = store.users().await.unwrap();
    let admin = users[0].name.clone();
    assert_eq!((users.len(), users[0].last_login_at), (1, Some(at(150))));
    assert_eq!(store.user_by_handle(&users[0].handle).await.unwrap().unwrap(), users[0]);
    assert_eq!(store.recovery_codes_left().await.unwrap(), [(admin.clone(), 2)]);

    store.invite_user(&user("bob", "operator"), "invitation", at(300)).await.unwrap();
    assert!(matches!(store.invite_user(&user("bob", "auditor"), "more", at(300)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.people_with_codes(at(201)).await.unwrap(), ["bob"]);
    let stolen = store.register(&registration(&admin, "stolen", Some("invitation"), 210)).await;
    assert!(matches!(stolen, Err(StoreError::Conflict(_))), "bob's invitation is bob's");
    store.register(&registration("bob", "b", Some("invitation"), 210)).await.unwrap();
    assert!(store.register(&registration("bob", "b2", Some("invitation"), 211)).await.is_err(), "once");
    assert!(store.people_with_codes(at(212)).await.unwrap().is_empty());

    store.insert_person_code("reset", "reset", Some("bob"), at(220), at(320)).await.unwrap();
    assert!(store.session("session by b").await.unwrap().is_some(), "a code alone changes nothing");
    store.register(&registration("bob", "c", Some("reset"), 230)).await.unwrap();
    let left: Vec<String> = store.passkeys(Some("bob")).await.unwrap().into_iter().map(|passkey| passkey.id).collect();
    assert_eq!(left, ["c"], "what was lost opens nothing any more");
    assert_eq!(store.session("session by b").await.unwrap(), None);

    // Disabled: neither code nor passkey makes a session.
    store.insert_person_code("late", "reset", Some("bob"), at(240), at(340)).await.unwrap();
    store.disable_user("bob", at(241)).await.unwrap();
    assert_eq!(store.person_code("late", at(242)).await.unwrap(), None);
    assert!(store.begin_session(&session("x", "bob", 243), None).await.is_err());
    assert!(store.recover("one of bob", &session("y", "bob", 243)).await.is_err());
    assert_eq!(store.session("session by c").await.unwrap(), None);
    store.enable_user("bob", at(150)).await.unwrap();
    let (first, second) = (session("z", "bob", 244), session("zz", "bob", 244));
    let (one, two) = tokio::join!(store.recover("one of bob", &first), other.recover("one of bob", &second));
    assert!(one.is_ok() != two.is_ok(), "a recovery code is good once: {one:?} {two:?}");
    let recovered = if one.is_ok() { "z" } else { "zz" };
    assert!(store.recover("two of bob", &session("w", &admin, 245)).await.is_err(), "and its owner's alone");
    store.set_recovery_codes("bob", &["three".to_owned()]).await.unwrap();
    assert!(store.recover("two of bob", &session("v", "bob", 246)).await.is_err());

    // Without a code it is a session that allows a passkey: one, and while it is there.
    let by_session =
        |passkey: &str, ends: &str| Registration { ends: Some(ends.to_owned()), ..registration("bob", passkey, None, 247) };
    let (first, second) = (by_session("d", recovered), by_session("dd", recovered));
    let (one, two) = tokio::join!(store.register(&first), other.register(&second));
    assert!(one.is_ok() != two.is_ok(), "a recovery session is good once: {one:?} {two:?}");
    assert_eq!(store.passkeys(Some("bob")).await.unwrap().len(), 2, "what was refused left nothing");
    store.end_sessions("bob", None).await.unwrap();
    let late = by_session("e", if one.is_ok() { "session by d" } else { "session by dd" });
    assert!(matches!(store.register(&late).await, Err(StoreError::Conflict(_))), "the session has ended");
    assert!(store.sessions(Some("bob"), at(0), at(0)).await.unwrap().is_empty());
}

/// Nobody locks everybody out, alone or together.
async fn an_administrator_is_left(place: Place) {
    let (store, at) = (place.open().await, Timestamp::from_secs);
    store.invite_user(&user("nobody-yet", "administrator"), "code", at(300)).await.unwrap();
    store.set_role("nobody-yet", "auditor", at(150)).await.unwrap();
    store.set_role("nobody-yet", "administrator", at(150)).await.unwrap();
    for name in ["alice", "bob"] {
        store.insert_person_code(name, "setup", None, at(100), at(200)).await.unwrap();
        let user = Some(user(name, "administrator"));
        store.register(&Registration { user, ..registration(name, name, Some(name), 150) }).await.unwrap();
    }
    let other = place.open().await;
    let (one, two) = tokio::join!(store.set_role("alice", "auditor", at(160)), other.disable_user("bob", at(160)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let able = store.users().await.unwrap();
    let able = able.iter().filter(|user| user.role == "administrator" && user.disabled_at.is_none() && user.name != "nobody-yet");
    assert_eq!(able.count(), 1);
    // The last passkey stays, too.
    store.register(&registration("alice", "second", None, 170)).await.unwrap();
    let (one, two) = tokio::join!(store.delete_passkey("alice", "alice"), other.delete_passkey("alice", "second"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert!(store.delete_passkey("bob", "second").await.is_err(), "another one's");
}

async fn sessions_and_ceremonies(place: Place) {
    let (store, at) = (place.open().await, Timestamp::from_secs);
    store.insert_person_code("setup", "setup", None, at(100), at(200)).await.unwrap();
    let alice = Registration { user: Some(user("alice", "administrator")), ..registration("alice", "a", Some("setup"), 150) };
    store.register(&alice).await.unwrap();
    let before = "session by a";
    let next = SessionRow { seen_at: at(160), ..session("next", "alice", 150) };
    store.begin_session(&next, Some(before)).await.unwrap();
    assert_eq!(store.session(before).await.unwrap(), None, "the one takes the place of the other");
    assert_eq!(store.session("next").await.unwrap().unwrap(), next);
    assert!(store.begin_session(&session("again", "alice", 161), Some(before)).await.is_err());
    assert_eq!(store.session("again").await.unwrap(), None);
    store.session_seen("next", at(170)).await.unwrap();
    store.session_seen("next", at(165)).await.unwrap();
    assert_eq!(store.session("next").await.unwrap().unwrap().seen_at, at(170), "time goes one way");
    store.begin_session(&session("other", "alice", 171), None).await.unwrap();
    let listed = store.sessions(Some("alice"), at(100), at(100)).await.unwrap();
    assert_eq!(listed.iter().map(|session| session.id.as_str()).collect::<Vec<_>>(), ["other", "next"]);
    assert_eq!(store.sessions(None, at(170), at(100)).await.unwrap().len(), 1);
    assert_eq!(store.sessions(None, at(100), at(150)).await.unwrap().len(), 1);
    assert_eq!(store.end_sessions("bob", Some("reference of next")).await.unwrap(), 0);
    assert_eq!(store.end_sessions("alice", Some("reference of next")).await.unwrap(), 1);
    assert_eq!(store.session("next").await.unwrap(), None);

    let ceremony = Ceremony {
        id: "c".to_owned(),
        kind: "login".to_owned(),
        person: None,
        code: Some("code".to_owned()),
        detail: "{}".to_owned(),
        state: "AA".to_owned(),
        expires_at: at(300),
    };
    store.begin_ceremony(&ceremony).await.unwrap();
    assert_eq!(store.take_ceremony("c", "reauth", at(200)).await.unwrap(), None, "of another kind");
    assert_eq!(store.take_ceremony("c", "login", at(300)).await.unwrap(), None, "too late");
    let other = place.open().await;
    let (one, two) = tokio::join!(store.take_ceremony("c", "login", at(200)), other.take_ceremony("c", "login", at(200)));
    let taken: Vec<Ceremony> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(taken, [ceremony], "once");
    store.forget_sessions(at(400), at(400), at(100)).await.unwrap();
    assert!(store.sessions(None, at(0), at(0)).await.unwrap().is_empty());
}

#[tokio::test]
async fn mistakes_are_one_sentence() {
    let refused = Store::open(&StoreSettings::Sqlite("/nonexistent/store.db".into())).await.unwrap_err();
    assert!(refused.to_string().contains("/nonexistent/store.db"), "{refused}");
    let Place { settings: StoreSettings::Postgres(right), .. } = postgres("mistakes") else { unreachable!() };
    let with = async |url: String, password: &str| {
        let password = Some(Zeroizing::new(password.to_owned()));
        let settings = PostgresSettings { url, password };
        let shown = format!("{settings:?}");
        let refused = Store::open(&StoreSettings::Postgres(settings)).await.unwrap_err().to_string();
        assert!(!refused.contains(postgres::PASSWORD) && !shown.contains(postgres::PASSWORD), "{refused} {shown}");
        refused
    };
    let refused = with(right.url.clone(), "wrong").await;
    assert!(refused.contains("store.url, PostgreSQL at") && refused.contains("password"), "{refused}");
    let url = right.url.replace("edgeseal@", &format!("edgeseal:{}@", postgres::PASSWORD));
    let refused = with(url, "").await;
    assert!(refused.contains("it holds a password"), "{refused}");
    let refused = with(format!("{}&password={}", right.url, postgres::PASSWORD), "").await;
    assert!(refused.contains("it holds a password"), "{refused}");
    let refused = with("postgres://edgeseal@127.0.0.1:1/none".to_owned(), "").await;
    assert!(refused.contains("127.0.0.1:1"), "{refused}");
}

fn entry(kind: Kind, value: &str, until: u64) -> Entry {
    Entry {
        kind,
        issuer: "https://signer.example".to_owned(),
        value: value.to_owned(),
        before: (kind == Kind::Sub).then(|| THEN.plus_secs(until / 2)),
        until: THEN.plus_secs(until),
        created_at: THEN,
        actor: "local:alice".to_owned(),
    }
}

async fn a_revocation_only_gets_longer(place: Place) {
    let store = place.open().await;
    assert_eq!(store.revocations_version().await, Ok(0));
    assert_eq!(store.revoke(&entry(Kind::Sub, "alice", 200), |_| true).await, Ok(true));
    assert_eq!(store.revoke(&entry(Kind::Sub, "alice", 100), |_| true).await, Ok(true));
    assert_eq!(store.revoke(&entry(Kind::Jti, "alice", 100), |_| true).await, Ok(true));
    let listed = store.revocations(THEN).await.unwrap();
    assert_eq!(listed, [entry(Kind::Jti, "alice", 100), entry(Kind::Sub, "alice", 200)], "the earlier end changed nothing");
    assert_eq!(store.revocations_version().await, Ok(3));
    assert_eq!(store.revocations(THEN.plus_secs(100)).await.unwrap().len(), 1);
    // By issuer, and of one token.
    let found = async |issuer: &str, jti: &str, sub: &str| store.revocations_of(issuer, "kid", jti, sub).await.unwrap().len();
    assert_eq!(found("https://signer.example", "alice", "alice").await, 2);
    assert_eq!(found("https://signer.example", "x", "alice").await, 1);
    assert_eq!(found("https://other.example", "alice", "alice").await, 0);
    // PostgreSQL takes no NUL in a text; what is asked with one is not there.
    assert_eq!(found("https://signer.example", "alice", "a\0").await, 1);
    assert_eq!(store.user("a\0").await, Ok(None));
    assert_eq!(store.audit_by_digest("\0").await, Ok(Vec::new()));
    // A full list takes no more, and says so.
    assert_eq!(store.revoke(&entry(Kind::Jti, "one more", 100), |list| list.len() <= 2).await, Ok(false));
    assert_eq!((store.revocations_version().await, store.revocations(THEN).await.unwrap().len()), (Ok(3), 2));
    // What is on it already makes it no longer.
    assert_eq!(store.revoke(&entry(Kind::Jti, "alice", 150), |list| list.len() <= 2).await, Ok(true));
}

async fn a_compromise_is_on_the_list_or_did_not_happen(place: Place) {
    let store = place.open().await;
    let key = key(1, "default");
    published(&store, &key).await;
    let revoked = entry(Kind::Kid, "kid", 100);
    let change = change(&key, State::Published, State::Compromised);
    let stale = Change { from: State::Active, ..change.clone() };
    assert!(store.apply_and_revoke(&[stale], &Guard::None, Some(&revoked)).await.is_err());
    assert_eq!((states(&store).await, store.revocations(THEN).await.unwrap()), (vec![State::Published], vec![]));
    store.apply_and_revoke(&[change], &Guard::None, Some(&revoked)).await.unwrap();
    assert_eq!((states(&store).await, store.revocations(THEN).await.unwrap()), (vec![State::Compromised], vec![revoked]));
    // What it signed is revoked, whichever token it is.
    let found = async |issuer: &str, kid: &str| store.revocations_of(issuer, kid, "jti", "sub").await.unwrap().len();
    assert_eq!((found("https://signer.example", "kid").await, found("https://signer.example", "other").await), (1, 0));
    assert_eq!(found("https://other.example", "kid").await, 0);
}

async fn sequences_of_an_edge_rise_and_see_no_less(place: Place) {
    let store = place.open().await;
    let fence = store.take_lease("revocations:eu", "one", THEN, THEN.plus_secs(10)).await.unwrap().unwrap();
    let writers = (0..8).map(|number: u64| {
        let (store, fence) = (store.clone(), fence.clone());
        tokio::spawn(async move {
            store.revoke(&entry(Kind::Jti, &format!("jti-{number}"), 100), |_| true).await.unwrap();
            store.next_document("eu", &fence, THEN).await.unwrap()
        })
    });
    let mut documents = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        documents.push(writer.await.unwrap());
    }
    documents.sort_by_key(|document| document.seq);
    let seqs: Vec<u64> = documents.iter().map(|document| document.seq).collect();
    let first = THEN.as_secs();
    assert_eq!(seqs, (first..first + 8).collect::<Vec<u64>>(), "each is given once");
    assert!(documents.windows(2).all(|pair| pair[0].entries.iter().all(|entry| pair[1].entries.contains(entry))));
    assert!(documents.windows(2).all(|pair| pair[0].version <= pair[1].version));
    // What has ended is in no document, and a signer that lost the lease takes no number.
    let later = store.take_lease("revocations:eu", "two", THEN.plus_secs(11), THEN.plus_secs(200)).await.unwrap().unwrap();
    assert!(matches!(store.next_document("eu", &fence, THEN).await, Err(StoreError::Conflict(_))));
    let last = store.next_document("eu", &later, THEN.plus_secs(100)).await.unwrap();
    assert_eq!((last.seq, last.entries.len()), (first + 100, 0), "beyond what a store that is restored has given out");
    // By a clock that was set it is not forgotten: only whoever believes the time has that done.
    let still = store.next_document("eu", &later, THEN).await.unwrap();
    assert_eq!((still.seq, still.entries.len()), (first + 101, 8));
    assert_eq!(store.forget_revocations(THEN.plus_secs(99)).await, Ok(0));
    assert_eq!(store.forget_revocations(THEN.plus_secs(100)).await, Ok(8));
    assert_eq!(store.next_document("eu", &later, THEN).await.unwrap().entries, []);
}

async fn an_edge_that_was_told_and_one_that_was_not(place: Place) {
    let store = place.open().await;
    let fence = store.take_lease("revocations:eu", "one", THEN, THEN.plus_secs(10)).await.unwrap().unwrap();
    store.next_document("eu", &fence, THEN).await.unwrap();
    let row = EdgeRow {
        name: "eu".to_owned(),
        seq: THEN.as_secs(),
        document_seq: THEN.as_secs(),
        version: 5,
        kid: Some("control".to_owned()),
        document: Some("a.b.c".to_owned()),
        signed_at: THEN,
        ..EdgeRow::default()
    };
    store.keep_document(&row).await.unwrap();
    assert_eq!(store.edges().await.unwrap(), from_ref(&row));
    store.push_failed("eu", "no answer", THEN.plus_secs(2)).await.unwrap();
    let failed = store.edges().await.unwrap().remove(0);
    assert_eq!((failed.attempts, failed.trouble.as_deref(), failed.next_attempt_at), (1, Some("no answer"), THEN.plus_secs(2)));
    let told = Acknowledgement { version: 5, seq: row.seq, at: THEN, reread_by: Some(THEN.plus_secs(12)), bound_by: None };
    store.acknowledge("eu", &told).await.unwrap();
    let told = store.edges().await.unwrap().remove(0);
    assert_eq!((told.acknowledged_version, told.acknowledged_seq, told.attempts, told.trouble), (5, row.seq, 0, None));
    // What stands in the way of the signing is known too, of an edge that no document was made for yet as well.
    for name in ["eu", "new"] {
        store.edge_troubled(name, "no HSM").await.unwrap();
    }
    let edges = store.edges().await.unwrap();
    assert!(edges.iter().all(|edge| edge.trouble.as_deref() == Some("no HSM")), "{edges:?}");
    assert_eq!((edges[0].acknowledged_seq, edges[1].seq), (row.seq, 0));
    let other = store.take_lease("revocations:new", "one", THEN, THEN.plus_secs(10)).await.unwrap().unwrap();
    assert_eq!(store.next_document("new", &other, THEN).await.unwrap().seq, row.seq);
    // Two documents at once: the earlier one is not kept, since the later one may have been pushed.
    store.next_document("eu", &fence, THEN).await.unwrap();
    assert!(matches!(store.keep_document(&row).await, Err(StoreError::Conflict(_))));
    // An edge that knows more than a restored store.
    let known = row.seq + 900;
    store.raise_sequence("eu", known).await.unwrap();
    assert_eq!(store.edges().await.unwrap()[0].document, None);
    assert_eq!(store.next_document("eu", &fence, THEN).await.unwrap().seq, known + 1);
}
