//! The running signer: HSM, registry and listeners put together, kept fresh, and ended in order.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use edgeseal_core::Timestamp;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    activity::Activity,
    agents::{AgentRoots, Authorities, Directory},
    audit::{Blinding, Event, Keeper, Log, LogEnd},
    config::{AuditConfig, SignerConfig, origin_of},
    console::{Console, Tries},
    error::{Failure, FailureKind},
    hsm::{KeyId, KeyStore, Pkcs11KeyStore, Pkcs11Settings, ProcessKeyStore},
    http::{
        self, Health, Newcomers, Service, Shared,
        door::{Clients, Door},
        listener::Bound,
        public,
    },
    issue::{Catalog, Issuer, rate::Limiter},
    keys::{Clock, Ledger, Moment, Registry, clock, now},
    metrics::{self, Metrics},
    revocation::Courier,
    store::Store,
    traces::Traces,
};

/// How often a test signature is made: thrice in the time that one stays believable.
const CANARY_INTERVAL: Duration = Duration::from_secs(10);
/// How often keys are looked after.
const TEND_INTERVAL: Duration = Duration::from_secs(10);
/// How long the end of the process waits for each of what it leaves in order: its leases, the audit log, the last checkpoint, the store.
const FAREWELL: Duration = Duration::from_secs(5);

/// The listeners, bound and with their TLS, before the HSM is asked for anything.
#[derive(Debug)]
pub struct Doors {
    public: Door,
    agents: Door,
    agent_roots: Arc<AgentRoots>,
    admin: Option<Door>,
    metrics: Option<Bound>,
}

impl Doors {
    /// Reads certificates and binds.
    ///
    /// # Errors
    /// A certificate that cannot be used, an address that cannot be listened on.
    pub async fn open(config: &SignerConfig) -> Result<Self, Failure> {
        let public = http::listener::bind(&config.public).await?;
        let agents = http::listener::bind(&config.agents).await?;
        let admin = match &config.admin {
            Some((listen, _)) => Some(http::listener::bind(listen).await?),
            None => None,
        };
        let metrics = match config.metrics {
            Some(address) => Some(http::listener::bind_address("listen.metrics.address", address).await?),
            None => None,
        };
        Self::with_sockets(config, public, agents, admin, metrics)
    }

    /// The same, around sockets that are bound already.
    ///
    /// # Errors
    /// A certificate that cannot be used.
    pub fn with_sockets(
        config: &SignerConfig,
        public: Bound,
        agents: Bound,
        admin: Option<Bound>,
        metrics: Option<Bound>,
    ) -> Result<Self, Failure> {
        let agent_roots = AgentRoots::new();
        let public = Door::new(public, &config.public, Clients::Nobody)?;
        let of_agents = Clients::Agents { roots: Arc::clone(&agent_roots), client_ca: config.client_ca.clone() };
        let agents = Door::new(agents, &config.agents, of_agents)?;
        let admin = match (&config.admin, admin) {
            (Some((listen, client_ca)), Some(bound)) => Some(Door::new(bound, listen, Clients::Of(client_ca.clone()))?),
            _ => None,
        };
        Ok(Self { public, agents, agent_roots, admin, metrics })
    }

    /// Where the public, the agents' and the administrators' listener really listen.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr, Option<SocketAddr>) {
        (self.public.address(), self.agents.address(), self.admin.as_ref().map(Door::address))
    }
}

/// A signer that can serve.
pub struct Signer {
    service: Shared,
    doors: Doors,
    /// This process among signers.
    holder: String,
    rotates: bool,
    clock: Clock,
    keeper: Keeper,
    checkpoint_interval: Duration,
    audit_end: LogEnd,
}

/// Loads the module and logs in: on a thread that may block, or in worker processes.
///
/// # Errors
/// When the module, the token or the PIN is not what the settings say.
pub async fn open_hsm(settings: Pkcs11Settings) -> Result<Arc<dyn KeyStore>, Failure> {
    if settings.processes > 0 {
        let program = std::env::current_exe().map_err(|error| {
            Failure::new(FailureKind::System, format!("hsm.processes: this program cannot be found: {error}"))
        })?;
        return Ok(Arc::new(ProcessKeyStore::open(program, settings).await?));
    }
    let opened = tokio::task::spawn_blocking(move || Pkcs11KeyStore::open(settings)).await;
    match opened {
        Ok(opened) => Ok(Arc::new(opened?)),
        Err(error) => Err(Failure::new(FailureKind::Hsm, format!("hsm.module: opening it failed: {error}"))),
    }
}

