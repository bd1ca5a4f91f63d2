//! `edgeseal doctor`: look at everything that the signer needs, and say how to mend what is wrong.

mod agent;
mod speed;

use std::{path::Path, process::ExitCode};

use clap::Args;
use edgeseal_core::Algorithm;
use serde_json::{Value, json};

use super::{ConfigArguments, block_on, output, refused};
use crate::{
    config::Settings,
    error::Failure,
    hsm::{KeyKind, KeyStore},
    http::tls,
    keys::{Ledger, Moment, now},
    service::open_hsm,
    store::{Store, StoreSettings},
};

/// Seconds: a certificate that ends sooner wants attention.
const SOON: u64 = 7 * 86_400;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Do not measure how fast the HSM signs: beside a signer that serves, this takes sessions and throughput
    #[arg(long)]
    no_speed: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

struct Finding {
    what: &'static str,
    fine: bool,
    detail: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = arguments.config.load(Vec::new())?;
    let (findings, rates) = block_on(async { Ok(examine(&settings, !arguments.no_speed).await) })?;
    let fine = findings.iter().all(|finding| finding.fine);
    if arguments.json {
        let checks: Vec<Value> = findings
            .iter()
            .map(|Finding { what, fine, detail }| json!({ "check": what, "ok": fine, "detail": detail }))
            .collect();
        output::json(&json!({ "ok": fine, "checks": checks, "speed": rates }));
    } else {
        for Finding { what, fine, detail } in &findings {
            output::line(format_args!("  {} {what:<13} {detail}", if *fine { "✓" } else { "✗" }));
        }
    }
    Ok(if fine { ExitCode::SUCCESS } else { refused() })
}

async fn examine(settings: &Settings, with_speed: bool) -> (Vec<Finding>, Vec<speed::Rate>) {
    if settings.is_of_agent() {
        return (agent::examine(settings).await, Vec::new());
    }
    let mut findings = Vec::new();
    let mut rates = Vec::new();
    let mut note = |what: &'static str, outcome: Result<String, String>| {
        let (fine, detail) = match outcome {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        findings.push(Finding { what, fine, detail });
    };
    let config = settings.signer();
    note(
        "configuration",
        config
            .as_ref()
            .map(|config| format!("issuer {}", config.issuers.values().cloned().collect::<Vec<_>>().join(", ")))
            .map_err(ToString::to_string),
    );

    let hsm = match settings.hsm() {
        Ok(hsm) => open_hsm(hsm).await,
        Err(failure) => Err(failure),
    };
    match &hsm {
        Ok(hsm) => {
            let about = hsm.description();
            note("module", Ok(format!("{}   {}, {} tokens", about.module, about.library, about.slots)));
            let limit = about.max_sessions.map_or_else(|| "∞".to_owned(), |limit| limit.to_string());
            note(
                "token",
                Ok(format!(
                    "{:?} slot {}, login ok, {} signing threads (module allows {limit} sessions)",
                    about.token, about.slot, about.threads
                )),
            );
            note("mechanisms", mechanisms(hsm.as_ref()));
        }
        Err(failure) => note("module", Err(failure.to_string())),
    }

    let store = match settings.store() {
        Ok(StoreSettings::Sqlite(path)) if !path.exists() => {
            Err(Failure::configuration(format!("store.path {} does not exist yet; edgeseal serve makes it", path.display())))
        }
        Ok(settings) => Store::open(&settings).await.map(|store| (store, settings)).map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match (store, settings.timing()) {
        (Ok((store, place)), Ok(timing)) => {
            let keys = store.keys().await;
            match &keys {
                Ok(keys) => {
                    let newest = keys.iter().map(|key| key.created_at).max();
                    let shown = keys.iter().filter(|key| key.state.in_jwk_set()).count();
                    note("store", Ok(format!("{place}   {} keys, {shown} in the JWK Set", keys.len())));
                    note("clock", clock(newest));
                }
                Err(error) => note("store", Err(error.to_string())),
            }
            if let (true, Ok(hsm), Ok(settings), Ok(keys)) = (with_speed, hsm, settings.hsm(), keys) {
                // One process has one context of a module, and the measurements are contexts of their own.
                drop(hsm);
                match speed::measure(&settings, &keys, &Ledger::new(store, timing, Vec::new())).await {
                    Ok(measured) => {
                        note("speed", Ok(speed::told(&measured, settings.threads)));
                        rates = measured;
                    }
                    Err(reason) => note("speed", Err(reason)),
                }
            }
        }
        (Err(failure), _) | (_, Err(failure)) => {
            note("store", Err(failure.to_string()));
            note("clock", clock(None));
        }
    }

    if let Ok(config) = config {
        for (setting, path) in
            [("listen.public.certificate", &config.public.certificate), ("listen.agents.certificate", &config.agents.certificate)]
        {
            note("certificate", certificate(setting, path));
        }
        if let Some(path) = &config.client_ca {
            note("certificate", certificate("listen.agents.client_ca", path));
        }
        if let Some((listen, client_ca)) = &config.admin {
            note("certificate", certificate("listen.admin.certificate", &listen.certificate));
            note("certificate", certificate("listen.admin.client_ca", client_ca));
        }
    }
    (findings, rates)
}

fn mechanisms(hsm: &dyn KeyStore) -> Result<String, String> {
    let mut some = false;
    let shown: Vec<String> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| {
            let sizes = match KeyKind::of(algorithm, 2_048) {
                KeyKind::Rsa(_) => vec![2_048, 3_072, 4_096],
                _ => vec![0],
            };
            let has: Vec<String> = sizes
                .iter()
                .filter(|bits| hsm.supports(algorithm, KeyKind::of(algorithm, **bits)))
                .map(ToString::to_string)
                .collect();
            some |= !has.is_empty();
            match (has.len(), sizes.len()) {
                (0, _) => format!("{algorithm} ✗"),
                (have, all) if have == all => format!("{algorithm} ✓"),
                _ => format!("{algorithm} ({})", has.join(", ")),
            }
        })
        .collect();
    if some { Ok(shown.join(" ")) } else { Err(format!("{}; the module can sign nothing that JOSE knows", shown.join(" "))) }
}

/// Without another clock to ask, the registry's newest row is what time must have passed.
fn clock(newest: Option<edgeseal_core::Timestamp>) -> Result<String, String> {
    let moment = now();
    match newest {
        Some(newest) if newest > moment.plus_secs(1) => Err(format!(
            "it is {} here, and the newest key is of {}; set the clock (timedatectl set-ntp true): tokens would be issued in the past",
            Moment(moment),
            Moment(newest)
        )),
        _ => Ok(format!("{} UTC", Moment(moment))),
    }
}

fn certificate(setting: &str, path: &Path) -> Result<String, String> {
    let chain = tls::certificates(setting, path).map_err(|failure| failure.to_string())?;
    let end = chain
        .first()
        .and_then(tls::not_after)
        .ok_or_else(|| format!("{setting} {} cannot be read as X.509; mend: put another there", path.display()))?;
    let shown = Moment(edgeseal_core::Timestamp::from_secs(end));
    let moment = now().as_secs();
    if end <= moment {
        return Err(format!("{setting} {} ended on {shown}; mend: put a new one there", path.display()));
    }
    let left = (end - moment) / 86_400;
    if end - moment < SOON {
        return Err(format!("{setting} {} ends on {shown}, in {left} days; mend: put a new one there", path.display()));
    }
    Ok(format!("{setting} until {shown} ({left} days)"))
}
