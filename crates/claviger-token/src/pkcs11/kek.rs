//! The KEK as an object: made, read back attribute by attribute, found, destroyed.

use super::{
    fault::{Failure, Fault, two_objects},
    ffi::{ObjectHandle, Session},
    template::{self, KeyTemplate, Strictness},
};
use crate::{ModuleSettings, PublicKey, TokenError, software};
use claviger_types::{EcPoint, RecipientId, Scheme};
use cryptoki::{
    error::RvError,
    object::{Attribute, AttributeType},
};

/// Sizes of a new RSA key, in bits, in the order in which they are tried.
const RSA_BITS: [u64; 2] = [3072, 2048];

/// More objects of one template than a token of ours has.
const MOST_FOUND: usize = 4096;

/// A fresh key: its handle, and which attributes the module did not know.
pub(super) struct Made {
    pub(super) key: ObjectHandle,
    pub(super) template: KeyTemplate,
    pub(super) strictness: Strictness,
}

/// Makes a KEK by the strictest template that the module takes.
pub(super) fn make(
    session: &Session,
    settings: &ModuleSettings,
    scheme: Scheme,
    recipient: RecipientId,
    label: &str,
) -> Result<Made, Fault> {
    let sizes: &[u64] = match scheme {
        Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1 => &RSA_BITS,
        _ => &[0],
    };
    let ids = template::ids(scheme, recipient.as_bytes());
    let of_size =
        |bits| move |strictness| template::kek(scheme, recipient, label, bits, (strictness, settings));
    let mut last = Fault { function: "C_GenerateKey", rv: RvError::MechanismInvalid };
    for &bits in sizes {
        match make_by(session, &ids, of_size(bits)) {
            Err(fault) => last = fault,
            made => return made,
        }
        if cannot_make(&last) {
            break;
        }
    }
    Err(last)
}

/// Makes a key by the strictest of these templates that the module takes. By `ids` it is found, and nothing else is.
pub(super) fn make_by(
    session: &Session,
    ids: &[Vec<Attribute>],
    template: impl Fn(Strictness) -> KeyTemplate,
) -> Result<Made, Fault> {
    let mut last = Fault { function: "C_GenerateKey", rv: RvError::MechanismInvalid };
    for strictness in Strictness::ALL {
        let template = template(strictness);
        if strictness == Strictness::WithoutPublicUsages && template.public.is_none() {
            continue;
        }
        match generate(session, &template) {
            Ok(key) => return Ok(Made { key, template, strictness }),
            Err(fault) => last = fault,
        }
        if cannot_make(&last) {
            break;
        }
        take_back(session, ids);
    }
    Err(last)
}

/// Destroys what a call has made although it said that it failed: the next one would make a second key of one id.
fn take_back(session: &Session, ids: &[Vec<Attribute>]) {
    for id in ids {
        for object in find_all(session, id).unwrap_or_default() {
            // What was refused has made nothing, as a rule.
            let _ = destroy(session, object, template::id_in(id));
        }
    }
}

/// Whether it is the kind of key that the module does not make, whatever the template.
const fn cannot_make(fault: &Fault) -> bool {
    matches!(fault.rv, RvError::MechanismInvalid | RvError::FunctionNotSupported)
}

fn generate(session: &Session, template: &KeyTemplate) -> Result<ObjectHandle, Fault> {
    match &template.public {
        None => session.generate_key(&template.generate, &template.key),
        Some(public) => {
            session.generate_key_pair(&template.generate, public, &template.key).map(|(_public, key)| key)
        }
    }
}

/// Compares every attribute with what was asked for; the finding, where one differs.
///
/// `CKA_ALLOWED_MECHANISMS` and `CKA_COPYABLE` may be unknown to a module; there the self-test's attacks decide.
pub(super) fn read_back(session: &Session, made: &Made) -> Result<(), TokenError> {
    is_its_own(session, made)?;
    let always =
        [Attribute::AlwaysSensitive(true), Attribute::NeverExtractable(true), Attribute::Local(true)];
    let asked = made.template.key.iter().map(|attribute| (attribute, false));
    for (attribute, optional) in asked.chain(always.iter().map(|attribute| (attribute, true))) {
        let kind = attribute.attribute_type();
        let optional = optional || matches!(kind, AttributeType::AllowedMechanisms | AttributeType::Copyable);
        let is = match read(session, made.key, kind) {
            // p11-kit cannot carry what it does not know, and calls that a sick device.
            Err(_) if optional => None,
            is => is?,
        };
        match (is, optional) {
            (Some(is), _) if is == *attribute => {}
            (None, true) | (Some(Attribute::AllowedMechanisms(_)), _) => {}
            (is, _) => {
                let finding = format!("asked for {attribute:?}, the new key has {is:?}");
                return Err(TokenError::Refused { finding });
            }
        }
    }
    Ok(())
}