impl Signer {
    /// Puts everything together and reads the registry. Nothing is served yet.
    ///
    /// # Errors
    /// When the store cannot be opened or read.
    pub async fn prepare(config: SignerConfig, hsm: Arc<dyn KeyStore>, doors: Doors) -> Result<Self, Failure> {
        let store = Store::open(&config.store).await?;
        let clock = first_look(&store, config.timing.dangerous_activation_delay.is_none()).await?;
        let lease = Duration::from_secs(config.timing.lease);
        let profiles = Catalog::new(config.profile_settings, config.surroundings, store.clone());
        let AuditConfig { deadline, checkpoint_interval, hmac_key_file } = config.audit;
        let blinding = hmac_key_file.map(|path| Blinding::open("audit.hmac_key_file", &path)).transpose()?;
        let (audit, audit_end) = Log::begin(store.clone(), deadline, blinding.unwrap_or_else(Blinding::none)).await?;
        let ledger = Ledger::new(store.clone(), config.timing, config.slots);
        let ledger = ledger
            .with_issuers(config.issuers.clone())
            .with_log(audit.clone())
            .with_second_person_after(config.second_person_after);
        let described = hsm.description();
        let registry = Arc::new(Registry::new(ledger, hsm).with_clock(clock.clone()));
        let keeper = Keeper::new(store.clone(), Arc::clone(&registry));
        let longest = config.profiles.values().map(|profile| (profile.name.as_str(), profile.max_lifetime.as_secs())).collect();
        registry.allow_lifetimes(&longest).await?;
        registry.refresh().await?;
        // The first start makes the audit key; without one the signer still signs, and tries again at every checkpoint.
        if let Err(error) = keeper.checkpoint().await {
            tracing::error!(%error, "no checkpoint of the audit log");
        }
        let url = config.issuers.get("").cloned().unwrap_or_default();
        let holder = KeyId::random().map_or_else(|_| std::process::id().to_string(), |random| random.to_string());
        let courier =
            Courier::new(store.clone(), Arc::clone(&registry), audit.clone(), url.clone(), config.edges, holder.clone())?;
        let newcomers = Newcomers { url: origin_of(&url).to_owned(), certificate: config.public.certificate.clone() };
        let authorities = Authorities::new(Arc::clone(&registry), store.clone(), config.enrolment.lifetime);
        let console = config.console.map(|config| Arc::new(Console { config, store: store.clone(), tries: Tries::default() }));
        let agents = Directory::new(config.agent_policies, Arc::clone(&doors.agent_roots), store, lease);
        agents.refresh().await?;
        let metrics = Metrics::default();
        let issuer = Issuer::new(url, config.profiles, config.schemas, registry, lease, audit.clone(), metrics.clone());
        profiles.refresh(&issuer).await?;
        let service = Service {
            issuer,
            issuers: config.issuers,
            agents,
            authorities,
            enrolments: Limiter::default(),
            renewals: Tries::default(),
            repetitions: Limiter::default(),
            signers: config.enrolment.signers,
            agents_listener: config.agents,
            console,
            health: Health::default(),
            audit,
            metrics,
            courier: Arc::new(courier),
            newcomers,
            profiles,
            keeper: keeper.clone(),
            activity: Activity::default(),
            hsm: described,
            traces: config.traces.map(Traces::begin).unwrap_or_default(),
        };
        let (service, rotates) = (Arc::new(service), config.rotates);
        Ok(Self { service, doors, holder, rotates, clock, keeper, checkpoint_interval, audit_end })
    }

    /// The registry of keys.
    pub fn registry(&self) -> &Arc<Registry> {
        self.service.issuer.registry()
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.service.agents.store()
    }

