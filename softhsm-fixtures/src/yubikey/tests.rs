//! The virtual YubiKey, as programs of others find it.

use crate::{Instance, KeySpec, Provider, process::run};

/// What this tool says.
fn tool(instance: &Instance, program: &str, arguments: &[&str]) -> String {
    run(
        instance.command(program).args(arguments),
        "apt-get install -y yubikey-manager yubico-piv-tool opensc",
    )
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
}
