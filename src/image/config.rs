//! The image config (OCI image spec, config.md) has the defaults of an image's containers, and
//! names the image's layers. Docker's config is the same document with more fields. The stored
//! bytes also keep the fields that mydocker does not read.

use miniserde::Deserialize;
use miniserde::json::{self, Array, Number, Object, Value};

use super::platform::Platform;
use crate::digest::{A_DIGEST, Digest};
use crate::error::{Error, Result, fail};
use crate::healthcheck::Healthcheck;
use crate::json::{Node, parse, weigh};
use crate::time::Instant;

/// The longest config or manifest that is read, in bytes.
pub const MAX_DOCUMENT: u64 = 8 << 20;
/// The most layers of an image: overlayfs stacks no more (OVL_MAX_STACK).
pub const MAX_LAYERS: usize = 500;
/// The most entries of a list of environment variables, labels, arguments and so on.
const MAX_ITEMS: usize = 1 << 16;

/// The main fields of an image config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The architecture as Go names it: `amd64`, `arm64` and so on.
    pub architecture: String,
    pub os: String,
    pub created: Option<Instant>,
    pub author: String,
    pub config: ContainerConfig,
    /// Digests of the uncompressed layer tars, base first.
    pub diff_ids: Vec<Digest>,
    pub history: Vec<History>,
}

/// The defaults for a container of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Environment variables, each as `NAME=value`.
    pub env: Vec<String>,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// The working directory. Empty means `/`.
    pub working_dir: String,
    /// `user[:group]`. Empty means root.
    pub user: String,
    pub stop_signal: Option<String>,
    /// The mount points for volumes.
    pub volumes: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// Ports, each as `80/tcp`.
    pub exposed_ports: Vec<String>,
    pub healthcheck: Option<Healthcheck>,
    /// The shell of a health check, or of a Dockerfile's command in shell form (`SHELL`).
    pub shell: Option<Vec<String>>,
    /// Instructions for a build on top of this image.
    pub on_build: Vec<String>,
}

/// One step in the making of the image, which `history` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub created: Option<Instant>,
    pub created_by: String,
    pub author: String,
    pub comment: String,
    pub empty_layer: bool,
}

impl ImageConfig {
    /// Parses a config. `document` is the config's name in errors. Fails for example if the bytes
    /// are not JSON, if `rootfs` is missing, or if a field that is read has a wrong value.
    pub fn parse(document: &str, bytes: &[u8]) -> Result<ImageConfig> {
        let value = parse(document, bytes)?;
        let root = Node::root(document, &value);
        let rootfs = root.need("rootfs")?;
        let diff_id =
            |node: &Node<'_>| Digest::parse(&node.string()?).map_err(|_| node.wrong(A_DIGEST));
        let config = match root.get("config")? {
            Some(node) => ContainerConfig::parse(&node)?,
            None => ContainerConfig::default(),
        };
        let history = root.list("history", MAX_ITEMS, History::parse)?;
        let diff_ids = rootfs.get("diff_ids")?;
        let diff_ids = diff_ids.map(|node| node.each(MAX_LAYERS, diff_id)).transpose()?;
        Ok(ImageConfig {
            architecture: root.text("architecture")?,
            os: root.text("os")?,
            created: instant(&root, "created")?,
            author: root.text("author")?,
            config,
            diff_ids: diff_ids.unwrap_or_default(),
            history,
        })
    }

    /// Returns the image's platform without the variant.
    pub fn platform(&self) -> Platform {
        let (os, architecture) = (self.os.clone(), self.architecture.clone());
        Platform { os, architecture, variant: String::new() }
    }

    /// Returns the config as JSON. If the text is stored, its digest is the image's id.
    pub fn to_json(&self) -> String {
        json::to_string(&Value::Object(self.to_object()))
    }

    fn to_object(&self) -> Object {
        let mut root = Object::new();
        root.insert("architecture".into(), text(&self.architecture));
        root.insert("os".into(), text(&self.os));
        insert_instant(&mut root, self.created);
        if !self.author.is_empty() {
            root.insert("author".into(), text(&self.author));
        }
        root.insert("config".into(), self.config.to_value());
        root.insert("rootfs".into(), rootfs(&self.diff_ids));
        let history = self.history.iter().map(History::to_value);
        root.insert("history".into(), Value::Array(history.collect()));
        root
    }
}

