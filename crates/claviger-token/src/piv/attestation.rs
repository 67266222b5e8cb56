//! What a YubiKey attests: that a key was made in one of its slots, cannot leave it, and what it asks for before each use.
//!
//! Three steps lead from the statement to a maker that is trusted: the *statement*, a certificate that the card makes for the
//! slot's key; the certificate of the *f9 key*, which the maker put into the card and which signs the statement; and from
//! there to a [root](Roots). Up to firmware 5.7.3 the root has signed the f9 certificate itself. From 5.7.4 on two further
//! certificates of the maker's stand between them, which are not on the card and so are built in
//! (<https://developers.yubico.com/PIV/Introduction/PIV_attestation.html>).
//!
//! Everything that the card gives is hostile until its signature is verified, and that goes from the root down: no key
//! verifies anything before it has been verified itself.
//!
//! **No dates are compared with the clock.** A statement has no date of its own: a YubiKey has no clock, and copies the
//! validity of its f9 certificate, which ends in 2052 or in the year 9999. It says how a key was made, and that stays true;
//! what a certificate's end would guard against, the theft of an f9 key or a maker's key, no date of theirs foretells. So a
//! statement that is kept from enrolment on is verified at any later time, and also where the clock is wrong.
//!
//! One f9 key is put into a whole batch of YubiKeys. Which of them has the key is said by [`Attested::serial`] alone.

mod certificate;
#[cfg(test)]
mod tests;

use super::{PinPolicy, TouchPolicy};
use certificate::{Certificate, id};
use claviger_types::EcPoint;
use std::fmt;

/// What a YubiKey says of a key in one of its slots, signed by a key that its maker put into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The key's public half, a point on P-256.
    pub public_key: EcPoint,
    /// The YubiKey's firmware: major, minor, patch.
    pub firmware: (u8, u8, u8),
    /// The YubiKey's serial number. Some of the first that attest do not give it.
    pub serial: Option<u32>,
    /// When the key wants the PIN.
    pub pin_policy: PinPolicy,
    /// When the key wants a touch.
    pub touch_policy: TouchPolicy,
    /// What kind of YubiKey it is, from firmware 5 on.
    pub form_factor: Option<FormFactor>,
    /// The slot that the key is in, such as 0x9d.
    pub slot: u8,
    /// The subject of the root that the statement leads to.
    pub root: String,
}

/// What kind of YubiKey it is, as one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormFactor(u8);

impl FormFactor {
    const FIPS: u8 = 0x80;
    const SECURITY_KEY: u8 = 0x40;

    /// Its shape, or that it is none that was known as this was written.
    pub fn name(self) -> &'static str {
        match self.0 & !(Self::FIPS | Self::SECURITY_KEY) {
            1 => "USB-A keychain",
            2 => "USB-A nano",
            3 => "USB-C keychain",
            4 => "USB-C nano",
            5 => "USB-C and Lightning",
            6 => "USB-A with fingerprint reader",
            7 => "USB-C with fingerprint reader",
            _ => "of unknown form",
        }
    }

    /// Whether it is one of the FIPS series.
    pub fn is_fips(self) -> bool {
        self.0 & Self::FIPS != 0
    }

    /// Whether it is one of the Security Key series.
    pub fn is_security_key(self) -> bool {
        self.0 & Self::SECURITY_KEY != 0
    }
}

/// Which certificate of a chain an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The statement about the slot's key.
    Statement,
    /// The f9 certificate, which the card keeps.
    Intermediate,
    /// A certificate of the maker's, or a root.
    Root,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "the attestation statement",
            Self::Intermediate => "the attestation (f9) certificate",
            Self::Root => "the root certificate",
        })
    }
}

