//! The functional self-test: a token is judged by what it does, never by what its mechanism flags say.
//!
//! First the scheme: wrap, unwrap, compare, refuse what was changed. Then the attacks that have worked on real modules: the
//! KEK read, or wrapped by itself or under a key that the attacker knows; of a secret key, a usage switched on later, or a copy
//! with more usages; of a key pair, the same attempts once more after EXTRACTABLE and SENSITIVE were changed
//! (`docs/adr/0014`).

use super::{
    fault,
    fault::Fault,
    ffi::{Call, ObjectHandle, Raw, Session},
    kek,
    template::Strictness,
    token::Pkcs11Token,
};
use crate::{SelfTestCheck, SelfTestReport, Token as _, TokenError};
use claviger_types::{Key256, Scheme, WrappedCek};
use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass},
};
use cryptoki_sys::{
    CK_MECHANISM_TYPE, CKM_AES_CBC_PAD, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD,
};
use zeroize::Zeroizing;

/// What binds the self-test's wrapped keys where a scheme binds a context.
const CONTEXT: &[u8] = b"claviger/token/self-test";

/// See [`crate::Kek::self_test`].
pub(super) fn self_test(token: &Pkcs11Token) -> Result<SelfTestReport, TokenError> {
    let mut report = SelfTestReport { scheme: token.description.scheme, checks: Vec::new() };
    functions(token, &mut report)?;
    attacks(token, &mut report)?;
    Ok(report)
}

impl SelfTestReport {
    /// Which attributes the module took; what it does not know, only the attacks have checked.
    pub(super) fn note_strictness(&mut self, strictness: Strictness) {
        let outcome = match strictness {
            Strictness::Full => "all known",
            Strictness::WithoutMechanisms => "all but ALLOWED_MECHANISMS",
            Strictness::WithoutPublicUsages => {
                "all but ALLOWED_MECHANISMS, COPYABLE and the public half's usages"
            }
            Strictness::WithoutCopyable => "all but ALLOWED_MECHANISMS and COPYABLE",
        };
        self.note("attributes asked for and read back", outcome);
    }

    fn note(&mut self, name: &'static str, outcome: impl Into<String>) {
        self.checks.push(SelfTestCheck { name: name.into(), outcome: outcome.into() });
    }

    /// A call that must fail: how it did, or the finding that it did not.
    fn must_fail<T>(
        &mut self,
        name: &'static str,
        finding: &str,
        outcome: &Result<T, Fault>,
    ) -> Result<(), TokenError> {
        match outcome {
            Ok(_) => Err(refused(finding)),
            Err(refusal) => {
                self.note(name, format!("refused ({})", fault::name(refusal.rv)));
                Ok(())
            }
        }
    }
}

fn refused(finding: impl Into<String>) -> TokenError {
    TokenError::Refused { finding: finding.into() }
}

fn functions(token: &Pkcs11Token, report: &mut SelfTestReport) -> Result<(), TokenError> {
    let cek = Key256::random(token.entropy.0.as_ref())?;
    let wrapped = token.wrap(&cek, CONTEXT)?;
    let back = token.unwrap_with(&token.profile, &wrapped, CONTEXT)?;
    if !back.same_as(&cek) {
        return Err(refused("it unwraps to another key than was wrapped"));
    }
    report.note("wrap, unwrap, compare", "same key");

    let length = wrapped.ciphertext.len();
    for position in [0, 8, length / 2, length - 1] {
        let mut changed = wrapped.clone();
        changed.ciphertext.iter_mut().skip(position).take(1).for_each(|byte| *byte ^= 1);
        must_not_open(token, &changed, CONTEXT, "it unwraps a wrapped key with a flipped bit")?;
    }
    // Of a length that the scheme does not have: the driver shows no token such a thing, and a TPM in software stops working.
    if token.description.scheme.is_symmetric() {
        let truncated = WrappedCek { ciphertext: Vec::new(), ..wrapped.clone() };
        must_not_open(token, &truncated, CONTEXT, "it unwraps nothing to something")?;
    }
    report.note("flipped bit", "refused");

    if matches!(token.description.scheme, Scheme::A256Gcm | Scheme::EcdhEsA256Kw) {
        must_not_open(token, &wrapped, b"another context", "it unwraps under another context")?;
        report.note("another context", "refused");
    }
    Ok(())
}

fn must_not_open(
    token: &Pkcs11Token,
    wrapped: &WrappedCek,
    context: &[u8],
    finding: &str,
) -> Result<(), TokenError> {
    match token.unwrap_with(&token.profile, wrapped, context) {
        Ok(_) => Err(refused(finding)),
        Err(_) => Ok(()),
    }
}

