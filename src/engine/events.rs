//! `events`: the past events of containers, images, networks, volumes and the build cache from the
//! journal, and new events as they happen.
//!
//! There is no daemon that could send events. Each command and each monitor appends its events to
//! the journal (`store::journal`), and a follower sleeps until inotify(7) reports that the journal
//! grew. Past events are sorted by time, because the monitor of a `run` writes the event `create`
//! only after the start, with the time of the creation.

#[cfg(feature = "compose")]
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::Engine;
use super::view::{has_label, pass};
use super::watch::{Watcher, Woken};
use crate::error::{Context, Result};
pub use crate::event::{Event, Kind};
use crate::order;
use crate::store::{Roots, journal, make_dir};
use crate::time::Instant;

/// The interval at which the journal is read if there is no inotify.
const PAUSE: Duration = Duration::from_millis(40);

/// One `--filter` (docs.docker.com/reference/cli/docker/system/events).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventFilter {
    /// The start of a container's name or id.
    Container(String),
    /// The start of a network's name or id.
    Network(String),
    /// The start of a volume's name.
    Volume(String),
    /// An image's id or name, with or without its tag.
    Image(String),
    /// An action, such as `start`.
    Event(String),
    /// The kind of object, such as `container`.
    Kind(String),
    /// Only `local` matches events of mydocker.
    Scope(String),
    /// `key` or `key=value`.
    Label(String),
}

/// The options of `events`.
#[derive(Default)]
pub struct EventsOptions {
    /// The first moment to show. `None` shows only new events.
    pub since: Option<Instant>,
    /// The last moment to show. `None` shows events until the command is interrupted.
    pub until: Option<Instant>,
    pub filters: Vec<EventFilter>,
}

impl Engine {
    /// Calls `show` for each event that matches the filters. Returns when `until` has passed,
    /// `show` fails, or the reader of the standard output has closed its end.
    pub fn events(
        &self,
        options: &EventsOptions,
        show: &mut dyn FnMut(&Event) -> Result<()>,
    ) -> Result<()> {
        let mut listener = self.listen(options.since.is_none())?;
        let first = options.since.map_or(i64::MIN, |since| since.0);
        loop {
            // Take the time before the read, so that all events up to that time are shown.
            let left = options.until.map(|until| until.0.saturating_sub(Instant::now().0));
            let mut events = Vec::new();
            listener.reader.read(&mut |event| {
                let is_in_time =
                    event.time >= first && options.until.is_none_or(|until| event.time <= until.0);
                if is_in_time && matches(&event, &options.filters) {
                    events.push(event);
                }
            })?;
            // A stable sort keeps the order of events with the same time.
            order::sort_by_key(&mut events, |event| event.time);
            events.iter().try_for_each(&mut *show)?;
            if left.is_some_and(|left| left <= 0) {
                return Ok(());
            }
            match listener.watcher.wait(None, left)? {
                Woken::Unread => return Ok(()),
                Woken::Changed => {}
                Woken::Removed => listener.keep(false)?,
            }
        }
    }

    /// Opens the journal at its end if `only_new`, and otherwise at its start.
    pub fn listen(&self, only_new: bool) -> Result<Listener<'_>> {
        let dir = journal::dir(&self.roots);
        make_dir(&dir)?;
        // Start the watch before the first read, so that no event in between is missed.
        let watcher = Watcher::new(&dir, PAUSE)?;
        let reader = journal::Reader::open(&self.roots, only_new)?;
        Ok(Listener { roots: &self.roots, watcher, reader })
    }
}

/// A reader that follows the journal.
pub struct Listener<'a> {
    roots: &'a Roots,
    watcher: Watcher,
    reader: journal::Reader,
}

impl Listener<'_> {
    /// Makes and watches the journal's directory again if `is_there` is false.
    fn keep(&mut self, is_there: bool) -> Result<()> {
        if !is_there {
            // A cleaner of temporary files has removed the directory.
            let dir = journal::dir(self.roots);
            make_dir(&dir).context(|| "keep the journal of events")?;
            self.watcher = Watcher::new(&dir, PAUSE)?;
        }
        Ok(())
    }

    /// Returns the events since the last call, for a caller that polls `descriptor`.
    #[cfg(feature = "compose")]
    pub fn news(&mut self) -> Result<Vec<Event>> {
        let is_there = self.watcher.drain()?;
        let mut events = Vec::new();
        self.reader.read(&mut |event| events.push(event))?;
        self.keep(is_there)?;
        Ok(events)
    }

    /// A descriptor that is readable after an event. `None` if there is no inotify; without a
    /// descriptor the caller must call `news` regularly.
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
            // The action `exec_start: sh -c true` matches the filter `exec_start`.
            let word = event.action.split(':').next().unwrap_or_default();
            event.action == *wanted || word == wanted
        }
        EventFilter::Kind(name) => event.kind.name() == name,
        EventFilter::Scope(name) => name == "local",
        EventFilter::Label(wanted) => has_label(&event.attributes, wanted),
    }
}

/// Returns the name of an image without its tag.
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
    fn filters_match_like_those_of_docker() {
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
