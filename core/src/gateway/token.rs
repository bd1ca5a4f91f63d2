//! Where a request carries its token. PURE.

use alloc::{string::String, vec::Vec};

use serde_json::Value;

use super::{RequestHead, cors::check_origin, headers::check_name};
use crate::{
    error::PolicyError,
    http::{Refusal, Scheme, holds_scheme, is_tchar, presented_token},
    settings::{Fields, Setting},
};

/// Where tokens are looked for, in this order. More than one place at once is refused, as RFC 6750 section 2 says; only a
/// cookie, which browsers send unasked, gives way to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// `Authorization: Bearer`, or `DPoP` with a proof (RFC 9449).
    pub authorization: bool,
    /// A header that holds the token alone.
    pub header: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
    /// A query parameter, of requests that ask for a WebSocket alone: browsers can set no header there.
    pub query: Option<String>,
    /// Who may send requests that change something, or ask for a WebSocket, with a cookie: values of `Origin`.
    pub origins: Vec<String>,
}

/// A token as a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundToken {
    /// The token's text.
    pub text: String,
    /// Where it was.
    pub place: Place,
    /// Under which scheme it came; outside of the `Authorization` field that is `Bearer`.
    pub scheme: Scheme,
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer`, or `DPoP`.
    Authorization,
    /// The configured header.
    Header,
    /// The configured cookie.
    Cookie,
    /// The configured query parameter.
    Query,
}

impl TokenSettings {
    /// The one token of a request; `None` where there is none.
    ///
    /// # Errors
    /// `authorization_malformed`, `token_ambiguous`, `origin_not_allowed`.
    pub fn find(&self, head: &RequestHead<'_>) -> Result<Option<FoundToken>, Refusal> {
        let mut found: Option<FoundToken> = None;
        let mut add = |text: String, place: Place, scheme: Scheme| {
            if found.is_some() {
                return Err(Refusal::token_ambiguous("the request carries a token in more than one place"));
            }
            found = Some(FoundToken { text, place, scheme });
            Ok(())
        };
        // Another scheme: somebody else's credentials, be they a list.
        if self.authorization
            && let Some(value) = head.header("authorization").filter(|value| holds_scheme(value, &Scheme::ALL))
        {
            let (scheme, token) = presented_token(Some(&value))?;
            add(token.into(), Place::Authorization, scheme)?;
        }
        if let Some(name) = &self.header
            && let Some(value) = head.header(name)
        {
            if value.is_empty() || value.contains([',', ' ', '\t']) {
                return Err(Refusal::token_ambiguous(alloc::format!("header {name} does not hold exactly one token")));
            }
            add(value, Place::Header, Scheme::Bearer)?;
        }
        if let Some(name) = &self.query
            && head.is_websocket()
        {
            match parameters(head.query(), name).as_slice() {
                [] => {}
                [one] => add(one.clone(), Place::Query, Scheme::Bearer)?,
                _ => return Err(Refusal::token_ambiguous(alloc::format!("query parameter {name} occurs more than once"))),
            }
        }
        if let Some(name) = &self.cookie
            && let Some(cookies) = head.header("cookie")
        {
            let mut values = cookies_of(&cookies).filter(|(cookie, _)| cookie == name).map(|(_, value)| value);
            let value = values.next();
            if values.next().is_some() {
                return Err(Refusal::token_ambiguous(alloc::format!("cookie {name} occurs more than once")));
            }
            if let Some(value) = value
                && found.is_none()
            {
                self.admit_cookie(head)?;
                found = Some(FoundToken { text: value.into(), place: Place::Cookie, scheme: Scheme::Bearer });
            }
        }
        Ok(found)
    }

    /// Whether a request's one token is in the cookie.
    pub(super) fn is_in_cookie(&self, head: &RequestHead<'_>) -> bool {
        self.cookie.is_some() && self.find(head).is_ok_and(|found| found.is_some_and(|found| found.place == Place::Cookie))
    }

    /// Browsers send cookies with requests that other sites make: those may not change anything. A WebSocket is not kept from
    /// other sites by CORS either.
    fn admit_cookie(&self, head: &RequestHead<'_>) -> Result<(), Refusal> {
        let is_safe = matches!(head.method, "GET" | "HEAD" | "OPTIONS") && !head.is_websocket();
        if is_safe {
            return Ok(());
        }
        match head.header("origin") {
            Some(origin) if self.origins.contains(&origin) => Ok(()),
            Some(origin) => {
                let detail = alloc::format!(
                    "Origin {} is not in token.origins, and the token came in a cookie",
                    crate::error::quoted(&origin)
                );
                Err(Refusal::origin_not_allowed(detail))
            }
            None => Err(Refusal::origin_not_allowed("there is no Origin, and the token came in a cookie")),
        }
    }

    /// A query without the token's parameter; `None` where it is as it was.
    pub fn strip_query(&self, query: &str) -> Option<String> {
        let name = self.query.as_deref()?;
        let is_token = |pair: &&str| decode_parameter(pair.split('=').next().unwrap_or_default()) == name;
        if !query.split('&').any(|pair| is_token(&pair)) {
            return None;
        }
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_token(pair)).collect();
        Some(kept.join("&"))
    }

    /// A `Cookie` field without the token's cookie, or with `keep` without those alone that some origins take for it; `None` where it is as
    /// it was, empty where none is left.
    pub fn strip_cookies(&self, cookies: &str, keep: bool) -> Option<String> {
        let name = self.cookie.as_deref()?;
        let is_token = |text: &str| cookies_of(text).any(|(cookie, _)| is_alike(cookie, name) && !(keep && cookie == name));
        if !is_token(cookies) {
            return None;
        }
        let mut kept = String::new();
        let mut keep = |separator: &str, text: &str| {
            if !kept.is_empty() && !text.is_empty() {
                kept.push_str(separator);
            }
            kept.push_str(text);
        };
        for pair in cookies.split(';') {
            if !is_token(pair) {
                keep("; ", pair.trim());
                continue;
            }
            // As often a comma is part of a value: it separates cookies only beside the token's.
            for part in pair.split(',').filter(|part| !is_token(part)) {
                keep(if part.contains('=') { "; " } else { "," }, part.trim());
            }
        }
        Some(kept)
    }

    fn check(&self) -> Result<(), PolicyError> {
        let Self { authorization, header, cookie, query, origins } = self;
        if !authorization && header.is_none() && cookie.is_none() && query.is_none() {
            return Err(PolicyError::new(
                "authorization",
                "is false, and no header, cookie or query is named: there is no place for a token",
            ));
        }
        if let Some(name) = header {
            check_name(name).map_err(|error| error.within("header"))?;
        }
        if let Some(name) = cookie
            && (name.is_empty() || !name.bytes().all(is_tchar))
        {
            return Err(PolicyError::new("cookie", "is no cookie's name"));
        }
        if let Some(name) = query
            && (name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')))
        {
            return Err(PolicyError::new("query", "must hold only letters, digits, and - _ ."));
        }
        if !origins.is_empty() && cookie.is_none() {
            return Err(PolicyError::new("origins", "is given, and no cookie: only tokens in cookies need it"));
        }
        for (index, origin) in origins.iter().enumerate() {
            check_origin(origin).map_err(|error| error.within(&alloc::format!("origins[{index}]")))?;
        }
        Ok(())
    }
}

/// Cookies as names and values. A comma separates as well: hosts join repeated fields with one, and no token holds any.
fn cookies_of(cookies: &str) -> impl Iterator<Item = (&str, &str)> {
    cookies.split([';', ',']).map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| match pair.split_once('=') {
        Some((name, value)) => (name.trim(), value.trim()),
        None => ("", pair),
    })
}

/// Whether some origin takes a cookie for another: PHP reads `.`, space and `[` as `_`, others no letter case.
fn is_alike(cookie: &str, name: &str) -> bool {
    let fold = |byte: u8| if matches!(byte, b'.' | b' ' | b'[') { b'_' } else { byte.to_ascii_lowercase() };
    cookie.bytes().map(fold).eq(name.bytes().map(fold))
}

fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(|(key, _)| decode_parameter(key) == name).map(|(_, value)| decode_parameter(value)).collect()
}

/// Decodes as forms do; what is no escape stays.
fn decode_parameter(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit =
            |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            out.push(high * 16 + low);
            at += 3;
        } else {
            out.push(if byte == b'+' { b' ' } else { byte });
            at += 1;
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { authorization: true, header: None, cookie: None, query: None, origins: Vec::new() }
    }
}

impl Setting for TokenSettings {
    fn from_value(value: Value) -> Result<Self, PolicyError> {
        let mut fields = Fields::from_value(value)?;
        let settings = Self {
            authorization: fields.or("authorization", true)?,
            header: fields.optional("header")?,
            cookie: fields.optional("cookie")?,
            query: fields.optional("query")?,
            origins: fields.or("origins", Vec::new())?,
        };
        fields.finish()?;
        settings.check()?;
        Ok(settings)
    }
}
