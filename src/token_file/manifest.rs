/*!
The description of a token file, which is the content of `OUT.json`.
*/

use super::dtype::Dtype;
use super::index::IndexInfo;
use super::npy;
use crate::corpus::{Shard, SourceInfo};
use crate::error::Error;
use crate::json::{self, Object};
use crate::tokenizer::Special;
use serde_json::{Value, json};
use std::path::Path;

const FORMAT: &str = "bpe_lm token file";
const VERSION: u64 = 1;

/// The number of bytes of ids in a block, which has a checksum of its own.
pub const BLOCK_BYTES: usize = 1 << 26;

/// The description of a token file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The type of the ids.
    pub dtype: Dtype,
    /// The number of ids.
    pub count: u64,
    /// The number of bytes before the first id: the length of numpy's header, or 0 without it.
    pub data_offset: u64,
    /// The [hash](crate::tokenizer::Tokenizer::hash) of the tokenizer that made it.
    pub tokenizer: String,
    /// That tokenizer's greatest id plus one.
    pub vocab_size: u64,
    /// The meaning of special tokens in the texts, if the caller chose it.
    pub special: Option<Special>,
    /// The special token between the texts.
    pub separator: Option<String>,
    /// The files that were encoded.
    pub sources: Vec<SourceInfo>,
    /// The number of bytes of their texts.
    pub text_bytes: u64,
    /// The number of lines of JSON that were left out.
    pub skipped_lines: u64,
    /// The part of the files that was encoded, if it was not all of them.
    pub shard: Option<Shard>,
    /// The index of the documents, if there is one.
    pub index: Option<IndexInfo>,
    /// The CRC-32 of each [`BLOCK_BYTES`] of ids, and of the rest.
    pub checksums: Vec<u32>,
}

impl Manifest {
    /// The file's length in bytes.
    pub fn num_bytes(&self) -> u64 {
        self.data_offset + self.count * self.dtype.num_bytes()
    }

    /// The text of `OUT.json`.
    pub fn to_json(&self) -> String {
        self.to_object().to_string()
    }

    pub(super) fn to_object(&self) -> Value {
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
            "shard": self.shard.map(|shard| json!({"index": shard.index(), "of": shard.of()})),
            "index": self.index.map(index_to_json),
            "block_bytes": BLOCK_BYTES,
            "crc32": checksums,
        })
    }

    /// Reads the text of `OUT.json`.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        let value = json::parse(text)?;
        let object = Object::new(&value)?;
        for (key, known) in [
            ("format", Value::from(FORMAT)),
            ("version", VERSION.into()),
            ("byte_order", "little".into()),
            ("block_bytes", BLOCK_BYTES.into()),
        ] {
            if object.get(key)? != &known {
                return Err(format!("{key} is {}, and this version reads only {known}", object.get(key)?));
            }
        }
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
            shard: object.lenient("shard").map(shard_from_json).transpose()?,
            index: object.lenient("index").map(index_from_json).transpose()?,
            checksums: object.list("crc32")?.iter().map(checksum).collect::<Result<_, _>>()?,
        };
        if ![0, npy::HEADER_BYTES as u64].contains(&manifest.data_offset) {
            return Err(format!("data_offset is {}", manifest.data_offset));
        }
        let num_blocks = |data: u64| data.div_ceil(BLOCK_BYTES as u64);
        if manifest.data_bytes().map(num_blocks) != Some(manifest.checksums.len() as u64) {
            return Err("count and number of checksums do not fit each other".to_owned());
        }
        if manifest.index.is_some_and(|index| index.documents > manifest.count) {
            return Err("the index has more documents than there are ids".to_owned());
        }
        Ok(manifest)
    }

    /// Whether a file that grows can be so long. Its checksums are those of whole blocks alone.
    pub(super) fn is_possible_so_far(&self) -> bool {
        let num_blocks = |data: u64| data / BLOCK_BYTES as u64;
        // What is added later is less than 2^63, so that the sum fits.
        let is_sum = |number: u64| number < 1 << 63;
        self.data_bytes().map(num_blocks) == Some(self.checksums.len() as u64)
            && is_sum(self.text_bytes)
            && is_sum(self.skipped_lines)
    }

    /// The number of bytes of the ids. `None` if no file can have so many.
    fn data_bytes(&self) -> Option<u64> {
        let data = self.count.checked_mul(self.dtype.num_bytes())?;
        data.checked_add(self.data_offset).filter(|&all| all < 1 << 63).map(|_| data)
    }

    /// Reads `OUT.json`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        Manifest::from_json(&text).map_err(|reason| Error::format(path, reason))
    }

    /// The first difference between two runs' tasks, in words.
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
            .or_else(|| {
                let has_index =
                    |manifest: &Manifest| if manifest.index.is_some() { "with" } else { "without" };
                differs("the choice of an index", &has_index(self), &has_index(other))
            })
            .or_else(|| differs("the shard", &self.shard, &other.shard))
            .or_else(|| differs("the list of files", &names(self), &names(other)))
            .or_else(source)
    }
}

pub(super) fn index_to_json(index: IndexInfo) -> Value {
    json!({"documents": index.documents, "crc32": format!("{:08x}", index.crc32)})
}

pub(super) fn index_from_json(index: &Value) -> Result<IndexInfo, String> {
    let object = Object::new(index).map_err(|reason| format!("index is {reason}"))?;
    let info = IndexInfo { documents: object.number("documents")?, crc32: checksum(object.get("crc32")?)? };
    info.num_bytes().map(|_| info).ok_or_else(|| "there are no so many documents".to_owned())
}

fn checksum(sum: &Value) -> Result<u32, String> {
    let sum = sum.as_str().and_then(|sum| u32::from_str_radix(sum, 16).ok());
    sum.ok_or_else(|| "a checksum is not a hexadecimal number".to_owned())
}

fn shard_from_json(shard: &Value) -> Result<Shard, String> {
    let object = Object::new(shard).map_err(|reason| format!("shard is {reason}"))?;
    Shard::new(object.number("index")?, object.number("of")?).map_err(|error| error.to_string())
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
    let object = Object::new(source).map_err(|reason| format!("a source is {reason}"))?;
    let number = |key| object.optional(key, Value::as_u64);
    Ok(SourceInfo {
        name: object.string("name")?.to_owned(),
        file: number("bytes")?.zip(number("modified_ns")?),
        json_field: object.optional("json_field", Value::as_str)?.map(str::to_owned),
    })
}
