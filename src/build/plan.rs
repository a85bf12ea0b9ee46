//! Chooses the stages that the target needs.
//!
//! A stage needs the stages that its FROM, COPY --from and RUN --mount=from= name. FROM names a
//! stage by its name, COPY and RUN by its name or by its number, counted from 0. Only stages above
//! the needing stage count. The ONBUILD steps of a stage's base count as the stage's own. In the
//! list that `stages` returns, each stage comes after the stages that it needs. The variables in a
//! FROM are the ARGs before the first FROM and the predefined platform arguments. `stages.rs` and
//! `steps.rs` build the stages.

use super::dockerfile::instruction::Instruction;
use super::dockerfile::{Dockerfile, Mistake, Stage, Step};
use crate::error::Result;
use crate::image::platform::Platform;
use crate::suggest::nearest;
use crate::words::Expander;

/// The image and the platform of a stage's base, with variables replaced.
pub struct Base {
    /// The name of an image or of a stage above, or `scratch`.
    pub image: String,
    /// `None` if no platform was given: a local image may then have any platform.
    pub platform: Option<Platform>,
}

/// Returns the number of the stage with this name or number. Only stages before stage `below`
/// count.
pub fn find(dockerfile: &Dockerfile, name: &str, below: usize) -> Option<usize> {
    let small = name.to_ascii_lowercase();
    let stages = &dockerfile.stages[..below];
    let named = stages.iter().rposition(|stage| stage.name.as_deref() == Some(small.as_str()));
    named.or_else(|| name.parse().ok().filter(|number| *number < below))
}

/// Like [`find`], for the name in a FROM. There, a number is the name of an image.
pub fn base(dockerfile: &Dockerfile, image: &str, below: usize) -> Option<usize> {
    if image.parse::<usize>().is_ok() { None } else { find(dockerfile, image, below) }
}

/// Returns the numbers of the stages to build, each with the numbers of the stages that it needs.
/// The target is last. `triggers` returns the ONBUILD steps of a stage's base. Fails if no stage
/// has the name or number `target`, and if `triggers` fails.
pub fn stages(
    dockerfile: &Dockerfile,
    bases: &[Base],
    target: Option<&str>,
    triggers: &dyn Fn(usize) -> Result<Vec<Step>>,
) -> Result<Vec<(usize, Vec<usize>)>, Mistake> {
    let count = dockerfile.stages.len();
    let last = match target {
        None => count - 1,
        Some(name) => find(dockerfile, name, count).ok_or_else(|| {
            let place = dockerfile.stages[count - 1].from.place;
            let names = dockerfile.stages.iter().filter_map(|stage| stage.name.as_deref());
            let hint = nearest(name, names).map(|near| format!("; did you mean {near}?"));
            let hint = hint.unwrap_or_default();
            Mistake::new(place, format!("--target {name}: no stage has this name{hint}"))
        })?,
    };
    let mut stages: Vec<(usize, Vec<usize>)> = Vec::new();
    for at in (0..=last).rev() {
        if at != last && !stages.iter().any(|(_, needs)| needs.contains(&at)) {
            continue;
        }
        let Stage { from, steps, .. } = &dockerfile.stages[at];
        let place = from.place;
        let triggers = triggers(at).map_err(|error| Mistake { place, error })?;
        let mut needs: Vec<usize> = base(dockerfile, &bases[at].image, at).into_iter().collect();
        for step in triggers.iter().chain(steps) {
            needs.extend(named(step).filter_map(|from| find(dockerfile, from, at)));
        }
        stages.push((at, needs));
    }
    stages.reverse();
    Ok(stages)
}

/// Returns the names that a step has in COPY --from or RUN --mount=from=.
fn named(step: &Step) -> impl Iterator<Item = &str> {
    let (copied, mounts): (_, &[String]) = match &step.instruction {
        Instruction::Copy(copy) => (copy.from.as_deref(), &[]),
        Instruction::Run(run) => (None, &run.mounts),
        _ => (None, &[]),
    };
    let parts = mounts.iter().flat_map(|mount| mount.split(','));
    copied.into_iter().chain(parts.filter_map(|part| part.strip_prefix("from=")))
}

/// Returns the platform of each FROM with its variables replaced, or `None` if FROM has no
/// `--platform`.
pub fn platforms(
    dockerfile: &Dockerfile,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Option<Platform>>, Mistake> {
    let expander = Expander { escape: dockerfile.escape, variable };
    let stages = dockerfile.stages.iter().map(|stage| {
        let Some(text) = &stage.platform else { return Ok(None) };
        let word = expander.word(text).and_then(|word| Platform::parse(&word));
        word.map(Some).map_err(|error| Mistake { place: stage.from.place, error })
    });
    stages.collect()
}

/// Returns the image name of each FROM with its variables replaced. Fails if a name is empty.
pub fn images(
    dockerfile: &Dockerfile,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<String>, Mistake> {
    let expander = Expander { escape: dockerfile.escape, variable };
    let mut images = Vec::new();
    for stage in &dockerfile.stages {
        let place = stage.from.place;
        let image = expander.word(&stage.image).map_err(|error| Mistake { place, error })?;
        if image.is_empty() {
            let message = format!("the image '{}' is empty; give the ARG a value", stage.image);
            return Err(Mistake::new(place, message));
        }
        images.push(image);
    }
    Ok(images)
}
