//! One HTTPS request as a client: the command line towards a signer or a JWK Set.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{self, HeaderName},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::error::{Failure, FailureKind};

/// An answer, whatever its status. Redirects are answers, never followed.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its header fields.
    headers: HeaderMap,
    /// Its body as text.
    pub(crate) body: String,
}

impl Answer {
    /// A header field, if it is there and is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A field that is a list, whose members may stand in several lines (RFC 9110 section 5.3).
    pub(crate) fn list(&self, name: &HeaderName) -> Option<String> {
        let lines: Vec<&str> = self.headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    }
}

/// Sends one request, with this header field besides those that every request has, and gives up after `limit`. The answer may have `most` bytes.
/// With TLS settings it goes over TLS or not at all.
///
/// # Errors
/// When nothing was answered, with the URL and what to look at.
pub(crate) async fn request(
    method: Method,
    url: &str,
    field: Option<(HeaderName, &str)>,
    json: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    most: usize,
    limit: Duration,
) -> Result<Answer, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::new(FailureKind::Remote, format!("{url} cannot be reached: {why}"));
    let uri: Uri = url.parse().map_err(|error| Failure::new(FailureKind::Usage, format!("{url:?} is not a URL: {error}")))?;
    if tls.is_some() && uri.scheme_str() != Some("https") {
        return Err(Failure::new(
            FailureKind::Usage,
            format!("{url:?} does not begin with https://, and nothing was sent: it would have gone there unencrypted"),
        ));
    }
    match tokio::time::timeout(limit, exchange(method, &uri, field, json, tls, most)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(why)) => Err(failed(&why)),
        Err(_) => Err(failed(&format_args!("no answer within {} s; is it running, and is the address right?", limit.as_secs()))),
    }
}

async fn exchange(
    method: Method,
    uri: &Uri,
    field: Option<(HeaderName, &str)>,
    json: Option<String>,
    tls: Option<Arc<ClientConfig>>,
    most: usize,
) -> Result<Answer, String> {
    let host = uri.host().ok_or("the URL names no host")?;
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let plain_host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((plain_host, port))
        .await
        .map_err(|error| format!("{error}; is it running, and is the address right?"))?;
    match (secure, tls) {
        (true, Some(tls)) => {
            let name = ServerName::try_from(plain_host.to_owned()).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
            send(stream, method, uri, field, json, most).await
        }
        (true, None) => Err("https needs TLS settings".to_owned()),
        (false, _) => send(stream, method, uri, field, json, most).await,
    }
}

async fn send<S>(
    stream: S,
    method: Method,
    uri: &Uri,
    field: Option<(HeaderName, &str)>,
    json: Option<String>,
    most: usize,
) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut builder =
        Request::builder().method(method).uri(path).header(header::HOST, authority).header(header::ACCEPT, "application/json");
    if let Some((name, value)) = field {
        builder = builder.header(name, value);
    }
    if json.is_some() {
        builder = builder.header(header::CONTENT_TYPE, "application/json");
    }
    let request = builder.body(json.map_or_else(Body::empty, Body::from)).map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(|error| chain(&error))?;
    let status = response.status();
    let headers = response.headers().clone();
    let body = Limited::new(response.into_body(), most).collect().await.map_err(|error| error.to_string())?;
    let body = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| "the answer is not text".to_owned())?;
    Ok(Answer { status, headers, body })
}

/// hyper's own words and what is behind them: a TLS alert tells more than "connection error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_list_in_several_lines_is_one() {
        let mut headers = HeaderMap::new();
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
        let answer = Answer { status: StatusCode::OK, headers, body: String::new() };
        assert_eq!(answer.list(&header::CACHE_CONTROL).as_deref(), Some("public, max-age=300"));
        assert_eq!(answer.list(&header::ETAG), None);
    }
}
