//! `DPoP` proofs (RFC 9449): every check of section 4.3 has failing vectors, positive controls beside them.
//!
//! A line is a request: method, URL, the `DPoP` fields in order, the access token and the keys of its issuer, the nonces of which the
//! proof must carry one, the time, and the requests that were accepted before it. It is judged whole, as a gateway would.

use sha2::{Digest as _, Sha256};

use super::{AUDIENCE, ISSUER, NOW, object, set};
use crate::{
    corpus::{base64url, json_string},
    keys::{KEYS, Key, jwk_set},
};

/// The file in `tests/vectors/`.
pub const FILE: &str = "gateway/dpop.jsonl";

const URL: &str = "https://api.example/accounts/42";

/// A request and how it must be answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// Unique.
    pub id: String,
    /// The number of the check in RFC 9449 section 4.3, `7.1` and `7.2` of that RFC, or none for a control.
    pub check: String,
    /// Why it exists.
    pub why: String,
    /// The scheme of the `Authorization` field.
    pub scheme: String,
    /// The HTTP method.
    pub method: String,
    /// What the client asked for.
    pub url: String,
    /// The values of the `DPoP` header fields.
    pub fields: Vec<String>,
    /// The access token.
    pub token: String,
    /// The nonces that the server gave.
    pub nonces: Vec<String>,
    /// Seconds.
    pub now: u64,
    /// The `id` of the request that was accepted before this one.
    pub after: Option<String>,
    /// The code of the refusal; `None` is acceptance.
    pub code: Option<String>,
}

/// All requests.
pub fn requests() -> Vec<Request> {
    let mut suite = Suite { requests: Vec::new() };
    controls(&mut suite);
    one_well_formed_field(&mut suite);
    required_claims(&mut suite);
    header(&mut suite);
    signature_and_key(&mut suite);
    method_and_target(&mut suite);
    nonce(&mut suite);
    time(&mut suite);
    token(&mut suite);
    replays(&mut suite);
    suite.requests
}

/// The file as it is committed.
pub fn to_jsonl() -> Vec<u8> {
    requests().iter().flat_map(|request| request.to_json().into_bytes().into_iter().chain([b'\n'])).collect()
}

/// The JWK Set of the issuer of every token here.
pub fn issuer_keys() -> String {
    jwk_set(&[KEYS.es256.jwk().text("alg", "ES256").to_json()])
}

impl Request {
    fn to_json(&self) -> String {
        let Self { id, check, why, scheme, method, url, fields, token, nonces, now, after, code } = self;
        let list = |texts: &[String]| {
            let texts: Vec<String> = texts.iter().map(|text| json_string(text)).collect();
            format!("[{}]", texts.join(","))
        };
        let or_null = |text: &Option<String>| text.as_deref().map_or_else(|| "null".into(), json_string);
        let mut members = Vec::new();
        for (name, value) in [
            ("id", json_string(id)),
            ("check", json_string(check)),
            ("scheme", json_string(scheme)),
            ("method", json_string(method)),
            ("url", json_string(url)),
            ("dpop", list(fields)),
            ("token", json_string(token)),
            ("jwks", issuer_keys()),
            ("nonces", list(nonces)),
            ("now", now.to_string()),
            ("after", or_null(after)),
            ("expect", json_string(if code.is_none() { "accept" } else { "reject" })),
            ("code", or_null(code)),
            ("why", json_string(why)),
        ] {
            members.push((name.to_owned(), value));
        }
        object(&members)
    }
}

