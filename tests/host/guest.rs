//! A running guest: qemu as a child, its serial line as the way to type and to read.
//!
//! Everything is emulated in software (TCG), so that the tests need no KVM. The serial line carries
//! the harness's protocol: a script's name goes in, and what it says comes back between the lines
//! `@@begin NAME` and `@@end STATUS` (guest/agent).

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A guest that says nothing for so long hangs.
const MAX_SILENCE: Duration = Duration::from_secs(180);

pub struct Guest {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// Received, not yet looked at.
    pending: String,
}

/// What a guest is made of.
pub struct Machine<'a> {
    pub architecture: &'a str,
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    pub share: &'a Path,
    pub memory_megabytes: u32,
    pub command_line: &'a str,
    /// Options of qemu for each disk.
    pub disks: Vec<Vec<String>>,
}

impl Machine<'_> {
    pub fn console(&self) -> &'static str {
        if self.architecture == "arm64" { "ttyAMA0" } else { "ttyS0" }
    }

    pub fn boot(&self) -> Guest {
        let mut command = match self.architecture {
            "arm64" => {
                let mut command = emulator("qemu-system-aarch64");
                command.args(["-machine", "virt", "-cpu", "cortex-a72"]);
                command
            }
            _ => {
                let mut command = emulator("qemu-system-x86_64");
                command.args(["-machine", "q35", "-cpu", "max"]);
                command
            }
        };
        command
            .args(["-accel", "tcg", "-nodefaults", "-no-reboot", "-display", "none"])
            .args(["-serial", "stdio", "-m", &self.memory_megabytes.to_string()])
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-append")
            .arg(format!(
                "console={} quiet loglevel=1 panic=-1 {}",
                self.console(),
                self.command_line
            ))
            .arg("-virtfs")
            .arg(format!(
                "local,path={},mount_tag=share,security_model=none,readonly=on",
                self.share.display()
            ))
            .args(self.disks.iter().flatten());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start qemu");
        let keyboard = child.stdin.take().unwrap();
        let mut line = child.stdout.take().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = line.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Guest { child, keyboard, screen, pending: String::new() }
    }
}

impl Guest {
    /// Waits for `mark`; gives what came before it.
    pub fn expect(&mut self, mark: &str) -> Result<String, String> {
        loop {
            if let Some(at) = self.pending.find(mark) {
                let before = self.pending[..at].to_owned();
                self.pending.drain(..at + mark.len());
                return Ok(before);
            }
            self.receive(MAX_SILENCE).map_err(|reason| {
                format!(
                    "waited for {mark:?} and the guest {reason}; its last words:\n{}",
                    self.pending
                )
            })?;
        }
    }

    fn receive(&mut self, patience: Duration) -> Result<(), &'static str> {
        let bytes = self.screen.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => "was silent",
            RecvTimeoutError::Disconnected => "ended",
        })?;
        let text = String::from_utf8_lossy(&bytes).replace('\r', "");
        self.pending.push_str(&text);
        Ok(())
    }

    pub fn send(&mut self, text: &str) {
        // A guest that has ended is noticed by the next `expect`.
        let _ = self.keyboard.write_all(text.as_bytes());
        let _ = self.keyboard.flush();
    }

    /// Runs a script of the share; gives what it wrote and its exit status.
    pub fn run(&mut self, name: &str, typed: &[(&str, &str)]) -> Result<(String, String), String> {
        self.send(&format!("{name}\n"));
        self.expect(&format!("@@begin {name}\n"))?;
        let mut output = String::new();
        for (prompt, answer) in typed {
            output.push_str(&self.expect(prompt)?);
            output.push_str(prompt);
            self.send(answer);
        }
        output.push_str(&self.expect("@@end ")?);
        let status = self.expect("\n")?;
        Ok((output, status))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw image as a virtio disk. The host's own syncing is left out: the images don't outlive the
/// test.
pub fn disk(image: &Path) -> Vec<String> {
    let path: PathBuf = image.to_owned();
    vec!["-drive".to_owned(), format!("file={},if=virtio,format=raw,cache=unsafe", path.display())]
}

/// Dies with the harness, however that dies.
fn emulator(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}
