//! Every (state, command, time): what signing.md's table says, written down a second time.

use std::slice::from_ref;

use edgeseal_core::{Algorithm, Timestamp};
use edgeseal_signer::{
    hsm::KeyId,
    keys::{
        Command, Key, Origin, Outcome, Published, Purpose, Refusal, State, Timing, lifecycle,
        rotation::{self, Due, Slot},
    },
};

pub(crate) const TIMING: Timing =
    Timing { jwks_max_age: 300, stale_window: 3_600, lease: 10, publish_ahead: 0, dangerous_activation_delay: None };
const BEGAN: u64 = 1_000_000;
const ACTIVATION: u64 = 300 + 3_600 + 300;
const RETIREMENT: u64 = 10 + 3_600 + 300;
const WEEK: u64 = 7 * 86_400;

/// A key that came into this state at [`BEGAN`].
fn key(number: u8, state: State) -> Key {
    let began = Timestamp::from_secs(BEGAN);
    let is = |states: &[State]| states.contains(&state).then_some(began);
    Key {
        profile: "default".to_owned(),
        state,
        published_at: (!matches!(state, State::Generating | State::Failed)).then_some(began),
        activated_at: (!matches!(state, State::Generating | State::Failed | State::Published)).then_some(began),
        suspended_at: is(&[State::Suspended]),
        demoted_at: is(&[State::Retiring, State::Retired, State::DestroyScheduled, State::Destroyed]),
        retired_at: is(&[State::Retired, State::DestroyScheduled, State::Destroyed, State::Failed]),
        destroy_at: is(&[State::DestroyScheduled]).map(|at| at.plus_secs(WEEK)),
        destroyed_at: is(&[State::Destroyed]),
        compromised_at: is(&[State::Compromised]),
        max_lifetime: 3_600,
        published: Some(Published { kid: format!("kid-{number}"), jwk: "{}".to_owned() }),
        ..Key::generating(KeyId::from_hex(&format!("{number:032x}")).unwrap(), Purpose::Token, Algorithm::Es256, began)
    }
}

/// What a profile of the signer's own issuer wants.
fn slot() -> Slot {
    Slot {
        purpose: Purpose::Token,
        issuer: String::new(),
        profile: "default".to_owned(),
        agent: None,
        algorithm: Algorithm::Es256,
        rsa_bits: 0,
        max_lifetime: 3_600,
        rotate_after: None,
        publish_ahead: 0,
        valid_for: None,
    }
}

fn after(seconds: u64) -> Timestamp {
    Timestamp::from_secs(BEGAN + seconds)
}

/// When a step is allowed, counted from [`BEGAN`], and where it leads.
fn rule(state: State, command: Command) -> Option<(u64, State)> {
    use State::{Active, Compromised, DestroyScheduled, Destroyed, Failed, Generating, Published, Retired, Retiring, Suspended};
    match (command, state) {
        (Command::Activate { emergency: false }, Published) => Some((ACTIVATION, Active)),
        (Command::Retire, Retiring) => Some((RETIREMENT, Retired)),
        (Command::Suspend, Active) => Some((0, Suspended)),
        (Command::Activate { emergency: true }, Published) | (Command::Resume, Suspended) => Some((0, Active)),
        (Command::Compromise, Generating | Compromised | Failed) => None,
        (Command::Compromise, _) => Some((0, Compromised)),
        (Command::ScheduleDestroy { days: 7..=30 }, Retired | Compromised) => Some((0, DestroyScheduled)),
        (Command::Retire, Published) | (Command::CancelDestroy, DestroyScheduled) => Some((0, Retired)),
        (Command::Destroy, DestroyScheduled) => Some((WEEK, Destroyed)),
        (Command::Conclude, Active | Suspended) => Some((0, Retiring)),
        _ => None,
    }
}

const COMMANDS: [Command; 14] = [
    Command::Activate { emergency: false },
    Command::Activate { emergency: true },
    Command::Retire,
    Command::Suspend,
    Command::Resume,
    Command::Compromise,
    Command::ScheduleDestroy { days: 6 },
    Command::ScheduleDestroy { days: 7 },
    Command::ScheduleDestroy { days: 30 },
    Command::ScheduleDestroy { days: 31 },
    Command::CancelDestroy,
    Command::Destroy,
    Command::Expire,
    Command::Conclude,
];

