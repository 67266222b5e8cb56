//! The child's side: gives up its rights, loads the module, does what it is asked, and ends with the socket.
//!
//! Each thread reads a request and does it; there is always one more that reads, so that a PIN's answer is heard while
//! others wait for it.

use super::{
    eager::Eager,
    frame::{self, Frames},
    objects::Objects,
    sandbox,
    wire::{Ask, Reply, Request, Told, VERSION},
};
use crate::{Attendant, PinPrompt, PinSource, TokenError, TokenName};
use claviger_codec as codec;
use claviger_types::{Pin, SecretBytes};
use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Threads that are kept though they have nothing to do; more end.
const SPARE: usize = 4;

thread_local! {
    /// The request that this thread does.
    static DOING: Cell<u64> = const { Cell::new(0) };
}

/// Ends this process at once. Of what is registered for an exit, a module's own among it, nothing runs: it may wait, or
/// crash, and may hold the loader's lock.
#[allow(unsafe_code)] // The C library's own way; the standard library has none.
fn end(status: i32) -> ! {
    // SAFETY: the call ends the process; nothing of it is used after that.
    unsafe { libc::_exit(status) }
}

/// Serves the driver on the other end of this socket until that closes it, and then ends this process. It returns only where
/// nothing was loaded yet.
///
/// Everything that the process may do is given up before the module is loaded (`sandbox`), for the calling thread and all that
/// it starts: call it from the first thread of a process that does nothing else.
pub fn serve(socket: UnixStream) -> io::Result<()> {
    // A session of its own has no terminal, and no part in Ctrl-C: this process ends with its parent's socket. Whoever leads
    // one already has none, either.
    let _ = rustix::process::setsid();
    let mut reader = Frames::new(Eager(socket.try_clone()?, None));
    let Some(Request { number, ask: Ask::Hello { version, backend, sandbox } }) = read(&mut reader)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no hello"));
    };
    let line = Arc::new(Line { writer: Mutex::new(socket), answers: Mutex::default() });
    if version != VERSION {
        return line.write(number, Told::Ready { version: VERSION, unenforced: Vec::new() });
    }
    let unenforced = match sandbox::enter(&sandbox, backend.path()) {
        Ok(unenforced) => unenforced,
        Err(reason) => return line.write(number, Told::Failed(TokenError::HostUnusable { reason })),
    };
    line.write(number, Told::Ready { version: VERSION, unenforced })?;
    let parent = Arc::new(Parent(Arc::clone(&line)));
    let server = Arc::new(Server {
        reader: Mutex::new(reader),
        line,
        objects: Objects::new(backend.driver(), parent),
        idle: AtomicUsize::new(1),
    });
    server.work(true);
    end(0)
}

/// Closes every descriptor above standard error that was inherited, so that a module finds none of them. Call it before this
/// process has opened any.
#[allow(unsafe_code)] // The kernel's own call for it; the standard library has none.
pub fn close_inherited() {
    // SAFETY: nothing in this process owns a descriptor above standard error yet, as the caller promises, so none is closed
    // under anybody.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

fn read(reader: &mut Frames<Eager>) -> io::Result<Option<Request>> {
    let Some(body) = reader.next()? else { return Ok(None) };
    codec::from_slice(&body).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

struct Server {
    reader: Mutex<Frames<Eager>>,
    line: Arc<Line>,
    objects: Objects,
    // Threads that read or wait to.
    idle: AtomicUsize,
}

impl Server {
    /// Reads requests and does them, until the socket ends, or there are threads enough and this is not the one that stays.
    fn work(self: &Arc<Self>, stays: bool) {
        loop {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            let request = read(&mut reader);
            drop(reader);
            let Ok(Some(Request { number, ask })) = request else {
                // The parent is gone, or speaks nonsense: nothing that a thread still does is wanted by anybody.
                end(0);
            };
            match ask {
                Ask::Secret(secret) => self.line.answer(number, Ok(secret.bytes())),
                Ask::NoSecret(error) => self.line.answer(number, Err(error)),
                ask => {
                    self.leave_a_reader();
                    self.do_one(number, ask);
                    if self.idle.fetch_add(1, Ordering::SeqCst) >= SPARE && !stays {
                        self.idle.fetch_sub(1, Ordering::SeqCst);
                        return;
                    }
                }
            }
        }
    }

    /// This thread will be busy. If it was the last that reads, another takes its place.
    fn leave_a_reader(self: &Arc<Self>) {
        if self.idle.fetch_sub(1, Ordering::SeqCst) > 1 {
            return;
        }
        self.idle.fetch_add(1, Ordering::SeqCst);
        let server = Arc::clone(self);
        let started = thread::Builder::new().spawn(move || server.work(false));
        if started.is_err() {
            // Without a thread that reads, nobody would hear an answer.
            end(1);
        }
    }

    fn do_one(&self, number: u64, ask: Ask) {
        DOING.set(number);
        let told = match self.objects.perform(ask) {
            None => return,
            Some(told) => told.unwrap_or_else(Told::Failed),
        };
        if self.line.write(number, told).is_err() {
            end(0);
        }
    }
}

/// By the number of the request, whoever waits for an answer of the parent's.
type Answers = BTreeMap<u64, mpsc::Sender<Result<SecretBytes, TokenError>>>;

/// The way to the parent, and what it answered.
struct Line {
    writer: Mutex<UnixStream>,
    answers: Mutex<Answers>,
}

impl Line {
    fn write(&self, number: u64, told: Told) -> io::Result<()> {
        let body = codec::to_secret_vec(&Reply { number, told })
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut *writer, &body)
    }

    fn answer(&self, number: u64, answer: Result<SecretBytes, TokenError>) {
        if let Some(asker) = self.answers().remove(&number) {
            let _ = asker.send(answer);
        }
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parent knows where PINs come from, and whom to tell.
pub(super) struct Parent(Arc<Line>);

impl Parent {
    /// Asks for a secret; `None` where nobody is there any more.
    fn ask(&self, told: Told) -> Option<Result<SecretBytes, TokenError>> {
        let number = DOING.get();
        let (asker, answer) = mpsc::channel();
        self.0.answers().insert(number, asker);
        self.0.write(number, told).ok()?;
        answer.recv().ok()
    }
}

const NOBODY: &str = "nobody is there to ask";

impl PinSource for Parent {
    fn pin(&self, prompt: &PinPrompt) -> Result<Pin, TokenError> {
        let nobody = || Err(TokenError::PinUnavailable { reason: NOBODY.to_owned() });
        self.ask(Told::PinWanted(prompt.clone())).unwrap_or_else(nobody).map(Pin::new)
    }
}

impl Attendant for Parent {
    fn touch(&self, token: &TokenName) {
        // Whether that arrives, the next that is said shows.
        let _ = self.0.write(DOING.get(), Told::TouchWanted(token.clone()));
    }

    fn management_key(&self, token: &TokenName) -> Result<SecretBytes, TokenError> {
        let nobody = || Err(TokenError::ManagementKeyUnavailable { reason: NOBODY.to_owned() });
        self.ask(Told::ManagementKeyWanted(token.clone())).unwrap_or_else(nobody)
    }

    fn stayed(&self, token: &TokenName, slot: &str) {
        let _ = self.0.write(DOING.get(), Told::Stayed { token: token.clone(), slot: slot.to_owned() });
    }
}
