//! The command `builder prune`, also typed `buildx prune`: removes the build cache.
//! `engine::build_cache` removes the cached steps and the cache mounts. `prune_filter` chooses by
//! the filters and `pruned` prints the result. As with Docker, a step's age is the time since the
//! step was last used.

use super::flag::{Checker, Command, Flag, Group, Operand, spec};
use super::output::removal_confirmed;
use super::prune_filter::PruneFilter;
use super::pruned::{CACHE_HEADING, print_pruned};
use crate::engine::view::PruneChoice;
use crate::error::{Result, fail};
use crate::units::ByteSize;

#[derive(Default)]
struct BuilderArgs {
    all: bool,
    force: bool,
    filter: PruneFilter,
    keep: Option<u64>,
}

fn keep(args: &mut BuilderArgs, value: &str) -> Result<()> {
    args.keep = Some(ByteSize::parse(value)?.0);
    Ok(())
}

const KEEP_DOC: &str = "Keep the most recently used steps, up to BYTES";

static PRUNE_FLAGS: &[Flag<BuilderArgs>] = &[
    Flag::<BuilderArgs>::switch("all", "Remove the steps of existing images too", |a, on| {
        a.all = on;
    })
    .short('a'),
    Flag::<BuilderArgs>::value(
        "filter",
        "KEY=VALUE",
        "Remove only steps unused since TIME (until=) or for SPAN (unused-for=)",
        |a, v| match v.split_once('=') {
            Some(("until" | "unused-for", value)) => {
                a.filter.add(&format!("until={value}"), "until unused-for")
            }
            Some((key, _)) => fail!("unknown filter '{key}'; known: until unused-for"),
            None => a.filter.add(v, "until unused-for"),
        },
    )
    .checked_by(Checker::DaemonIfPair),
    Flag::<BuilderArgs>::setting("keep-storage", "BYTES", KEEP_DOC, keep),
    Flag::<BuilderArgs>::setting("reserved-space", "BYTES", KEEP_DOC, keep),
    Flag::<BuilderArgs>::setting("max-used-space", "BYTES", KEEP_DOC, keep),
    Flag::<BuilderArgs>::switch("force", "Do not ask for confirmation", |a, on| a.force = on)
        .short('f'),
];

/// The command `builder prune`.
pub static PRUNE: Command = Command {
    name: "builder prune",
    group: Group::Images,
    usage: "[FLAGS]",
    summary: "Remove the build cache",
    examples: &["mydocker builder prune -f --keep-storage 2g"],
    operand: Operand::Nothing,
    operands: (0, 0),
    trailing: false,
    flags: |at| spec(PRUNE_FLAGS, at),
    run: |call| {
        let (args, _) = call.parse(PRUNE_FLAGS)?;
        let what = if args.all {
            "the whole build cache"
        } else {
            "the build cache, but for layers that images have"
        };
        if !args.force && !removal_confirmed(&[what])? {
            return Ok(0);
        }
        let wanted: PruneChoice<'_> = &|candidate| args.filter.matches(candidate);
        let pruned = call.engine()?.build_cache_prune(args.all, args.keep, wanted)?;
        print_pruned(&[(CACHE_HEADING, pruned)])?;
        Ok(0)
    },
};
