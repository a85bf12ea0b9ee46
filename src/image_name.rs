//! How a user names a local image: by a reference, by the image's id, or by the first digits of the
//! id.
//!
//! The text is parsed once, when the user types it or when a record is read. The text itself is
//! kept too, because `ps`, `inspect` and errors show it. A text such as `cafe` can be a reference
//! or the first digits of an id; `ImageStore::find` looks for the reference first.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, ImageId};
use crate::error::{Error, Result, fail};
use crate::reference::Reference;
use crate::store::stored_as_text;

/// An image as a user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageName {
    typed: String,
    meaning: Meaning,
}

/// What the text of an `ImageName` can stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A whole id, with `sha256:` before it or without.
    Id(ImageId),
    /// The first digits of an id, which the user typed after `sha256:`.
    FirstDigits(String),
    /// A reference. If the text has only hexadecimal digits, they can also be the first digits of
    /// an id.
    Reference(Reference),
}

stored_as_text!(ImageName);

impl ImageName {
    /// Returns the name as text. If a user typed the name, this is the user's text.
    pub fn typed(&self) -> &str {
        &self.typed
    }

    /// Returns what the text can stand for.
    pub fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// Returns the reference that the text can stand for. `None` if the text is an id, or the first
    /// digits of an id after `sha256:`.
    pub fn reference(&self) -> Option<&Reference> {
        match &self.meaning {
            Meaning::Reference(reference) => Some(reference),
            Meaning::Id(_) | Meaning::FirstDigits(_) => None,
        }
    }

    /// Returns the reference if the user typed neither a tag nor a digest: the name can then stand
    /// for a whole repository.
    pub fn repository(&self) -> Option<&Reference> {
        self.reference().filter(|reference| !reference.ends(&self.typed))
    }
}

impl From<Reference> for ImageName {
    fn from(reference: Reference) -> ImageName {
        ImageName { typed: reference.familiar(), meaning: Meaning::Reference(reference) }
    }
}

impl From<ImageId> for ImageName {
    fn from(id: ImageId) -> ImageName {
        ImageName { typed: id.to_string(), meaning: Meaning::Id(id) }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.typed)
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(typed: &str) -> Result<ImageName> {
        let digits = typed.strip_prefix("sha256:");
        let meaning = match (Digest::parse_hex(digits.unwrap_or(typed)), digits) {
            (Some(id), _) => Meaning::Id(id),
            (None, Some(digits)) if could_start_an_id(digits) => {
                Meaning::FirstDigits(digits.to_owned())
            }
            (None, Some(_)) => fail!("bad image id '{typed}'"),
            (None, None) => Meaning::Reference(Reference::parse(typed)?),
        };
        Ok(ImageName { typed: typed.to_owned(), meaning })
    }
}

/// Whether `text` can be the first digits of an id, but not all of them.
pub fn could_start_an_id(text: &str) -> bool {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    digits && (1..64).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(text: &str) -> Meaning {
        let name: ImageName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        name.meaning
    }

    #[test]
    fn a_text_is_an_id_or_its_first_digits_or_a_reference() {
        let id = Digest::of(b"x");
        assert_eq!(meaning(&id.to_string()), Meaning::Id(id));
        assert_eq!(meaning(&id.hex()), Meaning::Id(id));
        assert_eq!(meaning("sha256:2d7"), Meaning::FirstDigits("2d7".to_owned()));
        for text in ["box", "cafe", "sha256", "box:1", "localhost:5000/a/b"] {
            assert_eq!(meaning(text), Meaning::Reference(Reference::parse(text).unwrap()));
        }
        for bad in ["", "Box", "sha256:", "sha256:xy", "sha256:2D7", "a b"] {
            assert!(bad.parse::<ImageName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repository_is_typed_without_a_tag() {
        let is_repository = |text: &str| text.parse::<ImageName>().unwrap().repository().is_some();
        assert!(["box", "localhost:5000/box", "a/b"].into_iter().all(is_repository));
        let digest = format!("box@{}", Digest::of(b"x"));
        let tagged = ["box:latest", "localhost:5000/box:1", "sha256:2d7", digest.as_str()];
        assert!(!tagged.into_iter().any(is_repository));
    }
}
