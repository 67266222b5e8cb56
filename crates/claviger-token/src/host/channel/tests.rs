use super::*;
use crate::host::wire::Bytes;
use std::thread;

const LONG: Duration = Duration::from_secs(20);

/// A channel and the child's end of it.
fn pair() -> (Channel, Child) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Channel::new(ours).unwrap(), Frames::new(theirs))
}

/// The child's end, with what was read ahead.
type Child = Frames<UnixStream>;

fn hear(child: &mut Child) -> Request {
    codec::from_slice(&child.next().unwrap().unwrap()).unwrap()
}

fn reply(child: &mut Child, number: u64, told: Told) {
    frame::write(&mut child.stream, &codec::to_vec(&Reply { number, told }).unwrap()).unwrap();
}

#[test]
fn each_of_many_gets_its_own_reply_in_whatever_order_they_come() {
    const MANY: usize = 3 * MOST_AT_ONCE;
    let (channel, mut child) = pair();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut held: Vec<Request> = Vec::new();
            for heard in 1..=MANY {
                held.push(hear(&mut child));
                // Those that came last are answered first; never so many are held that nobody is left to ask.
                if heard % 7 == 0 || heard == MANY {
                    for Request { number, ask } in held.drain(..).rev() {
                        let Ask::Close { object } = ask else { panic!("{ask:?}") };
                        reply(&mut child, number, Told::Values(vec![Bytes(object.to_be_bytes().to_vec())]));
                    }
                }
            }
        });
        let callers: Vec<_> = (0..MANY as u64)
            .map(|object| {
                let channel = &channel;
                scope.spawn(move || {
                    let exchange = channel.ask(Ask::Close { object }).unwrap();
                    let Told::Values(values) = exchange.told(LONG).unwrap() else { panic!("another reply") };
                    assert_eq!(values[0].0, object.to_be_bytes());
                })
            })
            .collect();
        for caller in callers {
            caller.join().unwrap();
        }
    });
    assert!(channel.inbox().waiting.is_empty());
}

#[test]
fn a_request_may_have_several_replies() {
    let (channel, mut child) = pair();
    let exchange = channel.ask(Ask::List).unwrap();
    let Request { number, .. } = hear(&mut child);
    reply(&mut child, number, Told::Was(true));
    assert!(matches!(exchange.told(LONG), Ok(Told::Was(true))));
    exchange.say(Ask::List).unwrap();
    assert_eq!(hear(&mut child).number, number);
    reply(&mut child, number, Told::Done);
    assert!(matches!(exchange.told(LONG), Ok(Told::Done)));
}

/// What closes the channel for one closes it for all, those who begin later included.
fn closes(closed: Closed, within: Duration, act: impl FnOnce(UnixStream) -> Option<UnixStream>) {
    let (channel, child) = pair();
    let (first, second) = (channel.ask(Ask::List).unwrap(), channel.ask(Ask::List).unwrap());
    let kept = act(child.stream);
    thread::scope(|scope| {
        for exchange in [&first, &second] {
            scope.spawn(move || assert_eq!(exchange.told(within).unwrap_err(), closed));
        }
    });
    assert_eq!(channel.ask(Ask::List).err(), Some(closed));
    drop(kept);
}

#[test]
fn an_end_a_silence_and_nonsense_are_told_apart() {
    closes(Closed::Ended, LONG, |_| None);
    closes(Closed::Late, Duration::from_millis(20), Some);
    let send = |body: Vec<u8>| {
        move |mut child: UnixStream| {
            frame::write(&mut child, &body).unwrap();
            Some(child)
        }
    };
    closes(Closed::Nonsense, LONG, send(vec![0xff]));
    // A reply that nobody waits for.
    closes(Closed::Nonsense, LONG, send(codec::to_vec(&Reply { number: 99, told: Told::Done }).unwrap()));
    // A length that no frame has, and a frame that is cut.
    let raw = |bytes: &'static [u8]| {
        move |mut child: UnixStream| {
            io::Write::write_all(&mut child, bytes).unwrap();
            None
        }
    };
    closes(Closed::Nonsense, LONG, raw(&[0xff; 4]));
    closes(Closed::Ended, LONG, raw(&[0, 0, 0, 9, 1]));
}

/// One is asked for a PIN and takes long over it; another waits in the child for that login.
#[test]
fn nobody_is_late_while_somebody_is_asked() {
    const SHORT: Duration = Duration::from_millis(30);
    let (channel, mut child) = pair();
    let (asked, waits) = (channel.ask(Ask::List).unwrap(), channel.ask(Ask::List).unwrap());
    let (first, second) = (hear(&mut child).number, hear(&mut child).number);
    thread::scope(|scope| {
        let (begun, beginning) = std::sync::mpsc::channel();
        scope.spawn(move || {
            asked.answering(|| {
                begun.send(()).unwrap();
                thread::sleep(8 * SHORT);
                asked.say(Ask::List).unwrap();
            });
            assert!(matches!(asked.told(LONG), Ok(Told::Done)));
        });
        beginning.recv().unwrap();
        scope.spawn(move || assert!(matches!(waits.told(SHORT), Ok(Told::Was(true)))));
        assert_eq!(hear(&mut child).number, first);
        reply(&mut child, first, Told::Done);
        reply(&mut child, second, Told::Was(true));
    });
    assert_eq!(channel.ask(Ask::List).unwrap().told(SHORT).unwrap_err(), Closed::Late);
}
