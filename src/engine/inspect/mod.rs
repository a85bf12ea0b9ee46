//! `inspect`: the facts about an object, under the field names and in the field order of Docker
//! 20.10, so that scripts and templates for Docker work.
//!
//! There is one file for each kind of object. This module builds the document as a value, and
//! `cli::inspect` prints it. A few further fields are not in Docker 20.10.

mod container;
mod image;
mod network;
mod settings;
mod value;
mod volume;

use super::Engine;
use super::options::InspectKind;
use crate::container::names;
use crate::error::{Result, fail};
use crate::healthcheck::Healthcheck;
use crate::image::ImageStore;
use crate::template::{Value, omit_empty};
use value::{number, object, strings, text};

impl Engine {
    /// Returns the document of the container, image, volume or network with this name, searched in
    /// this order, or only of the given kind. `with_size` adds the bytes that a container takes on
    /// disk. Fails if there is no such object.
    pub fn inspect(&self, name: &str, kind: Option<InspectKind>, with_size: bool) -> Result<Value> {
        if matches!(kind, None | Some(InspectKind::Container)) {
            match names::find(&self.roots, name) {
                // Without a container of this name, look for an object of another kind.
                Ok(names::Match::None) | Err(_) if kind.is_none() => {}
                found => {
                    let record = self.record_of(&found?.one(name)?, name)?;
                    return self.container(&record, with_size);
                }
            }
        }
        if matches!(kind, None | Some(InspectKind::Image)) {
            let found = match name.parse() {
                Ok(image) => ImageStore::open(&self.roots).resolve(&image)?,
                Err(error) if kind.is_some() => return Err(error),
                // A volume or network may have a name that no image can have.
                Err(_) => None,
            };
            if let Some(image) = found {
                return self.image(&image);
            }
            if kind.is_some() {
                fail!("no such image: {name}");
            }
        }
        if matches!(kind, None | Some(InspectKind::Volume)) {
            match crate::volume::read(&self.roots, name) {
                Ok(volume) => return Ok(self.volume(&volume)),
                Err(error) if kind.is_some() => return Err(error),
                Err(_) => {}
            }
        }
        match self.network_inspect(name) {
            Err(_) if kind.is_none() => {
                fail!("no such container, image, volume or network: {name}")
            }
            result => result,
        }
    }
}

/// Returns the directories of the layers of a container or image.
fn graph_driver(data: impl IntoIterator<Item = (&'static str, String)>) -> Value {
    let data = data.into_iter().map(|(key, value)| (key, text(value)));
    object([("Data", Value::map(data)), ("Name", text("overlay2"))])
}

fn healthcheck(check: Option<&Healthcheck>) -> Value {
    let Some(check) = check else { return omit_empty(Value::Nil) };
    let span = |ns: u64| {
        let text = crate::units::go_duration(i64::try_from(ns).unwrap_or(i64::MAX));
        omit_empty(Value::printed(text, number(ns)))
    };
    object([
        ("Test", omit_empty(strings(&check.test))),
        ("Interval", span(check.interval)),
        ("Timeout", span(check.timeout)),
        ("StartPeriod", span(check.start_period)),
        ("StartInterval", span(check.start_interval)),
        ("Retries", omit_empty(number(check.retries.into()))),
    ])
}
