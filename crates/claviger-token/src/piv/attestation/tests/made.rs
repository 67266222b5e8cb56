//! Certificates of one's own, by keys of one's own.

use super::super::*;
use AttestationError as Error;
use der::{
    Encode as _,
    asn1::{ObjectIdentifier, OctetString},
};
use p256::ecdsa::{DerSignature, SigningKey};
use std::{str::FromStr as _, time::Duration};
use x509_cert::{
    TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    ext::Extension,
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

pub(super) fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

pub(super) fn key_info(key: &SigningKey) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned::from_key(key.verifying_key()).unwrap()
}

pub(super) fn extension(id: &str, critical: bool, value: &[u8]) -> Extension {
    Extension {
        extn_id: ObjectIdentifier::new(id).unwrap(),
        critical,
        extn_value: OctetString::new(value).unwrap(),
    }
}

pub(super) const BASIC_CONSTRAINTS: &str = "2.5.29.19";
pub(super) const KEY_USAGE: &str = "2.5.29.15";
pub(super) const FIRMWARE: &str = "1.3.6.1.4.1.41482.3.3";
pub(super) const SERIAL: &str = "1.3.6.1.4.1.41482.3.7";
pub(super) const POLICIES: &str = "1.3.6.1.4.1.41482.3.8";
pub(super) const FORM_FACTOR: &str = "1.3.6.1.4.1.41482.3.9";

pub(super) const AUTHORITY: &[u8] = &[0x30, 3, 1, 1, 0xff];
pub(super) const NO_AUTHORITY: &[u8] = &[0x30, 0];

/// A certificate to be.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) key: SubjectPublicKeyInfoOwned,
    pub(super) extensions: Vec<Extension>,
}

impl Made {
    pub(super) fn root(name: &str) -> Self {
        Self {
            issuer: name.into(),
            subject: name.into(),
            key: key_info(&signing_key(1)),
            extensions: vec![extension(BASIC_CONSTRAINTS, true, AUTHORITY)],
        }
    }

    pub(super) fn f9() -> Self {
        Self {
            issuer: "CN=Root".into(),
            subject: "CN=Yubico PIV Attestation".into(),
            key: key_info(&signing_key(2)),
            extensions: vec![
                extension(FIRMWARE, false, &[5, 4, 3]),
                extension(BASIC_CONSTRAINTS, true, AUTHORITY),
            ],
        }
    }

    pub(super) fn statement() -> Self {
        Self {
            issuer: "CN=Yubico PIV Attestation".into(),
            subject: "CN=YubiKey PIV Attestation 9d".into(),
            key: key_info(&signing_key(3)),
            extensions: vec![
                extension(FIRMWARE, false, &[5, 4, 3]),
                extension(SERIAL, false, &[2, 4, 0, 0xf0, 0x0f, 0x14]),
                extension(POLICIES, false, &[2, 3]),
                extension(FORM_FACTOR, false, &[0x81]),
            ],
        }
    }

    /// With this value of an extension, or without the extension.
    pub(super) fn with(mut self, id: &str, value: Option<&[u8]>) -> Self {
        let index = self.extensions.iter().position(|extension| extension.extn_id.to_string() == id);
        index.map(|index| self.extensions.remove(index));
        self.extensions.extend(value.map(|value| extension(id, false, value)));
        self
    }

    pub(super) fn der(&self, signer: &SigningKey) -> Vec<u8> {
        // Long over, which nobody asks.
        let [not_before, not_after] =
            [1, 2].map(|second| Time::try_from(std::time::UNIX_EPOCH + Duration::from_secs(second)).unwrap());
        let validity = Validity::new(not_before, not_after);
        let number = SerialNumber::new(&[7]).unwrap();
        let builder = CertificateBuilder::new(self.clone(), number, validity, self.key.clone()).unwrap();
        builder.build::<_, DerSignature>(signer).unwrap().to_der().unwrap()
    }
}

impl BuilderProfile for Made {
    fn get_issuer(&self, _: &Name) -> Name {
        Name::from_str(&self.issuer).unwrap()
    }

    fn get_subject(&self) -> Name {
        Name::from_str(&self.subject).unwrap()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

pub(super) fn own_root() -> Roots {
    Roots::none().with(&Made::root("CN=Root").der(&signing_key(1))).unwrap()
}

pub(super) fn outcome(statement: &Made, f9: &Made) -> Result<Attested, Error> {
    verify(&statement.der(&signing_key(2)), &f9.der(&signing_key(1)), &own_root())
}

pub(super) fn statement_with(id: &str, value: Option<&[u8]>) -> Result<Attested, Error> {
    outcome(&Made::statement().with(id, value), &Made::f9())
}