#[test]
fn every_state_command_and_time() {
    let mut judged = 0;
    for state in State::ALL {
        for command in COMMANDS {
            for seconds in
                [0, 1, ACTIVATION - 1, ACTIVATION, RETIREMENT - 1, RETIREMENT, WEEK - 301, WEEK - 300, WEEK - 1, WEEK, 100 * WEEK]
            {
                // Another key signed before, so that none is the issuer's first.
                let before = Some(Timestamp::from_secs(BEGAN - 1));
                let keys = [key(1, state), Key { profile: "other".to_owned(), activated_at: before, ..key(9, State::Retired) }];
                let said = lifecycle::decide(&keys, &keys[0], command, &TIMING, after(seconds));
                let shown = format!("{state} {command:?} {seconds}: {said:?}");
                judged += 1;
                // From shortly before its destruction the pair may be gone once the answer is written.
                let goes_on = state == State::DestroyScheduled && seconds >= WEEK - lifecycle::SKEW;
                if command == Command::CancelDestroy && goes_on {
                    assert_eq!(said, Err(Refusal::TooLate { kid: "kid-1".to_owned(), destroy_at: after(WEEK) }));
                    continue;
                }
                let goes_on = command == Command::Compromise && goes_on;
                let rule = if goes_on { Some((0, state)) } else { rule(state, command) };
                match rule {
                    Some((from, to)) if from <= seconds => {
                        let Outcome { changes, window } = said.expect(&shown);
                        assert_eq!(changes.len(), 1, "{shown}");
                        assert_eq!((changes[0].from, changes[0].to), (state, to), "{shown}");
                        assert_eq!(changes[0].applied(&keys[0]).state, to);
                        let early = command == Command::Activate { emergency: true } && seconds < ACTIVATION;
                        assert_eq!(window.map(|window| window.until), early.then(|| after(ACTIVATION)), "{shown}");
                    }
                    Some((from, _)) => {
                        assert_eq!(said, Err(Refusal::TooEarly { kid: "kid-1".to_owned(), command, earliest: after(from) }));
                    }
                    None => {
                        let refused = said.expect_err(&shown);
                        let days = matches!(command, Command::ScheduleDestroy { days: 6 | 31 });
                        let wrong = matches!(refused, Refusal::WrongState { .. });
                        let endless = command == Command::Expire && matches!(refused, Refusal::Endless(_));
                        assert!(wrong || endless || (days && matches!(refused, Refusal::Days(_))), "{shown}");
                    }
                }
            }
        }
    }
    assert_eq!(judged, 10 * 14 * 11);
}

#[test]
fn generation_ends_once() {
    for state in State::ALL {
        let key = key(1, state);
        assert_eq!(lifecycle::publish(&key, after(0)).is_ok(), state == State::Generating, "{state}");
        assert_eq!(lifecycle::fail(&key, after(0)).is_ok(), state == State::Generating, "{state}");
        assert_eq!(State::from_name(state.as_str()), Some(state));
    }
    assert_eq!(State::from_name("Active"), None);
}

/// The states after a command, in the order of the keys.
fn states(keys: &[Key], command: Command, seconds: u64) -> Vec<State> {
    let outcome = lifecycle::decide(keys, &keys[0], command, &TIMING, after(seconds)).unwrap();
    let changed = |key: &Key| outcome.changes.iter().find(|change| change.id == key.id).map_or(key.state, |change| change.to);
    // The old key makes room before the new one signs: only one may be active at any moment.
    if let Some(to_active) = outcome.changes.iter().position(|change| change.to == State::Active) {
        assert_eq!(to_active + 1, outcome.changes.len());
    }
    keys.iter().map(changed).collect()
}

const NOW: Command = Command::Activate { emergency: true };

