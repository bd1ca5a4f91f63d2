//! What the signer and its HSM worker processes say to each other over a socket pair.
//!
//! A frame is its length (4 octets, big-endian, of what follows), the number of the question (8), a kind (1) and a body.
//! Signatures, which must be fast, have bodies by hand; everything else is JSON. Both sides are the same program, so there
//! is nothing to negotiate.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use edgeseal_core::{Algorithm, Jwk, algorithm::Curve};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{HsmError, KeyId, KeyKind, Pin, Pkcs11Settings, Protection, StoreDescription, StoreStats, StoredKey, TokenSelector};

/// Octets before a frame's body.
const HEAD: usize = 4 + 8 + 1;
/// Octets of a frame at most: a signing input is bounded far below by HTTP.
const MAX_FRAME: usize = 1 << 20;

/// Octets of a body that has a secret in it at most: the private parts of an RSA key of 4096 bits, each octet as up to three digits and
/// a comma (11 kB).
const BODY: usize = 16 * 1024;

/// Kinds of frames.
pub(super) mod kind {
    /// To a worker: sign a message.
    pub(in crate::hsm) const SIGN: u8 = b'S';
    /// To a worker: sign a digest.
    pub(in crate::hsm) const SIGN_DIGEST: u8 = b'D';
    /// To a worker: a [`super::Question`] as JSON.
    pub(in crate::hsm) const ASK: u8 = b'?';
    /// From a worker: a signature.
    pub(in crate::hsm) const SIGNATURE: u8 = b'S';
    /// From a worker: an answer as JSON.
    pub(in crate::hsm) const ANSWER: u8 = b'!';
    /// From a worker: an [`super::HsmError`] as JSON.
    pub(in crate::hsm) const ERROR: u8 = b'-';
    /// From a worker: the same, and the worker is of no more use; the question may be asked another.
    pub(in crate::hsm) const SPENT: u8 = b'x';
}

/// What is asked as JSON.
#[derive(Serialize, Deserialize)]
pub(super) enum Question {
    Open(WireSettings),
    Generate { id: KeyId, kind: WireKind, label: String },
    Inspect { id: KeyId, kind: WireKind },
    Attributes { id: KeyId },
    Import { id: KeyId, kind: WireKind, parts: Vec<Zeroizing<Vec<u8>>>, label: String },
    Destroy { id: KeyId },
    Stats,
}

/// The answer to [`Question::Open`].
#[derive(Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) description: StoreDescription,
    pub(super) supports: Vec<(Algorithm, WireKind)>,
    pub(super) stats: StoreStats,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WireSettings {
    module: PathBuf,
    token: TokenSelector,
    pin: Zeroizing<String>,
    pin_origin: String,
    threads: usize,
    deadline: Duration,
}

impl WireSettings {
    pub(super) fn of(settings: &Pkcs11Settings) -> Self {
        Self {
            module: settings.module.clone(),
            token: settings.token.clone(),
            pin: settings.pin.secret(),
            pin_origin: settings.pin.origin().to_owned(),
            threads: settings.threads,
            deadline: settings.deadline,
        }
    }

    pub(super) fn settings(self, queue: usize) -> Pkcs11Settings {
        Pkcs11Settings {
            module: self.module,
            token: self.token,
            pin: Pin::new(self.pin, self.pin_origin),
            processes: 0,
            threads: self.threads,
            queue,
            deadline: self.deadline,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WireKind {
    P256,
    P384,
    P521,
    Rsa(u16),
    Ed25519,
}

impl From<KeyKind> for WireKind {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Ec(Curve::P256) => Self::P256,
            KeyKind::Ec(Curve::P384) => Self::P384,
            KeyKind::Ec(Curve::P521) => Self::P521,
            KeyKind::Rsa(bits) => Self::Rsa(bits),
            KeyKind::Ed25519 => Self::Ed25519,
        }
    }
}

impl From<WireKind> for KeyKind {
    fn from(kind: WireKind) -> Self {
        match kind {
            WireKind::P256 => Self::Ec(Curve::P256),
            WireKind::P384 => Self::Ec(Curve::P384),
            WireKind::P521 => Self::Ec(Curve::P521),
            WireKind::Rsa(bits) => Self::Rsa(bits),
            WireKind::Ed25519 => Self::Ed25519,
        }
    }
}

/// A stored key, its public half as a JWK.
#[derive(Serialize, Deserialize)]
pub(super) struct WireKey {
    jwk: String,
    protection: Protection,
}

impl WireKey {
    pub(super) fn of(key: StoredKey) -> Result<Self, HsmError> {
        let jwk = Jwk::new(key.public_key, None, None).map_err(|problem| HsmError::Refused(problem.as_str().to_owned()))?;
        Ok(Self { jwk: jwk.to_json(), protection: key.protection })
    }

    pub(super) fn key(self) -> Result<StoredKey, HsmError> {
        let jwk = Jwk::from_json(&self.jwk).map_err(|problem| HsmError::Refused(problem.as_str().to_owned()))?;
        Ok(StoredKey { public_key: jwk.public_key().clone(), protection: self.protection })
    }
}

/// What is to be signed, as it stands in a frame.
pub(super) struct SignBody<'a> {
    pub(super) until: Instant,
    pub(super) id: KeyId,
    pub(super) algorithm: Algorithm,
    pub(super) data: &'a [u8],
}

