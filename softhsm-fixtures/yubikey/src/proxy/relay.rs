//! One client and its connection to pcscd.

use crate::{
    faults::{Action, Faults},
    protocol::{ANSWER_DATA, Command, HEADER, READERS, code, field, request_data, with_code},
};
use rustix::event::{PollFd, PollFlags, poll};
use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
};

/// The most that is taken for a structure, or for data behind it.
const LIMIT: usize = 1 << 20;

/// A request, and what it is if it is not passed on as it is.
struct Request {
    command: Option<Command>,
    structure: Vec<u8>,
    /// All of it, as it came.
    raw: Vec<u8>,
}

/// Passes on what either says until one is gone.
pub(crate) fn relay(
    mut client: UnixStream,
    mut server: UnixStream,
    faults: &Mutex<Faults>,
) -> io::Result<()> {
    loop {
        let (asks, tells) = {
            let mut both = [PollFd::new(&client, PollFlags::IN), PollFd::new(&server, PollFlags::IN)];
            poll(&mut both, None)?;
            (!both[0].revents().is_empty(), !both[1].revents().is_empty())
        };
        // What comes without having been asked for now: about readers that change.
        if tells {
            let mut buffer = [0; 4096];
            let length = server.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            client.write_all(&buffer[..length])?;
        } else if asks {
            let request = receive(&mut client)?;
            let action = request
                .command
                .and_then(|command| faults.lock().unwrap_or_else(PoisonError::into_inner).count(command));
            match (request.command, action) {
                (_, Some(Action::Drop)) => return Ok(()),
                (Some(Command::Readers), Some(Action::Instead(_) | Action::After(_))) => {
                    client.write_all(&[0; READERS])?;
                }
                (_, Some(Action::Instead(code))) => client.write_all(&with_code(request.structure, code))?,
                (Some(command), Some(Action::After(code))) => {
                    server.write_all(&request.raw)?;
                    let (structure, _) = answer(&mut server, command, request.structure.len())?;
                    client.write_all(&with_code(structure, code))?;
                }
                (Some(command), None) => {
                    server.write_all(&request.raw)?;
                    let (structure, data) = answer(&mut server, command, request.structure.len())?;
                    client.write_all(&[structure, data].concat())?;
                }
                (None, _) => server.write_all(&request.raw)?,
            }
        }
    }
}

fn receive(client: &mut UnixStream) -> io::Result<Request> {
    let mut raw = exactly(client, HEADER)?;
    let (size, number) = (field(&raw, 0), field(&raw, 4));
    let structure = exactly(client, size as usize)?;
    raw.extend(&structure);
    if let Some(at) = request_data(number) {
        raw.extend(exactly(client, field(&structure, at) as usize)?);
    }
    Ok(Request { command: Command::of(number), structure, raw })
}

/// An answer's structure, and the data behind it.
fn answer(server: &mut UnixStream, command: Command, size: usize) -> io::Result<(Vec<u8>, Vec<u8>)> {
    if command == Command::Readers {
        return Ok((exactly(server, READERS)?, Vec::new()));
    }
    let structure = exactly(server, size)?;
    let follows = command == Command::Transmit && code(&structure) == 0;
    let length = if follows { field(&structure, ANSWER_DATA) as usize } else { 0 };
    let data = exactly(server, length)?;
    Ok((structure, data))
}

fn exactly(stream: &mut UnixStream, length: usize) -> io::Result<Vec<u8>> {
    if length > LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
