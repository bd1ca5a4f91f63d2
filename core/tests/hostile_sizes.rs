//! What is far too large, too deep or too many is refused at once and in little memory. In the hosts: `tests/conformance/dos.test.mjs`.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly, in its helpers too")]

use std::{
    fs, hint,
    time::{Duration, Instant},
};

use base64ct::{Base64UrlUnpadded, Encoding as _};
use edgeseal_core::{Algorithm, Jwk, JwkSet, KeyBinding, Policy, SdJwtSettings, Timestamp, Verifier, json};

const LIMIT: Duration = Duration::from_millis(50);
/// Octets beyond the input itself.
const MEMORY: usize = 16 << 20;
/// The fastest counts: other programs run on this machine too.
const TRIES: usize = 7;

#[test]
fn refused_at_once() {
    the_peak_shows_what_was_there_for_a_moment();
    let verifier = Verifier::new(
        Policy::builder()
            .issuer("i")
            .audience("a")
            .algorithms([Algorithm::Es256, Algorithm::Rs256])
            .sd_jwt(SdJwtSettings { allow_plain: true, ..SdJwtSettings::new(KeyBinding::WhereBound) })
            .build(),
    );
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let header = Base64UrlUnpadded::encode_string(br#"{"alg":"ES256"}"#);
    let deep = Base64UrlUnpadded::encode_string(format!(r#"{{"alg":{}}}"#, nested(110_000)).as_bytes());
    let shallower = Base64UrlUnpadded::encode_string(format!(r#"{{"alg":{}}}"#, nested(2_000)).as_bytes());
    let huge = format!("{}.e30.AA", "A".repeat(100_000_000));
    for (name, token, code) in [
        ("a token of 1 MB", &format!("{header}.{}.AA", "A".repeat(1 << 20)), "token_too_large"),
        ("a million dots", &".".repeat(1_000_000), "token_too_large"),
        ("a header of 100 MB", &huge, "token_too_large"),
        ("a header 110 000 deep", &format!("{deep}.e30.AA"), "token_too_large"),
        ("a header as deep as it fits", &format!("{shallower}.e30.AA"), "token_malformed"),
        ("a million disclosures", &format!("{header}.e30.AA{}", "~".repeat(1_000_000)), "token_too_large"),
        ("as many disclosures as fit", &format!("{header}.e30.AA{}", "~".repeat(60_000)), "token_too_large"),
    ] {
        refuses(name, || verifier.verify(token, &JwkSet::default(), Timestamp::from_secs(1)).unwrap_err().code().as_str(), code);
    }
    let key = r#"{"kty":"EC","crv":"P-256","kid":"k","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let set = |keys: &[String]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let many = set(&vec![key.to_owned(); 20_000]);
    let deep = format!(r#"{{"keys":[],"x":{}}}"#, nested(110_000));
    let within = format!(r#"{{"keys":[],"x":{}}}"#, nested(30_000));
    for (name, text) in [("20 000 keys", &many), ("a set 110 000 deep", &deep), ("a set as deep as it fits", &within)] {
        refuses(name, || JwkSet::from_json(text).unwrap_err().code().as_str(), "jwks_malformed");
    }
    let modulus = Base64UrlUnpadded::encode_string(&[0xff; 2048]);
    let large = format!(r#"{{"kty":"RSA","e":"AQAB","n":"{modulus}"}}"#);
    refuses("a key of 16 384 bits", || Jwk::from_json(&large).unwrap_err().as_str(), "modulus_size");
    refuses(
        "20 keys of 16 384 bits",
        || if JwkSet::from_json(&set(&vec![large.clone(); 20])).unwrap().keys().is_empty() { "none" } else { "" },
        "none",
    );
    let exponent = format!(r#"{{"kty":"RSA","e":"{modulus}","n":"{}"}}"#, Base64UrlUnpadded::encode_string(&[0xff; 256]));
    refuses("an exponent of 16 384 bits", || Jwk::from_json(&exponent).unwrap_err().as_str(), "exponent");
    let operations = (0..11_000).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(",");
    let operations = format!(r#"{{"kty":"EC","key_ops":["verify",{operations}]}}"#);
    refuses("11 000 operations of a key", || Jwk::from_json(&operations).unwrap_err().as_str(), "key_ops");
    let depth = nested(50_000_000);
    refuses("JSON 50 million deep", || if json::parse_array(depth.as_bytes()).is_err() { "refused" } else { "" }, "refused");
}

#[track_caller]
fn refuses(name: &str, judge: impl Fn() -> &'static str, expected: &str) {
    let before = begin_peak();
    let fastest = (0..TRIES).map(|_| {
        let began = Instant::now();
        assert_eq!(judge(), expected, "{name}");
        began.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest <= LIMIT, "{name} took {fastest:?}");
    let more = peak().saturating_sub(before);
    assert!(more <= MEMORY, "{name} took {more} octets");
    println!("{name}: {fastest:?}, {} KiB", more / 1024);
}

/// Lets the peak begin anew at what this process has now, which it returns.
fn begin_peak() -> usize {
    // Linux's: proc_pid_clear_refs(5).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

/// The most memory that this process has had since [`begin_peak`].
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// What the peak does not show would pass every limit.
fn the_peak_shows_what_was_there_for_a_moment() {
    for _ in 0..2 {
        let before = begin_peak();
        drop(hint::black_box(vec![1_u8; 2 * MEMORY]));
        let more = peak().saturating_sub(before);
        assert!(more > MEMORY, "{more} octets");
    }
}
