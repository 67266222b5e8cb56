//! A PKCS#11 module that stands before another one and makes it fail as a test says.
//!
//! `CLAVIGER_FAULT_MODULE` is the path of the real module, `CLAVIGER_FAULT_CONTROL` that of the control file, which is read
//! again at each call; absent or empty, nothing fails. Its first line is a number, the generation: when that changes, calls
//! are counted from the beginning and a token that was removed is back. Every other line is one fault,
//!
//! ```text
//! FUNCTION WHEN ACTION [ARGUMENTS]
//! ```
//!
//! where WHEN is `3` for the third call of that function, `3+` for the third and all later ones, or `every`. Numbers are
//! decimal, or hexadecimal with `0x`. Before the call, in the order of the lines:
//!
//! | ACTION | |
//! |---|---|
//! | `delay MS` | waits so many milliseconds |
//! | `abort`, `segv` | the process dies of SIGABRT, of SIGSEGV |
//! | `intrude` | tries what a module that was taken over might, see `intrude.rs` |
//! | `logout` | another session of the process has logged out of every token |
//! | `close-sessions` | all sessions of the process are closed |
//! | `finalize`, `reinitialize` | the module is finalised; and initialised again |
//! | `remove CKR` | no slot has a token any more; sessions are closed, and answer CKR until the next generation |
//!
//! For the call itself, each also on its own or with those above:
//!
//! | ACTION | |
//! |---|---|
//! | `return CKR` | answers so, without the real call |
//! | `after CKR` | answers so after the real call |
//! | `length N` | the first length or count that a successful call gives back is N |
//! | `flip BIT` | that bit of what a successful call gives back is flipped, counted from its first byte's lowest and around |
//! | `own-iv` | of `C_EncryptInit` with AES-GCM: the IV is the module's own, written over the caller's |
//! | `mechanism VENDOR=STANDARD` | STANDARD is no mechanism here, VENDOR is what does it |
//! | `flags SET CLEAR` | of `C_GetTokenInfo`: these flags are set, those are not |
//! | `null` | the function is not in the list, as of the next `C_GetFunctionList`, whatever WHEN |
//!
//! A control file that makes no sense ends the process with a message. Each call that ends is a line in the file
//! `CONTROL.log`: the function's name and its answer.

mod control;
mod faults;
mod interpose;
mod intrude;
mod log;
mod output;
mod real;
mod state;

/// Ends the process, because a test that asked for something else than it gets must not pass.
fn give_up(reason: &str) -> ! {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("claviger-fault: {reason}\n"));
    std::process::abort();
}
