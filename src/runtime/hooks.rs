//! Runs the hooks of an OCI bundle ("POSIX-platform Hooks" in config.md of the OCI runtime
//! specification): programs that run at fixed points of a container's life and read its state as
//! JSON from their standard input.
//!
//! A hook runs in the namespaces of the calling process, with the descriptors 0 to 2 only, and is
//! killed at its timeout. The output is read while the hook runs, so that the hook never blocks on
//! a full pipe. If the hook fails, the error shows the start of the output.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};

use super::spec::Hook;
use crate::error::{Context, Error, Result, fail};
use crate::raw;
use crate::sys;
use crate::sys::clone::{Child, Flags, Fork, clone3};

/// Where hooks run.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    /// The hook runs with the host's files, in this directory if the directory still exists.
    Host(&'a Path),
    /// The hook runs inside the container, in the program's working directory.
    Container {
        /// The hook's process calls this function before it executes the hook. The function
        /// confines the process as the container's program will be, because the hook is a file of
        /// the image.
        confine: &'a dyn Fn() -> Result<()>,
        /// The program's environment. As in runc, a hook that lists no environment gets this one. A
        /// file of the image must not see the caller's environment, which belongs to the host.
        env: &'a [CString],
    },
}

/// The largest part of a hook's output that an error shows, in bytes.
const MAX_OUTPUT: usize = 1024;

/// The JSON that a hook reads. `state` is a JSON object without its closing brace, to which
/// `status` and, if it is positive, `pid` are added.
pub fn input(state: &str, status: &str, pid: i32) -> String {
    let mut text = format!("{state},\"status\":\"{status}\"");
    if pid > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, ",\"pid\":{pid}");
    }
    text.push('}');
    text
}

/// Runs `hooks`, all of one `kind`, one after the other. Stops at the first failure and returns its
/// error.
pub fn run_all(kind: &str, hooks: &[Hook], place: Place<'_>, input: &str) -> Result<()> {
    hooks.iter().enumerate().try_for_each(|(index, hook)| {
        let what = || format!("error running {kind} hook #{index}: {}", hook.path);
        run(hook, place, input).context(what)
    })
}

/// Runs one hook and waits for its end. Fails if the hook cannot be executed, exits with a status
/// other than 0, is killed by a signal, or exceeds its timeout.
pub fn run(hook: &Hook, place: Place<'_>, input: &str) -> Result<()> {
    let stdin = memfd_create("state", MemfdFlags::CLOEXEC).context(|| "make the hook's input")?;
    let mut stdin = File::from(stdin);
    stdin
        .write_all(input.as_bytes())
        .and_then(|()| stdin.rewind())
        .context(|| "write the state")?;
    let (output, theirs) = pipe_with(PipeFlags::CLOEXEC).context(|| "make the hook's output")?;
    let c_string = |text: &String| {
        CString::new(raw::decode(text))
            .map_err(|_| Error::new(format!("'{text}' holds a zero byte")))
    };
    let args = if hook.args.is_empty() { std::slice::from_ref(&hook.path) } else { &hook.args };
    let args = args.iter().map(c_string).collect::<Result<Vec<_>>>()?;
    let env = match (&hook.env, place) {
        (Some(env), _) => env.iter().map(c_string).collect::<Result<Vec<_>>>()?,
        (None, Place::Host(_)) => inherited(),
        (None, Place::Container { env, .. }) => env.to_vec(),
    };
    let (path, vectors) = (c_string(&hook.path)?, sys::exec::Vectors::new(args, env));
    match clone3(Flags::default(), None).context(|| "fork")? {
        Fork::Child => {
            let ready = sys::fds::become_stdio([stdin.as_fd(), theirs.as_fd(), theirs.as_fd()])
                .and_then(|()| sys::fds::close_all_but(&[]));
            sys::signal::reset_all();
            let confined = match place {
                Place::Host(directory) => {
                    // Ignore an error, because a poststop hook must run even if the bundle is gone.
                    let _ = rustix::process::chdir(directory);
                    Ok(())
                }
                Place::Container { confine, .. } => confine(),
            };
            let Err(error) = confined.and_then(|()| {
                ready.and_then(|()| sys::exec::execve(&path, &vectors)).map_err(Error::from)
            });
            let words = error.to_string();
            let _ = rustix::io::write(rustix::stdio::stderr(), words.as_bytes());
            sys::exec::exit_now(crate::error::EXIT_NOT_FOUND)
        }
        Fork::Parent(child) => {
            drop((theirs, stdin));
            await_end(&child, output, hook.timeout.map(Duration::from_secs))
        }
    }
}

/// The environment of this process.
fn inherited() -> Vec<CString> {
    let pairs = std::env::vars_os().filter_map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec()).ok()
    });
    pairs.collect()
}

