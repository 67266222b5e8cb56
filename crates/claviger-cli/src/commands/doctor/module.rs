//! A module: whether its file is one, whether what it needs is there, and what it answers.

use super::{Checks, needs, rights::access_help, softhsm};
use crate::{
    config::shell_word,
    context::Context,
    error::CliError,
    modules::{self, Family, Found, Way},
    report,
};
use claviger_gate::ErrorClass;
use std::{
    env,
    fs::File,
    io::{self, ErrorKind, Read as _},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const NAME: &str = "module";
const ABSENT: ErrorClass = ErrorClass::TokenAbsent;

/// How long a module may take to show its tokens.
const PATIENCE: Duration = Duration::from_secs(30);
/// The rules by which pcscd asks polkit.
const CARD_POLICY: &str = "/usr/share/polkit-1/actions/org.debian.pcsc-lite.policy";

/// Looks at the file, at what the module needs, and then into it; its tokens, if it answers.
pub(crate) fn look_into(checks: &mut Checks, way: &Way, context: &Context) -> Option<Vec<Found>> {
    let path = match way {
        Way::Module(path) => Some(path.as_path()),
        Way::Piv => None,
    };
    if let Some((path, Err((detail, help)))) = path.map(|path| (path, is_library(path))) {
        checks.fail(NAME, ABSENT, format!("{} {detail}", path.display()), help);
        return None;
    }
    let environment = checks.need("modules.toml", context.modules())?.environment(way);
    let family = way.family();
    let ready = match family {
        Family::SoftHsm => softhsm::ready(checks, &environment),
        Family::Tpm => needs::tpm(checks, &environment),
        Family::OpenCryptoki => needs::slot_daemon(checks),
        Family::SmartCard => needs::card_daemon(checks, &environment),
        Family::Other => true,
    };
    if !ready {
        // Without it the module would only say so at length.
        return None;
    }
    // One that has its own process takes none along.
    if let Some(path) = path.filter(|_| !environment.is_own())
        && let Err(how) = survives(path, context)
    {
        let help =
            "it is the module's own fault: see whether it is the newest, and what it says in: journalctl -e";
        checks.fail(NAME, ABSENT, format!("{} {how}", path.display()), help);
        return None;
    }
    let tokens = match modules::list(way, context) {
        Ok(tokens) => tokens,
        Err(error) => {
            refused(checks, way, &error);
            return None;
        }
    };
    checks.ok(NAME, way.to_string());
    sandbox(checks, way, context);
    if tokens.is_empty() {
        no_tokens(checks, family);
    }
    Some(tokens)
}

/// Whether a module with a process of its own is held there as it is meant to be.
fn sandbox(checks: &mut Checks, way: &Way, context: &Context) {
    const NAME: &str = "sandbox";
    let unenforced = context.driver(way).and_then(|driver| Ok(driver.unenforced()?));
    match checks.need(NAME, unenforced).flatten() {
        None => {}
        Some(missing) if missing.is_empty() => {
            checks.ok(NAME, "the module runs in a process that can do little");
        }
        Some(missing) => {
            checks.warn(NAME, missing.join("; "), "use a newer kernel; the rest of the sandbox holds");
        }
    }
}

/// Whether the file is a library for this program; else what it is, and what to do.
fn is_library(path: &Path) -> Result<(), (String, String)> {
    let other = || {
        let installed = modules::installed();
        if installed.is_empty() {
            return "install the token's module (for trying things out: apt-get install softhsm2)".to_owned();
        }
        let paths: Vec<_> = installed.iter().map(|path| shell_word(path)).collect();
        format!("name one that is installed with --module or module-path=: {}", paths.join(", "))
    };
    let no = |detail: &str| Err((detail.to_owned(), other()));
    let header = match header(path) {
        Ok(header) => header,
        Err(error) if error.kind() == ErrorKind::NotFound => return no("does not exist"),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(("may not be read by this user".to_owned(), access_help(path)));
        }
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return no("is no shared library"),
        Err(error) => return Err((format!("cannot be read: {error}"), other())),
    };
    if !header.starts_with(b"\x7fELF") {
        return no("is no shared library");
    }
    let own = header_of_this_program().unwrap_or(header);
    if kind(&header) == kind(&own) {
        return Ok(());
    }
    Err((
        format!("is made for another processor ({}) than this program ({})", machine(&header), machine(&own)),
        format!("install the module's package for this machine; {}", other()),
    ))
}

