//! Verifies a token against a JWK Set: `cargo run --example verify -- TOKEN jwks.json`.

use std::{
    env,
    error::Error,
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use edgeseal_core::{Algorithm, JwkSet, Policy, Timestamp, Verifier};

fn main() -> Result<(), Box<dyn Error>> {
    let [token, keys] = env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "usage: verify TOKEN jwks.json")?;
    let policy = Policy::builder()
        .issuer("https://login.example.com")
        .audience("https://api.example.com")
        .algorithms([Algorithm::Es256])
        .build();
    let keys = JwkSet::from_json(&fs::read_to_string(keys)?)?;
    let now = Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());

    let verified = Verifier::new(policy).verify(&token, &keys, now)?;
    println!("{}", verified.claims_json());
    Ok(())
}
