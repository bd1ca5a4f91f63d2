//! Keys and proposals for programs: what the command line prints as JSON and the administrators' interface answers.

use edgeseal_core::{Algorithm, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Command, Done, Key, Ledger, Moment, Purpose, Refusal, State, Window,
    ledger::until,
    lifecycle::{self, DESTRUCTION_DAYS},
    now,
};
use crate::{http::openapi::AlgorithmName, store::Approval};

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// RFC 7638 thumbprint; null until it is published.
    #[schema(required)]
    pub kid: Option<String>,
    /// What it signs.
    #[schema(value_type = Purpose)]
    pub purpose: &'static str,
    /// The issuer whose JWK Set shows it; empty is the top-level one.
    pub issuer: String,
    /// The profile that it signs for; empty unless it signs tokens.
    pub profile: String,
    /// The agent that it belongs to alone (mode `digest`).
    #[schema(required)]
    pub agent: Option<String>,
    /// What it is called by people.
    #[schema(required)]
    pub label: Option<String>,
    /// What it signs with.
    #[schema(value_type = AlgorithmName)]
    pub alg: Algorithm,
    /// Its kind: `P-256`, `RSA 2048`.
    pub key: String,
    /// Where it was made: inside the HSM, or elsewhere.
    #[schema(value_type = super::Origin)]
    pub origin: &'static str,
    /// Where it stands.
    #[schema(value_type = State)]
    pub state: &'static str,
    /// `CKA_ID` in the HSM, hexadecimal.
    pub cka_id: String,
    /// When its row was written.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When it entered the JWK Set.
    #[schema(required, format = "date-time")]
    pub published_at: Option<String>,
    /// When it began to sign.
    #[schema(required, format = "date-time")]
    pub activated_at: Option<String>,
    /// When it was suspended; null unless it is, or was when it was declared compromised.
    #[schema(required, format = "date-time")]
    pub suspended_at: Option<String>,
    /// When it stopped signing.
    #[schema(required, format = "date-time")]
    pub demoted_at: Option<String>,
    /// When it left the JWK Set.
    #[schema(required, format = "date-time")]
    pub retired_at: Option<String>,
    /// For when its destruction was scheduled; it stays when it is destroyed.
    #[schema(required, format = "date-time")]
    pub destroy_at: Option<String>,
    /// When it was destroyed.
    #[schema(required, format = "date-time")]
    pub destroyed_at: Option<String>,
    /// When it was declared compromised.
    #[schema(required, format = "date-time")]
    pub compromised_at: Option<String>,
    /// The `exp` of its JWK, where that is published.
    #[schema(required, format = "date-time")]
    pub not_after: Option<String>,
    /// Seconds: the longest lifetime ever allowed on its tokens.
    pub max_lifetime: u64,
    /// The earliest time at which a standby may sign.
    #[schema(required, format = "date-time")]
    pub can_sign_from: Option<String>,
    /// When its present state ends by itself.
    #[schema(required, format = "date-time")]
    pub until: Option<String>,
    /// When its standby takes over by age.
    #[schema(required, format = "date-time")]
    pub rotation: Option<String>,
}

/// A step that somebody could ask for now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KeyAction)]
pub struct ActionView {
    /// What stands behind the colon: `activate`.
    pub action: &'static str,
    /// Whether the rules allow it now.
    pub allowed: bool,
    /// The earliest time at which they will, where time is the reason.
    #[schema(required, format = "date-time")]
    pub earliest: Option<String>,
    /// Why not, and what mends it.
    #[schema(required)]
    pub reason: Option<String>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = KeyStep)]
pub struct StepView {
    /// The key as it is now.
    #[serde(flatten)]
    pub key: KeyView,
    /// The `kid` of the key that signs instead, if the step made one do so.
    #[schema(required)]
    pub successor: Option<String>,
    /// Until when edges may answer `key_not_found` to tokens of the key that signs now.
    #[schema(required, format = "date-time")]
    pub key_not_found_possible_until: Option<String>,
}

/// What became of a step that may take two people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = KeyStepOrApproval)]
pub enum DoneView {
    /// It waits for a second person.
    Proposed(Box<ApprovalView>),
    /// It is so.
    Changed(Box<StepView>),
}

