//! Steps that make a layer, and the cache of their layers.
//!
//! The key of a step is a digest of the step's input: the layers below, the instruction and the
//! values of its variables, SOURCE_DATE_EPOCH, and the names, modes, owners and bytes of the files
//! that the step reads. The times of files are not part of the key. The key of a RUN also has the
//! environment, the user, the working directory, the volumes and the network. Labels and most other
//! parts of the config are in no key, so a new LABEL above a step does not make the step run again.
//! Values of secrets, and of proxies that no ARG declares, are in no key, as with BuildKit.

use std::fmt::Write;

use super::report::Vertex;
use super::steps::{Build, State};
use crate::digest::Digest;
use crate::error::{Result, fail};
use crate::image::cache::CacheEntry;
use crate::image::config::MAX_LAYERS;
use crate::image::platform::native_architecture;
use crate::time::Instant;

/// A part of each key. Increase it when the same instruction makes a different layer than before.
const VERSION: u32 = 2;

/// The input of a step as text. Steps with different input have different texts.
pub struct Key(String);

impl Key {
    /// Adds one input: its name and its value.
    pub fn add(&mut self, name: &str, value: &str) {
        // The length separates the values: without it, two different lists of values could have the
        // same text. Writing to a String cannot fail.
        let _ = writeln!(self.0, "{name} {} {value}", value.len());
    }

    /// Adds one input that is a list: its name, its length and its values.
    pub fn add_all(&mut self, name: &str, values: &[String]) {
        self.add(name, &values.len().to_string());
        values.iter().for_each(|value| self.add(name, value));
    }

    /// Adds the digests of layers. The base layer is first.
    pub fn add_layers(&mut self, name: &str, layers: &[Digest]) {
        let layers: String = layers.iter().map(Digest::hex).collect();
        self.add(name, &layers);
    }

    /// Returns the digest of all values and one more value, which is not added.
    pub fn with(&self, name: &str, value: &str) -> Digest {
        let mut key = Key(self.0.clone());
        key.add(name, value);
        key.digest()
    }

    /// Returns the digest of all values: the step's key in the cache.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

/// A step that makes a layer.
pub struct LayerStep<'a> {
    /// The stage, the step's number and the number of steps, such as `[web 2/3]`, for the progress.
    /// The stage is left out if it is the only one and has no name.
    pub title: String,
    /// The instruction as the Dockerfile has it, in one line.
    pub text: &'a str,
    /// The instruction as the image's history shows it.
    pub created_by: String,
    /// The key to look up first.
    pub key: Digest,
    /// Computes a second key, which takes longer. The second key is looked up if the cache lacks
    /// the first one.
    pub content: Option<&'a dyn Fn() -> Result<Digest>>,
    /// Makes the layer if the cache has no entry.
    pub make: &'a dyn Fn(&Vertex<'_>) -> Result<MadeLayer>,
}

/// The layer that a step made.
pub struct MadeLayer {
    /// `None` if the step changed no file.
    pub layer: Option<Digest>,
    /// The key and the history's text for the files that the step really read. `None` if the step's
    /// own key and text are right.
    pub other: Option<(Digest, String)>,
    /// True if the context changed after its files were read for the key.
    pub has_changed: bool,
}

/// Returns a key that no other step has, so that the cache never finds it.
pub fn new_key() -> Digest {
    Digest::of(format!("{:?} {}", Instant::now(), std::process::id()).as_bytes())
}

