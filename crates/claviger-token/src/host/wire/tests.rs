use super::*;
use claviger_codec::{from_slice, to_secret_vec, to_vec};
use claviger_types::EntropyError;

fn secret() -> Secret {
    Secret(Zeroizing::new(vec![7; 32]))
}

fn description() -> KeyDescription {
    KeyDescription {
        recipient: RecipientId::from_bytes([1; 16]),
        scheme: Scheme::RsaOaepSha256,
        public_key: Some(crate::PublicKey::Rsa { modulus: vec![0xff; 256], exponent: vec![1, 0, 1] }),
        token_label: "a token; with = signs".to_owned(),
        token_serial: "0001".to_owned(),
        key_label: "claviger".to_owned(),
        profile: "1 unwrap=plain".to_owned(),
    }
}

fn asks() -> Vec<Ask> {
    let uri = || "pkcs11:token=a%20token;serial=0001?module-path=/lib/module.so".parse::<Uri>().unwrap();
    let (recipient, scheme, id) =
        (RecipientId::from_bytes([1; 16]), Scheme::A256Gcm, SignerId::from_bytes([2; 16]));
    let wrapped = WrappedCek {
        recipient,
        scheme,
        iv: Some([3; 12]),
        ephemeral: Some(EcPoint { x: [4; 32], y: [5; 32] }),
        ciphertext: vec![6; 48],
    };
    let piv = crate::PivKek { slot: Some("9d".to_owned()), existing: true, ..crate::PivKek::default() };
    let new = NewKek { recipient, label: "label".to_owned(), scheme: Some(scheme), allow_sha1: true, piv };
    let name = || "vault".to_owned();
    vec![
        Ask::Hello {
            version: VERSION,
            backend: crate::ModuleSpec::new("/lib/module.so").into(),
            sandbox: Sandbox { network: true, read: vec!["/a".into()], write: vec!["/b".into()] },
        },
        Ask::List,
        Ask::Generate { uri: uri(), new },
        Ask::Open { uri: uri(), recipient, scheme, profile: "1".to_owned() },
        Ask::Sibling { of: 1, recipient, scheme },
        Ask::GenerateSibling { of: 1, new: NewKey { recipient, label: "label".to_owned(), scheme } },
        Ask::DestroySibling { of: 1, recipient, scheme },
        Ask::Wrap { key: 1, cek: secret(), context: Bytes(vec![9]) },
        Ask::Unwrap { key: 1, wrapped, context: Bytes(Vec::new()) },
        Ask::SelfTest { key: 1 },
        Ask::DestroyKey { key: 1 },
        Ask::GenerateSigner { uri: uri(), id, label: "label".to_owned() },
        Ask::OpenSigner { uri: uri(), id },
        Ask::Sign { signer: 1, digest: Digest::of(b"text") },
        Ask::DestroySigner { signer: 1 },
        Ask::OpenAnchors { uri: uri() },
        Ask::AnchorsOf { key: 1 },
        Ask::ReadAnchor { anchors: 1, name: name() },
        Ask::WriteAnchor { anchors: 1, name: name(), value: Bytes(vec![1; 300]) },
        Ask::RemoveAnchor { anchors: 1, name: name() },
        Ask::Close { object: u64::MAX },
        Ask::Secret(secret()),
        Ask::NoSecret(TokenError::PinUnavailable { reason: "asked twice".to_owned() }),
        Ask::Owns { of: 1, recipient, scheme },
        #[cfg(feature = "piv")]
        Ask::PivKey { uri: uri(), recipient },
    ]
}

