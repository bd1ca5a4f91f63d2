//! Presentations of SD-JWTs (RFC 9901): disclosures, digests, and the proof that the holder presents them.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::{AUDIENCE, NOW, Suite, Token, object, set};
use crate::{
    corpus::{base64url, json_string},
    keys::{KEYS, Key, jwk_set},
};

const WHERE_BOUND: &str = r#"{"key_binding":"where_bound"}"#;
const REQUIRED: &str = r#"{"key_binding":"required"}"#;

pub(super) fn fill(suite: &mut Suite) {
    good(suite);
    admission(suite);
    structure(suite);
    hashes(suite);
    shapes(suite);
    encoding(suite);
    digests(suite);
    never_withheld(suite);
    judged_afterwards(suite);
    depth(suite);
    key_binding(suite);
    key_binding_header(suite);
    key_binding_claims(suite);
    holder_keys(suite);
    settings(suite);
    example_of_the_rfc(suite);
}

fn good(suite: &mut Suite) {
    let name = claim("name", "\"Ada\"");
    let street = claim("street", "\"Main St\"");
    let address = claim("address", &format!(r#"{{"_sd":["{}","decoy"],"country":"US"}}"#, digest(&street)));
    let us = element("\"US\"");
    let list = format!(r#"["FR",{{"...":"{}"}},{{"...":"decoy of an element"}}]"#, digest(&us));
    let all = [&name, &address].map(|one| digest(one));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let token = |suite: &mut Suite, id: &str, why: &str, disclosed: &[&String]| {
        suite.sd(id, why).claim("_sd", &sd(&all)).claim("nationalities", &list).present(disclosed).accept();
    };
    token(suite, "good", "the positive control: nothing disclosed", &[]);
    token(suite, "good-one", "one claim disclosed", &[&name]);
    token(suite, "good-element", "one element disclosed", &[&us]);
    token(suite, "good-nested", "a claim inside a disclosed claim", &[&address, &street]);
    token(suite, "good-nested-first", "the order of disclosures says nothing", &[&street, &us, &address, &name]);
    token(suite, "good-parent-alone", "what is inside a disclosed claim may be withheld", &[&address]);
    suite.sd("good-without-digests", "no digest at all").present(&[]).accept();
    suite.sd("good-empty", "an empty list of digests").claim("_sd", "[]").present(&[]).accept();
    suite
        .sd("good-strange-digest", "a string that can be no digest is a decoy")
        .claim("_sd", r#"["",".","é"]"#)
        .present(&[])
        .accept();
    let empty_salt = base64url(br#"["","name","Ada"]"#);
    disclosed(suite, "good-empty-salt", "no rule against a short salt that a verifier could check", &empty_salt).accept();
    let spaced = base64url(b" [ \"s\" ,\r\n\t\"name\" , 1e3 ] ");
    disclosed(suite, "good-whitespace", "JSON is not canonical, and need not be: the text is hashed", &spaced).accept();
    disclosed(suite, "good-empty-name", "the empty name is a name", &claim("", "1")).accept();
    disclosed(suite, "good-null", "null is a value", &claim("name", "null")).accept();
    disclosed(suite, "good-proto", "a name with a meaning for JavaScript", &claim("__proto__", r#"{"admin":true}"#)).accept();
    disclosed(suite, "good-pointer", "a name with the characters of JSON Pointers", &claim("a/b~c", "1")).accept();
}

fn admission(suite: &mut Suite) {
    fn presented(token: Token<'_>) -> Token<'_> {
        let name = claim("name", "\"Ada\"");
        token.claim("_sd", &sd(&[&digest(&name)])).present(&[&name]).by_policy()
    }
    presented(suite.sd("not-asked-for", "a presentation where the policy takes none").policy("sd_jwt", "null"))
        .reject("token_malformed");
    suite
        .sd("not-asked-for-empty", "the same without disclosures")
        .policy("sd_jwt", "null")
        .present(&[])
        .by_policy()
        .reject("token_malformed");
    suite.sd("plain", "a plain token where presentations are asked for").by_policy().reject("type_mismatch");
    let both = r#"{"key_binding":"where_bound","allow_plain":true}"#;
    suite.sd("plain-allowed", "a plain token where both are taken").policy("sd_jwt", both).by_policy().accept();
    presented(suite.sd("presentation-allowed", "a presentation where both are taken").policy("sd_jwt", both)).accept();
    suite
        .sd("plain-bound", "a bound token without ~ is a bearer token that proves nothing")
        .policy("sd_jwt", both)
        .claim("cnf", &cnf(&KEYS.es256_other))
        .by_policy()
        .reject("proof_required");
    presented(
        suite.sd("typ", "the typ that the policy names").policy("typ", "\"dc+sd-jwt\"").header_member("typ", "\"DC+sd-jwt\""),
    )
    .accept();
    presented(suite.sd("typ-other", "another typ than the policy names").policy("typ", "\"dc+sd-jwt\"")).reject("type_mismatch");
    suite
        .sd("signature-first", "nothing is disclosed under a signature that is not the issuer's")
        .signed(|_| vec![7; 64])
        .present(&[&"!".to_owned()])
        .reject("signature_invalid");
}

fn structure(suite: &mut Suite) {
    let raw = |suite: &mut Suite, id: &str, why: &str, edit: fn(String) -> String, code| {
        suite.sd(id, why).edit(edit).reject(code);
    };
    raw(suite, "tilde", "nothing but a ~", |_| "~".into(), "token_malformed");
    raw(suite, "tilde-first", "a ~ before the token", |token| format!("~{token}~"), "token_malformed");
    raw(suite, "tilde-inside", "a ~ inside the token", |token| token.replacen('.', "~.", 1), "token_malformed");
    raw(
        suite,
        "newline",
        "a newline after the presentation: a key-binding JWT that is none",
        |token| token + "~\n",
        "proof_invalid",
    );
    raw(suite, "json", "JSON serialization", |token| format!(r#"{{"payload":"{token}"}}~"#), "token_malformed");
    suite
        .sd("empty-disclosure", "an empty disclosure belongs to nothing")
        .edit(|token| token + "~~")
        .reject("disclosure_invalid");
    suite
        .sd("disclosures-257", "more than 256 disclosures")
        .strict()
        .edit(|token| token + "~" + &"a~".repeat(257))
        .reject("token_too_large");
    let many: Vec<String> = (0..256).map(|index| claim(&format!("c{index}"), "1")).collect();
    let list: Vec<String> = many.iter().map(|one| digest(one)).collect();
    suite
        .sd("disclosures-256", "256 disclosures")
        .claim("_sd", &sd(&list.iter().map(String::as_str).collect::<Vec<_>>()))
        .present(&many.iter().collect::<Vec<_>>())
        .accept();
    let portrait = claim("portrait", &json_string(&"x".repeat(40_000)));
    disclosed(suite, "large", "a presentation larger than a token may be", &portrait).accept();
    suite
        .sd("too-large", "a presentation of more than 64 KiB")
        .strict()
        .edit(|token| format!("{token}~{}~", "a".repeat(64 * 1024)))
        .reject("token_too_large");
    suite
        .sd("token-too-large", "the issuer-signed JWT keeps the limit of tokens")
        .strict()
        .claim("pad", &json_string(&"x".repeat(16 * 1024)))
        .present(&[])
        .reject("token_too_large");
}

fn hashes(suite: &mut Suite) {
    let name = claim("name", "\"Ada\"");
    for (id, digest) in [
        ("sha-256", base64url(&Sha256::digest(&name))),
        ("sha-384", base64url(&Sha384::digest(&name))),
        ("sha-512", base64url(&Sha512::digest(&name))),
    ] {
        let token = suite.sd(id, format!("_sd_alg {id}")).claim("_sd", &sd(&[&digest]));
        token.claim("_sd_alg", &json_string(id)).present(&[&name]).accept();
    }
    for (id, why, json) in [
        ("sha-1", "a broken hash", "\"sha-1\""),
        ("truncated", "a truncated hash", "\"sha-256-128\""),
        ("case", "names are exact", "\"SHA-256\""),
        ("other-name", "another registry's name", "\"S256\""),
        ("sha3", "a hash that is not in the list", "\"sha3-256\""),
        ("empty", "the empty name", "\"\""),
        ("null", "null is no string", "null"),
        ("array", "an array", r#"["sha-256"]"#),
    ] {
        suite.sd(format!("alg-{id}"), format!("_sd_alg: {why}")).claim("_sd_alg", json).present(&[]).reject("disclosure_invalid");
    }
    suite
        .sd("alg-nested", "RFC 9901 section 4.1.1: _sd_alg is never nested")
        .strict()
        .claim("address", r#"{"_sd_alg":"sha-256"}"#)
        .present(&[])
        .reject("disclosure_invalid");
    suite
        .sd("alg-default", "without _sd_alg the hash is SHA-256, not what fits")
        .claim("_sd", &sd(&[&base64url(&Sha512::digest(&name))]))
        .present(&[&name])
        .reject("disclosure_invalid");
    suite
        .sd("hash-of-json", "the digest of the JSON text instead of its encoding")
        .claim("_sd", &sd(&[&base64url(&Sha256::digest(br#"["salt","name","Ada"]"#))]))
        .present(&[&name])
        .reject("disclosure_invalid");
}

fn shapes(suite: &mut Suite) {
    for (id, why, json) in [
        ("one", "one element", r#"["salt"]"#),
        ("two", "the disclosure of an element under a claim's digest", r#"["salt","Ada"]"#),
        ("four", "four elements", r#"["salt","name","Ada",1]"#),
        ("none", "no element", "[]"),
        ("object", "an object", r#"{"0":"salt","1":"name","2":"Ada"}"#),
        ("string", "a string", "\"name\""),
        ("salt-number", "the salt is a string", r#"[1,"name","Ada"]"#),
        ("salt-null", "the salt is a string", r#"[null,"name","Ada"]"#),
        ("name-number", "the name is a string", r#"["salt",1,"Ada"]"#),
        ("name-sd", "the name _sd", r#"["salt","_sd",[]]"#),
        ("name-dots", "the name ...", r#"["salt","...","x"]"#),
        ("name-sd-alg", "the name _sd_alg", r#"["salt","_sd_alg","sha-256"]"#),
        ("duplicate", "a duplicate member inside the value", r#"["salt","name",{"a":1,"a":2}]"#),
        ("trailing", "something after the array", r#"["salt","name",1] x"#),
        ("overflow", "a number beyond a double", r#"["salt","name",1e400]"#),
        ("surrogate", "a lone surrogate", r#"["salt","name","\ud800"]"#),
    ] {
        let token = disclosed(suite, &format!("claim-{id}"), &format!("a disclosure of {why}"), &base64url(json.as_bytes()));
        stricter(token).reject("disclosure_invalid");
    }
    for (id, why, json) in [
        ("three", "of a claim under an element's digest", r#"["salt","name","Ada"]"#),
        ("one", "of one element", r#"["salt"]"#),
        ("salt", "whose salt is no string", r#"[0,"Ada"]"#),
        ("placeholder", "whose value is another placeholder", r#"["salt",{"...":"x"}]"#),
    ] {
        let one = base64url(json.as_bytes());
        let token = suite.sd(format!("element-{id}"), format!("the disclosure of an element {why}"));
        let token = token.claim("list", &format!(r#"[{{"...":"{}"}}]"#, digest(&one))).present(&[&one]);
        stricter(token).reject("disclosure_invalid");
    }
}

fn encoding(suite: &mut Suite) {
    let good = claim("name", "\"Ada\"");
    let mut bits = good.clone().into_bytes();
    *bits.last_mut().expect("a letter") = b'1';
    for (id, why, text) in [
        ("padding", "padding", good.clone() + "="),
        ("bits", "non-zero trailing bits", String::from_utf8(bits).expect("ASCII")),
        ("newline", "a newline", good.clone() + "\n"),
        (
            "standard",
            "the other alphabet",
            base64url(r#"["salt","name","~~~???"]"#.as_bytes()).replace('_', "/").replace('-', "+"),
        ),
        ("utf-8", "invalid UTF-8", base64url(b"[\"salt\",\"name\",\"\xff\"]")),
        ("bom", "a byte order mark", base64url("\u{feff}[\"salt\",\"name\",1]".as_bytes())),
        ("plain", "JSON without base64url", r#"["salt","name","Ada"]"#.into()),
    ] {
        disclosed(suite, &format!("encoding-{id}"), &format!("a disclosure with {why}"), &text).reject("disclosure_invalid");
    }
}

fn digests(suite: &mut Suite) {
    let name = claim("name", "\"Ada\"");
    let other = base64url(br#"["salt 2","name","Eve"]"#);
    let outer = claim("outer", &format!(r#"{{"_sd":["{}"]}}"#, digest(&name)));
    let (of_name, of_other, of_outer) = (digest(&name), digest(&other), digest(&outer));
    let case = |suite: &mut Suite, id: &str, why: &str, claims: &[(&str, String)], disclosed: &[&String]| {
        let mut token = suite.sd(id, why);
        for (claim, json) in claims {
            token = token.claim(claim, json);
        }
        stricter(token).present(disclosed).reject("disclosure_invalid");
    };
    case(suite, "sd-string", "_sd is an array", &[("_sd", json_string(&of_name))], &[]);
    case(suite, "sd-null", "_sd is an array", &[("_sd", "null".into())], &[]);
    case(suite, "sd-number-inside", "digests are strings", &[("_sd", "[1]".into())], &[]);
    case(suite, "sd-nested-object", "_sd is an array wherever it stands", &[("a", r#"{"b":[{"_sd":{}}]}"#.into())], &[]);
    case(suite, "dots-number", "the digest of an element is a string", &[("a", r#"[{"...":1}]"#.into())], &[]);
    case(suite, "dots-beside", "... is the only member", &[("a", r#"[{"...":"x","b":1}]"#.into())], &[]);
    case(suite, "dots-claim", "... as the name of a claim", &[("...", "\"x\"".into())], &[]);
    case(suite, "dots-nested", "... as the name of a member", &[("a", r#"{"...":"x"}"#.into())], &[]);
    case(suite, "twice", "RFC 9901 section 7.1 step 4: a digest twice in one list", &[("_sd", sd(&["x", "x"]))], &[]);
    let apart = [("_sd", sd(&["x"])), ("a", r#"[{"b":{"_sd":["x"]}}]"#.into())];
    case(suite, "twice-apart", "a digest twice, apart", &apart, &[]);
    let as_element = [("_sd", sd(&["x"])), ("a", r#"[{"...":"x"}]"#.into())];
    case(suite, "twice-claim-and-element", "a digest of a claim and of an element", &as_element, &[]);
    let both = [("_sd", sd(&[&of_name, &of_outer]))];
    case(suite, "twice-through-disclosure", "a digest again inside a disclosed claim", &both, &[&outer, &name]);
    case(suite, "twice-undisclosed", "the same, with nothing of it disclosed", &both, &[&outer]);
    let one = [("_sd", sd(&[&of_name]))];
    case(suite, "disclosure-twice", "one disclosure twice", &one, &[&name, &name]);
    case(suite, "unreferenced", "RFC 9901 section 7.1 step 5: a disclosure of nothing", &one, &[&name, &other]);
    case(suite, "unreferenced-alone", "a disclosure, and a token without digests", &[], &[&name]);
    case(suite, "orphan", "what is inside a withheld claim", &[("_sd", sd(&[&of_outer]))], &[&name]);
    case(suite, "collision", "a disclosed name that is there already", &[one[0].clone(), ("name", "\"Eve\"".into())], &[&name]);
    case(suite, "collision-disclosed", "one name disclosed twice", &[("_sd", sd(&[&of_name, &of_other]))], &[&name, &other]);
    case(
        suite,
        "wrong-level",
        "an element's placeholder with the digest of a claim",
        &[("a", format!(r#"[{{"...":"{of_name}"}}]"#))],
        &[&name],
    );
    suite
        .sd("collision-undisclosed", "two disclosures of one name, and only one is presented")
        .claim("_sd", &sd(&[&of_name, &of_other]))
        .present(&[&other])
        .accept();
    suite.sd("payload-malformed", "the claims set is no JSON").payload(r#"{"_sd":[}"#).present(&[]).reject("token_malformed");
}

fn never_withheld(suite: &mut Suite) {
    for (name, json) in [
        ("iss", "\"https://issuer.example\""),
        ("aud", "\"https://api.example\""),
        ("exp", "1750000300"),
        ("nbf", "1749999000"),
        ("cnf", r#"{"jwk":{}}"#),
        ("vct", "\"https://type.example\""),
        ("status", r#"{"status_list":{"idx":1,"uri":"https://status.example"}}"#),
    ] {
        let one = claim(name, json);
        suite
            .sd(format!("withheld-{name}"), format!("RFC 9901 section 9.7: {name} may not be selectively disclosable"))
            .strict()
            .without(name)
            .claim("_sd", &sd(&[&digest(&one)]))
            .present(&[&one])
            .reject("disclosure_invalid");
    }
    for (name, json) in [
        ("cnf", r#"{"_sd":["x"]}"#),
        ("aud", r#"["https://api.example",{"...":"x"}]"#),
        ("status", r#"{"status_list":{"_sd":["x"]}}"#),
    ] {
        suite
            .sd(format!("withheld-inside-{name}"), format!("nor anything inside {name}"))
            .strict()
            .claim(name, json)
            .present(&[])
            .reject("disclosure_invalid");
    }
    suite
        .sd(
            "withheld-nbf-hidden",
            "a token of the future whose nbf the holder withholds, and does not even disclose its digest: nobody can know",
        )
        .claim("_sd", &sd(&[&digest(&claim("nbf", "1750009999"))]))
        .present(&[])
        .accept();
    let nested = claim("exp", "0");
    suite
        .sd("withheld-nested", "the same name deeper down is nobody's")
        .claim("a", &format!(r#"{{"_sd":["{}"]}}"#, digest(&nested)))
        .present(&[&nested])
        .accept();
}

fn judged_afterwards(suite: &mut Suite) {
    for (id, name, json, code) in [
        ("sub-number", "sub", "1", "claim_invalid"),
        ("jti-object", "jti", "{}", "claim_invalid"),
        ("iat-string", "iat", "\"1750000000\"", "claim_invalid"),
        ("iat-future", "iat", "1750000001", "token_not_yet_valid"),
    ] {
        let one = claim(name, json);
        let why = format!("a disclosed {name} is judged like any other");
        suite.sd(id, why).without(name).claim("_sd", &sd(&[&digest(&one)])).present(&[&one]).reject(code);
    }
    let scope = claim("scope", "\"read\"");
    for (id, why, presented, code) in [
        ("withheld", "a required claim that is withheld", &[][..], Some("claim_missing")),
        ("disclosed", "a required claim that is disclosed", &[&scope], None),
    ] {
        let token = suite.sd(format!("required-{id}"), why).policy("required_claims", r#"["scope"]"#).by_policy();
        let token = token.claim("_sd", &sd(&[&digest(&scope)])).present(presented);
        match code {
            Some(code) => token.reject(code),
            None => token.accept(),
        }
    }
    suite.sd("expired", "exp").claim("exp", "1750000000").present(&[]).reject("token_expired");
    suite.sd("issuer", "iss").claim("iss", "\"https://other.example\"").present(&[]).reject("issuer_mismatch");
    suite.sd("audience", "aud").claim("aud", "\"https://other.example\"").present(&[]).reject("audience_mismatch");
    suite.sd("audience-missing", "nobody says the audience").without("aud").present(&[]).reject("claim_missing");
}

fn depth(suite: &mut Suite) {
    let chain = |depth: usize| {
        let mut all = vec![claim("last", "1")];
        for _ in 1..depth {
            let inner = digest(all.last().expect("one"));
            all.push(claim("a", &format!(r#"{{"_sd":["{inner}"]}}"#)));
        }
        (sd(&[&digest(all.last().expect("one"))]), all)
    };
    let (digests, all) = chain(128);
    suite
        .sd("depth-128", "nested 128 deep by disclosures")
        .claim("_sd", &digests)
        .present(&all.iter().collect::<Vec<_>>())
        .accept();
    let (digests, all) = chain(129);
    let deeper = suite.sd("depth-129", "nested deeper by disclosures than a claims set may be").strict();
    deeper.claim("_sd", &digests).present(&all.iter().collect::<Vec<_>>()).reject("disclosure_invalid");
    let deep = claim("deep", &format!("{}{}", "[".repeat(127), "]".repeat(127)));
    disclosed(suite, "depth-inside", "a disclosed value at the bound", &deep).accept();
    let deeper = claim("deep", &format!("{}{}", "[".repeat(128), "]".repeat(128)));
    disclosed(suite, "depth-inside-over", "a disclosed value beyond it", &deeper).reject("disclosure_invalid");
}

fn key_binding(suite: &mut Suite) {
    bound(suite, "kb-good", "the positive control: bound to a key, presented by its holder", |_| {}).accept();
    bound(suite, "kb-good-where-bound", "the same, as the issuer has it", |_| {}).policy("sd_jwt", WHERE_BOUND).accept();
    bound(suite, "kb-good-ed25519", "a holder's key of another kind", |proof| proof.key = &KEYS.ed25519)
        .policy("sd_jwt", r#"{"key_binding":"required","algorithms":["EdDSA"]}"#)
        .accept();
    bound(suite, "kb-good-sha-512", "sd_hash is made with the token's own hash", |proof| {
        proof.hash = |text| base64url(&Sha512::digest(text));
    })
    .claim("_sd_alg", "\"sha-512\"")
    .accept();
    bound(suite, "kb-sd-hash-other-hash", "sd_hash by another hash than the token's", |_| {})
        .claim("_sd_alg", "\"sha-512\"")
        .reject("proof_invalid");
    for (id, policy) in [("required", REQUIRED), ("where-bound", WHERE_BOUND)] {
        suite
            .sd(format!("kb-missing-{id}"), "a bound token without its proof")
            .policy("sd_jwt", policy)
            .claim("cnf", &cnf(&KEYS.es256_other))
            .present(&[])
            .reject("proof_required");
    }
    suite
        .sd("kb-unbound", "a token that is bound to no key, where every presentation must be")
        .policy("sd_jwt", REQUIRED)
        .present(&[])
        .by_policy()
        .reject("proof_required");
    bound(suite, "kb-of-nobody", "a proof for a token that names no key", |_| {})
        .policy("sd_jwt", WHERE_BOUND)
        .without("cnf")
        .reject("proof_invalid");
    bound(suite, "kb-of-another", "a proof by another key", |proof| proof.key = &KEYS.es256)
        .cnf_of(&KEYS.es256_other)
        .reject("proof_invalid");
    bound(suite, "kb-forged", "a proof whose signature is made up", |proof| proof.forged = true).reject("proof_invalid");
    bound(suite, "kb-signature-zero", "CVE-2022-21449 in the proof", |proof| proof.zero = true).reject("proof_invalid");
    let name = claim("name", "\"Ada\"");
    let dropped = name.clone() + "~";
    bound(suite, "kb-fewer", "a disclosure less than the holder presented", |proof| proof.disclosures = vec![name.clone()])
        .claim("_sd", &sd(&[&digest(&name)]))
        .edit_more(move |text| text.replacen(&dropped, "", 1))
        .reject("proof_invalid");
    let name = claim("name", "\"Ada\"");
    let added = format!("~{name}~");
    bound(suite, "kb-more", "a disclosure more than the holder presented", |_| {})
        .claim("_sd", &sd(&[&digest(&name)]))
        .edit_more(move |text| text.replacen('~', &added, 1))
        .reject("proof_invalid");
    bound(suite, "kb-two-parts", "a proof that is no token", |proof| proof.edit = |_| "e30.e30".into()).reject("proof_invalid");
    bound(suite, "kb-nested", "a presentation as the proof", |proof| proof.edit = |text| text + "~").reject("disclosure_invalid");
    bound(suite, "kb-too-large", "a proof larger than a token may be", |proof| {
        proof.claim("pad", &json_string(&"x".repeat(16 * 1024)));
    })
    .strict()
    .reject("proof_invalid");
    bound(suite, "kb-before-expiry", "the proof is judged before the token's dates", |proof| proof.claim("nonce", "\"other\""))
        .claim("exp", "1")
        .reject("proof_invalid");
    bound(suite, "kb-expired", "and the token's dates are judged after it", |_| {}).claim("exp", "1").reject("token_expired");
}

fn key_binding_header(suite: &mut Suite) {
    for (id, why, name, json) in [
        ("typ-jwt", "another typ", "typ", "\"JWT\""),
        ("typ-number", "a typ that is no string", "typ", "1"),
        ("alg-none", "alg none", "alg", "\"none\""),
        ("alg-hs256", "an HMAC", "alg", "\"HS256\""),
        ("alg-other", "an algorithm that the policy does not allow", "alg", "\"ES384\""),
        ("crit", "a critical extension", "crit", r#"["exp"]"#),
        ("b64", "an unencoded payload", "b64", "false"),
        ("enc", "a member of a JWE", "enc", "\"A128GCM\""),
    ] {
        bound(suite, &format!("kb-{id}"), &format!("the header of the proof: {why}"), |proof| proof.header(name, json))
            .reject("proof_invalid");
    }
    bound(suite, "kb-typ-missing", "the header of the proof: no typ", |proof| proof.header.retain(|(name, _)| name != "typ"))
        .reject("proof_invalid");
    bound(suite, "kb-typ-case", "media types have no case", |proof| proof.header("typ", "\"application/KB+JWT\"")).accept();
    bound(suite, "kb-jwk-ignored", "a key in the proof's header is not read", |proof| {
        proof.header("jwk", &KEYS.es256.jwk().to_json());
        proof.header("kid", "\"anything\"");
    })
    .accept();
}

fn key_binding_claims(suite: &mut Suite) {
    for (id, why, name, json) in [
        ("aud-other", "for another verifier", "aud", "\"https://other.example\""),
        ("aud-array", "RFC 9901 section 4.3: one string", "aud", r#"["https://api.example"]"#),
        ("nonce-other", "of another transaction", "nonce", "\"other\""),
        ("nonce-number", "nonce is a string", "nonce", "1"),
        ("iat-future", "of the future", "iat", "1750000001"),
        ("iat-old", "older than 60 s", "iat", "1749999939"),
        ("iat-string", "iat is a number", "iat", "\"1750000000\""),
        ("exp-past", "expired", "exp", "1750000000"),
        ("nbf-future", "not yet valid", "nbf", "1750000001"),
        ("sd-hash-other", "of another presentation", "sd_hash", "\"jRc7ILgn4nJ3SVmsSuf6ohcSUyDjnxbZL7O1zlxhHNs\""),
        ("sd-hash-null", "sd_hash is a string", "sd_hash", "null"),
    ] {
        bound(suite, &format!("kb-{id}"), &format!("the claims of the proof: {why}"), |proof| proof.claim(name, json))
            .reject("proof_invalid");
    }
    for name in ["aud", "nonce", "iat", "sd_hash"] {
        bound(suite, &format!("kb-{name}-missing"), &format!("the claims of the proof: no {name}"), |proof| proof.omitted = name)
            .reject("proof_invalid");
    }
    bound(suite, "kb-duplicate", "the claims of the proof: a duplicate member", |proof| {
        proof.claims.push(("aud".into(), "1".into()));
    })
    .reject("proof_invalid");
    bound(suite, "kb-iat-60", "a proof of exactly 60 s", |proof| proof.claim("iat", "1749999940")).accept();
    bound(suite, "kb-aud-missing-in-token", "the proof says the audience that the token does not", |_| {})
        .without("aud")
        .accept();
    bound(suite, "kb-aud-token-other", "the token's own audience counts beside it", |_| {})
        .claim("aud", "\"https://other.example\"")
        .reject("audience_mismatch");
    audience_claim(suite);
}

/// Another claim than `aud` says the audience, and the holder would withhold it.
fn audience_claim(suite: &mut Suite) {
    let (own, other) = (claim("client_id", &json_string(AUDIENCE)), claim("client_id", "\"https://other.example\""));
    let case = |suite: &mut Suite, id: &str, why: &str, hidden: &String, is_disclosed: bool, code| {
        let disclosures = if is_disclosed { vec![hidden.clone()] } else { Vec::new() };
        bound(suite, &format!("withheld-audience-claim-{id}"), why, |proof| proof.disclosures = disclosures)
            .policy("audience_claim", "\"client_id\"")
            .by_policy()
            .claim("_sd", &sd(&[&digest(hidden)]))
            .reject(code);
    };
    case(suite, "disclosed", "the claim that says the audience may not be disclosable", &own, true, "disclosure_invalid");
    case(suite, "withheld", "another audience, which the holder withholds", &other, false, "claim_missing");
    bound(suite, "withheld-audience-claim-inside", "nor anything inside it", |_| {})
        .policy("audience_claim", "\"client_id\"")
        .by_policy()
        .claim("client_id", &format!(r#"["{AUDIENCE}",{{"...":"x"}}]"#))
        .reject("disclosure_invalid");
    bound(suite, "withheld-audience-claim-absent", "nothing can be withheld: the proof says the audience", |_| {})
        .policy("audience_claim", "\"client_id\"")
        .by_policy()
        .accept();
}

fn holder_keys(suite: &mut Suite) {
    let key = || KEYS.es256_other.jwk();
    let jwk = |json: &str| format!(r#"{{"jwk":{json}}}"#);
    for (id, why, json) in [
        ("no-jwk", "a thumbprint is no key", r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#.to_owned()),
        ("jwk-string", "the key is an object", jwk("\"x\"")),
        ("symmetric", "a shared secret", jwk(r#"{"kty":"oct","k":"AAAA"}"#)),
        ("private", "a private member", jwk(&key().text("d", "AA").to_json())),
        ("use-enc", "a key for encryption", jwk(&key().text("use", "enc").to_json())),
        ("off-curve", "a point off the curve", jwk(&key().without("y").number("y", &[1; 32]).to_json())),
        ("alg-other", "a key of another algorithm", jwk(&key().text("alg", "ES384").to_json())),
        ("rsa-1024", "a short RSA key", jwk(&KEYS.rsa1024.jwk().to_json())),
    ] {
        bound(suite, &format!("holder-{id}"), &format!("cnf: {why}"), |_| {}).claim("cnf", &json).reject("proof_invalid");
    }
    bound(suite, "holder-cnf-string", "cnf is an object", |_| {}).claim("cnf", "\"x\"").reject("claim_invalid");
}

fn settings(suite: &mut Suite) {
    for (id, why, json) in [
        ("empty", "key_binding must be said", "{}"),
        ("mode", "a mode that there is not", r#"{"key_binding":"optional"}"#),
        ("boolean", "no object", "true"),
        ("unknown", "a misspelt member", r#"{"key_binding":"required","allow_plane":true}"#),
        ("algorithms", "an algorithm that there is not", r#"{"key_binding":"required","algorithms":["HS256"]}"#),
        ("max-age", "an age that is no number", r#"{"key_binding":"required","max_age":"60"}"#),
        ("max-age-point-zero", "a whole number is written as one", r#"{"key_binding":"required","max_age":60.0}"#),
        ("max-age-minus-zero", "a whole number has no sign", r#"{"key_binding":"required","max_age":-0}"#),
        ("package", "names that the npm package alone has", r#"{"keyBinding":"required"}"#),
        ("package-beside", "such a name beside ours", r#"{"key_binding":"required","keyBinding":"required"}"#),
    ] {
        suite
            .sd(format!("settings-{id}"), format!("a setting that cannot be meant: {why}"))
            .policy("sd_jwt", json)
            .present(&[])
            .by_policy()
            .reject("policy_invalid");
    }
    bound(suite, "nonce-not-given", "the caller gave no nonce", |_| {})
        .policy("nonce", "null")
        .by_policy()
        .reject("proof_invalid");
    bound(suite, "nonce-skipped", "and said that none is needed", |_| {})
        .policy("nonce", "null")
        .policy("skip_nonce", "true")
        .by_policy()
        .accept();
    bound(suite, "nonce-given-and-skipped", "a nonce that is given is compared all the same", |proof| {
        proof.claim("nonce", "\"other\"");
    })
    .policy("skip_nonce", "true")
    .by_policy()
    .reject("proof_invalid");
    let old = |proof: &mut Proof| proof.claim("iat", "1749999900");
    let longer = r#"{"key_binding":"required","max_age":100}"#;
    bound(suite, "max-age", "a longer age", old).policy("sd_jwt", longer).by_policy().accept();
    bound(suite, "leeway", "leeway counts for the proof too", |proof| proof.claim("iat", "1749999930"))
        .policy("leeway", "10")
        .by_policy()
        .accept();
    for (id, why, name, json, code) in [
        ("iat-last", "issued at the last moment that leeway forgives", "iat", "1750000010", None),
        ("iat-beyond", "issued a second later", "iat", "1750000011", Some("proof_invalid")),
        ("nbf-last", "valid from the last moment that leeway forgives", "nbf", "1750000010", None),
        ("nbf-beyond", "valid a second later", "nbf", "1750000011", Some("proof_invalid")),
        ("exp-last", "expired so lately that leeway forgives it", "exp", "1749999991", None),
        ("exp-beyond", "expired a second earlier", "exp", "1749999990", Some("proof_invalid")),
    ] {
        let proof = bound(suite, &format!("kb-{id}"), &format!("leeway of the proof: {why}"), |proof| proof.claim(name, json))
            .policy("leeway", "10")
            .by_policy();
        match code {
            None => proof.accept(),
            Some(code) => proof.reject(code),
        }
    }
    bound(suite, "algorithms", "the proof's own list", |_| {})
        .policy("sd_jwt", r#"{"key_binding":"required","algorithms":["EdDSA"]}"#)
        .by_policy()
        .reject("proof_invalid");
}

/// What RFC 9901 forbids an issuer to do, and does not tell a verifier to refuse.
fn stricter(token: Token<'_>) -> Token<'_> {
    const STRICTER: [&str; 4] = ["sd-", "dots-", "claim-salt-", "element-salt"];
    const ALONE: [&str; 3] = ["claim-name-sd-alg", "claim-duplicate", "element-placeholder"];
    let is_stricter = STRICTER.iter().any(|start| token.id.starts_with(start)) || ALONE.contains(&token.id.as_str());
    if is_stricter { token.strict() } else { token }
}

/// RFC 9901 section 8.2, its two disclosures and key-binding JWT in the compact serialization, with the keys of appendix A.5.
fn example_of_the_rfc(suite: &mut Suite) {
    const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ","y":"Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"}"#;
    let example: String = include_str!("rfc9901.txt").split_whitespace().collect();
    let token = |suite: &mut Suite, id: &str, why: &str, nonce: &str, presented: String, code: Option<&'static str>| {
        let token = suite.sd(id, format!("the example of RFC 9901 section 8.2: {why}")).edit(move |_| presented.clone());
        let token =
            token.jwks(jwk_set(&[KEY])).now(1_748_537_250).policy("sd_jwt", REQUIRED).policy("nonce", &json_string(nonce));
        let token = token.policy("iss", "\"https://issuer.example.com\"").policy("aud", "\"https://verifier.example.org\"");
        let token = token.policy("typ", "\"example+sd-jwt\"");
        match code {
            Some(code) => token.reject(code),
            None => token.accept(),
        }
    };
    let parts: Vec<&str> = example.split('~').collect();
    let without_proof = format!("{}~{}~{}~", parts[0], parts[1], parts[2]);
    let without_name = format!("{}~{}~{}", parts[0], parts[1], parts[3]);
    token(suite, "rfc", "as it stands", "1234567890", example.clone(), None);
    token(suite, "rfc-nonce", "another nonce", "1234567891", example.clone(), Some("proof_invalid"));
    token(suite, "rfc-bearer", "without its proof", "1234567890", without_proof, Some("proof_required"));
    token(suite, "rfc-fewer", "a disclosure less", "1234567890", without_name, Some("proof_invalid"));
}

/// A key-binding JWT (RFC 9901 section 4.3), good until something is changed.
struct Proof {
    key: &'static Key,
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    omitted: &'static str,
    hash: fn(&str) -> String,
    disclosures: Vec<String>,
    forged: bool,
    zero: bool,
    edit: fn(String) -> String,
}

impl Proof {
    fn header(&mut self, name: &str, json: &str) {
        set(&mut self.header, name, json.into());
    }

    fn claim(&mut self, name: &str, json: &str) {
        set(&mut self.claims, name, json.into());
    }

    /// The presentation of this token.
    fn attach(&self, token: &str) -> String {
        let mut text = format!("{token}~");
        for one in &self.disclosures {
            text.extend([one, "~"]);
        }
        let mut claims = self.claims.clone();
        if claims.iter().all(|(name, _)| name != "sd_hash") {
            claims.push(("sd_hash".into(), json_string(&(self.hash)(&text))));
        }
        claims.retain(|(name, _)| name != self.omitted);
        let input = format!("{}.{}", base64url(object(&self.header).as_bytes()), base64url(object(&claims).as_bytes()));
        let mut signature = self.key.sign(self.key.default_alg(), input.as_bytes());
        if self.forged {
            signature[10] ^= 1;
        }
        if self.zero {
            signature.fill(0);
        }
        text + &(self.edit)(format!("{input}.{}", base64url(&signature)))
    }
}

/// A token bound to a holder's key, and presented with a proof, both good until something is changed.
fn bound<'s>(suite: &'s mut Suite, id: &str, why: &str, change: impl FnOnce(&mut Proof)) -> Token<'s> {
    let text = |name: &str, value: &str| (name.to_owned(), json_string(value));
    let mut proof = Proof {
        key: &KEYS.es256_other,
        header: vec![text("typ", "kb+jwt")],
        claims: vec![text("aud", AUDIENCE), text("nonce", "n-0S6_WzA2Mj"), ("iat".into(), (NOW - 1).to_string())],
        omitted: "",
        hash: digest,
        disclosures: Vec::new(),
        forged: false,
        zero: false,
        edit: |text| text,
    };
    change(&mut proof);
    if proof.header.iter().all(|(name, _)| name != "alg") {
        proof.header("alg", &json_string(proof.key.default_alg()));
    }
    let token = suite.sd(id, why).policy("sd_jwt", REQUIRED).policy("nonce", "\"n-0S6_WzA2Mj\"").cnf_of(proof.key);
    token.edit(move |token| proof.attach(&token))
}

/// A token with one digest, and the disclosure of it.
fn disclosed<'s>(suite: &'s mut Suite, id: &str, why: &str, disclosure: &str) -> Token<'s> {
    suite.sd(id, why).claim("_sd", &sd(&[&digest(disclosure)])).present(&[&disclosure.to_owned()])
}

impl Suite {
    fn sd(&mut self, id: impl Into<String>, why: impl Into<String>) -> Token<'_> {
        self.token(id, why).policy("sd_jwt", WHERE_BOUND)
    }
}

impl Token<'_> {
    /// Presented with these disclosures and without a proof.
    fn present(self, disclosures: &[&String]) -> Self {
        let tail: String = disclosures.iter().flat_map(|one| [one.as_str(), "~"]).collect();
        self.edit(move |token| format!("{token}~{tail}"))
    }

    fn cnf_of(self, key: &Key) -> Self {
        self.claim("cnf", &cnf(key))
    }

    /// With the presentation changed once more.
    fn edit_more(mut self, edit: impl Fn(String) -> String + 'static) -> Self {
        let earlier = self.edit.take().expect("a presentation");
        self.edit(move |token| edit(earlier(token)))
    }
}

fn cnf(key: &Key) -> String {
    format!(r#"{{"jwk":{}}}"#, key.jwk().to_json())
}

fn sd(digests: &[&str]) -> String {
    let digests: Vec<String> = digests.iter().map(|one| json_string(one)).collect();
    format!("[{}]", digests.join(","))
}

fn claim(name: &str, json: &str) -> String {
    base64url(format!(r#"["salt",{},{json}]"#, json_string(name)).as_bytes())
}

fn element(json: &str) -> String {
    base64url(format!(r#"["salt",{json}]"#).as_bytes())
}

fn digest(text: &str) -> String {
    base64url(&Sha256::digest(text))
}