/// One attribute; `None` where the object has none such or does not show it.
pub(super) fn read(
    session: &Session,
    object: ObjectHandle,
    kind: AttributeType,
) -> Result<Option<Attribute>, Fault> {
    session.attribute(object, kind)
}

/// Whether another object has this handle, too, and is the one that answers to it. An id that cannot be read, or is read
/// wrongly, is not enough to say so.
pub(super) fn is_anothers(session: &Session, object: ObjectHandle, id: &[u8]) -> Result<bool, Fault> {
    match read(session, object, AttributeType::Id) {
        Ok(Some(Attribute::Id(is))) if is != id => {
            let all = find_all(session, &[Attribute::Token(true)])?;
            Ok(all.iter().filter(|one| **one == object).count() > 1)
        }
        _ => Ok(false),
    }
}

/// That the new key's handle is its own.
pub(super) fn is_its_own(session: &Session, made: &Made) -> Result<(), TokenError> {
    if is_anothers(session, made.key, template::id_in(&made.template.key))? {
        return Err(two_objects());
    }
    Ok(())
}

/// Destroys an object that has this id, and no other.
pub(super) fn destroy(session: &Session, object: ObjectHandle, id: &[u8]) -> Result<(), Failure> {
    if is_anothers(session, object, id)? {
        return Err(two_objects().into());
    }
    Ok(session.destroy(object)?)
}

/// The label of an object, empty where it has none.
pub(super) fn label(session: &Session, object: ObjectHandle) -> Result<String, Fault> {
    Ok(match read(session, object, AttributeType::Label)? {
        Some(Attribute::Label(label)) => String::from_utf8_lossy(&label).into_owned(),
        _ => String::new(),
    })
}

/// The public half of a key pair, read from the public object with this id.
pub(super) fn public_key(
    session: &Session,
    scheme: Scheme,
    id: &[u8],
) -> Result<Option<PublicKey>, TokenError> {
    if scheme.is_symmetric() {
        return Ok(None);
    }
    let missing = || TokenError::KeyMissing { key: "the public half of the key pair".to_owned() };
    let object = public_object(session, id)?.ok_or_else(missing)?;
    let key = if scheme == Scheme::EcdhEsA256Kw {
        match read(session, object, AttributeType::EcPoint)? {
            Some(Attribute::EcPoint(point)) => point_of(&point).map(PublicKey::P256),
            _ => None,
        }
    } else {
        let modulus = read(session, object, AttributeType::Modulus)?;
        match (modulus, read(session, object, AttributeType::PublicExponent)?) {
            (Some(Attribute::Modulus(modulus)), Some(Attribute::PublicExponent(exponent))) => {
                Some(PublicKey::Rsa { modulus: without_leading_zeros(modulus), exponent })
            }
            _ => None,
        }
    };
    key.map(Some).ok_or_else(missing)
}

/// The `CKA_ID` of a recipient's key: the recipient's own bytes, or where the key was there before it became one and has an id
/// of its own, as on a PIV card, that of the public half that the recipient is named by.
pub(super) fn id_of(session: &Session, scheme: Scheme, recipient: RecipientId) -> Result<Vec<u8>, Fault> {
    let own = recipient.as_bytes().to_vec();
    if scheme != Scheme::EcdhEsA256Kw || !find_all(session, &template::query(scheme, &own, None))?.is_empty()
    {
        return Ok(own);
    }
    for object in find_all(session, &template::public_points())? {
        let Some(Attribute::EcPoint(encoded)) = read(session, object, AttributeType::EcPoint)? else {
            continue;
        };
        if point_of(&encoded).is_some_and(|point| software::name_of(&point) == *recipient.as_bytes())
            && let Some(Attribute::Id(id)) = read(session, object, AttributeType::Id)?
        {
            return Ok(id);
        }
    }
    Ok(own)
}

pub(super) fn public_object(session: &Session, id: &[u8]) -> Result<Option<ObjectHandle>, Fault> {
    Ok(find_all(session, &template::public_query(id))?.pop())
}

/// Every object of this template. Objects that other processes destroy meanwhile make a search stumble: it starts over.
pub(super) fn find_all(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Fault> {
    let mut tries = 3;
    loop {
        let fault = match session.find(template, MOST_FOUND) {
            Ok(found) => return Ok(found),
            Err(fault) => fault,
        };
        tries -= 1;
        if tries == 0 || !matches!(fault.rv, RvError::ObjectHandleInvalid) {
            return Err(fault);
        }
    }
}

/// The point in a `CKA_EC_POINT`: an uncompressed SEC 1 point, in a DER octet string or, with some modules, bare.
fn point_of(encoded: &[u8]) -> Option<EcPoint> {
    let coordinates = encoded.strip_prefix(&[0x04, 65, 0x04]).or_else(|| encoded.strip_prefix(&[0x04]))?;
    let (x, y) = coordinates.split_at_checked(32)?;
    Some(EcPoint { x: x.try_into().ok()?, y: y.try_into().ok()? })
}

fn without_leading_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}

#[cfg(test)]
mod tests;
