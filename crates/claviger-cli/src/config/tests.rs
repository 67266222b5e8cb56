use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn sample() -> Config {
    Config {
        vault: VaultId::from_bytes([0xa1; 16]),
        fingerprint: Digest::of(b"fingerprint"),
        next_fingerprint: None,
        store: "sqlite:///var/lib/claviger/vault.db".into(),
        anchors: vec!["/var/lib/claviger/anchor".into()],
        token: TokenConfig {
            uri: "pkcs11:token=lab;id=%01?module-path=/usr/lib/softhsm/libsofthsm2.so".into(),
            recipient: RecipientId::from_bytes([0xb2; 16]),
            scheme: Scheme::A256Kw,
            profile: String::new(),
            anchor: false,
            signer: None,
        },
        host: HostConfig { id: HostId::from_bytes([0xc3; 16]), name: "here".into() },
        backup_tokens: Vec::new(),
        signers: Vec::new(),
        audit: AuditConfig {
            public_key: EcPoint { x: [1; 32], y: [2; 32] },
            durability: Durability::WriteThrough,
        },
    }
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("new/claviger.toml");
    sample().write_new(&path).unwrap();
    (home, path)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_written_is_read_and_is_nobody_elses() {
    let (_home, path) = written();
    assert_eq!(Config::read(&path).unwrap(), sample());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let (_home, path) = written();
    let mut other = sample();
    other.store = "sqlite:///elsewhere.db".into();
    assert!(matches!(other.write_new(&path), Err(CliError::ConfigExists { .. })));
    assert_eq!(Config::read(&path).unwrap(), sample());
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "a temporary file stayed behind: {left:?}");
}

#[test]
fn a_file_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    let (_home, path) = written();
    for wide in [0o620, 0o602, 0o666] {
        set_mode(&path, wide);
        match Config::read(&path) {
            Err(CliError::ConfigExposed { mend, .. }) => {
                assert_eq!(mend, format!("chmod go-w {}", path.display()));
            }
            other => panic!("mode {wide:o}: {other:?}"),
        }
    }
    set_mode(&path, 0o644);
    Config::read(&path).unwrap();
}

#[test]
fn a_directory_in_which_others_may_replace_the_file_is_refused() {
    let (_home, path) = written();
    let directory = path.parent().unwrap();
    set_mode(directory, 0o770);
    assert!(matches!(Config::read(&path), Err(CliError::ConfigExposed { path, .. }) if path == directory));
    set_mode(directory, 0o1777);
    Config::read(&path).unwrap();
}

#[test]
fn unknown_keys_bad_values_and_excess_are_refused_with_the_line() {
    let (_home, path) = written();
    let text = fs::read_to_string(&path).unwrap();
    let problem = |text: &str| {
        fs::write(&path, text).unwrap();
        match Config::read(&path) {
            Err(CliError::ConfigInvalid { line, problem, .. }) => (line, problem),
            other => panic!("{other:?}"),
        }
    };

    let (line, unknown) = problem(&text.replace("[audit]", "[audit]\nsurprise = 1"));
    assert!(unknown.contains("surprise"), "{unknown}");
    let audit = text.lines().position(|line| line == "[audit]").unwrap();
    assert_eq!(line, Some(audit + 2));

    let (_, scheme) = problem(&text.replace("A256KW", "ROT13"));
    assert!(scheme.contains("the schemes are"), "{scheme}");
    let (_, key) = problem(&text.replace("0101", "01"));
    assert!(key.contains("128 hexadecimal digits"), "{key}");
    problem(&text.replace("0202", "02020"));
    problem(&text.replace("write-through", "perhaps"));
    problem(&format!("{text}#{}", "x".repeat(70_000)));
}

#[test]
fn a_missing_file_says_where_it_was_looked_for() {
    let path = Path::new("/nonexistent/claviger.toml");
    assert!(matches!(Config::read(path), Err(CliError::ConfigMissing { .. })));
}

#[test]
fn a_path_is_quoted_for_the_shell_only_where_it_must_be() {
    assert_eq!(shell_word(Path::new("/a/b-c.d")), "/a/b-c.d");
    assert_eq!(shell_word(Path::new("/a b/it's")), r"'/a b/it'\''s'");
}

#[test]
fn modules_are_told_beside_the_configuration() {
    use claviger_token::{IvSource, Mechanisms, ModuleSettings};
    let (_home, path) = written();
    let spec = |module: &str| ModulesConfig::beside(Some(&path)).map(|file| file.spec(Path::new(module)));
    assert_eq!(spec("/opt/vendor.so").unwrap().settings, ModuleSettings::default());

    let file = path.with_file_name("modules.toml");
    let text = "[[module]]\npath = \"/opt/vendor.so\"\niv = \"token\"\ninit-args = \"x='y'\"\n\
                [module.mechanisms]\nkey-wrap = 0x80000171\ngcm = 0x8000011c\n";
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o600);
    let settings = spec("/opt/vendor.so").unwrap().settings;
    let mechanisms =
        Mechanisms { key_wrap: Some(0x8000_0171), gcm: Some(0x8000_011c), ..Mechanisms::default() };
    let told = ModuleSettings { mechanisms, iv: IvSource::Token, init_args: Some("x='y'".to_owned()) };
    assert_eq!(settings, told);
    assert_eq!(spec("/opt/other.so").unwrap().settings, ModuleSettings::default());

    fs::write(&file, "[[module]]\npath = \"/opt/vendor.so\"\nvi = \"token\"\n").unwrap();
    let outcome = spec("/opt/vendor.so");
    assert!(matches!(outcome, Err(CliError::ConfigInvalid { line: Some(_), .. })), "{outcome:?}");
    // Whoever can change what code is told can change what it does.
    fs::write(&file, text).unwrap();
    set_mode(&file, 0o622);
    let outcome = spec("/opt/vendor.so");
    assert!(matches!(outcome, Err(CliError::ConfigExposed { .. })), "{outcome:?}");
}
