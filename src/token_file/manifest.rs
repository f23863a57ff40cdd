/*!
What a token file holds, as `OUT.json` says it.
*/

use crate::corpus::SourceInfo;
use crate::encode::Id;
use crate::error::Error;
use crate::tokenizer::{Special, Tokenizer};
use serde_json::{Map, Value, json};
use std::path::Path;

const FORMAT: &str = "bpe_lm token file";
const VERSION: u64 = 1;

/// The type of the ids in a file, the lowest byte first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Two bytes an id: what nanoGPT reads.
    Uint16,
    /// Four bytes an id.
    Uint32,
}

impl Dtype {
    /// `"uint16"` or `"uint32"`.
    ///
    /// # Errors
    /// [`Error::Option`] for another name.
    pub fn new(name: &str) -> Result<Self, Error> {
        match name {
            "uint16" => Ok(Dtype::Uint16),
            "uint32" => Ok(Dtype::Uint32),
            _ => Err(Error::Option { name: "dtype", value: format!("{name:?}"), rule: "uint16 or uint32" }),
        }
    }

    /// numpy's name.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Uint16 => "uint16",
            Dtype::Uint32 => "uint32",
        }
    }

    /// Bytes an id.
    pub fn num_bytes(self) -> u64 {
        match self {
            Dtype::Uint16 => 2,
            Dtype::Uint32 => 4,
        }
    }

    /// The one that was wished, or else the smallest that holds all ids.
    ///
    /// # Errors
    /// [`Error::Option`] for one that does not.
    pub fn choose(tokenizer: &Tokenizer, wished: Option<Dtype>) -> Result<Self, Error> {
        let fits = tokenizer.greatest_id() <= <u16 as Id>::MAX;
        match wished {
            Some(Dtype::Uint16) if !fits => Err(Error::Option {
                name: "dtype",
                value: format!("uint16 for ids up to {}", tokenizer.greatest_id()),
                rule: "uint32: uint16 ends at 65,535",
            }),
            Some(wished) => Ok(wished),
            None => Ok(if fits { Dtype::Uint16 } else { Dtype::Uint32 }),
        }
    }
}

/// What a token file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The type of the ids.
    pub dtype: Dtype,
    /// The number of ids.
    pub count: u64,
    /// The bytes before the first id: numpy's header, if there is one.
    pub data_offset: u64,
    /// [`Tokenizer::hash`] of the tokenizer that made it.
    pub tokenizer: String,
    /// That tokenizer's greatest id and one.
    pub vocab_size: u64,
    /// What special tokens in the texts meant, if it was said.
    pub special: Option<Special>,
    /// What stands between the texts.
    pub separator: Option<String>,
    /// The files that were encoded.
    pub sources: Vec<SourceInfo>,
    /// The bytes of their texts.
    pub text_bytes: u64,
    /// The lines of JSON that were left out.
    pub skipped_lines: u64,
    /// CRC-32 of each [`super::BLOCK_BYTES`] of ids, and of the rest.
    pub checksums: Vec<u32>,
}

impl Manifest {
    /// The file's length in bytes.
    pub fn num_bytes(&self) -> u64 {
        self.data_offset + self.count * self.dtype.num_bytes()
    }

    /// The text of `OUT.json`.
    pub fn to_json(&self) -> String {
        let sources: Vec<Value> = self.sources.iter().map(source_to_json).collect();
        let checksums: Vec<String> = self.checksums.iter().map(|sum| format!("{sum:08x}")).collect();
        json!({
            "format": FORMAT,
            "version": VERSION,
            "dtype": self.dtype.name(),
            "byte_order": "little",
            "count": self.count,
            "data_offset": self.data_offset,
            "tokenizer": self.tokenizer,
            "vocab_size": self.vocab_size,
            "special": self.special.map(Special::name),
            "separator": self.separator,
            "text_bytes": self.text_bytes,
            "skipped_lines": self.skipped_lines,
            "sources": sources,
            "block_bytes": super::BLOCK_BYTES,
            "crc32": checksums,
        })
        .to_string()
    }

