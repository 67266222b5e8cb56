//! The functional self-test: a token is judged by what it does, never by what its mechanism flags say.
//!
//! First the scheme: wrap, unwrap, compare, refuse what was changed. Then the attacks that have worked on real modules: the
//! KEK read, or wrapped by itself or under a key that the attacker knows; of a secret key, a usage switched on later, or a copy
//! with more usages; of a key pair, the same attempts once more after EXTRACTABLE and SENSITIVE were changed
//! (`docs/adr/0014`).

mod carrying;

use super::{
    fault,
    fault::Fault,
    ffi::{Call, ObjectHandle, Session},
    kek,
    pool::Pool,
    template::Strictness,
    token::Pkcs11Token,
};
use crate::{SelfTestReport, Token as _, TokenError};
use claviger_types::{Key256, Scheme, WrappedCek};
use cryptoki::{mechanism::Mechanism, object::Attribute};
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

/// The attacks on a key pair that is no KEK.
pub(super) fn attack_pair(pool: &Pool, key: ObjectHandle) -> Result<(), TokenError> {
    // What was tried is told to nobody.
    let mut report = SelfTestReport { scheme: Scheme::EcdhEsA256Kw, checks: Vec::new() };
    let session = pool.writer()?;
    carrying::gives_nothing(pool, &session, key, &mut report)?;
    carrying::carry_out(pool, key, &mut report)
}

impl SelfTestReport {
    /// Which attributes the module took; what it does not know, only the attacks have checked.
    pub(super) fn note_strictness(&mut self, strictness: Strictness) {
        let outcome = match strictness {
            Strictness::Full => "all known",
            Strictness::WithoutMechanisms => "all but ALLOWED_MECHANISMS",
            Strictness::WithoutPublicUsages => "all but the public half's usages",
            Strictness::WithoutCopyable => "all but ALLOWED_MECHANISMS and COPYABLE",
            Strictness::WithoutAny => "all but ALLOWED_MECHANISMS, COPYABLE and the public half's usages",
        };
        self.note("attributes asked for and read back", outcome);
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
    carrying::shows_its_value(&token.pool, &session, key, report)?;
    wrap_itself(token, &session, key, report)?;
    drop(session);
    carrying::wrap_under_a_known_key(&token.pool, key, report)?;
    if token.description.scheme == Scheme::A256Kw {
        decrypt_with_the_wrapping_key(token, key, report)?;
    }
    if !token.description.scheme.is_symmetric() {
        return carrying::carry_out(&token.pool, key, report);
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

fn set_later(session: &Session, key: ObjectHandle, attack: &Attribute) -> Result<(), TokenError> {
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

fn copy_with(session: &Session, key: ObjectHandle, attack: &Attribute) -> Result<(), TokenError> {
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
    for mechanism in carrying::key_wraps(token.pool.module()) {
        let mut out = Zeroizing::new([0; 4096]);
        let (call, key) = (Call::numbered(mechanism, &[]), key.handle());
        let wrapped = raw.wrap(session.handle(), call, key, key, out.as_mut_slice());
        report.must_fail("wrap the key by itself", "it wraps an unextractable key by itself", &wrapped)?;
    }
    Ok(())
}
