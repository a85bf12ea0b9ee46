//! `volume inspect`: where a volume's files are, when it was made, its labels, and its options as
//! given. There is one driver, `local`. The size is not counted here (`system df -v` does), and
//! whether it is mounted at this moment is not shown, as in Docker.

use super::value::{instant, map, object, or_nil_map, text};
use crate::engine::Engine;
use crate::template::{Value, omit_empty};
use crate::volume;

impl Engine {
    pub(super) fn volume(&self, volume: &volume::Volume) -> Value {
        object([
            ("CreatedAt", instant(volume.created)),
            ("Driver", text("local")),
            ("Labels", or_nil_map(map(&volume.labels))),
            ("Mountpoint", text(volume::data(&self.roots, &volume.name).display())),
            ("Name", text(&volume.name)),
            ("Options", map(volume.options.as_deref().unwrap_or_default())),
            ("Scope", text("local")),
            ("Status", omit_empty(Value::NilMap)),
        ])
    }
}