#[test]
fn a_successor_demotes_its_predecessor_and_nobody_else() {
    let other_profile = Key { profile: "rs256".to_owned(), ..key(3, State::Active) };
    let of_agent = Key { agent: Some("shop".to_owned()), ..key(4, State::Active) };
    let audit = Key { purpose: Purpose::Audit, ..key(5, State::Active) };
    let keys = [key(1, State::Published), key(2, State::Active), other_profile, of_agent, audit];
    let activate = Command::Activate { emergency: false };
    let after_it = [State::Active, State::Retiring, State::Active, State::Active, State::Active];
    assert_eq!(states(&keys, activate, ACTIVATION), after_it);
    let refused = lifecycle::decide(&keys, &keys[0], NOW, &TIMING, after(0)).unwrap_err();
    assert_eq!(refused, Refusal::NoEmergency { kid: "kid-1".to_owned(), active: "kid-2".to_owned() });
}

#[test]
fn the_first_key_of_an_issuer_signs_at_once_and_no_later_one() {
    let activate = Command::Activate { emergency: false };
    let keys = [key(1, State::Published), key(2, State::Generating), key(3, State::Failed)];
    assert_eq!(states(&keys, activate, 0)[0], State::Active);
    let other_profile = |state| Key { profile: "rs256".to_owned(), ..key(2, state) };
    // What another profile's key signs, the set with both verifies; whoever holds one from before holds nothing that signed.
    for other in [other_profile(State::Published), Key { activated_at: Some(after(5)), ..other_profile(State::Active) }] {
        assert_eq!(states(&[key(1, State::Published), other], activate, 5)[0], State::Active);
    }
    // Another profile's key that signed before this one was shown: verifiers may hold the set without the new one.
    let later = Key { published_at: Some(after(1)), ..key(1, State::Published) };
    let imported = Key { origin: Origin::Imported, ..other_profile(State::Published) };
    for other in [other_profile(State::Active), other_profile(State::Retired), imported] {
        assert!(lifecycle::decide(&[later.clone(), other], &later, activate, &TIMING, after(1)).is_err());
    }
    let other_issuer = Key { issuer: "tenant".to_owned(), ..key(2, State::Active) };
    let keys = [key(1, State::Published), Key { profile: "rs256".to_owned(), ..other_issuer }];
    assert_eq!(states(&keys, activate, 0)[0], State::Active);
    let audit = |number, state| Key { purpose: Purpose::Audit, ..key(number, state) };
    assert_eq!(states(&[audit(1, State::Published), audit(2, State::Retired)], activate, 0)[0], State::Active, "no set shows it");
}

#[test]
fn one_key_of_each_profile_is_first() {
    // Both were shown before any signed; a verifier may hold the set of before the second one.
    let signing = Key { activated_at: Some(after(120)), ..key(1, State::Active) };
    let second = Key { published_at: Some(after(60)), ..key(2, State::Published) };
    let activate = Command::Activate { emergency: false };
    let keys = [second.clone(), signing.clone()];
    let refused = lifecycle::decide(&keys, &second, activate, &TIMING, after(121)).unwrap_err();
    let earliest = after(60 + ACTIVATION);
    assert_eq!(refused, Refusal::TooEarly { kid: "kid-2".to_owned(), command: activate, earliest });
    assert_eq!(states(&keys, activate, 60 + ACTIVATION), [State::Active, State::Retiring]);
    // An emergency says so.
    let window = |keys: &[Key], key: &Key, command| {
        lifecycle::decide(keys, key, command, &TIMING, after(121)).unwrap().window.map(|window| window.until)
    };
    assert_eq!(window(&keys, &signing, Command::Compromise), Some(earliest));
    let keys = [second.clone(), Key { suspended_at: Some(after(120)), ..Key { state: State::Suspended, ..signing.clone() } }];
    assert_eq!(window(&keys, &second, NOW), Some(earliest));
    // The first key of another profile is as before.
    let keys = [Key { profile: "rs256".to_owned(), ..second }, signing];
    assert_eq!(window(&keys, &keys[0], activate), None);
}

