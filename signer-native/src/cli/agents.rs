//! `edgeseal agents`: invite, list, revoke, delete. They work on the store directly, beside a running signer, which follows at once.

use std::{collections::BTreeMap, process::ExitCode};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{ConfigArguments, block_on, check_argument, consent, existing_store, output, store_if_made};
use crate::{
    agents::{Invitation, LIFETIME, Policy, hash},
    error::{Failure, FailureKind, Invalid},
    http::tls,
    issue::Lifetime,
    keys::{Actor, Ledger, Moment, now},
    store::{AgentCertificate, Store, Terms},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a one-time code with which an agent gets its certificate
    Invite(Box<Invite>),
    /// List the agents and their certificates
    List(Listing),
    /// Refuse an agent, its certificates and its codes from now on
    Revoke(Revoke),
    /// Delete an agent of the store, and refuse its certificates for good
    Delete(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The agent: 1 to 64 characters out of a-z, 0-9, - _ .
    name: String,
    /// A profile that it may use; may be repeated [default: what the agent may do already]
    #[arg(long = "profile", value_name = "PROFILE")]
    profiles: Vec<String>,
    /// Narrows the profiles' audiences; may be repeated
    #[arg(long = "audience", value_name = "AUDIENCE", requires = "profiles")]
    audiences: Vec<String>,
    /// Narrows the profiles' longest lifetime, such as 10m
    #[arg(long, value_name = "SPAN", requires = "profiles")]
    max_lifetime: Option<Lifetime>,
    /// A claim that each of its tokens must carry; may be repeated
    #[arg(long = "require-claim", value_name = "NAME", requires = "profiles")]
    required_claims: Vec<String>,
    /// A claim that none of its tokens may carry; may be repeated
    #[arg(long = "forbid-claim", value_name = "NAME", requires = "profiles")]
    forbidden_claims: Vec<String>,
    /// Tokens a second that it may ask each signer for, as an average; 64 at once in any case
    #[arg(long, value_name = "NUMBER", requires = "profiles", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Listing {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The agent
    name: String,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

pub(super) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Invite(arguments) => invite(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
        Command::Delete(arguments) => delete(arguments),
    }
}

fn invite(arguments: &Invite) -> Result<ExitCode, Failure> {
    let Invite { name, profiles, audiences, max_lifetime, required_claims, forbidden_claims, rate, .. } = arguments;
    check_argument("agent", name)?;
    let settings = arguments.config.load(Vec::new())?;
    let configured = settings.agents(&settings.profiles()?)?.contains_key(name);
    let usage = |sentence: String| Failure::new(FailureKind::Usage, sentence);
    let given: String;
    let terms = match (configured, profiles.is_empty()) {
        (true, true) => Terms::Configured,
        (true, false) => {
            return Err(usage(format!(
                "agents.{name} stands in the configuration, which says what it may do; leave --profile away"
            )));
        }
        // Whoever was here before comes back to what it might do then.
        (false, true) => {
            let held = block_on(async {
                let Some(store) = store_if_made(&settings).await? else { return Ok(None) };
                Ok(store.agents().await?.into_iter().find(|row| row.name == *name).and_then(|row| row.policy))
            })?;
            let missing = || usage(format!("no agents.{name} is configured or in the store; say by --profile what it may use"));
            held.ok_or_else(missing)?;
            Terms::Kept
        }
        (false, false) => {
            let mut known: Vec<String> = settings.profiles()?.into_keys().collect();
            if profiles.iter().any(|profile| !known.contains(profile)) {
                // They may stand in the store.
                let rows = block_on(async {
                    let Some(store) = store_if_made(&settings).await? else { return Ok(Vec::new()) };
                    Ok(store.profiles().await?)
                })?;
                let is_retired = |name: &String| rows.iter().any(|row| row.name == *name && row.retired_at.is_some());
                if let Some(retired) = profiles.iter().find(|name| !known.contains(name) && is_retired(name)) {
                    return Err(usage(format!("--profile {retired:?} is retired; edgeseal profiles reinstate {retired} first")));
                }
                known.extend(rows.iter().filter(|row| row.retired_at.is_none()).map(|row| row.name.clone()));
            }
            if let Some(unknown) = profiles.iter().find(|profile| !known.contains(profile)) {
                return Err(usage(format!("--profile {unknown:?} is not configured; the profiles are {}", known.join(", "))));
            }
            let policy = Policy {
                profiles: profiles.clone(),
                audiences: (!audiences.is_empty()).then(|| audiences.clone()),
                max_lifetime: max_lifetime.map(Lifetime::as_secs),
                required_claims: required_claims.clone(),
                forbidden_claims: forbidden_claims.clone(),
                rate: *rate,
            };
            policy
                .check(|profile| known.iter().any(|known| known == profile))
                .map_err(|Invalid { field, sentence }| usage(format!("{} {sentence}", flag(&field))))?;
            given = json!(policy).to_string();
            Terms::Given(&given)
        }
    };
    let shown = settings.public_certificate()?;
    let chain = tls::certificates("listen.public.certificate", &shown)?;
    // The last one is the authority, where the file has it: it stays when the listener's own certificate is renewed.
    let fingerprint: [u8; 32] = chain.last().map(|certificate| Sha256::digest(certificate).into()).unwrap_or_default();
    let invitation = Invitation::new(fingerprint)
        .map_err(|error| Failure::new(FailureKind::System, format!("this machine gives no randomness: {error}")))?;
    let (store, timing, at) = (settings.store()?, settings.timing()?, now());
    let expires_at = at.plus_secs(LIFETIME);
    block_on(async {
        let store = Store::open(&store).await?;
        let policy = if let Terms::Given(policy) = terms { Some(policy) } else { None };
        let detail = json!({ "policy": policy, "expires_at": Moment(expires_at).to_string() }).to_string();
        let ledger = Ledger::new(store.clone(), timing, Vec::new());
        ledger.record(&Actor::local(), "agents.invite", name, &detail).await?;
        Ok(store.invite(name, terms, &hash(invitation.secret()), at, expires_at).await?)
    })?;
    let code = invitation.code();
    if arguments.json {
        output::json(&json!({
            "agent": name, "code": code.as_str(), "expires_at": Moment(expires_at).to_string(),
            "fingerprint": Base64UrlUnpadded::encode_string(&fingerprint),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(code.as_str());
    output::note(format_args!(
        "good once, until {}; beside the application: edgeseal agent enroll --url {}, which asks for it",
        Moment(expires_at),
        settings.issuers()?.get("").map_or("https://SIGNER", String::as_str)
    ));
    Ok(ExitCode::SUCCESS)
}

/// The flag that says this member of a policy.
fn flag(member: &str) -> String {
    let flag = match member {
        "profiles" => "profile",
        "audiences" => "audience",
        "required_claims" => "require-claim",
        "forbidden_claims" => "forbid-claim",
        other => other,
    };
    format!("--{}", flag.replace('_', "-"))
}

/// An agent in the list.
struct Listed {
    profiles: Vec<String>,
    origin: &'static str,
    revoked_at: Option<String>,
    /// Whether certificates of another authority count no more, and there is none of ours.
    must_enrol: bool,
    invited_until: Option<String>,
    /// Certificates of ours that are good, and the last one's end.
    certificates: usize,
    not_after: Option<String>,
}

impl Listed {
    fn new(profiles: Vec<String>, origin: &'static str) -> Self {
        Self { profiles, origin, revoked_at: None, must_enrol: false, invited_until: None, certificates: 0, not_after: None }
    }

    /// How it stands with the signer.
    fn state(&self) -> String {
        if let Some(at) = &self.revoked_at {
            return format!("revoked {at}");
        }
        if self.certificates > 0 || (self.origin == CONFIGURATION && !self.must_enrol) {
            return "may ask".to_owned();
        }
        match &self.invited_until {
            Some(until) => format!("invited until {until}"),
            None if self.must_enrol => "has to enrol".to_owned(),
            None => "not enrolled".to_owned(),
        }
    }
}

/// Where an agent stands that is changed in the file alone.
const CONFIGURATION: &str = "configuration";

fn list(arguments: &Listing) -> Result<ExitCode, Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let configured = settings.agents(&settings.profiles()?)?;
    let (rows, barred, invited, certificates) = block_on(async {
        let (store, at) = (existing_store(&settings).await?, now());
        let (rows, barred) = (store.agents().await?, store.barred_agents().await?);
        Ok((rows, barred, store.invitations(at).await?, store.agent_certificates(at).await?))
    })?;
    let mut agents: BTreeMap<String, Listed> =
        configured.into_iter().map(|(name, agent)| (name, Listed::new(agent.profiles, CONFIGURATION))).collect();
    for row in rows {
        let policy: Option<Policy> = row.policy.and_then(|policy| serde_json::from_str(&policy).ok());
        let profiles = policy.map(|policy| policy.profiles).unwrap_or_default();
        let entry = agents.entry(row.name).or_insert_with(|| Listed::new(profiles, "invited"));
        entry.revoked_at = row.revoked_at.map(|at| Moment(at).to_string());
    }
    for (name, until) in invited {
        if let Some(entry) = agents.get_mut(&name) {
            entry.invited_until = Some(Moment(until).to_string());
        }
    }
    for (name, entry) in &mut agents {
        let good = certificates.iter().filter(|certificate| certificate.agent == *name && certificate.revoked_at.is_none());
        let last: Option<&AgentCertificate> = good.clone().max_by_key(|certificate| certificate.not_after);
        (entry.certificates, entry.not_after) = (good.count(), last.map(|certificate| Moment(certificate.not_after).to_string()));
        entry.must_enrol = entry.origin == CONFIGURATION && barred.contains(name) && entry.certificates == 0;
    }
    if arguments.json {
        let agents: Vec<Value> = agents
            .iter()
            .map(|(name, agent)| {
                let Listed { profiles, origin, revoked_at, must_enrol, invited_until, certificates, not_after } = agent;
                json!({
                    "agent": name, "profiles": profiles, "origin": origin, "revoked_at": revoked_at, "must_enrol": must_enrol,
                    "invited_until": invited_until, "certificates": certificates, "not_after": not_after,
                })
            })
            .collect();
        output::json(&json!({ "agents": agents }));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = agents
        .iter()
        .map(|(name, agent)| {
            let Listed { profiles, origin, certificates, not_after, .. } = agent;
            let shown =
                not_after.as_ref().map_or_else(|| "none of ours".to_owned(), |until| format!("{certificates}, until {until}"));
            vec![name.clone(), profiles.join(", "), (*origin).to_owned(), agent.state(), shown]
        })
        .collect();
    output::table(&["AGENT", "PROFILES", "FROM", "STATE", "CERTIFICATES"], &rows);
    Ok(ExitCode::SUCCESS)
}

fn revoke(arguments: &Revoke) -> Result<ExitCode, Failure> {
    let Revoke { name, yes, config } = arguments;
    let settings = config.load(Vec::new())?;
    consent(*yes, &format!("agent {name} and all its certificates will be refused at once, on open connections too"))?;
    let configured = settings.agents(&settings.profiles()?)?.contains_key(name);
    let timing = settings.timing()?;
    block_on(async {
        let store = existing_store(&settings).await?;
        if !configured && !store.agents().await?.iter().any(|agent| agent.name == *name) {
            return Err(Failure::new(FailureKind::Refused, format!("no agent {name} is known; edgeseal agents list shows all")));
        }
        let ledger = Ledger::new(store.clone(), timing, Vec::new());
        ledger.record(&Actor::local(), "agents.revoke", name, "{}").await?;
        Ok(store.revoke_agent(name, now()).await?)
    })?;
    output::line(format_args!(
        "agent {name} is refused from now on; edgeseal agents invite {name} lets it back with a new certificate"
    ));
    Ok(ExitCode::SUCCESS)
}

fn delete(arguments: &Revoke) -> Result<ExitCode, Failure> {
    let Revoke { name, yes, config } = arguments;
    let settings = config.load(Vec::new())?;
    if settings.agents(&settings.profiles()?)?.contains_key(name) {
        let sentence = format!(
            "agents.{name} stands in the configuration; take it out there (edgeseal agents revoke {name} refuses it at once)"
        );
        return Err(Failure::new(FailureKind::Usage, sentence));
    }
    let timing = settings.timing()?;
    block_on(async {
        let store = existing_store(&settings).await?;
        if !store.agents().await?.iter().any(|agent| agent.name == *name) {
            return Err(Failure::new(FailureKind::Refused, format!("no agent {name} is known; edgeseal agents list shows all")));
        }
        consent(*yes, &format!("agent {name} will be deleted, and all its certificates refused at once and for good"))?;
        Ok(Ledger::new(store, timing, Vec::new()).delete_agent(name, &Actor::local()).await?)
    })?;
    output::line(format_args!("agent {name} is deleted, and its certificates are refused for good"));
    Ok(ExitCode::SUCCESS)
}
