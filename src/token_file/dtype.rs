/*!
The type of the ids in a token file.
*/

use crate::encode::Id;
use crate::error::Error;
use crate::tokenizer::Tokenizer;

/// The type of the ids in a file. They are little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Two bytes per id, as nanoGPT reads them.
    Uint16,
    /// Four bytes per id.
    Uint32,
}

impl Dtype {
    /// Reads the name `"uint16"` or `"uint32"`.
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

    /// The name, which is numpy's.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::Uint16 => "uint16",
            Dtype::Uint32 => "uint32",
        }
    }

    /// The number of bytes of an id.
    pub fn num_bytes(self) -> u64 {
        match self {
            Dtype::Uint16 => 2,
            Dtype::Uint32 => 4,
        }
    }

    /// Chooses the wanted type, or else the smallest that holds all ids.
    ///
    /// # Errors
    /// [`Error::Option`] if the wanted type does not hold all ids.
    pub fn choose(tokenizer: &Tokenizer, wanted: Option<Dtype>) -> Result<Self, Error> {
        let fits = tokenizer.greatest_id() <= <u16 as Id>::MAX;
        match wanted {
            Some(Dtype::Uint16) if !fits => Err(Error::Option {
                name: "dtype",
                value: format!("uint16 for ids up to {}", tokenizer.greatest_id()),
                rule: "uint32: uint16 ends at 65,535",
            }),
            Some(wanted) => Ok(wanted),
            None => Ok(if fits { Dtype::Uint16 } else { Dtype::Uint32 }),
        }
    }
}
