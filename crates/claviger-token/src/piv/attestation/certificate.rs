//! A certificate as far as attestation needs it (RFC 5280), and signatures under its key.

use super::{AttestationError, Link};
use crate::piv::{PinPolicy, TouchPolicy};
use crate::software::check_point;
use claviger_types::EcPoint;
use der::{
    Decode, Reader as _, SliceReader,
    asn1::{BitString, ObjectIdentifier},
    referenced::OwnedToRef as _,
};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};
use rsa::{Pkcs1v15Sign, PublicKey, traits::PublicKeyParts as _};
use sha2::{Digest as _, Sha256};
use std::ops::RangeInclusive;
use x509_cert::{
    certificate::TbsCertificate,
    ext::pkix::{BasicConstraints, KeyUsage},
    name::Name,
    spki::AlgorithmIdentifierOwned,
};

/// The most bytes of a certificate. A card's object holds 3 KB.
pub(super) const MAX_BYTES: usize = 8192;

/// Bits of an RSA key that may sign.
const RSA_BITS: RangeInclusive<u32> = 2048..=4096;

/// Object identifiers.
pub(super) mod id {
    use der::asn1::ObjectIdentifier;

    const fn oid(text: &str) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(text)
    }

    pub(crate) const SHA256_WITH_RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
    pub(crate) const ECDSA_WITH_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
    pub(crate) const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
    pub(crate) const EC: ObjectIdentifier = oid("1.2.840.10045.2.1");
    pub(crate) const P256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
    pub(crate) const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
    pub(crate) const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
    pub(crate) const FIRMWARE: ObjectIdentifier = oid("1.3.6.1.4.1.41482.3.3");
    pub(crate) const SERIAL: ObjectIdentifier = oid("1.3.6.1.4.1.41482.3.7");
    pub(crate) const POLICIES: ObjectIdentifier = oid("1.3.6.1.4.1.41482.3.8");
    pub(crate) const FORM_FACTOR: ObjectIdentifier = oid("1.3.6.1.4.1.41482.3.9");
}

/// A certificate that is well-formed. Nothing of it is verified.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    link: Link,
    /// What is signed, as it came: nothing is encoded again to be verified.
    signed: Vec<u8>,
    tbs: TbsCertificate,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

impl Certificate {
    /// Reads DER, and nothing after it.
    pub(super) fn from_der(link: Link, bytes: &[u8]) -> Result<Self, AttestationError> {
        if bytes.len() > MAX_BYTES {
            return Err(AttestationError::TooLong { link });
        }
        let certificate =
            Self::decode(link, bytes).map_err(|source| AttestationError::Malformed { link, source })?;
        certificate.check_algorithms()?;
        certificate.check_extensions()?;
        Ok(certificate)
    }

    /// Reads DER, or PEM with nothing but white space around it.
    pub(super) fn from_der_or_pem(link: Link, bytes: &[u8]) -> Result<Self, AttestationError> {
        // A certificate in DER is a SEQUENCE.
        if bytes.first() == Some(&0x30) {
            return Self::from_der(link, bytes);
        }
        let malformed = |source| AttestationError::Malformed { link, source };
        let (label, der) =
            der::pem::decode_vec(bytes.trim_ascii()).map_err(|error| malformed(error.into()))?;
        if label != "CERTIFICATE" {
            return Err(malformed(der::pem::Error::UnexpectedTypeLabel { expected: "CERTIFICATE" }.into()));
        }
        Self::from_der(link, &der)
    }

    fn decode(link: Link, bytes: &[u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(bytes)?;
        let certificate = reader.sequence(|reader| {
            let signed = reader.tlv_bytes()?;
            Ok::<_, der::Error>(Self {
                link,
                signed: signed.to_vec(),
                tbs: TbsCertificate::from_der(signed)?,
                algorithm: AlgorithmIdentifierOwned::decode(reader)?,
                signature: BitString::decode(reader)?,
            })
        })?;
        reader.finish()?;
        Ok(certificate)
    }

    /// The algorithm stands inside what is signed and beside the signature (RFC 5280, section 4.1.1.2). It is looked at in
    /// [`Certificate::verify`] only, as nobody verifies a root's own signature.
    fn check_algorithms(&self) -> Result<(), AttestationError> {
        if *self.tbs.signature() == self.algorithm {
            Ok(())
        } else {
            Err(AttestationError::AlgorithmMismatch { link: self.link })
        }
    }

    fn check_extensions(&self) -> Result<(), AttestationError> {
        let link = self.link;
        let extensions = self.tbs.extensions().map_or(&[][..], Vec::as_slice);
        for (index, extension) in extensions.iter().enumerate() {
            let is_known = [id::BASIC_CONSTRAINTS, id::KEY_USAGE].contains(&extension.extn_id);
            if extension.critical && !is_known {
                let extension = extension.extn_id.to_string();
                return Err(AttestationError::CriticalExtension { link, extension });
            }
            if extensions.iter().skip(index + 1).any(|other| other.extn_id == extension.extn_id) {
                let extension = extension.extn_id.to_string();
                return Err(AttestationError::DuplicateExtension { link, extension });
            }
        }
        Ok(())
    }

    pub(super) fn subject(&self) -> &Name {
        self.tbs.subject()
    }

    pub(super) fn issuer(&self) -> &Name {
        self.tbs.issuer()
    }

    /// The bytes of an extension's value.
    pub(super) fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extension = self.tbs.extensions()?.iter().find(|extension| extension.extn_id == id)?;
        Some(extension.extn_value.as_bytes())
    }

