use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn the_body_runs_with_its_own_environment() {
    let test = concat!(module_path!(), "::the_body_runs_with_its_own_environment");
    in_own_process(test, Provider::SoftHsm, |instance| {
        let (name, config) = &instance.env()[0];
        assert_eq!(env::var_os(name).map(PathBuf::from).as_ref(), Some(config));
        assert!(config.starts_with(instance.home()) && config.exists());
        let tokens = instance.home().join("tokens");
        assert_eq!(fs::read_dir(&tokens).unwrap().count(), 1);
        instance.add_token("another");
        assert_eq!(fs::read_dir(&tokens).unwrap().count(), 2);
    });
}

#[test]
fn a_body_that_fails_fails_its_test() {
    let test = concat!(module_path!(), "::a_body_that_fails_fails_its_test");
    let fails = AssertUnwindSafe(|| in_own_process(test, Provider::SoftHsm, |_| panic!("as it should")));
    if env::var_os(HOME).is_some() {
        fails();
    } else {
        let message = catch_unwind(fails).unwrap_err().downcast::<String>().unwrap();
        assert!(message.contains("as it should"), "{message}");
    }
}

#[test]
fn a_name_that_is_no_test_fails() {
    let run =
        AssertUnwindSafe(|| in_own_process("crate::process::tests::misspelt", Provider::SoftHsm, |_| ()));
    let message = catch_unwind(run).unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no test is called"), "{message}");
}

#[test]
fn a_missing_tool_is_named_with_its_package() {
    let run = AssertUnwindSafe(|| run(&mut Command::new("no-such-tool"), "apt-get install -y it"));
    let message = catch_unwind(run).unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no-such-tool") && message.contains("apt-get install -y it"), "{message}");
}

#[test]
fn an_instance_leaves_nothing_behind() {
    let instance = Provider::SoftHsm.instance();
    let home = instance.home().to_owned();
    assert!(instance.pin_file().exists());
    drop(instance);
    assert!(!home.exists());
}
