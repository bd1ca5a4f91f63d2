//! Writes a first corpus for every target into the folder named as argument, from the vectors: `cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds DIR`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use edgeseal_fuzz::oracle::base64url;
use serde_json::value::RawValue;

fn main() {
    let target = PathBuf::from(std::env::args().nth(1).expect("the folder to write to"));
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let mut count = BTreeMap::new();
    let mut seed = |name: &'static str, octets: &[u8]| {
        if octets.len() > 4096 {
            return;
        }
        let number = count.entry(name).or_insert(0);
        *number += 1;
        let folder = target.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("seed-{number}")), octets).unwrap();
    };
    for file in fs::read_dir(vectors).unwrap() {
        for line in fs::read(file.unwrap().path()).unwrap().split(|octet| *octet == b'\n') {
            let Ok(members) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(line) else { continue };
            if let Some(jwks) = members.get("jwks") {
                seed("jwk_set", jwks.get().as_bytes());
            }
            if let Some(jwk) = members.get("jwk") {
                seed("jwk_set", format!("{{\"keys\":[{}]}}", jwk.get()).as_bytes());
            }
            let Some(Ok(token)) = members.get("token").map(|token| serde_json::from_str::<String>(token.get())) else { continue };
            seed("token", token.as_bytes());
            let parts: Vec<&str> = token.split('.').collect();
            let [header, payload, signature] = parts[..] else { continue };
            seed("base64url", signature.as_bytes());
            if let (Some(header), Some(payload)) = (base64url(header), base64url(payload)) {
                seed("json", &header);
                seed("json", &payload);
                let header = String::from_utf8_lossy(&header);
                let header =
                    ["ES256", "RS256", "PS256", "ES384"].iter().fold(header.into_owned(), |text, alg| text.replace(alg, "EdDSA"));
                let payload = String::from_utf8_lossy(&payload)
                    .replace("https://issuer.example", edgeseal_fuzz::claims::ISSUER)
                    .replace("https://api.example", edgeseal_fuzz::claims::AUDIENCE);
                for flags in [[0, 4], [1, 0x3b], [0, 0xf4]] {
                    seed("claims", &[&[flags[0], flags[1], 128, 60], header.as_bytes(), &[0], payload.as_bytes()].concat());
                }
            }
        }
    }
    let proof = r##"{"iat":1749999990,"aud":"a","nonce":"n","sd_hash":"#hash"}"##;
    for (flags, parts) in [
        (0, vec![r##"{"aud":"a","_sd":["#0"]}"##, r##"["s","name","ada"]"##]),
        (
            0,
            vec![
                r##"{"aud":"a","_sd_alg":"sha-384","x":{"_sd":["#0","#1"],"y":[{"...":"#2"},1]}}"##,
                r##"["s","a",{"_sd":["#3"]}]"##,
                r##"["s","b",[]]"##,
                r##"["s",7]"##,
                r##"["s","c",null]"##,
            ],
        ),
        (
            1,
            vec![
                r##"{"aud":"a","cnf":{"jwk":"#jwk"},"_sd":["#0","z"],"_sd_alg":"sha-512"}"##,
                r##"["s","name",[{"...":"#1"}]]"##,
                r##"["s",{"a":1}]"##,
                proof,
            ],
        ),
        (3, vec![r##"{"aud":"a","cnf":{"jwk":"#jwk"}}"##, proof]),
        (0, vec![r##"{"aud":"a","_sd":["#0","#0"],"iss":{"_sd":["#1"]},"...":1}"##, r##"["s","_sd",1]"##, r##"["s","exp",1]"##]),
        // One fault each: a digest twice, a reserved name, a claim that may not be withheld, a disclosure that nothing refers to.
        (0, vec![r##"{"aud":"a","_sd":["#0","#0"]}"##, r##"["s","x",1]"##]),
        (0, vec![r##"{"aud":"a","x":{"_sd":["#0"]}}"##, r##"["s","_sd",1]"##]),
        (0, vec![r##"{"aud":"a","_sd":["#0"]}"##, r##"["s","exp",1750000100]"##]),
        (0, vec![r##"{"aud":"a"}"##, r##"["s","x",1]"##]),
    ] {
        seed("sd_jwt", &[&[flags], parts.join("\0").as_bytes()].concat());
    }
    // Times at their boundaries, without leeway, at the target's own time.
    for claims in [
        r#"{"exp":1750000000}"#,
        r#"{"exp":1750000001}"#,
        r#"{"exp":1750000001,"iat":1750000000}"#,
        r#"{"exp":1750000001,"nbf":1750000001}"#,
    ] {
        seed("claims", &[&[1, 3, 128, 0], br#"{"alg":"EdDSA"}"#.as_slice(), &[0], claims.as_bytes()].concat());
    }
    // Good signatures of every algorithm under every key, salts of other lengths, and one fault each at all stages.
    for algorithm in 0..6 {
        for key in 0..12 {
            seed("rsa", &[algorithm, key / 3, key % 3, 0]);
        }
        for surplus in [1, 0xff, 0xe0] {
            seed("rsa", &[algorithm, algorithm, surplus, surplus]);
        }
        for fault in 0..12 {
            seed(
                "rsa",
                &[algorithm, fault, algorithm, 0, fault, fault.wrapping_mul(37), 1 << (fault % 8), 1, 2, 3, 0, 0, 0, 0xff, fault],
            );
        }
    }
    for kind in 0_u8..16 {
        let octets: Vec<u8> = (0_u8..120).map(|index| kind.wrapping_mul(31).wrapping_add(index.wrapping_mul(7))).collect();
        seed("p256", &octets);
        seed("jwks_cache", &octets);
    }
}
