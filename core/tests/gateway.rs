//! The gateway's rules, driven as the Worker drives them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap in a test is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use edgeseal_core::{
    gateway::{GatewaySettings, Passage, RequestHead, Rules, presets::Preset, routes::Access, token::Place},
    http::Refusal,
};
use serde_json::{Value, json};

const ISSUER: &str = r#"{"issuer":"https://i.example","audience":"a","algorithms":["ES256"]}"#;

fn settings(more: &Value) -> Result<GatewaySettings, String> {
    let mut settings = json!({ "echo": true, "issuers": [serde_json::from_str::<Value>(ISSUER).unwrap()] });
    for (name, value) in more.as_object().unwrap() {
        settings[name] = value.clone();
    }
    GatewaySettings::from_json(&settings.to_string()).map_err(|error| error.to_string())
}

fn rules(more: &Value) -> Rules {
    Rules::new(&settings(more).unwrap()).unwrap()
}

/// One request: method, target, headers.
fn ask<T>(method: &str, target: &str, headers: &[(&str, &str)], with: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let get = |name: &str| {
        let values: Vec<&str> =
            headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    with(&RequestHead { method, target, headers: &get })
}

fn admit(rules: &Rules, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Passage, Refusal> {
    ask(method, target, headers, |head| rules.admit(&rules.locate(head)?, head))
}

/// `public`, `optional`, `required` or the code of a refusal.
fn access(rules: &Rules, method: &str, target: &str) -> &'static str {
    match ask(method, target, &[], |head| rules.locate(head)) {
        Ok(matched) => match matched.access {
            Access::Public => "public",
            Access::Optional => "optional",
            Access::Required => "required",
        },
        Err(refusal) => refusal.code(),
    }
}

fn table() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/gateway/hostile.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn no_hostile_path_is_public() {
    let table = table();
    let rules = rules(&json!({ "routes": table["routes"] }));
    let hostile = table["hostile"].as_array().unwrap();
    assert!(hostile.len() >= 60);
    for line in hostile {
        let target = line["target"].as_str().unwrap();
        for method in ["GET", "HEAD", "POST", "get"] {
            let access = access(&rules, method, target);
            assert!(matches!(access, "required" | "path_invalid"), "{method} {target} ({}) is {access}", line["why"]);
        }
    }
    for target in ["/public/x", "/public/", "/public/x/y.png", "/open/x", "/open/reports", "/open/files/1", "/public/x?y=//..%2f"]
    {
        assert_eq!(access(&rules, "GET", target), "public", "{target}");
    }
}

#[test]
fn no_spelling_escapes_what_a_route_asks_for() {
    let table = table();
    let rules = rules(&json!({ "routes": table["routes"] }));
    let asks = |route: usize| table["routes"][route].get("require").is_some();
    for line in table["asking"].as_array().unwrap() {
        let target = line["target"].as_str().unwrap();
        for method in ["GET", "HEAD", "POST", "get"] {
            match ask(method, target, &[], |head| rules.locate(head)) {
                Ok(matched) => assert!(matched.routes.into_iter().any(asks), "{method} {target} ({}) passes", line["why"]),
                Err(refusal) => assert_eq!(refusal.code(), "path_invalid", "{method} {target}"),
            }
        }
    }
    // What is written as it should be, and what no route asks for, is as it was.
    for (target, expected) in [
        ("/open/caf%C3%A9/x", "public"),
        ("/open/%E6%BC%A2%E5%AD%97", "public"),
        ("/open/cafe%CC%81/x", "required"),
        ("/open/x%C2%B2", "required"),
        ("/kafe%CC%81/x", "required"),
        ("/cafe/x", "required"),
        ("/%E2%93%91dmins/x", "required"),
        ("/th%C3%A9/x", "required"),
    ] {
        assert_eq!(access(&rules, "GET", target), expected, "{target}");
        let matched = ask("GET", target, &[], |head| rules.locate(head)).unwrap();
        assert!(!matched.routes.into_iter().any(asks), "{target}");
    }
}

#[test]
fn the_most_specific_route_counts_and_of_equal_ones_the_strictest() {
    let rules = rules(&json!({ "routes": [
        { "match": "/*", "access": "public" },
        { "match": "/api/*" },
        { "match": "/api.open/*", "access": "public" },
        { "match": "/api/status", "access": "public" },
        { "match": "/api/*/me", "access": "optional" },
        { "match": "/twice/*", "access": "public" },
        { "match": "/twice/*", "access": "optional" },
        { "match": "/thrice/x", "access": "public" },
        { "match": "/thrice/x", "access": "required", "require": { "scope": "a" } },
        { "match": "/Thrice/*", "access": "required" },
        { "match": "/docs", "access": "public", "methods": ["GET"] },
        { "match": "/docs", "methods": ["DELETE"] },
        { "match": "/closed/" },
        { "match": "/named" },
        { "match": "/named/*", "require": { "scope": "a" } },
    ] }));
    for (method, target, expected) in [
        ("GET", "/", "public"),
        ("GET", "/x", "public"),
        ("GET", "/api/x", "required"),
        ("GET", "/api", "required"),
        ("GET", "/api/status", "public"),
        ("GET", "/api/STATUS", "required"),
        ("GET", "/api/users/me", "optional"),
        ("GET", "/api/users/ME", "required"),
        ("GET", "/twice/x", "optional"),
        ("GET", "/thrice/x", "required"),
        ("GET", "/docs", "public"),
        ("HEAD", "/docs", "public"),
        ("POST", "/docs", "public"),
        ("DELETE", "/docs", "required"),
        ("DELETE", "/DOCS/", "required"),
        ("delete", "/docs", "required"),
        ("GET", "/api.json", "required"),
        ("GET", "/API.json/", "required"),
        ("GET", "/api.json/x", "required"),
        ("GET", "/api.v2/x/y", "required"),
        ("GET", "/api.open/x", "public"),
        ("GET", "/closed.json/x", "public"),
        ("GET", "/twice.x/y", "public"),
        ("GET", "/apis.json/x", "public"),
        ("GET", "/apis", "public"),
        ("GET", "/apis.json", "public"),
        ("GET", "/thrice.html", "required"),
        ("GET", "/closed", "required"),
        ("GET", "/closed.json", "required"),
        ("GET", "/closed/x", "public"),
    ] {
        assert_eq!(access(&rules, method, target), expected, "{method} {target}");
    }
    assert_eq!(access(&self::rules(&json!({})), "GET", "/"), "required", "no route at all");
    let matched = ask("GET", "/thrice/x", &[], |head| rules.locate(head)).unwrap();
    assert_eq!(matched.routes.len(), 2, "both requirements count: {matched:?}");
    for (target, route) in [("/named", 13), ("/named.json", 13), ("/named/x", 14), ("/named.json/x", 14)] {
        let matched = ask("GET", target, &[], |head| rules.locate(head)).unwrap();
        assert_eq!(matched.routes, [route], "an extension falls under what its name falls under: {target}");
    }
}

#[test]
fn a_path_behind_a_script_is_open_where_it_is_so_in_every_reading_and_asks_what_each_asks() {
    let rules = rules(&json!({ "routes": [
        { "match": "/*", "access": "public" },
        { "match": "/admin/*", "require": { "scope": "admin" } },
        { "match": "/shop/orders", "require": { "scope": "orders" } },
        { "match": "/index.php/mine/*", "access": "optional" },
        { "match": "/index.php/admin/deep/*", "require": { "scope": "deep" } },
    ] }));
    for (target, expected, routes) in [
        ("/index.php/Main_Page", "public", &[0][..]),
        ("/index.php", "public", &[0]),
        ("/index.php/", "public", &[0]),
        ("/index.php/admin/users", "required", &[0, 1]),
        ("/index.php/admin.json", "required", &[0, 1]),
        ("/shop/index.php/orders", "required", &[0, 2]),
        ("/shop/index.php/admin", "required", &[0, 1]),
        ("/index.php/mine/x", "optional", &[3, 0]),
        ("/index.php/admin/deep/x", "required", &[4, 1]),
    ] {
        let matched = ask("GET", target, &[], |head| rules.locate(head)).unwrap();
        assert_eq!((access(&rules, "GET", target), matched.routes.as_slice()), (expected, routes), "{target}");
    }
    assert_eq!(access(&rules, "GET", "/a.php/b.php/x"), "path_invalid");
    // A folder that is open says nothing of what its script serves.
    let rules = self::rules(&json!({ "routes": [{ "match": "/public/*", "access": "public" }] }));
    for (target, expected) in [("/public/index.php/secret", "required"), ("/public/index.php/public/x", "public")] {
        assert_eq!(access(&rules, "GET", target), expected, "{target}");
    }
}

#[test]
fn only_a_preflight_passes_without_a_token() {
    let rules = rules(&json!({}));
    let preflight = [("origin", "https://app.example"), ("access-control-request-method", "PUT")];
    assert_eq!(admit(&rules, "OPTIONS", "/x", &preflight), Ok(Passage::Preflight));
    for (method, headers) in [
        ("OPTIONS", &preflight[..1]),
        ("OPTIONS", &preflight[1..]),
        ("OPTIONS", &[]),
        ("OPTIONS", &[("origin", ""), preflight[1]]),
        ("OPTIONS", &[preflight[0], ("access-control-request-method", "")]),
        ("OPTIONS", &[preflight[0], ("access-control-request-method", "PUT, GET")]),
        ("options", &preflight),
        ("GET", &preflight),
        ("POST", &preflight),
    ] {
        assert_eq!(admit(&rules, method, "/x", headers).unwrap_err().code(), "token_missing", "{method} {headers:?}");
    }
    assert_eq!(admit(&rules, "OPTIONS", "/x%2fy", &preflight).unwrap_err().code(), "path_invalid");
    let gone = ask("OPTIONS", "/x", &[preflight[0], preflight[1], ("authorization", "Bearer x"), ("cookie", "a=b")], |head| {
        rules.outbound(&rules.locate(head).unwrap(), head, ["authorization", "cookie", "edgeseal-claims"].into_iter(), None)
    });
    let gone: BTreeSet<String> = gone.remove.into_iter().collect();
    assert_eq!(gone, ["authorization", "cookie", "dpop", "edgeseal-claims"].map(String::from).into());
    let rules = self::rules(&json!({ "token": { "header": "x-token" }, "forward_token": true }));
    let gone = ask("OPTIONS", "/x", &preflight, |head| {
        rules.outbound(&rules.locate(head).unwrap(), head, ["x-token", "X_Token", "accept"].into_iter(), None)
    });
    assert_eq!(gone.remove[..2], ["x-token", "X_Token"]);
}

#[test]
fn a_token_is_found_in_one_place() {
    let rules = rules(&json!({
        "token": { "header": "x-token", "cookie": "session", "query": "access_token", "origins": ["https://app.example"] },
        "routes": [{ "match": "/o", "access": "optional" }],
    }));
    let upgrade = ("upgrade", "websocket");
    let found = |method: &str, target: &str, headers: &[(&str, &str)]| match admit(&rules, method, target, headers) {
        Ok(Passage::Token(token)) => Ok((token.text, token.place)),
        Ok(_) => Err("none"),
        Err(refusal) => Err(refusal.code()),
    };
    let is = |text: &str, place| Ok((text.to_owned(), place));
    let bearer = ("authorization", "Bearer a.b.c");
    assert_eq!(found("GET", "/x", &[bearer]), is("a.b.c", Place::Authorization));
    assert_eq!(found("GET", "/x", &[("x-token", "a.b.c")]), is("a.b.c", Place::Header));
    assert_eq!(found("GET", "/x", &[("cookie", "a=1; session=a.b.c; z=2")]), is("a.b.c", Place::Cookie));
    assert_eq!(found("GET", "/x?q=1&access_token=a.b.c", &[upgrade]), is("a.b.c", Place::Query));
    assert_eq!(found("GET", "/x?access%5Ftoken=a.b.c", &[("Upgrade", "WebSocket")]), is("a.b.c", Place::Query));
    // Credentials of another scheme are not a token, a cookie gives way.
    assert_eq!(found("GET", "/x", &[("authorization", "Basic eDp5"), ("cookie", "session=a.b.c")]), is("a.b.c", Place::Cookie));
    assert_eq!(found("GET", "/x", &[bearer, ("cookie", "session=d.e.f")]), is("a.b.c", Place::Authorization));
    for (method, target, headers, code) in [
        ("GET", "/x", vec![], "token_missing"),
        ("GET", "/x?access_token=a.b.c", vec![], "token_missing"),
        ("POST", "/x?access_token=a.b.c", vec![upgrade], "token_missing"),
        ("GET", "/x", vec![("cookie", "Session=a.b.c")], "token_missing"),
        ("GET", "/x", vec![("cookie", "xsession=a.b.c")], "token_missing"),
        ("GET", "/x", vec![bearer, bearer], "authorization_malformed"),
        ("GET", "/x", vec![bearer, ("authorization", "Basic eDp5")], "authorization_malformed"),
        ("GET", "/x", vec![bearer, ("x-token", "a.b.c")], "token_ambiguous"),
        ("GET", "/x?access_token=a.b.c", vec![bearer, upgrade], "token_ambiguous"),
        ("GET", "/x?access_token=a&access_token=b", vec![upgrade], "token_ambiguous"),
        ("GET", "/x?access_token=a&access%5ftoken=b", vec![upgrade], "token_ambiguous"),
        ("GET", "/x", vec![("x-token", "a"), ("x-token", "b")], "token_ambiguous"),
        ("GET", "/x", vec![("cookie", "session=a; session=b")], "token_ambiguous"),
        ("GET", "/x", vec![("cookie", "session=a"), ("cookie", "session=a")], "token_ambiguous"),
        ("GET", "/x", vec![bearer, ("cookie", "session=a; session=b")], "token_ambiguous"),
        ("GET", "/o", vec![("cookie", "session=a; session=b")], "token_ambiguous"),
        ("POST", "/x", vec![("cookie", "session=a")], "origin_not_allowed"),
        ("POST", "/x", vec![("cookie", "session=a"), ("origin", "https://evil.example")], "origin_not_allowed"),
        ("POST", "/x", vec![("cookie", "session=a"), ("origin", "https://app.example.evil")], "origin_not_allowed"),
        ("POST", "/x", vec![("cookie", "session=a"), ("origin", "null")], "origin_not_allowed"),
        ("DELETE", "/x", vec![("cookie", "session=a")], "origin_not_allowed"),
        ("PROPFIND", "/x", vec![("cookie", "session=a")], "origin_not_allowed"),
        ("GET", "/x", vec![("cookie", "session=a"), upgrade], "origin_not_allowed"),
        ("GET", "/o", vec![], "none"),
        ("GET", "/o", vec![("authorization", "Basic eDp5")], "none"),
        ("GET", "/o", vec![("authorization", "Digest username=\"a\", realm=\"b\"")], "none"),
        ("GET", "/o", vec![("authorization", "Digest username=\"a\""), bearer], "authorization_malformed"),
        ("GET", "/x", vec![("authorization", "Bearer a.b.c~")], "token_malformed"),
    ] {
        assert_eq!(found(method, target, &headers), Err(code), "{method} {target} {headers:?}");
    }
    let allowed = [("cookie", "session=a.b.c"), ("origin", "https://app.example")];
    assert_eq!(found("POST", "/x", &allowed), is("a.b.c", Place::Cookie));
    assert_eq!(found("GET", "/x", &[allowed[0], allowed[1], upgrade]), is("a.b.c", Place::Cookie));
}

#[test]
fn the_token_and_identity_headers_of_a_client_stay_here() {
    let more = json!({
        "token": { "header": "x-token", "cookie": "session", "query": "access_token" },
        "claim_headers": { "x-user": "sub", "x-roles": "/realm_access/roles" },
        "routes": [{ "match": "/p", "methods": ["GET"] }],
    });
    let table = table();
    let hostile: Vec<&str> = table["headers"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let hops = [
        "Connection",
        "Keep-Alive",
        "Proxy-Authorization",
        "proxy-connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "X-Hop",
        "Upgrade",
    ];
    let spelled = ["X_Token", "x.token", "HTTP_X_TOKEN"];
    let kept = ["accept", "x-username", "user", "cookie", "edgesealed", "authorization2"];
    for forward in [false, true] {
        let mut more = more.clone();
        more["forward_token"] = json!(forward);
        let rules = rules(&more);
        let headers =
            [("authorization", "Bearer a.b.c"), ("cookie", "a=1; session=x; b=2"), ("connection", "close, X-HOP, upgrade")];
        assert!(matches!(admit(&rules, "GET", "/p?a=1&access_token=s&b=2", &headers), Ok(Passage::Token(_))));
        let out = ask("GET", "/p?a=1&access_token=s&b=2", &headers, |head| {
            let names = hostile.iter().chain(&hops).chain(&spelled).chain(&kept).chain(&["x-token"]).copied();
            rules.outbound(&rules.locate(head).unwrap(), head, names.collect::<Vec<_>>().into_iter(), None)
        });
        let mut expected: BTreeSet<&str> = hostile.iter().chain(&hops).chain(&spelled).copied().collect();
        if !forward {
            expected.extend(["authorization", "dpop", "x-token"]);
        }
        assert_eq!(out.remove.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected);
        assert_eq!(out.target, "/p?a=1&b=2", "a token in the query goes no further");
        assert_eq!(out.set, [("cookie".to_owned(), "a=1; b=2".to_owned())], "nobody looked at the cookie");
    }
    let rules = rules(&json!({ "token": { "cookie": "session", "query": "t" } }));
    let out = ask("GET", "/p?t=1", &[("cookie", "session=x"), ("authorization", "Basic eDp5")], |head| {
        rules.outbound(&rules.locate(head).unwrap(), head, ["cookie", "authorization"].into_iter(), None)
    });
    assert_eq!((out.remove, out.target.as_str()), (vec!["cookie".to_owned()], "/p"));
}

#[test]
fn only_a_get_asks_the_origin_for_a_websocket() {
    let rules = rules(&json!({ "routes": [{ "match": "/hook", "methods": ["POST"], "access": "public" }] }));
    let upgrade = ("upgrade", "websocket");
    let preflight = [upgrade, ("origin", "https://app.example"), ("access-control-request-method", "GET")];
    for (method, headers, is_removed) in [
        ("GET", &[upgrade][..], false),
        ("GET", &[("Upgrade", " WebSocket ")], false),
        ("GET", &[("upgrade", "h2c")], true),
        ("POST", &[upgrade], true),
        ("OPTIONS", &preflight, true),
        ("HEAD", &[upgrade, ("connection", "upgrade")], true),
    ] {
        let out = ask(method, "/hook", headers, |head| {
            rules.outbound(&rules.locate(head).unwrap(), head, ["upgrade"].into_iter(), None)
        });
        assert_eq!(out.remove.iter().any(|name| name == "upgrade"), is_removed, "{method} {headers:?}");
    }
}

#[test]
fn an_optional_route_that_asks_something_asks_it_in_every_spelling() {
    let rules = rules(&json!({ "routes": [
        { "match": "/*", "access": "public" },
        { "match": "/reports/*", "access": "optional", "require": { "scope": "reports" } },
        { "match": "/plain/*", "access": "optional" },
        { "match": "/put", "access": "optional", "methods": ["PUT"], "issuers": ["https://i.example"] },
    ] }));
    for (method, target, expected, route) in [
        ("GET", "/reports/1", "optional", 1),
        ("GET", "/Reports/1", "required", 1),
        ("GET", "/reports/1;x", "required", 1),
        ("GET", "/reports", "required", 1),
        ("GET", "/reports.json", "required", 1),
        ("GET", "/reports.json/1", "required", 1),
        ("GET", "/plain/1", "optional", 2),
        ("GET", "/Plain/1", "public", 0),
        ("PUT", "/put", "optional", 3),
        ("put", "/put", "required", 3),
        ("PUT", "/PUT/", "required", 3),
        ("GET", "/put", "public", 0),
    ] {
        let matched = ask(method, target, &[], |head| rules.locate(head)).unwrap();
        assert_eq!((access(&rules, method, target), &*matched.routes), (expected, &[route][..]), "{method} {target}");
    }
}

#[test]
fn whatever_ends_the_name_of_a_scheme_it_is_ours() {
    let rules = rules(&json!({ "token": { "cookie": "session" }, "routes": [{ "match": "/p", "access": "public" }] }));
    for (value, is_ours) in [
        ("Bearer a.b.c", true),
        ("Bearer\ta.b.c", true),
        ("Bearer\u{b}a.b.c", true),
        ("Bearer\u{c}a.b.c", true),
        ("bearer\u{a0}a.b.c", true),
        ("DPoP\u{3000}a.b.c", true),
        ("Bearer=a.b.c", true),
        ("Basic eDp5, Bearer\u{b}a.b.c", true),
        ("Bearer", true),
        ("Bearer-X a.b.c", false),
        ("Bearer.x a.b.c", false),
        ("Bearers a.b.c", false),
        ("Basic eDp5", false),
    ] {
        // Beside a cookie that is good: what the client says in this field is looked at, or goes no further.
        let headers = [("cookie", "session=d.e.f"), ("authorization", value)];
        let admitted = admit(&rules, "GET", "/x", &headers);
        let by_cookie = matches!(&admitted, Ok(Passage::Token(found)) if found.place == Place::Cookie);
        assert_eq!(!by_cookie, is_ours, "{value:?}: {admitted:?}");
        let out = ask("GET", "/p", &headers[1..], |head| {
            rules.outbound(&rules.locate(head).unwrap(), head, ["authorization"].into_iter(), None)
        });
        assert_eq!(out.remove.iter().any(|name| name == "authorization"), is_ours, "{value:?}");
    }
}

#[test]
fn a_cookie_that_nobody_looked_at_goes_no_further() {
    for forward in [false, true] {
        let rules = rules(&json!({
            "token": { "cookie": "session", "header": "x-token" },
            "forward_token": forward,
            "routes": [{ "match": "/p", "access": "public" }, { "match": "/o", "access": "optional" }],
        }));
        let cookie = ("cookie", "a=1; session=a.b.c");
        for (target, headers, is_looked_at) in [
            ("/x", vec![cookie], true),
            ("/o", vec![cookie], true),
            ("/x", vec![cookie, ("authorization", "Basic eDp5")], true),
            ("/x", vec![cookie, ("authorization", "Bearer d.e.f")], false),
            ("/o", vec![cookie, ("authorization", "DPoP d.e.f")], false),
            ("/x", vec![cookie, ("x-token", "d.e.f")], false),
            ("/p", vec![cookie], false),
        ] {
            assert!(admit(&rules, "GET", target, &headers).is_ok(), "{target} {headers:?}");
            let out = ask("GET", target, &headers, |head| {
                rules.outbound(&rules.locate(head).unwrap(), head, ["cookie"].into_iter(), None)
            });
            let expected = if forward && is_looked_at { vec![] } else { vec![("cookie".to_owned(), "a=1".to_owned())] };
            assert_eq!(out.set, expected, "{forward} {target} {headers:?}");
        }
    }
}

#[test]
fn nobody_looks_at_the_token_header_of_a_public_route_so_it_goes_no_further() {
    for forward in [false, true] {
        let rules = rules(&json!({
            "token": { "authorization": false, "header": "cf-access-jwt-assertion" },
            "forward_token": forward,
            "routes": [{ "match": "/p", "access": "public" }, { "match": "/o", "access": "optional" }],
        }));
        let removed = |target: &str| {
            ask("GET", target, &[("cf-access-jwt-assertion", "a.b.c")], |head| {
                let names = ["cf-access-jwt-assertion", "CF_ACCESS_JWT_ASSERTION", "authorization"];
                rules.outbound(&rules.locate(head).unwrap(), head, names.into_iter(), None).remove
            })
        };
        assert_eq!(removed("/p"), ["cf-access-jwt-assertion", "CF_ACCESS_JWT_ASSERTION"]);
        let looked_at =
            if forward { &["CF_ACCESS_JWT_ASSERTION"][..] } else { &["cf-access-jwt-assertion", "CF_ACCESS_JWT_ASSERTION"] };
        assert_eq!(removed("/x"), looked_at);
        assert_eq!(removed("/o"), looked_at);
    }
}

#[test]
fn a_method_override_goes_no_further_where_a_cookie_is_judged_by_the_method() {
    for (more, is_removed) in [
        (json!({ "token": { "cookie": "session" } }), true),
        (json!({ "routes": [{ "match": "/x", "methods": ["GET"] }] }), true),
        (json!({}), false),
    ] {
        let rules = rules(&more);
        let out = ask("GET", "/x", &[("cookie", "session=a.b.c")], |head| {
            let names = ["x-http-method-override", "HTTP_X_METHOD_OVERRIDE"];
            rules.outbound(&rules.locate(head).unwrap(), head, names.into_iter(), None).remove
        });
        assert_eq!(!out.is_empty(), is_removed, "{more}: {out:?}");
    }
}

#[test]
fn a_cookie_that_some_origin_takes_for_the_tokens_is_no_token_and_goes_no_further() {
    for forward in [false, true] {
        let rules = rules(&json!({ "token": { "cookie": "__Host-a_b" }, "forward_token": forward }));
        for alike in ["__Host-a.b", "..Host-a_b", "__host-A_B", "__Host-a b", "__Host-a[b"] {
            let cookies = format!("x=1; {alike}=f.f.f; __Host-a_b=a.b.c; {alike}=g.g.g; a.b=2");
            let headers = [("cookie", cookies.as_str())];
            match admit(&rules, "GET", "/x", &headers).unwrap() {
                Passage::Token(found) => assert_eq!(found.text, "a.b.c", "{alike}"),
                other => panic!("{alike}: {other:?}"),
            }
            let out = ask("GET", "/x", &headers, |head| {
                rules.outbound(&rules.locate(head).unwrap(), head, ["cookie"].into_iter(), None)
            });
            let kept = if forward { "x=1; __Host-a_b=a.b.c; a.b=2" } else { "x=1; a.b=2" };
            assert_eq!(out.set, [("cookie".to_owned(), kept.to_owned())], "{forward} {alike}");
            let alone = format!("{alike}=f.f.f");
            assert_eq!(admit(&rules, "GET", "/x", &[("cookie", &alone)]).unwrap_err().code(), "token_missing", "{alike}");
        }
    }
}

#[test]
fn other_cookies_stay_as_they_are() {
    let rules = rules(&json!({ "token": { "cookie": "session" } }));
    for (cookies, kept) in [
        ("prefs=a,b; session=x", "prefs=a,b"),
        ("t={\"a\":1,\"b\":2}; session=x; u= v ", "t={\"a\":1,\"b\":2}; u= v"),
        ("session=x; a=1,b=2", "a=1,b=2"),
        ("a=1, session=x, b=2", "a=1; b=2"),
        ("prefs=a,b, session=x, c=d", "prefs=a,b; c=d"),
        ("a=1;; session=x;", "a=1"),
        (" session = x , ", ""),
    ] {
        let out = ask("GET", "/x", &[("cookie", cookies)], |head| {
            rules.outbound(&rules.locate(head).unwrap(), head, ["cookie"].into_iter(), None)
        });
        match kept {
            "" => assert_eq!(out.remove, ["cookie"], "{cookies}"),
            kept => assert_eq!(out.set, [("cookie".to_owned(), kept.to_owned())], "{cookies}"),
        }
    }
}

#[test]
fn refusals_are_readable_by_the_scripts_that_may() {
    let rules = rules(&json!({
        "cors": { "origins": ["https://a.example"] },
        "routes": [{ "match": "/any", "cors": { "origins": ["*"] } }, { "match": "/own", "cors": { "origins": ["https://b.example"], "credentials": true } }],
    }));
    let of = |target: &str, origin: Option<&str>| {
        let matched = ask("GET", target, &[], |head| rules.locate(head)).unwrap();
        rules.cors_headers(Some(&matched), origin).into_iter().collect::<BTreeMap<_, _>>()
    };
    assert_eq!(of("/x", Some("https://a.example"))["access-control-allow-origin"], "https://a.example");
    assert_eq!(of("/x", Some("https://b.example")).keys().collect::<Vec<_>>(), ["vary"].iter().collect::<Vec<_>>());
    assert_eq!(of("/any", Some("https://b.example"))["access-control-allow-origin"], "*");
    let own = of("/own", Some("https://b.example"));
    assert_eq!(own["access-control-allow-credentials"], "true");
    assert_eq!(own["access-control-expose-headers"], "www-authenticate, retry-after");
    assert_eq!(of("/own", None).keys().collect::<Vec<_>>(), ["vary"].iter().collect::<Vec<_>>());
}

#[test]
fn mistakes_name_the_field_and_the_mend() {
    let told = |more: Value| settings(&more).unwrap_err();
    for (more, expected) in [
        (
            json!({ "routes": [{ "match": "public/*", "access": "public" }] }),
            "routes[0].match: is \"public/*\": a pattern begins with /",
        ),
        (json!({ "routes": [{ "match": ["/a", "/b*"] }] }), "routes[0].match[1]: is \"/b*\": * stands for a whole segment"),
        (json!({ "routes": [{ "match": "/users/:id" }] }), "routes[0].match: is \"/users/:id\": write *"),
        (json!({ "routes": [{ "match": "/a/../b" }] }), "routes[0].match: is \"/a/../b\": no request gets through"),
        (json!({ "routes": [{ "match": "/a//b" }] }), "routes[0].match: is \"/a//b\": it has an empty segment"),
        (json!({ "routes": [{ "match": "/a;x" }] }), "routes[0].match: is \"/a;x\": servers differ"),
        (json!({ "routes": [{ "match": "/a?b" }] }), "routes[0].match: is \"/a?b\": a pattern is of the path alone"),
        (json!({ "routes": [{ "match": [] }] }), "routes[0].match: is empty"),
        (json!({ "routes": [{ "access": "public" }] }), "routes[0].match: is missing"),
        (json!({ "routes": [{ "match": "/a", "access": "open" }] }), "routes[0].access: is \"open\": must be \"public\""),
        (
            json!({ "routes": [{ "match": "/a", "methods": ["get"] }] }),
            "routes[0].methods[0]: is \"get\": methods are written in capitals",
        ),
        (json!({ "routes": [{ "match": "/a", "methods": [] }] }), "routes[0].methods: is empty"),
        (
            json!({ "routes": [{ "match": "/a", "access": "public", "require": { "scope": "a" } }] }),
            "routes[0].require: asks something",
        ),
        (json!({ "routes": [{ "match": "/a", "require": {} }] }), "routes[0].require: asks for nothing"),
        (json!({ "routes": [{ "match": "/a", "require": { "scope": [] } }] }), "routes[0].require.scope: is empty"),
        (
            json!({ "routes": [{ "match": "/a", "require": { "scope": "a\"b" } }] }),
            "routes[0].require.scope: \"a\\\"b\" is no scope",
        ),
        (json!({ "routes": [{ "match": "/a", "require": { "claims": { "x": null } } }] }), "routes[0].require.claims.x: must be"),
        (
            json!({ "routes": [{ "match": "/a", "require": { "claims": { "x": { "some": [1] } } } }] }),
            "routes[0].require.claims.x.some: is not a setting here",
        ),
        (
            json!({ "routes": [{ "match": "/a", "issuers": ["https://other.example"] }] }),
            "routes[0].issuers[0]: is \"https://other.example\"",
        ),
        (json!({ "routes": [{ "match": "/a", "sd_jwt": true }] }), "routes[0].sd_jwt: is true, and no issuer's"),
        (json!({ "routes": [{ "match": "/a", "acces": "public" }] }), "routes[0].acces: is not a setting here"),
        (json!({ "token": { "authorization": false } }), "token.authorization: is false"),
        (json!({ "token": { "cookie": "a b" } }), "token.cookie: is no cookie's name"),
        (json!({ "token": { "origins": ["https://a.example"] } }), "token.origins: is given, and no cookie"),
        (json!({ "token": { "cookie": "c", "origins": ["*"] } }), "token.origins[0]: is \"*\""),
        (json!({ "token": { "cookie": "c", "origins": ["null"] } }), "token.origins[0]: is \"null\""),
        (
            json!({ "token": { "cookie": "c", "origins": ["https://A.example"] } }),
            "token.origins[0]: is \"https://A.example\": browsers send it in lower case",
        ),
        (
            json!({ "token": { "cookie": "c", "origins": ["https://a.example:443"] } }),
            "token.origins[0]: is \"https://a.example:443\": browsers leave out",
        ),
        (json!({ "claim_headers": { "X-User": "sub" } }), "claim_headers.X-User: is \"X-User\": headers are written with a-z"),
        (
            json!({ "claim_headers": { "authorization": "sub" } }),
            "claim_headers.authorization: is \"authorization\": that header has a meaning",
        ),
        (json!({ "claim_headers": { "x-user": "" } }), "claim_headers.x-user: names no claim"),
        (json!({ "claim_headers": { "x-user": "/a~b" } }), "claim_headers.x-user: is no JSON Pointer"),
        (json!({ "cors": { "origins": ["*"], "credentials": true } }), "cors.credentials: is true"),
        (json!({ "rate_limit": { "key": "ip" } }), "rate_limit.binding: is missing"),
        (json!({ "echo": false, "origin": "https://o.example/base" }), "origin: must be scheme, host and port"),
        (json!({ "echo": false, "origin": "service:" }), "origin: names no service binding"),
        (json!({ "echo": false, "origin": "service:a b" }), "origin: is \"service:a b\": a binding is named with"),
        (json!({ "echo": false, "origin": "https://o.example:99999" }), "origin: \"https://o.example:99999\" has something else"),
        (json!({ "echo": false, "origin": 5 }), "origin: must be a string, not a number"),
        (json!({ "routes": [{ "match": "/.edgeseal/health" }] }), "routes[0].match: is \"/.edgeseal/health\": below /.edgeseal/"),
        (json!({ "routes": [{ "match": "/a", "require": { "roles": "" } }] }), "routes[0].require.roles: is an empty string"),
        (json!({ "issuers": [{ "preset": "azure" }] }), "issuers[0].preset: is \"azure\": there are entra, auth0"),
        (json!({ "issuers": [{ "preset": "entra", "audience": "a" }] }), "issuers[0].tenants: is missing"),
        (
            json!({ "issuers": [{ "preset": "entra", "audience": "a", "tenants": ["common"] }] }),
            "issuers[0].tenants: holds \"common\"",
        ),
        (
            json!({ "issuers": [{ "preset": "entra", "audience": "a", "tenants": [] }] }),
            "issuers[0].tenants: holds 0 of 1 to 500",
        ),
        (
            json!({ "issuers": [{ "preset": "entra", "audience": "a", "issuer": "https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0" }] }),
            "issuers[0].issuer: names no tenant's id",
        ),
        (
            json!({ "issuers": [{ "preset": "entra", "audience": "a", "issuer": "https://login.microsoftonline.com/common/v2.0" }] }),
            "issuers[0].issuer: is no token's issuer",
        ),
        (
            json!({ "issuers": [{ "issuer": "https://i.example", "audience": "a", "algorithms": ["ES256"],
                "require": { "claims": { "tid": ["x", "{tenantid}"] } } }] }),
            "issuers[0].require: holds {tenantid}, and the issuer does not",
        ),
        (
            json!({ "issuers": [{ "preset": "auth0", "issuer": "https://t.auth0.com", "audience": "a" }] }),
            "issuers[0].issuer: does not end with a slash",
        ),
        (
            json!({ "issuers": [{ "preset": "github-actions", "audience": "a" }] }),
            "issuers[0].require.claims: says nothing of whose",
        ),
        (
            json!({ "issuers": [{ "issuer": "https://{tenantid}.example", "audience": "a", "algorithms": ["ES256"] }] }),
            "issuers[0].tenants: is missing",
        ),
        (
            json!({ "issuers": [{ "issuer": "https://i.example", "audience": "a", "algorithms": ["ES256"], "tenants": ["x"] }] }),
            "issuers[0].tenants: is given",
        ),
        (json!({ "issuers": [] }), "issuers: is empty"),
        (json!({ "nonsense": 1 }), "nonsense: is not a setting here; there are"),
    ] {
        let told = told(more.clone());
        assert!(told.starts_with(expected), "{more}\n     got {told}\nexpected {expected}");
    }
}

#[test]
fn a_preset_fills_ordinary_settings_and_gives_way() {
    for preset in Preset::ALL {
        let defaults: Value = serde_json::from_str(preset.defaults()).unwrap();
        assert_eq!(defaults["algorithms"], json!(["RS256"]), "{}", preset.name());
        assert!(
            defaults.get("dangerous").is_none() && defaults.get("audience").is_none(),
            "{} makes nothing laxer",
            preset.name()
        );
    }
    let one = |issuer: Value| settings(&json!({ "issuers": [issuer] })).unwrap().issuers;
    let given = one(
        json!({ "preset": "keycloak", "issuer": "https://k.example/realms/r", "audience": "a", "roles_claim": "groups", "leeway": 5,
        "require": { "claims": { "azp": "app" } } }),
    );
    assert_eq!(given[0].names.roles.as_str(), "groups");
    assert_eq!(given[0].settings.leeway, Some(5));
    let asked: Vec<&str> = given[0].require.claims.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(asked, ["azp", "typ"], "what the preset asks for stays beside what is given");
    let tenants = one(json!({ "preset": "entra", "audience": "a",
        "tenants": ["8eaef023-2b34-4da1-9baa-8bc8c9d6a490", "11111111-2222-3333-4444-555555555555"] }));
    let names: Vec<&str> = tenants.iter().filter_map(|issuer| issuer.settings.issuer.as_deref()).collect();
    assert_eq!(
        names,
        [
            "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
            "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
        ]
    );
    assert_eq!(tenants[0].require.claims[0].1.all, [json!("8eaef023-2b34-4da1-9baa-8bc8c9d6a490")]);
    for issuer in [
        "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
        "https://sts.windows.net/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/",
    ] {
        let concrete = one(json!({ "preset": "entra", "audience": "a", "issuer": issuer }));
        assert_eq!((concrete.len(), concrete[0].settings.issuer.as_deref()), (1, Some(issuer)));
        let (path, wanted) = &concrete[0].require.claims[0];
        assert_eq!((path.as_str(), &wanted.all), ("tid", &vec![json!("8eaef023-2b34-4da1-9baa-8bc8c9d6a490")]));
    }
}

/// Every object of the configuration, at the place of `{}`; `$` is a member that no setting has.
const OBJECTS: [(&str, &str); 13] = [
    ("", r#"{"issuers":[ISSUER],"echo":true,"$":1}"#),
    ("issuer", r#"{"issuers":[{"issuer":"https://i.example","audience":"a","algorithms":["ES256"],"$":1}],"echo":true}"#),
    (
        "sdJwt",
        r#"{"issuers":[{"audience":"a","algorithms":["ES256"],"sd_jwt":{"key_binding":"where_bound","$":1}}],"echo":true}"#,
    ),
    ("dangerous", r#"{"issuers":[{"audience":"a","algorithms":["ES256"],"dangerous":{"$":1}}],"echo":true}"#),
    ("require", r#"{"issuers":[{"audience":"a","algorithms":["ES256"],"require":{"scope":"a","$":1}}],"echo":true}"#),
    ("route", r#"{"issuers":[ISSUER],"echo":true,"routes":[{"match":"/a","$":1}]}"#),
    ("token", r#"{"issuers":[ISSUER],"echo":true,"token":{"$":1}}"#),
    ("cors", r#"{"issuers":[ISSUER],"echo":true,"cors":{"origins":["*"],"$":1}}"#),
    ("rateLimit", r#"{"issuers":[ISSUER],"echo":true,"rate_limit":{"binding":"B","$":1}}"#),
    ("revocation", r#"{"issuers":[ISSUER],"echo":true,"revocation":{"edge":"e","control_keys":[],"$":1}}"#),
    ("dpop", r#"{"issuers":[ISSUER],"echo":true,"dpop":{"$":1}}"#),
    ("cache", r#"{"issuers":[ISSUER],"echo":true,"cache":{"$":1}}"#),
    ("wanted", r#"{"issuers":[ISSUER],"echo":true,"routes":[{"match":"/a","require":{"claims":{"c":{"any":[1],"$":1}}}}]}"#),
];

#[test]
fn the_schema_has_the_settings_that_are_read() {
    let schema: Value = serde_json::from_str(edgeseal_core::gateway::SCHEMA).unwrap();
    for (name, text) in OBJECTS {
        let told = GatewaySettings::from_json(&text.replace("ISSUER", ISSUER)).unwrap_err().to_string();
        let known = told.split("$: is not a setting here; there are ").nth(1).unwrap_or_else(|| panic!("{name}: {told}"));
        let known: BTreeSet<&str> = known.split(", ").collect();
        let part = if name.is_empty() { &schema } else { &schema["$defs"][name] };
        // Some are an object among other forms.
        let object = part["anyOf"].as_array().and_then(|forms| forms.iter().find(|form| form["properties"].is_object()));
        let properties = if part["properties"].is_object() { part } else { object.unwrap_or(part) };
        let documented: BTreeSet<&str> = properties["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(documented, known, "{name}");
        assert_eq!(properties["additionalProperties"], json!(false), "{name}");
    }
    let presets: Vec<&str> = Preset::ALL.iter().map(|preset| preset.name()).collect();
    assert_eq!(schema["$defs"]["issuer"]["properties"]["preset"]["enum"], json!(presets));
}