fn controls(suite: &mut Suite) {
    suite.proof("good", "", "the positive control").accept();
    for (id, key, alg) in [
        ("good-ES384", &KEYS.es384, "ES384"),
        ("good-ES512", &KEYS.es512, "ES512"),
        ("good-EdDSA", &KEYS.ed25519, "EdDSA"),
        ("good-Ed25519", &KEYS.ed25519, "Ed25519"),
        ("good-RS256", &KEYS.rsa2048, "RS256"),
        ("good-PS256", &KEYS.rsa2048, "PS256"),
    ] {
        suite.proof(id, "", "an algorithm of the list").key(key, alg).accept();
    }
    suite.proof("good-post", "", "another method").method("POST").claim("htm", "\"POST\"").accept();
    suite.proof("good-lowercase-scheme", "", "schemes have no case").scheme("dpop").accept();
    suite.proof("good-more-claims", "", "claims that nobody knows are ignored").claim("x", "[1]").accept();
    suite.proof("good-more-header", "", "header members that nobody knows are ignored").header("x", "1").accept();
    suite.proof("good-nonce-unasked", "", "a nonce that nobody gave says nothing").claim("nonce", "\"n\"").accept();
    suite.proof("good-exp", "", "a proof may have an exp of its own").claim("exp", &(NOW + 5).to_string()).accept();
    suite
        .proof("good-typ-application", "", "application/ may be omitted, and may stand there")
        .header("typ", "\"application/dpop+jwt\"")
        .accept();
}

fn one_well_formed_field(suite: &mut Suite) {
    suite.proof("fields-two", "1", "two DPoP fields").fields(|proof| vec![proof.clone(), proof]).reject("proof_invalid");
    suite
        .proof("fields-list", "1", "a list in one field")
        .fields(|proof| vec![format!("{proof},{proof}")])
        .reject("proof_invalid");
    suite.proof("fields-none", "1", "the scheme DPoP without a proof").fields(|_| Vec::new()).reject("proof_required");
    suite.proof("form-empty", "2", "an empty field").fields(|_| vec![String::new()]).reject("proof_invalid");
    suite.proof("form-two-parts", "2", "no signature part").fields(|proof| vec![cut(&proof)]).reject("proof_invalid");
    suite.proof("form-four-parts", "2", "one part too many").fields(|proof| vec![format!("{proof}.AA")]).reject("proof_invalid");
    suite.proof("form-padding", "2", "base64url with padding").fields(|proof| vec![format!("{proof}=")]).reject("proof_invalid");
    suite.proof("form-space", "2", "text after the proof").fields(|proof| vec![format!("{proof} x")]).reject("proof_invalid");
    suite
        .proof("form-tilde", "2", "the presentation of an SD-JWT")
        .fields(|proof| vec![format!("{proof}~")])
        .reject("proof_invalid");
    suite.proof("form-claims-array", "2", "claims that are no object").payload("[]").reject("proof_invalid");
    suite.proof("form-claims-twice", "2", "a claim that is there twice").twice("htm").reject("proof_invalid");
    suite.proof("form-large", "2", "more than 8 KiB").claim("x", &json_string(&"x".repeat(8_192))).reject("proof_invalid");
    suite.proof("form-crit", "2", "an extension that nobody understands").header("crit", "[\"x\"]").reject("proof_invalid");
}

fn required_claims(suite: &mut Suite) {
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let why = format!("{name} is missing");
        suite.proof(&format!("claims-no-{name}"), "3", &why).without(name).reject("proof_invalid");
        let why = format!("{name} is of another type");
        suite.proof(&format!("claims-{name}-type"), "3", &why).claim(name, "[\"x\"]").reject("proof_invalid");
    }
    suite.proof("claims-jti-empty", "3", "a jti that says nothing").claim("jti", "\"\"").reject("proof_invalid");
    suite
        .proof("claims-jti-long", "3", "a jti of 257 bytes: the replay store is no place for texts")
        .claim("jti", &json_string(&"j".repeat(257)))
        .reject("proof_invalid");
}