impl Build<'_> {
    /// Starts the key of a step on top of `state`.
    pub(super) fn key(&self, state: &State, instruction: &str) -> Key {
        let mut key = Key(String::new());
        key.add("version", &VERSION.to_string());
        let architecture = state.config.architecture.as_str();
        let is_known = !architecture.is_empty();
        key.add("architecture", if is_known { architecture } else { native_architecture() });
        key.add("epoch", &format!("{:?}", self.epoch));
        key.add_layers("below", &state.config.diff_ids);
        key.add("instruction", instruction);
        key
    }

    /// Carries out the step, or takes its layer from the cache.
    pub(super) fn layer_step(&self, state: &mut State, step: &LayerStep<'_>) -> Result<()> {
        let vertex = self.report.begin(&format!("{} {}", step.title, step.text));
        match self.take_layer(state, step, &vertex) {
            Ok(true) => vertex.cached(),
            Ok(false) => vertex.done(),
            Err(error) => {
                vertex.failed(&error.to_string());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes the step's layer from the cache or makes it, and adds it to the image's configuration.
    /// Returns whether the layer is from the cache.
    fn take_layer(
        &self,
        state: &mut State,
        step: &LayerStep<'_>,
        vertex: &Vertex<'_>,
    ) -> Result<bool> {
        if state.config.diff_ids.len() >= MAX_LAYERS {
            fail!("the image would have more than {MAX_LAYERS} layers");
        }
        let mut keys = vec![step.key];
        if let Some(entry) = self.find(state, &step.key)? {
            self.used.borrow_mut().push(entry.clone());
            state.add_step(&step.created_by, &entry);
            return Ok(true);
        }
        let mut entry = None;
        if let Some(content) = step.content {
            keys.push(content()?);
            entry = self.find(state, &keys[1])?;
        }
        let is_cached = entry.is_some();
        let mut created_by = step.created_by.clone();
        let mut entry = match entry {
            Some(entry) => entry,
            None => {
                let made = (step.make)(vertex)?;
                if let Some((key, text)) = made.other {
                    (keys, created_by) = (vec![key], text);
                }
                if made.has_changed {
                    vertex.note("the context changed while it was read");
                }
                CacheEntry {
                    key: step.key,
                    layer: made.layer,
                    created: self.now(),
                    depth: state.config.diff_ids.len(),
                    title: step.text.to_owned(),
                }
            }
        };
        for key in keys {
            entry.key = key;
            self.engine.image_store().note_step(&self.place.draft, &entry)?;
            self.used.borrow_mut().push(entry.clone());
        }
        state.add_step(&created_by, &entry);
        Ok(is_cached)
    }

    /// Returns the cache entry of `key` if its layer exists, and keeps the layer until the build
    /// ends. `--cache-from` comes after the local cache. Returns `None` if the stage takes no layer
    /// from the cache.
    fn find(&self, state: &State, key: &Digest) -> Result<Option<CacheEntry>> {
        if state.is_fresh {
            return Ok(None);
        }
        let images = self.engine.image_store();
        let Some(entry) = images.cached(key) else { return self.import(key) };
        let layer: Vec<Digest> = entry.layer.into_iter().collect();
        if !images.need_layers(&self.place.draft, &layer)? {
            return self.import(key);
        }
        images.touch_cache(&[*key], self.started);
        Ok(Some(entry))
    }

    /// Merges the layers that the build made into one, and notes this in the history.
    pub(super) fn squash(&self, state: &mut State) -> Result<()> {
        let base = match &state.base {
            Some(id) => self.engine.image_store().get(id)?.config.diff_ids.len(),
            None => 0,
        };
        let new = state.config.diff_ids.split_off(base.min(state.config.diff_ids.len()));
        if new.len() < 2 {
            state.config.diff_ids.extend(new);
            return Ok(());
        }
        let mut left = base;
        for step in state.config.history.iter_mut().filter(|step| !step.empty_layer) {
            step.empty_layer = left == 0;
            left = left.saturating_sub(1);
        }
        let mut key = self.key(state, "squash");
        key.add_layers("layers", &new);
        let layers = state.config.diff_ids.clone();
        let step = LayerStep {
            title: "[squash]".to_owned(),
            text: &format!("{} layers", new.len()),
            created_by: String::new(),
            key: key.digest(),
            content: None,
            make: &|_| {
                let layer = self.engine.squash(self.place, &layers, &new, self.epoch)?;
                Ok(MadeLayer { layer, other: None, has_changed: false })
            },
        };
        self.layer_step(state, &step)?;
        if let Some(step) = state.config.history.last_mut() {
            step.comment = format!("{} layers of the build as one", new.len());
        }
        state.config.created = state.config.history.last().and_then(|step| step.created);
        Ok(())
    }

    /// The time for the history of new steps: SOURCE_DATE_EPOCH, or the present time.
    pub(super) fn now(&self) -> Instant {
        self.epoch
            .map_or_else(Instant::now, |seconds| Instant(seconds.saturating_mul(1_000_000_000)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_joined_differently_have_different_keys() {
        let key = |values: &[(&str, &str)]| {
            let mut key = Key(String::new());
            values.iter().for_each(|(name, value)| key.add(name, value));
            key.digest()
        };
        let keys = [
            key(&[("a", "bc")]),
            key(&[("a", "b"), ("c", "")]),
            key(&[("a", "b\nc 0 ")]),
            key(&[("a", ""), ("b", "c")]),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(one), "{at}");
        }
    }
}
