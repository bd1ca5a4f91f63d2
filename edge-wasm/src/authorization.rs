//! The bearer token of an `Authorization` field (RFC 6750 section 2.1).

use crate::refusal::Refusal;

/// The token of an `Authorization` field value, `None` where the request has no such field.
///
/// Fetch API hosts join repeated fields with a comma, so two `Authorization` fields arrive as one value; a comma is never part
/// of a token.
///
/// # Errors
/// `token_missing` without the field or with another scheme; `authorization_malformed` for two fields or anything that is not
/// one token.
pub fn bearer_token(value: Option<&str>) -> Result<&str, Refusal> {
    let Some(value) = value else { return Err(Refusal::token_missing("the request has no Authorization field")) };
    if value.contains(',') {
        return Err(Refusal::authorization_malformed("more than one Authorization field, or a list in it"));
    }
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::token_missing("the scheme of the Authorization field is not Bearer"));
    }
    let token = token.trim_matches(' ');
    if token.is_empty() || token.contains(char::is_whitespace) {
        return Err(Refusal::authorization_malformed("the Authorization field does not hold exactly one token"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(bearer_token(Some(value)).ok(), Some("a.b.c"), "{value}");
        }
    }

    #[test]
    fn refusals() {
        let code = |value| bearer_token(value).err().map(|refusal| refusal.code());
        assert_eq!(code(None), Some("token_missing"));
        for value in ["", "Basic dTpw", "DPoP a.b.c", "Bearera.b.c", "a.b.c"] {
            assert_eq!(code(Some(value)), Some("token_missing"), "{value}");
        }
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer a.b.c, Bearer a.b.c",
            "Bearer a.b.c,",
            "Bearer a b",
            "Basic x, Bearer a.b.c",
            "Bearer a\tb",
        ] {
            assert_eq!(code(Some(value)), Some("authorization_malformed"), "{value}");
        }
    }
}