#[test]
fn a_standby_from_elsewhere_stays_until_what_it_signed_there_has_ended() {
    let imported = Key { origin: Origin::Imported, ..key(1, State::Published) };
    let ends = imported.max_lifetime + lifecycle::SKEW;
    let retire = |seconds| lifecycle::decide(from_ref(&imported), &imported, Command::Retire, &TIMING, after(seconds));
    assert_eq!(
        retire(ends - 1).unwrap_err(),
        Refusal::TooEarly { kid: "kid-1".to_owned(), command: Command::Retire, earliest: after(ends) }
    );
    assert_eq!(retire(ends).unwrap().changes[0].to, State::Retired);
}

#[test]
fn delays_grow_and_dev_shortens_them() {
    let delay = |timing: Timing| timing.activation_delay();
    assert_eq!(delay(TIMING), ACTIVATION);
    assert_eq!(delay(Timing { jwks_max_age: 1, ..TIMING }), ACTIVATION, "verifiers keep a set for 5 minutes anyway");
    assert_eq!(delay(Timing { jwks_max_age: 3_600, ..TIMING }), 3_600 + 3_600 + 300);
    assert_eq!(delay(Timing { publish_ahead: 86_400, ..TIMING }), 86_400);
    assert_eq!(delay(Timing { publish_ahead: 1, ..TIMING }), ACTIVATION);
    assert_eq!(delay(Timing { dangerous_activation_delay: Some(0), publish_ahead: 86_400, ..TIMING }), 0);
}

#[test]
fn a_compromise_lets_the_oldest_standby_of_its_kind_sign() {
    let other_kind = Key { algorithm: Algorithm::Es384, published_at: Some(after(0)), ..key(2, State::Published) };
    let younger = Key { published_at: Some(after(20)), ..key(3, State::Published) };
    let older = Key { published_at: Some(after(10)), ..key(4, State::Published) };
    for signing in [State::Active, State::Suspended] {
        let keys = [key(1, signing), other_kind.clone(), younger.clone(), older.clone()];
        let after_it = [State::Compromised, State::Published, State::Published, State::Active];
        assert_eq!(states(&keys, Command::Compromise, 100), after_it);
        let outcome = lifecycle::decide(&keys, &keys[0], Command::Compromise, &TIMING, after(100)).unwrap();
        assert_eq!(outcome.window.unwrap().until, after(10 + ACTIVATION), "edges may not know it yet");
        let outcome = lifecycle::decide(&keys, &keys[0], Command::Compromise, &TIMING, after(10 + ACTIVATION)).unwrap();
        assert_eq!(outcome.window, None);
        assert_eq!(states(&keys[..2], Command::Compromise, 100), [State::Compromised, State::Active], "better than none");
        assert_eq!(states(&keys[..1], Command::Compromise, 100), [State::Compromised]);
    }
    // Of a profile that has moved to another issuer: the standby from before is no key of it any more.
    let moved = |key: Key| Key { issuer: "tenant".to_owned(), ..key };
    let keys = [moved(key(1, State::Active)), older, moved(younger), moved(other_kind)];
    let after_it = [State::Compromised, State::Published, State::Active, State::Published];
    assert_eq!(states(&keys, Command::Compromise, 100), after_it);
    let after_it = [State::Compromised, State::Published, State::Active];
    let keys = [keys[0].clone(), keys[1].clone(), keys[3].clone()];
    assert_eq!(states(&keys, Command::Compromise, 100), after_it);
    // One that did not sign needs no successor.
    for state in [State::Retiring, State::Retired, State::Destroyed, State::Published] {
        let keys = [key(1, state), key(2, State::Active), key(3, State::Published)];
        assert_eq!(states(&keys, Command::Compromise, 100), [State::Compromised, State::Active, State::Published]);
    }
    let keys = [key(1, State::Suspended), key(2, State::Active), key(3, State::Published)];
    assert_eq!(states(&keys, Command::Compromise, 100), [State::Compromised, State::Active, State::Published]);
    // One that a person let sign after they had suspended another does.
    let keys = [key(1, State::Active), key(2, State::Suspended), key(3, State::Published)];
    assert_eq!(states(&keys, Command::Compromise, 100), [State::Compromised, State::Suspended, State::Active]);
    // Nothing signs instead of a key that is suspended still.
    let keys = [key(1, State::Suspended), key(2, State::Suspended), key(3, State::Published)];
    assert_eq!(states(&keys, Command::Compromise, 100), [State::Compromised, State::Suspended, State::Published]);
}

