//! What requests bring: bodies bounded in size and time, parameters of the path and the query; whatever is wrong with them is
//! a problem document.

use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body of JSON of at most `MOST` octets.
#[derive(Clone, Debug)]
pub struct Json<T, const MOST: usize>(pub T);

impl<T: DeserializeOwned, S: Sync, const MOST: usize> FromRequest<S> for Json<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        parse(&read_json(&parts.headers, body, MOST).await?).map(Self)
    }
}

/// The same, where no body at all says nothing beyond the default.
#[derive(Clone, Debug)]
pub struct OptionalJson<T, const MOST: usize>(pub T);

impl<T: DeserializeOwned + Default, S: Sync, const MOST: usize> FromRequest<S> for OptionalJson<T, MOST> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Json::<T, MOST>::from_request(request, state).await.map(|Json(value)| Self(value))
    }
}

/// What the path names.
#[derive(Clone, Debug)]
pub struct Named<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value)).map_err(|_| Problem::new(Code::NotFound, "no resource has this path"))
    }
}

/// What the query asks for.
#[derive(Clone, Debug)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value)).map_err(|error| {
            let detail = format!("the query: {}", error.body_text());
            Problem::new(Code::RequestMalformed, detail)
        })
    }
}

/// Whether a request says that its body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case("application/json")
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// A whole body that says that it is JSON.
pub(super) async fn read_json(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        let detail = format!("content-type is {:?}; it takes application/json", media_type(headers));
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    read(body, most).await
}

/// A whole body, bounded in size and time.
pub(crate) async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Err(_) => Err(Problem::new(Code::RequestTimeout, format!("the body did not come within {} s", BODY_TIMEOUT.as_secs()))),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(Code::BodyTooLarge, format!("the body has more than {most} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(Code::RequestMalformed, format!("the body broke off: {error}"))),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
    }
}

/// A value from JSON.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // serde would take an array for a struct, its members by their places, and would repeat a text that somebody sent for one.
    if body.trim_ascii_start().first().is_some_and(|first| b"[\"".contains(first)) {
        return Err(Problem::new(Code::RequestMalformed, "the body is no JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| Problem::new(Code::RequestMalformed, without_values(error.to_string())))
}

/// A complaint of serde without the text that it complains of, which may be a secret in the wrong place.
fn without_values(complaint: String) -> String {
    let kept = |begin: &str, end: &str| {
        let (what, rest) = complaint.split_once(begin)?;
        let (_, expected) = rest.rsplit_once(end)?;
        Some(format!("{what}, {expected}"))
    };
    let text = complaint.starts_with("invalid ").then(|| kept(" \"", "\", ")).flatten();
    let variant = || complaint.starts_with("unknown variant ").then(|| kept(" `", "`, ")).flatten();
    text.or_else(variant).unwrap_or(complaint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Pair {
        first: u8,
        second: u8,
    }

    #[test]
    fn an_array_is_no_object() {
        let Pair { first, second } = parse(br#" {"first":1,"second":2}"#).unwrap();
        assert_eq!((first, second), (1, 2));
        for text in ["[1,2]", " \n[1,2]", "[]", "null", "1"] {
            assert!(parse::<Pair>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn no_complaint_repeats_a_text_that_was_sent() {
        let told = |outcome: Result<Pair, Problem>| format!("{:?}", outcome.unwrap_err());
        for text in [r#""secret""#, r#" "secret"#, r#"{"first":"secret","second":2}"#, r#"{"first":"a\", secret`, b"}"#] {
            let told = told(parse(text.as_bytes()));
            assert!(!told.contains("secret"), "{text}: {told}");
        }
        assert!(
            told(parse(br#"{"first":"secret"}"#)).contains("invalid type: string, expected u8 at line 1"),
            "what it takes is said"
        );
        assert_eq!(without_values("unknown variant `secret`, expected `one`".to_owned()), "unknown variant, expected `one`");
        assert_eq!(without_values("missing field `first`".to_owned()), "missing field `first`");
    }
}
