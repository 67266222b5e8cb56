//! The card's side of vpcd, the driver by which pcscd has it in a reader.
//!
//! The card connects to the reader's TCP port. Messages in both directions have a length of two bytes before them; one of
//! one byte is about power, all others are commands.

use crate::{card::Card, world::World};
use rustix::net::sockopt::set_tcp_quickack;
use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    thread,
    time::Duration,
};

/// A YubiKey 5's.
const ATR: [u8; 23] = [
    0x3b, 0xfd, 0x13, 0x00, 0x00, 0x81, 0x31, 0xfe, 0x15, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57, 0x59, 0x75,
    0x62, 0x69, 0x4b, 0x65, 0x79, 0x40,
];
/// Between attempts to reach a reader that is not there (yet).
const PAUSE: Duration = Duration::from_millis(10);

const OFF: u8 = 0;
const ON: u8 = 1;
const RESET: u8 = 2;
const GET_ATR: u8 = 4;

/// Serves the reader at this port for ever, whenever the card is in it.
pub(crate) fn serve(port: u16, card: &mut Card<'_>, world: &World) -> ! {
    loop {
        world.wait_for_insertion();
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(reader) => {
                if world.connected(&reader) {
                    // It ends when the card is pulled, or pcscd ends.
                    let _ = serve_reader(reader, card, world);
                }
                card.power_off();
                if !world.state().inserted {
                    card.unplug();
                }
            }
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn serve_reader(mut reader: TcpStream, card: &mut Card<'_>, world: &World) -> io::Result<()> {
    reader.set_nodelay(true)?;
    loop {
        let message = receive(&mut reader)?;
        match message.as_slice() {
            [OFF | ON | RESET] => card.power_off(),
            [GET_ATR] => send(&mut reader, &ATR)?,
            command => {
                let answer = card.transmit(command, world);
                // Pulled meanwhile.
                let Some(answer) = answer.filter(|_| world.state().inserted) else { return Ok(()) };
                send(&mut reader, &answer)?;
            }
        }
    }
}

fn receive(reader: &mut TcpStream) -> io::Result<Vec<u8>> {
    // The driver sends length and message apart and waits for the first to be acknowledged: 40 ms unless that is at once.
    // The kernel forgets this setting, so each read begins with it.
    let mut read = |buffer: &mut [u8]| {
        set_tcp_quickack(&*reader, true)?;
        reader.read_exact(buffer)
    };
    let mut length = [0; 2];
    read(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    read(&mut message)?;
    Ok(message)
}

fn send(reader: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    reader.write_all(&[&length.to_be_bytes(), message].concat())
}
