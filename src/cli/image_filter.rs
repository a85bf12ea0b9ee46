//! The `--filter` of `images` chooses the images that the listing shows. `image prune` uses the
//! filter `dangling` of this file; the other filters of prunes are in `prune_filter`.
//!
//! A `reference` is a pattern in the syntax of Go's path.Match. The pattern is compared with the
//! name and with `name:tag`. If there are patterns, an image must match one of them. An image must
//! also pass every other filter.

use super::value::name::split_filter;
use crate::engine::Engine;
use crate::engine::view::{ListedImage, has_label, pass};
use crate::error::{Result, fail};
use crate::glob::Glob;
use crate::time::Instant;
use crate::units::parse_moment;

const KNOWN: &str = "dangling reference label before since until";

/// One `--filter` of `images`.
#[derive(Debug, PartialEq, Eq)]
pub enum ImageFilter {
    Dangling(bool),
    /// A pattern, with or without a tag.
    Reference(Glob),
    /// `key` or `key=value`.
    Label(String),
    NoLabel(String),
    Before(Moment),
    Since(Moment),
}

/// The moment that `before`, `since` and `until` compare with.
#[derive(Debug, PartialEq, Eq)]
pub enum Moment {
    /// The creation time of the image with this name, which `resolve` looks up.
    Of(String),
    /// A time. An image without a creation time counts as older than every image that has one.
    At(Option<Instant>),
}

impl ImageFilter {
    /// Parses `KEY=VALUE`, and returns `None` for an empty text. Fails on any other text without
    /// `=`, on an unknown key and on a bad value.
    pub fn parse(text: &str) -> Result<Option<ImageFilter>> {
        let Some((key, value)) = split_filter(text, "dangling=true")? else { return Ok(None) };
        Ok(Some(match (key.as_str(), value.as_str()) {
            ("dangling", "true" | "1") => ImageFilter::Dangling(true),
            ("dangling", "false" | "0") => ImageFilter::Dangling(false),
            ("dangling", other) => fail!("bad filter dangling={other}: true or false"),
            ("reference", pattern) => ImageFilter::named(pattern)?,
            ("label", label) => ImageFilter::Label(label.to_owned()),
            ("label!", label) => ImageFilter::NoLabel(label.to_owned()),
            ("before", image) => ImageFilter::Before(Moment::Of(image.to_owned())),
            ("since", image) => ImageFilter::Since(Moment::Of(image.to_owned())),
            ("until", moment) => {
                let moment = parse_moment(moment, Instant::now())?;
                ImageFilter::Before(Moment::At(Some(moment)))
            }
            _ => fail!("unknown filter '{key}'; known: {KNOWN}"),
        }))
    }

    /// Returns the filter by a pattern for the name, in the syntax of Go's path.Match. Fails on a
    /// bad pattern.
    pub fn named(pattern: &str) -> Result<ImageFilter> {
        Glob::of_path(pattern, false).map(ImageFilter::Reference)
    }

    /// Replaces an image's name by the image's creation time. Fails if the name is invalid or no
    /// image has that name.
    pub fn resolve(self, engine: &Engine) -> Result<ImageFilter> {
        let at = |name: &str| engine.image_created(&name.parse()?).map(Moment::At);
        Ok(match self {
            ImageFilter::Before(Moment::Of(name)) => ImageFilter::Before(at(&name)?),
            ImageFilter::Since(Moment::Of(name)) => ImageFilter::Since(at(&name)?),
            other => other,
        })
    }
}

/// Whether the image matches one of the patterns, if there are any, and passes every other filter.
pub fn passes(image: &ListedImage, filters: &[ImageFilter]) -> bool {
    let is_pattern = |filter: &ImageFilter| matches!(filter, ImageFilter::Reference(_));
    pass(
        filters,
        |filter| !is_pattern(filter),
        |filter| match filter {
            ImageFilter::Reference(pattern) => is_named(image, pattern),
            ImageFilter::Dangling(dangling) => image.repository.is_none() == *dangling,
            ImageFilter::Label(wanted) => has_label(&image.labels, wanted),
            ImageFilter::NoLabel(unwanted) => !has_label(&image.labels, unwanted),
            ImageFilter::Before(Moment::At(moment)) => image.created < *moment,
            ImageFilter::Since(Moment::At(moment)) => image.created > *moment,
            // `resolve` has replaced all names, so this case does not occur.
            ImageFilter::Before(_) | ImageFilter::Since(_) => true,
        },
    )
}

/// Whether the image's name matches a pattern, with or without its tag.
fn is_named(image: &ListedImage, glob: &Glob) -> bool {
    let repository = image.repository.as_deref().unwrap_or_default();
    let whole = format!("{repository}:{}", image.tag.as_deref().unwrap_or_default());
    glob.matches(repository) || glob.matches(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ListedImage {
        ListedImage {
            repository: Some("me/web".to_owned()),
            tag: Some("1".to_owned()),
            digest: None,
            labels: vec![("a".to_owned(), "1".to_owned())],
            id: crate::engine::view::ImageId::parse_hex(&"0123456789abcdef".repeat(4)).unwrap(),
            created: Some(Instant(1_000_000_000)),
            size: 0,
            hidden: false,
        }
    }

    #[test]
    fn filters_choose() {
        for (filter, passed) in [
            ("dangling=false", true),
            ("dangling=1", false),
            ("reference=me/*", true),
            ("reference=*/w?b:1", true),
            ("reference=*", false),
            ("reference=me/web:2", false),
            ("reference=*:*", false),
            ("reference=me/[u-x]eb:[^2-9]", true),
            ("reference=me/[^u-x]eb", false),
            ("label=a", true),
            ("label=a=1", true),
            ("label=a=2", false),
            ("label!=a", false),
            ("label!=a=2", true),
            ("until=1", false),
            ("until=2", true),
        ] {
            let parsed = ImageFilter::parse(filter).unwrap().unwrap();
            assert_eq!(passes(&image(), &[parsed]), passed, "{filter}");
        }
        for (filter, part) in [
            ("dangling", "write KEY=VALUE"),
            ("dangling=x", "true or false"),
            ("until=x", "bad time 'x'"),
            ("reference=me/[w", "me/[w"),
            ("x=1", "unknown filter 'x'; known: dangling"),
        ] {
            let error = ImageFilter::parse(filter).unwrap_err().to_string();
            assert!(error.contains(part), "{filter}: {error}");
        }
    }

    #[test]
    fn an_image_is_neither_before_nor_since_itself() {
        let at = |ns| Moment::At(Some(Instant(ns)));
        for (filter, passed) in [
            (ImageFilter::Before(at(1_000_000_000)), false),
            (ImageFilter::Since(at(1_000_000_000)), false),
            (ImageFilter::Before(at(1_000_000_001)), true),
            (ImageFilter::Since(at(999_999_999)), true),
            (ImageFilter::Before(Moment::At(None)), false),
            (ImageFilter::Since(Moment::At(None)), true),
        ] {
            assert_eq!(passes(&image(), &[filter]), passed);
        }
    }
}
