//! The values of which the documents of `inspect` are built: Go's and Docker's habits for empty
//! lists, maps, sets, sizes and times, over `template::Value`. Which field a document has is not
//! decided here.

use crate::template::Value;
use crate::time::Instant;

/// Docker's time for "not yet".
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// A struct of Go: fields in a fixed order.
pub fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    Value::object(fields.into())
}

/// A list.
pub fn array(values: impl IntoIterator<Item = Value>) -> Value {
    Value::list(values)
}

/// A list of texts.
pub fn strings<S: ToString>(values: impl IntoIterator<Item = S>) -> Value {
    array(values.into_iter().map(text))
}

/// A list of texts, or a list that Docker has not made.
pub fn strings_or_null(values: Option<&[String]>) -> Value {
    values.map_or(Value::NilList, strings)
}

/// Go's way to write a set: `{"80/tcp": {}}`.
pub fn set<S: AsRef<str>>(keys: impl IntoIterator<Item = S>) -> Value {
    Value::map(keys.into_iter().map(|key| (key, object([]))))
}

/// A map of texts.
pub fn map(pairs: &[(String, String)]) -> Value {
    Value::map(pairs.iter().map(|(key, value)| (key, text(value))))
}

/// A list that Docker has not made where it is empty.
pub fn or_nil_list(list: Value) -> Value {
    if list.is_true() { list } else { Value::NilList }
}

/// A map that Docker has not made where it is empty.
pub fn or_nil_map(map: Value) -> Value {
    if map.is_true() { map } else { Value::NilMap }
}

/// A text.
pub fn text(value: impl ToString) -> Value {
    Value::text(&value.to_string())
}

/// A count or a number of bytes.
pub fn number(value: u64) -> Value {
    // Docker's sizes and counts are signed too.
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// A number that may be negative, such as a limit of -1.
pub fn signed(value: i64) -> Value {
    Value::Int(value)
}

/// Nanoseconds since 1970; zero is never.
pub fn instant(ns: i64) -> Value {
    if ns == 0 { text(NEVER) } else { text(Instant(ns).to_rfc3339()) }
}
