//! Other programs come and go at the same card, and reset it as they go: that costs time, and nothing else.

use super::hands::{Heard, attended, kek};
use crate::lab::{CONTEXT, Lab, fresh, key};
use claviger_token::TokenError;
use softhsm_fixtures::{At, PcscFault, YubiKey};
use std::{
    ffi::CString,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const UNRESPONSIVE: u32 = 0x8010_0066;
const UNPOWERED: u32 = 0x8010_0067;
const RESET: u32 = 0x8010_0068;
const GET_VERSION: [u8; 5] = [0, 0xfd, 0, 0, 0];

/// Somebody who comes, asks something, and resets the card or turns it off, again and again.
struct Passers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Passers {
    fn at(key: &YubiKey, ends: &[pcsc::Disposition]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pass = |end: &pcsc::Disposition| {
            let (stop, end) = (Arc::clone(&stop), *end);
            let reader = CString::new(key.reader()).unwrap();
            thread::spawn(move || {
                let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    // They stand in each other's way, too.
                    let _ = pass(&context, &reader, end);
                    thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let threads = ends.iter().map(pass).collect();
        Self { stop, threads }
    }

    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn pass(context: &pcsc::Context, reader: &CString, end: pcsc::Disposition) -> Result<(), pcsc::Error> {
    let mut card = context.connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY)?;
    let transaction = card.transaction()?;
    let mut buffer = [0; 258];
    transaction.transmit(&GET_VERSION, &mut buffer)?;
    transaction.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error)?;
    card.disconnect(end).map_err(|(_, error)| error)
}

/// Each use goes well, and none of them takes a PIN from the card.
pub(crate) fn each_use_goes_well(lab: &Lab<'_>) {
    use pcsc::Disposition::{ResetCard, UnpowerCard};

    let (lab, yubikey, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let description = made.describe().clone();
    let open = || lab.open_as(description.recipient, description.scheme, &description.profile);
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    for ends in
        [&[ResetCard][..], &[ResetCard; 3], &[UnpowerCard], &[UnpowerCard, ResetCard], &[UnpowerCard; 3]]
    {
        let passers = Passers::at(&yubikey, ends);
        for _ in 0..3 {
            assert!(key(&made, &wrapped).same_as(&cek));
            assert_eq!(lab.driver.list().unwrap().len(), 1, "{ends:?}");
        }
        passers.end();
    }
    drop(made);
    for ends in
        [&[ResetCard][..], &[ResetCard; 3], &[UnpowerCard], &[ResetCard, UnpowerCard], &[UnpowerCard; 3]]
    {
        let passers = Passers::at(&yubikey, ends);
        for turn in 0..2 {
            let opened = open().unwrap_or_else(|error| panic!("{ends:?}, {turn}: {error:?}"));
            assert!(key(&opened, &wrapped).same_as(&cek));
            drop(opened);
            assert_eq!(lab.driver.list().unwrap().len(), 1, "{ends:?}, {turn}");
        }
        passers.end();
    }
    let heard = person.heard();
    let all_tries = |heard: &Heard| matches!(heard, Heard::Pin { left: Some(3), .. });
    assert!(heard.iter().all(all_tries), "{heard:?}");
}

const CALLS: [&str; 3] = ["connect", "begin", "transmit"];

/// What a call says once, or a few times in a row, while others reset the card or turn it off.
pub(crate) fn what_passes_is_got_over(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let description = kek(&lab, None, "once", "never").describe().clone();
    person.heard();
    let passing = [
        0x8010_0001, // SCARD_F_INTERNAL_ERROR
        0x8010_000f, // SCARD_E_PROTO_MISMATCH
        0x8010_0013, // SCARD_F_COMM_ERROR
        0x8010_0016, // SCARD_E_NOT_TRANSACTED
        0x8010_0017, // SCARD_E_READER_UNAVAILABLE
        UNRESPONSIVE,
        UNPOWERED,
        RESET,
    ];
    for call in CALLS {
        for code in passing {
            for times in [1, 3] {
                for nth in 1..=times {
                    lab.instance.pcsc_faults().inject(call, At::Nth(nth), PcscFault::Instead(code));
                }
                let opened = lab.open_as(description.recipient, description.scheme, &description.profile);
                assert!(opened.is_ok(), "{call}, {code:08x}, {times}: {opened:?}");
                lab.instance.pcsc_faults().clear();
            }
        }
    }
    let all_tries = |heard: &Heard| matches!(heard, Heard::Pin { left: Some(3), .. });
    let heard = person.heard();
    assert!(heard.iter().all(all_tries), "{heard:?}");
}

/// What is not over in time: the card is not said to be absent, and one that is absent is told at once.
pub(crate) fn what_lasts_is_told(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let description = kek(&lab, None, "once", "never").describe().clone();
    person.heard();
    let outcome = |call, code| {
        lab.instance.pcsc_faults().inject(call, At::Every, PcscFault::Instead(code));
        let begin = Instant::now();
        let opened = lab.open_as(description.recipient, description.scheme, &description.profile).map(drop);
        let took = begin.elapsed();
        lab.instance.pcsc_faults().clear();
        (opened, took)
    };
    for (call, code) in CALLS.into_iter().zip([UNPOWERED, RESET, UNRESPONSIVE]) {
        let (opened, took) = outcome(call, code);
        assert!(matches!(opened, Err(TokenError::CardFailed { .. })), "{call}, {code:08x}: {opened:?}");
        assert!(took < Duration::from_secs(4), "{call}, {code:08x}: {took:?}");
    }
    // SCARD_E_UNKNOWN_READER, SCARD_E_NO_SMARTCARD, SCARD_W_REMOVED_CARD.
    for code in [0x8010_0009, 0x8010_000c, 0x8010_0069] {
        let (opened, took) = outcome("connect", code);
        assert!(matches!(opened, Err(TokenError::TokenAbsent { .. })), "{code:08x}: {opened:?}");
        assert!(took < Duration::from_secs(1), "{code:08x}: {took:?}");
    }
    assert_eq!(person.heard(), []);
}

/// Under a handle that is open: so many resets in a row are got over, and no PIN is given twice for one login.
pub(crate) fn resets_in_a_row_are_got_over(lab: &Lab<'_>) {
    let (lab, _, person) = attended(lab);
    let made = kek(&lab, None, "once", "never");
    let cek = fresh();
    let wrapped = made.wrap(&cek, CONTEXT).unwrap();
    person.heard();
    for (call, code) in [("begin", RESET), ("transmit", RESET), ("begin", UNPOWERED)] {
        for nth in 1..=5 {
            lab.instance.pcsc_faults().inject(call, At::Nth(nth), PcscFault::Instead(code));
        }
        assert!(key(&made, &wrapped).same_as(&cek), "{call}, {code:08x}");
        lab.instance.pcsc_faults().clear();
        assert_eq!(person.heard(), [], "the PIN stands");
    }
}
