//! Structs that a state file stores flat.
//!
//! The macro `stored_flat` defines a struct and implements miniserde's traits for the struct. After
//! a field's type, `as "key"` sets the field's key in the file; the default is the field's name.
//!
//! `=> flat` marks a field that is another struct of `stored_flat`, called a group. The file has
//! the group's fields among those of the outer struct. So the code can pass the group on as one
//! value, and the keys in the file stay the same. miniserde's derive knows no flat groups.
//!
//! `=> optional` marks a value that a file may lack. If the value is missing or null, the reader
//! takes the type's default. A default is written as null, which `replace_json` leaves out.

use std::borrow::Cow;
use std::vec;

use miniserde::de::{Map, Visitor};
use miniserde::ser::Fragment;
use miniserde::{Error, Result, Serialize};

/// The keys and values of a JSON object in the order in which they are written.
pub type Entries<'a> = Vec<(&'static str, &'a dyn Serialize)>;

/// A struct that `stored_flat` defines.
pub trait Fields: Sized {
    /// The places for the values of all fields. The reader fills them one after the other.
    type Draft;

    /// Returns the places as they are before the first value is read.
    fn draft() -> Self::Draft;

    /// Returns the place for the value of `key`, or `None` if the struct has no field with this
    /// key.
    fn place<'a>(draft: &'a mut Self::Draft, key: &str) -> Option<&'a mut dyn Visitor>;

    /// Makes the struct from the filled places. Returns `None` if a required value is missing.
    fn finish(draft: &mut Self::Draft) -> Option<Self>;

    /// Appends the struct's keys and values to `entries`.
    fn list<'a>(&'a self, entries: &mut Entries<'a>);
}

/// Starts to write `value` as a JSON object (`miniserde::Serialize::begin`).
pub fn write<T: Fields>(value: &T) -> Fragment<'_> {
    let mut entries = Entries::new();
    value.list(&mut entries);
    Fragment::Map(Box::new(Writer(entries.into_iter())))
}

/// Starts to read a JSON object into `out` (`miniserde::de::Visitor::map`). The reader skips
/// unknown keys, and fails if a required value is missing.
pub fn read<T: Fields>(out: &mut Option<T>) -> Box<dyn Map + '_> {
    Box::new(Reader { draft: T::draft(), out })
}

struct Writer<'a>(vec::IntoIter<(&'static str, &'a dyn Serialize)>);

impl miniserde::ser::Map for Writer<'_> {
    fn next(&mut self) -> Option<(Cow<'_, str>, &dyn Serialize)> {
        self.0.next().map(|(key, value)| (Cow::Borrowed(key), value))
    }
}

struct Reader<'a, T: Fields> {
    draft: T::Draft,
    out: &'a mut Option<T>,
}

