use super::*;

#[test]
fn xdg_wins_over_home_and_home_over_nothing() {
    let paths =
        Paths { home: Some("/home/ada".into()), config_home: Some("/xdg/config".into()), ..Paths::default() };
    assert_eq!(paths.config().unwrap(), Path::new("/xdg/config/claviger/claviger.toml"));
    assert_eq!(paths.store().unwrap(), Path::new("/home/ada/.local/share/claviger/vault.db"));
    let vault = VaultId::from_bytes([1; 16]);
    assert_eq!(
        paths.anchors(vault).unwrap(),
        Path::new("/home/ada/.local/state/claviger/anchors").join("01".repeat(16)),
    );
}

#[test]
fn a_missing_home_is_an_error_that_names_the_variable() {
    let error = Paths::default().store().unwrap_err();
    assert!(matches!(error, CliError::NoHome { variable: "XDG_DATA_HOME" }), "{error}");
}
