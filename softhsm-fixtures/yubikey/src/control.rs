//! What the control socket understands; how it answers is described in [`lines`](crate::lines).
//!
//! - `touch auto`, `touch never`, `touch after MS`: what happens when the card wants a touch;
//! - `touch-timeout MS`: how long it waits for one;
//! - `remove`, `insert`: the card leaves the reader and comes back; `where`: whether it is `in` or `out`;
//! - `delay MS`: how much longer each command takes;
//! - `counts`, `counts reset`: how many commands of each instruction came, and how many touches were wanted;
//! - `inject INS AT ACTION`, `inject clear`. INS is the instruction in hexadecimal, or `any`. AT is `N` (the Nth from now
//!   on), `every` or `from N`. ACTION is `status SW`, `after SW` (the card does it first), `length N` (of the answer's
//!   data), `flip BIT` (of the answer's data), `secret` (it agreed on one, it says), `remove`, `remove-after` (the card does it first), `reset` or `delay MS`.

use crate::{
    at::At,
    faults::Action,
    lines::Obeyed,
    world::{Touch, World},
};
use std::time::Duration;

/// Does what these words say.
pub(crate) fn obey(words: &[&str], world: &World) -> Obeyed {
    match words {
        ["touch", "auto"] => world.change(|state| state.touch = Touch::Auto),
        ["touch", "never"] => world.change(|state| state.touch = Touch::Never),
        ["touch", "after", time] => {
            let time = milliseconds(time)?;
            world.change(|state| state.touch = Touch::After(time));
        }
        ["touch-timeout", time] => {
            let time = milliseconds(time)?;
            world.change(|state| state.patience = time);
        }
        ["remove"] => world.remove(),
        ["insert"] => world.change(|state| state.inserted = true),
        ["where"] => return Ok(if world.state().inserted { "in" } else { "out" }.to_owned()),
        ["delay", time] => {
            let time = milliseconds(time)?;
            world.change(|state| state.delay = time);
        }
        ["counts"] => return Ok(world.state().faults.counts()),
        ["counts", "reset"] => world.state().faults.reset_counts(),
        ["inject", "clear"] => world.state().faults.clear(),
        ["inject", ins, rest @ ..] => {
            let (at, action) = At::parse(rest)?;
            inject(world, ins, at, action)?;
        }
        _ => return Err("no such command"),
    }
    Ok(String::new())
}

fn inject(world: &World, instruction: &str, at: At, action: &[&str]) -> Result<(), &'static str> {
    let ins = match instruction {
        "any" => None,
        number => Some(u8::from_str_radix(number, 16).map_err(|_| "no instruction")?),
    };
    let code = |text: &str| u16::from_str_radix(text, 16).map_err(|_| "no status word");
    let size = |text: &str| text.parse::<usize>().map_err(|_| "no number");
    let action = match action {
        ["status", status] => Action::Status(code(status)?),
        ["after", status] => Action::After(code(status)?),
        ["length", length] => Action::Length(size(length)?),
        ["secret"] => Action::Secret,
        ["flip", bit] => Action::Flip(size(bit)?),
        ["remove"] => Action::Remove,
        ["remove-after"] => Action::RemoveAfter,
        ["reset"] => Action::Reset,
        ["delay", time] => Action::Delay(milliseconds(time)?),
        _ => return Err("no such action"),
    };
    world.state().faults.inject(ins, at, action);
    Ok(())
}

fn milliseconds(word: &str) -> Result<Duration, &'static str> {
    word.parse().map(Duration::from_millis).map_err(|_| "no number")
}
