//! The data of a template: documents as `inspect` prints them, rows of a listing, and Go's scalars.
//!
//! Documents and rows are made of these values and not of JSON, because Docker's users see facts
//! that JSON cannot express. A struct keeps the order of its fields. A missing field of a struct is
//! an error, but a missing key of a map is `<no value>`. A nil slice is `[]`, but `null` in JSON.
//! JSON leaves out some fields.

use std::collections::BTreeMap;
use std::rc::Rc;

use miniserde::json;

use crate::time::Instant;

/// Fields with one name in Docker's Go structs and another in JSON.
const GO_NAMES: &[(&str, &str)] = &[
    ("ID", "Id"),
    ("AuxAddress", "AuxiliaryAddresses"),
    ("CPUCount", "CpuCount"),
    ("CPUPercent", "CpuPercent"),
    ("CPUPeriod", "CpuPeriod"),
    ("CPUQuota", "CpuQuota"),
    ("CPURealtimePeriod", "CpuRealtimePeriod"),
    ("CPURealtimeRuntime", "CpuRealtimeRuntime"),
    ("CPUShares", "CpuShares"),
    ("DNS", "Dns"),
    ("DNSOptions", "DnsOptions"),
    ("DNSSearch", "DnsSearch"),
    ("HostIP", "HostIp"),
    ("NanoCPUs", "NanoCpus"),
];

/// A value of a template.
#[derive(Clone, Debug)]
pub enum Value {
    /// The value of a key that a map lacks, and of a null in the result of `as_json`.
    Missing,
    /// A nil pointer.
    Nil,
    /// A nil slice: `[]` as text and `null` in JSON. `NilMap` is a nil map: `map[]` and `null`.
    NilList,
    NilMap,
    /// The value of a field that JSON leaves out, for example because the field is empty.
    Omitted(Rc<Value>),
    /// A value of a Go type that has a method `String`: the text that Go prints, and the value for
    /// JSON and for comparisons.
    Printed(Rc<(String, Value)>),
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A time of Go's package time.
    Time(Instant),
    Text(Rc<str>),
    List(Rc<Vec<Value>>),
    Map(Rc<BTreeMap<Rc<str>, Value>>),
    Struct(Rc<Struct>),
}

/// A Go struct: named fields, and the method `Label` if the type has it.
#[derive(Debug, Default)]
pub struct Struct {
    /// The type's name in errors, such as `*formatter.ContainerContext`; `None` in the documents of
    /// `inspect`.
    pub kind: Option<&'static str>,
    /// The fields, in the order of their declaration.
    pub fields: Vec<(&'static str, Value)>,
    /// The labels that the method `Label` searches; `None` if Docker has no such method.
    pub labels: Option<Vec<(String, String)>>,
    /// Whether this is a row of a listing. In its JSON, Docker escapes `<`, `>` and `&`.
    pub is_row: bool,
    /// Whether this is the row of headers, whose `Label` returns a heading made from the label's
    /// key.
    pub is_header: bool,
}

impl Struct {
    /// Returns the field with this name. Without a `kind`, the names of Docker's Go structs work
    /// too, as in `inspect -f '{{.ID}}'`.
    pub fn field(&self, name: &str) -> Option<&Value> {
        let by_name = |name: &str| self.fields.iter().find(|(known, _)| *known == name);
        let by_other_name = || {
            let (_, name) = GO_NAMES.iter().find(|(other, _)| *other == name)?;
            self.kind.is_none().then(|| by_name(name))?
        };
        by_name(name).or_else(by_other_name).map(|(_, value)| value)
    }

    /// Calls the method `Label`: returns the label's value, or an empty text for an unknown label.
    /// The row of headers returns a heading. Returns `None` if the type has no such method.
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
    /// Returns a text.
    pub fn text(text: &str) -> Value {
        Value::Text(Rc::from(text))
    }

    /// Returns a struct without methods.
    pub fn object(fields: Vec<(&'static str, Value)>) -> Value {
        Value::Struct(Rc::new(Struct { fields, ..Struct::default() }))
    }

    /// Returns a struct without methods. Errors name its type as `kind`.
    pub fn of_kind(kind: &'static str, fields: Vec<(&'static str, Value)>) -> Value {
        Value::Struct(Rc::new(Struct { kind: Some(kind), fields, ..Struct::default() }))
    }

    /// Returns a map.
    pub fn map<K: AsRef<str>>(items: impl IntoIterator<Item = (K, Value)>) -> Value {
        // `collect` would sort the items. The binary would then have the code of the sort once for
        // each kind of iterator: 50 kB.
        let mut map = BTreeMap::new();
        for (key, value) in items {
            map.insert(Rc::from(key.as_ref()), value);
        }
        Value::Map(Rc::new(map))
    }

    /// Returns a list.
    pub fn list(items: impl IntoIterator<Item = Value>) -> Value {
        Value::List(Rc::new(items.into_iter().collect()))
    }

