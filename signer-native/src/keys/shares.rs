//! PURE. Component shares of a private key: any of them alone says nothing, all of them together (XOR) are the key in PKCS#8.
//! Each is kept by another person.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{error::Invalid, hsm::PrivateKey};

/// Shares of one key at most: as many people as come together.
pub const MAX_SHARES: usize = 16;

/// One share, as it stands in its file.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyShare)]
pub struct Share {
    /// The version of this form: 1.
    #[schema(minimum = 1, maximum = 1)]
    pub edgeseal_share: u8,
    /// RFC 7638 thumbprint of the public key: all shares of one key have the same.
    pub key: String,
    /// Which share it is, from 1.
    #[schema(minimum = 1, maximum = 16)]
    pub index: usize,
    /// How many there are.
    #[schema(minimum = 2, maximum = 16)]
    pub of: usize,
    /// Octets, base64url without padding.
    #[schema(value_type = String)]
    pub data: Zeroizing<String>,
    /// SHA-256 of the octets, base64url: finds a share that was copied wrongly.
    pub sha256: String,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Share({} of {} of {})", self.index, self.of, self.key)
    }
}

/// Splits a private key (PKCS#8, DER) into so many shares.
///
/// # Errors
/// In words, when it is no key that could be taken in, or there is no randomness.
pub fn split(pkcs8: &[u8], of: usize) -> Result<Vec<Share>, String> {
    let key = PrivateKey::from_pkcs8(pkcs8)?.public_key()?.thumbprint();
    let mut last = Zeroizing::new(pkcs8.to_vec());
    let mut shares = Vec::with_capacity(of);
    for index in 1..of {
        let mut octets = Zeroizing::new(vec![0; pkcs8.len()]);
        getrandom::fill(&mut octets).map_err(|error| format!("this machine gives no randomness: {error}"))?;
        last.iter_mut().zip(octets.iter()).for_each(|(last, octet)| *last ^= octet);
        shares.push(share(&key, index, of, &octets));
    }
    shares.push(share(&key, of, of, &last));
    Ok(shares)
}

fn share(key: &str, index: usize, of: usize, octets: &[u8]) -> Share {
    Share {
        edgeseal_share: 1,
        key: key.to_owned(),
        index,
        of,
        data: Zeroizing::new(Base64UrlUnpadded::encode_string(octets)),
        sha256: Base64UrlUnpadded::encode_string(&Sha256::digest(octets)),
    }
}

/// Puts the shares of one key together, whatever their order.
///
/// # Errors
/// Which share is wrong or missing; nothing of what is in them.
pub fn combine(shares: &[Share]) -> Result<PrivateKey, Invalid> {
    let invalid = |at: Option<usize>, sentence: String| {
        Invalid::new(at.map_or_else(|| "shares".to_owned(), |at| format!("shares[{at}]")), sentence)
    };
    let Some(first) = shares.first() else { return Err(invalid(None, "is empty; it takes all shares of one key".to_owned())) };
    if !(2..=MAX_SHARES).contains(&first.of) {
        return Err(invalid(Some(0), format!("says that it is one of {}; there are 2 to {MAX_SHARES}", first.of)));
    }
    let mut whole: Option<Zeroizing<Vec<u8>>> = None;
    let mut seen = vec![false; first.of];
    for (at, Share { edgeseal_share, key, index, of, data, sha256 }) in shares.iter().enumerate() {
        let invalid = |sentence: String| invalid(Some(at), sentence);
        if *edgeseal_share != 1 {
            return Err(invalid(format!("is of form {edgeseal_share}; this version reads form 1")));
        }
        if (key, of) != (&first.key, &first.of) {
            return Err(invalid("belongs to another key than the first one".to_owned()));
        }
        match index.checked_sub(1).and_then(|index| seen.get_mut(index)) {
            None => return Err(invalid(format!("has the number {index}, and there are {of}"))),
            Some(seen) if *seen => return Err(invalid(format!("has the number {index}, as another one has"))),
            Some(seen) => *seen = true,
        }
        let octets = Base64UrlUnpadded::decode_vec(data).map(Zeroizing::new);
        let octets = octets.map_err(|_| invalid("has data that is no base64url without padding".to_owned()))?;
        if Base64UrlUnpadded::encode_string(&Sha256::digest(octets.as_slice())) != *sha256 {
            return Err(invalid("was copied wrongly: its data does not have its SHA-256".to_owned()));
        }
        match &mut whole {
            None => whole = Some(octets),
            Some(whole) if whole.len() == octets.len() => {
                for (sum, octet) in whole.iter_mut().zip(octets.iter()) {
                    *sum ^= octet;
                }
            }
            Some(_) => return Err(invalid("is of another length than the first one".to_owned())),
        }
    }
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        return Err(invalid(None, format!("lacks number {} of {}", missing + 1, first.of)));
    }
    let key = PrivateKey::from_pkcs8(&whole.unwrap_or_default());
    let key = key.map_err(|why| invalid(None, format!("do not make a private key: {why}")))?;
    let thumbprint = key.public_key().map(|public| public.thumbprint());
    if thumbprint.as_ref() != Ok(&first.key) {
        return Err(invalid(None, "make another key than they name".to_owned()));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    use super::*;

    #[test]
    fn all_shares_make_the_key_and_fewer_make_nothing() {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let mut shares = split(pkcs8.as_ref(), 3).unwrap();
        assert!(!format!("{shares:?}").contains(shares[0].data.as_str()));
        shares.reverse();
        let key = combine(&shares).unwrap();
        assert_eq!(key.public_key().unwrap().thumbprint(), shares[0].key);

        let refused = |shares: &[Share]| combine(shares).unwrap_err();
        assert_eq!(refused(&[]).field, "shares");
        assert!(refused(&shares[..2]).sentence.contains("lacks number 1 of 3"));
        let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
        assert_eq!(refused(&twice).field, "shares[1]");
        let mut wrong = shares.clone();
        wrong[1].data = shares[2].data.clone();
        assert!(refused(&wrong).sentence.contains("copied wrongly"));
        // Two changes that fit each other still are not the key.
        wrong[1].sha256 = shares[2].sha256.clone();
        assert_eq!(refused(&wrong).field, "shares");
        let mut other = shares.clone();
        other[2].key = "x".to_owned();
        assert_eq!(refused(&other).field, "shares[2]");
    }
}