/// Why what a card gave attests nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// The bytes are no certificate, or more than one.
    #[error("{link} is no X.509 certificate")]
    Malformed {
        /// Which one.
        link: Link,
        /// What is wrong with it.
        #[source]
        source: der::Error,
    },
    /// There are more bytes than any such certificate has.
    #[error("{link} is longer than {} bytes", certificate::MAX_BYTES)]
    TooLong {
        /// Which one.
        link: Link,
    },
    /// What is signed names another signature algorithm than the signature does.
    #[error("{link} contradicts itself about its signature's algorithm")]
    AlgorithmMismatch {
        /// Which one.
        link: Link,
    },
    /// It is signed by an algorithm that attestations are not.
    #[error("{link} is signed by an algorithm that is not accepted, {algorithm}")]
    AlgorithmRefused {
        /// Which one.
        link: Link,
        /// The algorithm's object identifier.
        algorithm: String,
    },
    /// Its key is not one of those that may sign: P-256, or RSA from 2048 to 4096 bits.
    #[error("{link} has a key that may not sign others")]
    KeyRefused {
        /// Which one.
        link: Link,
    },
    /// An extension stands in it twice.
    #[error("{link} has the extension {extension} twice")]
    DuplicateExtension {
        /// Which one.
        link: Link,
        /// The extension's object identifier.
        extension: String,
    },
    /// An extension that has to be understood is not known here.
    #[error("{link} has an extension that is critical and unknown, {extension}")]
    CriticalExtension {
        /// Which one.
        link: Link,
        /// The extension's object identifier.
        extension: String,
    },
    /// It may not sign other certificates.
    #[error("{link} is not one that may sign others")]
    NotAnAuthority {
        /// Which one.
        link: Link,
    },
    /// The statement may sign other certificates, which no statement may.
    #[error("the attestation statement claims to be an authority")]
    StatementIsAuthority,
    /// The statement names another issuer than the f9 certificate.
    #[error("the attestation statement was not issued under the f9 certificate's name, but by {issuer:?}")]
    IssuerMismatch {
        /// Whom it names.
        issuer: String,
    },
    /// No root has the name of the issuer.
    #[error("{link} was issued by {issuer:?}, which is no root that is trusted")]
    UnknownIssuer {
        /// Which one.
        link: Link,
        /// Whom it names.
        issuer: String,
    },
    /// The issuer's key has not signed it.
    #[error("the signature of {link} is wrong")]
    WrongSignature {
        /// Which one.
        link: Link,
    },
    /// The statement's subject names no slot.
    #[error("the attestation statement is about {subject:?}, which is no PIV slot")]
    NotASlot {
        /// Its subject.
        subject: String,
    },
    /// The statement leaves something out.
    #[error("the attestation statement does not tell the {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// The statement tells something in a way that is not understood.
    #[error("the attestation statement's {what} is not understood")]
    NotUnderstood {
        /// What.
        what: &'static str,
    },
    /// The key is not on P-256.
    #[error("the attested key is not one on P-256")]
    NotP256,
}

/// The makers that are trusted.
#[derive(Debug, Clone)]
pub struct Roots {
    anchors: Vec<Certificate>,
    intermediates: Vec<Certificate>,
}

impl Roots {
    /// None at all.
    pub fn none() -> Self {
        Self { anchors: Vec::new(), intermediates: Vec::new() }
    }

    /// Yubico's, as built in: `roots/README.md` beside this file lists them with their fingerprints.
    ///
    /// One of Yubico's is missing, as no copy of it could be had: "Yubico PIV Attestation B2 1" (2025). Statements under it
    /// end with [`AttestationError::UnknownIssuer`] until it is given to [`Roots::with`].
    pub fn yubico() -> Self {
        // That each of them parses is tested; one that did not would be trusted less, not more.
        let read = |files: &[&[u8]]| {
            files.iter().filter_map(|file| Certificate::from_der_or_pem(Link::Root, file).ok()).collect()
        };
        Self { anchors: read(YUBICO_ROOTS), intermediates: read(YUBICO_INTERMEDIATES) }
    }

    /// These and one more: a certificate, DER or PEM, whose subject and key are trusted from here on as they are, whoever
    /// signed it. That is for an f9 key of one's own, and for a maker's certificate that is newer than this program.
    pub fn with(mut self, certificate: &[u8]) -> Result<Self, AttestationError> {
        let certificate = Certificate::from_der_or_pem(Link::Root, certificate)?;
        certificate.check_authority()?;
        self.anchors.push(certificate);
        Ok(self)
    }

    /// The root that this certificate leads to, with every signature on the way verified.
    ///
    /// A root is a name and a key (RFC 5280, section 6.1.1 d): what its certificate says of path lengths is not applied, as
    /// YubiKeys 4 are about that leave a root less room than they take.
    fn root_of(&self, certificate: &Certificate) -> Result<&Certificate, AttestationError> {
        let mut child = certificate;
        // No way can be longer than all of them in a row.
        for _ in 0..=self.intermediates.len() {
            let mut outcome = Err(child.unknown_issuer());
            // A name can stand for more than one key.
            for anchor in self.anchors.iter().filter(|anchor| anchor.is_named_issuer_of(child)) {
                outcome = anchor.verify(child);
                if outcome.is_ok() {
                    return Ok(anchor);
                }
            }
            let Some(next) = self.intermediates.iter().find(|next| next.is_named_issuer_of(child)) else {
                outcome?;
                break;
            };
            next.check_authority()?;
            next.verify(child)?;
            child = next;
        }
        Err(child.unknown_issuer())
    }
}