/// Returns the layers that a config names. Some callers need no other field, and the other fields
/// would take more memory.
pub fn layers_of(document: &str, config: &[u8]) -> Result<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(Deserialize)]
    struct RootFs {
        diff_ids: Option<Vec<String>>,
    }
    weigh(document, config)?;
    let text = std::str::from_utf8(config).ok();
    let Some(parsed) = text.and_then(|text| json::from_str::<Config>(text).ok()) else {
        fail!("{document} states no layers")
    };
    let diff_ids = parsed.rootfs.diff_ids.unwrap_or_default();
    if diff_ids.len() > MAX_LAYERS {
        fail!("{document} has more than {MAX_LAYERS} layers");
    }
    diff_ids.iter().map(|digest| Digest::parse(digest)).collect()
}

/// Returns the platform that a config states. Fields that the config lacks are empty.
pub fn platform_of(document: &str, config: &[u8]) -> Result<Platform> {
    let value = parse(document, config)?;
    let root = Node::root(document, &value);
    let (os, architecture) = (root.text("os")?, root.text("architecture")?);
    Ok(Platform { os, architecture, variant: root.text("variant")? })
}

/// Fields of a config that `inspect` shows besides those of [`ImageConfig`].
#[derive(Default)]
pub struct Provenance {
    pub docker_version: String,
    pub variant: String,
    pub os_version: String,
    /// The container from which the image was made.
    pub container: String,
    pub container_config: Option<ContainerConfig>,
}

/// Returns the [`Provenance`] in a config. Fails for example if a field has the wrong type.
pub fn provenance_of(document: &str, config: &[u8]) -> Result<Provenance> {
    let value = parse(document, config)?;
    let root = Node::root(document, &value);
    let container_config = root.get("container_config")?;
    Ok(Provenance {
        docker_version: root.text("docker_version")?,
        variant: root.text("variant")?,
        os_version: root.text("os.version")?,
        container: root.text("container")?,
        container_config: container_config.map(|node| ContainerConfig::parse(&node)).transpose()?,
    })
}

/// Returns the config of an image that was made from another image. The fields of `base` that
/// `ImageConfig` lacks (the variant, extensions of other tools) are kept, except those that
/// describe only the base.
pub fn to_json_over(config: &ImageConfig, base: Option<&[u8]>) -> Result<String> {
    // These fields are replaced, or they describe only the base.
    const OURS: [&str; 11] = [
        "architecture",
        "os",
        "created",
        "author",
        "config",
        "rootfs",
        "history",
        "container",
        "container_config",
        "id",
        "parent",
    ];
    const DEFAULTS: [&str; 13] = [
        "Env",
        "Cmd",
        "Entrypoint",
        "WorkingDir",
        "User",
        "StopSignal",
        "Volumes",
        "Labels",
        "ExposedPorts",
        "Image",
        "Healthcheck",
        "Shell",
        "OnBuild",
    ];
    let mut root = config.to_object();
    let Some(base) = base else { return Ok(json::to_string(&Value::Object(root))) };
    const BASE: &str = "config of the base";
    let Value::Object(mut base) = parse(BASE, base)? else { fail!("{BASE} should be an object") };
    // An unchanged step of the base stays as its builder wrote it, with the fields that mydocker
    // does not know and with a date that `Instant` can't hold.
    if let (Some(Value::Array(steps)), Some(Value::Array(written))) =
        (base.remove("history"), root.get_mut("history"))
    {
        for ((to, step), from) in written.iter_mut().zip(&config.history).zip(steps) {
            if let Value::Object(_) = from
                && History::parse(&Node::root(BASE, &from))? == *step
            {
                *to = from;
            }
        }
    }
    let add = |to: &mut Object, from: &Object, known: &[&str]| {
        for (key, value) in from.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            to.insert(key.clone(), value.clone());
        }
    };
    if let (Some(Value::Object(to)), Some(Value::Object(from))) =
        (root.get_mut("config"), base.get("config"))
    {
        add(to, from, &DEFAULTS);
    }
    add(&mut root, &base, &OURS);
    Ok(json::to_string(&Value::Object(root)))
}

/// Returns the same config with other layers. Every other field stays as it is.
pub fn with_diff_ids(document: &str, config: &[u8], diff_ids: &[Digest]) -> Result<Vec<u8>> {
    let Value::Object(mut root) = parse(document, config)? else {
        fail!("{document} should be an object")
    };
    root.insert("rootfs".into(), rootfs(diff_ids));
    Ok(json::to_string(&Value::Object(root)).into_bytes())
}

