//! What could carry a key out of its token: its value read, a wrap under a key that the attacker knows; of a key pair, both
//! once more after each change that the module lets happen (`docs/adr/0014`).

use super::{has_already, refused};
use crate::{
    SelfTestReport, TokenError,
    pkcs11::{
        fault,
        ffi::{Call, ObjectHandle, Session},
        kek,
        module::Module,
        pool::Pool,
    },
};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki_sys::{
    CK_MECHANISM_TYPE, CKM_AES_CBC_PAD, CKM_AES_KEY_WRAP, CKM_AES_KEY_WRAP_KWP, CKM_AES_KEY_WRAP_PAD,
};
use zeroize::Zeroizing;

const SHOWS: &str = "it shows the value of a sensitive key";

/// No usage of a private key gives the key itself away, and whoever has the PIN may use it as it is. What counts is whether
/// its bytes come out. Modules keep EXTRACTABLE as a mere note beside a key that cannot leave its chip (a TPM's), or let it
/// be copied: so after each change everything is tried that could carry it out.
pub(super) fn carry_out(
    pool: &Pool,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    let session = pool.writer()?;
    let mut outcome = "refused or without effect";
    for (attack, back) in [
        (Attribute::Extractable(true), Attribute::Extractable(false)),
        (Attribute::Sensitive(false), Attribute::Sensitive(true)),
    ] {
        has_already(&session, key, &attack)?;
        let _ = session.set(key, std::slice::from_ref(&attack));
        if kek::read(&session, key, attack.attribute_type())?.as_ref() == Some(&attack) {
            outcome = "noted, and nothing comes out";
            let tried = gives_nothing(pool, &session, key, report);
            session.set(key, &[back])?;
            tried?;
        }
        if let Ok(copy) = session.copy(key, &[Attribute::Token(false), attack]) {
            outcome = "noted, and nothing comes out";
            let tried = gives_nothing(pool, &session, copy, report);
            session.destroy(copy)?;
            tried?;
        }
    }
    report.note("set EXTRACTABLE, SENSITIVE later, or copy with them", outcome);
    Ok(())
}

pub(super) fn gives_nothing(
    pool: &Pool,
    session: &Session,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    shows_its_value(pool, session, key, report)?;
    wrap_under_a_known_key(pool, key, report)
}

pub(super) fn shows_its_value(
    pool: &Pool,
    session: &Session,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    let mut out = Zeroizing::new([0; 1024]);
    let raw = &pool.module().raw;
    let shown = raw.read_value(session.handle(), key.handle(), out.as_mut_slice());
    report.must_fail("read the key's value", SHOWS, &shown)?;
    shows_no_private_half(session, key)
}

/// What an RSA key has for a value. Of other keys there is no such thing to be read.
fn shows_no_private_half(session: &Session, key: ObjectHandle) -> Result<(), TokenError> {
    for part in [AttributeType::PrivateExponent, AttributeType::Prime1, AttributeType::Prime2] {
        if let Ok(Some(_)) = kek::read(session, key, part) {
            return Err(refused(SHOWS));
        }
    }
    Ok(())
}

/// What a wrapping key wraps by: the standard's mechanism, and the one that this vendor has in its place.
pub(super) fn key_wraps(module: &Module) -> impl Iterator<Item = CK_MECHANISM_TYPE> {
    let vendors = module.settings.mechanisms.key_wrap.map(CK_MECHANISM_TYPE::from);
    [CKM_AES_KEY_WRAP].into_iter().chain(vendors)
}

/// All mechanisms that might carry a key out.
fn carriers(module: &Module) -> impl Iterator<Item = CK_MECHANISM_TYPE> {
    key_wraps(module).chain([CKM_AES_KEY_WRAP_PAD, CKM_AES_KEY_WRAP_KWP, CKM_AES_CBC_PAD])
}

/// A key of known bytes with the right to wrap; under it, every mechanism that might carry the KEK out.
pub(super) fn wrap_under_a_known_key(
    pool: &Pool,
    key: ObjectHandle,
    report: &mut SelfTestReport,
) -> Result<(), TokenError> {
    const NAME: &str = "wrap the key under a known key";
    let raw = &pool.module().raw;
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Wrap(true),
    ];
    for mechanism in carriers(pool.module()) {
        // A session for each, because a failed call may spoil one; the known key ends with it.
        let session = pool.writer()?;
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