    /// Returns a value that prints as `text`.
    pub fn printed(text: String, value: Value) -> Value {
        Value::Printed(Rc::new((text, value)))
    }

    /// Returns the value in `Omitted`; any other value as it is.
    pub fn shown(&self) -> &Value {
        match self {
            Value::Omitted(value) => value,
            value => value,
        }
    }

    /// Returns the value after a round trip through JSON, without Go's types: a struct becomes a
    /// map.
    pub fn as_json(&self) -> Value {
        match self {
            Value::Nil | Value::NilList | Value::NilMap => Value::Missing,
            Value::Time(time) => Value::text(&time.to_rfc3339()),
            Value::List(items) => Value::list(items.iter().map(Value::as_json)),
            Value::Map(items) => Value::map(items.iter().map(|(key, item)| (key, item.as_json()))),
            Value::Struct(object) => {
                let shown = object.fields.iter();
                let shown = shown.filter(|(_, value)| !matches!(value, Value::Omitted(_)));
                Value::map(shown.map(|(name, value)| (name, value.as_json())))
            }
            Value::Printed(printed) => printed.1.as_json(),
            value => value.shown().clone(),
        }
    }

    /// Returns the items, if this is a list.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            Value::NilList => Some(&[]),
            _ => None,
        }
    }

    /// Returns the type's name for errors and `%T`. A list is always `[]string`, and a map always
    /// `map[string]string`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Missing | Value::Nil => "interface {}",
            Value::Omitted(value) => value.type_name(),
            Value::Printed(printed) => printed.1.type_name(),
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Time(_) => "time.Time",
            Value::Text(_) => "string",
            Value::List(_) | Value::NilList => "[]string",
            Value::Map(_) | Value::NilMap => "map[string]string",
            Value::Struct(object) => object.kind.unwrap_or("struct"),
        }
    }

    /// Whether Go's `if` takes the value as true: the value is neither zero nor empty. A struct and
    /// a time are always true.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Nil | Value::NilList | Value::NilMap => false,
            Value::Omitted(value) => value.is_true(),
            Value::Printed(printed) => printed.1.is_true(),
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(items) => !items.is_empty(),
            Value::Struct(_) | Value::Time(_) => true,
        }
    }

    /// Appends the value as Go prints it: `map[a:1 b:2]`, `[a b]`, `{a b}`.
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
            Value::NilList => out.push_str("[]"),
            Value::NilMap => out.push_str("map[]"),
            Value::Omitted(value) => value.push(out),
            Value::Printed(printed) => out.push_str(&printed.0),
            Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Float(number) => out.push_str(&super::float::shortest(*number)),
            Value::Time(time) => out.push_str(&time.to_go()),
            Value::Text(text) => out.push_str(text),
            Value::List(items) => list(out, "[", ']', &items.iter().collect::<Vec<_>>()),
            Value::Struct(object) => {
                let fields = object.fields.iter().map(|(_, value)| value);
                list(out, "{", '}', &fields.collect::<Vec<_>>());
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

    /// Appends the value as JSON on one line. `<`, `>` and `&` are escaped only in a row of a
    /// listing, as in Docker.
    pub fn push_json(&self, out: &mut String) {
        match self {
            Value::Missing | Value::Nil | Value::NilList | Value::NilMap => out.push_str("null"),
            Value::Omitted(value) => value.push_json(out),
            Value::Printed(printed) => printed.1.push_json(out),
            Value::Text(text) => out.push_str(&json::to_string(&**text)),
            Value::Time(time) => out.push_str(&json::to_string(&time.to_rfc3339())),
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
            Value::Map(items) => {
                push_object(out, items.iter().map(|(key, item)| (&**key, item)));
            }
            Value::Struct(object) => {
                let start = out.len();
                push_object(out, object.fields.iter().map(|(name, item)| (*name, item)));
                if object.is_row && out[start..].contains(['<', '>', '&']) {
                    let escaped = out[start..].replace('<', "\\u003c").replace('>', "\\u003e");
                    out.replace_range(start.., &escaped.replace('&', "\\u0026"));
                }
            }
            Value::Float(number) => out.push_str(&super::float::json(*number)),
            Value::Bool(_) | Value::Int(_) => self.push(out),
        }
    }
}

fn push_object<'a>(out: &mut String, fields: impl Iterator<Item = (&'a str, &'a Value)>) {
    out.push('{');
    let shown = fields.filter(|(_, value)| !matches!(value, Value::Omitted(_)));
    for (at, (name, value)) in shown.enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&json::to_string(name));
        out.push(':');
        value.push_json(out);
    }
    out.push('}');
}

/// Returns the value of a field that has Go's `omitempty`.
pub fn omit_empty(value: Value) -> Value {
    if value.is_true() { value } else { Value::Omitted(Rc::new(value)) }
}
