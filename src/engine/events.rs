//! `events`: what happened to containers, images, networks and volumes, from the journal, and what
//! happens from now on.
//!
//! There is no daemon that could send events: each command and each monitor appends its own to the
//! journal (`store::journal`), and a follower sleeps until inotify(7) reports that the journal grew.
//! The past is sorted by time, because a start is written as one when it has succeeded.

#[cfg(feature = "compose")]
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Engine;
use super::view::{has_label, pass};
use super::watch::Watcher;
use crate::error::{Context, Result};
pub use crate::event::{Event, Kind};
use crate::store::{Roots, journal, make_dir};
use crate::time::Instant;

/// How late an event may be shown if there is no inotify.
const PAUSE: Duration = Duration::from_millis(40);

/// `--filter`
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventFilter {
    /// The start of a name or id.
    Container(String),
    Network(String),
    Volume(String),
    /// An id or a name, with or without its tag.
    Image(String),
    Event(String),
    Kind(String),
    Scope(String),
    Label(String),
}

/// The options of `events`.
#[derive(Default)]
pub struct EventsOptions {
    /// Without it, only events from now on are shown.
    pub since: Option<Instant>,
    /// Without it, `events` goes on until it is interrupted.
    pub until: Option<Instant>,
    pub filters: Vec<EventFilter>,
}

impl Engine {
    /// Passes each event that passes the filters to `show`, until that fails or the time is over.
    pub fn events(
        &self,
        options: &EventsOptions,
        show: &mut dyn FnMut(&Event) -> Result<()>,
    ) -> Result<()> {
        let mut listener = self.listen(options.since.is_none())?;
        let first = options.since.map_or(i64::MIN, |since| since.0);
        loop {
            // The time is taken before the read: events up to then are shown.
            let left = options.until.map(|until| until.0.saturating_sub(Instant::now().0));
            let mut events = Vec::new();
            listener.reader.read(&mut |event| {
                let is_in_time =
                    event.time >= first && options.until.is_none_or(|until| event.time <= until.0);
                if is_in_time && matches(&event, &options.filters) {
                    events.push(event);
                }
            })?;
            // A stable sort: events of the same moment keep their order.
            events.sort_by_key(|event| event.time);
            events.iter().try_for_each(&mut *show)?;
            if left.is_some_and(|left| left <= 0) {
                return Ok(());
            }
            let is_there = listener.watcher.wait(None, left)?;
            listener.keep(is_there)?;
        }
    }

    /// Opens the journal at its end with `only_new`, otherwise at its beginning.
    pub fn listen(&self, only_new: bool) -> Result<Listener<'_>> {
        let dir = journal::dir(&self.roots);
        make_dir(&dir)?;
        // The watch starts before the first read, so that no event in between is missed.
        let watcher = Watcher::new(&dir, PAUSE)?;
        let reader = journal::Reader::open(&self.roots, only_new)?;
        Ok(Listener { roots: &self.roots, watcher, reader })
    }
}

/// The journal, read as it grows.
pub struct Listener<'a> {
    roots: &'a Roots,
    watcher: Watcher,
    reader: journal::Reader,
}

impl Listener<'_> {
    /// Watches the journal's directory again if it is not there any more.
    fn keep(&mut self, is_there: bool) -> Result<()> {
        if !is_there {
            // A cleaner of temporary files removed the directory.
            let dir = journal::dir(self.roots);
            make_dir(&dir).context(|| "keep the journal of events")?;
            self.watcher = Watcher::new(&dir, PAUSE)?;
        }
        Ok(())
    }

    /// The events that came since the last call, for a caller that waits for `descriptor` itself.
    #[cfg(feature = "compose")]
    pub fn news(&mut self) -> Result<Vec<Event>> {
        let is_there = self.watcher.drain()?;
        let mut events = Vec::new();
        self.reader.read(&mut |event| events.push(event))?;
        self.keep(is_there)?;
        Ok(events)
    }

    /// Is readable after an event. `None` if the caller must look again after a while.
    #[cfg(feature = "compose")]
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.watcher.descriptor()
    }
}

fn matches(event: &Event, filters: &[EventFilter]) -> bool {
    pass(filters, |filter| matches!(filter, EventFilter::Label(_)), |filter| holds(event, filter))
}

fn holds(event: &Event, filter: &EventFilter) -> bool {
    let is_of = |kind: Kind, start: &str| {
        let name = event.attribute("name").unwrap_or_default();
        event.kind == kind && (event.id.starts_with(start) || name.starts_with(start))
    };
    match filter {
        EventFilter::Container(start) => is_of(Kind::Container, start),
        EventFilter::Network(start) => is_of(Kind::Network, start),
        EventFilter::Volume(start) => is_of(Kind::Volume, start),
        EventFilter::Image(wanted) => {
            let key = if event.kind == Kind::Image { "name" } else { "image" };
            let name = event.attribute(key).unwrap_or_default();
            let names = [event.id.as_str(), name, untagged(&event.id), untagged(name)];
            names.contains(&wanted.as_str())
        }
        EventFilter::Event(wanted) => {
            // `exec_start: sh -c true` is an exec_start.
            let word = event.action.split(':').next().unwrap_or_default();
            event.action == *wanted || word == wanted
        }
        EventFilter::Kind(name) => event.kind.name() == name,
        EventFilter::Scope(name) => name == "local",
        EventFilter::Label(wanted) => has_label(&event.attributes, wanted),
    }
}

/// The name of an image without its tag.
fn untagged(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_dockers() {
        let event = |kind, action, id, attributes: &[(&str, &str)]| {
            let event = Event::new(kind, action, id);
            attributes.iter().fold(event, |event, (key, value)| event.with(key, value))
        };
        let start = event(
            Kind::Container,
            "exec_start: sh -c true",
            "abc123",
            &[("image", "host:5000/bb:1"), ("name", "web"), ("l", "1")],
        );
        let pull = event(Kind::Image, "pull", "bb:1", &[("name", "bb")]);
        use EventFilter as F;
        for (filters, of_start, of_pull) in [
            (vec![F::Container("abc".into())], true, false),
            (vec![F::Container("we".into())], true, false),
            (vec![F::Container("bc".into())], false, false),
            (vec![F::Image("bb".into())], false, true),
            (vec![F::Image("host:5000/bb".into())], true, false),
            (vec![F::Event("exec_start".into())], true, false),
            (vec![F::Event("exec".into())], false, false),
            (vec![F::Event("exec_start".into()), F::Event("pull".into())], true, true),
            (vec![F::Kind("image".into())], false, true),
            (vec![F::Kind("container".into()), F::Label("l=1".into())], true, false),
            (vec![F::Label("l".into()), F::Label("l=2".into())], false, false),
            (vec![F::Scope("swarm".into())], false, false),
            (vec![], true, true),
        ] {
            assert_eq!(matches(&start, &filters), of_start, "{filters:?}");
            assert_eq!(matches(&pull, &filters), of_pull, "{filters:?}");
        }
    }
}
