//! Values that a state file holds as text, such as an IP address.
//!
//! `stored_as_text` implements miniserde's traits for a type by its `Display` and `FromStr`, so
//! that a record holds the value itself and a reader never parses it again. A text that the type
//! refuses makes the file unreadable, like any other field of the wrong kind.

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