fn attacks(token: &Pkcs11Token, report: &mut SelfTestReport) -> Result<(), TokenError> {
    let session = token.pool.writer()?;
    let key = {
        let lease = token.pool.lease()?;
        let key = lease.key()?;
        lease.give_back();
        key
    };
    shows_its_value(token, &session, key, report)?;
    wrap_itself(token, &session, key, report)?;
    drop(session);
    wrap_under_a_known_key(token, key, report)?;
    if token.description.scheme == Scheme::A256Kw {
        decrypt_with_the_wrapping_key(token, key, report)?;
    }
    if !token.description.scheme.is_symmetric() {
        return carry_out(token, key, report);
    }
    let session = token.pool.writer()?;
    for attack in changes(token.description.scheme) {
        set_later(&session, key, &attack)?;
        copy_with(&session, key, &attack)?;
    }
    report.note("set usages, EXTRACTABLE, SENSITIVE later", "refused or without effect");
    report.note("copy with other usages", "refused or without effect");
    Ok(())
}

/// No usage of a private key gives the key itself away, and whoever has the PIN may use it as it is. What counts is whether
/// its bytes come out. Modules keep EXTRACTABLE as a mere note beside a key that cannot leave its chip (a TPM's), or let it
/// be copied: so after each change everything is tried that could carry it out.
fn carry_out(token: &Pkcs11Token, key: ObjectHandle, report: &mut SelfTestReport) -> Result<(), TokenError> {
    let session = token.pool.writer()?;
    let mut outcome = "refused or without effect";
    for (attack, back) in [
        (Attribute::Extractable(true), Attribute::Extractable(false)),
        (Attribute::Sensitive(false), Attribute::Sensitive(true)),
    ] {
        has_already(&session, key, &attack)?;
        let _ = session.set(key, std::slice::from_ref(&attack));
        if kek::read(&session, key, attack.attribute_type())?.as_ref() == Some(&attack) {
            outcome = "noted, and nothing comes out";
            let tried = gives_nothing(token, &session, key, report);
            session.set(key, &[back])?;
            tried?;
        }
        if let Ok(copy) = session.copy(key, &[Attribute::Token(false), attack]) {
            outcome = "noted, and nothing comes out";
            let tried = gives_nothing(token, &session, copy, report);
            session.destroy(copy)?;
            tried?;
        }
    }
    report.note("set EXTRACTABLE, SENSITIVE later, or copy with them", outcome);
    Ok(())
}

fn gives_nothing(
    token: &Pkcs11Token,
    session: &Session,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    shows_its_value(token, session, key, report)?;
    wrap_under_a_known_key(token, key, report)
}

fn decrypt_with_the_wrapping_key(
    token: &Pkcs11Token,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    let session = token.pool.writer()?;
    let mut out = Zeroizing::new([0; 64]);
    let raw = &token.pool.module().raw;
    let decrypted = raw.decrypt(
        session.handle(),
        (&Mechanism::AesEcb).into(),
        key.handle(),
        &[0; 16],
        out.as_mut_slice(),
    );
    report.must_fail(
        "decrypt with the wrapping key",
        "its wrapping key decrypts, so it gives data keys up",
        &decrypted,
    )
}

/// What an attacker with the PIN would want to have changed about a secret key.
fn changes(scheme: Scheme) -> Vec<Attribute> {
    let mut changes = vec![Attribute::Extractable(true), Attribute::Sensitive(false)];
    changes.extend(match scheme {
        Scheme::A256Kw => vec![Attribute::Decrypt(true), Attribute::Encrypt(true), Attribute::Derive(true)],
        _ => vec![Attribute::Unwrap(true), Attribute::Wrap(true), Attribute::Derive(true)],
    });
    changes
}

fn shows_its_value(
    token: &Pkcs11Token,
    session: &Session,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    let mut out = Zeroizing::new([0; 1024]);
    let raw = &token.pool.module().raw;
    let shown = raw.read_value(session.handle(), key.handle(), out.as_mut_slice());
    report.must_fail("read the key's value", SHOWS, &shown)?;
    shows_no_private_half(session, key)
}

const SHOWS: &str = "it shows the value of a sensitive key";

/// What an RSA key has for a value. Of other keys there is no such thing to be read.
fn shows_no_private_half(session: &Session, key: ObjectHandle) -> Result<(), TokenError> {
    for part in [AttributeType::PrivateExponent, AttributeType::Prime1, AttributeType::Prime2] {
        if let Ok(Some(_)) = kek::read(session, key, part) {
            return Err(refused(SHOWS));
        }
    }
    Ok(())
}

