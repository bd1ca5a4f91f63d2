//! Keys for people and for programs.

use edgeseal_core::Timestamp;
use serde_json::{Value, json};

use crate::{
    cli::output,
    keys::{Key, Ledger, Moment, State, now, registry},
};

pub(crate) fn json(key: &Key, ledger: &Ledger) -> Value {
    let moment = |at: Option<Timestamp>| at.map(|at| Moment(at).to_string());
    let timing = ledger.timing_of(key);
    json!({
        "kid": key.kid(),
        "purpose": key.purpose.as_str(),
        "issuer": key.issuer,
        "profile": key.profile,
        "agent": key.agent,
        "alg": key.algorithm,
        "key": key.kind().to_string(),
        "origin": key.origin.as_str(),
        "state": key.state.as_str(),
        "cka_id": key.id.to_string(),
        "created_at": Moment(key.created_at).to_string(),
        "published_at": moment(key.published_at),
        "activated_at": moment(key.activated_at),
        "suspended_at": moment(key.suspended_at),
        "demoted_at": moment(key.demoted_at),
        "retired_at": moment(key.retired_at),
        "destroy_at": moment(key.destroy_at),
        "destroyed_at": moment(key.destroyed_at),
        "compromised_at": moment(key.compromised_at),
        "not_after": moment(key.not_after),
        "max_lifetime": key.max_lifetime,
        "can_sign_from": moment((key.state == State::Published).then(|| timing.earliest_activation(key))),
        "until": moment(registry::until(key, &timing)),
        "rotation": moment(rotation(key, ledger)),
    })
}

pub(super) fn table(keys: &[Key], ledger: &Ledger) {
    let row = |key: &Key| {
        vec![
            name(key),
            key.kid().map_or_else(|| "-".to_owned(), output::short),
            key.algorithm.to_string(),
            key.state.to_string(),
            since(key).to_string(),
            note(key, ledger),
        ]
    };
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    output::table(&["PROFILE", "KID", "ALG", "STATE", "SINCE", "UNTIL"], &rows);
}

pub(super) fn lines(key: &Key, ledger: &Ledger) {
    let Value::Object(members) = json(key, ledger) else { return };
    for (name, value) in members {
        let value = match value {
            Value::Null => continue,
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        output::line(format_args!("  {name:<16}  {value}"));
    }
}

/// What a key signs for.
fn name(key: &Key) -> String {
    match (&key.agent, key.profile.as_str()) {
        (Some(agent), profile) => format!("{profile}/{agent}"),
        (None, "") => format!("({})", key.purpose.as_str()),
        (None, profile) => profile.to_owned(),
    }
}

fn since(key: &Key) -> Moment {
    let at = match key.state {
        State::Generating => None,
        State::Published => key.published_at,
        State::Active => key.activated_at,
        State::Suspended => key.suspended_at,
        State::Retiring => key.demoted_at,
        State::Retired | State::Failed | State::DestroyScheduled => key.retired_at,
        State::Destroyed => key.destroyed_at,
        State::Compromised => key.compromised_at,
    };
    Moment(at.unwrap_or(key.created_at))
}

fn note(key: &Key, ledger: &Ledger) -> String {
    let timing = ledger.timing_of(key);
    let until = registry::until(key, &timing).map(Moment);
    match (key.state, until) {
        (State::Published, _) => {
            let from = timing.earliest_activation(key);
            if from <= now() { "standby".to_owned() } else { format!("standby, can sign from {}", Moment(from)) }
        }
        (State::Active, _) => rotation(key, ledger).map(|at| format!("{} (rotation)", Moment(at))).unwrap_or_default(),
        (State::Retiring, Some(until)) => format!("{until} (last token expires)"),
        (State::DestroyScheduled, Some(until)) => format!("{until} (destroyed)"),
        _ => String::new(),
    }
}

/// When a key's standby takes over by age.
fn rotation(key: &Key, ledger: &Ledger) -> Option<Timestamp> {
    let slot = ledger.slots().iter().find(|slot| slot.holds(key))?;
    let active = (key.state == State::Active).then_some(key.activated_at).flatten()?;
    slot.rotate_after.map(|after| active.plus_secs(after))
}
