//! The signal that `stop` sends to a container (`--stop-signal`, an image's `STOPSIGNAL`;
//! signal(7)).
//!
//! The type keeps the user's spelling with the signal, because `inspect` shows `HUP`, `SIGHUP` or
//! `1` as given. A record stores only the spelling.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::store::stored_as_text;
use crate::sys::signal::Signal;

/// A signal with its name or number as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSignal {
    spelling: String,
    signal: Signal,
}

stored_as_text!(StopSignal);

impl StopSignal {
    /// The signal with this name or number; `None` if it does not exist.
    pub fn given(spelling: &str) -> Option<StopSignal> {
        let signal = Signal::parse(spelling)?;
        Some(StopSignal { spelling: spelling.to_owned(), signal })
    }

    /// The signal to send.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Whether the spelling is `SIGTERM`, the default.
    pub fn is_default(&self) -> bool {
        *self == StopSignal::default()
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        StopSignal { spelling: Signal::TERM.to_string(), signal: Signal::TERM }
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)
    }
}

/// Parses the text of an image or a record. An image or an older record may name a signal that does
/// not exist. Such a text becomes the default signal.
impl FromStr for StopSignal {
    type Err = Infallible;

    fn from_str(spelling: &str) -> Result<StopSignal, Infallible> {
        Ok(StopSignal::given(spelling).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_the_spelling() {
        let read = |json: &str| miniserde::json::from_str::<StopSignal>(json).unwrap();
        for json in [r#""SIGTERM""#, r#""HUP""#, r#""15""#, r#""rtmin+3""#] {
            assert_eq!(miniserde::json::to_string(&read(json)), json);
        }
        assert_eq!(read(r#""15""#).signal(), Signal::TERM);
        assert!(read(r#""SIGTERM""#).is_default() && !read(r#""15""#).is_default());
        assert!(read(r#""SIGNONE""#).is_default());
        assert_eq!(StopSignal::given("SIGNONE"), None);
    }
}