#[test]
fn a_suspended_key_comes_back_or_retires_as_of_its_suspension() {
    let keys = [key(1, State::Suspended), key(2, State::Active)];
    assert_eq!(states(&keys, Command::Resume, 5_000), [State::Retiring, State::Active]);
    let outcome = lifecycle::decide(&keys, &keys[0], Command::Resume, &TIMING, after(5_000)).unwrap();
    let retiring = outcome.changes[0].applied(&keys[0]);
    assert_eq!((retiring.demoted_at, retiring.suspended_at), (Some(after(0)), None));
    assert_eq!(states(&[retiring], Command::Retire, 5_000), [State::Retired], "the timers ran");
    assert_eq!(states(&keys[..1], Command::Resume, 5_000), [State::Active]);
}

#[test]
fn a_key_ends_by_its_published_exp_also_while_it_is_suspended() {
    for state in [State::Active, State::Suspended] {
        let key = Key { not_after: Some(after(1_000)), ..key(1, state) };
        let keys = std::slice::from_ref(&key);
        let refused = lifecycle::decide(keys, &key, Command::Expire, &TIMING, after(999));
        assert_eq!(
            refused,
            Err(Refusal::TooEarly { kid: "kid-1".to_owned(), command: Command::Expire, earliest: after(1_000) }),
            "{state}"
        );
        assert_eq!(rotation::plan(keys, &[], &TIMING, after(999)), [], "{state}");
        assert_eq!(rotation::plan(keys, &[], &TIMING, after(1_000)), [Due::Step(key.id, Command::Expire)], "{state}");
        let outcome = lifecycle::decide(keys, &key, Command::Expire, &TIMING, after(1_000)).unwrap();
        let ended = outcome.changes[0].applied(&key);
        let since = if state == State::Active { after(1_000) } else { after(0) };
        assert_eq!((ended.state, ended.demoted_at, ended.suspended_at), (State::Retiring, Some(since), None));
    }
}

#[test]
fn a_slot_wants_keys_of_its_issuer() {
    let slot = Slot { issuer: "tenant".to_owned(), ..slot() };
    let (active, standby) = (key(1, State::Active), key(2, State::Published));
    let of_tenant = Key { issuer: "tenant".to_owned(), ..key(3, State::Published) };
    assert!(slot.holds(&active) && !slot.wants(&active) && slot.wants(&of_tenant));
    let planned = slot.clone();
    let slots = [slot];
    // The standby of the old issuer is none here: another is made, and takes over when verifiers can know it.
    let keys = [active.clone(), standby.clone()];
    assert_eq!(rotation::plan(&keys, &slots, &TIMING, after(ACTIVATION)), [Due::Generate(slots[0].clone())]);
    let keys = [active, standby, of_tenant.clone()];
    let step = Due::Step(of_tenant.id, Command::Activate { emergency: false });
    assert_eq!(rotation::plan(&keys, &slots, &TIMING, after(ACTIVATION)), [step]);
    // Whoever planned the new key and slept meanwhile makes none beside it, and one that is still wanted as it is wanted now.
    let wanted = |keys: &[Key], slots: &[Slot]| rotation::still_wanted(&planned, keys, slots, &TIMING, after(ACTIVATION));
    assert_eq!(wanted(&keys, &slots), None);
    let longer = [Slot { max_lifetime: 7_200, ..planned.clone() }];
    assert_eq!(wanted(&keys[..2], &longer), Some(longer[0].clone()));
    assert_eq!(wanted(&keys[..2], &[]), None, "its profile is gone");
}

