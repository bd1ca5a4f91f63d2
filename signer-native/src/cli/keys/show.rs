//! Keys for people and for programs.

use serde_json::Value;

use crate::{
    cli::output,
    keys::{Key, Ledger, Moment, State, now, registry},
};

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
    let Value::Object(members) = serde_json::json!(ledger.describe(key)) else { return };
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
        (State::Active, _) => ledger.rotation(key).map(|at| format!("{} (rotation)", Moment(at))).unwrap_or_default(),
        (State::Retiring, Some(until)) => format!("{until} (last token expires)"),
        (State::DestroyScheduled, Some(until)) => format!("{until} (destroyed)"),
        _ => String::new(),
    }
}