fn rootfs(diff_ids: &[Digest]) -> Value {
    let mut rootfs = Object::new();
    rootfs.insert("type".into(), text("layers"));
    let diff_ids = diff_ids.iter().map(|digest| Value::String(digest.to_string()));
    rootfs.insert("diff_ids".into(), Value::Array(diff_ids.collect()));
    Value::Object(rootfs)
}

impl ContainerConfig {
    /// Returns the program and arguments that precede a command in shell form: SHELL, or
    /// `/bin/sh -c` if the image has no shell.
    pub fn shell_or_default(&self) -> Vec<String> {
        match self.shell.as_deref() {
            None | Some([]) => vec!["/bin/sh".to_owned(), "-c".to_owned()],
            Some(shell) => shell.to_vec(),
        }
    }

    fn parse(node: &Node<'_>) -> Result<ContainerConfig> {
        let keys = |key: &str| -> Result<Vec<String>> {
            let node = node.get(key)?;
            let keys = node.map(|node| node.fields(MAX_ITEMS, |key, _| Ok(key.to_owned())));
            Ok(keys.transpose()?.unwrap_or_default())
        };
        let label = |key: &str, node: &Node<'_>| {
            // As in Docker, a null is an empty text.
            let value = if node.is_null() { String::new() } else { node.string()? };
            Ok((key.to_owned(), value))
        };
        let labels = node.get("Labels")?;
        let labels = labels.map(|node| node.fields(MAX_ITEMS, label)).transpose()?;
        Ok(ContainerConfig {
            env: node.texts("Env", MAX_ITEMS)?.unwrap_or_default(),
            cmd: node.texts("Cmd", MAX_ITEMS)?,
            entrypoint: node.texts("Entrypoint", MAX_ITEMS)?,
            working_dir: node.text("WorkingDir")?,
            user: node.text("User")?,
            stop_signal: Some(node.text("StopSignal")?).filter(|signal| !signal.is_empty()),
            volumes: keys("Volumes")?,
            labels: labels.unwrap_or_default(),
            exposed_ports: keys("ExposedPorts")?,
            shell: node.texts("Shell", MAX_ITEMS)?,
            on_build: node.texts("OnBuild", MAX_ITEMS)?.unwrap_or_default(),
            healthcheck: node.get("Healthcheck")?.map(|node| healthcheck(&node)).transpose()?,
        })
    }

    fn to_value(&self) -> Value {
        let mut object = Object::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                object.insert(key.into(), value);
            }
        };
        let some_text = |value: &str| (!value.is_empty()).then(|| text(value));
        let set = |keys: &[String]| {
            let empty = |key: &String| (key.clone(), Value::Object(Object::new()));
            (!keys.is_empty()).then(|| object_of(keys.iter().map(empty)))
        };
        put("Env", (!self.env.is_empty()).then(|| texts(&self.env)));
        put("Cmd", self.cmd.as_deref().map(texts));
        put("Entrypoint", self.entrypoint.as_deref().map(texts));
        put("WorkingDir", some_text(&self.working_dir));
        put("User", some_text(&self.user));
        put("StopSignal", self.stop_signal.as_deref().map(text));
        put("Volumes", set(&self.volumes));
        let labels = self.labels.iter().map(|(key, value)| (key.clone(), text(value)));
        put("Labels", (!self.labels.is_empty()).then(|| object_of(labels)));
        put("ExposedPorts", set(&self.exposed_ports));
        put("Healthcheck", self.healthcheck.as_ref().map(healthcheck_value));
        put("Shell", self.shell.as_deref().map(texts));
        put("OnBuild", (!self.on_build.is_empty()).then(|| texts(&self.on_build)));
        Value::Object(object)
    }
}

fn healthcheck(node: &Node<'_>) -> Result<Healthcheck> {
    let number = |key: &str| -> Result<u64> {
        Ok(node.get(key)?.map(|node| node.unsigned()).transpose()?.unwrap_or_default())
    };
    Ok(Healthcheck {
        test: node.texts("Test", MAX_ITEMS)?.unwrap_or_default(),
        interval: number("Interval")?,
        timeout: number("Timeout")?,
        start_period: number("StartPeriod")?,
        start_interval: number("StartInterval")?,
        retries: u32::try_from(number("Retries")?).unwrap_or(u32::MAX),
    })
}

