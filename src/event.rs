//! One event of `mydocker events`: an action on an object, with Docker's names and attributes.
//!
//! Any layer may create an event; `store::journal` stores the event as one line of JSON. Commands
//! and labels are untrusted, so a long action is cut, and a label beyond the limit is left out.

use miniserde::{Deserialize, Serialize};

use crate::time::Instant;

/// The longest action in bytes. The action of an `exec` includes its command.
const MAX_ACTION: usize = 1024;
/// The maximum size of all attributes together, in bytes.
const MAX_ATTRIBUTES: usize = 8 << 10;

/// The kind of object that an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    Container,
    Image,
    Network,
    Volume,
    /// The build cache.
    Builder,
}

impl Kind {
    /// Docker's word for the kind.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
            Kind::Builder => "builder",
        }
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    pub kind: Kind,
    pub action: String,
    /// The full id of the object, but the name of a volume and of a pulled or pushed image. Empty
    /// for a prune.
    pub id: String,
    /// Attributes with unique keys.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// An event at the present time.
    pub fn new(kind: Kind, action: &str, id: &str) -> Event {
        let action = action[..action.floor_char_boundary(MAX_ACTION)].to_owned();
        let (time, id, attributes) = (Instant::now().0, id.to_owned(), Vec::new());
        Event { time, kind, action, id, attributes }
    }

    /// Adds an attribute, unless the key exists or the attributes would exceed their limit.
    pub fn with(mut self, key: &str, value: &str) -> Event {
        let used: usize = self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        if self.attribute(key).is_none() && used + key.len() + value.len() <= MAX_ATTRIBUTES {
            self.attributes.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Adds labels as attributes. Call this last, so that labels don't displace the object's own
    /// attributes.
    pub fn with_labels(self, labels: &[(String, String)]) -> Event {
        labels.iter().fold(self, |event, (key, value)| event.with(key, value))
    }

    /// The value of the attribute `key`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// An event about a volume.
pub fn of_volume(action: &str, name: &str) -> Event {
    Event::new(Kind::Volume, action, name).with("driver", "local")
}

/// The properties of a network that its events contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFacts {
    pub id: String,
    pub name: String,
    pub driver: &'static str,
}

/// The event that a prune has ended and freed `reclaimed` bytes.
pub fn of_prune(kind: Kind, reclaimed: u64) -> Event {
    Event::new(kind, "prune", "").with("reclaimed", &reclaimed.to_string())
}

/// An event about a network. The networks `none` and `host` have no events.
pub fn of_network(action: &str, network: &NetworkFacts) -> Event {
    let event = Event::new(Kind::Network, action, &network.id);
    event.with("name", &network.name).with("type", network.driver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_unique_and_bounded() {
        let labels = [("name".into(), "label".into()), ("big".into(), "x".repeat(MAX_ATTRIBUTES))];
        let event = Event::new(Kind::Container, &"ä".repeat(2000), "id").with("name", "web");
        let event = event.with_labels(&labels).with_labels(&[("last".into(), "1".into())]);
        assert_eq!(event.attribute("name"), Some("web"));
        assert_eq!((event.attribute("big"), event.attribute("last")), (None, Some("1")));
        assert!(event.action.len() <= MAX_ACTION);
    }
}