fn header(suite: &mut Suite) {
    for (id, typ) in [("jwt", "\"JWT\""), ("at", "\"at+jwt\""), ("suffix", "\"dpop+jwt2\""), ("kb", "\"kb+jwt\"")] {
        suite.proof(&format!("typ-{id}"), "4", "another typ").header("typ", typ).reject("proof_invalid");
    }
    suite.proof("typ-missing", "4", "no typ").without_header("typ").reject("proof_invalid");
    suite.proof("typ-number", "4", "a typ that is no string").header("typ", "1").reject("proof_invalid");
    suite.proof("alg-none", "5", "no signature at all").header("alg", "\"none\"").unsigned().reject("proof_invalid");
    suite.proof("alg-HS256", "5", "a symmetric algorithm").header("alg", "\"HS256\"").reject("proof_invalid");
    suite.proof("alg-unknown", "5", "an algorithm that nobody knows").header("alg", "\"ES256K\"").reject("proof_invalid");
    suite.proof("alg-not-in-the-list", "5", "known, and not in the list").key(&KEYS.rsa2048, "RS512").reject("proof_invalid");
    suite.proof("alg-of-another-key", "5", "the key is not one of the alg").header("alg", "\"ES384\"").reject("proof_invalid");
    suite.proof("alg-missing", "5", "no alg").without_header("alg").reject("proof_invalid");
}

fn signature_and_key(suite: &mut Suite) {
    suite.proof("signature-of-another", "6", "signed with another key than jwk").signed_by(&KEYS.es256).reject("proof_invalid");
    suite
        .proof("signature-changed", "6", "a changed claim")
        .fields(|proof| vec![with_other_claims(&proof)])
        .reject("proof_invalid");
    suite.proof("signature-empty", "6", "an empty signature").unsigned().reject("proof_invalid");
    suite.proof("jwk-missing", "6", "no key").without_header("jwk").reject("proof_invalid");
    suite.proof("jwk-string", "6", "a key that is no object").header("jwk", "\"x\"").reject("proof_invalid");
    suite
        .proof("jwk-by-reference", "6", "a key by reference, which is never followed")
        .without_header("jwk")
        .header("jku", "\"https://evil.example/jwks\"")
        .header("kid", "\"a\"")
        .reject("proof_invalid");
    let off_the_curve = KEYS.es256_other.jwk().text("y", &base64url(&[1; 32])).to_json();
    suite
        .proof("jwk-off-the-curve", "6", "a point that is not on its curve")
        .header("jwk", &off_the_curve)
        .reject("proof_invalid");
    suite.proof("jwk-weak-rsa", "6", "an RSA key of 1024 bits").key(&KEYS.rsa1024, "RS256").reject("proof_invalid");
    let private = KEYS.es256_other.jwk().text("d", &base64url(&[1; 32])).to_json();
    suite.proof("jwk-private", "7", "a key with its private member").header("jwk", &private).reject("proof_invalid");
    let symmetric = r#"{"kty":"oct","k":"AAAA"}"#;
    suite.proof("jwk-symmetric", "7", "a shared secret").header("jwk", symmetric).reject("proof_invalid");
}

fn method_and_target(suite: &mut Suite) {
    suite.proof("htm-other", "8", "another method").claim("htm", "\"POST\"").reject("proof_invalid");
    suite.proof("htm-case", "8", "methods have case").claim("htm", "\"get\"").reject("proof_invalid");
    for (id, url) in [
        ("path", "https://api.example/accounts/43"),
        ("path-case", "https://api.example/Accounts/42"),
        ("slash", "https://api.example/accounts/42/"),
        ("host", "https://other.example/accounts/42"),
        ("host-suffix", "https://api.example.evil/accounts/42"),
        ("port", "https://api.example:8443/accounts/42"),
        ("scheme", "http://api.example/accounts/42"),
        ("user", "https://ada@api.example/accounts/42"),
        ("encoded-slash", "https://api.example/accounts%2F42"),
        ("relative", "/accounts/42"),
        ("empty", ""),
    ] {
        suite.proof(&format!("htu-{id}"), "9", "another target").claim("htu", &json_string(url)).reject("proof_invalid");
    }
    for (id, url) in [
        ("default-port", "https://api.example:443/accounts/42"),
        ("cases", "HTTPS://API.Example/accounts/42"),
        ("query", "https://api.example/accounts/42?page=2"),
        ("fragment", "https://api.example/accounts/42#x"),
        ("escapes", "https://api.example/%61ccounts/42"),
        ("dots", "https://api.example/x/../accounts/./42"),
    ] {
        suite.proof(&format!("good-htu-{id}"), "", "the same target").claim("htu", &json_string(url)).accept();
    }
    suite.proof("good-query-of-the-request", "", "the query of the request is ignored").url(&format!("{URL}?page=2")).accept();
}

