//! What the driver stands on goes away under it: login, sessions, module, key, token.

use crate::lab::{CONTEXT, Counting, Lab, access, class_of, fresh, key, objects};
use claviger_token::{Access, PinPrompt, PinSource, TokenError};
use claviger_types::{OsEntropy, Pin, Scheme, SecretBytes};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags},
    mechanism::Mechanism,
    object::Attribute,
};
use softhsm_fixtures::Provider;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

pub(crate) fn logout(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    assert_eq!(lab.pin.asked(), 1);
    lab.lose_login();
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_eq!(lab.pin.asked(), 2);
    lab.lose_login();
    // However many threads meet the loss, one logs in.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(key(&token, &wrapped).same_as(&cek));
                }
            });
        }
    });
    assert_eq!(lab.pin.asked(), 3);
}

pub(crate) fn all_sessions_closed(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    for _ in 0..3 {
        close_all_sessions(lab);
        assert!(key(&token, &wrapped).same_as(&cek));
        let again = token.wrap(&cek, CONTEXT).unwrap();
        assert!(key(&token, &again).same_as(&cek));
    }
    assert_eq!(lab.pin.asked(), 4);
}

/// `cryptoki` has no `C_CloseAllSessions`.
#[allow(unsafe_code)]
fn close_all_sessions(lab: &Lab<'_>) {
    let slot = lab.beside().get_session_info().unwrap().slot_id();
    // SAFETY: the driver has loaded and initialised this module; the function takes a slot and gives a number.
    let rv = unsafe {
        let library = cryptoki_sys::Pkcs11::new(lab.instance.module()).unwrap();
        let mut list = std::ptr::null_mut();
        assert_eq!(library.C_GetFunctionList(&raw mut list), cryptoki_sys::CKR_OK);
        (*list).C_CloseAllSessions.unwrap()(slot.into())
    };
    assert_eq!(rv, cryptoki_sys::CKR_OK);
}

pub(crate) fn module_finalised_and_initialised_again(lab: &Lab<'_>) {
    let token = lab.generate(lab.scheme());
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    lab.second_handle().finalize().unwrap();
    assert!(key(&token, &wrapped).same_as(&cek), "finalised");

    // Keeps the driver from finalising the module with the end of `token`.
    let keeper = lab.open(&token).unwrap();
    let other = lab.second_handle();
    lab.second_handle().finalize().unwrap();
    other.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    // A session of somebody else's that has the number of one of the driver's.
    let theirs = lab.beside();
    assert!(key(&token, &wrapped).same_as(&cek), "finalised and initialised");
    drop(token);
    assert!(theirs.get_session_info().is_ok(), "the driver closed a session that is not its own");
    drop(keeper);
}

/// A PIN that can be had once, as from a prompt.
struct OneShot(AtomicBool);

impl PinSource for OneShot {
    fn pin(&self, _: &PinPrompt) -> Result<Pin, TokenError> {
        if self.0.swap(true, Ordering::SeqCst) {
            return Err(TokenError::PinUnavailable { reason: "asked twice".to_owned() });
        }
        Ok(Pin::new(SecretBytes::copy_of(softhsm_fixtures::PIN.as_bytes())))
    }
}

pub(crate) fn a_one_shot_pin_source_is_enough_without_a_loss(lab: &Lab<'_>) {
    let made = lab.generate(lab.scheme());
    let description = made.describe().clone();
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    drop(made);
    if lab.instance.provider() == Provider::YubiKey {
        // A card has its login of its own, and keeps it for some seconds.
        lab.lose_login();
    }

    let access = Access::new(Arc::new(OneShot(AtomicBool::new(false))), Arc::new(OsEntropy));
    let profile = &description.profile;
    let (recipient, scheme) = (description.recipient, description.scheme);
    let token = lab.driver.open(&lab.uri, &access, recipient, scheme, profile).unwrap();
    let mut changed = wrapped.clone();
    changed.ciphertext[7] ^= 4;
    for _ in 0..3 {
        assert!(matches!(token.unwrap(&changed, CONTEXT), Err(TokenError::CorruptWrappedKey)));
        assert!(key(&token, &wrapped).same_as(&cek));
    }
    // Only a login that is really lost needs another PIN, and without one the loss is named, not hidden.
    lab.lose_login();
    let outcome = token.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::PinUnavailable { .. })), "{outcome:?}");
}

