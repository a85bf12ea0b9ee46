//! Lists a container's processes with the host's ps(1), for `top` with options of ps and for `ps`
//! of the OCI runtime.
//!
//! As in Docker, ps first gets the container's PIDs (`-q`). If ps fails with `-q`, as busybox's ps
//! does, or if the PIDs are too many for one argument, ps runs without `-q`. In each case only the
//! lines about the container's processes are kept. A container controls the command lines that ps
//! prints. So the length of the output is limited, and a caller that prints to a terminal must
//! escape the lines.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};

use crate::error::{Context, Result, fail};

/// The longest accepted output of ps, in bytes.
const MAX_OUTPUT: u64 = 16 << 20;
/// The longest line that is returned, in bytes. A process can have megabytes of arguments.
const MAX_LINE: usize = 4 << 10;
/// The longest error message of ps that is read, in bytes.
const MAX_MESSAGE: u64 = 4096;
/// The largest number of PIDs in `-q`. One argument holds at most 128 KiB (execve(2)).
const MAX_ASKED: usize = 10_000;

/// Runs ps with `options`. Returns the title line of the output and the lines about `pids`; `None`
/// if this host has no ps. Fails if ps fails, prints more than 16 MiB or prints no column PID, or
/// if `options` give another column a title that starts with PID.
pub fn list(options: &[String], pids: &[i32]) -> Result<Option<Vec<String>>> {
    refuse_other_pids(options)?;
    let asked: Vec<String> = pids.iter().map(i32::to_string).collect();
    let by_pid = format!("-q{}", asked.join(","));
    let mut answer = Answer::Missing;
    if (1..=MAX_ASKED).contains(&pids.len()) {
        answer = run(options.iter().map(String::as_str).chain([by_pid.as_str()]))?;
    }
    if !matches!(answer, Answer::Printed(_)) {
        answer = run(options.iter().map(String::as_str))?;
    }
    match answer {
        Answer::Missing => Ok(None),
        Answer::Failed(message) => fail!("ps {}: {message}", options.join(" ")),
        Answer::Printed(text) => of(&text, pids).map(Some),
    }
}

/// Refuses options such as `-o ppid=PID`, which would make another column look like the column of
/// PIDs.
fn refuse_other_pids(options: &[String]) -> Result<()> {
    let columns = options.iter().flat_map(|option| option.split([',', ' ']));
    for (column, title) in columns.filter_map(|column| column.split_once('=')) {
        if title.starts_with("PID") && column.trim_start_matches("-o") != "pid" {
            fail!("ps {column}={title}: only the column pid can have this title");
        }
    }
    Ok(())
}

/// The result of one run of ps.
enum Answer {
    /// This host has no ps.
    Missing,
    Printed(String),
    /// The first line of the error message that ps printed.
    Failed(String),
}

fn run<'a>(args: impl Iterator<Item = &'a str>) -> Result<Answer> {
    let mut command = Command::new("ps");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut ps = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Answer::Missing),
        spawned => spawned.context(|| "run ps")?,
    };
    let (mut output, mut message) = (Vec::new(), Vec::new());
    let mut read = Ok(0);
    if let Some(pipe) = &mut ps.stdout {
        read = pipe.take(MAX_OUTPUT + 1).read_to_end(&mut output);
    }
    let is_too_long = output.len() as u64 > MAX_OUTPUT;
    if is_too_long {
        // An error means that ps has already ended.
        let _ = ps.kill();
    } else if let Some(pipe) = &mut ps.stderr {
        read = read.and(pipe.take(MAX_MESSAGE).read_to_end(&mut message));
    }
    drop((ps.stdout.take(), ps.stderr.take()));
    let ended = ps.wait().context(|| "wait for ps")?;
    read.context(|| "read the output of ps")?;
    if is_too_long {
        fail!("ps prints more than {MAX_OUTPUT} bytes; ask for fewer columns");
    }
    if ended.success() {
        return Ok(Answer::Printed(String::from_utf8_lossy(&output).into_owned()));
    }
    let message = String::from_utf8_lossy(&message);
    let message = message.lines().find(|line| !line.is_empty()).unwrap_or("it failed");
    Ok(Answer::Failed(message.to_owned()))
}

/// Returns the title line and the lines about `pids` from `text`, the output of ps.
fn of(text: &str, pids: &[i32]) -> Result<Vec<String>> {
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let Some(column) = title.split_whitespace().position(|word| word == "PID") else {
        fail!("ps prints no column PID with these options; add it, as in -o pid,args")
    };
    let mut is_before = false;
    let is_of_container = |line: &&str| {
        let word = line.split_whitespace().nth(column).unwrap_or_default();
        // A line about a thread has no PID and belongs to the last process above it.
        if word != "-" {
            is_before = word.parse().is_ok_and(|pid: i32| pids.contains(&pid));
        }
        is_before
    };
    let shown = lines.filter(is_of_container).collect::<Vec<_>>();
    let cut = |line: &str| line[..line.floor_char_boundary(MAX_LINE)].to_owned();
    Ok(std::iter::once(title).chain(shown).map(cut).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_containers_processes_are_kept() {
        let text = "USER   PID COMMAND\nroot     1 init\nroot    12 sleep 1\n-    - thread\nroot 2 12\n\
                    - - other\n";
        let kept = of(text, &[12, 7]).unwrap();
        assert_eq!(kept, ["USER   PID COMMAND", "root    12 sleep 1", "-    - thread"]);
        assert!(of("COMMAND\nsleep\n", &[12]).is_err());
        assert!(of("", &[12]).is_err());
    }

    #[test]
    fn no_other_column_can_be_called_pid() {
        let refused = |text: &str| {
            refuse_other_pids(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_err()
        };
        assert!(
            refused("-o ppid=PID") && refused("-oppid=PID,args") && refused("-o args,ppid=PID2")
        );
        assert!(!refused("-o pid=PID,args") && !refused("-opid=PID") && !refused("aux"));
    }
}