    /// When the key of a statement wants PIN and touch.
    pub(super) fn policies(&self) -> Option<(PinPolicy, TouchPolicy)> {
        let &[pin, touch] = self.extension(id::POLICIES)? else { return None };
        Some((PinPolicy::from_byte(pin)?, TouchPolicy::from_byte(touch)?))
    }

    fn decoded_extension<'a, T: Decode<'a, Error = der::Error>>(
        &'a self,
        id: ObjectIdentifier,
    ) -> Result<Option<T>, AttestationError> {
        let malformed = |source| AttestationError::Malformed { link: self.link, source };
        self.extension(id).map(|value| T::from_der(value).map_err(malformed)).transpose()
    }

    /// Whether it says that it may sign other certificates.
    pub(super) fn claims_authority(&self) -> Result<bool, AttestationError> {
        let constraints = self.decoded_extension::<BasicConstraints>(id::BASIC_CONSTRAINTS)?;
        Ok(constraints.is_some_and(|constraints| constraints.ca))
    }

    /// Refuses what may not sign other certificates.
    pub(super) fn check_authority(&self) -> Result<(), AttestationError> {
        let constraints = self.decoded_extension::<BasicConstraints>(id::BASIC_CONSTRAINTS)?;
        let usage = self.decoded_extension::<KeyUsage>(id::KEY_USAGE)?;
        let may_sign = constraints.map_or_else(|| self.is_f9_of_firmware_4(), |constraints| constraints.ca);
        if may_sign && usage.is_none_or(|usage| usage.key_cert_sign()) {
            Ok(())
        } else {
            Err(AttestationError::NotAnAuthority { link: self.link })
        }
    }

    /// Whether it is by its form the f9 certificate of a YubiKey 4: many of those say nothing about whom they may sign.
    ///
    /// A statement of a YubiKey 4, whose key can be made to sign anything, differs from it by its name.
    fn is_f9_of_firmware_4(&self) -> bool {
        matches!(self.extension(id::FIRMWARE), Some([4, _, _]))
            && self.common_name().as_deref() == Some("Yubico PIV Attestation")
    }

    pub(super) fn is_named_issuer_of(&self, child: &Self) -> bool {
        self.subject() == child.issuer()
    }

    pub(super) fn unknown_issuer(&self) -> AttestationError {
        AttestationError::UnknownIssuer { link: self.link, issuer: self.issuer().to_string() }
    }

    /// Whether this certificate's key has signed the child.
    pub(super) fn verify(&self, child: &Self) -> Result<(), AttestationError> {
        let link = child.link;
        let AlgorithmIdentifierOwned { oid: algorithm, parameters } = &child.algorithm;
        let wrong = || AttestationError::WrongSignature { link };
        let signature = child.signature.as_bytes().ok_or_else(wrong)?;
        match *algorithm {
            // RFC 4055, section 5: the parameters are NULL, and absent ones mean the same. The f9 certificates of firmware
            // 5.7.4 leave them out.
            id::SHA256_WITH_RSA
                if parameters.as_ref().is_none_or(|any| any.is_null() && any.value().is_empty()) =>
            {
                let digest = Sha256::digest(&child.signed);
                let key = self.rsa_key().ok_or(AttestationError::KeyRefused { link: self.link })?;
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature).map_err(|_| wrong())
            }
            // RFC 5758, section 3.2: no parameters.
            id::ECDSA_WITH_SHA256 if parameters.is_none() => {
                let point = self.p256_key().ok_or(AttestationError::KeyRefused { link: self.link })?;
                let signature = Signature::from_der(signature).map_err(|_| wrong())?;
                VerifyingKey::from(point).verify(&child.signed, &signature).map_err(|_| wrong())
            }
            _ => Err(AttestationError::AlgorithmRefused { link, algorithm: algorithm.to_string() }),
        }
    }

    fn rsa_key(&self) -> Option<PublicKey> {
        let info = self.tbs.subject_public_key_info();
        if info.algorithm.oid != id::RSA {
            return None;
        }
        let key = PublicKey::try_from(info.owned_to_ref()).ok()?;
        RSA_BITS.contains(&key.n().bit_width_vartime()).then_some(key)
    }

    fn p256_key(&self) -> Option<p256::PublicKey> {
        check_point(&self.point()?).ok()
    }

    /// The key, if it is a point on P-256.
    pub(super) fn point(&self) -> Option<EcPoint> {
        let info = self.tbs.subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok()?;
        if (info.algorithm.oid, curve) != (id::EC, id::P256) {
            return None;
        }
        let (&4, coordinates) = info.subject_public_key.as_bytes()?.split_first()? else { return None };
        let (x, y) = coordinates.split_at_checked(32)?;
        let point = EcPoint { x: x.try_into().ok()?, y: y.try_into().ok()? };
        check_point(&point).is_ok().then_some(point)
    }

    /// The slot that the subject names: `CN=YubiKey PIV Attestation 9d`.
    pub(super) fn slot(&self) -> Option<u8> {
        let name = self.common_name()?;
        let digits = name.strip_prefix("YubiKey PIV Attestation ")?;
        let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let slot = is_hex.then(|| u8::from_str_radix(digits, 16).ok())??;
        matches!(slot, 0x9a | 0x9c | 0x9d | 0x9e | 0x82..=0x95).then_some(slot)
    }

    /// The subject's common name, if the subject is nothing else.
    fn common_name(&self) -> Option<String> {
        let subject = self.subject();
        let name = subject.common_name().ok()??;
        (subject.len() == 1).then(|| name.value().into_owned())
    }
}
