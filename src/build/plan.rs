//! Chooses the stages that the target needs.
//!
//! A stage needs the stage that its FROM names and those that COPY --from and RUN --mount=from= name, by
//! name or by number from 0, and only stages above it in the file. Each stage comes after the ones that
//! it needs. The variables in a FROM are the arguments before the first FROM.

use super::dockerfile::instruction::Instruction;
use super::dockerfile::{Dockerfile, Mistake};
use crate::words::Expander;

/// The stage, before `below`, that `name` names.
pub fn find(dockerfile: &Dockerfile, name: &str, below: usize) -> Option<usize> {
    let small = name.to_ascii_lowercase();
    let stages = &dockerfile.stages[..below];
    let named = stages.iter().rposition(|stage| stage.name.as_deref() == Some(small.as_str()));
    named.or_else(|| name.parse().ok().filter(|number| *number < below))
}

/// The stage, before `below`, that a FROM names. A number in a FROM is an image.
pub fn base(dockerfile: &Dockerfile, image: &str, below: usize) -> Option<usize> {
    if image.parse::<usize>().is_ok() { None } else { find(dockerfile, image, below) }
}

/// The stages to build, in order, the target last. `images` are the expanded names of the FROMs.
pub fn stages(
    dockerfile: &Dockerfile,
    images: &[String],
    target: Option<&str>,
) -> Result<Vec<usize>, Mistake> {
    let count = dockerfile.stages.len();
    let last = match target {
        None => count - 1,
        Some(name) => find(dockerfile, name, count).ok_or_else(|| {
            let place = dockerfile.stages[count - 1].from.place;
            Mistake::new(place, format!("--target {name}: no stage has this name"))
        })?,
    };
    let mut needed = vec![false; count];
    needed[last] = true;
    for at in (0..=last).rev().filter(|&at| at <= last) {
        if !needed[at] {
            continue;
        }
        for other in needs(dockerfile, images, at) {
            needed[other] = true;
        }
    }
    Ok((0..count).filter(|&at| needed[at]).collect())
}

/// The stages above that a stage needs.
pub fn needs(dockerfile: &Dockerfile, images: &[String], at: usize) -> Vec<usize> {
    let mut needs: Vec<usize> = base(dockerfile, &images[at], at).into_iter().collect();
    for step in &dockerfile.stages[at].steps {
        let named: Vec<&str> = match &step.instruction {
            Instruction::Copy(copy) => copy.from.as_deref().into_iter().collect(),
            Instruction::Run(run) => {
                let parts = run.mounts.iter().flat_map(|mount| mount.split(','));
                parts.filter_map(|part| part.strip_prefix("from=")).collect()
            }
            _ => Vec::new(),
        };
        needs.extend(named.iter().filter_map(|from| find(dockerfile, from, at)));
    }
    needs
}

/// The image names of all FROMs, their variables replaced.
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
