//! `volume inspect`: the directory of a volume's files, its creation time, its labels and its
//! options.
//!
//! There is one driver, `local`. The size is not counted here: `system df -v` counts it. As in
//! Docker, the document does not show whether the volume is mounted.

use super::value::{instant, map, object, or_nil_map, text};
use crate::engine::Engine;
use crate::template::{Value, omit_empty};
use crate::volume;

impl Engine {
    /// Returns what `inspect` shows of a volume.
    pub(super) fn volume(&self, volume: &volume::Volume) -> Value {
        object([
            ("CreatedAt", instant(volume.created)),
            ("Driver", text("local")),
            ("Labels", or_nil_map(map(&volume.labels))),
            ("Mountpoint", text(volume::data(&self.roots, &volume.name).display())),
            ("Name", text(&volume.name)),
            ("Options", map(volume.options.as_deref().unwrap_or_default())),
            ("Scope", text("local")),
            ("UsageData", omit_empty(Value::Nil)),
            ("Status", omit_empty(Value::NilMap)),
        ])
    }
}
