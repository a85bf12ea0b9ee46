//! The `--filter`s of the prunes: `until=TIME`, `label=KEY[=VALUE]`, `label!=KEY[=VALUE]`. `builder
//! prune` accepts only `until`, also spelled `unused-for`. `image prune` also has `dangling`, and
//! `volume prune` also has `all`.
//!
//! As in Docker, an object is removed only if it passes every filter. An unknown filter is an
//! error, because ignoring it would remove more than the user wants. Docker refuses `until` for
//! volumes. mydocker accepts `until`, because a volume's record has the creation time.

use super::value::name::split_filter;
use crate::engine::view::{PruneCandidate, has_label};
use crate::error::{Result, fail};
use crate::time::Instant;
use crate::units::parse_moment;

/// The help text of `--filter`.
pub const DOC: &str = "Remove only matches of until=, label= or label!=";
/// The keys of the prunes that have no further keys. The error for an unknown key lists them.
pub const KNOWN: &str = "label until";

/// All `--filter`s of one prune.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    until: Option<Instant>,
    labels: Vec<String>,
    excluded_labels: Vec<String>,
}

impl PruneFilter {
    /// Adds one `KEY=VALUE`, and ignores an empty text. `known` lists the command's keys for the
    /// error. Fails on any other text without `=`, an unknown key, a bad time or a second `until`.
    pub fn add(&mut self, text: &str, known: &str) -> Result<()> {
        let Some((key, value)) = split_filter(text, "label=tmp")? else { return Ok(()) };
        match key.as_str() {
            "label" => self.labels.push(value),
            "label!" => self.excluded_labels.push(value),
            "until" => {
                let moment = parse_moment(&value, Instant::now())?;
                if self.until.replace(moment).is_some() {
                    fail!("bad filter '{text}': until is given twice; give it once");
                }
            }
            _ => fail!("unknown filter '{key}'; known: {known}"),
        }
        Ok(())
    }

    /// Whether no filter was given.
    pub fn is_empty(&self) -> bool {
        *self == PruneFilter::default()
    }

    /// Whether the candidate passes every filter. A candidate without a time counts as older than
    /// all others.
    pub fn matches(&self, candidate: &PruneCandidate<'_>) -> bool {
        let has = |label: &String| has_label(candidate.labels, label);
        self.until.is_none_or(|until| candidate.created < Some(until))
            && self.labels.iter().all(has)
            && !self.excluded_labels.iter().any(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_filters_must_hold() {
        let labels = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), String::new())];
        let candidate = PruneCandidate { created: Some(Instant(1_000_000_000)), labels: &labels };
        for (texts, matches) in [
            (&[][..], true),
            (&["label=a"], true),
            (&["label=a=1", "label=b"], true),
            (&["label=a=2"], false),
            (&["label=a", "label=c"], false),
            (&["label!=a=2"], true),
            (&["label!=a"], false),
            (&["label!=c", "label!=b="], false),
            (&["until=2"], true),
            (&["until=1"], false),
            (&["until=2", "label=c"], false),
        ] {
            let mut filter = PruneFilter::default();
            texts.iter().for_each(|text| filter.add(text, KNOWN).unwrap());
            assert_eq!(filter.matches(&candidate), matches, "{texts:?}");
            assert_eq!(filter.is_empty(), texts.is_empty());
        }
        let undated = PruneCandidate { created: None, labels: &[] };
        let mut filter = PruneFilter::default();
        filter.add("until=1", KNOWN).unwrap();
        assert!(filter.matches(&undated));
        for (text, part) in [
            ("label", "write KEY=VALUE"),
            ("until=2", "until is given twice"),
            ("until=x", "bad time 'x'"),
            ("name=x", "unknown filter 'name'; known: label until"),
        ] {
            let error = filter.add(text, KNOWN).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
