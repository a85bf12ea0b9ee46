//! Reads the files of a project into one canonical tree.
//!
//! This file finds the files, reads `.env`, names the project, replaces variables, resolves
//! `include` and `extends`, and merges the files. The page
//! docs.docker.com/compose/how-tos/environment-variables/envvars describes the COMPOSE_* variables.
//! A flag that chooses the project overrides the variable of the same meaning. `canonical` checks
//! keys and types, and `project` checks the names that services use.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::canonical::{check, refuse};
use super::interpolate::{Variables, add_once};
use super::merge::{merge, strip};
use super::node::{Node, Value};
use super::schema::{ROOT, SERVICE};
use super::scope::Scope;
use super::{dotenv, yaml};
use crate::error::{Context, Error, Result, fail};
use crate::path::clean;

/// The names of compose files, in the order of preference.
const NAMES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// The names of override files, in the order of preference.
const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];
/// The variable with the project's name.
const NAME: &str = "COMPOSE_PROJECT_NAME";
/// The most files of a project, with those of `include`. Files of `extends` do not count.
const MAX_FILES: usize = 64;

/// The values of the flags between `compose` and the subcommand.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `--file`: paths; `-` is the standard input.
    pub files: Vec<String>,
    /// `--project-name`
    pub name: Option<String>,
    /// `--env-file`: paths that replace `.env`.
    pub env_files: Vec<String>,
    /// `--profile`: the names of active profiles; `*` is all of them.
    pub profiles: Vec<String>,
    /// `--project-directory`
    pub directory: Option<String>,
    /// `--ansi`: whether container names are coloured; `None` if the flag is `auto` or not given.
    pub coloured: Option<bool>,
}

/// The merged files of a project.
pub struct Source {
    pub name: String,
    pub files: Vec<String>,
    pub directory: String,
    pub profiles: Vec<String>,
    pub root: Node,
    pub environment: Environment,
    /// The variables that the files use without a default and that are not set.
    pub missing: Vec<String>,
}

/// The variables for interpolation. The command's own environment overrides `.env` files.
#[derive(Clone, Default)]
pub struct Environment {
    own: Vec<(String, String)>,
    /// A later value of a variable wins.
    files: Vec<(String, String)>,
}

impl Environment {
    /// Returns the environment of this process. Variables that are no UTF-8 are left out.
    pub fn of_process() -> Environment {
        let own = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Environment { own: own.collect(), files: Vec::new() }
    }

    /// Returns the value of a variable, or `None` if it is not set.
    pub fn get(&self, name: &str) -> Option<String> {
        let is_asked = |(known, _): &&(String, String)| known == name;
        let own = self.own.iter().find(is_asked);
        own.or_else(|| self.files.iter().rev().find(is_asked)).map(|(_, value)| value.clone())
    }

    /// Returns the value of a variable, or `None` if it is empty or not set.
    fn set(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Adds the variables of the file `.env` in `dir`, if the file exists. Variables that are known
    /// already override the added variables.
    fn read_usual(&mut self, dir: &Path) -> Result<()> {
        let usual = dir.join(".env");
        let known = self.files.len();
        if usual.is_file() {
            self.read(&usual)?;
        }
        self.files.rotate_left(known);
        Ok(())
    }

    /// Adds the variables of a `.env` file. The process's environment overrides these variables.
    fn read(&mut self, path: &Path) -> Result<()> {
        let found = dotenv::parse(&shown(path), &read_text(path)?, &|name| self.get(name))?;
        self.files.extend(found.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Ok(())
    }
}

/// Reports whether the value of a variable switches a feature on.
pub fn is_on(value: Option<&str>) -> bool {
    matches!(value, Some("1" | "true" | "TRUE" | "True"))
}

/// Returns a path for an error. A path below the working directory becomes relative to it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&here).unwrap_or(path).display().to_string()
}

/// Reads a text file; `-` is the standard input. Fails if the file cannot be read, has more than
/// `yaml::MAX_FILE` bytes, or is no UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_bytes(path, yaml::MAX_FILE)?;
    String::from_utf8(bytes).or_else(|_| fail!("{} is not UTF-8 text", shown(path)))
}

/// Reads a file; `-` is the standard input. Fails if the file cannot be read or has more than
/// `most` bytes.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(most + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
    };
    read.context(|| format!("read {}", shown(path)))?;
    if bytes.len() as u64 > most {
        fail!("{} is larger than {most} bytes", shown(path));
    }
    Ok(bytes)
}

