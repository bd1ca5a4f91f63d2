//! Which headers of a request reach the origin.

/// Headers with this prefix are Edgeseal's to set: what a client sends under it never reaches the origin.
pub const OWN_PREFIX: &str = "edgeseal-";

/// Meant for one connection only (RFC 9110 section 7.6.1), whatever `Connection` says. `Upgrade` is not here: the runtime
/// carries upgraded connections across.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding"];

/// The names, of those that a client sent, that must not reach the origin: Edgeseal's own, those of one hop, and those that
/// `Connection` names. Names are compared in lower case.
pub fn stripped<'a>(names: impl Iterator<Item = &'a str>, connection: Option<&str>) -> Vec<&'a str> {
    let listed: Vec<String> = connection.unwrap_or_default().split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    let strip = |name: &&str| {
        let lower = name.to_ascii_lowercase();
        // Origins behind CGI, WSGI or Rack read `_` as `-`: `Edgeseal_Claims` would pass for ours there.
        let own = lower.replace('_', "-").starts_with(OWN_PREFIX);
        let upgrade = lower == "upgrade";
        own || HOP_BY_HOP.contains(&&*lower) || (!upgrade && listed.contains(&lower))
    };
    names.filter(strip).collect()
}

/// The URL at the origin: the origin's scheme, host and port, the request's path and query.
///
/// # Errors
/// A sentence when one of them is no URL, or the origin has a path or a query of its own.
pub fn origin_url(origin: &str, request_url: &str) -> Result<String, String> {
    let origin = origin.strip_suffix('/').unwrap_or(origin);
    let (_, authority) = origin.split_once("://").ok_or("origin: is not an absolute URL")?;
    if authority.contains(['/', '?']) {
        return Err("origin: must be scheme, host and port, without a path or a query".into());
    }
    let (_, rest) = request_url.split_once("://").ok_or("the request has no absolute URL")?;
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    Ok(format!("{origin}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stripped() {
        let sent = [
            "Accept",
            "edgeseal-claims",
            "Edgeseal-Anything",
            "EDGESEAL_claims",
            "connection",
            "X-Hop",
            "TE",
            "upgrade",
            "authorization",
        ];
        assert_eq!(
            stripped(sent.into_iter(), Some("close, x-hop, Upgrade")),
            ["edgeseal-claims", "Edgeseal-Anything", "EDGESEAL_claims", "connection", "X-Hop", "TE"]
        );
        assert_eq!(stripped(["accept", "cookie"].into_iter(), None), [""; 0]);
    }

    #[test]
    fn urls() {
        let url = |origin, request| origin_url(origin, request).ok();
        assert_eq!(url("https://o.example", "http://edge/a/b?c=d").as_deref(), Some("https://o.example/a/b?c=d"));
        assert_eq!(
            url("http://127.0.0.1:81/", "https://edge//evil.example/x").as_deref(),
            Some("http://127.0.0.1:81//evil.example/x")
        );
        assert_eq!(url("https://o.example/base", "http://edge/a"), None);
        assert_eq!(url("https://o.example?x=1", "http://edge/a"), None);
    }
}
