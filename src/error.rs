//! The project's error type. An `Error` is a chain of messages, the innermost first: `context` adds
//! a message at each caller that knows more ("mount overlay on /x"). An `Error` also has an exit
//! status and, if it was made from an errno, that errno. The user sees the chain on one line;
//! `--debug` prints one line for each message.

use std::fmt;

use rustix::io::Errno;

/// A result with the project's `Error`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The exit status for failures of the engine itself, as in Docker.
pub const EXIT_ENGINE: u8 = 125;
/// The exit status if the container's command exists but can't be executed, as in Docker.
pub const EXIT_NOT_EXECUTABLE: u8 = 126;
/// The exit status if the container's command does not exist, as in Docker.
pub const EXIT_NOT_FOUND: u8 = 127;

/// An error is one pointer, so that a `Result` is small. With the fields inline, the binary is
/// 130 kB larger.
pub struct Error(Box<Details>);

struct Details {
    /// The messages, the innermost first.
    chain: Vec<String>,
    errno: Option<Errno>,
    exit_code: u8,
    kind: Kind,
}

/// The kind of an error, for callers that treat some errors in a special way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Other,
    /// The container, network, volume or compose file does not exist.
    Absent,
    /// No directory of PATH has the program.
    NotInPath,
    /// The command line is wrong.
    Usage,
    /// The value of a flag is wrong in a way that only Docker's daemon checks.
    Daemon,
}

impl Error {
    /// An error with a message and the exit status 125.
    pub fn new(message: impl Into<String>) -> Self {
        Error::begin(message.into(), None)
    }

    fn begin(message: String, errno: Option<Errno>) -> Self {
        let (chain, exit_code) = (vec![bounded(message)], EXIT_ENGINE);
        Error(Box::new(Details { chain, errno, exit_code, kind: Kind::Other }))
    }

    /// The error for a container, network, volume or compose file that does not exist. With this
    /// error, a forced removal succeeds.
    pub fn absent(message: impl Into<String>) -> Self {
        let mut error = Error::new(message);
        error.0.kind = Kind::Absent;
        error
    }

    /// The error for a program that is in no directory of PATH. The exit status is 127.
    pub fn not_in_path(message: impl Into<String>) -> Self {
        let mut error = Error::new(message).exit_with(EXIT_NOT_FOUND);
        error.0.kind = Kind::NotInPath;
        error
    }

    /// Marks the error as a mistake in the command line that Docker's client finds before it asks
    /// the daemon. `create` then exits with 125 and not with 1.
    pub fn of_usage(mut self) -> Self {
        self.0.kind = Kind::Usage;
        self
    }

    /// Whether `of_usage` marked the error.
    pub fn is_usage(&self) -> bool {
        self.0.kind == Kind::Usage
    }

    /// Marks the error as a bad value of a flag: Docker's client accepts the value, and Docker's
    /// daemon refuses it. `create` and `update` then exit with 1 and not with 125.
    pub fn of_daemon(mut self) -> Self {
        self.0.kind = Kind::Daemon;
        self
    }

    /// Whether `of_daemon` marked the error.
    pub fn is_daemon(&self) -> bool {
        self.0.kind == Kind::Daemon
    }

    /// Whether the error came from `absent`.
    pub fn is_absent(&self) -> bool {
        self.0.kind == Kind::Absent
    }

    /// Whether the error came from `not_in_path`.
    pub fn is_not_in_path(&self) -> bool {
        self.0.kind == Kind::NotInPath
    }

    /// The error of `fail!`. This function formats the text, and not each call site, to keep the
    /// binary small.
    pub fn from_arguments(message: fmt::Arguments<'_>) -> Self {
        Error::begin(message.to_string(), None)
    }

    /// Adds a message about the caller's action. `context` calls this.
    fn with_context(mut self, doing: String) -> Self {
        self.0.chain.push(bounded(doing));
        self
    }

    /// Returns the same error with another exit status.
    pub fn exit_with(mut self, code: u8) -> Self {
        self.0.exit_code = code;
        self
    }