    /// Serves until `stop` becomes true, then drains.
    pub async fn serve(self, stop: watch::Receiver<bool>) {
        let Self { service, doors, holder, rotates, clock, keeper, checkpoint_interval, audit_end } = self;
        let Doors { public, agents, admin, agent_roots: _, metrics: metrics_door } = doors;
        let mut background = JoinSet::new();
        background.spawn(refresh(Arc::clone(&service)));
        background.spawn(tend(Arc::clone(&service), holder.clone(), rotates, clock));
        background.spawn(canary(Arc::clone(&service)));
        background.spawn(checkpoints(keeper.clone(), checkpoint_interval));
        background.spawn(Arc::clone(&service.courier).run());
        let at_public = http::public::router(Arc::clone(&service));
        let at_agents = http::agents::router(Arc::clone(&service));
        let (at_public, at_agents) = (counted(at_public, &service), counted(at_agents, &service));
        let administrators = async {
            if let Some(admin) = admin {
                admin.serve(http::admin::router(Arc::clone(&service), stop.clone()), stop.clone()).await;
            }
        };
        let numbers = async {
            if let Some(bound) = metrics_door {
                bound.serve(None, numbers(Arc::clone(&service)), stop.clone()).await;
            }
        };
        tokio::join!(public.serve(at_public, stop.clone()), agents.serve(at_agents, stop.clone()), administrators, numbers);
        background.shutdown().await;
        // Another signer need not wait until it is sure that this one is gone.
        let step_down = async {
            service.courier.step_down().await;
            if let Err(error) = service.issuer.registry().step_down(&holder).await {
                tracing::debug!(%error, "stepping down");
            }
        };
        if tokio::time::timeout(FAREWELL, step_down).await.is_err() {
            tracing::warn!("the leases were not given back in time");
        }
        // With the last request gone, the log writes what it still has, and one more checkpoint speaks for all of it.
        if tokio::time::timeout(FAREWELL, audit_end.end()).await.is_err() {
            tracing::error!("the audit log was not written to its end");
        }
        match tokio::time::timeout(FAREWELL, keeper.checkpoint()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "no last checkpoint of the audit log"),
            Err(_) => tracing::warn!("no last checkpoint of the audit log in time"),
        }
        // What a process leaves is one file, which can be copied or moved without what lies beside it.
        if tokio::time::timeout(FAREWELL, service.agents.store().close()).await.is_err() {
            tracing::warn!("the store was not closed in time");
        }
        tracing::info!("ended");
    }
}

/// Becomes true when the process is told to end: SIGTERM, SIGINT.
///
/// # Errors
/// When signals cannot be listened to.
pub fn told_to_end() -> Result<watch::Receiver<bool>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error: std::io::Error| Failure::new(FailureKind::System, format!("signals cannot be listened to: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        }
        stop.send_replace(true);
        // The sender lives until the process ends, so that receivers see the value and not its loss.
        std::future::pending::<()>().await;
    });
    Ok(stopped)
}

