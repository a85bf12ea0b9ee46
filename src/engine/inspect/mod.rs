//! `inspect`: everything on record under Docker's field names, in the order in which Docker 20.10
//! declares them, so that scripts and templates written for Docker work. One file for each kind of
//! object. The document is built as a value here and printed by `cli::inspect`. A field that has no
//! meaning here has its zero value.

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
    /// Returns the document of the container, image, volume or network with this name, searched
    /// in this order. `with_size` measures what a container takes on disk.
    pub fn inspect(&self, name: &str, kind: Option<InspectKind>, with_size: bool) -> Result<Value> {
        if matches!(kind, None | Some(InspectKind::Container)) {
            match names::find(&self.roots, name) {
                // Something else may have this name.
                Ok(names::Match::None) | Err(_) if kind.is_none() => {}
                found => {
                    let record = self.record_of(&found?.one(name)?, name)?;
                    return self.container(&record, with_size);
                }
            }
        }
        if matches!(kind, None | Some(InspectKind::Image)) {
            if let Some(image) = ImageStore::open(&self.roots).resolve(&name.parse()?)? {
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

/// The layers below a container or image, and where its own files are.
fn graph_driver(data: impl IntoIterator<Item = (&'static str, String)>) -> Value {
    let data = data.into_iter().map(|(key, value)| (key, text(value)));
    object([("Data", Value::map(data)), ("Name", text("overlay2"))])
}

fn healthcheck(check: Option<&Healthcheck>) -> Value {
    let Some(check) = check else { return omit_empty(Value::Nil) };
    let field = |value: u64| omit_empty(number(value));
    object([
        ("Test", omit_empty(strings(&check.test))),
        ("Interval", field(check.interval)),
        ("Timeout", field(check.timeout)),
        ("StartPeriod", field(check.start_period)),
        ("StartInterval", field(check.start_interval)),
        ("Retries", field(check.retries.into())),
    ])
}