/// What one person proposed, and another has to approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Approval)]
pub struct ApprovalView {
    /// Its name.
    pub proposal: String,
    /// What is to be done: `keys.schedule-destroy`.
    pub action: String,
    /// The key that it is about.
    pub kid: String,
    /// With what parameters.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// Who proposed it.
    pub proposer: String,
    /// When.
    #[schema(format = "date-time")]
    pub proposed_at: String,
    /// Until when another person may approve it.
    #[schema(format = "date-time")]
    pub approve_until: String,
    /// What was decided; null while it is open.
    #[schema(required)]
    pub decision: Option<&'static str>,
    /// Who decided.
    #[schema(required)]
    pub decided_by: Option<String>,
    /// When.
    #[schema(required, format = "date-time")]
    pub decided_at: Option<String>,
}

impl Ledger {
    /// A key for programs.
    pub fn describe(&self, key: &Key) -> KeyView {
        let moment = |at: Option<Timestamp>| at.map(|at| Moment(at).to_string());
        let timing = self.timing_of(key);
        KeyView {
            kid: key.kid().map(ToOwned::to_owned),
            purpose: key.purpose.as_str(),
            issuer: key.issuer.clone(),
            profile: key.profile.clone(),
            agent: key.agent.clone(),
            label: key.label.clone(),
            alg: key.algorithm,
            key: key.kind().to_string(),
            origin: key.origin.as_str(),
            state: key.state.as_str(),
            cka_id: key.id.to_string(),
            created_at: Moment(key.created_at).to_string(),
            published_at: moment(key.published_at),
            activated_at: moment(key.activated_at),
            suspended_at: moment(key.suspended_at),
            demoted_at: moment(key.demoted_at),
            retired_at: moment(key.retired_at),
            destroy_at: moment(key.destroy_at),
            destroyed_at: moment(key.destroyed_at),
            compromised_at: moment(key.compromised_at),
            not_after: moment(key.not_after),
            max_lifetime: key.max_lifetime,
            can_sign_from: moment((key.state == State::Published).then(|| timing.earliest_activation(key))),
            until: moment(until(key, &timing)),
            rotation: moment(self.rotation(key)),
        }
    }

    /// The steps that the state of a key leads to, and which of them the rules allow now.
    pub fn actions(&self, keys: &[Key], key: &Key) -> Vec<ActionView> {
        let commands = [
            Command::Activate { emergency: false },
            Command::Retire,
            Command::Suspend,
            Command::Resume,
            Command::Compromise,
            Command::ScheduleDestroy { days: *DESTRUCTION_DAYS.start() },
            Command::CancelDestroy,
        ];
        let fitting = commands.into_iter().filter(|command| command.starts_from().contains(&key.state));
        let view = |command: Command| {
            let refusal = lifecycle::decide(keys, key, command, &self.timing_of(key), now()).err();
            let earliest = match &refusal {
                Some(Refusal::TooEarly { earliest, .. }) => Some(Moment(*earliest).to_string()),
                _ => None,
            };
            let reason = refusal.as_ref().map(ToString::to_string);
            ActionView { action: command.as_str(), allowed: refusal.is_none(), earliest, reason }
        };
        fitting.map(view).collect()
    }

    /// What became of a command, for programs.
    pub fn describe_done(&self, done: &Done) -> DoneView {
        match done {
            Done::Proposed(approval) => DoneView::Proposed(Box::new(describe_approval(approval))),
            Done::Changed { key, successor, window } => DoneView::Changed(Box::new(StepView {
                key: self.describe(key),
                successor: successor.clone(),
                key_not_found_possible_until: window.as_ref().map(|Window { until, .. }| Moment(*until).to_string()),
            })),
        }
    }
}

/// A proposal for programs.
pub fn describe_approval(approval: &Approval) -> ApprovalView {
    let Approval { id, action, subject, detail, proposer, proposed_at, expires_at, decided } = approval;
    ApprovalView {
        proposal: id.clone(),
        action: action.clone(),
        kid: subject.clone(),
        detail: serde_json::from_str(detail).unwrap_or_default(),
        proposer: proposer.clone(),
        proposed_at: Moment(*proposed_at).to_string(),
        approve_until: Moment(*expires_at).to_string(),
        decision: decided.as_ref().map(|(decision, ..)| decision.as_str()),
        decided_by: decided.as_ref().map(|(_, who, _)| who.clone()),
        decided_at: decided.as_ref().map(|(.., at)| Moment(*at).to_string()),
    }
}
