//! A pseudo-terminal with a process on it, for tests of what a user sees and types.
//!
//! The test holds the master side (pty(7)). To type, the test writes to the master side. Then the
//! test waits for expected output. A test looks for text, and not for a place on the screen.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::PATIENCE;

pub struct Terminal {
    master: File,
    /// Held open, so that the terminal outlives the process.
    slave: File,
    child: Child,
    seen: String,
    /// The settings of the terminal before the process started.
    pub first_settings: String,
}

impl Terminal {
    /// Runs `command` as a session leader on a new terminal of 24 rows and 80 columns.
    pub fn spawn(command: &Command) -> Terminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits() as i32)
            .open(name)
            .unwrap();
        let stream = || slave.try_clone().unwrap();
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => session.env(name, value),
                None => session.env_remove(name),
            };
        }
        session.stdin(stream()).stdout(stream()).stderr(stream());
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let first_settings = format!("{:?}", tcgetattr(slave.as_fd()).unwrap());
        let child = session.spawn().unwrap();
        drop(session);
        Terminal { master: master.into(), slave, child, seen: String::new(), first_settings }
    }

    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the output contains `part`. Drops the output up to the end of this part.
    #[track_caller]
    pub fn expect(&mut self, part: &str) {
        let started = Instant::now();
        loop {
            if let Some(at) = self.seen.find(part) {
                self.seen.drain(..at + part.len());
                return;
            }
            assert!(started.elapsed() < PATIENCE, "never showed {part:?}: {:?}", self.seen);
            self.read();
        }
    }

    /// Reads output, and waits at most 50 ms for it. Returns whether there was any.
    fn read(&mut self) -> bool {
        let wait = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&wait)).unwrap();
        if ready != 0 {
            let mut buffer = [0; 4096];
            let length = self.master.read(&mut buffer).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        ready != 0
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Whether the terminal is raw: without line editing, echo and keys that send signals.
    pub fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.slave.as_fd()).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The settings of the terminal as text, for comparisons.
    pub fn settings(&self) -> String {
        format!("{:?}", tcgetattr(self.slave.as_fd()).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process. Returns its status and the output that no `expect` has
    /// dropped.
    #[track_caller]
    pub fn wait(&mut self) -> (i32, String) {
        let started = Instant::now();
        loop {
            self.read();
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.read() {}
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
                return (code, std::mem::take(&mut self.seen));
            }
            assert!(started.elapsed() < PATIENCE, "hangs on its terminal: {:?}", self.seen);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Usually the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
