//! A private root of attestation, and certificates of keys that were made on the card.
//!
//! Root and intermediate are made once and kept in a directory, because two RSA keys take longer than all else. A YubiKey
//! has an intermediate of its own; here all cards of a directory share one, and the serial is in the leaf.

use crate::{
    apdu::{Answer, Sw},
    card::Identity,
    slots::Key,
};
use p256::pkcs8::EncodePublicKey as _;
use rand_core::OsRng;
use rsa::{
    RsaPrivateKey,
    pkcs1v15::SigningKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding},
    signature::{SignatureEncoding as _, Signer as _},
    traits::PublicKeyParts as _,
};
use sha2::Sha256;
use std::{fs, fs::File, io, path::Path, str::FromStr as _, time::Duration};
use x509_cert::{
    Certificate, TbsCertificate, Version,
    der::{
        Decode as _, DecodePem as _, Encode as _, EncodePem as _,
        asn1::{Any, BitString, GeneralizedTime, ObjectIdentifier, OctetString},
        oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
    },
    ext::{Extension, pkix::BasicConstraints},
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

/// A key for USB A.
pub(crate) const FORM_FACTOR: u8 = 0x01;

const ROOT: &str = "CN=claviger test PIV root";
const INTERMEDIATE: &str = "CN=claviger test PIV attestation";
const BITS: usize = 2048;
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
const POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
const FORM: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");

/// When Yubico's own root was made, and how long it lives.
const FROM: Duration = Duration::from_hours(404_976);
const TO: Duration = Duration::from_hours(721_464);

/// The key in slot F9.
#[derive(Debug)]
pub(crate) struct Attestation {
    key: RsaPrivateKey,
    certificate: Certificate,
    der: Vec<u8>,
}

impl Attestation {
    /// What this directory holds, or after this does: `root.pem`, `f9.pem` and `f9.key`.
    pub(crate) fn at(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let lock = File::create(directory.join("lock"))?;
        lock.lock()?;
        // Written last.
        if !directory.join("root.pem").exists() {
            make(directory).map_err(io::Error::other)?;
        }
        drop(lock);
        let read = |name: &str| fs::read_to_string(directory.join(name));
        let key = RsaPrivateKey::from_pkcs8_pem(&read("f9.key")?).map_err(io::Error::other)?;
        let certificate = Certificate::from_pem(read("f9.pem")?).map_err(io::Error::other)?;
        let der = certificate.to_der().map_err(io::Error::other)?;
        Ok(Self { key, certificate, der })
    }

    /// The certificate of this key.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.der
    }

    /// Modulus and exponent.
    pub(crate) fn public_key(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key.n().to_bytes_be(), self.key.e().to_bytes_be())
    }

    /// The certificate of a key in this slot.
    pub(crate) fn attest(&self, identity: &Identity, slot: u8, key: &Key) -> Answer {
        self.certificate_of(identity, slot, key).map_err(|_| Sw::WRONG_DATA)
    }

    fn certificate_of(
        &self,
        identity: &Identity,
        slot: u8,
        key: &Key,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let public = match p256::PublicKey::from_sec1_bytes(&key.point) {
            Ok(point) => SubjectPublicKeyInfoOwned::from_der(point.to_public_key_der()?.as_bytes())?,
            Err(_) => p384(&key.point)?,
        };
        // The contents are these bytes themselves, and only the serial is DER.
        let extensions = vec![
            extension(FIRMWARE, false, &identity.firmware)?,
            extension(SERIAL, false, &identity.serial.to_der()?)?,
            extension(POLICIES, false, &[key.pin as u8, key.touch as u8])?,
            extension(FORM, false, &[FORM_FACTOR])?,
        ];
        let subject = Name::from_str(&format!("CN=YubiKey PIV Attestation {slot:02x}"))?;
        let issuer = self.certificate.tbs_certificate.subject.clone();
        let certificate = sign(issuer, &self.key, subject, public, extensions)?;
        Ok(certificate.to_der()?)
    }
}

fn p384(point: &[u8]) -> Result<SubjectPublicKeyInfoOwned, Box<dyn std::error::Error + Send + Sync>> {
    Ok(SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            parameters: Some(Any::encode_from(&ObjectIdentifier::new_unwrap("1.3.132.0.34"))?),
        },
        subject_public_key: BitString::from_bytes(point)?,
    })
}

fn make(directory: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let root = RsaPrivateKey::new(&mut OsRng, BITS)?;
    let key = RsaPrivateKey::new(&mut OsRng, BITS)?;
    let (root_name, name) = (Name::from_str(ROOT)?, Name::from_str(INTERMEDIATE)?);
    let ca = |path_length: Option<u8>| -> Result<_, x509_cert::der::Error> {
        let constraints = BasicConstraints { ca: true, path_len_constraint: path_length };
        Ok(vec![extension(BASIC_CONSTRAINTS, true, &constraints.to_der()?)?])
    };
    let root_certificate = sign(root_name.clone(), &root, root_name.clone(), public(&root)?, ca(None)?)?;
    let certificate = sign(root_name, &root, name, public(&key)?, ca(Some(0))?)?;
    fs::write(directory.join("f9.key"), key.to_pkcs8_pem(LineEnding::LF)?)?;
    fs::write(directory.join("f9.pem"), certificate.to_pem(LineEnding::LF)?)?;
    fs::write(directory.join("root.new"), root_certificate.to_pem(LineEnding::LF)?)?;
    fs::rename(directory.join("root.new"), directory.join("root.pem"))?;
    Ok(())
}

fn public(
    key: &RsaPrivateKey,
) -> Result<SubjectPublicKeyInfoOwned, Box<dyn std::error::Error + Send + Sync>> {
    Ok(SubjectPublicKeyInfoOwned::from_der(key.to_public_key().to_public_key_der()?.as_bytes())?)
}

fn extension(id: ObjectIdentifier, critical: bool, value: &[u8]) -> Result<Extension, x509_cert::der::Error> {
    Ok(Extension { extn_id: id, critical, extn_value: OctetString::new(value)? })
}

fn sign(
    issuer: Name,
    key: &RsaPrivateKey,
    subject: Name,
    public: SubjectPublicKeyInfoOwned,
    extensions: Vec<Extension>,
) -> Result<Certificate, Box<dyn std::error::Error + Send + Sync>> {
    let algorithm =
        AlgorithmIdentifierOwned { oid: SHA_256_WITH_RSA_ENCRYPTION, parameters: Some(Any::null()) };
    let mut serial = [0; 16];
    getrandom::getrandom(&mut serial)?;
    // Neither negative nor with zeros in front.
    serial[0] = serial[0] & 0x7f | 0x40;
    let time = |at: Duration| {
        Ok::<_, x509_cert::der::Error>(Time::GeneralTime(GeneralizedTime::from_unix_duration(at)?))
    };
    let tbs_certificate = TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial)?,
        signature: algorithm.clone(),
        issuer,
        validity: Validity { not_before: time(FROM)?, not_after: time(TO)? },
        subject,
        subject_public_key_info: public,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    };
    let signature = SigningKey::<Sha256>::new(key.clone()).sign(&tbs_certificate.to_der()?);
    let signature = BitString::from_bytes(&signature.to_vec())?;
    Ok(Certificate { tbs_certificate, signature_algorithm: algorithm, signature })
}
