//! What a module needs around it: a device, or a service.

use super::{
    Checks,
    rights::{access_help, may_write},
};
use crate::{
    config::{Environment, shell_word},
    modules::{CARD_SERVICE_VARIABLE, SLOT_DAEMON_SOCKETS, card_service},
};
use claviger_gate::ErrorClass;
use std::{fs, io::ErrorKind, os::unix::net::UnixStream, path::Path};

const ABSENT: ErrorClass = ErrorClass::TokenAbsent;

/// A TPM, or the way to one that the environment names.
pub(super) fn tpm(checks: &mut Checks, environment: &Environment) -> bool {
    const NAME: &str = "TPM";
    if let Some(store) = environment.get("TPM2_PKCS11_STORE") {
        let store = Path::new(&store);
        if !may_write(store) {
            let detail = format!("TPM2_PKCS11_STORE names {}, which cannot be written", store.display());
            checks.fail(NAME, ABSENT, detail, format!("mkdir -p -m 700 {}", shell_word(store)));
            return false;
        }
    }
    let way = environment.get("TPM2_PKCS11_TCTI").map(|way| way.to_string_lossy().into_owned());
    if let Some(way) = way.filter(|way| !way.is_empty() && !way.starts_with("device")) {
        if way.starts_with("tabrmd") && !runs("tpm2-abrmd") {
            checks.fail(NAME, ABSENT, "tpm2-abrmd does not run", "sudo systemctl start tpm2-abrmd");
            return false;
        }
        checks.ok(NAME, way);
        return true;
    }
    let devices = ["/dev/tpmrm0", "/dev/tpm0"].map(Path::new);
    let Some(device) = devices.into_iter().find(|device| device.exists()) else {
        checks.fail(
            NAME,
            ABSENT,
            "this machine shows none: there is no /dev/tpmrm0",
            "switch it on in the firmware's settings; for one elsewhere, set TPM2_PKCS11_TCTI",
        );
        return false;
    };
    if may_write(device) {
        checks.ok(NAME, device.to_string_lossy());
        return true;
    }
    checks.fail(
        NAME,
        ABSENT,
        format!("{} may not be used by this user", device.display()),
        access_help(device),
    );
    false
}

/// openCryptoki's daemon. It is not called: one that calls and hangs up at once upsets it.
pub(super) fn slot_daemon(checks: &mut Checks) -> bool {
    const NAME: &str = "pkcsslotd";
    let Some(socket) = SLOT_DAEMON_SOCKETS.into_iter().map(Path::new).find(|socket| socket.exists()) else {
        checks.fail(NAME, ABSENT, "it does not run", "sudo systemctl start pkcsslotd");
        return false;
    };
    if !may_write(socket) {
        closed(checks, NAME, socket);
        return false;
    }
    checks.ok(NAME, format!("it listens at {}", socket.display()));
    true
}

/// What to do when openCryptoki does not begin, in spite of its daemon's socket.
pub(super) fn slot_daemon_trouble() -> &'static str {
    if runs("pkcsslotd") {
        "look into its log, /var/log/opencryptoki, or: journalctl -t pkcsslotd"
    } else {
        "pkcsslotd has ended: sudo systemctl restart pkcsslotd"
    }
}

/// pcscd, which is started by whoever connects.
pub(super) fn card_daemon(checks: &mut Checks, environment: &Environment) -> bool {
    const NAME: &str = "pcscd";
    let named = environment.get(CARD_SERVICE_VARIABLE);
    let is_named = named.is_some();
    let socket = &card_service(named);
    if !socket.exists() && is_named {
        let detail =
            format!("nothing is at {}, where {CARD_SERVICE_VARIABLE} says that it listens", socket.display());
        checks.fail(NAME, ABSENT, detail, format!("unset {CARD_SERVICE_VARIABLE}, or start pcscd there"));
        return false;
    }
    if !socket.exists() {
        let help = "sudo apt-get install pcscd; sudo systemctl start pcscd.socket";
        checks.fail(NAME, ABSENT, "it does not run", help);
        return false;
    }
    match UnixStream::connect(socket) {
        Ok(_) => {
            checks.ok(NAME, "it runs");
            true
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            closed(checks, NAME, socket);
            false
        }
        Err(_) => {
            let detail = format!("it has ended: nobody answers at {}", socket.display());
            checks.fail(NAME, ABSENT, detail, "sudo systemctl restart pcscd.socket");
            false
        }
    }
}

fn closed(checks: &mut Checks, name: &'static str, socket: &Path) {
    let detail = format!("{} may not be used by this user", socket.display());
    checks.fail(name, ABSENT, detail, access_help(socket));
}

/// Whether a program of this name runs.
fn runs(name: &str) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return true };
    // The kernel keeps fifteen letters of a name.
    let name = name.get(..15).unwrap_or(name);
    processes
        .flatten()
        .any(|process| fs::read_to_string(process.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}
