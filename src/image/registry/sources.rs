//! The sources of a repository: the registry's mirrors in their order, then the registry itself.
//! The first use of a source opens its connection. A mirror that fails is reported once and
//! skipped; a mirror without the image is skipped silently. A blob is accepted only if its digest
//! is right. A tag has no digest to check, so a mirror decides which image a tag means.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::transfer::{Event, Watch};
use super::endpoint::Endpoint;
use super::http::{Attempt, Failure};
use super::settings::Settings;
use super::{Access, open_at};
use crate::error::Result;

/// The sources of one repository.
pub struct Sources<'a> {
    host: &'a str,
    /// The path of the repository.
    path: &'a str,
    scopes: Vec<String>,
    access: &'a Access,
    settings: Settings,
    /// The mirrors in their order, then the registry.
    list: Vec<Source>,
    watch: Watch<'a>,
}

#[derive(Default)]
struct Source {
    /// The connection, or the text of the error. Later callers get the same error, without another
    /// attempt.
    opened: OnceLock<Result<Endpoint, String>>,
    /// Whether the source's failure was reported.
    reported: AtomicBool,
}

impl<'a> Sources<'a> {
    /// Lists the sources of a repository, without connecting to them. Fails if the settings can't
    /// be read or are damaged.
    pub fn new(
        host: &'a str,
        path: &'a str,
        scopes: Vec<String>,
        access: &'a Access,
        watch: Watch<'a>,
    ) -> Result<Sources<'a>> {
        let settings = Settings::read()?;
        let mut list = Vec::new();
        list.resize_with(settings.mirrors_of(host).len() + 1, Source::default);
        Ok(Sources { host, path, scopes, access, settings, list, watch })
    }

    /// Returns how long a source may send nothing.
    pub fn stall(&self) -> Duration {
        self.settings.stall
    }

    /// Returns the index of the registry itself, which is the last source.
    pub fn last(&self) -> usize {
        self.list.len() - 1
    }

    /// Connects to the source with index `at`, or returns the existing connection. Fails if the
    /// source can't be opened, for the reasons that [`super::open`] lists.
    pub fn get(&self, at: usize) -> Attempt<&Endpoint> {
        let mirror = self.settings.mirrors_of(self.host).get(at);
        let open = || {
            let scopes = self.scopes.clone();
            let (host, path) = (self.host, self.path);
            let opened = open_at(&self.settings, host, path, mirror, scopes, self.access);
            opened.map_err(|error| error.to_string())
        };
        let opened = self.list[at].opened.get_or_init(open);
        opened.as_ref().map_err(Failure::new)
    }

    /// Returns the index of the source to try after source `at` failed. If `at` was the last
    /// source, returns the failure.
    pub fn after(&self, at: usize, failure: Failure) -> Attempt<usize> {
        if at == self.last() {
            return Err(failure);
        }
        // A mirror without the image (404) is skipped without a report.
        if failure.status() != Some(404) && !self.list[at].reported.swap(true, Ordering::Relaxed) {
            let mirror = self.settings.mirrors_of(self.host)[at].origin.authority();
            let warning = format!("the mirror {mirror} is skipped: {}", failure.error);
            (self.watch)(Event::Warning(warning));
        }
        Ok(at + 1)
    }
}
