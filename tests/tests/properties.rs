//! What holds for all tokens, keys and policies, tried on random ones. A failure names its seed: `EDGESEAL_SEED=n` begins there.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::env;

use edgeseal_core::{
    Algorithm, ErrorCode, IssuerSettings, JwkSet, Timestamp, UnsignedToken, Verifier,
    jwk_set::KeyRequest,
    policy::{DangerousSettings, OneOrMany},
};
use edgeseal_tests::{
    corpus::{base64url, json_string},
    keys::{KEYS, Key, jwk_set},
};

const NOW: u64 = 1_750_000_000;
const KIDS: [&str; 3] = ["a", "b", "c"];

#[path = "../support/random.rs"]
mod random;
use random::Random;

impl Random {
    /// The random numbers of one test.
    fn of(test: u64) -> Self {
        let seed = env::var("EDGESEAL_SEED").ok().filter(|seed| !seed.is_empty()).map_or(0, |seed| seed.parse().unwrap());
        println!("EDGESEAL_SEED={seed}");
        Self(seed << 8 | test)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// JSON text of any value.
    fn json(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => (*self.pick(&["null", "true", "false"])).into(),
            1 => self.below(1_000_000).to_string(),
            2 => format!("-{}.{:02}e{}", self.below(100), self.below(100), self.below(20)),
            3 | 4 => {
                let text: String =
                    (0..self.below(12)).map(|_| *self.pick(&['a', '"', '\\', '\n', 'é', '🦭', '\u{0}', '~', '.'])).collect();
                json_string(&text)
            }
            5 => format!("[{}]", (0..self.below(4)).map(|_| self.json(depth - 1)).collect::<Vec<_>>().join(",")),
            _ => {
                let members: Vec<_> = (0..self.below(4)).map(|index| format!("\"m{index}\":{}", self.json(depth - 1))).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// The members of a claims set that an ordinary policy accepts as often as not.
    fn claims(&mut self) -> Vec<String> {
        let mut claims = Vec::new();
        let mut add = |random: &mut Self, percent: usize, name: &str, values: &[&str]| {
            if random.chance(percent) {
                claims.push(format!("\"{name}\":{}", random.pick(values)));
            }
        };
        add(self, 95, "iss", &[r#""https://i.example""#, r#""https://i.example""#, r#""https://i.example/""#]);
        add(self, 95, "aud", &[r#""https://a.example""#, r#"["x","https://a.example"]"#, r#""https://b.example""#]);
        add(self, 95, "exp", &["1750000100", "1750000010.5", "1749999980", "1750003600", "1749990000"]);
        add(self, 80, "iat", &["1749999990", "1749999000", "1750000030", "0"]);
        add(self, 40, "nbf", &["1749999990", "1750000000", "1750000050"]);
        add(self, 50, "scope", &[r#""read""#, "null"]);
        add(self, 5, "cnf", &["{}"]);
        claims
    }
}

fn token(key: &Key, alg: &str, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    format!("{input}.{}", base64url(&key.sign(alg, input.as_bytes())))
}

fn keys_of(keys: &[&Key]) -> JwkSet {
    let keys: Vec<String> = keys.iter().map(|key| key.jwk().to_json()).collect();
    JwkSet::from_json(&jwk_set(&keys)).unwrap()
}

fn settings() -> IssuerSettings {
    IssuerSettings {
        issuer: Some("https://i.example".into()),
        audience: Some(OneOrMany::One("https://a.example".into())),
        algorithms: Algorithm::ALL.into(),
        ..IssuerSettings::default()
    }
}

fn code(settings: &IssuerSettings, token: &str, keys: &JwkSet) -> Option<ErrorCode> {
    Verifier::new(settings.policy().unwrap()).verify(token, keys, Timestamp::from_secs(NOW)).err().map(|error| error.code())
}

#[test]
fn what_is_issued_verifies_with_every_algorithm() {
    let mut random = Random::of(1);
    for algorithm in Algorithm::ALL {
        let key = match algorithm.name() {
            "ES256" => &KEYS.es256,
            "ES384" => &KEYS.es384,
            "ES512" => &KEYS.es512,
            "EdDSA" | "Ed25519" => &KEYS.ed25519,
            _ => &KEYS.rsa2048,
        };
        let keys = keys_of(&[key]);
        let verifier = Verifier::new(settings().policy().unwrap());
        for _ in 0..10 {
            let claims = format!(
                r#"{{"iss":"https://i.example","aud":"https://a.example","exp":{},"x":{}}}"#,
                NOW + 1 + random.next() % 1_000,
                random.json(4)
            );
            let unsigned = UnsignedToken::new(algorithm, &key.kid, None, &claims).unwrap();
            let signature = key.sign(algorithm.name(), unsigned.signing_input());
            let token = verifier.verify(&unsigned.attach(&signature), &keys, Timestamp::from_secs(NOW)).unwrap();
            assert_eq!(token.claims_json(), claims, "{algorithm}");
        }
    }
}

#[test]
fn no_bit_of_a_token_may_change() {
    let claims = r#"{"iss":"https://i.example","aud":"https://a.example","exp":1750000100}"#;
    for (key, alg, step) in
        [(&KEYS.es256, "ES256", 1), (&KEYS.ed25519, "EdDSA", 1), (&KEYS.rsa2048, "RS256", 7), (&KEYS.rsa2048, "PS256", 7)]
    {
        let keys = keys_of(&[key]);
        let token = token(key, alg, &format!(r#"{{"alg":"{alg}","kid":"{}"}}"#, key.kid), claims);
        let verifier = Verifier::new(settings().policy().unwrap());
        let accepted = |token: &str| verifier.verify(token, &keys, Timestamp::from_secs(NOW)).is_ok();
        assert!(accepted(&token));
        for bit in (0..token.len() * 8).step_by(step) {
            let mut changed = token.clone().into_bytes();
            changed[bit / 8] ^= 1 << (bit % 8);
            // A token is text: what is none does not get as far.
            let Ok(changed) = String::from_utf8(changed) else { continue };
            assert!(!accepted(&changed), "{alg}: bit {bit} of {token}");
        }
    }
}

/// The policy with one more demand.
fn stricter(random: &mut Random, settings: &IssuerSettings) -> IssuerSettings {
    let mut stricter = settings.clone();
    let dangerous = stricter.dangerous.get_or_insert_default();
    let less = |random: &mut Random, limit: Option<u64>, most: usize| {
        let below = limit.map_or(most, |limit| usize::try_from(limit).unwrap() + 1);
        Some(random.below(below) as u64)
    };
    match random.below(9) {
        0 => stricter.leeway = less(random, settings.leeway.or(Some(60)), 60),
        1 => stricter.max_lifetime = less(random, settings.max_lifetime, 4_000),
        2 => stricter.max_age = less(random, settings.max_age, 2_000),
        3 => stricter.required_claims.push((*random.pick(&["scope", "nbf", "jti"])).into()),
        4 => dangerous.allow_missing_exp = false,
        5 if dangerous.skip_issuer => {
            dangerous.skip_issuer = false;
            stricter.issuer = Some("https://i.example".into());
        }
        6 if dangerous.skip_audience => {
            dangerous.skip_audience = false;
            stricter.audience = Some(OneOrMany::One("https://a.example".into()));
        }
        7 if stricter.algorithms.len() > 1 => drop(stricter.algorithms.remove(random.below(stricter.algorithms.len()))),
        // Kinds of tokens that are refused unless they are named are not among these.
        8 if stricter.typ.is_none() => stricter.typ = Some((*random.pick(&["JWT", "at+jwt"])).into()),
        _ => stricter.require_key_exp = true,
    }
    stricter
}

#[test]
fn a_stricter_policy_never_accepts_more() {
    let mut random = Random::of(2);
    let keys = keys_of(&[&KEYS.ed25519]);
    let (mut both, mut fewer) = (0, 0);
    for round in 0..3_000 {
        let mut loose = settings();
        loose.leeway = random.chance(50).then(|| random.below(301) as u64);
        let dangerous = DangerousSettings {
            skip_issuer: random.chance(20),
            skip_audience: random.chance(20),
            allow_missing_exp: random.chance(50),
            ..DangerousSettings::default()
        };
        if dangerous.skip_issuer {
            loose.issuer = None;
        }
        if dangerous.skip_audience {
            loose.audience = None;
        }
        loose.dangerous = Some(dangerous);
        let alg = *random.pick(&["EdDSA", "Ed25519"]);
        let typ = *random.pick(&["", r#","typ":"JWT""#, r#","typ":"at+jwt""#, r#","typ":"application/AT+JWT""#]);
        let claims = format!("{{{}}}", random.claims().join(","));
        let token = token(&KEYS.ed25519, alg, &format!(r#"{{"alg":"{alg}"{typ}}}"#), &claims);
        let mut accepted = code(&loose, &token, &keys).is_none();
        for _ in 0..4 {
            let strict = stricter(&mut random, &loose);
            let still = code(&strict, &token, &keys).is_none();
            assert!(accepted || !still, "round {round}: {strict:?} accepts what {loose:?} does not: {claims}");
            if still {
                both += 1;
            } else if accepted {
                fewer += 1;
            }
            (loose, accepted) = (strict, still);
        }
    }
    assert!(both > 1_000 && fewer > 300, "{both} accepted by both, {fewer} by the looser alone");
}

#[test]
fn the_order_of_keys_decides_nothing() {
    let mut random = Random::of(3);
    let sources = [&KEYS.es256, &KEYS.es256_other, &KEYS.ed25519, &KEYS.rsa2048, &KEYS.rsa2048_other, &KEYS.es384];
    let (mut one, mut none) = (0, 0);
    for _ in 0..500 {
        let mut entries: Vec<String> = (0..random.below(6))
            .map(|_| {
                let kid = *random.pick(&KIDS);
                let key = random.pick(&sources).jwk().text("kid", kid);
                if random.chance(10) { key.text("use", "enc").to_json() } else { key.to_json() }
            })
            .collect();
        let set = JwkSet::from_json(&jwk_set(&entries)).unwrap();
        random.shuffle(&mut entries);
        let shuffled = JwkSet::from_json(&jwk_set(&entries)).unwrap();
        for kid in [None, Some("a"), Some("b"), Some("c"), Some("d")] {
            for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa, Algorithm::Rs256] {
                let request = KeyRequest { kid, algorithm };
                let select = |set: &JwkSet| set.select(request).map(|key| key.as_ref().clone()).map_err(|error| error.code());
                assert_eq!(select(&set), select(&shuffled), "{request:?} {entries:?}");
                if select(&set).is_ok() { one += 1 } else { none += 1 }
            }
        }
    }
    assert!(one > 500 && none > 500, "{one} found, {none} not");
}

#[test]
fn the_order_of_members_decides_nothing() {
    let mut random = Random::of(4);
    let keys = keys_of(&[&KEYS.ed25519]);
    let settings = IssuerSettings { max_age: Some(100), required_claims: vec!["scope".into()], ..settings() };
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..1_500 {
        let mut claims = random.claims();
        claims.push(format!("\"x\":{}", random.json(3)));
        let kid = format!("\"kid\":{}", json_string(&KEYS.ed25519.kid));
        let mut header =
            vec![r#""alg":"EdDSA""#.to_owned(), kid, r#""typ":"JWT""#.to_owned(), format!("\"x\":{}", random.json(2))];
        let sign = |header: &[String], claims: &[String]| {
            token(&KEYS.ed25519, "EdDSA", &format!("{{{}}}", header.join(",")), &format!("{{{}}}", claims.join(",")))
        };
        let before = code(&settings, &sign(&header, &claims), &keys);
        random.shuffle(&mut claims);
        random.shuffle(&mut header);
        assert_eq!(code(&settings, &sign(&header, &claims), &keys), before, "{header:?} {claims:?}");
        if before.is_none() { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > 50 && refused > 100, "{accepted} accepted, {refused} refused");
}