/// Reads the registry well within the lease, so that a key made elsewhere is known here in time.
async fn refresh(service: Shared) {
    let mut interval = tokio::time::interval((service.issuer.lease() / 4).max(Duration::from_millis(100)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut failing, mut behind) = (false, false);
    loop {
        interval.tick().await;
        // The agents as well: their first authority may have been made by another signer, and without it none of them comes here.
        let followed = match service.profiles.refresh(&service.issuer).await {
            Ok(()) => service.agents.refresh().await,
            failed @ Err(_) => failed,
        };
        if let Err(error) = &followed
            && !behind
        {
            tracing::warn!(%error, "the profiles and agents of the store cannot be followed");
        }
        behind = followed.is_err();
        match service.issuer.registry().refresh().await {
            Ok(_) if failing => {
                failing = false;
                tracing::info!("the registry can be read again");
            }
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "the registry cannot be read; signing ends with the lease");
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Begins to watch the clock, before this process writes by it. Nothing of a `dev` is worth waiting for.
async fn first_look(store: &Store, doubts: bool) -> Result<Clock, Failure> {
    let moment = now();
    let before = Timestamp::from_secs(moment.as_secs().saturating_sub(clock::PROBATION.as_secs()));
    // The very last row, where that is from later than now: a clock that is behind has rows enough of just before.
    let last = store.audit_written_by(Timestamp::from_millis(u64::MAX)).await?;
    let written = match last.filter(|at| moment.plus_secs(clock::TOLERANCE) < *at) {
        None => store.audit_written_by(before).await?,
        from_later => from_later,
    };
    let clock = Clock::new(Instant::now(), moment, written.filter(|_| doubts));
    if !clock.is_believed(Instant::now()) {
        let last = written.map(|at| Moment(at).to_string());
        tracing::warn!(now = %Moment(moment), last, "the clock is far from the audit log's last row; keys are left as they are for 5 minutes");
    }
    Ok(clock)
}

async fn tend(service: Shared, holder: String, rotates: bool, clock: Clock) {
    let mut interval = tokio::time::interval(TEND_INTERVAL);
    let mut led = false;
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unsaid = Vec::new();
    loop {
        interval.tick().await;
        let moment = now();
        if let Some(seconds) = clock.look(Instant::now(), moment) {
            tracing::error!(seconds, "the clock was set; keys are left as they are until it has run on for some minutes");
            unsaid.push(seconds);
            // Another signer, whose clock may be right, need not wait for a lease that ends by a wrong one.
            if let Err(error) = service.issuer.registry().step_down(&holder).await {
                tracing::warn!(%error, "stepping down");
            }
            led = false;
        }
        while let Some(seconds) = unsaid.first() {
            let said = service.audit.append(Event::new("system", "clock.set", "").with("seconds", *seconds)).await;
            if let Err(error) = said {
                tracing::warn!(%error, "the audit log is yet to say that somebody set the clock");
                break;
            }
            unsaid.remove(0);
        }
        if !clock.is_believed(Instant::now()) {
            continue;
        }
        if let Err(error) = service.agents.store().forget_requests(moment).await {
            tracing::warn!(%error, "forgetting requests that may not be repeated any more");
        }
        if let Err(error) = service.agents.store().forget_agent_certificates(moment).await {
            tracing::warn!(%error, "forgetting certificates of agents that have ended");
        }
        if let Err(error) = service.agents.store().forget_revocations(moment).await {
            tracing::warn!(%error, "forgetting revocations that have ended");
        }
        if let Some(console) = &service.console
            && let Err(error) = console.forget().await
        {
            tracing::warn!(%error, "forgetting sessions that have ended");
        }
        match service.issuer.registry().tend(&holder, rotates).await {
            Ok(leads) if leads != led => {
                led = leads;
                tracing::info!(leads, "tending the keys");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "tending the keys"),
        }
    }
}

fn counted(router: Router, service: &Shared) -> Router {
    router.layer(axum::middleware::from_fn_with_state(Arc::clone(service), metrics::count))
}

/// `/metrics` in the clear: numbers only, on an address that somebody chose.
fn numbers(service: Shared) -> Router {
    let router = Router::new().route("/metrics", axum::routing::get(metrics::show)).fallback(public::not_found);
    router.method_not_allowed_fallback(public::method_not_allowed).with_state(service)
}

/// Signs how far the audit log has come.
async fn checkpoints(keeper: Keeper, every: Duration) {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = keeper.checkpoint().await {
            tracing::error!(%error, "no checkpoint of the audit log");
        }
    }
}

/// Proves with a real signature that the signer can sign; one active key after the other.
async fn canary(service: Shared) {
    let mut interval = tokio::time::interval(CANARY_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for turn in 0_usize.. {
        interval.tick().await;
        if let Err(reason) = prove(&service, turn).await {
            service.health.canary_failed(reason);
        }
        // A first key may come any moment, and the signer is ready with it.
        if service.issuer.registry().snapshot().active.is_empty() {
            interval.reset_after(Duration::from_secs(1));
        }
    }
}

/// Signs with the key whose turn it is, and where that one cannot while the HSM answers, with the next: what a single profile lacks
/// takes no signer out of service.
async fn prove(service: &Shared, turn: usize) -> Result<(), &'static str> {
    let snapshot = service.issuer.registry().snapshot();
    let keys = snapshot.active.values();
    let count = keys.len();
    service.health.only(keys.clone().map(|key| key.kid.as_str()));
    if count == 0 {
        return Err("no profile has an active key");
    }
    for key in keys.cycle().skip(turn % count).take(count) {
        // Test signatures are in the ledger too: no row, no signature.
        if let Err(error) = service.audit.append(Event::new("system", "canary.intent", key.kid.as_str())).await {
            tracing::error!(%error, "no test signature, since the audit log cannot be written");
            return Err("the audit log cannot be written");
        }
        let Err(error) = service.issuer.registry().canary(key).await else {
            service.health.canary_succeeded(&key.kid);
            return Ok(());
        };
        tracing::error!(kid = key.kid, %error, "the test signature failed");
        if !error.is_of_the_key() {
            break;
        }
        service.health.key_failed(&key.kid);
    }
    Err("the last test signature failed")
}
