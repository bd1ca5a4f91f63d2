//! The client's certificate, as the runtime says it (`request.cf.tlsClientAuth`): whose TLS it was verified by is the platform's word, and
//! nothing that a client sends can take its place. PURE.

/// What the runtime says of the client's certificate: texts, as they stand there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `certPresented`: "1" where there is one.
    pub presented: String,
    /// `certVerified`: "SUCCESS", "NONE", or "FAILED:" and a reason.
    pub verified: String,
    /// `certRevoked`: "1" where it is revoked.
    pub revoked: String,
    /// `certFingerprintSHA256`: SHA-256 of its DER in hexadecimal.
    pub fingerprint_sha256: String,
}

impl ClientCertificate {
    /// SHA-256 of the certificate's DER, where the platform has verified it and it is not revoked: to be compared with `cnf.x5t#S256`
    /// (RFC 8705 section 3.1) as octets.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        let Self { presented, verified, revoked, fingerprint_sha256 } = self;
        let is_good = presented == "1" && verified == "SUCCESS" && revoked != "1";
        if is_good { octets(fingerprint_sha256) } else { None }
    }
}

fn octets(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut octets = [0; 32];
    for (octet, at) in octets.iter_mut().zip((0..64).step_by(2)) {
        *octet = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(presented: &str, verified: &str, revoked: &str, fingerprint: &str) -> Option<[u8; 32]> {
        let [presented, verified, revoked, fingerprint_sha256] = [presented, verified, revoked, fingerprint].map(String::from);
        ClientCertificate { presented, verified, revoked, fingerprint_sha256 }.fingerprint()
    }

    #[test]
    fn only_a_certificate_that_the_platform_verified_counts() {
        let hex = "0aF0".repeat(16);
        let octets: [u8; 32] = [0x0a, 0xf0].repeat(16).try_into().unwrap_or_default();
        assert_eq!(certificate("1", "SUCCESS", "0", &hex), Some(octets));
        assert_eq!(certificate("1", "SUCCESS", "0", &hex.to_uppercase()), Some(octets));
        for (presented, verified, revoked) in [
            ("0", "SUCCESS", "0"),
            ("", "", ""),
            ("1", "NONE", "0"),
            ("1", "FAILED:certificate has expired", "0"),
            ("1", "FAILED:self signed certificate", "0"),
            ("1", "success", "0"),
            ("1", "SUCCESS", "1"),
        ] {
            assert_eq!(certificate(presented, verified, revoked, &hex), None, "{presented} {verified} {revoked}");
        }
        for hex in ["", "0a", &"0g".repeat(32), &"0a:".repeat(21), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(certificate("1", "SUCCESS", "0", hex), None, "{hex}");
        }
    }
}
