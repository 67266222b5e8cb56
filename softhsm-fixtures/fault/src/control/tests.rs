use super::{Action, Control};
use std::time::Duration;

#[test]
fn every_action_is_read() {
    for (words, action) in [
        ("return 0x30", Action::Return(0x30)),
        ("after 48", Action::After(48)),
        ("delay 20", Action::Delay(Duration::from_millis(20))),
        ("abort", Action::Abort),
        ("segv", Action::Segv),
        ("logout", Action::Logout),
        ("close-sessions", Action::CloseSessions),
        ("finalize", Action::Finalize),
        ("reinitialize", Action::Reinitialize),
        ("remove 0x32", Action::Remove(0x32)),
        ("length 0xffffffffffffffff", Action::Length(!0)),
        ("flip 9", Action::Flip(9)),
        ("own-iv", Action::OwnIv),
        ("mechanism 0x80000001=0x2109", Action::Mechanism { vendor: 0x8000_0001, standard: 0x2109 }),
        ("flags 4 0x8", Action::Flags { set: 4, clear: 8 }),
        ("null", Action::Null),
    ] {
        let control = Control::parse(&format!("7\nC_Sign every {words}\n")).unwrap();
        assert_eq!((control.generation, control.due("C_Sign", 5)), (7, vec![action]), "{words}");
    }
}

#[test]
fn calls_are_counted_from_one() {
    let control = Control::parse("1\nC_Sign 2 abort\nC_Sign 3+ segv\nC_Login every null").unwrap();
    let due = |call| control.due("C_Sign", call);
    assert_eq!((due(1), due(2)), (vec![], vec![Action::Abort]));
    assert_eq!((due(3), due(4)), (vec![Action::Segv], vec![Action::Segv]));
    assert!(control.is_null("C_Login") && !control.is_null("C_Sign"));
    assert_eq!(control.due("C_Encrypt", 1), []);
}

#[test]
fn nothing_is_no_fault_and_nonsense_is_said() {
    assert_eq!(Control::parse(""), Ok(Control::default()));
    for text in [
        "C_Sign every abort",
        "1\n\n",
        "1\nC_Sign every",
        "1\nC_Nothing every abort",
        "1\nC_Sign 0 abort",
        "1\nC_Sign always abort",
        "1\nC_Sign every explode",
        "1\nC_Sign every return",
        "1\nC_Sign every return CKR_OK",
        "1\nC_Sign every abort now",
        "1\nC_Sign every mechanism 1",
    ] {
        let outcome = Control::parse(text);
        assert!(outcome.as_ref().is_err_and(|reason| reason.starts_with("line ")), "{text}: {outcome:?}");
    }
}
