//! One run of the program.

use crate::claviger;
use std::{
    ffi::OsStr,
    io::Write as _,
    process::{Child, Command, Stdio},
};

/// A run that is being prepared: a clean environment, nothing on standard input, no terminal.
pub struct Run {
    command: Command,
    stdin: Vec<u8>,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Outcome {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    shown: String,
}

impl Run {
    /// The program with these arguments.
    pub fn new<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(claviger());
        command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin");
        Self { command, stdin: Vec::new() }
    }

    /// One more argument, of any bytes.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// A variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of its environment.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// What it reads.
    #[must_use]
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// Opens files on descriptors from 3 on, in this order.
    #[must_use]
    pub fn descriptors(self, files: &[&std::path::Path]) -> Self {
        let opened: Vec<_> =
            files.iter().enumerate().map(|(at, file)| format!("{}<'{}'", at + 3, file.display())).collect();
        self.under("sh", &["-c", &format!("exec \"$@\" {}", opened.join(" ")), "sh"])
    }

    /// The same run as a child of another program, which finds the command line behind its own arguments.
    #[must_use]
    pub fn under(mut self, program: &str, arguments: &[&str]) -> Self {
        let mut outer = Command::new(program);
        outer.args(arguments).arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        outer.envs(self.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.command = outer;
        self
    }

    /// The command itself, for what this type cannot say.
    pub const fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// Starts it; the test holds the other end of its standard input.
    pub fn waiting(mut self) -> Child {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().unwrap_or_else(|error| panic!("claviger does not start: {error}"))
    }

    /// Starts it and writes its input.
    pub fn start(mut self) -> Child {
        let stdin = std::mem::take(&mut self.stdin);
        let mut child = self.waiting();
        if let Some(mut input) = child.stdin.take() {
            // Whoever needs no input may be gone before it is written.
            let _ = input.write_all(&stdin);
        }
        child
    }

    /// Runs it to its end.
    pub fn outcome(self) -> Outcome {
        let shown = format!("{:?}", self.command);
        let output = self.start().wait_with_output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Outcome {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            shown,
        }
    }

    /// Runs it; it must succeed.
    #[track_caller]
    pub fn ok(self) -> Outcome {
        let outcome = self.outcome();
        assert_eq!(outcome.code, Some(0), "{}\n{}", outcome.shown, outcome.stderr);
        outcome
    }

    /// Runs it; it must fail with this code, say each of these, and offer help. Returns standard error.
    #[track_caller]
    pub fn fails(self, code: i32, says: &[&str]) -> String {
        let outcome = self.outcome();
        assert_eq!(outcome.code, Some(code), "{}\n{}", outcome.shown, outcome.stderr);
        for text in says {
            assert!(
                outcome.stderr.contains(text),
                "{}\nsays nothing of {text:?}:\n{}",
                outcome.shown,
                outcome.stderr
            );
        }
        outcome.stderr
    }
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap_or_else(|error| panic!("{}: {error}", self.shown))
    }

    /// Standard output as one JSON value.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}", self.shown, self.text()))
    }
}