type Header = [u8; 20];

fn header(path: &Path) -> io::Result<Header> {
    let mut header = [0; 20];
    File::open(path)?.read_exact(&mut header).map(|()| header)
}

fn header_of_this_program() -> Option<Header> {
    header(Path::new("/proc/self/exe")).ok()
}

/// Word size, byte order and processor (the ELF header's `EI_CLASS`, `EI_DATA`, `e_machine`).
const fn kind(header: &Header) -> [u8; 4] {
    [header[4], header[5], header[18], header[19]]
}

fn machine(header: &Header) -> String {
    let [_, order, first, second] = kind(header);
    let number = if order == 2 { [second, first] } else { [first, second] };
    match u16::from_le_bytes(number) {
        0x03 => "32-bit x86".to_owned(),
        0x28 => "32-bit ARM".to_owned(),
        0x3e => "x86_64".to_owned(),
        0xb7 => "aarch64".to_owned(),
        0xf3 => "RISC-V".to_owned(),
        other => format!("number {other}"),
    }
}

/// Whether a process that looks into the module comes back; else how it ended. A module that crashes or hangs would take this
/// one along, and nobody would be told.
fn survives(path: &Path, context: &Context) -> Result<(), String> {
    let Ok(program) = env::current_exe() else { return Ok(()) };
    let mut look = Command::new(program);
    look.args(["token", "list", "--json", "--module"]).arg(path);
    if let Some(config) = context.config_option() {
        look.arg("--config").arg(config);
    }
    look.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut look) = look.spawn() else { return Ok(()) };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match look.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            Ok(Some(status)) => {
                let signal = status.signal();
                return signal
                    .map_or(Ok(()), |signal| Err(format!("crashes when it is used (signal {signal})")));
            }
            Err(_) => return Ok(()),
        }
    }
    // It may have ended by itself meanwhile.
    let _ = look.kill().and_then(|()| look.wait());
    Err(format!("does not answer within {} seconds", PATIENCE.as_secs()))
}

/// What the module said when it was loaded.
fn refused(checks: &mut Checks, way: &Way, error: &CliError) {
    let said = report::chain(error);
    if *way == Way::Piv {
        return checks.fail(NAME, error.class(), said, report::help(error));
    }
    if said.contains("C_GetFunctionList") {
        checks.fail(
            NAME,
            ABSENT,
            format!("{way} is a library, but no PKCS#11 module"),
            "claviger token doctor --help names modules; the token's papers say which is its own",
        );
        return;
    }
    let help = match way.family() {
        Family::OpenCryptoki => needs::slot_daemon_trouble(),
        Family::Tpm => "see whether the TPM answers: tpm2_getcap properties-fixed",
        Family::SmartCard => "systemctl restart pcscd; journalctl -u pcscd says more",
        Family::SoftHsm => "what it complains of is in the system's log: journalctl -t claviger",
        Family::Other => return checks.fail(NAME, error.class(), said, report::help(error)),
    };
    checks.fail(NAME, error.class(), said, help);
}

fn no_tokens(checks: &mut Checks, family: Family) {
    let (detail, help) = match family {
        Family::SmartCard if Path::new(CARD_POLICY).exists() && !rustix::process::geteuid().is_root() => (
            "no card or key is seen: none is plugged in, or polkit keeps this user from it",
            "plug it in; if it is: pkaction --verbose --action-id org.debian.pcsc-lite.access_pcsc shows who may, and a rule \
             in /etc/polkit-1/rules.d changes that",
        ),
        Family::SmartCard => {
            ("no card or key is seen", "plug it in; lsusb shows whether the machine sees it")
        }
        Family::OpenCryptoki => (
            "it has no token",
            "name one in /etc/opencryptoki/opencryptoki.conf, then: systemctl restart pkcsslotd",
        ),
        _ => ("it shows no token", "plug one in, or see the module's own configuration"),
    };
    checks.fail("token", ABSENT, detail, help);
}
