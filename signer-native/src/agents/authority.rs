//! The authority of agents' certificates: its key is in the HSM, and what it signs is short-lived and written down first.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use edgeseal_core::{Algorithm, jwk::KeyMaterial};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
};
use tokio::runtime::Handle;
use x509_cert::{
    der::{DecodePem as _, Encode as _, oid::ObjectIdentifier},
    request::CertReq,
};

use crate::{
    hsm::KeyId,
    http::tls::{AGENT_URN, fingerprint},
    keys::{Purpose, Registry, Slot, now, registry::RegistryError},
    store::{AgentCertificate, Authority, Grant, Store, StoreError},
};

/// How long the authority's own certificate lasts: ten years, since its key can be replaced at any time.
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(24 * 3_652);
/// Clocks of agents and signers differ a little.
const BACKDATED: Duration = Duration::from_mins(5);
/// Octets of a request for a certificate.
pub const MAX_REQUEST: usize = 8 * 1024;

/// `id-ecPublicKey`, `secp256r1`, `ecdsa-with-SHA256` (RFC 5480, RFC 5758).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Issues certificates of agents.
pub struct Authorities {
    registry: Arc<Registry>,
    store: Store,
    lifetime: Duration,
    making: tokio::sync::Mutex<()>,
    ready: RwLock<Option<Arc<Ready>>>,
}

struct Ready {
    certificate: String,
    name: String,
    key: RemoteKey,
}

/// A certificate, and who signed it.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's, PEM.
    pub authority: String,
    /// Its end, in seconds since 1970.
    pub not_after: u64,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertifyError {
    /// The request is none, or not for a P-256 key, or not signed by it.
    Request(String),
    /// The HSM or the registry.
    Registry(RegistryError),
    /// The store.
    Store(StoreError),
    /// There is no authority yet, and its certificate would begin by a clock that was set a moment ago.
    Clock,
    /// The certificate could not be put together.
    Unsound(String),
}

impl From<RegistryError> for CertifyError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<StoreError> for CertifyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The slot of the authority's key.
fn slot() -> Slot {
    Slot {
        purpose: Purpose::Ca,
        issuer: String::new(),
        profile: String::new(),
        agent: None,
        algorithm: Algorithm::Es256,
        rsa_bits: 0,
        max_lifetime: 0,
        rotate_after: None,
        publish_ahead: 0,
        valid_for: None,
    }
}

impl Authorities {
    /// Certificates will last `lifetime`. The key is made when it is needed first.
    pub fn new(registry: Arc<Registry>, store: Store, lifetime: Duration) -> Self {
        Self { registry, store, lifetime, making: tokio::sync::Mutex::default(), ready: RwLock::default() }
    }

    /// A certificate for the key of a request (PKCS#10, PEM), on the name of this agent; what else the request says counts for
    /// nothing. It is written down before it is given out.
    ///
    /// # Errors
    /// [`CertifyError`].
    pub async fn certify(&self, agent: &str, request: &str, grant: Grant<'_>) -> Result<Certified, CertifyError> {
        let subject = subject_key(request).map_err(CertifyError::Request)?;
        let ready = self.ready().await?;
        let params = leaf(agent, self.lifetime).map_err(unsound)?;
        let authority = Arc::clone(&ready);
        let signed = blocking(move || {
            let name = authority_params(&authority.name).map_err(unsound)?;
            authority.key.sign_once(|key| params.signed_by(&subject, &Issuer::new(name, key)))
        })
        .await?;
        let not_after = now().plus_secs(self.lifetime.as_secs());
        let row = AgentCertificate {
            fingerprint: fingerprint(signed.der()),
            agent: agent.to_owned(),
            issued_at: now(),
            not_after,
            revoked_at: None,
        };
        self.store.insert_agent_certificate(&row, grant).await?;
        Ok(Certified { certificate: signed.pem(), authority: ready.certificate.clone(), not_after: not_after.as_secs() })
    }

