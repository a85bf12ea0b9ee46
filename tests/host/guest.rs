//! A running guest: qemu as a child process, with the guest's serial line for input and output.
//!
//! The guest is emulated in software (TCG), so the tests need no KVM. On the serial line the
//! harness sends the name of a script, and the guest's agent (guest/agent) prints the script's
//! output between the lines `@@begin NAME` and `@@end STATUS`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A guest that prints nothing for this long has failed.
const MAX_SILENCE: Duration = Duration::from_secs(90);

pub struct Guest {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// The received text that no function has returned yet.
    pending: String,
}

/// The settings of a guest, without its disks.
#[derive(Clone)]
pub struct Machine {
    pub architecture: &'static str,
    pub kernel: PathBuf,
    pub initramfs: PathBuf,
    pub share: PathBuf,
    pub memory_megabytes: u32,
    pub command_line: &'static str,
}

impl Machine {
    pub fn console(&self) -> &'static str {
        if self.architecture == "arm64" { "ttyAMA0" } else { "ttyS0" }
    }

    /// Boots the guest with `disks`, each given as qemu's options.
    pub fn boot(&self, disks: &[Vec<String>]) -> Guest {
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
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.initramfs)
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
            .args(disks.iter().flatten());
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
    /// Waits for `mark` and returns the text before it. Fails if the guest ends or is silent for
    /// `MAX_SILENCE`.
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

    /// The next complete line; `None` if the guest has ended or `until` has passed.
    pub fn line(&mut self, until: Instant) -> Option<String> {
        loop {
            if let Some(at) = self.pending.find('\n') {
                let line: String = self.pending.drain(..=at).collect();
                return Some(line.trim_end().to_owned());
            }
            self.receive(until.saturating_duration_since(Instant::now())).ok()?;
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
        // Ignore an error: the next `expect` notices that the guest has ended.
        let _ = self.keyboard.write_all(text.as_bytes());
        let _ = self.keyboard.flush();
    }

    /// Runs a script of the share. Returns its output and its exit status.
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

    /// Makes the guest shut down and waits for its end. Kills a guest that is silent for
    /// `MAX_SILENCE`.
    pub fn shut_down(mut self) {
        self.send("poweroff\n");
        while self.receive(MAX_SILENCE).is_ok() {}
    }

    /// Kills the guest without a shutdown.
    pub fn kill(self) {}
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A raw image as a virtio disk. The host does not sync the image, because it is only used during
/// the test.
pub fn disk(image: &Path) -> Vec<String> {
    let path: PathBuf = image.to_owned();
    vec!["-drive".to_owned(), format!("file={},if=virtio,format=raw,cache=unsafe", path.display())]
}

/// A raw image whose writes are logged, in the order of the guest's requests.
pub fn logged_disk(image: &Path, log: &Path) -> Vec<String> {
    let file = |name: &str, path: &Path| {
        format!("driver=file,node-name={name},filename={},cache.no-flush=on", path.display())
    };
    let words = [
        "-blockdev",
        &file("disk-file", image),
        "-blockdev",
        &file("log-file", log),
        "-blockdev",
        "driver=blklogwrites,node-name=logged,file=disk-file,log=log-file",
        "-device",
        "virtio-blk-pci,drive=logged,write-cache=on",
    ];
    words.map(str::to_owned).to_vec()
}

/// A qemu that the kernel kills when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
fn emulator(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}
