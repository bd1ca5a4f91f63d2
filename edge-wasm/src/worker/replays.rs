//! The replay store of `DPoP` proofs: Durable Objects, so that all isolates everywhere ask the same one. A proof is remembered by a digest
//! of its key and `jti` until its own time has passed.

use edgeseal_core::{ProvenKey, http::Refusal};
use worker::{DurableObject, Env, Method, Request, RequestInit, Response, Result, State, durable_object, wasm_bindgen};

use super::{bound::within, gateway::now};

/// The binding of the namespace.
pub(super) const BINDING: &str = "EDGESEAL_REPLAYS";
/// Milliseconds that the store may take to answer.
const TIMEOUT_MILLIS: u64 = 5_000;
/// Seconds for which a proof is remembered beyond its own time: clocks of isolates differ.
const SLACK_SECS: u64 = 60;
/// An address inside the object: no host resolves under this name.
const URL: &str = "https://replays.invalid/";

/// Asks the store of this key's shard, which remembers the proof from now on.
///
/// # Errors
/// `proof_replayed`; `replay_store_unavailable` (503) where the store does not answer or is not bound: a proof that cannot be remembered
/// is not accepted.
pub(super) async fn remember(env: &Env, key: &ProvenKey) -> Result<(), Refusal> {
    let answer = within(TIMEOUT_MILLIS, async { ask(env, key).await.map_err(|error| error.to_string()) });
    let answer = answer.await.map_err(|error| Refusal::replay_store_unavailable(format!("{BINDING}: {error}")))?;
    match answer.status_code() {
        204 => Ok(()),
        409 => Err(Refusal::proof_replayed("a proof of this key with this jti was accepted before")),
        status => Err(Refusal::replay_store_unavailable(format!("{BINDING} answered with status {status}"))),
    }
}

async fn ask(env: &Env, key: &ProvenKey) -> Result<Response> {
    // 64 shards: as many as a thumbprint's first character has values. A key is always asked for in the same one.
    let shard = key.thumbprint().get(..1).unwrap_or_default();
    let stub = env.durable_object(BINDING)?.get_by_name(shard)?;
    let mut init = RequestInit::new();
    init.with_method(Method::Put);
    let url = format!("{URL}{}?until={}", key.replay_id(), key.replay_until().plus_secs(SLACK_SECS).as_secs());
    stub.fetch_with_request(Request::new_with_init(&url, &init)?).await
}

/// One shard.
#[durable_object(fetch)]
pub struct EdgesealReplays {
    state: State,
}

impl DurableObject for EdgesealReplays {
    fn new(state: State, _: Env) -> Self {
        Self { state }
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        // Ours, as written above; the crate `url` would be a third of the Worker.
        let url = request.inner().url();
        let told = url.strip_prefix(URL).and_then(|rest| rest.split_once("?until="));
        let Some((id, Ok(until))) = told.map(|(id, until)| (id.to_owned(), until.parse::<i64>())) else {
            return Response::error("PUT /ID?until=SECONDS", 400);
        };
        let sql = self.state.storage().sql();
        sql.exec("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID", None)?;
        sql.exec("CREATE INDEX IF NOT EXISTS seen_until ON seen (until)", None)?;
        let now = i64::try_from(now().as_secs()).unwrap_or(i64::MAX);
        sql.exec("DELETE FROM seen WHERE until < ?", vec![now.into()])?;
        // One statement decides: whoever gets the row back was the first.
        let first = sql.exec(
            "INSERT INTO seen (id, until) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id",
            vec![id.into(), until.into()],
        )?;
        let is_first = first.raw().next().is_some();
        Ok(Response::empty()?.with_status(if is_first { 204 } else { 409 }))
    }
}
