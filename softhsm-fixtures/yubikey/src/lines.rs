//! A socket that obeys: one command a line, one answer a line, which is `ok` with what was asked for, or `error` and why.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
};

/// Why a command is not obeyed, or what it asked for.
pub(crate) type Obeyed = Result<String, &'static str>;

/// Serves this socket for ever.
pub(crate) fn serve(listener: &UnixListener, obey: impl Fn(&[&str]) -> Obeyed + Send + Sync + 'static) {
    let obey = Arc::new(obey);
    for stream in listener.incoming().flatten() {
        let obey = Arc::clone(&obey);
        thread::spawn(move || serve_one(&stream, &*obey));
    }
}

fn serve_one(stream: &UnixStream, obey: &(impl Fn(&[&str]) -> Obeyed + ?Sized)) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match obey(&words) {
            Ok(answer) if answer.is_empty() => "ok\n".to_owned(),
            Ok(answer) => format!("ok {answer}\n"),
            Err(why) => format!("error {why}: {line}\n"),
        };
        let mut out = stream;
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
