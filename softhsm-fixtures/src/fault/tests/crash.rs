//! What ends the process.

use super::*;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

/// This test once more, as a process that does not outlive its first call of the module; the signal that ended it, and what
/// it said.
fn dies(test: &str, of: &dyn Fn(&Faults), seen: &dyn Fn(Option<i32>, &str)) {
    const VICTIM: &str = "CLAVIGER_TEST_VICTIM";
    in_own_process(&format!("{}::{test}", module_path!()), Provider::SoftHsm, |instance| {
        if env::var_os(VICTIM).is_some() {
            Host::of(instance);
            return;
        }
        of(&Faults::of(instance));
        let mut again = Command::new(env::current_exe().unwrap());
        let output = again.args(env::args().skip(1)).env(VICTIM, "1").stdout(Stdio::null()).output().unwrap();
        seen(output.status.signal(), &String::from_utf8(output.stderr).unwrap());
    });
}

#[test]
fn it_aborts() {
    let abort = |faults: &Faults| faults.inject("C_Initialize", At::Every, Action::Abort);
    dies("it_aborts", &abort, &|signal, _| assert_eq!(signal, Some(6)));
}

#[test]
fn it_crashes() {
    let crash = |faults: &Faults| faults.inject("C_Initialize", At::Nth(1), Action::Segv);
    dies("it_crashes", &crash, &|signal, _| assert_eq!(signal, Some(11)));
}

#[test]
fn nonsense_in_the_control_file_is_loud() {
    let nonsense = |faults: &Faults| fs::write(&faults.control, "1\nC_Nothing every abort\n").unwrap();
    dies("nonsense_in_the_control_file_is_loud", &nonsense, &|signal, text| {
        assert_eq!(signal, Some(6), "{text}");
        assert!(text.contains("claviger-fault: ") && text.contains("line 2: no such function"), "{text}");
    });
}
