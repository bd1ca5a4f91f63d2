//! The vectors of `DPoP` proofs: the committed file is what the generator writes, every check of RFC 9449 section 4.3 has one that
//! fails, and core judges each request as a gateway would.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use edgeseal_core::{
    Algorithm, DpopProof, DpopRequest, DpopSettings, Finished, JwkSet, Policy, Possession, Timestamp, UnverifiedToken, Verifier,
    backend::{SignatureBackend as _, rustcrypto::RustCrypto},
    http::{Refusal, Scheme},
};
use edgeseal_tests::vectors::{
    AUDIENCE, ISSUER,
    dpop::{FILE, Request, issuer_keys, requests, to_jsonl},
};

#[test]
fn the_committed_file_is_what_the_generator_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(FILE);
    let committed = fs::read(&path).unwrap_or_default();
    assert!(
        committed == to_jsonl(),
        "tests/vectors/{FILE} is not what generate-vectors writes: run `cargo run -p edgeseal-tests`"
    );
}

#[test]
fn every_check_of_section_4_3_has_a_failing_vector_and_every_control_passes() {
    let failing: BTreeSet<String> =
        requests().into_iter().filter(|request| request.code.is_some()).map(|request| request.check).collect();
    for check in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12a", "12b", "7.1", "7.2", "11.1"] {
        assert!(failing.contains(check), "nothing fails at {check}");
    }
    assert!(
        requests()
            .iter()
            .all(|request| request.code.is_some() != request.check.is_empty() || request.id == "dpop-unbound-bearer")
    );
}

#[test]
fn core_judges_every_request_as_it_says() {
    let all: BTreeMap<String, Request> = requests().into_iter().map(|request| (request.id.clone(), request)).collect();
    for request in all.values() {
        let mut seen = BTreeSet::new();
        if let Some(before) = &request.after {
            assert_eq!(judged(&all[before], &mut seen), None, "{before}");
        }
        assert_eq!(judged(request, &mut seen), request.code, "{}: {}", request.id, request.why);
    }
    assert!(all.len() > 80, "only {} requests", all.len());
}

#[test]
fn a_refusal_says_no_query_since_a_token_may_stand_in_one() {
    let mut request = requests().into_iter().find(|request| request.code.is_none() && request.scheme == "DPoP").unwrap();
    request.url = "https://api.example:443/elsewhere?access_token=eyJhbGciOi.secret".into();
    let refusal = accepted(&request, &mut BTreeSet::new()).unwrap_err();
    assert!(refusal.detail().ends_with("asked was \"https://api.example/elsewhere\""), "{}", refusal.detail());
    request.url = "ws:elsewhere?access_token=eyJhbGciOi.secret".into();
    let refusal = accepted(&request, &mut BTreeSet::new()).unwrap_err();
    assert!(refusal.detail().ends_with("asked was no URL of HTTP"), "{}", refusal.detail());
}

/// The code of the refusal; `seen` is the replay store.
fn judged(request: &Request, seen: &mut BTreeSet<String>) -> Option<String> {
    accepted(request, seen).err().map(|refusal| refusal.code().to_owned())
}

fn accepted(request: &Request, seen: &mut BTreeSet<String>) -> Result<(), Refusal> {
    let policy = Policy::builder().issuer(ISSUER).audience(AUDIENCE).algorithms([Algorithm::Es256]).bound_tokens().build();
    let verifier = Verifier::new(policy);
    let now = Timestamp::from_secs(request.now);
    let scheme = Scheme::from_name(&request.scheme).unwrap();
    let keys = JwkSet::from_json(&issuer_keys()).unwrap();
    let pending = verifier.begin(UnverifiedToken::parse(&request.token)?, &keys)?;
    let answer = RustCrypto.verify(pending.input());
    let bound = match verifier.finish(pending, answer, now)? {
        Finished::Bound(bound) => bound,
        Finished::Verified(_) => return scheme.admits_unbound(),
        Finished::KeyBinding(_) => unreachable!("{} is no SD-JWT", request.id),
    };
    let field = (!request.fields.is_empty()).then(|| request.fields.join(", "));
    let key = match scheme.proof(field.as_deref())? {
        Some(field) => {
            let Request { method, url, token, nonces, .. } = request;
            let request = DpopRequest { method, url, access_token: token, nonces };
            Some(DpopProof::verify(&RustCrypto, field, &request, &DpopSettings::default(), now)?)
        }
        None => None,
    };
    verifier.prove(bound, &Possession { key: key.as_ref(), certificate: None }, now)?;
    let Some(key) = key else { return Ok(()) };
    assert!(key.replay_until() > now);
    if seen.insert(key.replay_id().to_owned()) { Ok(()) } else { Err(Refusal::proof_replayed("presented before")) }
}
