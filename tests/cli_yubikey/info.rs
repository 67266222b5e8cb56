//! What is shown of a YubiKey: `token list`, `token info`, and both doctors.

use crate::{NEW_PIN, NEW_PUK, VALUE, card, given, lone, said, two, uri};
use claviger_tests::World;
use serde_json::json;
use softhsm_fixtures::{At, CardAction, KeySpec, PIN, SO_PIN};
use std::{fs, path::Path};

/// Puts `modules.toml` beside the configuration.
fn modules(world: &World, text: &str) {
    let path = world.config().with_file_name("modules.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    claviger_tests::mode(&path, 0o600);
}

fn root(path: &Path) -> String {
    format!("[piv]\nattestation-roots = [\"{}\"]\n", path.display())
}

#[test]
fn the_vaults_key_is_described() {
    let world = lone();
    let outcome = world.line("token info").ok();
    let shown = said(&outcome);
    for row in [
        "YubiKey PIV #11111111\n",
        "firmware 5.4.3",
        "claviger's own PIV driver, Yubico YubiKey OTP+FIDO+CCID 00 00",
        "  slot          9d\n",
        "  PIN policy    once\n",
        "  touch policy  cached\n",
        "  origin        made there\n",
        "  attestation   not proven to be made in a YubiKey: ",
        "  management    3DES, still its maker's",
        "still its maker's, which everybody knows; change it: claviger token pin change --token 'pkcs11:serial=11111111",
        "  PUK      still its maker's; change it: claviger token pin change --so --token 'pkcs11:serial=11111111",
    ] {
        assert!(shown.contains(row), "{row:?}:\n{shown}");
    }
    let info = world.line("token info --json").ok();
    said(&info);
    let info = info.json();
    let expected = json!({
        "slot": "9d",
        "pin_policy": "once",
        "touch_policy": "cached",
        "made_there": true,
        "attestation": {"proven": false, "reason": info["yubikey"]["attestation"]["reason"]},
        "management_key": {"algorithm": "3DES", "default": true, "on_card": false},
    });
    assert_eq!(info["yubikey"], expected);
    assert_eq!(
        (&info["firmware"], &info["tries_left"], &info["so_tries_left"], &info["pin_is_due"]),
        (&json!("5.4.3"), &json!(3), &json!(3), &json!(true))
    );
}

/// Also where the first is elsewhere.
#[test]
fn the_backups_key_is_described_too() {
    let (world, backup) = crate::pair();
    let third = world.token().add_yubikey(&KeySpec::default());
    world.token().yubikey(0).remove();
    let line = format!("token info --token {}", crate::plain_uri(&backup));
    let shown = said(&world.line(&line).ok());
    for row in
        ["YubiKey PIV #22222222\n", "  slot          9d\n", "  attestation   not proven", "serial=22222222?"]
    {
        assert!(shown.contains(row), "{row:?}:\n{shown}");
    }
    let info = world.line(&format!("{line} --json")).ok().json();
    assert_eq!((&info["serial"], &info["yubikey"]["touch_policy"]), (&json!("22222222"), &json!("cached")));
    assert!(world.recipients("active").contains(&info["recipient"].as_str().unwrap().to_owned()), "{info}");
    let unnamed = world.line("token info --json").ok();
    assert_eq!(unnamed.json(), info);
    for part in ["no token fits `pkcs11:serial=11111111", "; shown is another that opens the vault"] {
        assert!(unnamed.stderr.contains(part), "{}", unnamed.stderr);
    }
    // Or is there and has lost its key.
    let first = world.token().yubikey(0);
    first.insert();
    card::ykman(&world, &first, &["reset", "-f"]);
    let without = world.line("token info --json").ok();
    assert_eq!(without.json()["yubikey"], info["yubikey"]);
    assert!(without.stderr.contains("; shown is another that opens the vault"), "{}", without.stderr);
    first.remove();
    let line = format!("token info --token {}", crate::plain_uri(&third));
    world
        .line(&line)
        .fails(2, &["the configuration does not name token `YubiKey PIV #33333333`", "token enroll"]);
    world.token().yubikey(1).remove();
    world.line("token info").fails(6, &["no token fits `pkcs11:serial=11111111", "serial=22222222"]);
}

#[test]
fn an_attestation_is_proven_by_a_root_that_is_named() {
    let world = two();
    let own = world.token().yubikey(0).attestation_root();
    modules(&world, &root(&own));
    let made = world.run(["init", "--token", world.uri(), "--accept-loss"]).ok();
    let proof = "made in this YubiKey and nowhere else, by the word of CN=claviger test PIV root";
    assert!(made.stderr.contains(&format!("`YubiKey PIV #11111111`, {proof}")), "{}", made.stderr);
    let shown = world.line("token info").ok();
    assert!(shown.text().contains(&format!("attestation   {proof}")), "{}", shown.text());
    let attested = world.line("token info --json").ok().json()["yubikey"]["attestation"].clone();
    assert_eq!(
        (&attested["proven"], &attested["serial"], &attested["firmware"]),
        (&json!(true), &json!(11_111_111), &json!("5.4.3"))
    );
    // Somebody else's root proves nothing.
    let other = world.home().join("other.pem");
    let subject = ["-subj", "/CN=claviger test PIV root", "-days", "30", "-nodes", "-keyout", "/dev/null"];
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-out", other.to_str().unwrap()];
    card::tool(&world, "openssl", &[&new[..], &subject[..]].concat());
    modules(&world, &root(&other));
    let attested = world.line("token info --json").ok().json()["yubikey"]["attestation"].clone();
    assert_eq!(attested["proven"], json!(false), "{attested}");
    // What is no certificate is named.
    let nothing = world.file("nothing.pem", "nothing");
    modules(&world, &root(&nothing));
    world.line("token info").fails(1, &[nothing.to_str().unwrap(), "help: "]);
    modules(&world, &root(Path::new("/nowhere/root.pem")));
    world.line("token info").fails(1, &["/nowhere/root.pem"]);
    modules(&world, &root(Path::new("root.pem")));
    world.line("token info").fails(1, &["`root.pem` is no absolute path"]);
}

/// A card of which its maker says something else than it shows itself gets no vault's key.
#[test]
fn a_key_that_its_attestation_contradicts_is_not_taken_up() {
    /// GET METADATA, and the bit in which touch policy `never` becomes `cached`.
    const LOOK: u8 = 0xf7;
    const TOUCH: CardAction = CardAction::Flip(6 * 8 + 1);
    let world = crate::empty();
    let key = world.token().add_yubikey(&KeySpec { firmware: Some("5.7.1"), ..KeySpec::default() });
    modules(&world, &root(&key.attestation_root()));
    let uri = crate::uri(&world, &key);
    world.run(["init", "--token", &uri, "--accept-loss", "--touch-policy", "never"]).ok();
    let has = || (world.recipients("active").len(), card::slots(&world, &key).len());
    let line = ["token", "enroll", "--again", "--token", &uri, "--touch-policy", "never"];
    let looks = || key.counts().get(&LOOK).copied().unwrap_or_default();
    let before = looks();
    world.run(line).ok();
    let last = looks() - before;
    let mut refused = 0;
    for nth in last.saturating_sub(4)..=last {
        let had = has();
        key.inject(LOOK, At::Nth(nth), TOUCH);
        let outcome = world.run(line).outcome();
        key.clear();
        let grown = if outcome.code == Some(0) { (had.0 + 1, had.1 + 2) } else { had };
        assert_eq!(has(), grown, "look {nth} of {last}: {}", outcome.stderr);
        let known =
            "error: this token is refused as the home of a key: what it certifies of the key in that slot";
        refused += usize::from(outcome.stderr.contains(known));
    }
    assert!(refused > 0);
}

#[test]
fn a_key_that_was_changed_since_is_not_the_makers() {
    let world = lone();
    let key = world.token().yubikey(0);
    let file = world.token().pin_file();
    given(&world, "token pin change --pin-fd 3 --new-pin-fd 4", &[PIN, NEW_PIN]).ok();
    fs::write(file, NEW_PIN).unwrap();
    given(&world, "token pin change --so --so-pin-fd 3 --new-pin-fd 4", &[SO_PIN, NEW_PUK]).ok();
    let line =
        ["access", "change-management-key", "-m", card::MAKERS_KEY, "--generate", "--protect", "-P", NEW_PIN];
    card::ykman(&world, &key, &line);
    let outcome = world.line("token info").ok();
    let shown = said(&outcome);
    assert!(!shown.contains("maker's") && shown.contains("PIN      set, 3 tries left"), "{shown}");
    assert!(shown.contains("3DES, kept on the YubiKey behind the PIN"), "{shown}");
    let outcome = world.line("doctor").ok();
    let shown = said(&outcome);
    assert!(
        !shown.contains("maker's") && shown.contains("ok    PUK            no wrong one lately"),
        "{shown}"
    );
}

/// Its maker's module and OpenSC's see it as well.
#[test]
fn a_yubikey_is_listed_once() {
    let world = lone();
    world.token().add_yubikey(&KeySpec::default());
    for module in ["libykcs11.so", "opensc-pkcs11.so"] {
        let module = format!("/usr/lib/x86_64-linux-gnu/{module}");
        let by_module = world.run(["token", "list", "--json", "--module", &module]).ok().json();
        assert_eq!(by_module.as_array().unwrap().iter().filter(|one| one["initialised"] == true).count(), 2);
    }
    let outcome = world.line("token list").ok();
    let shown = said(&outcome);
    let ready = world.line("token list --json").ok().json();
    let ready: Vec<_> = ready.as_array().unwrap().iter().filter(|one| one["initialised"] == true).collect();
    let uris: Vec<_> = ready.iter().map(|one| one["uri"].as_str().unwrap()).collect();
    assert_eq!(
        uris,
        ["pkcs11:serial=11111111?module-name=piv", "pkcs11:serial=22222222?module-name=piv"],
        "{shown}"
    );
    assert_eq!(shown.matches("Yubico YubiKey OTP+FIDO+CCID 00 00").count(), 1, "{shown}");
    // Such a URI does.
    let second = world.token().yubikey(1);
    world.run(["token", "enroll", "--token", &uri(&world, &second)]).ok();
    let doctor = world.line("token doctor --token pkcs11:serial=22222222").ok();
    assert_eq!(doctor.text().matches("`YubiKey PIV #22222222`").count(), 1, "{}", doctor.text());
    assert!(!doctor.text().contains("names"), "{}", doctor.text());
}

#[test]
fn both_doctors_know_a_yubikey() {
    let world = lone();
    world.set("svc", VALUE);
    for line in ["doctor", "token doctor", "token doctor --token pkcs11:serial=11111111?module-name=piv"] {
        let outcome = world.line(line).ok();
        let shown = said(&outcome);
        for row in [
            "ok    pcscd          it runs\n",
            "ok    module         claviger's own PIV driver\n",
            "ok    token          `YubiKey PIV #11111111`, serial 11111111\n",
            "warn  PIN            it is still its maker's, which everybody knows\n        do: claviger token pin change --token",
            "warn  PUK            it is still its maker's, which anybody can look up\n        do: claviger token pin change --so",
        ] {
            assert!(shown.contains(row), "{line}: {row:?}:\n{shown}");
        }
    }
    let shown = world.line("doctor").ok();
    assert!(shown.text().contains("ok    self-test"), "{}", shown.text());
    // The service is where the variable says.
    for line in ["doctor", "token doctor"] {
        let elsewhere = world.home().join("elsewhere");
        let outcome = world.line(line).env("PCSCLITE_CSOCK_NAME", &elsewhere).outcome();
        assert_eq!(outcome.code, Some(6), "{}", outcome.text());
        let told = format!("FAIL  pcscd          nothing is at {}", elsewhere.display());
        assert!(outcome.text().contains(&told), "{line}: {}", outcome.text());
        assert!(outcome.text().contains("PCSCLITE_CSOCK_NAME"), "{line}: {}", outcome.text());
    }
    world.token().stop_pcscd();
    for line in ["doctor", "token doctor"] {
        let outcome = world.line(line).outcome();
        assert_eq!(outcome.code, Some(6), "{}", outcome.text());
        assert!(outcome.text().contains("FAIL  pcscd"), "{}", outcome.text());
        assert_eq!(outcome.text().matches("FAIL").count(), 1, "{}", outcome.text());
    }
    world.token().start_pcscd();
    world.token().yubikey(0).remove();
    for line in ["doctor", "token doctor"] {
        let outcome = world.line(line).outcome();
        assert_eq!(outcome.code, Some(6), "{}", outcome.text());
        assert!(outcome.text().contains("no card or key is seen"), "{}", outcome.text());
    }
}
