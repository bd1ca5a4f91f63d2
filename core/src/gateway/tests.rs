use std::string::ToString as _;

use super::*;

#[test]
fn key_binding_without_a_nonce_is_asked_for_by_name() {
    let check = |issuer: &str| {
        let issuer = alloc::format!(
            r#"{{"issuer":"https://i.example","audience":"a","algorithms":["ES256"],"sd_jwt":{{"key_binding":{issuer}}}"#
        );
        let routes = r#"[{"match":"/*","sd_jwt":true}]"#;
        GatewaySettings::from_json(&alloc::format!(r#"{{"echo":true,"issuers":[{issuer}],"routes":{routes}}}"#)).map(drop)
    };
    let refused = check(r#""required"}"#).unwrap_err().to_string();
    assert!(refused.starts_with("issuers[0].sd_jwt.key_binding: is \"required\", and"), "{refused}");
    assert_eq!(check(r#""required"},"dangerous":{"skip_nonce":true}"#), Ok(()));
    assert_eq!(check(r#""where_bound"}"#), Ok(()));
}
