//! The HSM in worker processes: what ends one costs no request, and nothing secret is seen from outside.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    faults::{Faulty, change_pin, signatures_go_on_beside_a_generation_that_hangs},
    support::{Signer, until},
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