/// The octets before the data of a frame that asks for a signature.
pub(super) fn sign_head(left: Duration, id: KeyId, algorithm: Algorithm) -> [u8; 21] {
    let mut head = [0; 21];
    let millis = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
    let index = Algorithm::ALL.iter().position(|one| *one == algorithm).unwrap_or(usize::MAX);
    head[..4].copy_from_slice(&millis.to_be_bytes());
    head[4] = u8::try_from(index).unwrap_or(u8::MAX);
    head[5..].copy_from_slice(id.octets());
    head
}

impl<'a> SignBody<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (head, data) = body.split_first_chunk::<21>()?;
        let (millis, rest) = head.split_first_chunk::<4>()?;
        let (algorithm, id) = rest.split_first()?;
        Some(Self {
            until: Instant::now() + Duration::from_millis(u32::from_be_bytes(*millis).into()),
            id: KeyId(id.try_into().ok()?),
            algorithm: *Algorithm::ALL.get(usize::from(*algorithm))?,
            data,
        })
    }
}

/// Appends a frame.
pub(super) fn push(out: &mut Vec<u8>, number: u64, kind: u8, parts: [&[u8]; 2]) {
    let length = HEAD - 4 + parts[0].len() + parts[1].len();
    out.reserve(4 + length);
    // A longer one is never made: see MAX_FRAME.
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Appends a frame whose body is JSON.
pub(super) fn push_json(out: &mut Vec<u8>, number: u64, kind: u8, value: &impl Serialize) {
    push(out, number, kind, [&body(value), &[]]);
}

/// What is said as JSON: a PIN may be in it, or a private key, so that it is zeroized, and no copy is left behind by growing.
pub(super) fn body(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut body = Zeroizing::new(Vec::with_capacity(BODY));
    // These types print always: their maps have texts as keys.
    if serde_json::to_writer(&mut *body, value).is_err() {
        body.clear();
    }
    body
}

/// The value of a JSON body.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, HsmError> {
    serde_json::from_slice(body).map_err(|error| HsmError::Unavailable(format!("an HSM worker said what is no answer: {error}")))
}

/// One frame.
pub(super) struct Frame<'a> {
    pub(super) number: u64,
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
}

/// Cuts octets as they come into frames. What was read is zeroized at the end: a PIN may be in it.
#[derive(Default)]
pub(super) struct Frames {
    octets: Zeroizing<Vec<u8>>,
    taken: usize,
}

impl Frames {
    /// Where more octets go, after those of frames that were taken are gone.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        let taken = std::mem::take(&mut self.taken);
        self.octets.drain(..taken);
        &mut self.octets
    }

    /// The next whole frame; `None` when octets are missing, an error when it cannot be one.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'_>>, HsmError> {
        let rest = &self.octets[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if !(HEAD - 4..=MAX_FRAME).contains(&length) {
            return Err(HsmError::Unavailable(format!("an HSM worker's frame of {length} octets")));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        self.taken += 4 + length;
        let Some((number, frame)) = frame.split_first_chunk::<8>() else { return Ok(None) };
        let Some((kind, body)) = frame.split_first() else { return Ok(None) };
        Ok(Some(Frame { number: u64::from_be_bytes(*number), kind: *kind, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let id = KeyId([7; 16]);
        let mut octets = Vec::new();
        push(&mut octets, 1, kind::SIGN, [&sign_head(Duration::from_secs(5), id, Algorithm::Ps384), b"message"]);
        push_json(&mut octets, u64::MAX, kind::ERROR, &HsmError::KeyAmbiguous(id, 2));
        for cut in 0..octets.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for part in [&octets[..cut], &octets[cut..]] {
                frames.room().extend_from_slice(part);
                while let Some(frame) = frames.next().unwrap() {
                    seen.push((frame.number, frame.kind, frame.body.to_vec()));
                }
            }
            assert_eq!(seen.len(), 2);
            let sign = SignBody::parse(&seen[0].2).unwrap();
            assert_eq!((sign.id, sign.algorithm, sign.data), (id, Algorithm::Ps384, &b"message"[..]));
            assert_eq!(json::<HsmError>(&seen[1].2).unwrap(), HsmError::KeyAmbiguous(id, 2));
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for length in [0_u32, 8, u32::MAX] {
            let mut frames = Frames::default();
            frames.room().extend_from_slice(&length.to_be_bytes());
            assert!(frames.next().is_err(), "{length}");
        }
        assert!(SignBody::parse(&[0; 20]).is_none());
        assert!(SignBody::parse(&[0xff; 40]).is_none(), "no such algorithm");
    }

    #[test]
    fn the_largest_private_key_fits_without_growing() {
        let parts = [512, 3, 512, 256, 256, 256, 256, 256].map(|length| Zeroizing::new(vec![0xff; length])).to_vec();
        let question =
            Question::Import { id: KeyId([0xff; 16]), kind: WireKind::Rsa(4_096), parts, label: "\u{1f511}".repeat(64) };
        let body = body(&question);
        assert_eq!(body.capacity(), BODY);
        assert!(matches!(json::<Question>(&body), Ok(Question::Import { parts, .. }) if parts.len() == 8));
    }

    #[test]
    fn every_kind_crosses() {
        for algorithm in Algorithm::ALL {
            let kind = KeyKind::of(algorithm, 3_072);
            assert_eq!(KeyKind::from(WireKind::from(kind)), kind);
        }
    }
}
