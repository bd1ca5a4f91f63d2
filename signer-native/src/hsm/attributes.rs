//! What a module says of the objects of a pair, attribute by attribute, for people.

use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One attribute of one object, as the module reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HsmAttribute {
    /// `private key` or `public key`.
    pub object: String,
    /// Its name in PKCS#11: `CKA_SENSITIVE`.
    pub name: String,
    /// `true`, `false`, a number, a name, a text, or hexadecimal octets.
    pub value: String,
}

/// What is asked for; whatever the module does not know is left out. Never a value of the private half.
const WANTED: [(AttributeType, &str); 26] = [
    (AttributeType::Class, "CKA_CLASS"),
    (AttributeType::KeyType, "CKA_KEY_TYPE"),
    (AttributeType::Label, "CKA_LABEL"),
    (AttributeType::Id, "CKA_ID"),
    (AttributeType::Token, "CKA_TOKEN"),
    (AttributeType::Private, "CKA_PRIVATE"),
    (AttributeType::Sensitive, "CKA_SENSITIVE"),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE"),
    (AttributeType::Extractable, "CKA_EXTRACTABLE"),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE"),
    (AttributeType::Local, "CKA_LOCAL"),
    (AttributeType::KeyGenMechanism, "CKA_KEY_GEN_MECHANISM"),
    (AttributeType::Sign, "CKA_SIGN"),
    (AttributeType::Verify, "CKA_VERIFY"),
    (AttributeType::Decrypt, "CKA_DECRYPT"),
    (AttributeType::Encrypt, "CKA_ENCRYPT"),
    (AttributeType::Unwrap, "CKA_UNWRAP"),
    (AttributeType::Wrap, "CKA_WRAP"),
    (AttributeType::Derive, "CKA_DERIVE"),
    (AttributeType::AlwaysAuthenticate, "CKA_ALWAYS_AUTHENTICATE"),
    (AttributeType::Modifiable, "CKA_MODIFIABLE"),
    (AttributeType::EcParams, "CKA_EC_PARAMS"),
    (AttributeType::EcPoint, "CKA_EC_POINT"),
    (AttributeType::ModulusBits, "CKA_MODULUS_BITS"),
    (AttributeType::Modulus, "CKA_MODULUS"),
    (AttributeType::PublicExponent, "CKA_PUBLIC_EXPONENT"),
];

/// Asks for one attribute at a time: a module that does not know one may refuse them all.
pub(super) fn read(session: &Session, handle: ObjectHandle, object: &str) -> Vec<HsmAttribute> {
    let one = |(wanted, name): &(AttributeType, &str)| {
        let found = session.get_attributes(handle, &[*wanted]).ok()?.into_iter().next()?;
        Some(HsmAttribute { object: object.to_owned(), name: (*name).to_owned(), value: shown(found)? })
    };
    WANTED.iter().filter_map(one).collect()
}

fn shown(attribute: Attribute) -> Option<String> {
    Some(match attribute {
        Attribute::Class(class) => class.to_string(),
        Attribute::KeyType(key_type) => key_type.to_string(),
        Attribute::KeyGenMechanism(mechanism) => mechanism.to_string(),
        Attribute::ModulusBits(bits) => bits.to_string(),
        Attribute::Label(label) => String::from_utf8_lossy(&label).into_owned(),
        Attribute::Id(octets)
        | Attribute::EcParams(octets)
        | Attribute::EcPoint(octets)
        | Attribute::Modulus(octets)
        | Attribute::PublicExponent(octets) => hexadecimal(&octets),
        Attribute::Token(is)
        | Attribute::Private(is)
        | Attribute::Sensitive(is)
        | Attribute::AlwaysSensitive(is)
        | Attribute::Extractable(is)
        | Attribute::NeverExtractable(is)
        | Attribute::Local(is)
        | Attribute::Sign(is)
        | Attribute::Verify(is)
        | Attribute::Decrypt(is)
        | Attribute::Encrypt(is)
        | Attribute::Unwrap(is)
        | Attribute::Wrap(is)
        | Attribute::Derive(is)
        | Attribute::AlwaysAuthenticate(is)
        | Attribute::Modifiable(is) => is.to_string(),
        _ => return None,
    })
}

fn hexadecimal(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}
