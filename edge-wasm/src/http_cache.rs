//! How long an HTTP response says that it is fresh.

/// The freshness that a `Cache-Control` field grants, in seconds (RFC 9111 section 5.2.2): `max-age`, or 0 for `no-cache` and
/// `no-store`; `None` where it says nothing or cannot be read.
pub fn max_age(cache_control: &str) -> Option<u64> {
    let mut seconds = None;
    for directive in cache_control.split(',') {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim(), value.trim().trim_matches('"')),
            None => (directive.trim(), ""),
        };
        if name.eq_ignore_ascii_case("no-cache") || name.eq_ignore_ascii_case("no-store") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") && seconds.is_none() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // RFC 9111 section 1.2.2: a number too large to represent counts as the largest.
            seconds = (!value.is_empty()).then(|| value.parse().unwrap_or(u64::MAX));
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives() {
        assert_eq!(max_age("public, max-age=300"), Some(300));
        assert_eq!(max_age("MAX-AGE=\"7\" , must-revalidate"), Some(7));
        assert_eq!(max_age("max-age=99999999999999999999999"), Some(u64::MAX));
        assert_eq!(max_age("max-age=300, no-cache"), Some(0));
        assert_eq!(max_age("no-store"), Some(0));
        for silent in ["", "public", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "s-maxage=5"] {
            assert_eq!(max_age(silent), None, "{silent}");
        }
    }
}
