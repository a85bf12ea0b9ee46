//! Prints what a prune removed, in Docker's words. Each section has a heading and the names of the
//! removed objects; a section without objects is not printed. The last line has the freed space.
//! `prune_filter` and the engine decide which objects are removed.

use super::output::print;
use crate::engine::view::Pruned;
use crate::error::Result;
use crate::units::push_human_size;

/// Docker's heading for the removed build cache.
#[cfg(feature = "build")]
pub const CACHE_HEADING: &str = "Deleted build cache objects:";

/// A heading, and the objects that were removed.
pub type Section = (&'static str, Pruned);

/// Prints the removed objects and the freed space. Fails like `print`.
pub fn print_pruned(sections: &[Section]) -> Result<()> {
    let mut text = String::new();
    let mut reclaimed = 0;
    for (heading, pruned) in sections {
        reclaimed += pruned.reclaimed;
        if !pruned.removed.is_empty() {
            text.push_str(&format!("{heading}\n{}\n\n", pruned.removed.join("\n")));
        }
    }
    text.push_str("Total reclaimed space: ");
    push_human_size(&mut text, reclaimed);
    text.push('\n');
    print(&text)
}
