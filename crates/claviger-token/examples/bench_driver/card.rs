//! A YubiKey behind the PIV driver, and the bare transaction: begin, GENERAL AUTHENTICATE, end, with nothing between.

use crate::{CONTEXT, Maker, Options, Step, driver_unwrap, in_turns, report};
use claviger_token::{Access, Driver as _, NewKek, PinFile, PivKek, Uri, piv::PivDriver};
use claviger_types::{EcPoint, Key256, OsEntropy, RecipientId, Scheme};
use std::{hint::black_box, path::Path, sync::Arc};

/// Where the driver makes its key on a card that has none.
const SLOT: u8 = 0x9d;
const P256: u8 = 0x11;

/// Measures the first card.
pub(crate) fn measure(module: &str, pin_file: &Path, options: &Options) {
    let access = Access::new(Arc::new(PinFile::new(pin_file.to_owned())), Arc::new(OsEntropy));
    let new = NewKek {
        recipient: RecipientId::random(&OsEntropy).unwrap(),
        label: "bench".to_owned(),
        scheme: None,
        allow_sha1: false,
        piv: PivKek { touch_policy: Some("never".to_owned()), ..PivKek::default() },
    };
    let (token, _) = PivDriver.generate(&Uri::default(), &access, &new).unwrap();
    let wrapped = token.wrap(&Key256::random(&OsEntropy).unwrap(), CONTEXT).unwrap();
    let command = command(&wrapped.ephemeral.unwrap());
    let unwrap = || driver_unwrap(token.as_ref(), &wrapped);
    let bare = || agree(&command);
    let sides: [Maker<'_, '_>; 2] = [&unwrap, &bare];
    // A card does one thing at a time.
    let [driver, bare] = in_turns(1, options.turns, sides);
    report(module, Scheme::EcdhEsA256Kw, "unwrap", 1, driver, bare);
}

/// GENERAL AUTHENTICATE with this point.
fn command(point: &EcPoint) -> Vec<u8> {
    let template = [&[0x82, 0, 0x85, 65, 4][..], &point.x, &point.y].concat();
    let header = [0, 0x87, P256, SLOT, 71, 0x7c, 69];
    [&header[..], &template, &[0]].concat()
}

/// The loop on a connection of its own. The PIN was given: that is the card's, whoever asks.
fn agree(command: &[u8]) -> Step<'_> {
    let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
    let readers = context.list_readers_owned().unwrap();
    let connect = |reader: &_| context.connect(reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY);
    let mut card = Connection(readers.iter().find_map(|reader| connect(reader).ok()));
    let mut answer = [0; 258];
    Box::new(move || {
        let transaction = card.0.as_mut().unwrap().transaction().unwrap();
        let answer = transaction.transmit(command, &mut answer).unwrap();
        assert!(answer.ends_with(&[0x90, 0]), "{answer:02x?}");
        black_box(answer);
        transaction.end(pcsc::Disposition::LeaveCard).map_err(|(_, error)| error).unwrap();
    })
}

/// Left without a reset, which would take the PIN away.
struct Connection(Option<pcsc::Card>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(Err((card, _))) = self.0.take().map(|card| card.disconnect(pcsc::Disposition::LeaveCard))
        {
            std::mem::forget(card);
        }
    }
}
