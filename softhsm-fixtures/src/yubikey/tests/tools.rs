//! Yubico's own tools, and OpenSC's.

use super::{apdu, generate_in, piv_tool, tool};
use crate::{KeySpec, PIN, Provider, in_own_process};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::{
        Mechanism,
        elliptic_curve::{EcKdf, Ecdh1DeriveParams},
    },
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::UserType,
    types::AuthPin,
};
use std::{collections::HashSet, fs, time::Instant};

#[test]
fn all_tools_see_both_keys_and_tell_them_apart() {
    let instance = Provider::YubiKey.instance();
    instance.add_yubikey(&KeySpec::default());
    let publics = [0, 1].map(|key| generate_in(&instance, key, "9d", "once", "never"));
    assert_ne!(fs::read(&publics[0]).unwrap(), fs::read(&publics[1]).unwrap());

    let list = tool(&instance, "ykman", &["list"]);
    let module = instance.module().display().to_string();
    let slots = tool(&instance, "pkcs11-tool", &["--module", &module, "--list-slots"]);
    for (key, serial) in [(0, "11111111"), (1, "22222222")] {
        assert_eq!(instance.yubikey(key).serial().to_string(), serial);
        assert!(list.contains(&format!("YubiKey 5A (5.4.3) [OTP+FIDO+CCID] Serial: {serial}")), "{list}");
        let info = tool(&instance, "ykman", &["--device", serial, "piv", "info"]);
        assert!(info.contains("PIV version: 5.4.3") && info.contains("PIN tries remaining: 3/3"), "{info}");
        let status = piv_tool(&instance, key, &["-a", "status"]);
        assert!(status.contains(&format!("Serial Number:\t{serial}")), "{status}");
        assert!(slots.contains(&format!("token label        : YubiKey PIV #{serial}")), "{slots}");
    }
}

#[test]
fn each_key_is_in_a_reader_of_its_own() {
    let instance = Provider::YubiKey.instance();
    for _ in 1..4 {
        instance.add_yubikey(&KeySpec::default());
    }
    let list = tool(&instance, "ykman", &["list", "--serials"]);
    let mut serials: Vec<&str> = list.lines().collect();
    serials.sort_unstable();
    assert_eq!(serials, ["11111111", "22222222", "33333333", "44444444"]);
    let readers = tool(&instance, "opensc-tool", &["--list-readers"]);
    for key in 0..4 {
        assert_eq!(readers.matches(&instance.yubikey(key).reader()).count(), 1, "{readers}");
    }
}

#[test]
fn every_slot_takes_a_key_again_and_again() {
    let instance = Provider::YubiKey.instance();
    let slots = ["9a", "9c", "9d", "9e"].map(str::to_owned).into_iter();
    let slots: Vec<String> = slots.chain((0x82..=0x95).map(|slot: u8| format!("{slot:02x}"))).collect();
    let digest = [0x5a; 32];
    let to_sign = instance.home().join("digest");
    fs::write(&to_sign, digest).unwrap();
    let signature = instance.home().join("signature");
    let mut keys = HashSet::new();
    for _ in 0..2 {
        for slot in &slots {
            let public = super::generate(&instance, slot, "never", "never");
            assert!(keys.insert(fs::read(&public).unwrap()), "{slot}");
            let sign = format!("008711{slot}267C2482008120{}00", apdu::hex(&digest));
            let reply = apdu::send(&instance, &[apdu::SELECT, &sign]).remove(1);
            assert_eq!(reply.1, 0x9000, "{slot}");
            fs::write(&signature, &reply.0[4..]).unwrap();
            let [public, digest, signature] =
                [&public, &to_sign, &signature].map(|path| path.display().to_string());
            let verify =
                ["pkeyutl", "-verify", "-pubin", "-inkey", &public, "-in", &digest, "-sigfile", &signature];
            assert!(tool(&instance, "openssl", &verify).contains("Verified"), "{slot}");
        }
    }
    assert_eq!(keys.len(), 48);
}