fn nonce(suite: &mut Suite) {
    suite.proof("nonce-missing", "10", "the server gave a nonce").nonces(&["n1", "n2"]).reject("proof_nonce_required");
    suite.proof("nonce-other", "10", "another nonce").nonces(&["n1"]).claim("nonce", "\"n3\"").reject("proof_nonce_required");
    suite.proof("nonce-type", "10", "a nonce that is no string").nonces(&["1"]).claim("nonce", "1").reject("proof_invalid");
    suite.proof("good-nonce", "", "the nonce that the server gave").nonces(&["n1"]).claim("nonce", "\"n1\"").accept();
    suite.proof("good-nonce-before", "", "the nonce before that").nonces(&["n2", "n1"]).claim("nonce", "\"n1\"").accept();
}

fn time(suite: &mut Suite) {
    suite.proof("iat-old", "11", "61 s old").claim("iat", &(NOW - 61).to_string()).reject("proof_invalid");
    suite.proof("iat-future", "11", "61 s ahead").claim("iat", &(NOW + 61).to_string()).reject("proof_invalid");
    suite.proof("iat-millis", "11", "milliseconds").claim("iat", &(NOW * 1_000).to_string()).reject("proof_invalid");
    suite.proof("exp-passed", "11", "its own exp has passed").claim("exp", &NOW.to_string()).reject("proof_invalid");
    suite.proof("nbf-future", "11", "its own nbf is to come").claim("nbf", &(NOW + 61).to_string()).reject("proof_invalid");
    suite.proof("good-iat-old", "", "60 s old").claim("iat", &(NOW - 60).to_string()).accept();
    suite.proof("good-iat-future", "", "60 s ahead").claim("iat", &(NOW + 60).to_string()).accept();
}