/// Finds, reads and merges the files of a project. Fails if there is no compose file, if a file
/// cannot be read or has a mistake, or if the project has no valid name.
pub fn load(choice: &Choice) -> Result<Source> {
    let here = std::env::current_dir().context(|| "find the working directory")?;
    let mut environment = Environment::of_process();
    let project_dir = |files: &[PathBuf]| match (&choice.directory, files.first()) {
        (Some(directory), _) => resolved(&here, directory),
        (None, Some(first)) if first.as_os_str() != "-" => {
            first.parent().unwrap_or(&here).to_path_buf()
        }
        _ => here.clone(),
    };
    let mut env_files = choice.env_files.clone();
    if env_files.is_empty()
        && let Some(files) = environment.set("COMPOSE_ENV_FILES")
    {
        env_files = files.split(',').map(str::to_owned).collect();
    }
    let is_disabled = is_on(environment.get("COMPOSE_DISABLE_ENV_FILE").as_deref());
    for file in &env_files {
        environment.read(&here.join(file))?;
    }
    // As in Docker Compose, `.env` of the working directory overrides `.env` of the project
    // directory. Either file may set COMPOSE_FILE. With `--file` or `--project-directory`, only
    // `.env` of the project directory is read.
    let reads_usual = env_files.is_empty() && !is_disabled;
    let is_chosen = !choice.files.is_empty() || choice.directory.is_some();
    if reads_usual && !is_chosen {
        environment.read_usual(&here)?;
    }
    let mut files = find_files(choice, &environment, &here)?;
    let mut dir = project_dir(&files);
    if reads_usual && (is_chosen || dir != here) {
        let had_files = environment.set("COMPOSE_FILE").is_some();
        environment.read_usual(&dir)?;
        if !had_files && environment.set("COMPOSE_FILE").is_some() && choice.files.is_empty() {
            files = find_files(choice, &environment, &dir)?;
            dir = project_dir(&files);
        }
    }
    if files.is_empty() {
        return Err(Error::absent(format!(
            "no compose file in {} or above it; write compose.yaml, or name a file with -f",
            here.display()
        )));
    }
    let mut profiles = choice.profiles.clone();
    // As in Docker Compose, `--profile` replaces COMPOSE_PROFILES.
    if profiles.is_empty()
        && let Some(names) = environment.set("COMPOSE_PROFILES")
    {
        profiles.extend(names.split(',').map(|name| name.trim().to_owned()));
    }
    let mut parsed: Vec<(PathBuf, Vec<Node>)> = Vec::new();
    for file in &files {
        if parsed.iter().all(|(known, _)| known != file) {
            parsed.push((file.clone(), parse(file)?));
        }
    }
    let name = project_name(choice, &environment, &parsed, &dir)?;
    environment.own.retain(|(known, _)| known != NAME);
    environment.own.push((NAME.to_owned(), name.clone()));
    let missing = RefCell::default();
    let mut reader = Reader { count: 0, missing: &missing, environment, parsed };
    let mut root = reader.files(&files, &dir)?;
    strip(&mut root);
    refuse(&root, &ROOT, "")?;
    Ok(Source {
        name,
        files: files.iter().map(|file| file.display().to_string()).collect(),
        directory: dir.display().to_string(),
        profiles,
        root,
        environment: reader.environment,
        missing: missing.into_inner(),
    })
}

/// Parses the YAML documents of a compose file.
fn parse(file: &Path) -> Result<Vec<Node>> {
    yaml::load(&shown(file), &read_text(file)?)
}

/// Returns `path` as an absolute path. A relative path is resolved from `dir`.
fn resolved(dir: &Path, path: &str) -> PathBuf {
    PathBuf::from(clean(&dir.join(path).to_string_lossy()))
}