#[test]
fn an_attestation_leads_to_the_root() {
    let instance = Provider::YubiKey.instance();
    super::generate(&instance, "9d", "once", "cached");
    let leaf = super::file(&instance, "leaf.pem", &piv_tool(&instance, 0, &["-a", "attest", "-s", "9d"]));
    let between = piv_tool(&instance, 0, &["-a", "read-certificate", "-s", "f9"]);
    let between = super::file(&instance, "f9.pem", &between);
    let root = instance.yubikey(0).attestation_root();
    let [leaf, between, root] = [&leaf, &between, &root].map(|path| path.display().to_string());
    let verify = ["verify", "-x509_strict", "-CAfile", &root, "-untrusted", &between, &leaf];
    // Strictly it lacks key identifiers, as Yubico's do.
    assert!(tool(&instance, "openssl", &[&verify[..1], &verify[2..]].concat()).contains("OK"));
    let text = tool(&instance, "openssl", &["x509", "-in", &leaf, "-noout", "-subject", "-issuer"]);
    assert!(text.contains("CN = YubiKey PIV Attestation 9d"), "{text}");
    let asn1 = tool(&instance, "openssl", &["asn1parse", "-in", &leaf]);
    // Bytes themselves; only the serial number is an INTEGER.
    for (id, value) in [("3.3", "050403"), ("3.7", "020400A98AC7"), ("3.8", "0203"), ("3.9", "01")] {
        let extension = format!(":1.3.6.1.4.1.41482.{id}");
        let after = asn1.lines().skip_while(|line| !line.ends_with(&extension)).nth(1);
        let line = after.unwrap_or_else(|| panic!("no {id} in {asn1}"));
        assert!(line.ends_with(&format!("[HEX DUMP]:{value}")), "{id}: {line}");
    }
}

#[test]
fn ykman_sets_a_key_up() {
    let instance = Provider::YubiKey.instance();
    // It counts readers without a key, and wants to be told.
    let piv = |arguments: &[&str]| {
        tool(&instance, "ykman", &[&["--device", "11111111", "piv"], arguments].concat())
    };
    let key = "010203040506070801020304050607080102030405060708";
    let path = instance.home().join("public.pem").display().to_string();
    piv(&["keys", "generate", "-m", key, "-a", "ECCP256", "--pin-policy", "ALWAYS", "9a", &path]);
    assert!(fs::read_to_string(&path).unwrap().contains("BEGIN PUBLIC KEY"));
    piv(&["access", "change-pin", "-P", PIN, "-n", "654321"]);
    piv(&["access", "change-puk", "-p", "12345678", "-n", "87654321"]);
    piv(&["access", "unblock-pin", "-p", "87654321", "-n", "111111"]);
    piv(&["access", "set-retries", "-m", key, "-P", "111111", "-f", "5", "4"]);
    assert!(piv(&["info"]).contains("PIN tries remaining: 5/5"));
    // All ciphers of the management key, each from the one before.
    let mut before = key.to_owned();
    for (cipher, length) in [("AES128", 32), ("AES192", 48), ("AES256", 64), ("TDES", 48)] {
        let new = "0a1b2c3d4e5f60718293a4b5c6d7e8f9".repeat(2)[..length].to_owned();
        piv(&["access", "change-management-key", "-a", cipher, "-m", &before, "-n", &new]);
        piv(&["objects", "generate", "-m", &new, "-P", PIN, "chuid"]);
        before = new;
    }
    assert!(!piv(&["info"]).contains("CHUID:\tNo data available"));
}

#[test]
fn a_pkcs11_program_derives_what_openssl_does() {
    in_own_process(
        concat!(module_path!(), "::a_pkcs11_program_derives_what_openssl_does"),
        Provider::YubiKey,
        |instance| {
            let public = super::generate(instance, "9d", "once", "never");
            let (private, point) = apdu::outside(instance);
            let wanted = apdu::derive(&private, &public.display().to_string());

            let module = Pkcs11::new(instance.module()).unwrap();
            module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
            let slot = module.get_slots_with_token().unwrap()[0];
            assert_eq!(module.get_token_info(slot).unwrap().serial_number(), "11111111");
            assert_eq!(instance.uri(), "pkcs11:serial=11111111");
            let session = module.open_rw_session(slot).unwrap();
            session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).unwrap();
            let key = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(vec![3])];
            let key = session.find_objects(&key).unwrap()[0];
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::GENERIC_SECRET),
                Attribute::Sensitive(false),
                Attribute::Extractable(true),
                Attribute::ValueLen(32.into()),
            ];
            let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), &point));
            let begin = Instant::now();
            let derived = session.derive_key(&mechanism, key, &template).unwrap();
            println!("an ECDH took {:?}", begin.elapsed());
            let value = session.get_attributes(derived, &[AttributeType::Value]).unwrap();
            assert_eq!(value, [Attribute::Value(wanted)]);
        },
    );
}