#[test]
fn a_row_that_a_crash_left_keeps_nobody_from_a_standby() {
    let slot = slot();
    let keys = [key(1, State::Active), key(2, State::Generating)];
    let plan = |seconds| rotation::plan(&keys, from_ref(&slot), &TIMING, after(seconds));
    assert_eq!(plan(rotation::ORPHANED_AFTER - 1), []);
    assert_eq!(plan(rotation::ORPHANED_AFTER), [Due::Generate(slot.clone())]);
}

#[test]
fn a_destruction_is_called_off_to_where_it_began() {
    let compromised = Key { compromised_at: Some(after(0)), ..key(1, State::DestroyScheduled) };
    assert_eq!(states(&[compromised], Command::CancelDestroy, 1), [State::Compromised]);
    let destroyed = Key { destroyed_at: Some(after(0)), ..key(1, State::Compromised) };
    let refused =
        lifecycle::decide(std::slice::from_ref(&destroyed), &destroyed, Command::ScheduleDestroy { days: 7 }, &TIMING, after(1));
    assert_eq!(refused, Err(Refusal::Destroyed("kid-1".to_owned())));
    // A key that is compromised while its destruction waits is kept for whoever looks into it.
    let keys = [key(1, State::DestroyScheduled)];
    let outcome = lifecycle::decide(&keys, &keys[0], Command::Compromise, &TIMING, after(1)).unwrap();
    assert_eq!(outcome.changes[0].applied(&keys[0]).destroy_at, None);
    // From its day on the pair may be gone, and the destruction goes on to where the store says so.
    let outcome = lifecycle::decide(&keys, &keys[0], Command::Compromise, &TIMING, after(WEEK)).unwrap();
    let doomed = outcome.changes[0].applied(&keys[0]);
    assert_eq!((doomed.state, doomed.destroy_at), (State::DestroyScheduled, Some(after(WEEK))));
    assert_eq!(doomed.compromised_at, Some(after(WEEK)));
    assert_eq!(rotation::plan(from_ref(&doomed), &[], &TIMING, after(WEEK)), [Due::Step(doomed.id, Command::Destroy)]);
    let outcome = lifecycle::decide(from_ref(&doomed), &doomed, Command::Destroy, &TIMING, after(WEEK)).unwrap();
    let gone = outcome.changes[0].applied(&doomed);
    assert_eq!((gone.state, gone.destroyed_at, gone.compromised_at), (State::Destroyed, Some(after(WEEK)), Some(after(WEEK))));
}

#[test]
fn a_published_end_is_kept() {
    let end = |state| Key { agent: Some("shop".to_owned()), not_after: Some(after(10_000)), ..key(1, state) };
    let expire =
        |seconds| lifecycle::decide(&[end(State::Active)], &end(State::Active), Command::Expire, &TIMING, after(seconds));
    assert!(matches!(expire(9_999), Err(Refusal::TooEarly { earliest, .. }) if earliest == after(10_000)));
    assert_eq!(expire(10_000).unwrap().changes[0].to, State::Retiring);
    for command in [Command::Activate { emergency: false }, NOW] {
        let refused = lifecycle::decide(&[end(State::Published)], &end(State::Published), command, &TIMING, after(10_000));
        assert!(matches!(refused, Err(Refusal::Expired { .. })), "{refused:?}");
    }
    assert!(
        lifecycle::decide(&[end(State::Suspended)], &end(State::Suspended), Command::Resume, &TIMING, after(10_000)).is_err()
    );
    // Its JWK stays until nobody can need it: exp and 300 s.
    let retire =
        |seconds| lifecycle::decide(&[end(State::Retiring)], &end(State::Retiring), Command::Retire, &TIMING, after(seconds));
    assert!(matches!(retire(10_299), Err(Refusal::TooEarly { earliest, .. }) if earliest == after(10_300)));
    assert!(retire(10_300).is_ok());
}

