//! Values that a state file stores as text, such as an IP address.
//!
//! `stored_as_text` implements miniserde's traits for a type by its `Display` and `FromStr`. So the
//! struct of a state file has the value itself instead of its text. If `FromStr` refuses the text,
//! the whole file is unreadable, as with any field of the wrong type. `OrEmpty` is for a value that
//! may be missing.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use miniserde::de::{Deserialize, Visitor};
use miniserde::ser::{Fragment, Serialize};

/// Implements `Serialize` by `Display`, and `Deserialize` by `FromStr`.
macro_rules! stored_as_text {
    ($($type:ty),+ $(,)?) => { $(
        impl miniserde::Serialize for $type {
            fn begin(&self) -> miniserde::ser::Fragment<'_> {
                miniserde::ser::Fragment::Str(self.to_string().into())
            }
        }

        impl miniserde::Deserialize for $type {
            fn begin(out: &mut Option<Self>) -> &mut dyn miniserde::de::Visitor {
                miniserde::make_place!(Place);
                impl miniserde::de::Visitor for Place<$type> {
                    fn string(&mut self, text: &str) -> miniserde::Result<()> {
                        self.out = Some(text.parse().map_err(|_| miniserde::Error)?);
                        Ok(())
                    }
                }
                Place::new(out)
            }
        }
    )+ };
}

pub(crate) use stored_as_text;

/// A value that may be missing. A file stores an empty text for `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrEmpty<T>(pub Option<T>);

impl<T> Deref for OrEmpty<T> {
    type Target = Option<T>;

    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

impl<T> From<Option<T>> for OrEmpty<T> {
    fn from(value: Option<T>) -> OrEmpty<T> {
        OrEmpty(value)
    }
}

impl<T: fmt::Display> fmt::Display for OrEmpty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| value.fmt(f))
    }
}

impl<T: fmt::Display> Serialize for OrEmpty<T> {
    fn begin(&self) -> Fragment<'_> {
        Fragment::Str(self.to_string().into())
    }
}

impl<T: FromStr> Deserialize for OrEmpty<T> {
    fn begin(out: &mut Option<Self>) -> &mut dyn Visitor {
        miniserde::make_place!(Place);
        impl<T: FromStr> Visitor for Place<OrEmpty<T>> {
            fn string(&mut self, text: &str) -> miniserde::Result<()> {
                let value = (!text.is_empty()).then(|| text.parse()).transpose();
                self.out = Some(OrEmpty(value.map_err(|_| miniserde::Error)?));
                Ok(())
            }
        }
        Place::new(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_an_empty_text() {
        for (text, value) in [("\"7\"", Some(7)), ("\"\"", None)] {
            let read: OrEmpty<u8> = miniserde::json::from_str(text).unwrap();
            assert_eq!(read.0, value);
            assert_eq!(miniserde::json::to_string(&read), text);
        }
        for bad in ["\"x\"", "7", "null"] {
            assert!(miniserde::json::from_str::<OrEmpty<u8>>(bad).is_err(), "{bad}");
        }
    }
}