/// Returns the files that `--file` or COMPOSE_FILE names. If neither is given, searches the
/// directory of `--project-directory` (without this flag, `here`) and the directories above.
/// Returns the first compose file and the override file beside it, or nothing if no compose file
/// exists.
fn find_files(choice: &Choice, environment: &Environment, here: &Path) -> Result<Vec<PathBuf>> {
    let absolute = |file: &str| match file {
        "-" => PathBuf::from("-"),
        _ => resolved(here, file),
    };
    if !choice.files.is_empty() {
        return Ok(choice.files.iter().map(|file| absolute(file)).collect());
    }
    if let Some(files) = environment.set("COMPOSE_FILE") {
        let separator = environment.set("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
        return Ok(files.split(separator.as_str()).map(absolute).collect());
    }
    let start = match &choice.directory {
        Some(directory) => here.join(directory),
        None => here.to_path_buf(),
    };
    for dir in start.ancestors() {
        let exists =
            |names: &[&str]| names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
        if let Some(file) = exists(&NAMES) {
            return Ok(std::iter::once(file).chain(exists(&OVERRIDES)).collect());
        }
    }
    Ok(Vec::new())
}

/// Returns the project's name: from the flag, from COMPOSE_PROJECT_NAME, from the last `name` in
/// the files, or from the directory.
fn project_name(
    choice: &Choice,
    environment: &Environment,
    parsed: &[(PathBuf, Vec<Node>)],
    dir: &Path,
) -> Result<String> {
    if let Some(name) = choice.name.clone().or_else(|| environment.set(NAME)) {
        check_name(&name)?;
        return Ok(name);
    }
    let mut name = None;
    let documents = parsed.iter().flat_map(|(_, documents)| documents);
    for given in documents.filter_map(|document| document.given("name")) {
        let find = |name: &str| environment.get(name);
        let variables = Variables { find: &find, missing: RefCell::default() };
        let given_name = given.convert(|text| variables.expand(text))?;
        check_name(&given_name).map_err(|error| given.wrong(error))?;
        name = Some(given_name);
    }
    if let Some(name) = name {
        return Ok(name);
    }
    let name = normalize(&dir.file_name().unwrap_or_default().to_string_lossy());
    if name.is_empty() {
        fail!("the directory {} gives no project name; use -p", dir.display())
    } else {
        Ok(name)
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || normalize(name) != name {
        fail!(
            "bad project name '{name}': use lower-case letters, digits, '-' and '_', and start with \
             a letter or digit"
        );
    }
    Ok(())
}

/// Converts a name to lower case and drops all characters except a-z, 0-9, `-` and `_`. Also drops
/// `-` and `_` at the start.
fn normalize(name: &str) -> String {
    let plain = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
    let name: String = name.to_lowercase().chars().filter(plain).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

/// Reads the files of a project.
struct Reader<'a> {
    count: usize,
    missing: &'a RefCell<Vec<String>>,
    environment: Environment,
    /// The parsed documents of the project's own files. The first use of a file removes its entry.
    parsed: Vec<(PathBuf, Vec<Node>)>,
}

impl Reader<'_> {
    /// Returns the merged tree of `files`.
    fn files(&mut self, files: &[PathBuf], dir: &Path) -> Result<Node> {
        let mut merged: Option<Node> = None;
        for file in files {
            for node in self.file(file, dir)? {
                merged = Some(match merged {
                    None => node,
                    Some(base) => merge(base, node, &ROOT),
                });
            }
        }
        match merged {
            Some(root) => Ok(root),
            None => fail!("{} is empty", files.first().map(|file| shown(file)).unwrap_or_default()),
        }
    }

    /// Returns the canonical documents of one file, with their `include` and `extends` resolved.
    fn file(&mut self, file: &Path, dir: &Path) -> Result<Vec<Node>> {
        self.count += 1;
        if self.count > MAX_FILES {
            fail!("{}: a project of more than {MAX_FILES} files, or a circle of them", shown(file));
        }
        let mut documents = Vec::new();
        for node in self.documents(file, dir)? {
            let node = self.extend(node, file, dir)?;
            documents.push(self.include(node, dir)?);
        }
        Ok(documents)
    }

    fn documents(&mut self, file: &Path, dir: &Path) -> Result<Vec<Node>> {
        let scope = Scope { dir: dir.to_path_buf(), home: self.environment.get("HOME") };
        let mut documents = Vec::new();
        let parsed = match self.parsed.iter().position(|(known, _)| known == file) {
            Some(at) => self.parsed.remove(at).1,
            None => parse(file)?,
        };
        for mut node in parsed {
            if node.value == Value::Null {
                continue;
            }
            let environment = &self.environment;
            let find = |name: &str| environment.get(name);
            let variables = Variables { find: &find, missing: RefCell::default() };
            variables.fill(&mut node)?;
            for name in variables.missing.into_inner() {
                add_once(&mut self.missing.borrow_mut(), &name);
            }
            documents.push(check(&node, &scope)?);
        }
        Ok(documents)
    }

    /// Resolves the `extends` of all services of a document (compose specification, "Extends").
    fn extend(&mut self, mut root: Node, file: &Path, dir: &Path) -> Result<Node> {
        let Some(services) = root.take("services") else { return Ok(root) };
        let mut done = services.map();
        for (name, service) in services.entries() {
            let mut seen = vec![(file.to_path_buf(), name.clone())];
            let service = self.extended(service.clone(), &services, file, dir, &mut seen)?;
            done.set(name, service);
        }
        root.set("services", done);
        Ok(root)
    }

    fn extended(
        &mut self,
        mut service: Node,
        services: &Node,
        file: &Path,
        dir: &Path,
        seen: &mut Vec<(PathBuf, String)>,
    ) -> Result<Node> {
        let Some(extends) = service.take("extends").filter(|node| node.value != Value::Null) else {
            return Ok(service);
        };
        let Some(name) = extends.get_text("service").map(str::to_owned) else {
            return Err(extends.wrong("extends.service is missing"));
        };
        let other = extends.get_text("file").map(PathBuf::from);
        let here = other.clone().unwrap_or_else(|| file.to_path_buf());
        if seen.contains(&(here.clone(), name.clone())) {
            return Err(extends.wrong(format_args!("service {name} extends itself")));
        }
        seen.push((here.clone(), name.clone()));
        let (services, dir) = match &other {
            None => (services.clone(), dir.to_path_buf()),
            Some(path) => {
                let dir = path.parent().unwrap_or(dir).to_path_buf();
                let documents = self.documents(path, &dir);
                let documents = documents.context(|| format!("{}: extends", extends.place))?;
                let root = documents.into_iter().next();
                let services = root.and_then(|mut root| root.take("services"));
                (services.unwrap_or_else(|| extends.map()), dir)
            }
        };
        let Some(base) = services.get(&name) else {
            return Err(extends.wrong(format_args!("{} has no service {name}", shown(&here))));
        };
        let base = self.extended(base.clone(), &services, &here, &dir, seen)?;
        Ok(merge(base, service, &SERVICE))
    }

    /// Adds the files that a document includes (compose specification, "Include"). Two files must
    /// not define the same name differently.
    fn include(&mut self, mut root: Node, dir: &Path) -> Result<Node> {
        let Some(include) = root.take("include") else { return Ok(root) };
        if !matches!(include.value, Value::List(_) | Value::Null) {
            return Err(include.wrong("include should be a list of files"));
        }
        for element in include.elements() {
            let paths = match &element.value {
                Value::Map(_) => {
                    let known = ["path", "project_directory", "env_file"];
                    element.refuse_unknown("include", &known)?;
                    element.get("path").map(texts).transpose()?.unwrap_or_default()
                }
                _ => vec![element.scalar()?.to_owned()],
            };
            let files: Vec<PathBuf> = paths.iter().map(|path| resolved(dir, path)).collect();
            let Some(first) = files.first() else {
                return Err(element.wrong("include.path is missing"));
            };
            let below = match element.given("project_directory") {
                Some(directory) => resolved(dir, directory.scalar()?),
                None => first.parent().unwrap_or(dir).to_path_buf(),
            };
            let env_files = match element.given("env_file") {
                Some(files) => texts(files)?.iter().map(|file| dir.join(file)).collect(),
                None if below != dir => vec![below.join(".env")],
                None => Vec::new(),
            };
            // The variables of the including project override those of the included project.
            let mut inner = self.environment.clone();
            inner.own.extend(std::mem::take(&mut inner.files).into_iter().rev());
            for file in &env_files {
                if element.given("env_file").is_some() || file.is_file() {
                    inner.read(file).context(|| format!("{}: include", element.place))?;
                }
            }
            let outer = std::mem::replace(&mut self.environment, inner);
            let included = self.files(&files, &below);
            self.environment = outer;
            let included = included.context(|| format!("{}: include", element.place))?;
            for key in ["services", "networks", "volumes", "secrets", "configs"] {
                let Some(more) = included.get(key) else { continue };
                let mut all = root.take(key).unwrap_or_else(|| more.map());
                for (name, node) in more.entries() {
                    match all.get(name) {
                        Some(own) if own != node => {
                            return Err(own.wrong(format_args!(
                                "{key}.{name} is also in {}, which is included",
                                node.place
                            )));
                        }
                        _ => all.set(name, node.clone()),
                    }
                }
                root.set(key, all);
            }
        }
        Ok(root)
    }
}

fn texts(node: &Node) -> Result<Vec<String>> {
    match &node.value {
        Value::List(elements) => {
            elements.iter().map(|node| Ok(node.scalar()?.to_owned())).collect()
        }
        _ => Ok(vec![node.scalar()?.to_owned()]),
    }
}