#[test]
fn a_published_end_comes_for_standbys_too() {
    const MONTH: u64 = 30 * 86_400;
    let slot = Slot { agent: Some("shop".to_owned()), valid_for: Some(MONTH), ..slot() };
    let own = |number, state, end| Key { agent: slot.agent.clone(), not_after: Some(after(end)), ..key(number, state) };
    let plan = |keys: &[Key], seconds| rotation::plan(keys, std::slice::from_ref(&slot), &TIMING, after(seconds));
    let activate = |key: &Key| Due::Step(key.id, Command::Activate { emergency: false });

    // Made in the same second: one signs, the other is no successor, and leaves the set when its time is over.
    let twins = [own(1, State::Active, MONTH), own(2, State::Published, MONTH)];
    assert_eq!(plan(&twins, MONTH / 2 - 1), []);
    let near = MONTH - 86_400 - 3_600;
    assert_eq!(plan(&twins, near), [Due::Generate(slot.clone())]);
    let mut keys = twins.to_vec();
    keys.push(Key { published_at: Some(after(near)), ..own(3, State::Published, near + MONTH) });
    assert_eq!(plan(&keys, near + 1), []);
    // The one that lasts takes over, as soon as it is known.
    assert_eq!(plan(&keys, MONTH - 3_600), [activate(&keys[2])]);
    assert_eq!(plan(&twins[1..], MONTH), [Due::Step(twins[1].id, Command::Retire), Due::Generate(slot.clone())]);
    // A lifetime that is nearly a month needs no key a minute.
    let long = Slot { max_lifetime: MONTH - 3_600, ..slot.clone() };
    let keys = [own(1, State::Active, MONTH), own(2, State::Published, MONTH)];
    assert_eq!(rotation::plan(&keys, std::slice::from_ref(&long), &TIMING, after(1)), []);
}

#[test]
fn a_profile_that_is_retired_ends_its_keys_and_no_others() {
    let of_agent = Key { agent: Some("shop".to_owned()), not_after: Some(after(WEEK)), ..key(5, State::Active) };
    let other = Key { profile: "rs256".to_owned(), ..key(6, State::Active) };
    let audit = Key { purpose: Purpose::Audit, profile: String::new(), ..key(7, State::Active) };
    let left =
        [State::Generating, State::Retiring, State::Retired, State::Compromised, State::DestroyScheduled, State::Destroyed];
    let left = left.into_iter().zip(8..).map(|(state, number)| key(number, state));
    let mut keys =
        vec![key(1, State::Active), key(2, State::Suspended), key(3, State::Published), key(4, State::Failed), of_agent];
    keys.extend([other, audit].into_iter().chain(left));
    let due = rotation::wind_down(&keys, &["default".to_owned()], &TIMING, after(0));
    let expected: Vec<Due> = [(0, Command::Conclude), (1, Command::Conclude), (2, Command::Retire), (4, Command::Conclude)]
        .map(|(place, command): (usize, Command)| Due::Step(keys[place].id, command))
        .into();
    assert_eq!(due, expected);
    for step in &due {
        let Due::Step(id, command) = step else { panic!("{step:?}") };
        let key = keys.iter().find(|key| key.id == *id).unwrap();
        assert!(lifecycle::decide(&keys, key, *command, &TIMING, after(0)).is_ok(), "at once: {step:?}");
    }
    assert_eq!(rotation::wind_down(&keys, &[], &TIMING, after(0)), []);
    // What it signed lives on: as long as the rules say, from when it signed last.
    let concluded = |key: &Key, seconds| {
        lifecycle::decide(&keys, key, Command::Conclude, &TIMING, after(seconds)).unwrap().changes[0].applied(key)
    };
    let retiring = concluded(&keys[0], 50);
    assert_eq!(TIMING.earliest_retirement(&retiring), Some(after(50 + RETIREMENT)));
    let suspended = concluded(&keys[1], 50);
    assert_eq!((suspended.demoted_at, suspended.suspended_at), (Some(after(0)), None));
}

#[test]
fn a_refusal_says_the_earliest_time_and_the_way_out() {
    let keys = [key(1, State::Retiring)];
    let refused = lifecycle::decide(&keys, &keys[0], Command::Retire, &TIMING, after(0)).unwrap_err().to_string();
    assert!(
        refused.contains("live until 1970-01-12T14:51:50Z. If it is compromised: edgeseal keys compromise kid-1"),
        "{refused}"
    );
}
