//! The rules of a gateway, ready for requests. PURE.

use alloc::{string::String, vec::Vec};

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::{
    GatewayIssuer, GatewaySettings,
    cors::CorsSettings,
    headers::{ClaimHeaders, Stripping},
    path::RequestPath,
    rate::{RateKey, RateLimitSettings},
    routes::{Access, Matched, RouteSettings, Routes},
    token::{FoundToken, TokenSettings},
};
use crate::{
    error::{Check, ErrorCode, PolicyError, quoted},
    http::{Refusal, Scheme, holds_scheme},
    verify::VerifiedToken,
};

/// What decides about requests. Made once for a configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    routes: Routes,
    settings: Vec<RouteSettings>,
    issuers: Vec<GatewayIssuer>,
    token: TokenSettings,
    stripping: Stripping,
    claims_header: String,
    claim_headers: ClaimHeaders,
    forward_token: bool,
    cors: Option<CorsSettings>,
    rate_limit: Option<RateLimitSettings>,
}

/// What the rules look at of a request.
pub struct RequestHead<'a> {
    /// The method as it is forwarded.
    pub method: &'a str,
    /// Path and query, on the octets that are forwarded.
    pub target: &'a str,
    /// A header's value by its name in lower case, several fields joined by commas.
    pub headers: &'a dyn Fn(&str) -> Option<String>,
}

/// How a request may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passage {
    /// A CORS preflight, which carries no credentials: it goes to the origin without any.
    Preflight,
    /// Nobody in particular.
    Anonymous,
    /// Whoever this token says, once it is verified.
    Token(FoundToken),
}

/// What becomes of a request's head on its way to the origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// Headers to take out, by the names under which they came.
    pub remove: Vec<String>,
    /// Headers to set.
    pub set: Vec<(String, String)>,
    /// Path and query.
    pub target: String,
}

impl Rules {
    /// The rules of a configuration.
    ///
    /// # Errors
    /// A route's pattern that is none.
    pub fn new(settings: &GatewaySettings) -> Result<Self, PolicyError> {
        let GatewaySettings { issuers, routes, token, claims_header, claim_headers, forward_token, cors, rate_limit, .. } =
            settings;
        // A cookie is good for some methods without an Origin, too.
        let by_method = token.cookie.is_some() || routes.iter().any(|route| !route.methods.is_empty());
        Ok(Self {
            routes: Routes::new(routes)?,
            settings: routes.clone(),
            issuers: issuers.clone(),
            token: token.clone(),
            stripping: Stripping::new(claim_headers, token.header.as_deref(), by_method),
            claims_header: claims_header.clone(),
            claim_headers: claim_headers.clone(),
            forward_token: *forward_token,
            cors: cors.clone(),
            rate_limit: rate_limit.clone(),
        })
    }

    /// The routes that a request falls under.
    ///
    /// # Errors
    /// `path_invalid` (400) for a path that servers read in different ways.
    pub fn locate(&self, head: &RequestHead<'_>) -> Result<Matched, Refusal> {
        // A preflight falls under the route of the request that it asks for.
        let asked = if head.is_preflight() { head.header("access-control-request-method") } else { None };
        let method = asked.as_deref().unwrap_or(head.method);
        self.look_up(method, head.path()).map_err(|why| Refusal::path_invalid(alloc::format!("{why}: {}", quoted(head.path()))))
    }

