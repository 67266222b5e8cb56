//! The certificate beside a key. Nobody checks it: it tells other programs that the slot has a key, and which.
//!
//! `OpenSC` shows no key without one, and YubiKeys before firmware 5.3 show a key's public half by nothing else.

use super::{fault::Failure, key::Key, session, signer, tlv, token};
use crate::{TokenError, software};
use claviger_types::{Digest, EcPoint, Entropy};
use p256::ecdsa::{VerifyingKey, signature::Keypair};
use std::{str::FromStr as _, time::SystemTime};
use x509_cert::{
    Certificate, TbsCertificate,
    builder::{self, Builder as _, CertificateBuilder, profile::BuilderProfile},
    der::{
        DateTime, Decode as _, Encode as _,
        asn1::{BitString, GeneralizedTime, ObjectIdentifier},
    },
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{
        self, AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned,
        SubjectPublicKeyInfoRef,
    },
    time::{Time, Validity},
};

/// In the object: the certificate, how it is compressed, and a checksum that is not used (SP 800-73-4 part 1, table 10).
const CERTIFICATE: u16 = 0x70;
const INFO: u16 = 0x71;
const CHECKSUM: u16 = 0xfe;

/// RFC 5480, sections 2.1.1 and 2.1.1.1, and appendix A.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// The name of a KEK that this program makes.
pub(super) fn name(point: &EcPoint) -> String {
    format!("claviger {}", token::recipient(point))
}

/// The same of a key that signs.
pub(super) fn signer_name(point: &EcPoint) -> String {
    format!("claviger sign {}", signer::id(point))
}

/// The subject of a key that was overwritten because its card takes no key out: its slot may be used again.
const UNUSED: &str = "CN=claviger unused";

/// The object with the certificate of a key, signed by itself. Its owner may have to touch the card for that.
pub(super) fn object_of(key: &Key, name: &str, entropy: &dyn Entropy) -> Result<Vec<u8>, Failure> {
    let subject = format!("CN={name}");
    build(&key.point, &subject, entropy, |body| key.sign(Digest::of(body).as_bytes()))
}

/// The object that marks a key as overwritten. Without a signature: that would take the PIN and a touch for a key that nobody
/// needs.
pub(super) fn unused(point: &EcPoint, entropy: &dyn Entropy) -> Result<Vec<u8>, Failure> {
    build(point, UNUSED, entropy, |_| Ok(Vec::new()))
}

/// The key in a certificate's object.
pub(super) fn point(object: &[u8]) -> Option<EcPoint> {
    let certificate = parse(object)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    let curve: ObjectIdentifier = key.algorithm.parameters.as_ref()?.decode_as().ok()?;
    if key.algorithm.oid != EC_PUBLIC_KEY || curve != P256 {
        return None;
    }
    session::point(key.subject_public_key.as_bytes()?)
}

/// Whether the certificate says that this key was overwritten.
pub(super) fn is_unused(object: &[u8], key: &EcPoint) -> bool {
    subject(object).is_some_and(|subject| subject == UNUSED) && point(object).as_ref() == Some(key)
}

/// Whether the certificate says that this program made the key. Its name is the key's: a name that only begins like one is its
/// owner's.
pub(super) fn is_own(object: &[u8], key: &EcPoint) -> bool {
    let names = [name(key), signer_name(key)].map(|name| format!("CN={name}"));
    subject(object).is_some_and(|subject| names.contains(&subject)) && point(object).as_ref() == Some(key)
}

/// The key, whichever it is, that the certificate is this program's for.
pub(super) fn owned(object: &[u8]) -> Option<EcPoint> {
    point(object).filter(|key| is_own(object, key) || is_unused(object, key))
}

fn subject(object: &[u8]) -> Option<String> {
    Some(parse(object)?.tbs_certificate().subject().to_string())
}

/// The certificate in an object, in DER; nothing where there is none.
pub(super) fn der(object: &[u8]) -> &[u8] {
    tlv::find(object, CERTIFICATE).unwrap_or_default()
}

fn parse(object: &[u8]) -> Option<Certificate> {
    // A compressed one is somebody else's.
    if tlv::find(object, INFO).is_some_and(|info| info != [0]) {
        return None;
    }
    Certificate::from_der(tlv::find(object, CERTIFICATE)?).ok()
}

fn build(
    point: &EcPoint,
    subject: &str,
    entropy: &dyn Entropy,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<Vec<u8>, Failure> {
    let identity = Identity(VerifyingKey::from(software::check_point(point)?));
    let mut serial = [0; 16];
    entropy.fill(&mut serial)?;
    let mut draft = draft(&identity, subject, &serial).map_err(|error| unusable(&error))?;
    let body = draft.finalize(&identity).map_err(|error| unusable(&error))?;
    let signature = BitString::from_bytes(&sign(&body)?).map_err(|error| unusable(&error.into()))?;
    let certificate = draft.assemble(signature, &identity).map_err(|error| unusable(&error))?;
    let der = certificate.to_der().map_err(|error| unusable(&error.into()))?;
    Ok([tlv::element(CERTIFICATE, &der), tlv::element(INFO, &[0]), tlv::element(CHECKSUM, &[])].concat())
}

fn draft(
    identity: &Identity,
    subject: &str,
    serial: &[u8],
) -> Result<CertificateBuilder<OfItself>, builder::Error> {
    let validity = Validity::new(
        Time::try_from(SystemTime::now())?,
        // A key has no end that is known beforehand (RFC 5280, section 4.1.2.5).
        Time::GeneralTime(GeneralizedTime::from_date_time(DateTime::new(9999, 12, 31, 23, 59, 59)?)),
    );
    CertificateBuilder::new(
        OfItself(Name::from_str(subject)?),
        SerialNumber::new(serial)?,
        validity,
        SubjectPublicKeyInfoOwned::from_key(&identity.0)?,
    )
}

fn unusable(error: &builder::Error) -> Failure {
    TokenError::PublicKeyUnusable { reason: format!("no certificate can be made of it: {error}").into() }
        .into()
}

/// Issued by whom it is for, and nothing more.
struct OfItself(Name);

impl BuilderProfile for OfItself {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}

/// Whose signature it will be.
struct Identity(VerifyingKey);

impl Keypair for Identity {
    type VerifyingKey = VerifyingKey;

    fn verifying_key(&self) -> VerifyingKey {
        self.0
    }
}

impl DynSignatureAlgorithmIdentifier for Identity {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None })
    }
}

#[cfg(test)]
mod tests;