    /// The exit status of this error. The command line replaces the status for most commands.
    pub fn exit_code(&self) -> u8 {
        self.0.exit_code
    }

    /// The errno that the error was made from, if there is one.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }

    /// The messages of the chain, the outermost first.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.0.chain.iter().rev().map(String::as_str)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, link) in self.links().enumerate() {
            if i > 0 {
                f.write_str(": ")?;
            }
            f.write_str(link)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        // The standard library's text without its suffix " (os error N)", which does not help a
        // user.
        let text = std::io::Error::from(errno).to_string();
        let mut text = text.split(" (os error").next().unwrap_or_default().to_owned();
        if errno == Errno::NOSYS {
            text.push_str(" (mydocker needs Linux 5.10 or later)");
        }
        Error::begin(text, Some(errno))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(raw) => Errno::from_raw_os_error(raw).into(),
            None => Error::new(error.to_string()),
        }
    }
}

/// Adds a message to the error of a result: what the caller was doing, such as "open /x".
pub trait Context<T> {
    fn context<M: Message>(self, doing: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context<M: Message>(self, doing: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| doing().add_to(error))
    }
}

/// A message that `context` adds. The functions are not inlined, so that each of the hundreds of
/// call sites is one call.
pub trait Message {
    fn add_to<E: Into<Error>>(self, error: E) -> Error;
}

impl Message for String {
    #[inline(never)]
    fn add_to<E: Into<Error>>(self, error: E) -> Error {
        error.into().with_context(self)
    }
}

impl Message for &str {
    #[inline(never)]
    fn add_to<E: Into<Error>>(self, error: E) -> Error {
        error.into().with_context(self.to_owned())
    }
}

/// Returns from the function with an error, such as `fail!("bad port '{text}'")`.
macro_rules! fail {
    ($($arg:tt)*) => { return Err($crate::error::Error::from_arguments(format_args!($($arg)*))) };
}
pub(crate) use fail;

/// The length in bytes above which a message is cut: a container can make very long paths.
const MAX_LINK: usize = 2048;
/// The longest path, in bytes before the escapes, that `shortened` does not cut.
const MAX_PATH: usize = 240;

/// A path for a message: bytes that are not printable ASCII are escaped, and the middle of a long
/// path is replaced.
pub fn shortened(path: &[u8]) -> String {
    if path.len() <= MAX_PATH {
        return path.escape_ascii().to_string();
    }
    let (start, end) = (&path[..MAX_PATH / 2], &path[path.len() - MAX_PATH / 2..]);
    format!("{}…{}", start.escape_ascii(), end.escape_ascii())
}

/// Replaces the middle of a text that is longer than `MAX_LINK`.
fn bounded(text: String) -> String {
    if text.len() <= MAX_LINK {
        return text;
    }
    let mut start = MAX_LINK / 2;
    let mut end = text.len() - MAX_LINK / 2;
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    format!("{}…{}", &text[..start], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_and_messages_lose_their_middle() {
        assert_eq!(shortened(b"/a\n\xff"), "/a\\n\\xff");
        let path = [b"/begin".as_slice(), &vec![b'\n'; 4000], b"/end"].concat();
        let shown = shortened(&path);
        assert!(
            shown.len() < 3 * MAX_PATH && shown.starts_with("/begin") && shown.ends_with("/end")
        );
        let long = "é".repeat(MAX_LINK);
        let error = Error::new(format!("x{long}")).with_context(format!("{long}x"));
        assert!(error.to_string().len() < 2 * MAX_LINK + 20);
    }

    #[test]
    fn a_chain_reads_outside_in() {
        let inner: Result<()> = Err(Errno::NOENT.into());
        let outer = inner.context(|| "open /x").context(|| "start c1").unwrap_err();
        assert_eq!(outer.to_string(), "start c1: open /x: No such file or directory");
        assert_eq!(outer.errno(), Some(Errno::NOENT));
        assert_eq!(outer.exit_code(), EXIT_ENGINE);
    }
}
