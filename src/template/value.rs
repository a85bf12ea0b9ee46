//! What a template works on: JSON as `inspect` prints it, rows of a listing, and Go's scalars.
//!
//! Docker's templates see Go structs and maps, JSON has objects only. `MAPS` names the fields that
//! are maps: a key that a map lacks is `<no value>`, a field that a struct lacks is an error.

use std::collections::BTreeMap;
use std::rc::Rc;

use miniserde::json::{self, Number};

/// Fields of Docker's structs whose keys are the user's.
const MAPS: &[&str] = &[
    "Annotations",
    "AuxiliaryAddresses",
    "Config.Volumes",
    "Containers",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "LogConfig.Config",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
];

/// Fields that a struct has although JSON leaves them out.
const OPTIONAL: &[&str] = &["Health", "Healthcheck", "SizeRw", "SizeRootFs"];

/// A value of a template.
#[derive(Clone, Debug)]
pub enum Value {
    /// A key that its map lacks.
    Missing,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<Vec<Value>>),
    Map(Rc<BTreeMap<Rc<str>, Value>>),
    Struct(Rc<Struct>),
}

/// A struct of Go: named fields, and perhaps the method `Label`.
#[derive(Debug, Default)]
pub struct Struct {
    /// As errors name it, such as `*formatter.ContainerContext`; empty for a part of a document.
    pub kind: &'static str,
    pub fields: BTreeMap<Rc<str>, Value>,
    /// What the method `Label` looks into; `None` where Docker has no such method.
    pub labels: Option<Vec<(String, String)>>,
    /// The row of headers: its `Label` is the label's own name.
    pub is_header: bool,
}

impl Struct {
    /// Whether Docker's struct has this field although its JSON may leave it out.
    pub fn lacks_by_omission(name: &str) -> bool {
        OPTIONAL.contains(&name)
    }

    /// The method `Label`.
    pub fn label(&self, name: &str) -> Option<Value> {
        let labels = self.labels.as_ref()?;
        if self.is_header {
            let last = name.rsplit('.').next().unwrap_or(name);
            return Some(Value::text(&last.replace(['-', '_'], " ")));
        }
        let found = labels.iter().find(|(key, _)| key == name);
        Some(Value::text(found.map_or("", |(_, value)| value)))
    }
}

impl Value {
    /// A string.
    pub fn text(text: &str) -> Value {
        Value::Text(Rc::from(text))
    }

    /// A document: its root is a struct of the name `kind`.
    pub fn of_document(document: &json::Value, kind: &'static str) -> Value {
        convert(document, "", "", kind)
    }

    /// The name that Go gives to the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Missing | Value::Nil => "interface {}",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]string",
            Value::Map(_) => "map[string]string",
            Value::Struct(object) if object.kind.is_empty() => "struct",
            Value::Struct(object) => object.kind,
        }
    }

    /// Go's truth: not zero and not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Nil => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(items) => !items.is_empty(),
            Value::Struct(_) => true,
        }
    }

    /// Writes the value as Go prints it: `map[a:1 b:2]`, `[a b]`, `{a b}`.
    pub fn push(&self, out: &mut String) {
        let list = |out: &mut String, open: &str, close: char, items: &[&Value]| {
            out.push_str(open);
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                item.push(out);
            }
            out.push(close);
        };
        match self {
            Value::Missing => out.push_str("<no value>"),
            Value::Nil => out.push_str("<nil>"),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&super::printf::shortest(*number)),
            Value::Text(text) => out.push_str(text),
            Value::List(items) => list(out, "[", ']', &items.iter().collect::<Vec<_>>()),
            Value::Struct(object) => {
                list(out, "{", '}', &object.fields.values().collect::<Vec<_>>());
            }
            Value::Map(items) => {
                out.push_str("map[");
                for (at, (key, item)) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    item.push(out);
                }
                out.push(']');
            }
        }
    }

    /// Writes the value as JSON on one line.
    pub fn push_json(&self, out: &mut String) {
        let object = |out: &mut String, fields: &BTreeMap<Rc<str>, Value>| {
            out.push('{');
            for (at, (key, item)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&json_string(key));
                out.push(':');
                item.push_json(out);
            }
            out.push('}');
        };
        match self {
            Value::Missing | Value::Nil => out.push_str("null"),
            Value::Text(text) => out.push_str(&json_string(text)),
            Value::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    item.push_json(out);
                }
                out.push(']');
            }
            Value::Map(items) => object(out, items),
            Value::Struct(fields) => object(out, &fields.fields),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => self.push(out),
        }
    }
}

fn json_string(text: &str) -> String {
    json::to_string(text)
}

fn convert(value: &json::Value, above: &str, name: &str, kind: &'static str) -> Value {
    match value {
        json::Value::Null => Value::Nil,
        json::Value::Bool(truth) => Value::Bool(*truth),
        json::Value::Number(Number::I64(number)) => Value::Int(*number),
        json::Value::Number(Number::U64(number)) => match i64::try_from(*number) {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Float(*number as f64),
        },
        json::Value::Number(Number::F64(number)) => Value::Float(*number),
        json::Value::String(text) => Value::text(text),
        json::Value::Array(items) => {
            Value::List(Rc::new(items.iter().map(|item| convert(item, name, "", "")).collect()))
        }
        json::Value::Object(object) => {
            let fields = object
                .iter()
                .map(|(key, item)| (Rc::from(key.as_str()), convert(item, name, key, "")))
                .collect();
            let qualified = format!("{above}.{name}");
            match MAPS.iter().any(|known| *known == name || *known == qualified) {
                true => Value::Map(Rc::new(fields)),
                false => Value::Struct(Rc::new(Struct { kind, fields, ..Struct::default() })),
            }
        }
    }
}
