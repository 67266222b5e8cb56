use super::*;

#[test]
fn slots_are_named_by_two_digits() {
    for slot in Slot::all() {
        assert_eq!(slot.to_string().parse(), Ok(slot));
        assert_eq!(Slot::new(slot.byte()), Some(slot));
    }
    assert_eq!("9D".parse(), Ok(Slot::KEY_MANAGEMENT));
    for wrong in ["", "9", "9b", "81", "96", "f9", "0x9d", "+9d", "9d ", "029d", "9\u{e4}"] {
        assert_eq!(wrong.parse::<Slot>(), Err(UnknownSlot), "{wrong}");
    }
    assert_eq!(Slot::all().count(), 24);
}

#[test]
fn certificates_lie_where_the_standard_says() {
    // SP 800-73-4 part 1, table 3.
    let named = [("9a", 0x5f_c105), ("9c", 0x5f_c10a), ("9d", 0x5f_c10b), ("9e", 0x5f_c101)];
    for (slot, object) in named.into_iter().chain([("82", 0x5f_c10d), ("95", 0x5f_c120)]) {
        assert_eq!(slot.parse::<Slot>().unwrap().certificate(), object, "{slot}");
    }
}

#[test]
fn a_kek_is_made_where_nothing_else_belongs() {
    assert_eq!(Slot::homes().next(), Some(Slot::KEY_MANAGEMENT));
    let homes: Vec<_> = Slot::all().filter(|slot| slot.is_home()).collect();
    assert_eq!(homes.len(), 21);
    assert!(!"9c".parse::<Slot>().unwrap().is_home());
}