    fn look_up(&self, method: &str, path: &str) -> Result<Matched, &'static str> {
        let path = RequestPath::parse(path)?;
        if self.routes.is_in_doubt(method, &path) {
            return Err(
                "the path holds characters that some servers read as others, and then a route would ask more of the token",
            );
        }
        let mut matched = self.routes.find(method, &path);
        for other in path.past_script() {
            matched.extend(self.look_up(method, &other)?);
        }
        Ok(matched)
    }

    /// How a request may pass.
    ///
    /// # Errors
    /// `token_missing`, or a token that is not carried as it should be.
    pub fn admit(&self, matched: &Matched, head: &RequestHead<'_>) -> Result<Passage, Refusal> {
        if head.is_preflight() {
            return Ok(Passage::Preflight);
        }
        if matched.access == Access::Public {
            return Ok(Passage::Anonymous);
        }
        match self.token.find(head)? {
            Some(token) if token.text.contains('~') && !self.takes_presentations(matched) => {
                let detail = "the presentation of an SD-JWT (there is a ~), and no route here takes one (sd_jwt)";
                Err(Refusal::new(ErrorCode::TokenMalformed, Check::Structure, detail))
            }
            Some(token) => Ok(Passage::Token(token)),
            None if matched.access == Access::Optional => Ok(Passage::Anonymous),
            None => Err(Refusal::token_missing("the request carries no token")),
        }
    }

    /// Whether a verified token is good for these routes.
    ///
    /// # Errors
    /// `issuer_mismatch` (401) for an issuer that is not the route's, `insufficient_scope` and `access_denied` (403).
    pub fn authorize(&self, matched: &Matched, token: &VerifiedToken) -> Result<(), Refusal> {
        let claims = token.claims();
        let issuer = self.issuer_of(token)?;
        issuer.require.judge(claims, &issuer.names)?;
        for route in self.routes_of(matched) {
            if !route.issuers.is_empty() && !route.issuers.iter().any(|name| issuer.is_named(name)) {
                let detail = alloc::format!("{} is an issuer, and none of this route's", quoted(&issuer.written));
                return Err(Refusal::new(ErrorCode::IssuerMismatch, Check::Issuer, detail));
            }
            route.require.judge(claims, &issuer.names)?;
        }
        Ok(())
    }

    /// The rate limits that count a client by this.
    pub fn rate_limits<'a>(&'a self, matched: &'a Matched, key: RateKey) -> impl Iterator<Item = &'a RateLimitSettings> {
        let of_routes = self.routes_of(matched).filter_map(|route| route.rate_limit.as_ref());
        self.rate_limit.iter().chain(of_routes).filter(move |limit| limit.key == key)
    }

    /// What of a request reaches the origin; `names` are the headers that the client sent.
    pub fn outbound<'a>(
        &self,
        matched: &Matched,
        head: &RequestHead<'_>,
        names: impl Iterator<Item = &'a str> + Clone,
        token: Option<&VerifiedToken>,
    ) -> Outbound {
        let connection = head.header("connection");
        let is_preflight = head.is_preflight();
        let forwards_token = !is_preflight && self.forwards_token(matched);
        // A header of tokens says that somebody has looked at what it holds: on a public route nobody has.
        let forwards_header = forwards_token && matched.access != Access::Public;
        let is_websocket = || head.is_websocket();
        let stripped = self.stripping.names(names, connection.as_deref(), is_preflight, forwards_header, is_websocket);
        let mut remove: Vec<String> = stripped.into_iter().map(String::from).collect();
        let mut set = Vec::new();
        if is_preflight {
            remove.extend(["authorization".into(), "cookie".into(), "dpop".into()]);
        } else {
            if !forwards_token
                && self.token.authorization
                && head.header("authorization").is_some_and(|value| holds_scheme(&value, &Scheme::ALL))
            {
                remove.extend(["authorization".into(), "dpop".into()]);
            }
            // Nor has anybody looked at a cookie that gave way to another place.
            let forwards_cookie = forwards_header && self.token.is_in_cookie(head);
            if let Some(kept) = head.header("cookie").and_then(|cookies| self.token.strip_cookies(&cookies, forwards_cookie)) {
                if kept.is_empty() {
                    remove.push("cookie".into());
                } else {
                    set.push(("cookie".into(), kept));
                }
            }
        }
        if let Some(token) = token {
            set.push((self.claims_header.clone(), Base64UrlUnpadded::encode_string(token.claims_json().as_bytes())));
            set.extend(self.claim_headers.of(token.claims()).into_iter().map(|(name, value)| (name.into(), value)));
        }
        Outbound { remove, set, target: self.target(head) }
    }

    /// Path and query as they are forwarded and logged: without the token.
    pub fn target(&self, head: &RequestHead<'_>) -> String {
        match self.token.strip_query(head.query()) {
            None => head.target.into(),
            Some(query) if query.is_empty() => head.path().into(),
            Some(query) => alloc::format!("{}?{query}", head.path()),
        }
    }

    /// The headers that let a browser's script read a refusal; `None` where no route is known.
    pub fn cors_headers(&self, matched: Option<&Matched>, origin: Option<&str>) -> Vec<(&'static str, String)> {
        let of_route = matched.and_then(|matched| self.routes_of(matched).find_map(|route| route.cors.as_ref()));
        of_route.or(self.cors.as_ref()).map_or_else(Vec::new, |cors| cors.headers(origin))
    }

    fn routes_of<'a>(&'a self, matched: &'a Matched) -> impl Iterator<Item = &'a RouteSettings> {
        matched.routes.iter().filter_map(|route| self.settings.get(*route))
    }

    fn takes_presentations(&self, matched: &Matched) -> bool {
        !matched.routes.is_empty() && self.routes_of(matched).all(|route| route.sd_jwt)
    }

    fn forwards_token(&self, matched: &Matched) -> bool {
        match matched.routes.as_slice() {
            [] => self.forward_token,
            _ => self.routes_of(matched).all(|route| route.forward_token.unwrap_or(self.forward_token)),
        }
    }

    /// The entry of a token's issuer; the verifier has compared `iss` where it is not skipped.
    fn issuer_of(&self, token: &VerifiedToken) -> Result<&GatewayIssuer, Refusal> {
        let name = token.claims().issuer();
        let found = match self.issuers.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|issuer| issuer.settings.issuer.as_deref() == name),
        };
        found.ok_or_else(|| Refusal::new(ErrorCode::IssuerMismatch, Check::Issuer, "the token's issuer is not configured"))
    }
}

impl<'a> RequestHead<'a> {
    /// The path.
    pub fn path(&self) -> &'a str {
        self.target.split(['?', '#']).next().unwrap_or_default()
    }

    /// The query, without `?`; empty where there is none.
    pub fn query(&self) -> &'a str {
        let target = self.target.split('#').next().unwrap_or_default();
        target.split_once('?').map_or("", |(_, query)| query)
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        (self.headers)(name)
    }

    /// Whether it asks for a WebSocket (RFC 6455 section 4.1).
    pub fn is_websocket(&self) -> bool {
        self.method == "GET" && self.header("upgrade").is_some_and(|value| value.trim().eq_ignore_ascii_case("websocket"))
    }

    /// Whether it is a CORS preflight (Fetch, section 4.8): OPTIONS with an origin and the method of the request to come.
    pub fn is_preflight(&self) -> bool {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        self.method == "OPTIONS"
            && self.header("origin").is_some_and(|origin| !origin.is_empty())
            && self
                .header("access-control-request-method")
                .is_some_and(|method| !method.is_empty() && method.bytes().all(is_token))
    }
}

impl core::fmt::Debug for RequestHead<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("RequestHead").field("method", &self.method).finish_non_exhaustive()
    }
}

impl GatewayIssuer {
    /// Whether a route that names this issuer means this one.
    pub fn is_named(&self, name: &str) -> bool {
        self.written == name || self.settings.issuer.as_deref() == Some(name)
    }
}