impl Default for Roots {
    /// [`Roots::yubico`].
    fn default() -> Self {
        Self::yubico()
    }
}

const YUBICO_ROOTS: &[&[u8]] = &[
    include_bytes!("attestation/roots/yubico-piv-root-263751.pem"),
    include_bytes!("attestation/roots/yubico-attestation-root-1.pem"),
    include_bytes!("attestation/roots/yubico-u2f-root-457200631.pem"),
];

const YUBICO_INTERMEDIATES: &[&[u8]] = &[
    include_bytes!("attestation/roots/yubico-attestation-intermediate-a-1.pem"),
    include_bytes!("attestation/roots/yubico-attestation-intermediate-b-1.pem"),
    include_bytes!("attestation/roots/yubico-piv-attestation-a-1.pem"),
    include_bytes!("attestation/roots/yubico-piv-attestation-b-1.pem"),
];

/// Verifies a statement, DER as ATTEST (0xF9) gives it, under the f9 certificate that the card keeps in object 5FFF01, DER
/// too, up to one of the roots.
pub fn verify(statement: &[u8], intermediate: &[u8], roots: &Roots) -> Result<Attested, AttestationError> {
    let statement = Certificate::from_der(Link::Statement, statement)?;
    let intermediate = Certificate::from_der(Link::Intermediate, intermediate)?;
    intermediate.check_authority()?;
    if statement.claims_authority()? {
        return Err(AttestationError::StatementIsAuthority);
    }
    if !intermediate.is_named_issuer_of(&statement) {
        return Err(AttestationError::IssuerMismatch { issuer: statement.issuer().to_string() });
    }
    let root = roots.root_of(&intermediate)?;
    intermediate.verify(&statement)?;
    Attested::read(&statement, root)
}

/// The policies that a card states of its key, for whoever has the card itself at hand: nothing is verified.
pub(super) fn policies(statement: &[u8]) -> Option<(PinPolicy, TouchPolicy)> {
    Certificate::from_der(Link::Statement, statement).ok()?.policies()
}

impl Attested {
    /// What a statement says, once it is verified.
    fn read(statement: &Certificate, root: &Certificate) -> Result<Self, AttestationError> {
        const FIRMWARE: &str = "firmware";
        const POLICIES: &str = "PIN and touch policy";
        const SERIAL: &str = "serial number";
        const FORM_FACTOR: &str = "form factor";

        let missing = |what| AttestationError::Missing { what };
        let not_understood = |what| AttestationError::NotUnderstood { what };

        let &[major, minor, patch] = statement.extension(id::FIRMWARE).ok_or(missing(FIRMWARE))? else {
            return Err(not_understood(FIRMWARE));
        };
        statement.extension(id::POLICIES).ok_or(missing(POLICIES))?;
        let (pin_policy, touch_policy) = statement.policies().ok_or(not_understood(POLICIES))?;
        let serial = statement.extension(id::SERIAL);
        let form_factor = statement.extension(id::FORM_FACTOR).map(|value| match value {
            &[byte] => Ok(FormFactor(byte)),
            _ => Err(not_understood(FORM_FACTOR)),
        });
        Ok(Self {
            public_key: statement.point().ok_or(AttestationError::NotP256)?,
            firmware: (major, minor, patch),
            serial: serial.map(|value| serial_number(value).ok_or(not_understood(SERIAL))).transpose()?,
            pin_policy,
            touch_policy,
            form_factor: form_factor.transpose()?,
            slot: statement
                .slot()
                .ok_or_else(|| AttestationError::NotASlot { subject: statement.subject().to_string() })?,
            root: root.subject().to_string(),
        })
    }
}

/// A serial number's INTEGER. Those that have been seen have four bytes, so leading zeros are taken where DER would have
/// none, and the highest bit is no sign.
fn serial_number(value: &[u8]) -> Option<u32> {
    let (&[2, length], number) = value.split_at_checked(2)? else { return None };
    let number = match number {
        [0, rest @ ..] if rest.len() == 4 => rest,
        _ => number,
    };
    if usize::from(length) != value.len() - 2 || !(1..=4).contains(&number.len()) {
        return None;
    }
    Some(number.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
}