fn token(suite: &mut Suite) {
    suite
        .proof("ath-other", "12a", "the hash of another token")
        .claim("ath", &json_string(&hash("other")))
        .reject("proof_invalid");
    suite.proof("ath-hex", "12a", "the hash in another encoding").edit_claim("ath", str::to_uppercase).reject("proof_invalid");
    suite.proof("jkt-other", "12b", "a proof of another key than that of cnf.jkt").bound_to(&KEYS.es384).reject("proof_invalid");
    suite.proof("jkt-type", "12b", "a cnf.jkt that is no digest").cnf(r#"{"jkt":"x"}"#).reject("claim_invalid");
    suite
        .proof("cnf-unknown", "12b", "a binding that nobody here can check, beside one that is proved")
        .cnf(&format!(r#"{{"jkt":"{}","jwe":"x"}}"#, thumbprint(&KEYS.es256_other)))
        .reject("proof_required");
    suite.proof("unbound", "7.1", "the scheme DPoP with a token that is bound to nothing").unbound().reject("proof_invalid");
    suite
        .proof("as-bearer", "7.2", "a bound token presented as Bearer, without a proof")
        .scheme("Bearer")
        .fields(|_| Vec::new())
        .reject("proof_required");
    suite
        .proof("as-bearer-with-proof", "7.2", "a bound token presented as Bearer, with a good proof")
        .scheme("Bearer")
        .reject("proof_required");
    suite
        .proof("unbound-bearer", "7.2", "a plain token as Bearer: the control")
        .unbound()
        .scheme("Bearer")
        .fields(|_| Vec::new())
        .accept();
}

fn replays(suite: &mut Suite) {
    suite.proof("replay-first", "", "accepted once").claim("jti", "\"one\"").accept();
    suite
        .proof("replay-again", "11.1", "the same proof again")
        .claim("jti", "\"one\"")
        .after("replay-first")
        .reject("proof_replayed");
    suite.proof("replay-other-jti", "", "another proof of the same key").claim("jti", "\"two\"").after("replay-first").accept();
    suite
        .proof("replay-other-key", "", "the same jti of another key")
        .claim("jti", "\"one\"")
        .key(&KEYS.es384, "ES384")
        .after("replay-first")
        .accept();
    suite
        .proof("replay-other-target", "11.1", "the same jti of the same key, for something else")
        .claim("jti", "\"one\"")
        .url("https://api.example/other")
        .claim("htu", "\"https://api.example/other\"")
        .after("replay-first")
        .reject("proof_replayed");
}

struct Suite {
    requests: Vec<Request>,
}

/// What becomes of the finished proof: the values of the `DPoP` fields.
type Fields = Box<dyn Fn(String) -> Vec<String>>;

/// What becomes of a value that is written.
type Edit = fn(&str) -> String;

/// A request in the making: good in every respect until something is changed. Nothing is pushed before `accept` or `reject`.
#[must_use]
struct Making<'s> {
    suite: &'s mut Suite,
    id: String,
    check: String,
    why: String,
    scheme: String,
    method: String,
    url: String,
    key: &'static Key,
    signer: Option<&'static Key>,
    signs: bool,
    cnf: Option<String>,
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    edited: Vec<(String, Edit)>,
    missing: Vec<String>,
    payload: Option<String>,
    twice: Option<String>,
    fields: Option<Fields>,
    nonces: Vec<String>,
    after: Option<String>,
}

impl Suite {
    fn proof(&mut self, id: &str, check: &str, why: &str) -> Making<'_> {
        let making = Making {
            suite: self,
            id: format!("dpop-{id}"),
            check: check.into(),
            why: why.into(),
            scheme: "DPoP".into(),
            method: "GET".into(),
            url: URL.into(),
            key: &KEYS.es256_other,
            signer: None,
            signs: true,
            cnf: None,
            header: Vec::new(),
            claims: Vec::new(),
            edited: Vec::new(),
            missing: Vec::new(),
            payload: None,
            twice: None,
            fields: None,
            nonces: Vec::new(),
            after: None,
        };
        making.key(&KEYS.es256_other, "ES256").header("typ", "\"dpop+jwt\"")
    }
}

impl Making<'_> {
    fn scheme(mut self, scheme: &str) -> Self {
        self.scheme = scheme.into();
        self
    }

    fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    fn url(mut self, url: &str) -> Self {
        self.url = url.into();
        self
    }

    /// Signed by this key, which the token is bound to.
    fn key(mut self, key: &'static Key, alg: &str) -> Self {
        self.key = key;
        let mut jwk = key.jwk();
        jwk.0.retain(|(name, _)| name != "kid" && name != "use");
        self.header("alg", &json_string(alg)).header("jwk", &jwk.to_json())
    }

    fn bound_to(self, key: &Key) -> Self {
        let cnf = format!(r#"{{"jkt":"{}"}}"#, thumbprint(key));
        self.cnf(&cnf)
    }

    fn cnf(mut self, cnf: &str) -> Self {
        self.cnf = Some(cnf.into());
        self
    }

    fn unbound(self) -> Self {
        self.cnf("")
    }

    fn signed_by(mut self, key: &'static Key) -> Self {
        self.signer = Some(key);
        self
    }

    fn unsigned(mut self) -> Self {
        self.signs = false;
        self
    }

    fn header(mut self, name: &str, json: &str) -> Self {
        set(&mut self.header, name, json.into());
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.header.retain(|(known, _)| known != name);
        self
    }

    fn claim(mut self, name: &str, json: &str) -> Self {
        set(&mut self.claims, name, json.into());
        self
    }

    fn edit_claim(mut self, name: &str, edit: Edit) -> Self {
        self.edited.push((name.into(), edit));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.missing.push(name.into());
        self
    }

    fn twice(mut self, name: &str) -> Self {
        self.twice = Some(name.into());
        self
    }

    fn payload(mut self, payload: &str) -> Self {
        self.payload = Some(payload.into());
        self
    }

    fn fields(mut self, fields: impl Fn(String) -> Vec<String> + 'static) -> Self {
        self.fields = Some(Box::new(fields));
        self
    }

    fn nonces(mut self, nonces: &[&str]) -> Self {
        self.nonces = nonces.iter().map(|nonce| (*nonce).into()).collect();
        self
    }

    fn after(mut self, id: &str) -> Self {
        self.after = Some(format!("dpop-{id}"));
        self
    }

    fn accept(self) {
        self.finish(None);
    }

    fn reject(self, code: &str) {
        self.finish(Some(code));
    }

    fn finish(self, code: Option<&str>) {
        let cnf = self.cnf.clone().unwrap_or_else(|| format!(r#"{{"jkt":"{}"}}"#, thumbprint(self.key)));
        let token = access_token(&cnf);
        let mut claims: Vec<(String, String)> = [
            ("jti", json_string(&self.id)),
            ("htm", json_string(&self.method)),
            ("htu", json_string(URL)),
            ("iat", NOW.to_string()),
            ("ath", json_string(&hash(&token))),
        ]
        .map(|(name, value)| (name.into(), value))
        .into();
        for (name, json) in &self.claims {
            set(&mut claims, name, json.into());
        }
        for (name, edit) in &self.edited {
            for (known, value) in &mut claims {
                if known == name {
                    *value = edit(value);
                }
            }
        }
        claims.retain(|(name, _)| !self.missing.contains(name));
        if let Some(twice) = self.twice.as_ref().and_then(|name| claims.iter().find(|(known, _)| known == name)).cloned() {
            claims.push(twice);
        }
        let payload = self.payload.clone().unwrap_or_else(|| object(&claims));
        let input = format!("{}.{}", base64url(object(&self.header).as_bytes()), base64url(payload.as_bytes()));
        let alg = self.header.iter().find(|(name, _)| name == "alg").map_or("", |(_, alg)| alg.trim_matches('"'));
        let signature = if self.signs { self.signer.unwrap_or(self.key).sign(alg, input.as_bytes()) } else { Vec::new() };
        let proof = format!("{input}.{}", base64url(&signature));
        let fields = self.fields.as_ref().map_or_else(|| vec![proof.clone()], |fields| fields(proof.clone()));
        let Self { suite, id, check, why, scheme, method, url, nonces, after, .. } = self;
        assert!(suite.requests.iter().all(|request| request.id != id), "two vectors are called {id}");
        let code = code.map(String::from);
        suite.requests.push(Request { id, check, why, scheme, method, url, fields, token, nonces, now: NOW, after, code });
    }
}

fn access_token(cnf: &str) -> String {
    let mut claims: Vec<(String, String)> = [
        ("iss", json_string(ISSUER)),
        ("aud", json_string(AUDIENCE)),
        ("sub", json_string("ada")),
        ("iat", (NOW - 60).to_string()),
        ("exp", (NOW + 300).to_string()),
    ]
    .map(|(name, value)| (name.into(), value))
    .into();
    if !cnf.is_empty() {
        claims.push(("cnf".into(), cnf.into()));
    }
    let header = format!(r#"{{"alg":"ES256","kid":{},"typ":"at+jwt"}}"#, json_string(&KEYS.es256.kid));
    let input = format!("{}.{}", base64url(header.as_bytes()), base64url(object(&claims).as_bytes()));
    format!("{input}.{}", base64url(&KEYS.es256.sign("ES256", input.as_bytes())))
}

/// RFC 7638: the required members in the order of their names.
fn thumbprint(key: &Key) -> String {
    let mut jwk = key.jwk();
    jwk.0.retain(|(name, _)| ["crv", "e", "kty", "n", "x", "y"].contains(&name.as_str()));
    jwk.0.sort();
    base64url(&Sha256::digest(object(&jwk.0)))
}

fn hash(text: &str) -> String {
    base64url(&Sha256::digest(text))
}

fn cut(proof: &str) -> String {
    proof.rsplit_once('.').map_or_else(String::new, |(input, _)| input.into())
}

fn with_other_claims(proof: &str) -> String {
    let parts: Vec<&str> = proof.split('.').collect();
    format!("{}.{}.{}", parts[0], base64url(br#"{"jti":"other"}"#), parts[2])
}