/// Returns the health check as a field of the config.
fn healthcheck_value(check: &Healthcheck) -> Value {
    let mut object = Object::new();
    if !check.test.is_empty() {
        object.insert("Test".into(), texts(&check.test));
    }
    for (key, number) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries.into()),
    ] {
        if number != 0 {
            object.insert(key.into(), Value::Number(Number::U64(number)));
        }
    }
    Value::Object(object)
}

impl History {
    fn parse(node: &Node<'_>) -> Result<History> {
        // As in Docker, a null is a step without any facts.
        if node.is_null() {
            return Ok(History::default());
        }
        let empty_layer = node.get("empty_layer")?.map(|node| node.boolean()).transpose()?;
        Ok(History {
            created: instant(node, "created")?,
            created_by: node.text("created_by")?,
            author: node.text("author")?,
            comment: node.text("comment")?,
            empty_layer: empty_layer.unwrap_or(false),
        })
    }

    fn to_value(&self) -> Value {
        let mut object = Object::new();
        insert_instant(&mut object, self.created);
        for (key, value) in
            [("created_by", &self.created_by), ("author", &self.author), ("comment", &self.comment)]
        {
            if !value.is_empty() {
                object.insert(key.into(), text(value));
            }
        }
        if self.empty_layer {
            object.insert("empty_layer".into(), Value::Bool(true));
        }
        Value::Object(object)
    }
}

/// One image of a docker-archive's `manifest.json`.
#[derive(Debug, PartialEq, Eq)]
pub struct ArchivedImage {
    /// The member that holds the config.
    pub config: String,
    pub repo_tags: Vec<String>,
    /// The members that hold the layers, base first.
    pub layers: Vec<String>,
}

/// Parses a docker-archive's `manifest.json`. An archive without an image is an error.
pub fn parse_archive_manifest(bytes: &[u8]) -> Result<Vec<ArchivedImage>> {
    let value = parse("manifest.json", bytes)?;
    let root = Node::root("manifest.json", &value);
    let images = root.each(MAX_ITEMS, |node| {
        Ok(ArchivedImage {
            config: node.need("Config")?.string()?,
            repo_tags: node.texts("RepoTags", MAX_ITEMS)?.unwrap_or_default(),
            layers: node.texts("Layers", MAX_LAYERS)?.unwrap_or_default(),
        })
    })?;
    if images.is_empty() {
        fail!("manifest.json: the archive holds no image");
    }
    Ok(images)
}

fn instant(node: &Node<'_>, key: &str) -> Result<Option<Instant>> {
    let Some(node) = node.get(key)? else { return Ok(None) };
    let text = node.string()?;
    // Go's zero time stands for a missing date.
    if text.is_empty() || text.starts_with("0001-") {
        return Ok(None);
    }
    let bad = || -> Error { node.wrong("a date as in RFC 3339") };
    Instant::parse_rfc3339(&text).ok_or_else(bad).map(Some)
}

fn insert_instant(object: &mut Object, created: Option<Instant>) {
    if let Some(created) = created {
        object.insert("created".into(), Value::String(created.to_rfc3339()));
    }
}