pub(crate) fn a_refused_pin_is_not_tried_again_after_a_loss(lab: &Lab<'_>) {
    // The PIN was changed while the driver was logged in: its source now has a wrong one.
    let token = lab.generate(lab.scheme());
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    let description = token.describe().clone();
    let wrong = Counting::new("000000");
    let (recipient, scheme) = (description.recipient, description.scheme);
    // While the login stands, no PIN is asked for.
    let second = lab.driver.open(&lab.uri, &access(&wrong), recipient, scheme, &description.profile).unwrap();
    assert_eq!(wrong.asked(), 0);
    lab.lose_login();
    for _ in 0..3 {
        let outcome = second.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::PinIncorrect { .. })), "{outcome:?}");
        assert_eq!(wrong.asked(), 1);
    }
}

pub(crate) fn key_destroyed_elsewhere(lab: &Lab<'_>, scheme: Scheme) {
    let token = lab.generate(scheme);
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    let beside = lab.beside();
    let [kek] = objects(&beside, class_of(scheme))[..] else { panic!("not one key") };
    beside.destroy_object(kek).unwrap();
    for _ in 0..2 {
        let outcome = token.unwrap(&wrapped, CONTEXT);
        assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    }
}

/// The key was replaced by another under the same id. That makes no blob corrupt.
pub(crate) fn another_key_in_its_place(lab: &Lab<'_>) {
    let scheme = lab.scheme();
    let token = lab.generate(scheme);
    let wrapped = token.wrap(&fresh(), CONTEXT).unwrap();
    let beside = lab.beside();
    let [kek] = objects(&beside, class_of(scheme))[..] else { panic!("not one key") };
    beside.destroy_object(kek).unwrap();
    let named = [Attribute::Token(true), Attribute::Id(token.describe().recipient.as_bytes().to_vec())];
    let with = |more: &[Attribute]| [&named[..], more].concat();
    if scheme == Scheme::A256Kw {
        let template = with(&[
            Attribute::Private(true),
            Attribute::ValueLen(32.into()),
            Attribute::Wrap(true),
            Attribute::Unwrap(true),
        ]);
        beside.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    } else {
        let public = with(&[Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])]);
        let private = with(&[Attribute::Private(true), Attribute::Decrypt(true)]);
        beside.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
    }
    let outcome = token.unwrap(&wrapped, CONTEXT);
    assert!(matches!(outcome, Err(TokenError::ModuleFailed { .. })), "{outcome:?}");
}

/// In each module's way: files moved elsewhere, a server or a resource manager ended and started again.
pub(crate) fn a_token_is_pulled_and_put_back(lab: &Lab<'_>) {
    let token = lab.generate(lab.scheme());
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    lab.instance.remove();
    for _ in 0..2 {
        match token.unwrap(&wrapped, CONTEXT) {
            Err(TokenError::TokenAbsent { .. }) => {}
            // Without its resource manager the module does not even begin.
            Err(TokenError::ModuleFailed { function, .. })
                if function == "C_Initialize" && lab.instance.provider() == Provider::Tpm => {}
            outcome => panic!("{outcome:?}"),
        }
    }
    lab.instance.put_back();
    assert!(key(&token, &wrapped).same_as(&cek));
    assert_eq!(lab.pin.asked(), 2);
}

/// A module that has all it needs in memory, or in an open file, does not notice.
pub(crate) fn a_token_that_is_pulled_goes_on(lab: &Lab<'_>) {
    let token = lab.generate(lab.scheme());
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    lab.instance.remove();
    assert!(key(&token, &wrapped).same_as(&cek));
    lab.instance.put_back();
    assert!(key(&token, &wrapped).same_as(&cek));
    assert!(key(&lab.open(&token).unwrap(), &wrapped).same_as(&cek));
    assert_eq!(lab.pin.asked(), 1);
}
