use super::*;

#[test]
fn a_clock_that_shows_another_age_is_wrong() {
    for (millis, right) in [
        (0, false),
        (NOT_BEFORE.as_millis() - 1, false),
        (NOT_BEFORE.as_millis(), true),
        (NOT_AFTER.as_millis() - 1, true),
        (NOT_AFTER.as_millis(), false),
    ] {
        let mut checks = Checks::default();
        clock_shows(&mut checks, Timestamp::from_millis(millis));
        assert_eq!(checks.failed().is_none(), right, "{millis}");
    }
}
