//! The console's pages, as the build embedded them: what a page may do is in its Content-Security-Policy, and it is little.

use std::{collections::HashMap, sync::OnceLock};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};

use super::{
    problem::{Code, Problem},
    public::only_read,
};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/console.rs"));
}

/// What a page of ours may load, and from where: from here alone. No script and no style stands in the page itself, nothing
/// frames it, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                      connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
/// For the page that stands in.
const STAND_IN_POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The page where nobody has built the console.
const STAND_IN: &str = include_str!("pages/absent.html");
/// A name with a hash in it never gets other contents.
const FOREVER: &str = "public, max-age=31536000, immutable";

struct File {
    body: &'static [u8],
    etag: String,
}

/// Everything that is no API. Paths of the pages' own router lead to the same page.
pub fn router() -> Router {
    Router::new().fallback(page)
}

/// Whether the build embedded the console.
pub fn are_embedded() -> bool {
    !embedded::FILES.is_empty()
}

async fn page(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    // What looks like a part of the API is none: a page there would hide the mistake.
    let api = path.starts_with("/admin/") || path.starts_with("/console/v1/") || path.starts_with("/v1/");
    if api || path.starts_with("/assets/") && file(&path[1..]).is_none() {
        return Problem::new(Code::NotFound, "nothing is here").into_response();
    }
    if ![Method::GET, Method::HEAD].contains(method) {
        return only_read(Problem::new(Code::MethodNotAllowed, "pages are only read"));
    }
    if !are_embedded() {
        let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, STAND_IN_POLICY)];
        return (StatusCode::OK, headers, STAND_IN).into_response();
    }
    let name = path.trim_start_matches('/');
    // Files that stand beside another one are compressed forms of it, and found under its name alone.
    let name = if file(name).is_some() && !is_compressed(name) { name } else { "index.html" };
    answer(name, request.headers())
}

fn answer(name: &str, asked: &HeaderMap) -> Response {
    let accepts = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepted = |coding: &str| {
        accepts
            .split(',')
            .map(str::trim)
            .any(|one| one == coding || one.split(';').next() == Some(coding) && !one.ends_with("q=0"))
    };
    let forms = [("br", "br"), ("gzip", "gz")];
    let packed = forms.iter().find_map(|(coding, suffix)| {
        accepted(coding).then(|| file(&format!("{name}.{suffix}"))).flatten().map(|file| (Some(*coding), file))
    });
    let Some((coding, File { body, etag })) = packed.or_else(|| file(name).map(|file| (None, file))) else {
        return Problem::new(Code::NotFound, "nothing is here").into_response();
    };
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut response = if known.split(',').any(|one| one.trim() == etag || one.trim().strip_prefix("W/") == Some(etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from(*body).into_response()
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, media_type(name));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::ETAG, etag);
    set(header::VARY, "accept-encoding");
    set(header::CACHE_CONTROL, if name.starts_with("assets/") { FOREVER } else { "no-cache" });
    if let Some(coding) = coding {
        set(header::CONTENT_ENCODING, coding);
    }
    response
}

fn file(name: &str) -> Option<&'static File> {
    static FILES: OnceLock<HashMap<&'static str, File>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let file = |(name, body): &(&'static str, &'static [u8])| {
            let etag = format!("\"{}\"", Base64UrlUnpadded::encode_string(&Sha256::digest(body)[..16]));
            (*name, File { body, etag })
        };
        embedded::FILES.iter().map(file).collect()
    });
    files.get(name)
}

fn is_compressed(name: &str) -> bool {
    let whole = name.strip_suffix(".br").or_else(|| name.strip_suffix(".gz"));
    whole.is_some_and(|whole| file(whole).is_some())
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_runs_what_stands_in_it() {
        assert!(!POLICY.contains("unsafe") && POLICY.starts_with("default-src 'none'"));
        for (name, body) in embedded::FILES.iter().filter(|(name, _)| media_type(name).starts_with("text/html")) {
            let text = std::str::from_utf8(body).unwrap();
            let inline = text.split("<script").skip(1).any(|tag| !tag.split('>').next().unwrap().contains("src="));
            assert!(!inline && !text.contains("<style") && !text.contains(" onload="), "{name} has a script or style of its own");
        }
    }

    #[test]
    fn the_page_that_stands_in_names_what_builds_the_console() {
        let read = |name: &str| std::fs::read_to_string(format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let package: serde_json::Value = serde_json::from_str(&read("www/package.json")).unwrap();
        let (_, script) = STAND_IN.split_once("npm --prefix www run ").unwrap();
        let script = script.split('<').next().unwrap();
        let command = package["scripts"][script].as_str().unwrap_or_else(|| panic!("no script {script}"));
        assert!(command.contains("vite build console"), "{script}: {command}");
        assert!(STAND_IN.contains("<code>make console\n") && read("Makefile").contains("\nconsole:"));
    }
}
