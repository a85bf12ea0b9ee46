//! One event of `mydocker events`: what happened to which object, with Docker's words and attributes.
//!
//! Every layer may make one; `store::journal` keeps them as one line of JSON each. Sizes are limited
//! here, because labels and commands come from outside: a label that has no room is left out.

use miniserde::{Deserialize, Serialize};

use crate::time::Instant;

/// The longest action. It holds the command of an `exec`.
const MAX_ACTION: usize = 1024;
/// Bytes of all attributes together.
const MAX_ATTRIBUTES: usize = 8 << 10;

/// The kind of object that an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    Container,
    Image,
    Network,
    Volume,
}

impl Kind {
    /// Docker's word for the kind.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Container => "container",
            Kind::Image => "image",
            Kind::Network => "network",
            Kind::Volume => "volume",
        }
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since 1970.
    pub time: i64,
    pub kind: Kind,
    pub action: String,
    /// The full id of the object, or the name of a volume.
    pub id: String,
    /// Each key once.
    pub attributes: Vec<(String, String)>,
}

impl Event {
    /// An event that happens now.
    pub fn new(kind: Kind, action: &str, id: &str) -> Event {
        let action = action[..action.floor_char_boundary(MAX_ACTION)].to_owned();
        let (time, id, attributes) = (Instant::now().0, id.to_owned(), Vec::new());
        Event { time, kind, action, id, attributes }
    }

    /// Adds an attribute, unless the key is there already or there is no room for it.
    pub fn with(mut self, key: &str, value: &str) -> Event {
        let used: usize = self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        if self.attribute(key).is_none() && used + key.len() + value.len() <= MAX_ATTRIBUTES {
            self.attributes.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Adds labels as attributes. They come last, so that the object's own facts find room.
    pub fn with_labels(self, labels: &[(String, String)]) -> Event {
        labels.iter().fold(self, |event, (key, value)| event.with(key, value))
    }

    /// The attribute `key`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// A volume was created or removed.
pub fn of_volume(action: &str, name: &str) -> Event {
    Event::new(Kind::Volume, action, name).with("driver", "local")
}

/// A network, as far as its events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFacts {
    pub id: String,
    pub name: String,
    pub driver: &'static str,
}

/// Something happened to a network. `none` and `host` have no events: nothing joins them.
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
