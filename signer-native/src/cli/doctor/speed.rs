//! How fast the HSM signs, by threads and by worker processes, at the key store itself: without HTTP, policy or audit.

use std::{
    collections::BTreeSet,
    num::NonZero,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::Algorithm;
use serde::Serialize;
use serde_json::json;

use crate::{
    hsm::{KeyId, KeyStore, Pkcs11Settings},
    keys::{Actor, Key, Ledger, Purpose, State, registry::CANARY},
    service::open_hsm,
};

/// How long one measurement takes, after a tenth of it to warm up.
const MEASURE: Duration = Duration::from_millis(400);
/// Callers for each thread: there is always one that waits, as under load.
const CALLERS: usize = 8;
/// A tenth more is no reason for another setting.
const WORTH: f64 = 1.1;

/// Signatures per second of one algorithm's key in one arrangement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Rate {
    algorithm: Algorithm,
    /// 0: the module in one process.
    processes: usize,
    /// Threads of each process.
    threads: usize,
    per_second: u32,
}

/// Measures one active key of each algorithm in every arrangement that may be worth it here: keys of tokens, and after the audit
/// log says so.
pub(super) async fn measure(settings: &Pkcs11Settings, keys: &[Key], ledger: &Ledger) -> Result<Vec<Rate>, String> {
    let mut seen = BTreeSet::new();
    let measured = |key: &&Key| key.state == State::Active && key.purpose == Purpose::Token;
    let keys: Vec<&Key> = keys.iter().filter(measured).filter(|key| seen.insert(key.algorithm.name())).collect();
    if keys.is_empty() {
        return Err("no active key to measure with; edgeseal keys generate, then edgeseal keys activate".to_owned());
    }
    let message = announced(&keys, ledger).await?;
    let keys: Vec<(KeyId, Algorithm)> = keys.into_iter().map(|key| (key.id, key.algorithm)).collect();
    let cores = available_parallelism().map_or(1, NonZero::get);
    let threads: BTreeSet<usize> = [1, 2, settings.threads, cores].into_iter().collect();
    let mut arrangements: Vec<(usize, usize)> = threads.into_iter().map(|threads| (0, threads)).collect();
    if cores > 1 {
        arrangements.push((cores.min(4), 1));
    }
    let mut rates = Vec::new();
    for (processes, threads) in arrangements {
        let settings = Pkcs11Settings { processes, threads, ..settings.clone() };
        let hsm = open_hsm(settings).await.map_err(|failure| failure.to_string())?;
        for (id, algorithm) in &keys {
            let callers = CALLERS * threads * processes.max(1);
            rate(&hsm, (*id, *algorithm), &message, callers, MEASURE / 10).await?;
            let per_second = rate(&hsm, (*id, *algorithm), &message, callers, MEASURE).await?;
            rates.push(Rate { algorithm: *algorithm, processes, threads, per_second });
        }
    }
    Ok(rates)
}

/// What is going to be signed, which could be no token, when there is a row that says so for each of the keys.
async fn announced(keys: &[&Key], ledger: &Ledger) -> Result<Vec<u8>, String> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| format!("nothing was measured, since there is no randomness: {error}"))?;
    let detail = json!({ "nonce": Base64UrlUnpadded::encode_string(&nonce) }).to_string();
    for key in keys {
        ledger
            .record(&Actor::local(), "keys.measure", key.kid().unwrap_or_default(), &detail)
            .await
            .map_err(|error| format!("nothing was measured, since the audit log cannot be written: {error}"))?;
    }
    Ok([CANARY, &nonce].concat())
}

async fn rate(
    hsm: &Arc<dyn KeyStore>,
    (id, algorithm): (KeyId, Algorithm),
    message: &[u8],
    callers: usize,
    span: Duration,
) -> Result<u32, String> {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (hsm, message) = (Arc::clone(hsm), message.to_vec());
        tasks.spawn(async move {
            let mut count = 0_u32;
            while began.elapsed() < span {
                hsm.sign(id, algorithm, message.clone()).await?;
                count += 1;
            }
            Ok::<u32, crate::hsm::HsmError>(count)
        });
    }
    let mut total = 0_u32;
    while let Some(done) = tasks.join_next().await {
        total += done.map_err(|error| error.to_string())?.map_err(|error| format!("{algorithm}: {error}"))?;
    }
    let per_second = f64::from(total) / began.elapsed().as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate far below 2^32, never negative")]
    Ok(per_second.round() as u32)
}

/// The measurements in words, with what they say about the settings.
pub(super) fn told(rates: &[Rate], configured: usize) -> String {
    let mut algorithms: Vec<Algorithm> = rates.iter().map(|rate| rate.algorithm).collect();
    algorithms.dedup();
    let mut seen = BTreeSet::new();
    algorithms.retain(|algorithm| seen.insert(algorithm.name()));
    let told: Vec<String> = algorithms.into_iter().map(|algorithm| of(algorithm, rates, configured)).collect();
    told.join("; ")
}

fn of(algorithm: Algorithm, rates: &[Rate], configured: usize) -> String {
    let of_it = || rates.iter().filter(|rate| rate.algorithm == algorithm);
    let inside: Vec<&Rate> = of_it().filter(|rate| rate.processes == 0).collect();
    let most = inside.iter().map(|rate| rate.per_second).max().unwrap_or(0);
    let enough = inside.iter().find(|rate| f64::from(rate.per_second) * WORTH >= f64::from(most));
    let Some(enough) = enough else { return format!("{algorithm} not measured") };
    let threads = |count: usize| if count == 1 { "1 thread".to_owned() } else { format!("{count} threads") };
    let advice = match enough.threads {
        threads if threads == configured => "more do not help".to_owned(),
        threads if threads < configured => "more do not help; hsm.threads may be less".to_owned(),
        threads => format!("set hsm.threads = {threads}"),
    };
    let inside = format!("{algorithm} {}/s with {}, {advice}", enough.per_second, threads(enough.threads));
    let processes = of_it().filter(|rate| rate.processes > 0).map(|rate| {
        let times = f64::from(rate.per_second) / f64::from(most.max(1));
        let advice = if times >= WORTH { "" } else { ", not worth it" };
        format!("{}/s with hsm.processes = {} ({times:.2} x{advice})", rate.per_second, rate.processes)
    });
    std::iter::once(inside).chain(processes).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(of: &[(usize, usize, u32)]) -> Vec<Rate> {
        let rate = |(processes, threads, per_second): &(usize, usize, u32)| Rate {
            algorithm: Algorithm::Es256,
            processes: *processes,
            threads: *threads,
            per_second: *per_second,
        };
        of.iter().map(rate).collect()
    }

    #[test]
    fn a_module_that_serializes_wants_processes() {
        let told = told(&rates(&[(0, 1, 19_565), (0, 2, 19_964), (2, 1, 37_734)]), 2);
        assert_eq!(
            told,
            "ES256 19565/s with 1 thread, more do not help; hsm.threads may be less, 37734/s with hsm.processes = 2 (1.89 x)"
        );
    }

    #[test]
    fn a_module_that_does_not_wants_threads() {
        let told = told(&rates(&[(0, 1, 1_615), (0, 2, 3_019), (2, 1, 3_000)]), 1);
        assert_eq!(
            told,
            "ES256 3019/s with 2 threads, set hsm.threads = 2, 3000/s with hsm.processes = 2 (0.99 x, not worth it)"
        );
    }
}
