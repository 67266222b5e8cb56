//! The KEK itself: its attributes, its self-test, its end.

use crate::lab::{CONTEXT, Lab, class_of, fresh, has, has_one_mechanism, key, objects};
use claviger_token::{NewKek, PivKek, SelfTestCheck, TokenError};
use claviger_types::{OsEntropy, RecipientId, Scheme};
use cryptoki::{
    mechanism::Mechanism,
    object::{Attribute, ObjectClass},
    session::Session,
};
use softhsm_fixtures::Provider;

const KEYS: [ObjectClass; 3] = [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY];

/// Written anew from the design, not taken from the driver's template.
pub(crate) fn attributes_are_as_the_template_says(lab: &Lab<'_>, scheme: Scheme) {
    let new = NewKek {
        recipient: RecipientId::random(&OsEntropy).unwrap(),
        label: "the master key".to_owned(),
        scheme: Some(scheme),
        allow_sha1: false,
        piv: PivKek::default(),
    };
    let (token, _) = lab.driver.generate(&lab.uri, &lab.access, &new).unwrap();
    assert_eq!(token.describe().key_label, "the master key");
    let beside = lab.beside();
    let [kek] = objects(&beside, class_of(scheme))[..] else { panic!("not one key") };
    let is = |attribute: &Attribute| has(lab, &beside, kek, attribute);
    is(&Attribute::Token(true));
    is(&Attribute::Private(true));
    is(&Attribute::Sensitive(true));
    is(&Attribute::AlwaysSensitive(true));
    is(&Attribute::Extractable(false));
    is(&Attribute::NeverExtractable(true));
    is(&Attribute::Modifiable(false));
    is(&Attribute::Copyable(false));
    is(&Attribute::Local(true));
    is(&Attribute::Destroyable(true));
    is(&Attribute::Id(new.recipient.as_bytes().to_vec()));
    is(&Attribute::Label(b"the master key".to_vec()));
    let oaep = matches!(scheme, Scheme::RsaOaepSha256 | Scheme::RsaOaepSha1);
    is(&Attribute::Decrypt(scheme == Scheme::A256Gcm || oaep));
    is(&Attribute::Unwrap(scheme == Scheme::A256Kw));
    is(&Attribute::Derive(scheme == Scheme::EcdhEsA256Kw));
    is(&Attribute::Sign(false));
    if scheme.is_symmetric() {
        is(&Attribute::ValueLen(32.into()));
        is(&Attribute::Encrypt(scheme == Scheme::A256Gcm));
        is(&Attribute::Wrap(scheme == Scheme::A256Kw));
        is(&Attribute::Verify(false));
    } else {
        is(&Attribute::SignRecover(false));
        assert_eq!(objects(&beside, ObjectClass::PUBLIC_KEY).len(), 1);
    }
    has_one_mechanism(lab, &beside, kek);
}

pub(crate) fn the_preferred_scheme_is(lab: &Lab<'_>, scheme: Scheme) {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let new = NewKek {
        recipient,
        label: "claviger".to_owned(),
        scheme: None,
        allow_sha1: false,
        piv: PivKek::default(),
    };
    let generate = |new: &NewKek| lab.driver.generate(&lab.uri, &lab.access, new);
    let (token, report) = if scheme == Scheme::RsaOaepSha1 {
        // Only when it is asked for.
        let outcome = generate(&new);
        assert!(matches!(outcome, Err(TokenError::NoScheme { .. })), "{outcome:?}");
        generate(&NewKek { allow_sha1: true, ..new }).unwrap()
    } else {
        generate(&new).unwrap()
    };
    assert_eq!(token.describe().scheme, scheme);
    assert_eq!(report.scheme, scheme);
    let again = token.self_test().unwrap();
    // By then the PIN was given.
    let differs = |check: &SelfTestCheck| check.name == "use without the PIN";
    let alike =
        |checks: Vec<SelfTestCheck>| checks.into_iter().filter(|check| !differs(check)).collect::<Vec<_>>();
    let (first, again) = (alike(report.checks), alike(again.checks));
    assert!(!again.is_empty() && first.starts_with(&again), "{first:?}");
    assert_eq!(lab.count(class_of(scheme)), 1, "the self-test leaves keys behind");
}

/// SoftHSM knows OAEP with SHA-1 only.
pub(crate) fn oaep_sha256_does_not_work_and_leaves_nothing(lab: &Lab<'_>) {
    let outcome = lab.try_generate(Some(Scheme::RsaOaepSha256));
    let Err(TokenError::NoScheme { tried }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(&tried[..], [one] if one.contains("CKR_ARGUMENTS_BAD")), "{tried:?}");
    let _login = lab.generate(Scheme::A256Kw);
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
        assert!(objects(&lab.beside(), class).is_empty());
    }
}

/// A strict key, as somebody careless would make it: `weakness` overrides some attributes.
fn make_weak(session: &Session, scheme: Scheme, weakness: &[Attribute]) -> RecipientId {
    let recipient = RecipientId::random(&OsEntropy).unwrap();
    let key_wrap = scheme == Scheme::A256Kw;
    let mut template = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Modifiable(false),
        Attribute::Copyable(false),
        Attribute::ValueLen(32.into()),
        Attribute::Wrap(key_wrap),
        Attribute::Unwrap(key_wrap),
        Attribute::Encrypt(!key_wrap),
        Attribute::Decrypt(!key_wrap),
        Attribute::Derive(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Id(recipient.as_bytes().to_vec()),
    ];
    for weak in weakness {
        template.retain(|attribute| attribute.attribute_type() != weak.attribute_type());
        template.push(weak.clone());
    }
    session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    recipient
}

