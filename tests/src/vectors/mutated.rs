//! Lines that nobody thought of: our own vectors and freshly signed tokens, changed at random. What the answer should be is not known;
//! that all hosts give the same one, in time and without a panic, is what they are for.

use super::{FILES, Suite, lines_of};
use crate::{
    corpus::{Body, Expect, Line, Tier, base64url},
    keys::{self, KEYS, Key, jwk_set},
};

/// Fragments that parsers have fallen over, to be put anywhere.
#[rustfmt::skip]
const FRAGMENTS: [&str; 40] = [
    "\"", "\\", "{", "}", "[", "]", ",", ":", "\u{0}", "\u{feff}", "\\u0000", "\\ud800", "\\udc00", "\\ud83e\\uddad", "null", "true", "-",
    "1e400", "1e-400", "-0", "0.1", "18446744073709551616", "253402300800", "9007199254740993", "[[[[[[[[", "}}}}", "\"alg\":\"none\",",
    "\"alg\":\"ES256\",", "\"crit\":[],", "\"b64\":false,", "\"exp\":1,", "\"iss\":\"x\",", "\"kid\":\"es256-2\",", "\"typ\":\"at+jwt\",",
    "\"use\":\"enc\",", "\"__proto__\":{},", "AAAA", "=", ".", "🦭",
];

/// `count` lines that follow from `seed`.
pub fn lines(count: usize, seed: &str) -> Vec<Line> {
    let base: Vec<Vec<u8>> = FILES.into_iter().flat_map(lines_of).filter_map(|line| without_expectation(&line)).collect();
    let mut random = Random { label: format!("mutated {seed}"), block: 0, left: Vec::new() };
    let mut suite = Suite { group: "mutated", lines: Vec::new() };
    for number in 0..count {
        let id = format!("{seed}-{number}");
        if random.below(2) == 0 {
            let mut line = base[random.below(base.len())].clone();
            mutate(&mut line, &mut random);
            let line = line.into_iter().map(|byte| if byte == b'\n' { b' ' } else { byte }).collect();
            suite.push(&id, Tier::Strict, "a vector of ours, changed at random", Expect::Any, Body::Raw(line));
        } else {
            signed(&mut suite, &id, &mut random);
        }
    }
    suite.lines
}

/// A line as far as the verifier reads it; none that is too long for a change to matter.
fn without_expectation(line: &Line) -> Option<Vec<u8>> {
    if matches!(line.body, Body::Raw(_)) {
        return None;
    }
    let text = String::from_utf8(line.to_bytes()).expect("a line of ours is UTF-8");
    let (given, _) = text.rsplit_once(",\"expect\":").expect("a line of ours says what it expects");
    (given.len() < 8192).then(|| format!("{given}}}").into_bytes())
}

/// A token whose header, claims, keys or policy were changed before it was signed, so that the changes get past the signature.
fn signed(suite: &mut Suite, id: &str, random: &mut Random) {
    let keys: [&'static Key; 4] = [&KEYS.es256, &KEYS.es384, &KEYS.es512, &KEYS.ed25519];
    let key = keys[random.below(keys.len())];
    let alg = key.default_alg();
    let mut header = format!(r#"{{"alg":"{alg}","kid":"{}","typ":"JWT","x":{{"y":[1,-2.5e3,"z"]}}}}"#, key.kid).into_bytes();
    let mut payload = format!(
        r#"{{"iss":"https://issuer.example","aud":["https://api.example","x"],"sub":"ada","iat":1749999940,"nbf":1749999940.5,"exp":1750000300,"jti":"{id}","scope":"a b"}}"#
    )
    .into_bytes();
    let mut jwks = jwk_set(&[key.jwk().text("alg", alg).to_json(), KEYS.rsa2048.jwk().to_json()]).into_bytes();
    let mut policy =
        br#"{"iss":"https://issuer.example","aud":"https://api.example","leeway":0,"require_exp":true,"typ":null}"#.to_vec();
    match random.below(5) {
        0 => mutate(&mut header, random),
        1 | 2 => mutate(&mut payload, random),
        3 => mutate(&mut jwks, random),
        _ => mutate(&mut policy, random),
    }
    let input = format!("{}.{}", base64url(&header), base64url(&payload));
    let token = format!("{input}.{}", base64url(&key.sign(alg, input.as_bytes())));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\n', " ");
    let body = Body::Token {
        token,
        jwks: text(jwks),
        alg_allow: format!(r#"["{alg}","RS256"]"#),
        now: super::NOW.to_string(),
        policy: text(policy),
    };
    suite.push(id, Tier::Strict, "changed at random, then signed", Expect::Any, body);
}

/// One to three changes.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        let end = at + random.below((bytes.len() - at).min(16)) + 1;
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = u8::try_from(random.below(256)).expect("below 256"),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => {
                let other = random.below(bytes.len());
                bytes.swap(at, other);
            }
            _ => {
                let fragment = FRAGMENTS[random.below(FRAGMENTS.len())];
                bytes.splice(at..at, fragment.bytes());
            }
        }
    }
}

/// Numbers that follow from a label.
struct Random {
    label: String,
    block: u32,
    left: Vec<u8>,
}

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        if self.left.len() < 4 {
            self.left = keys::bytes(&format!("{} {}", self.label, self.block), 4096);
            self.block += 1;
        }
        let number = self.left.split_off(self.left.len() - 4).into_iter().fold(0, |number, byte| number << 8 | usize::from(byte));
        number % bound
    }
}