fn await_end(child: &Child, output: OwnedFd, timeout: Option<Duration>) -> Result<()> {
    // A timeout that the clock cannot express counts as no timeout.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut words = Vec::new();
    let mut open = true;
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let is_late = left.is_some_and(|left| left.is_zero());
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = vec![PollFd::new(&child.pidfd, PollFlags::IN)];
        if open {
            fds.push(PollFd::new(&output, PollFlags::IN));
        }
        match poll(&mut fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => drop(polled.context(|| "wait for it")?),
        }
        let ended = !fds[0].revents().is_empty();
        let has_words = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        // A hook, or a process that it leaves in the background, may write without end. So check
        // the timeout first, and once the hook has ended, stop reading at `MAX_OUTPUT` bytes.
        if is_late && !ended {
            super::end(child.pidfd.as_fd());
            let seconds = timeout.unwrap_or_default().as_secs();
            fail!("ended after its timeout of {seconds} s{}", shown(&words));
        }
        if has_words && (!ended || words.len() < MAX_OUTPUT) {
            open = read_some(output.as_fd(), &mut words);
        } else if ended {
            break;
        }
    }
    let status = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
    let status = status.context(|| "wait for it")?;
    let words = shown(&words);
    match status.as_ref().map(|status| (status.exit_status(), status.terminating_signal())) {
        Some((Some(0), _)) => Ok(()),
        Some((Some(code), _)) => fail!("exit status {code}{words}"),
        Some((None, Some(signal))) => fail!("ended by signal {signal}{words}"),
        _ => fail!("its exit status is unknown"),
    }
}

/// The output on one line, after a colon; empty without output.
fn shown(words: &[u8]) -> String {
    let words = String::from_utf8_lossy(words);
    let words = words.trim().replace('\n', " | ");
    if words.is_empty() { words } else { format!(": {words}") }
}

/// Reads up to 1024 bytes of output and keeps at most `MAX_OUTPUT` in total. Returns false at the
/// end of the output or if the read fails.
fn read_some(output: BorrowedFd<'_>, words: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 1024];
    match rustix::io::read(output, &mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(length) => {
            let room = MAX_OUTPUT.saturating_sub(words.len());
            words.extend_from_slice(&buffer[..length.min(room)]);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Place<'static> {
        Place::Host(Path::new("/proc"))
    }

    fn hook(script: &str, timeout: Option<u64>) -> Hook {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        Hook { path: "/bin/sh".to_owned(), args, env: Some(vec!["A=b".to_owned()]), timeout }
    }

    #[test]
    fn a_hook_reads_the_state_and_has_only_its_environment() {
        let state = input("{\"id\":\"x\"", "created", 7);
        assert_eq!(state, "{\"id\":\"x\",\"status\":\"created\",\"pid\":7}");
        let script = format!("[ \"$(cat)\" = '{state}' ] && [ \"$A\" = b ] && [ -z \"$CARGO\" ]");
        run(&hook(&script, None), host(), &state).unwrap();
        let without = |script: &str| Hook { env: None, ..hook(script, None) };
        let script = "[ \"$(pwd)\" = /proc ] && [ -n \"$CARGO_MANIFEST_DIR\" ]";
        run(&without(script), host(), &state).unwrap();
        let script = "[ -z \"$CARGO_MANIFEST_DIR\" ] && [ \"$ONE\" = two ]";
        let place = Place::Container { confine: &|| Ok(()), env: &[c"ONE=two".to_owned()] };
        run(&without(script), place, &state).unwrap();
    }

    #[test]
    fn the_error_of_a_failed_or_late_hook_shows_its_output() {
        let fails = |script: &str, timeout| {
            run_all("poststop", &[hook(script, timeout)], host(), "{}").unwrap_err().to_string()
        };
        let said = fails("echo no room; exit 3", None);
        assert_eq!(said, "error running poststop hook #0: /bin/sh: exit status 3: no room");
        assert!(fails("kill -9 $$", None).contains("signal 9"));
        assert!(fails("sleep 1000", Some(0)).contains("timeout"));
        // Endless output must not delay the timeout or the end of the hook.
        assert!(fails("exec yes", Some(1)).contains("timeout of 1 s: y | y"));
        run(&hook("yes & exit 0", None), host(), "{}").unwrap();
        let missing = Hook { path: "/nowhere".to_owned(), ..hook("", None) };
        let said = run(&missing, host(), "{}").unwrap_err().to_string();
        assert!(said.contains("No such file"), "{said}");
        // The output is longer than a pipe's buffer.
        run(&hook("head -c 300000 /dev/zero", None), host(), "{}").unwrap();
    }
}
