//! `post_start` and `pre_stop`: commands that run in a service's container after its start and
//! before its stop (compose specification, "post_start", "pre_stop").
//!
//! Each hook runs by `exec`, so it has the container's confinement unless it sets `privileged`. The
//! hook's output goes to the command's standard streams. If a `post_start` hook fails, its
//! container is stopped. If a `pre_stop` hook fails, its container keeps running. A hook that fails
//! is an error of the command.

use super::node::Node;
use super::project::Service;
use crate::engine::options::ExecOptions;
use crate::engine::{Engine, StopMark};
use crate::error::{Context, Result, fail};

/// Runs the service's `post_start` hooks in container `id`. If a hook fails, stops the container
/// and returns the error.
pub fn post_start(engine: &Engine, service: &Service, id: &str) -> Result<()> {
    let done = run(engine, service, id, "post_start");
    if done.is_err() {
        let asked = engine.ask_to_stop(id, None, None, StopMark::User);
        // Report the hook's error, not an error of the stop.
        let _ = asked.and_then(|asked| engine.end_stop(asked));
    }
    done
}

/// Runs the service's `pre_stop` hooks in container `id`. Fails if a hook fails.
pub fn pre_stop(engine: &Engine, service: &Service, id: &str) -> Result<()> {
    run(engine, service, id, "pre_stop")
}

fn run(engine: &Engine, service: &Service, id: &str, key: &str) -> Result<()> {
    for hook in service.node.elements_of(key) {
        let mut env = Vec::new();
        for (name, value) in hook.entries_of("environment") {
            env.push(format!("{name}={}", value.as_text()));
        }
        let options = ExecOptions {
            container: id.to_owned(),
            command: words(hook)?,
            privileged: hook.get_bool("privileged"),
            user: hook.get_text("user").map(str::to_owned),
            workdir: hook.get_text("working_dir").map(str::to_owned),
            env,
            ..ExecOptions::default()
        };
        let code = engine.exec(&options).context(|| format!("{}: {key}", hook.place))?;
        if code != 0 {
            fail!("{}: {key} of service {} exited with {code}", hook.place, service.name);
        }
    }
    Ok(())
}

fn words(hook: &Node) -> Result<Vec<String>> {
    let command = hook.elements_of("command");
    if command.is_empty() {
        return Err(hook.wrong("a hook needs a command"));
    }
    Ok(command.iter().map(|word| word.as_text().to_owned()).collect())
}