/// The same for a key that is not a KEK.
pub(super) fn must_not_show_its_value(
    raw: &Raw,
    session: &Session,
    key: ObjectHandle,
) -> Result<(), TokenError> {
    let mut out = Zeroizing::new([0; 1024]);
    match raw.read_value(session.handle(), key.handle(), out.as_mut_slice()) {
        Ok(_) => Err(refused(SHOWS)),
        Err(_) => Ok(()),
    }
}

/// Whether the key has what the attack wants without any attack. For a usage that is no finding by itself: keys that were
/// made elsewhere may have more than one.
fn has_already(session: &Session, key: ObjectHandle, attack: &Attribute) -> Result<bool, TokenError> {
    let has = kek::read(session, key, attack.attribute_type())?.as_ref() == Some(attack);
    match attack {
        Attribute::Extractable(_) | Attribute::Sensitive(_) if has => {
            Err(refused(format!("the key has {attack:?}")))
        }
        _ => Ok(has),
    }
}

pub(super) fn set_later(session: &Session, key: ObjectHandle, attack: &Attribute) -> Result<(), TokenError> {
    if has_already(session, key, attack)? {
        return Ok(());
    }
    // Whether the call fails does not matter; what the key has afterwards does.
    let _ = session.set(key, std::slice::from_ref(attack));
    if kek::read(session, key, attack.attribute_type())?.as_ref() == Some(attack) {
        return Err(refused(format!("it sets {attack:?} on a key that may not be modified")));
    }
    Ok(())
}

pub(super) fn copy_with(session: &Session, key: ObjectHandle, attack: &Attribute) -> Result<(), TokenError> {
    if has_already(session, key, attack)? {
        return Ok(());
    }
    let Ok(copy) = session.copy(key, &[Attribute::Token(false), attack.clone()]) else {
        return Ok(());
    };
    let has = kek::read(session, copy, attack.attribute_type());
    let destroyed = session.destroy(copy);
    if has?.as_ref() == Some(attack) {
        return Err(refused(format!("it copies a key that may not be copied, with {attack:?}")));
    }
    Ok(destroyed?)
}

fn wrap_itself(
    token: &Pkcs11Token,
    session: &Session,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    let raw = &token.pool.module().raw;
    for mechanism in carriers(token) {
        if matches!(mechanism, CKM_AES_CBC_PAD | CKM_AES_KEY_WRAP_PAD | CKM_AES_KEY_WRAP_KWP) {
            continue;
        }
        let mut out = Zeroizing::new([0; 4096]);
        let (call, key) = (Call::numbered(mechanism, &[]), key.handle());
        let wrapped = raw.wrap(session.handle(), call, key, key, out.as_mut_slice());
        report.must_fail("wrap the key by itself", "it wraps an unextractable key by itself", &wrapped)?;
    }
    Ok(())
}

/// The mechanisms that might carry a key out: the standard's, and the one that this vendor has in their place.
fn carriers(token: &Pkcs11Token) -> impl Iterator<Item = CK_MECHANISM_TYPE> {
    let vendors = token.pool.module().settings.mechanisms.key_wrap.map(CK_MECHANISM_TYPE::from);
    let standard = [CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP, CKM_AES_CBC_PAD];
    standard.into_iter().chain(vendors)
}

/// A key of known bytes with the right to wrap; under it, every mechanism that might carry the KEK out.
fn wrap_under_a_known_key(
    token: &Pkcs11Token,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    const NAME: &str = "wrap the key under a known key";
    let raw = &token.pool.module().raw;
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Wrap(true),
    ];
    for mechanism in carriers(token) {
        // A session for each, because a failed call may spoil one; the known key ends with it.
        let session = token.pool.writer()?;
        let known = match raw.create_with_value(session.handle(), &template, &[0x42; 32]) {
            Ok(known) => known,
            Err(fault) => {
                report.note(NAME, format!("no known key can be brought in ({})", fault::name(fault.rv)));
                return Ok(());
            }
        };
        let iv: &[u8] = if mechanism == CKM_AES_CBC_PAD { &[0; 16] } else { &[] };
        let mut out = Zeroizing::new([0; 4096]);
        let call = Call::numbered(mechanism, iv);
        let wrapped = raw.wrap(session.handle(), call, known, key.handle(), out.as_mut_slice());
        report.must_fail(
            NAME,
            "it wraps an unextractable key under a key that the caller knows",
            &wrapped,
        )?;
    }
    Ok(())
}
