//! What the card answers.

use super::{
    apdu::{PUK, SELECT, TRIES, VERIFY, WRONG, derive, ecdh, ecdh_with, hex, outside, send, statuses},
    failing_tool, generate, piv_tool, tool,
};
use crate::{Instance, KeySpec, Provider};

const METADATA: &str = "00F7009D00";
const MANAGEMENT: &str = "010203040506070801020304050607080102030405060708";

fn with(spec: &KeySpec) -> Instance {
    let instance = Provider::YubiKey.empty();
    instance.add_yubikey(spec);
    instance
}

#[test]
fn ecdh_is_openssls() {
    let instance = Provider::YubiKey.instance();
    let public = generate(&instance, "9d", "once", "never");
    let (private, point) = outside(&instance);
    let wanted = derive(&private, &public.display().to_string());
    let replies = send(&instance, &[SELECT, VERIFY, &ecdh("9D", &point)]);
    assert_eq!(replies[2], ([&[0x7c, 0x22, 0x82, 0x20], wanted.as_slice()].concat(), 0x9000));
}

#[test]
fn what_cannot_be_is_refused() {
    let instance = Provider::YubiKey.instance();
    generate(&instance, "9d", "once", "never");
    let (_, mut point) = outside(&instance);
    let good = ecdh("9D", &point);
    let (empty, wrong_algorithm) = (ecdh("82", &point), ecdh_with("14", "9D", &point));
    let short = ecdh("9D", &point[..64]);
    point[64] ^= 1;
    let off_curve = ecdh("9D", &point);
    let commands = [SELECT, &good, VERIFY, &empty, &wrong_algorithm, &short, &off_curve, &good];
    assert_eq!(
        statuses(&instance, &commands),
        [0x9000, 0x6982, 0x9000, 0x6a80, 0x6a80, 0x6a80, 0x6a80, 0x9000]
    );
    let commands = [SELECT, "00F7008200", "00CB3FFF055C035FC10500", "00990000", "00F60082"];
    assert_eq!(statuses(&instance, &commands), [0x9000, 0x6a88, 0x6a82, 0x6d00, 0x6d00]);
}

#[test]
fn a_pin_is_asked_for_as_the_slot_says() {
    let instance = Provider::YubiKey.instance();
    for (slot, policy) in [("9d", "never"), ("82", "once"), ("83", "always")] {
        generate(&instance, slot, policy, "never");
    }
    let (_, point) = outside(&instance);
    let [never, once, always] = ["9D", "82", "83"].map(|slot| ecdh(slot, &point));
    let commands = [SELECT, &never, &once, &always, VERIFY, &always, &always, &once, &never];
    let wanted = [0x9000, 0x9000, 0x6982, 0x6982, 0x9000, 0x9000, 0x6982, 0x9000, 0x9000];
    assert_eq!(statuses(&instance, &commands), wanted);
    // Selected again, also when it already is; another application; logged out.
    for forget in [SELECT, "00A4040008A000000527471117", "0020FF80"] {
        let commands = [SELECT, VERIFY, &once, forget, SELECT, &once];
        assert_eq!(statuses(&instance, &commands)[5], 0x6982, "{forget}");
    }
}

#[test]
fn wrong_pins_block_and_the_puk_unblocks() {
    let instance = Provider::YubiKey.instance();
    let commands =
        [SELECT, TRIES, WRONG, WRONG, VERIFY, TRIES, WRONG, TRIES, WRONG, WRONG, WRONG, VERIFY, TRIES];
    assert_eq!(
        statuses(&instance, &commands),
        [
            0x9000, 0x63c3, 0x63c2, 0x63c1, 0x9000, 0x9000, 0x63c2, 0x63c2, 0x63c1, 0x63c0, 0x6983, 0x6983,
            0x6983
        ]
    );
    let pin = send(&instance, &[SELECT, "00F7008000"]).remove(1).0;
    assert_eq!(pin, [1, 1, 0xff, 5, 1, 1, 6, 2, 3, 0]);
    // It becomes the PIN that was wrong before.
    assert_eq!(statuses(&instance, &[SELECT, PUK, WRONG, VERIFY]), [0x9000, 0x9000, 0x9000, 0x63c2]);
    let wrong_puk = "002C0080103837363534333231363534333231FFFF";
    let commands = [SELECT, wrong_puk, wrong_puk, wrong_puk, PUK];
    assert_eq!(statuses(&instance, &commands), [0x9000, 0x63c2, 0x63c1, 0x63c0, 0x6983]);
    assert_eq!(statuses(&instance, &[SELECT, WRONG, "00FB0000"]), [0x9000, 0x9000, 0x6985]);
    let commands = [SELECT, VERIFY, VERIFY, VERIFY, "00FB0000", VERIFY];
    assert_eq!(statuses(&instance, &commands), [0x9000, 0x63c2, 0x63c1, 0x63c0, 0x9000, 0x9000]);
}

