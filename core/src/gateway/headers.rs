//! Which of a client's headers reach the origin, and in which the origin finds who the client is. PURE.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

use super::{Named, require::ClaimPath};
use crate::{
    claims::Claims,
    error::{PolicyError, quoted},
    json,
    settings::Setting,
};

/// Headers with this prefix are Edgeseal's to set: what a client sends under it never reaches the origin.
pub const OWN_PREFIX: &str = "edgeseal-";

/// Meant for one connection only (RFC 9110 section 7.6.1), whatever `Connection` says. `Upgrade` is not here: the runtime
/// carries the connections of `WebSocket`s across.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// By these some origins take another path than the request's.
const PATH_OVERRIDES: [&str; 22] = [
    "x-original-url",
    "x-original-uri",
    "x-original-path",
    "x-rewrite-url",
    "x-override-url",
    "x-forwarded-prefix",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-request-uri",
    "x-envoy-original-path",
    "x-waws-unencoded-url",
    // What these say is cut from the path, or put before it, by servers and middleware of CGI's heirs (WSGI, PSGI).
    "script-name",
    "path-info",
    "x-script-name",
    "x-forwarded-script-name",
    "x-traversal-path",
    "x-ingress-path",
    // Next.js and functions on Vercel serve the path that these name.
    "x-matched-path",
    "x-invoke-path",
    // By these Rack's and Plack's middleware answers with a path of the client's, which the proxy in front of it serves.
    "x-accel-mapping",
    "x-sendfile-type",
];

/// By these some origins take another method than the request's.
const METHOD_OVERRIDES: [&str; 7] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-method",
    "x-forwarded-method",
    "x-original-method",
    "x-envoy-original-method",
];

/// In these the origin finds credentials that were looked at here; in no other spelling may it find any.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "dpop"];

/// Which claims go to the origin in headers of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimHeaders(pub Vec<(String, ClaimPath)>);

/// The names that a client may not send through.
#[derive(Clone, Debug)]
pub struct Stripping {
    /// Identity headers, as [`normal`] writes them.
    identity: Vec<String>,
    /// The header of tokens. Its name is as [`normal`] writes it.
    token: Option<String>,
    method_overrides: bool,
}

impl Stripping {
    pub(super) fn new(claim_headers: &ClaimHeaders, token: Option<&str>, method_overrides: bool) -> Self {
        let identity = claim_headers.0.iter().map(|(name, _)| normal(name)).collect();
        Self { identity, token: token.map(String::from), method_overrides }
    }

    /// The names, of those that a client sent, that must not reach the origin: identity headers in any spelling that some
    /// origin reads as them, those of one hop, those that `Connection` names, and those that say another path or method. Of the
    /// header of tokens every spelling but the one that is looked at, and that too unless tokens are forwarded.
    pub fn names<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
        connection: Option<&str>,
        is_preflight: bool,
        forwards_token: bool,
        is_websocket: impl Fn() -> bool,
    ) -> Vec<&'a str> {
        let listed: Vec<String> =
            connection.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        let strip = |name: &&str| {
            let lower = name.to_ascii_lowercase();
            let normal = normal(&lower);
            // What CGI would call HTTP_HTTP_…, and a careless origin reads without the first.
            let bare = normal.trim_start_matches("http-");
            let is_identity =
                bare.starts_with(OWN_PREFIX) || self.identity.iter().any(|identity| identity == bare || *identity == normal);
            let is_token = match &self.token {
                Some(token) if token == bare || *token == normal => !forwards_token || lower != *token,
                _ => lower != bare && CREDENTIALS.contains(&bare),
            };
            is_identity
                || is_token
                || HOP_BY_HOP.contains(&&*lower)
                // workerd makes a GET of whatever asks for a WebSocket: of a request that is none, another than was judged.
                || (if lower == "upgrade" { !is_websocket() } else { listed.contains(&lower) })
                || PATH_OVERRIDES.contains(&bare)
                || ((self.method_overrides || is_preflight) && METHOD_OVERRIDES.contains(&bare))
        };
        names.filter(strip).collect()
    }
}

impl ClaimHeaders {
    /// The headers of verified claims; a claim that is not there has none.
    pub fn of(&self, claims: &Claims) -> Vec<(&str, String)> {
        self.0.iter().filter_map(|(name, path)| Some((name.as_str(), header_value(path.find(claims)?)?))).collect()
    }

    pub(super) fn check(&self) -> Result<(), PolicyError> {
        for (index, (name, _)) in self.0.iter().enumerate() {
            check_name(name).map_err(|error| error.within(name))?;
            if self.0[..index].iter().any(|(earlier, _)| normal(earlier) == normal(name)) {
                return Err(PolicyError::new(name.clone(), "is the same header as another one for some origins"));
            }
        }
        Ok(())
    }
}

/// A claim as a header's value: a string or a number as it is, an array as a list with commas, an object as JSON. What is not
/// visible ASCII, and `%` and `,` inside an element, is percent-encoded, so that nothing is read for what it is not.
fn header_value(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(encoded(text)),
        Value::Array(elements) => {
            let elements: Option<Vec<String>> = elements
                .iter()
                .map(|element| match element {
                    Value::Array(_) | Value::Object(_) => Some(encoded(&json::to_string(element))),
                    other => header_value(other),
                })
                .collect();
            elements.map(|elements| elements.join(","))
        }
        Value::Object(_) => Some(encoded(&json::to_string(value))),
        other => Some(json::to_string(other)),
    }
}

fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.len().saturating_sub(1);
    for (index, byte) in text.bytes().enumerate() {
        let is_inner_space = byte == b' ' && index > 0 && index < last;
        if is_inner_space || (byte.is_ascii_graphic() && !matches!(byte, b'%' | b',')) {
            out.push(char::from(byte));
        } else {
            push_escaped(byte, &mut out);
        }
    }
    out
}

/// Appends an octet percent-encoded (RFC 3986 section 2.1).
pub(super) fn push_escaped(byte: u8, out: &mut String) {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).map_or('0', |digit| digit.to_ascii_uppercase());
    out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
}

/// A header's name as CGI and its heirs read it: everything but letters and digits is the same.
fn normal(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' }).collect()
}

/// A name under which the gateway may set, or look for, a header.
pub(super) fn check_name(name: &str) -> Result<(), PolicyError> {
    let refuse = |why: &str| Err(PolicyError::new("", alloc::format!("is {}: {why}", quoted(name))));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return refuse("headers are written with a-z, 0-9 and -");
    }
    let is_taken = |name: &str| {
        HOP_BY_HOP.contains(&name)
            || PATH_OVERRIDES.contains(&name)
            || METHOD_OVERRIDES.contains(&name)
            || name.starts_with(OWN_PREFIX)
            || name.starts_with("access-control-")
            || matches!(
                name,
                "authorization" | "cookie" | "host" | "upgrade" | "content-length" | "content-type" | "origin" | "dpop"
            )
    };
    if is_taken(name) { refuse("that header has a meaning of its own") } else { Ok(()) }
}

impl Setting for ClaimHeaders {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let Named(headers) = Named::from_value(value)?;
        let headers = Self(headers);
        headers.check()?;
        Ok(headers)
    }
}