impl<T: Fields> Map for Reader<'_, T> {
    fn key(&mut self, key: &str) -> Result<&mut dyn Visitor> {
        match T::place(&mut self.draft, key) {
            Some(place) => Ok(place),
            // A later version of mydocker may write more keys.
            None => Ok(<dyn Visitor>::ignore()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        *self.out = Some(T::finish(&mut self.draft).ok_or(Error)?);
        Ok(())
    }
}

/// What an optional field writes: null for the type's default, otherwise `value`.
pub fn unless_default<T: Serialize + Default + PartialEq>(value: &T) -> &dyn Serialize {
    if *value == T::default() { &() } else { value }
}

/// Defines a struct that is stored flat in a state file. In `struct Size<N = u64>`, `N` is a type
/// parameter of the struct, and `u64` is the type which a file stores for it.
macro_rules! stored_flat {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident $(<$param:ident = $stored:ty>)? { $(
            $(#[$doc:meta])*
            $shown:vis $field:ident: $type:ty $(as $key:literal)? $(=> $how:ident)?
        ),+ $(,)? }
    ) => {
        $(#[$meta])*
        $vis struct $name $(<$param = $stored>)? { $($(#[$doc])* $shown $field: $type,)+ }

        const _: () = {
            use $crate::store::fields::{self, Entries, Fields};

            $(type $param = $stored;)?

            /// The places of the fields.
            pub struct Draft { $($field: stored_flat!(@draft $type $(, $how)?),)+ }

            impl Fields for $name {
                type Draft = Draft;

                fn draft() -> Draft {
                    Draft { $($field: stored_flat!(@empty $type $(, $how)?),)+ }
                }

                fn place<'a>(
                    draft: &'a mut Draft,
                    key: &str,
                ) -> Option<&'a mut dyn miniserde::de::Visitor> {
                    $(stored_flat!(
                        @place draft.$field, key, stored_flat!(@key $field $($key)?), $type
                        $(, $how)?
                    );)+
                    None
                }

                fn finish(draft: &mut Draft) -> Option<Self> {
                    Some($name {
                        $($field: stored_flat!(@finish draft.$field, $type $(, $how)?),)+
                    })
                }

                fn list<'a>(&'a self, entries: &mut Entries<'a>) {
                    $(stored_flat!(
                        @list entries, stored_flat!(@key $field $($key)?), self.$field $(, $how)?
                    );)+
                }
            }

            impl miniserde::Serialize for $name {
                fn begin(&self) -> miniserde::ser::Fragment<'_> {
                    fields::write(self)
                }
            }

            impl miniserde::Deserialize for $name {
                fn begin(out: &mut Option<Self>) -> &mut dyn miniserde::de::Visitor {
                    miniserde::make_place!(Place);
                    impl miniserde::de::Visitor for Place<$name> {
                        fn map(&mut self) -> miniserde::Result<Box<dyn miniserde::de::Map + '_>> {
                            Ok(fields::read(&mut self.out))
                        }
                    }
                    Place::new(out)
                }
            }
        };
    };

    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };

    (@draft $type:ty) => { Option<$type> };
    (@draft $type:ty, optional) => { Option<Option<$type>> };
    (@draft $type:ty, flat) => { <$type as Fields>::Draft };

    // `Deserialize::default` reads a missing `Option` as `None`. A value of any other type is
    // required.
    (@empty $type:ty) => { <$type as miniserde::Deserialize>::default() };
    (@empty $type:ty, optional) => { None };
    (@empty $type:ty, flat) => { <$type as Fields>::draft() };

    (@place $place:expr, $found:ident, $key:expr, $type:ty) => {
        if $found == $key {
            return Some(miniserde::Deserialize::begin(&mut $place));
        }
    };
    (@place $place:expr, $found:ident, $key:expr, $type:ty, optional) => {
        stored_flat!(@place $place, $found, $key, $type)
    };
    (@place $place:expr, $found:ident, $key:expr, $type:ty, flat) => {
        if let Some(place) = <$type as Fields>::place(&mut $place, $found) {
            return Some(place);
        }
    };

    (@finish $place:expr, $type:ty) => { $place.take()? };
    (@finish $place:expr, $type:ty, optional) => { $place.take().flatten().unwrap_or_default() };
    (@finish $place:expr, $type:ty, flat) => { <$type as Fields>::finish(&mut $place)? };

    (@list $entries:ident, $key:expr, $value:expr) => { $entries.push(($key, &$value)) };
    (@list $entries:ident, $key:expr, $value:expr, optional) => {
        $entries.push(($key, fields::unless_default(&$value)))
    };
    (@list $entries:ident, $key:expr, $value:expr, flat) => { $value.list($entries) };
}

pub(crate) use stored_flat;

#[cfg(test)]
mod tests {
    use miniserde::json;

    stored_flat! {
        /// A group.
        #[derive(Debug, PartialEq)]
        pub struct Size<N = u64> {
            pub width: N as "wide",
            pub notes: Vec<String> => optional,
        }
    }

    stored_flat! {
        /// A struct with a group.
        #[derive(Debug, PartialEq)]
        pub struct Thing {
            pub name: String,
            pub size: Size => flat,
            pub alias: Option<String>,
        }
    }

    #[test]
    fn a_group_is_stored_among_the_fields_of_its_struct() {
        let text = r#"{"name":"x","wide":3,"notes":["y"],"alias":"z"}"#;
        let thing: Thing = json::from_str(text).unwrap();
        assert_eq!((thing.size.width, thing.alias.as_deref()), (3, Some("z")));
        assert_eq!(json::to_string(&thing), text);
    }

    #[test]
    fn a_missing_optional_value_is_the_default_and_that_is_written_as_null() {
        let plain = r#"{"name":"x","wide":3,"notes":null,"alias":null}"#;
        for text in [plain, r#"{"alias":null,"later":[{"a":1}],"wide":3,"name":"x"}"#] {
            let thing: Thing = json::from_str(text).unwrap();
            assert_eq!(thing.size, Size { width: 3, notes: Vec::new() });
            assert_eq!(json::to_string(&thing), plain);
        }
    }

    #[test]
    fn a_file_without_another_value_is_refused() {
        for text in [r#"{"name":"x"}"#, r#"{"wide":3}"#, r#"{"name":"x","wide":null}"#, "3"] {
            assert!(json::from_str::<Thing>(text).is_err(), "{text}");
        }
    }
}
