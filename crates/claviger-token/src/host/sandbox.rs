//! What the child gives up before any code of a module runs in it. It cannot be had back.
//!
//! A list of what a module needs is not known: each vendor's is another. So the two ways of the kernel complement each other.
//! Landlock lets files be read only where libraries, devices and tokens lie, and written only where tokens do; seccomp refuses
//! the calls that no token needs and an intruder would want: other programs, other processes, the kernel itself.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a module may do besides what every module may.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sandbox {
    /// Whether it may reach a network, as one for an appliance has to.
    pub network: bool,
    /// Files and directories that it may read, besides those that its environment names.
    pub read: Vec<PathBuf>,
    /// Files and directories that it may write: where a module's configuration file says that its tokens lie.
    pub write: Vec<PathBuf>,
}

/// Where libraries and their configuration, devices and what the kernel tells lie. Not `/etc`, `/run` and `/var` as a whole:
/// other programs' secrets are there, and perhaps the vault.
const READ: [&str; 43] = [
    "/usr",
    "/lib",
    "/lib64",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys",
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/ssl",
    "/etc/pki",
    "/etc/crypto-policies",
    "/etc/gnutls",
    "/etc/dbus-1",
    "/etc/pkcs11",
    "/etc/softhsm",
    "/etc/softhsm2.conf",
    "/etc/kryoptic",
    "/etc/opencryptoki",
    "/etc/opensc",
    "/etc/tpm2-tss",
    "/etc/tpm2_pkcs11",
    "/etc/reader.conf.d",
    "/etc/yubihsm_pkcs11.conf",
    "/run/pcscd",
    "/run/udev",
    "/run/dbus",
    "/var/run/dbus",
    "/var/lib/pcsc",
];
/// Where shared memory, devices, and tokens that are files lie, and their locks. Of devices those of tokens: in a terminal a
/// module could type, and read what is typed.
const WRITE: [&str; 11] = [
    "/dev/null",
    "/dev/shm",
    "/dev/bus/usb",
    "/run/lock",
    "/var/lock",
    "/run/opencryptoki",
    "/var/lib/softhsm",
    "/var/lib/opencryptoki",
    "/var/log/opencryptoki",
    "/var/lib/kryoptic",
    "/var/lib/tpm2_pkcs11",
];

/// How the devices of chips and keys are called, under `/dev`.
const DEVICES: [&str; 3] = ["tpm", "tpmrm", "hidraw"];

/// Gives up all but this. What the kernel is too old to enforce is listed: the rest holds all the same.
pub(super) fn enter(sandbox: &Sandbox, module: Option<&Path>) -> Result<Vec<String>, String> {
    let mut unenforced = Vec::new();
    match restrict_files(sandbox, module)? {
        RulesetStatus::FullyEnforced => {}
        RulesetStatus::PartiallyEnforced => {
            unenforced.push("the kernel's Landlock is older than what is asked of it".to_owned());
        }
        RulesetStatus::NotEnforced => {
            unenforced.push("the kernel has no Landlock: the module may touch every file".to_owned());
        }
    }
    keep_few_capabilities();
    for filter in [no_clone3()?, filter(sandbox.network)?] {
        seccompiler::apply_filter(&filter).map_err(|error| format!("seccomp: {error}"))?;
    }
    Ok(unenforced)
}

/// Of root's powers those that open a device or a file of a token's group, and that keep memory from being swapped. By others
/// a module would look into processes, make devices and change the system.
fn keep_few_capabilities() {
    let few = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH | CapabilitySet::IPC_LOCK;
    // An ordinary user has none to give up.
    if let Ok(CapabilitySets { effective, permitted, .. }) = capabilities(None) {
        let kept = CapabilitySets {
            effective: effective & few,
            permitted: permitted & few,
            inheritable: CapabilitySet::empty(),
        };
        let _ = set_capabilities(None, kept);
    }
}

fn restrict_files(sandbox: &Sandbox, module: Option<&Path>) -> Result<RulesetStatus, String> {
    let failed = |error: landlock::RulesetError| format!("Landlock: {error}");
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .map_err(failed)?
        .scope(Scope::Signal | Scope::AbstractUnixSocket)
        .map_err(failed)?;
    if !sandbox.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(abi)).map_err(failed)?;
    }
    let mut rules = ruleset.create().map_err(failed)?;
    // Nothing is executed anywhere.
    let (read, write) = (AccessFs::from_read(abi) & !AccessFs::Execute, all & !AccessFs::Execute);
    let (tokens, files): (Vec<_>, Vec<_>) = in_environment().partition(|path| path.is_dir());
    let read_only = READ.iter().map(PathBuf::from).chain(sandbox.read.iter().cloned());
    for path in read_only.chain(files).chain(module.map(Path::to_owned)) {
        rules = allow(rules, &path, read)?;
    }
    let places = WRITE.iter().map(PathBuf::from).chain(devices());
    for path in places.chain(sandbox.write.iter().cloned()).chain(tokens) {
        rules = allow(rules, &path, write)?;
    }
    Ok(rules.restrict_self().map_err(failed)?.ruleset)
}

