//! Secrets of the console: one-time codes that people type, and the names of sessions and ceremonies that browsers keep. The
//! store has hashes only. All of them are random and long enough that the hash need not be slow.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Crockford's Base32: nothing in it is read for something else.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters between two dashes.
const GROUP: usize = 5;

/// A code with as many random bits, five for each character, in groups: 25 characters are 125 bits.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn new_code(characters: usize) -> Result<Zeroizing<String>, getrandom::Error> {
    let mut octets = Zeroizing::new(vec![0_u8; characters]);
    getrandom::fill(&mut octets)?;
    let mut code = Zeroizing::new(String::with_capacity(characters + characters / GROUP));
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 && index % GROUP == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32: every character is as likely as the others.
        code.push(char::from(ALPHABET[usize::from(octet % 32)]));
    }
    Ok(code)
}

/// What the store keeps of a code, whatever way somebody typed it: case, blanks, dashes and look-alikes make no difference.
pub fn hash_code(code: &str) -> String {
    let meant: Zeroizing<String> = Zeroizing::new(
        code.chars()
            .filter(|character| !character.is_whitespace() && *character != '-')
            .map(|character| match character.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            })
            .collect(),
    );
    hash("code", &meant)
}

/// What the store keeps of a recovery code: the person's own, so that it is good for nobody else.
pub fn hash_recovery_code(person: &str, code: &str) -> String {
    hash("recovery", &format!("{person}\n{}", hash_code(code)))
}

/// 256 random bits as base64url: the name of a session or of a ceremony.
///
/// # Errors
/// When the operating system gives no randomness.
pub fn new_secret() -> Result<Zeroizing<String>, getrandom::Error> {
    let mut octets = Zeroizing::new([0; 32]);
    getrandom::fill(octets.as_mut())?;
    Ok(Zeroizing::new(Base64UrlUnpadded::encode_string(octets.as_ref())))
}

/// What the store keeps of such a name, and what a browser gets that must not know it: hashes for one purpose say nothing
/// about those for another.
pub fn hash(purpose: &str, secret: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"edgeseal console ");
    hash.update(purpose);
    hash.update([0]);
    hash.update(secret);
    Base64UrlUnpadded::encode_string(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_people_type() {
        let code = new_code(25).unwrap();
        assert_eq!(code.len(), 29);
        assert!(code.split('-').all(|group| group.len() == 5), "{}", code.as_str());
        let typed = code.replace('-', " ").to_lowercase().replace('0', "o").replace('1', "l");
        assert_eq!(hash_code(&typed), hash_code(&code));
        assert_ne!(hash_code(&new_code(25).unwrap()), hash_code(&code));
        assert_ne!(hash_recovery_code("alice", &code), hash_recovery_code("bob", &code));
        assert_eq!(hash_recovery_code("alice", &typed), hash_recovery_code("alice", &code));
        assert_ne!(hash("session", "x"), hash("csrf", "x"));
    }
}
