//! The program on a terminal: `script` gives it one, and the test sits at it.

use crate::{World, claviger};
use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A run of the program at a terminal.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: ChildStdout,
    seen: String,
    read: usize,
}

impl Terminal {
    /// Starts the program with a line of arguments.
    pub fn start(world: &World, arguments: &str) -> Self {
        let mut command = Command::new("timeout");
        // `script` is essential in Debian (bsdutils). A test that waits for a question that never comes ends.
        command
            .args(["60", "script", "-qfec"])
            .arg(format!("{} {arguments}", claviger().display()))
            .arg("/dev/null");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", world.home()).env("TERM", "dumb");
        command.envs(world.token().env());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
                panic!("script does not start ({error}): apt-get install -y bsdutils")
            });
        let (Some(keyboard), Some(screen)) = (child.stdin.take(), child.stdout.take()) else {
            panic!("no pipes to script");
        };
        Self { child, keyboard, screen, seen: String::new(), read: 0 }
    }

    /// Waits until this appears, after whatever was waited for before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Self {
        loop {
            let fresh = self.seen.get(self.read..).unwrap_or_default();
            if let Some(at) = fresh.find(text) {
                self.read += at + text.len();
                return self;
            }
            let mut chunk = [0; 1024];
            let count = self.screen.read(&mut chunk).unwrap_or(0);
            assert!(count > 0, "{text:?} never appears:\n{}", self.seen);
            self.seen += &String::from_utf8_lossy(chunk.get(..count).unwrap_or_default());
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) -> &mut Self {
        writeln!(self.keyboard, "{line}")
            .and_then(|()| self.keyboard.flush())
            .unwrap_or_else(|error| panic!("nobody reads: {error}\n{}", self.seen));
        self
    }

    /// Kills the program, which can do nothing any more.
    pub fn kills(self) {
        let program = only_child(only_child(self.child.id()));
        let status = Command::new("kill").args(["-KILL", &program.to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{}", self.seen);
        self.ends();
    }

    /// Waits for the end: the exit code, and all that was on the screen.
    pub fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = Vec::new();
        let _ = self.screen.read_to_end(&mut rest);
        self.seen += &String::from_utf8_lossy(&rest);
        drop(self.keyboard);
        let status = self.child.wait().unwrap_or_else(|error| panic!("script does not end: {error}"));
        (status.code(), self.seen)
    }
}

/// The process that this one has started.
fn only_child(parent: u32) -> u32 {
    let list = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(&list).unwrap_or_else(|error| panic!("{list}: {error}"));
    children.trim().parse().unwrap_or_else(|_| panic!("{parent} has these children: {children:?}"))
}
