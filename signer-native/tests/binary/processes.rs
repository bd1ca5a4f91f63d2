//! The HSM in worker processes: what ends one costs no request, and nothing secret is seen from outside.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::process::CommandExt as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    drills::sql,
    faults::{Faulty, Prepared, change_pin, signatures_go_on_beside_a_generation_that_hangs, signs_again_when_the_token_is_back},
    support::{AUDIENCE, Signer, until},
};

const TWO: &str = "processes = 2\nthreads = 1\ndeadline = \"3s\"";

/// The process ids of a signer's workers.
fn workers(signer: &Signer) -> BTreeSet<u32> {
    let parent = signer.pid();
    let children = fs::read_dir(format!("/proc/{parent}/task")).unwrap().flat_map(|task| {
        // A thread may end meanwhile.
        fs::read_to_string(task.unwrap().path().join("children"))
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    children.map(|pid| pid.parse().unwrap()).collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_killed_worker_costs_no_request() {
    let faulty = Faulty::serve(TWO);
    let before = workers(&faulty.signer);
    assert_eq!(before.len(), 2);
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..40).map(|_| faulty.ask().status).collect::<Vec<u16>>())).collect();
        for pid in &before {
            kill(*pid);
            until("another comes", || {
                let now = workers(&faulty.signer);
                now.len() == 2 && !now.contains(pid)
            });
        }
        for asker in askers {
            assert_eq!(asker.join().unwrap(), [200; 40]);
        }
    });
    faulty.signs();
    let after = workers(&faulty.signer);
    assert!(after.is_disjoint(&before), "{after:?} {before:?}");
    // The end of the signer is theirs.
    let ended = faulty.end_signer();
    assert_eq!(ended, Some(0));
    until("they have ended", || after.iter().all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap()));
}

/// What a terminal does at Ctrl-C, and when it is closed: everybody of the signer's group hears it.
#[test]
fn a_signal_to_the_signer_s_group_is_not_the_workers_to_hear() {
    let prepared = Prepared::new("processes = 2\nthreads = 1\ndeadline = \"20s\"");
    let mut command = prepared.command(&["serve"], &[]);
    command.process_group(0);
    let faulty = prepared.serve_by(command);
    let before = workers(&faulty.signer);
    assert_eq!(before.len(), 2);
    faulty.show("throttle");
    thread::scope(|scope| {
        let asked: Vec<_> = (0..4).map(|_| scope.spawn(|| faulty.ask())).collect();
        thread::park_timeout(Duration::from_secs(1));
        let group = format!("-{}", faulty.signer.pid());
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
        thread::park_timeout(Duration::from_millis(500));
        assert_eq!(workers(&faulty.signer), before);
        faulty.end();
        for answer in asked {
            let answer = answer.join().unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    faulty.proves();
}

#[test]
fn a_fault_ends_the_worker_and_not_the_request() {
    let faulty = Faulty::serve(TWO);
    for fault in ["object", "session", "failed", "logout", "device", "general"] {
        faulty.show(fault);
        let answer = faulty.ask();
        assert_eq!(answer.status, 200, "{fault}: {answer:?}");
        faulty.is_good(&answer);
        until("the fault was shown", || !faulty.fault.exists());
    }
    assert!(faulty.logins().iter().all(|answer| answer == "0"), "{:?}", faulty.logins());
}

#[test]
fn a_hanging_worker_is_ended() {
    let faulty = Faulty::serve(TWO);
    let before = workers(&faulty.signer);
    // Now and then the canary takes the fault.
    until("a call hangs", || {
        faulty.show("hang-once");
        faulty.ask().status == 503
    });
    // The call is never released: its process is gone.
    for _ in 0..20 {
        faulty.signs();
    }
    until("another comes", || workers(&faulty.signer).len() == 2);
    assert_ne!(workers(&faulty.signer), before);
}

#[test]
fn workers_whose_token_was_removed_come_back_with_it() {
    signs_again_when_the_token_is_back(Faulty::serve(TWO));
}

/// What somebody does to a private key with another tool.
fn delete(signer: &Signer, cka_id: &str) {
    let pin = fs::read_to_string(signer.path("pin_file")).unwrap();
    let deleted = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", signer.path("softhsm_conf"))
        .arg("--module")
        .arg(signer.path("pkcs11_module"))
        .args(["--token-label", "edgeseal", "--login", "--pin", &pin, "--delete-object", "--type", "privkey", "--id", cka_id])
        .output()
        .expect("pkcs11-tool (Debian: apt install opensc)");
    assert!(deleted.status.success(), "{deleted:?}");
}

/// A key of one profile that is gone is that profile's trouble, also where its handle was known.
fn a_key_that_is_gone_is_missing_to_its_own_profile_alone(settings: &str, most: usize) {
    let prepared = Prepared::new(settings);
    prepared.add_profiles(&["doomed".to_owned()]);
    let faulty = prepared.serve(&[]);
    let doomed = || faulty.signer.ask(&json!({ "profile": "doomed", "audience": AUDIENCE }).to_string());
    thread::scope(|scope| {
        for asked in [(); 4].map(|()| scope.spawn(doomed)) {
            assert_eq!(asked.join().unwrap().status, 200);
        }
    });
    let found = sql(&faulty.signer.dir, "SELECT cka_id FROM keys WHERE profile = 'doomed' AND state = 'active'");
    delete(&faulty.signer, found[0][0].as_str().unwrap());
    let mut seen = workers(&faulty.signer);
    let until = Instant::now() + Duration::from_secs(12);
    let others = thread::scope(|scope| {
        let askers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while Instant::now() < until {
                        doomed().problem(503, "hsm_unavailable");
                    }
                })
            })
            .collect();
        let others: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = Vec::new();
                    while Instant::now() < until {
                        statuses.push(faulty.ask().status);
                    }
                    statuses
                })
            })
            .collect();
        while Instant::now() < until {
            seen.extend(workers(&faulty.signer));
            thread::park_timeout(Duration::from_millis(20));
        }
        for asker in askers {
            asker.join().unwrap();
        }
        others.into_iter().flat_map(|asker| asker.join().unwrap()).collect::<Vec<u16>>()
    });
    let lost = others.iter().filter(|status| **status != 200).count();
    assert_eq!(lost, 0, "of {} requests for the other profile, with workers {seen:?}", others.len());
    assert!(seen.len() <= most, "{seen:?}");
    assert_eq!(faulty.ready(), 200);
    faulty.signs();
}