/// Adds one field after the other. Collecting and sorting the fields first takes eight kilobytes
/// more code.
fn object_of(fields: impl Iterator<Item = (String, Value)>) -> Value {
    let mut object = Object::new();
    object.extend(fields);
    Value::Object(object)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn texts(values: &[String]) -> Value {
    Value::Array(values.iter().map(|value| text(value)).collect::<Array>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> ImageConfig {
        ImageConfig {
            architecture: "amd64".into(),
            os: "linux".into(),
            created: Instant::parse_rfc3339("2026-01-31T12:00:00Z"),
            author: "me".into(),
            config: ContainerConfig {
                env: vec!["PATH=/bin".into()],
                cmd: Some(vec!["sh".into(), "-c".into(), "echo \"hi\"".into()]),
                entrypoint: None,
                working_dir: "/srv".into(),
                user: "nobody".into(),
                stop_signal: Some("SIGQUIT".into()),
                volumes: vec!["/data".into()],
                labels: vec![("a".into(), "b".into())],
                exposed_ports: vec!["80/tcp".into()],
                shell: Some(vec!["/bin/ash".into(), "-c".into()]),
                on_build: vec!["RUN true".into()],
                healthcheck: Some(Healthcheck {
                    test: vec!["CMD-SHELL".into(), "true".into()],
                    interval: 5_000_000_000,
                    retries: 2,
                    ..Default::default()
                }),
            },
            diff_ids: vec![Digest::of(b"x")],
            history: vec![History { created_by: "RUN x".into(), ..History::default() }],
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let written = sample().to_json();
        assert_eq!(ImageConfig::parse("config", written.as_bytes()).unwrap(), sample());
    }

    #[test]
    fn reads_dockers_nulls_and_extras() {
        let document = br#"{"architecture":"amd64","config":{"Hostname":"","Env":null,"Cmd":null,
            "Volumes":null,"Labels":null,"Entrypoint":["/x"],"OnBuild":null},"container":"abc",
            "created":"0001-01-01T00:00:00Z","docker_version":"20.10","os":"linux",
            "rootfs":{"type":"layers","diff_ids":null},"history":[{"empty_layer":true}]}"#;
        let config = ImageConfig::parse("c", document).unwrap();
        assert_eq!(config.config.cmd, None);
        assert_eq!(config.config.entrypoint, Some(vec!["/x".to_owned()]));
        assert_eq!(config.created, None);
        assert!(config.history[0].empty_layer && config.diff_ids.is_empty());
    }

    #[test]
    fn reads_null_steps_null_labels_and_dates_out_of_range() {
        let document = br#"{"created":"9999-12-31T23:59:59Z","config":{"Labels":{"a":null}},
            "rootfs":{},"history":[null,{"created":"2300-01-01T00:00:00Z"}]}"#;
        let config = ImageConfig::parse("c", document).unwrap();
        assert_eq!(config.created, Some(Instant(i64::MAX)));
        assert_eq!(config.config.labels, [("a".to_owned(), String::new())]);
        assert_eq!(config.history[0], History::default());
        assert_eq!(config.history[1].created, Some(Instant(i64::MAX)));
    }

    #[test]
    fn unknown_fields_are_kept() {
        let base = br#"{"variant":"v7","container":"c","config":{"OnBuild":["x"],
            "User":"old"},"rootfs":{}}"#;
        let written = to_json_over(&sample(), Some(base)).unwrap();
        assert!(written.contains(r#""variant":"v7""#) && written.contains("OnBuild"));
        assert!(!written.contains("container\"") && !written.contains("old"), "{written}");
        assert_eq!(ImageConfig::parse("config", written.as_bytes()).unwrap(), sample());
    }

    #[test]
    fn steps_of_the_base_stay_as_they_are_written() {
        let date = r#"{"created":"9999-12-31T23:59:59+02:00","created_by":"RUN x","unknown":[1]}"#;
        let base = format!(r#"{{"rootfs":{{}},"history":[{date},null,{date}]}}"#);
        let mut config = ImageConfig::parse("base", base.as_bytes()).unwrap();
        config.history[2].comment = "another step".to_owned();
        config.history.push(History { created_by: "RUN y".into(), ..History::default() });
        let written = to_json_over(&config, Some(base.as_bytes())).unwrap();
        let Ok(Value::Object(root)) = parse("written", written.as_bytes()) else { panic!() };
        let Some(Value::Array(steps)) = root.get("history") else { panic!() };
        let kept = parse("date", date.as_bytes()).unwrap();
        assert_eq!(json::to_string(&steps[0]), json::to_string(&kept));
        assert_eq!(json::to_string(&steps[1]), "{}");
        assert!(!json::to_string(&steps[2]).contains("9999"), "{written}");
        assert_eq!(steps.len(), 4);
        assert_eq!(ImageConfig::parse("written", written.as_bytes()).unwrap(), config);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (document, message) in [
            (r#"{}"#, "c: has no field 'rootfs'"),
            (r#"{"rootfs":{"diff_ids":["md5:1"]}}"#, "c: rootfs.diff_ids[0] should be a sha256"),
            (r#"{"rootfs":{},"config":{"Labels":{"a":1}}}"#, "c: config.Labels.a should be"),
            (r#"{"rootfs":{},"created":"today"}"#, "c: created should be a date"),
            (r#"[]"#, "c: should be an object"),
        ] {
            let error = ImageConfig::parse("c", document.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }

    #[test]
    fn reads_an_archive_manifest() {
        let images = parse_archive_manifest(
            br#"[{"Config":"c.json","RepoTags":null,"Layers":["a/layer.tar"]}]"#,
        )
        .unwrap();
        assert_eq!(images[0].layers, ["a/layer.tar"]);
        assert!(parse_archive_manifest(b"[]").is_err());
        assert!(parse_archive_manifest(br#"[{"Layers":[]}]"#).is_err());
    }
}