    /// Reads the text of `OUT.json`.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        let object = Object(value.as_object().ok_or("not a JSON object")?);
        for (key, known) in [
            ("format", Value::from(FORMAT)),
            ("version", VERSION.into()),
            ("byte_order", "little".into()),
            ("block_bytes", super::BLOCK_BYTES.into()),
        ] {
            if object.get(key)? != &known {
                return Err(format!("{key} is {}, only {known} is known", object.get(key)?));
            }
        }
        let checksum = |sum: &Value| {
            let sum = sum.as_str().and_then(|sum| u32::from_str_radix(sum, 16).ok());
            sum.ok_or_else(|| "a checksum is not a hexadecimal number".to_owned())
        };
        let name = |key| object.optional(key, Value::as_str);
        let manifest = Manifest {
            dtype: Dtype::new(object.string("dtype")?).map_err(|error| error.to_string())?,
            count: object.number("count")?,
            data_offset: object.number("data_offset")?,
            tokenizer: object.string("tokenizer")?.to_owned(),
            vocab_size: object.number("vocab_size")?,
            special: name("special")?.map(Special::new).transpose().map_err(|error| error.to_string())?,
            separator: name("separator")?.map(str::to_owned),
            text_bytes: object.number("text_bytes")?,
            skipped_lines: object.number("skipped_lines")?,
            sources: object.list("sources")?.iter().map(source_from_json).collect::<Result<_, _>>()?,
            checksums: object.list("crc32")?.iter().map(checksum).collect::<Result<_, _>>()?,
        };
        let is_possible = || {
            let data = manifest.count.checked_mul(manifest.dtype.num_bytes())?;
            data.checked_add(manifest.data_offset)?;
            let num_blocks = u64::try_from(manifest.checksums.len()).ok()?;
            (data.div_ceil(super::BLOCK_BYTES as u64) == num_blocks).then_some(())
        };
        if ![0, super::npy::HEADER_BYTES as u64].contains(&manifest.data_offset) {
            return Err(format!("data_offset is {}", manifest.data_offset));
        }
        is_possible().ok_or("count and number of checksums do not fit each other")?;
        Ok(manifest)
    }

    /// Reads `OUT.json`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        Manifest::from_json(&text).map_err(|reason| Error::format(path, reason))
    }

    /// What differs between what two runs are asked to do, in words.
    pub(super) fn difference(&self, other: &Manifest) -> Option<String> {
        let differs = |what: &str, is: &dyn std::fmt::Debug, was: &dyn std::fmt::Debug| {
            let (is, was) = (format!("{is:?}"), format!("{was:?}"));
            (is != was).then(|| format!("{what} was {was}, and is {is} now"))
        };
        let names = |manifest: &Manifest| -> Vec<String> {
            manifest.sources.iter().map(|source| source.name.clone()).collect()
        };
        let source = || {
            let changed = self.sources.iter().zip(&other.sources).find(|(is, was)| is != was);
            changed.map(|(is, _)| format!("{} was changed since, or is read in another way", is.name))
        };
        differs("the tokenizer", &self.tokenizer, &other.tokenizer)
            .or_else(|| differs("the type of ids", &self.dtype.name(), &other.dtype.name()))
            .or_else(|| differs("the header's length", &self.data_offset, &other.data_offset))
            .or_else(|| differs("the choice for special tokens", &self.special, &other.special))
            .or_else(|| differs("the separator", &self.separator, &other.separator))
            .or_else(|| differs("the list of files", &names(self), &names(other)))
            .or_else(source)
    }
}

fn source_to_json(source: &SourceInfo) -> Value {
    json!({
        "name": source.name,
        "bytes": source.file.map(|(len, _)| len),
        "modified_ns": source.file.map(|(_, time)| time),
        "json_field": source.json_field,
    })
}

fn source_from_json(source: &Value) -> Result<SourceInfo, String> {
    let object = Object(source.as_object().ok_or("a source is not an object")?);
    let number = |key| object.optional(key, Value::as_u64);
    Ok(SourceInfo {
        name: object.string("name")?.to_owned(),
        file: number("bytes")?.zip(number("modified_ns")?),
        json_field: object.optional("json_field", Value::as_str)?.map(str::to_owned),
    })
}

/// A JSON object whose entries must be there.
pub(super) struct Object<'a>(pub &'a Map<String, Value>);

impl<'a> Object<'a> {
    pub fn get(&self, key: &str) -> Result<&'a Value, String> {
        self.0.get(key).ok_or_else(|| format!("{key} is missing"))
    }

    pub fn number(&self, key: &str) -> Result<u64, String> {
        let value = self.get(key)?;
        value.as_u64().ok_or_else(|| format!("{key} is {value}, not a number"))
    }

    pub fn string(&self, key: &str) -> Result<&'a str, String> {
        let value = self.get(key)?;
        value.as_str().ok_or_else(|| format!("{key} is {value}, not a string"))
    }

    pub fn list(&self, key: &str) -> Result<&'a [Value], String> {
        let value = self.get(key)?;
        value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{key} is {value}, not a list"))
    }

    pub fn bool(&self, key: &str) -> Result<bool, String> {
        let value = self.get(key)?;
        value.as_bool().ok_or_else(|| format!("{key} is {value}, not true or false"))
    }

    pub fn optional<T>(
        &self,
        key: &str,
        as_type: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let value = self.get(key)?;
        if value.is_null() {
            return Ok(None);
        }
        as_type(value).map(Some).ok_or_else(|| format!("{key} is {value}, of another type"))
    }
}
