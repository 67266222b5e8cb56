use super::*;
use proptest::prelude::*;
use std::convert::Infallible;

const COMMAND: Command<'static> = Command { name: "PUT DATA", ins: 0xdb, p1: 0x3f, p2: 0xff, data: &[] };

/// Status and data, unless what came is no answer.
type Told = Option<(u16, Vec<u8>)>;

/// What is sent, and what is told for these answers in turn.
fn asked(data: &[u8], answers: &[&[u8]]) -> (Vec<Vec<u8>>, Told) {
    let (mut sent, mut answers) = (Vec::new(), answers.iter());
    let answer = ask(&Command { data, ..COMMAND }, |bytes, answer| {
        sent.push(bytes.to_vec());
        let next = answers.next().copied().unwrap_or(&[0x90, 0]);
        answer[..next.len()].copy_from_slice(next);
        Ok::<_, Infallible>(next.len())
    });
    (sent, answer.ok().map(|answer| (answer.status.0, answer.data.to_vec())))
}

#[test]
fn a_short_command_is_one_piece() {
    let (sent, answer) = asked(&[1, 2], &[&[7, 0x6a, 0x82]]);
    assert_eq!(sent, [[0, 0xdb, 0x3f, 0xff, 2, 1, 2, 0]]);
    assert_eq!(answer, Some((0x6a82, vec![7])));
    assert_eq!(asked(&[], &[]).0, [[0, 0xdb, 0x3f, 0xff, 0]]);
}

#[test]
fn a_long_command_is_chained() {
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(600).collect();
    let (sent, answer) = asked(&data, &[]);
    assert_eq!(answer, Some((0x9000, vec![])));
    assert_eq!(sent.iter().map(|piece| piece[0]).collect::<Vec<_>>(), [0x10, 0x10, 0]);
    let carried: Vec<u8> =
        sent.iter().flat_map(|piece| piece[5..5 + usize::from(piece[4])].to_vec()).collect();
    assert_eq!(carried, data);
    let (sent, answer) = asked(&data, &[&[0x69, 0x82]]);
    assert_eq!((sent.len(), answer), (1, Some((0x6982, vec![]))), "a refused piece is the last");
}

#[test]
fn a_long_answer_is_fetched() {
    let full = [&[5; 256][..], &[0x61, 0]].concat();
    let (sent, answer) = asked(&[1], &[&full, &[6, 0x61, 1], &[7, 0x90, 0]]);
    assert_eq!(sent[1..], [vec![0, 0xc0, 0, 0, 0], vec![0, 0xc0, 0, 0, 1]]);
    assert_eq!(answer, Some((0x9000, [&[5; 256][..], &[6, 7]].concat())));
}

#[test]
fn a_card_that_never_ends_is_stopped() {
    let full = [&[5; 256][..], &[0x61, 0]].concat();
    assert_eq!(asked(&[], &vec![&full[..]; 100]).1, None);
    assert_eq!(asked(&[], &[&[0x61, 0][..]; 100]).1, None);
    for short in [&[][..], &[0x90]] {
        assert_eq!(asked(&[], &[short]).1, None);
    }
}

#[test]
fn tries_are_told_by_the_last_digit() {
    assert_eq!(Status(0x63c2).tries_left(), Some(2));
    assert_eq!(Status(0x63c0).tries_left(), Some(0));
    for other in [0x6300, 0x63d1, 0x9000, 0x6983] {
        assert_eq!(Status(other).tries_left(), None);
    }
}

proptest! {
    #[test]
    fn nothing_that_a_card_says_makes_it_panic(
        answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..258), 0..5),
    ) {
        let answers: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
        let _ = asked(b"data", &answers);
    }
}