    async fn ready(&self) -> Result<Arc<Ready>, CertifyError> {
        if let Some(ready) = self.at_hand() {
            return Ok(ready);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(ready) = self.at_hand() {
            return Ok(ready);
        }
        let key = self.registry.ensure(&slot()).await?;
        let published =
            key.published.as_ref().ok_or_else(|| CertifyError::Unsound("the authority's key has no JWK".to_owned()))?;
        let jwk = edgeseal_core::Jwk::from_json(&published.jwk)
            .map_err(|problem| CertifyError::Unsound(problem.as_str().to_owned()))?;
        let KeyMaterial::Ec { sec1, .. } = jwk.public_key().material() else {
            return Err(CertifyError::Unsound("the authority's key is none of P-256".to_owned()));
        };
        let remote =
            RemoteKey { registry: Arc::clone(&self.registry), id: key.id, public: sec1.to_vec(), runtime: Handle::current() };
        let name = format!("Edgeseal agents {}", published.kid);
        let known = self.store.authorities().await?.into_iter().find(|authority| authority.kid == published.kid);
        let (certificate, key) = if let Some(authority) = known {
            (authority.certificate, remote)
        } else if !self.registry.believes_time() {
            return Err(CertifyError::Clock);
        } else {
            let params = authority_params(&name).map_err(unsound)?;
            let (signed, key) = blocking(move || Ok((remote.sign_once(|key| params.self_signed(key))?, remote))).await?;
            let authority = Authority { kid: published.kid.clone(), certificate: signed.pem() };
            self.store.insert_authority(&authority, now()).await?;
            // Another signer may have been faster.
            let known = self.store.authorities().await?.into_iter().find(|known| known.kid == authority.kid);
            (known.map_or(authority.certificate, |known| known.certificate), key)
        };
        let ready = Arc::new(Ready { certificate, name, key });
        *self.ready.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&ready));
        Ok(ready)
    }

    /// What was made ready before, as long as its key is the authority's: one that is compromised signs nothing more.
    fn at_hand(&self) -> Option<Arc<Ready>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let snapshot = self.registry.snapshot();
        snapshot.own.get(&Purpose::Ca).is_some_and(|active| active.id == ready.key.id).then_some(ready)
    }
}

/// A key in the HSM.
struct RemoteKey {
    registry: Arc<Registry>,
    id: KeyId,
    public: Vec<u8>,
    runtime: Handle,
}

impl RemoteKey {
    /// One thing that is signed. What kept the key from it is told as it is: rcgen has no place for it.
    fn sign_once<T>(&self, make: impl FnOnce(&Signature<'_>) -> Result<T, rcgen::Error>) -> Result<T, CertifyError> {
        let signature = Signature { key: self, trouble: Mutex::default() };
        make(&signature).map_err(|error| {
            let trouble = signature.trouble.into_inner().unwrap_or_else(PoisonError::into_inner);
            trouble.map_or_else(|| unsound(error), CertifyError::Registry)
        })
    }
}

/// The key as rcgen wants it: its calls block, so they run where that is allowed.
struct Signature<'key> {
    key: &'key RemoteKey,
    trouble: Mutex<Option<RegistryError>>,
}

impl PublicKeyData for Signature<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.key.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signature<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let RemoteKey { registry, id, public, runtime } = self.key;
        let signed = runtime.block_on(registry.sign_unverified(*id, Algorithm::Es256, message));
        let signature = signed.map_err(|error| {
            tracing::error!(%error, "the authority's key did not sign");
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            rcgen::Error::RemoteKeyError
        })?;
        let signature = der_signature(&signature).ok_or(rcgen::Error::RemoteKeyError)?;
        // As for tokens: nothing leaves that does not verify.
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public);
        key.verify(message, &signature).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature)
    }
}

/// The key of a certificate that is to be.
struct SubjectKey(Vec<u8>);

impl PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// Whether this is a request that could be granted.
///
/// # Errors
/// Why not.
pub fn check_request(request: &str) -> Result<(), String> {
    subject_key(request).map(drop)
}