/// Paths that are not there are no matter.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, String> {
    let Ok(place) = PathFd::new(path) else { return Ok(rules) };
    // A file has no entries to make or remove.
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V6) };
    rules
        .add_rule(PathBeneath::new(place, access))
        .map_err(|error| format!("Landlock, {}: {error}", path.display()))
}

/// The devices of chips and keys that there are.
fn devices() -> impl Iterator<Item = PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        DEVICES.iter().any(|kind| {
            name.strip_prefix(kind).is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
        })
    };
    let all = std::fs::read_dir("/dev").into_iter().flatten();
    all.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one)
}

/// What the module's environment names: files to be read, and directories, in which tokens lie. Of a home directory that is
/// too much to follow from a word that every program has.
fn in_environment() -> impl Iterator<Item = PathBuf> {
    let named = std::env::vars_os().filter(|(name, _)| !{
        let name = name.to_string_lossy();
        matches!(&*name, "HOME" | "PWD" | "OLDPWD" | "TMPDIR") || name.starts_with("LD_")
    });
    named.map(|(_, value)| PathBuf::from(value)).filter(|path| path.is_absolute() && path.exists())
}

/// Calls that no token needs.
const REFUSED: [libc::c_long; 75] = [
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setpriority,
    libc::SYS_tkill,
    // Other files' rights, which Landlock leaves alone.
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchmodat2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_mknodat,
    // Other rights, other namespaces.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // The kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_personality,
];

/// The x32 calls have numbers of their own on x86-64, and must not be a way around.
#[cfg(target_arch = "x86_64")]
const X32: Option<libc::c_long> = Some(0x4000_0000);
#[cfg(not(target_arch = "x86_64"))]
const X32: Option<libc::c_long> = None;

/// What `clone3` is asked for lies in memory, where a filter cannot look. Told that there is no such call, the C library takes
/// `clone`.
fn no_clone3() -> Result<BpfProgram, String> {
    let mut rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    rules.extend(X32.map(|x32| (libc::SYS_clone3 | x32, Vec::new())));
    program(rules, libc::ENOSYS)
}

fn program(rules: BTreeMap<i64, Vec<SeccompRule>>, refusal: i32) -> Result<BpfProgram, String> {
    let failed = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let refuse = SeccompAction::Errno(refusal.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().map_err(failed)?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture)
        .and_then(TryInto::try_into)
        .map_err(failed)
}

fn filter(network: bool) -> Result<BpfProgram, String> {
    let failed = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let argument = |index, operator, value| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(failed)
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in REFUSED {
        rules.insert(call, Vec::new());
    }
    #[cfg(target_arch = "x86_64")]
    rules.extend(
        [libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown, libc::SYS_mknod].map(|call| (call, Vec::new())),
    );
    // Nobody types for a person.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|request| argument(1, SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, typing.into_iter().collect::<Result<_, _>>()?);
    // Of limits and processors only its own, which 0 stands for.
    for call in [libc::SYS_prlimit64, libc::SYS_sched_setaffinity] {
        let of_another = [0, u64::from(std::process::id())].map(|own| {
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own).map_err(failed)
        });
        let conditions = of_another.into_iter().collect::<Result<_, _>>()?;
        rules.insert(call, vec![SeccompRule::new(conditions).map_err(failed)?]);
    }
    // Only its own process may be sent signals, as `abort` does.
    let own = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo] {
        rules.insert(call, vec![argument(0, SeccompCmpOp::Ne, own)?]);
    }
    // Threads, and no processes: one would keep what it has in memory when this one is ended.
    let thread = libc::CLONE_THREAD.unsigned_abs().into();
    rules.insert(libc::SYS_clone, vec![argument(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    #[cfg(target_arch = "x86_64")]
    rules.extend([(libc::SYS_fork, Vec::new()), (libc::SYS_vfork, Vec::new())]);
    // Sockets of this machine, and where devices are announced; others only where a network is granted.
    let mut families = vec![libc::AF_UNIX, libc::AF_NETLINK];
    if network {
        families.extend([libc::AF_INET, libc::AF_INET6]);
    }
    let others = families.into_iter().map(|family| {
        let family = u64::from(family.unsigned_abs());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family).map_err(failed)
    });
    let others = SeccompRule::new(others.collect::<Result<_, _>>()?).map_err(failed)?;
    rules.insert(libc::SYS_socket, vec![others]);
    if let Some(x32) = X32 {
        let doubles: Vec<_> = rules.iter().map(|(call, rules)| (call | x32, rules.clone())).collect();
        rules.extend(doubles);
    }
    program(rules, libc::EPERM)
}
