//! What `modules.toml` can say of a vendor's module: numbers of its own for mechanisms, and an IV that it insists on choosing.
//! Played by the faulty module, over a real one that keeps to the standard.

use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::{
    IvSource, Kek, Mechanisms, ModuleSettings, ModuleSpec, TokenError, pkcs11::Pkcs11Driver,
};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use cryptoki::{mechanism::Mechanism, object::Attribute};
use cryptoki_sys::{
    CKM_AES_GCM, CKM_AES_KEY_WRAP, CKM_ECDH1_DERIVE, CKM_RSA_PKCS_OAEP, CKR_ATTRIBUTE_TYPE_INVALID,
};
use softhsm_fixtures::{Action, At, Faults};
use std::sync::Arc;

const VENDORS: u32 = 0x8000_0171;

/// A vendor's module, as these settings describe it.
fn vendors<'a>(lab: &Lab<'a>, faults: &Faults, settings: ModuleSettings) -> Lab<'a> {
    let module = ModuleSpec { settings, ..ModuleSpec::new(faults.module()) };
    Lab { driver: Arc::new(Pkcs11Driver::new(module)), ..Lab::new(lab.instance) }
}

/// A module that knows this mechanism by the vendor's number alone, and knows nothing of `CKA_ALLOWED_MECHANISMS`.
fn renumber(faults: &Faults, functions: &[&'static str], standard: u64) {
    let rename = Action::Mechanism { vendor: VENDORS.into(), standard };
    let mut all: Vec<_> = functions.iter().map(|function| (*function, At::Every, rename)).collect();
    // Of a pair, a template without the public half's usages is tried before that without the mechanisms.
    for (function, call) in [("C_GenerateKey", 1), ("C_GenerateKeyPair", 1), ("C_GenerateKeyPair", 2)] {
        all.push((function, At::Nth(call), Action::Return(CKR_ATTRIBUTE_TYPE_INVALID)));
    }
    faults.inject_all(&all);
}

/// What a key wraps is what the standard says: the same key through the module as it is opens it, and the other way round.
fn agrees_with_the_standard(lab: &Lab<'_>, faults: &Faults, token: &Arc<dyn Kek>) {
    let cek = fresh();
    let theirs = token.wrap(&cek, CONTEXT).unwrap();
    faults.clear();
    let it = token.describe();
    let plain = vendors(lab, faults, ModuleSettings::default());
    let plain = plain.open_as(it.recipient, it.scheme, &it.profile).unwrap();
    assert!(key(&plain, &theirs).same_as(&cek));
}

pub(crate) fn its_own_numbers(lab: &Lab<'_>) {
    let faults = Faults::of(lab.instance);
    let number = Some(VENDORS);
    for (scheme, functions, standard, mechanisms) in [
        (
            Scheme::A256Kw,
            &["C_WrapKey", "C_UnwrapKey"][..],
            CKM_AES_KEY_WRAP,
            Mechanisms { key_wrap: number, ..Mechanisms::default() },
        ),
        (
            Scheme::A256Gcm,
            &["C_EncryptInit", "C_DecryptInit"],
            CKM_AES_GCM,
            Mechanisms { gcm: number, ..Mechanisms::default() },
        ),
        (
            Scheme::EcdhEsA256Kw,
            &["C_DeriveKey"],
            CKM_ECDH1_DERIVE,
            Mechanisms { ecdh: number, ..Mechanisms::default() },
        ),
        (
            Scheme::RsaOaepSha256,
            &["C_DecryptInit"],
            CKM_RSA_PKCS_OAEP,
            Mechanisms { oaep: number, ..Mechanisms::default() },
        ),
    ] {
        renumber(&faults, functions, standard);
        let outcome = vendors(lab, &faults, ModuleSettings::default()).try_generate(Some(scheme));
        let Err(TokenError::NoScheme { tried }) = outcome else { panic!("{scheme}: {outcome:?}") };
        assert!(tried.iter().all(|one| one.contains("CKR_MECHANISM_INVALID")), "{tried:?}");

        renumber(&faults, functions, standard);
        let told = vendors(lab, &faults, ModuleSettings { mechanisms, ..ModuleSettings::default() });
        let token = told.generate(scheme);
        agrees_with_the_standard(lab, &faults, &token);
    }
}

/// The self-test tries the vendor's number, too: by it a careless key would come out.
pub(crate) fn its_own_number_is_tried_in_attacks(lab: &Lab<'_>) {
    let faults = Faults::of(lab.instance);
    renumber(&faults, &["C_WrapKey", "C_UnwrapKey"], CKM_AES_KEY_WRAP);
    let mechanisms = Mechanisms { key_wrap: Some(VENDORS), ..Mechanisms::default() };
    let told = vendors(lab, &faults, ModuleSettings { mechanisms, ..ModuleSettings::default() });
    let _login = told.generate(Scheme::A256Kw);
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let careless = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(true),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::ValueLen(32.into()),
        Attribute::Wrap(true),
        Attribute::Unwrap(true),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Id(recipient.as_bytes().to_vec()),
    ];
    told.beside().generate_key(&Mechanism::AesKeyGen, &careless).unwrap();
    let outcome = told.open_as(recipient, Scheme::A256Kw, "").unwrap().self_test();
    let Err(TokenError::Refused { finding }) = outcome else { panic!("{outcome:?}") };
    assert!(finding.contains("wraps an unextractable key by itself"), "{finding}");
}

pub(crate) fn its_own_iv(lab: &Lab<'_>) {
    let faults = Faults::of(lab.instance);
    let tokens = || ModuleSettings { iv: IvSource::Token, ..ModuleSettings::default() };
    // Told of it or not, the IV that comes back is the one that was used.
    for settings in [tokens(), ModuleSettings::default()] {
        faults.inject("C_EncryptInit", At::Every, Action::OwnIv);
        let token = vendors(lab, &faults, settings).generate(Scheme::A256Gcm);
        let ivs: Vec<_> = (0..3).map(|_| token.wrap(&fresh(), CONTEXT).unwrap().iv.unwrap()).collect();
        assert!(ivs[0] != ivs[1] && ivs[1] != ivs[2] && !ivs.contains(&[0; 12]), "{ivs:?}");
        agrees_with_the_standard(lab, &faults, &token);
    }

    // A module that takes the empty room for an IV would use the same one each time.
    faults.clear();
    let outcome = vendors(lab, &faults, tokens()).try_generate(Some(Scheme::A256Gcm));
    let Err(TokenError::NoScheme { tried }) = outcome else { panic!("{outcome:?}") };
    assert!(tried[0].contains("C_EncryptInit"), "{tried:?}");
}
