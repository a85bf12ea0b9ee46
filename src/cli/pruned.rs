//! What every prune prints: each section with its heading and the names of what was removed, and at
//! the end how many bytes that freed. The words are Docker's. What is removed is decided by
//! `prune_filter` and by the engine.

use super::output::print;
use crate::engine::view::Pruned;
use crate::error::Result;
use crate::units::push_human_size;

/// Docker's heading of what a prune of the build cache removed.
#[cfg(feature = "build")]
pub const CACHE_HEADING: &str = "Deleted build cache objects:";

/// A heading, and what was removed.
pub type Section = (&'static str, Pruned);

/// Prints what a prune removed, and how many bytes that freed.
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