fn tellings() -> Vec<Told> {
    let prompt = PinPrompt {
        token_label: "lab".to_owned(),
        token_serial: "1".to_owned(),
        tries: crate::PinTries::Final,
        left: Some(1),
        kind: crate::PinKind::Piv,
    };
    let name = || TokenName { label: "lab".to_owned(), serial: "1".to_owned() };
    let report = || SelfTestReport {
        scheme: Scheme::A256Kw,
        checks: vec![crate::SelfTestCheck { name: "flipped bit".into(), outcome: "refused".to_owned() }],
    };
    let errors = [
        TokenError::PinIncorrect { tries_left: Some(1) },
        TokenError::PinLocked,
        TokenError::TokenAbsent { uri: "pkcs11:".to_owned(), present: vec!["pkcs11:token=a".to_owned()] },
        TokenError::CorruptWrappedKey,
        TokenError::ModuleFailed { function: "C_Sign".into(), ckr: "CKR_GENERAL_ERROR".to_owned() },
        TokenError::AnchorUnusable { name: "vault".to_owned(), reason: "too long".into() },
        TokenError::NoScheme { tried: vec!["A256KW: no".to_owned()] },
        TokenError::Entropy(EntropyError),
    ];
    let mut all: Vec<Told> = errors.into_iter().map(Told::Failed).collect();
    all.extend([
        Told::Ready { version: VERSION, unenforced: vec!["nothing".to_owned()] },
        Told::PinWanted(prompt),
        Told::ManagementKeyWanted(name()),
        Told::TouchWanted(name()),
        Told::Stayed { token: name(), slot: "9d".to_owned() },
        Told::Done,
        Told::Tokens(Vec::new()),
        Told::Key { key: 1, description: description(), report: Some(report()) },
        Told::Unwrapped(Some(secret())),
        Told::Unwrapped(None),
        Told::Report(report()),
        Told::Was(true),
        Told::Signer {
            signer: 1,
            id: SignerId::from_bytes([2; 16]),
            public_key: EcPoint { x: [1; 32], y: [2; 32] },
        },
        Told::Signature(Bytes(vec![1; 64])),
        Told::Anchors { anchors: 1, location: "token `lab`".to_owned() },
        Told::Values(vec![Bytes(vec![1]), Bytes(Vec::new())]),
        #[cfg(feature = "piv")]
        Told::PivKey(None),
        #[cfg(feature = "piv")]
        Told::PivKey(Some(Box::new(crate::piv::PivKeyInfo {
            slot: crate::piv::Slot::KEY_MANAGEMENT,
            pin_policy: crate::piv::PinPolicy::Once,
            touch_policy: crate::piv::TouchPolicy::Cached,
            firmware: crate::piv::Firmware { major: 5, minor: 4, patch: 3 },
            made_there: Some(true),
            management: crate::piv::ManagementAlgorithm::Aes192,
            management_is_default: Some(false),
            management_is_on_card: true,
            attestation: Some((vec![0x30, 0], vec![0x30, 0])),
        }))),
    ]);
    all
}

/// What is read from a frame is what was written, down to every error's text.
#[test]
fn everything_comes_over_as_it_was() {
    for ask in asks() {
        let shown = format!("{ask:?}");
        let bytes = to_secret_vec(&Request { number: 3, ask }).unwrap();
        let read: Request = from_slice(&bytes).unwrap();
        assert_eq!((read.number, format!("{:?}", read.ask)), (3, shown));
    }
    for told in tellings() {
        let shown = format!("{told:?}");
        let said = if let Told::Failed(error) = &told { error.to_string() } else { String::new() };
        let read: Reply = from_slice(&to_vec(&Reply { number: 1 << 40, told }).unwrap()).unwrap();
        assert_eq!(format!("{:?}", read.told), shown);
        if let Told::Failed(error) = read.told {
            assert_eq!(error.to_string(), said);
        }
    }
}

#[test]
fn secrets_come_over_whole_and_are_not_shown() {
    let bytes = to_secret_vec(&Request { number: 0, ask: Ask::Secret(secret()) }).unwrap();
    assert!(bytes.windows(32).any(|window| window == [7; 32]));
    let read: Request = from_slice(&bytes).unwrap();
    let shown = format!("{read:?}");
    assert!(shown.contains("Secret(..)") && !shown.contains('7'), "{shown}");
    let Ask::Secret(pin) = read.ask else { panic!("{shown}") };
    assert_eq!(pin.bytes().expose(), [7; 32]);
}

/// A URI that carries a PIN does not come over: it is refused where it is read.
#[test]
fn a_uri_in_a_frame_is_read_as_strictly_as_elsewhere() {
    let bytes = to_vec(&Request { number: 0, ask: Ask::OpenAnchors { uri: Uri::default() } }).unwrap();
    let plain = bytes.iter().position(|byte| *byte == b'p').unwrap();
    let mut bad = bytes.clone();
    bad[plain] = b'q';
    assert!(from_slice::<Request>(&bytes).is_ok() && from_slice::<Request>(&bad).is_err());
}
