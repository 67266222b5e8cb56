use super::*;
use claviger_types::{CredentialName, ServiceName};
use proptest::prelude::*;

fn named(service: &str, name: &str) -> Reference {
    Reference { service: ServiceName::new(service).unwrap(), name: Some(CredentialName::new(name).unwrap()) }
}

#[test]
fn hostile_names_neither_break_lines_nor_reach_the_terminal() {
    assert_eq!(reference(&named("new\nline", "\u{1b}[2J")), "new%0Aline/%1B[2J");
    assert_eq!(reference(&named("rtl\u{202e}", "x")), "rtl%E2%80%AE/x");
    assert_eq!(reference(&named("Ünïcødé 服务 🔑", "a/b")), "Ünïcødé 服务 🔑/a%2Fb");
    assert_eq!(plain("a\nb\u{1b}[0m\u{2066}"), "a\\nb\\u{1b}[0m\\u{2066}");
}

#[test]
fn columns_line_up_by_width_and_not_by_characters() {
    let rows = [["服务", "x"], ["openai", "y"]].map(|row| row.map(String::from).to_vec());
    assert_eq!(table(&rows), "服务    x\nopenai  y\n");
    assert_eq!(table(&[]), "");
}

#[test]
fn words_for_a_shell_are_quoted_where_they_must_be() {
    assert_eq!(shell("openai/api_key"), "openai/api_key");
    assert_eq!(shell("it's; rm"), r"'it'\''s; rm'");
    assert_eq!(shell("a\nb"), "a%0Ab");
    assert_eq!(shell("$(x)"), "'$(x)'");
}

#[test]
fn moments_read_as_dates() {
    let of = |seconds: u64| time(Timestamp::from_millis(seconds * 1000));
    assert_eq!(of(0), "1970-01-01T00:00:00Z");
    assert_eq!(of(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(of(1_700_000_000), "2023-11-14T22:13:20Z");
    assert_eq!(of(4_102_444_799), "2099-12-31T23:59:59Z");
}

proptest! {
    #[test]
    fn every_shown_reference_is_read_back_as_itself(service in ".{0,20}", name in ".{0,20}") {
        let meant = named(&service, &name);
        let shown = reference(&meant);
        prop_assert!(!shown.chars().any(is_hostile));
        prop_assert_eq!(shown.parse::<Reference>().unwrap(), meant);
    }
}

#[test]
fn a_day_is_read_as_it_is_shown() {
    for day_number in [0_u64, 58, 59, 60, 364, 365, 789, 10_957, 11_016, 20_417, 47_540, 100_000] {
        let moment = Timestamp::from_millis(day_number * 86_400_000);
        assert_eq!(day(time(moment).split('T').next().unwrap()), Some(moment));
    }
    for wrong in
        ["", "2027", "2027-1-01", "2027-02-29", "2027-13-01", "2027-04-31", "1969-12-31", "2027-01-00", "x"]
    {
        assert_eq!(day(wrong), None, "{wrong}");
    }
}
