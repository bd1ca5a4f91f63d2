//! The daemon's way to its signers: lost without a word, cut and mended, its certificates replaced by somebody else.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::{
    admin::{ALICE, ask as administer},
    agent::Agent,
    enrolment::{ask, enroll, invite},
    support::{AUDIENCE, Signer, until, write_private},
};

/// A network between an agent and a signer, which can be cut.
struct Link {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<TcpStream>>,
    made: AtomicUsize,
    /// Octets that came from the agent.
    octets: AtomicUsize,
    cut: AtomicBool,
    /// Connections up to this one carry nothing any more.
    lost: AtomicUsize,
}

impl Link {
    fn to(signer: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let port: u16 = signer.text("agent").rsplit_once(':').unwrap().1.parse().unwrap();
        let shared = Arc::new(Shared::default());
        let link = Self { url, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if shared.cut.load(Ordering::Relaxed) {
                    continue;
                }
                let number = shared.made.fetch_add(1, Ordering::Relaxed) + 1;
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let ways = [(&near, &far), (&far, &near)].map(|(from, to)| [from, to].map(|end| end.try_clone().unwrap()));
                for (way, [from, to]) in ways.into_iter().enumerate() {
                    let shared = Arc::clone(&shared);
                    std::thread::spawn(move || pass(from, to, number, way == 0, &shared));
                }
                shared.connections.lock().unwrap().extend([near, far]);
            }
        });
        link
    }

    fn made(&self) -> usize {
        self.shared.made.load(Ordering::Relaxed)
    }

    fn octets(&self) -> usize {
        self.shared.octets.load(Ordering::Relaxed)
    }

    /// Ends all connections and takes no others.
    fn cut(&self) {
        self.shared.cut.store(true, Ordering::Relaxed);
        for end in self.shared.connections.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.shared.cut.store(false, Ordering::Relaxed);
    }

    /// Of what is open nothing is heard again, as of a host without power; others can be made.
    fn lose(&self) {
        self.shared.lost.store(self.made(), Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, number: usize, counts: bool, shared: &Shared) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if number <= shared.lost.load(Ordering::Relaxed) {
            continue;
        }
        if counts {
            shared.octets.fetch_add(count, Ordering::Relaxed);
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

#[test]
fn the_first_signer_is_the_first_again_when_it_is_back() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let (near, far) = (Link::to(&signer), Link::to(&signer));
    let agent = Agent::start(folder.path(), &signer, &[&near.url, &far.url], "");
    agent.token(&ask());
    assert_eq!((near.made(), far.made()), (1, 0));
    near.cut();
    agent.token(&ask());
    assert_eq!(far.made(), 1);
    near.mend();
    until("tokens come from the first signer again", || {
        let before = far.octets();
        let began = near.octets();
        agent.token(&ask());
        // More than the signs of life, which pass on either way.
        near.octets() > began + 200 && far.octets() < before + 200
    });
}

#[test]
fn a_connection_that_was_lost_without_a_word_costs_nobody_a_token() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let link = Link::to(&signer);
    let agent = Agent::start(folder.path(), &signer, &[&link.url], "\n[log]\nlevel = \"debug\"");
    agent.token(&ask());
    link.lose();
    let began = Instant::now();
    agent.token(&ask());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(link.made(), 2);
    // While nobody asks it is noticed too, so that the next one does not wait for it.
    link.lose();
    let log = || agent.log().matches("a connection to a signer ended").count();
    until("the loss is noticed", || log() >= 2);
    agent.token(&ask());
    assert_eq!(link.made(), 3);
}

#[test]
fn files_that_somebody_else_renews_are_taken_up() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256"]);
    let [certificate, key, ca] = ["crt", "key", "ca"].map(|name| folder.path().join(name));
    let take = |from: &Path, to: &Path| write_private(to, &fs::read_to_string(from).unwrap());
    // An administrator's: to the agents' listener that is nobody, and its authority is not the signer's.
    let admin = &signer.ready["administrators"][0];
    let [stranger, strangers_key] = ["cert", "key"].map(|member| admin[member].as_str().unwrap());
    take(Path::new(stranger), &certificate);
    take(Path::new(strangers_key), &key);
    take(&signer.dir.join("tls/admin-ca.crt"), &ca);
    let settings = format!(
        "[agent]\nsocket = {:?}\nsigners = [{:?}]\nca = {ca:?}\ncertificate = {certificate:?}\nkey = {key:?}\n\n[log]\nlevel = \"info\"\n",
        folder.path().join("agent.sock"),
        signer.text("agent"),
    );
    fs::write(folder.path().join("agent.toml"), settings).unwrap();
    let agent = Agent::configured(folder.path());
    agent.post("/v1/tokens", &ask()).problem(503, "signer_unavailable");
    take(&signer.path("ca"), &ca);
    // Half of a pair changes nothing, and ends nothing.
    take(&signer.path("agent_cert"), &certificate);
    until("half of a pair is seen", || agent.log().contains("do not fit together"));
    agent.post("/v1/tokens", &ask()).problem(503, "signer_unavailable");
    take(&signer.path("agent_key"), &key);
    until("the pair is taken up", || agent.post("/v1/tokens", &ask()).status == 200);
    let token = agent.token(&ask());
    let verdict = agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE })).json();
    assert_eq!(verdict["claims"]["sub"], "alice", "{verdict}");
}

#[test]
fn who_only_verifies_hears_of_another_algorithm_of_an_issuer() {
    let folder = tempdir().unwrap();
    let signer = Signer::dev(folder.path(), &["--alg", "ES256", "--alg", "EdDSA"]);
    let settings = enroll(&signer, &invite(&signer, "verifier"), &folder.path().join("verifier")).ok();
    let settings = settings.replace("/run/edgeseal/agent.sock", folder.path().join("agent.sock").to_str().unwrap());
    fs::write(folder.path().join("agent.toml"), settings.replace("https://SIGNER:8444", signer.text("agent"))).unwrap();
    let agent = Agent::configured(folder.path());
    let verify = |profile: &str| {
        let token = signer.issue(profile);
        agent.post("/v1/verify", &json!({ "token": token, "audience": AUDIENCE }))
    };
    assert_eq!(verify("default").json()["claims"]["sub"], "alice");
    verify("eddsa").problem(401, "algorithm_not_allowed");
    let policy: Value = json!({ "profiles": ["default", "eddsa"] });
    assert_eq!(administer(&signer, ALICE, "PUT", "/admin/v1/agents/verifier", Some(policy)).status, 200);
    until("the other algorithm is known", || verify("eddsa").status == 200);
    assert_eq!(verify("default").status, 200);
}
