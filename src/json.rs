/*!
Reading JSON files: entries of an object that must be present and of one type.

Every error names the entry and shows its value, so that a person can find and correct it.
*/

use serde_json::{Map, Value};

/// Parses a text.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

/// An object, whose methods read one entry each.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    pub fn new(value: &'a Value) -> Result<Self, String> {
        value.as_object().map(Object).ok_or_else(|| "not a JSON object".to_owned())
    }

    /// An entry of any type.
    pub fn get(&self, key: &str) -> Result<&'a Value, String> {
        self.0.get(key).ok_or_else(|| format!("{key} is missing"))
    }

    /// An entry that may be null or missing, as in files of older versions.
    pub fn lenient(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A whole number from 0 on.
    pub fn number(&self, key: &str) -> Result<u64, String> {
        self.typed(key, "a whole number", Value::as_u64)
    }

    /// A whole number that fits this machine's sizes.
    pub fn size(&self, key: &str) -> Result<usize, String> {
        let number = self.number(key)?;
        usize::try_from(number).map_err(|error| format!("{key} is {number}: {error}"))
    }

    pub fn float(&self, key: &str) -> Result<f64, String> {
        self.typed(key, "a number", Value::as_f64)
    }

    pub fn string(&self, key: &str) -> Result<&'a str, String> {
        self.typed(key, "a string", Value::as_str)
    }

    pub fn bool(&self, key: &str) -> Result<bool, String> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub fn list(&self, key: &str) -> Result<&'a [Value], String> {
        self.typed(key, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    pub fn object(&self, key: &str) -> Result<&'a Map<String, Value>, String> {
        self.typed(key, "an object", Value::as_object)
    }

    /// A list of whole numbers from 0 on.
    pub fn numbers(&self, key: &str) -> Result<Vec<u64>, String> {
        let number = |(i, value): (usize, &Value)| {
            value.as_u64().ok_or_else(|| format!("{key}[{i}] is {}, not a whole number", shown(value)))
        };
        self.list(key)?.iter().enumerate().map(number).collect()
    }

    /// An entry that may be null, but not missing.
    pub fn optional<T>(
        &self,
        key: &str,
        as_type: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.get(key)? {
            Value::Null => Ok(None),
            value => as_type(value)
                .map(Some)
                .ok_or_else(|| format!("{key} is {}, which is of the wrong type", shown(value))),
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        wanted: &str,
        as_type: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, String> {
        let value = self.get(key)?;
        as_type(value).ok_or_else(|| format!("{key} is {}, not {wanted}", shown(value)))
    }
}

/// The form of a value in errors. Lists and objects are not shown, because they can be as long as the file.
fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}
