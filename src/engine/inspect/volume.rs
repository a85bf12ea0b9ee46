//! `volume inspect`: where a volume's files are, when it was made, and its labels. There is one
//! driver, `local`, and a volume has no options: these fields are Docker's words for that. The size
//! is not counted here (`system df -v` does).

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
            ("Options", map(&[])),
            ("Scope", text("local")),
            ("Status", omit_empty(Value::NilMap)),
        ])
    }
}
