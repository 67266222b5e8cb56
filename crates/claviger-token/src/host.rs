//! The module in a child process: a driver like any other, whose calls go over a socket.
//!
//! A module is C code from elsewhere. In a process of its own, a crash of it costs one error, its memory ends with it, and it
//! can touch little: `serve` is that process, which gives up rights (`sandbox`) before it loads the module; [`HostDriver`] is
//! the other side, which starts it, starts it again after a crash, and ends it. Between them go frames of deterministic CBOR
//! with a length before each (`frame`, `wire`).
//!
//! The way of one unwrap: [`HostDriver`]'s key writes a request with a number of its own, one of the child's threads reads
//! it, calls the module through the same driver as without a child, and writes the reply under that number. Where the login
//! was lost under it, the child asks for the PIN with the request's number, and whoever waits for the reply answers. What a
//! key pair wraps is wrapped in software, and never goes there.

mod backend;
mod channel;
mod client;
mod eager;
mod frame;
mod objects;
mod process;
mod remote;
mod sandbox;
mod serve;
mod token;
mod wire;

pub use backend::Backend;
pub use client::HostDriver;
pub use process::{Deadlines, HostSpec};
pub use sandbox::Sandbox;
pub use serve::{close_inherited, serve};

/// Whether these bytes are a request of the parent's, and whether they are a reply of the child's. For fuzzing.
pub fn reads(frame: &[u8]) -> [bool; 2] {
    wire::reads(frame)
}