/// The key of a request, if the request is signed by it.
fn subject_key(request: &str) -> Result<SubjectKey, String> {
    if request.len() > MAX_REQUEST {
        return Err(format!("the request for a certificate has more than {MAX_REQUEST} bytes"));
    }
    let request = CertReq::from_pem(request).map_err(|error| format!("csr is no PKCS#10 request in PEM: {error}"))?;
    let key = &request.info.public_key;
    let curve = key.algorithm.parameters.as_ref().and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    if key.algorithm.oid != EC_PUBLIC_KEY || curve != Some(P256) || request.algorithm.oid != ECDSA_SHA256 {
        return Err("csr must be of a P-256 key, signed with ECDSA and SHA-256".to_owned());
    }
    let (Some(public), Some(signature)) = (key.subject_public_key.as_bytes(), request.signature.as_bytes()) else {
        return Err("csr holds bits that are no octets".to_owned());
    };
    let signed = request.info.to_der().map_err(|error| error.to_string())?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public)
        .verify(&signed, signature)
        .map_err(|_| "csr is not signed by its own key".to_owned())?;
    Ok(SubjectKey(public.to_vec()))
}

/// The same name for the same key, so that the authority can be put together again from its key.
fn authority_params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, AUTHORITY_LIFETIME);
    Ok(params)
}

fn leaf(agent: &str, lifetime: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name.push(DnType::CommonName, agent);
    params.subject_alt_names.push(SanType::URI(format!("{AGENT_URN}{agent}").try_into()?));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, lifetime);
    Ok(params)
}

fn validity(params: &mut CertificateParams, lifetime: Duration) {
    let moment = SystemTime::now();
    params.not_before = (moment - BACKDATED).into();
    params.not_after = (moment + lifetime).into();
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, CertifyError> + Send + 'static) -> Result<T, CertifyError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(CertifyError::Unsound(error.to_string())))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unsound(error: rcgen::Error) -> CertifyError {
    CertifyError::Unsound(error.to_string())
}

/// `r || s` as X.509 writes it: a SEQUENCE of two INTEGERs (RFC 5480, appendix A).
fn der_signature(raw: &[u8]) -> Option<Vec<u8>> {
    fn integer(number: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = number.iter().position(|octet| *octet != 0).unwrap_or(number.len().saturating_sub(1));
        let digits = number.get(start..)?;
        let positive = digits.first().is_some_and(|first| *first >= 0x80);
        out.push(0x02);
        out.push(u8::try_from(digits.len() + usize::from(positive)).ok()?);
        if positive {
            out.push(0);
        }
        out.extend_from_slice(digits);
        Some(())
    }
    if raw.len() != 64 {
        return None;
    }
    let mut body = Vec::with_capacity(72);
    integer(&raw[..32], &mut body)?;
    integer(&raw[32..], &mut body)?;
    let mut sequence = vec![0x30, u8::try_from(body.len()).ok()?];
    sequence.extend_from_slice(&body);
    Some(sequence)
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    #[test]
    fn signatures_in_both_forms() {
        let mut raw = [0; 64];
        raw[31] = 1;
        raw[32] = 0x80;
        let der = der_signature(&raw).unwrap();
        assert_eq!(der[..7], [0x30, 38, 2, 1, 1, 2, 33]);
        assert_eq!(der[7..9], [0, 0x80]);
        assert!(der_signature(&raw[1..]).is_none());
    }

    #[test]
    fn a_request_counts_for_its_key_alone() {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(vec!["root.example.com".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "root");
        let request = params.serialize_request(&pair).unwrap().pem().unwrap();
        assert_eq!(subject_key(&request).unwrap().0, pair.public_key_raw());
        // Another key's signature.
        let other = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut forged = CertReq::from_pem(&request).unwrap();
        let donor = CertReq::from_pem(params.serialize_request(&other).unwrap().pem().unwrap()).unwrap();
        forged.signature = donor.signature;
        let forged = x509_cert::der::EncodePem::to_pem(&forged, x509_cert::der::pem::LineEnding::LF).unwrap();
        assert_eq!(subject_key(&forged).err().unwrap(), "csr is not signed by its own key");
        let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let request = params.serialize_request(&p384).unwrap().pem().unwrap();
        assert!(subject_key(&request).err().unwrap().contains("P-256"));
        assert!(subject_key("nonsense").is_err());
    }
}