pub(crate) fn the_self_test_finds_weak_keys(lab: &Lab<'_>) {
    use Attribute::{Copyable, Decrypt, Extractable, Modifiable, Sensitive};
    use Scheme::{A256Gcm, A256Kw};

    let _login = lab.generate(A256Kw);
    let beside = lab.beside();
    let mut weaknesses = vec![
        (A256Kw, vec![Modifiable(true)], "on a key that may not be modified"),
        (A256Kw, vec![Extractable(true)], "it wraps an unextractable key by itself"),
        (A256Kw, vec![Sensitive(false)], "the key has Sensitive(false)"),
        (A256Kw, vec![Sensitive(false), Extractable(true)], "it shows the value"),
        (A256Kw, vec![Decrypt(true)], "its wrapping key decrypts"),
        (A256Gcm, vec![Extractable(true)], "under a key that the caller knows"),
        (A256Gcm, vec![Modifiable(true)], "on a key that may not be modified"),
    ];
    // SoftHSM gives a copy of an unmodifiable key no more than the key has.
    if lab.instance.provider() == Provider::Kryoptic {
        weaknesses.push((A256Kw, vec![Copyable(true)], "it copies a key that may not be copied"));
    }
    for (scheme, weakness, finding) in weaknesses {
        let recipient = make_weak(&beside, scheme, &weakness);
        let token = lab.open_as(recipient, scheme, "").unwrap();
        let outcome = token.self_test();
        let Err(TokenError::Refused { finding: found }) = outcome else {
            panic!("{weakness:?}: {outcome:?}")
        };
        assert!(found.contains(finding), "{scheme} {weakness:?}: {found}");
        token.destroy_key().unwrap();
    }
    // The same keys without a weakness pass, so it is the weakness that was found.
    for scheme in [A256Kw, A256Gcm] {
        let recipient = make_weak(&beside, scheme, &[]);
        lab.open_as(recipient, scheme, "").unwrap().self_test().unwrap();
    }
}

pub(crate) fn a_destroyed_key_is_gone(lab: &Lab<'_>, scheme: Scheme) {
    let keeper = lab.generate(lab.second_scheme());
    let token = lab.generate(scheme);
    let (recipient, profile) = (token.describe().recipient, token.describe().profile.clone());
    token.destroy_key().unwrap();
    let outcome = lab.open_as(recipient, scheme, &profile);
    assert!(matches!(outcome, Err(TokenError::KeyMissing { .. })), "{outcome:?}");
    let left: usize = KEYS.iter().map(|class| lab.count(*class)).sum();
    // A card has pairs alone, and counts them once.
    let whole = keeper.describe().scheme.is_symmetric() || lab.instance.provider() == Provider::YubiKey;
    let due = if whole { 1 } else { 2 };
    assert_eq!(left, due, "a half stays, or another key went with it");
    let cek = fresh();
    assert!(key(&keeper, &keeper.wrap(&cek, CONTEXT).unwrap()).same_as(&cek));
}

pub(crate) fn a_lost_profile_is_probed_again(lab: &Lab<'_>) {
    let scheme = lab.scheme();
    let token = lab.generate(scheme);
    let cek = fresh();
    let wrapped = token.wrap(&cek, CONTEXT).unwrap();
    for profile in ["", "from another world", "1 unwrap=plain", "1 unwrap=? import=? point=?"] {
        let again = lab.open_as(token.describe().recipient, scheme, profile).unwrap();
        let start = if lab.instance.provider() == Provider::YubiKey { "piv1 slot=9d" } else { "1 unwrap=" };
        assert!(again.describe().profile.starts_with(start), "{}", again.describe().profile);
        assert!(key(&again, &wrapped).same_as(&cek));
    }
}

/// A key pair whose private half can be had.
pub(crate) fn the_self_test_finds_weak_pairs(lab: &Lab<'_>, scheme: Scheme) {
    let _login = lab.generate(scheme);
    let beside = lab.beside();
    for (sensitive, extractable) in [(true, true), (false, false), (false, true), (true, false)] {
        let recipient = RecipientId::random(&OsEntropy).unwrap();
        let named = [Attribute::Token(true), Attribute::Id(recipient.as_bytes().to_vec())];
        let public = [
            &named[..],
            &[
                Attribute::ModulusBits(2048.into()),
                Attribute::PublicExponent(vec![1, 0, 1]),
                Attribute::Encrypt(true),
            ],
        ]
        .concat();
        let private = [
            &named[..],
            &[
                Attribute::Private(true),
                Attribute::Sensitive(sensitive),
                Attribute::Extractable(extractable),
                Attribute::Modifiable(false),
                Attribute::Decrypt(true),
                Attribute::Sign(false),
                Attribute::Unwrap(false),
            ],
        ]
        .concat();
        // Which openCryptoki does not know.
        let copyable: &[_] = match lab.instance.provider() {
            Provider::OpenCryptoki => &[],
            _ => &[Attribute::Copyable(false)],
        };
        let private = [&private[..], copyable].concat();
        beside.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).unwrap();
        let token = lab.open_as(recipient, scheme, "").unwrap();
        let outcome = token.self_test();
        let weak = !sensitive || extractable;
        assert_eq!(
            matches!(outcome, Err(TokenError::Refused { .. })),
            weak,
            "SENSITIVE {sensitive}, EXTRACTABLE {extractable}: {outcome:?}"
        );
        token.destroy_key().unwrap();
    }
}