#[test]
fn a_key_that_is_gone_costs_no_other_profile_its_workers() {
    a_key_that_is_gone_is_missing_to_its_own_profile_alone(TWO, 4);
}

#[test]
fn a_key_that_is_gone_ends_the_only_worker_once() {
    a_key_that_is_gone_is_missing_to_its_own_profile_alone("processes = 1\nthreads = 2\ndeadline = \"3s\"", 2);
}

#[test]
fn a_key_that_is_gone_is_refused_alike_without_workers() {
    a_key_that_is_gone_is_missing_to_its_own_profile_alone("threads = 2\ndeadline = \"3s\"", 0);
}

#[test]
fn a_key_that_no_worker_sees_costs_each_its_place_once_and_no_request() {
    let faulty = Faulty::serve(TWO);
    faulty.signs();
    let before = workers(&faulty.signer);
    faulty.show("stale");
    let made = faulty.signer.run(&["keys", "generate", "--profile", "default", "--json"]).json();
    let kid = made["kid"].as_str().unwrap();
    faulty.signer.run(&["keys", "activate", kid]).ok();
    let mut seen = before.clone();
    until("both see it", || {
        thread::scope(|scope| {
            let asked = [(); 4].map(|()| scope.spawn(|| faulty.ask()));
            for answer in asked {
                let answer = answer.join().unwrap();
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        });
        let now = workers(&faulty.signer);
        seen.extend(&now);
        now.len() == 2 && now.is_disjoint(&before)
    });
    assert_eq!(faulty.ask().json()["kid"], kid);
    assert_eq!(seen.len(), 4, "{seen:?}");
    faulty.proves();
}

#[test]
fn a_generation_that_hangs_keeps_no_signature_waiting_in_any_worker() {
    signatures_go_on_beside_a_generation_that_hangs(Faulty::serve(TWO));
}

#[test]
fn a_wrong_pin_is_presented_once_by_all_workers_together() {
    let faulty = Faulty::serve(TWO);
    faulty.signs();
    let pin = fs::read_to_string(faulty.signer.path("pin_file")).unwrap();
    change_pin(&faulty.signer, &pin, "another-pin-1234");
    assert_eq!(faulty.logins(), ["0", "0"]);
    for pid in workers(&faulty.signer) {
        kill(pid);
    }
    until("it fails", || faulty.ask().status == 503);
    std::thread::park_timeout(std::time::Duration::from_secs(4));
    faulty.ask().problem(503, "hsm_unavailable");
    assert_eq!(faulty.logins(), ["0", "0", "a0"]);
}

#[test]
fn the_pin_is_in_no_worker_s_arguments_or_environment() {
    let faulty = Faulty::serve(TWO);
    let pin = fs::read_to_string(faulty.signer.path("pin_file")).unwrap();
    for pid in workers(&faulty.signer) {
        for name in ["cmdline", "environ"] {
            let shown = fs::read(format!("/proc/{pid}/{name}")).unwrap();
            assert!(!String::from_utf8_lossy(&shown).contains(pin.trim()), "{name}");
        }
    }
}