#[test]
fn metadata_tell_what_a_key_is() {
    let instance = Provider::YubiKey.instance();
    let public = generate(&instance, "9d", "always", "cached");
    let (data, status) = send(&instance, &[SELECT, METADATA]).remove(1);
    assert_eq!(status, 0x9000);
    let point = super::apdu::point(&public.display().to_string(), true);
    let wanted = [&[1, 1, 0x11, 2, 2, 3, 3, 3, 1, 1, 4, 67, 0x86, 65], point.as_slice()].concat();
    assert_eq!(data, wanted);
    let management = send(&instance, &[SELECT, "00F7009B00"]).remove(1).0;
    assert_eq!(management, [1, 1, 3, 2, 2, 0, 1, 5, 1, 1]);

    let old = with(&KeySpec { firmware: Some("5.2.4"), ..KeySpec::default() });
    generate(&old, "9d", "once", "never");
    let replies = send(&old, &[SELECT, METADATA, "00FD0000"]);
    assert_eq!((replies[1].1, replies[2].0.as_slice()), (0x6d00, [5, 2, 4].as_slice()));
}

#[test]
fn an_imported_key_says_so_and_is_not_attested() {
    let instance = Provider::YubiKey.instance();
    let (private, point) = outside(&instance);
    piv_tool(&instance, 0, &["-a", "import-key", "-s", "9d", "-i", &private, "--pin-policy=never"]);
    let data = send(&instance, &[SELECT, METADATA]).remove(1).0;
    assert_eq!(data[..11], [1, 1, 0x11, 2, 2, 1, 1, 3, 1, 2, 4]);
    assert_eq!(data[14..], point);
    let said = failing_tool(&instance, "yubico-piv-tool", &["-a", "attest", "-s", "9d"]);
    assert!(said.contains("Failed"), "{said}");
    let secret = send(&instance, &[SELECT, &ecdh("9D", &point)]).remove(1);
    assert_eq!((secret.0.len(), secret.1), (36, 0x9000));
}

#[test]
fn from_firmware_5_7_keys_move_and_go() {
    let instance = with(&KeySpec { firmware: Some("5.7.1"), management: Some("3des"), ..KeySpec::default() });
    generate(&instance, "9d", "never", "never");
    let (_, point) = outside(&instance);
    let [here, there] = ["9D", "82"].map(|slot| ecdh(slot, &point));
    let before = send(&instance, &[SELECT, &here]).remove(1).0;
    // It wants the management key.
    assert_eq!(statuses(&instance, &[SELECT, "00F6829D"])[1], 0x6982);
    assert_eq!(administer(&instance, &["F6829D", "F6829D"]), "9000 6a88");
    let replies = send(&instance, &[SELECT, &here, &there, METADATA]);
    assert_eq!(replies[2].0, before);
    assert_eq!((replies[1].1, replies[2].1, replies[3].1), (0x6a80, 0x9000, 0x6a88));
    generate(&instance, "9d", "never", "never");
    let replies = send(&instance, &[SELECT, &here, &there]);
    assert_ne!(replies[1].0, before);
    assert_eq!(replies[2].0, before);
    assert_eq!(administer(&instance, &["F6829D", "F6FF9D", "F6FF9D", "F6FF9B"]), "6985 9000 6a88 6a86");
    assert_eq!(statuses(&instance, &[SELECT, &here, METADATA, &there]), [0x9000, 0x6a80, 0x6a88, 0x9000]);
    generate(&instance, "9d", "never", "never");
}

/// The status words of these commands (instruction and parameters) after Yubico's library gave the management key.
fn administer(instance: &Instance, commands: &[&str]) -> String {
    let script = "import sys\n\
        from ykman.device import connect_to_device\n\
        from yubikit.core.smartcard import ApduError, SmartCardConnection\n\
        from yubikit.piv import MANAGEMENT_KEY_TYPE, PivSession\n\
        connection = connect_to_device(int(sys.argv[1]), [SmartCardConnection])[0]\n\
        piv = PivSession(connection)\n\
        piv.authenticate(MANAGEMENT_KEY_TYPE.TDES, bytes.fromhex(sys.argv[2]))\n\
        for command in sys.argv[3:]:\n    \
            ins, p1, p2 = bytes.fromhex(command)\n    \
            try:\n        \
                piv.protocol.send_apdu(0, ins, p1, p2)\n        \
                print('9000')\n    \
            except ApduError as error:\n        \
                print('%04x' % error.sw)\n";
    let serial = instance.yubikey(0).serial().to_string();
    let said = tool(instance, "/usr/bin/python3", &[&["-c", script, &serial, MANAGEMENT], commands].concat());
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn new_firmware_comes_with_aes() {
    for (firmware, management, algorithm) in
        [(Some("5.7.1"), None, 0x0a), (None, Some("aes128"), 0x08), (None, Some("aes256"), 0x0c)]
    {
        let instance = with(&KeySpec { serial: Some(987_654), firmware, management });
        let replies = send(&instance, &[SELECT, "00F7009B00", "00F80000"]);
        assert_eq!(replies[1].0, [1, 1, algorithm, 2, 2, 0, 1, 5, 1, 1]);
        assert_eq!(hex(&replies[2].0), "000F1206");
        let length = if algorithm == 0x08 { 32 } else { 48 };
        let key =
            if algorithm == 0x0c { "0102030405060708".repeat(4) } else { MANAGEMENT[..length].to_owned() };
        let piv = ["--device", "987654", "piv", "objects", "generate", "-m", &key, "-P", crate::PIN, "chuid"];
        tool(&instance, "ykman", &piv);
    }
}
