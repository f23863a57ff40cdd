/*!
gzip data: any number of members, and zeros after each.

Tapes and block devices pad their last block with zeros, and `gzip -dc` and Python read such files. Anything that is neither
a member nor zeros is an error; `gzip` would leave it out with a warning.
*/

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, BufReader, Read};

const BUFFER_BYTES: usize = 1 << 15;

/// A reader of the text of gzip data.
pub(super) struct Gunzip {
    member: GzDecoder<Box<dyn BufRead + Send>>,
    is_at_end: bool,
}

impl Gunzip {
    pub fn new(input: impl Read + Send + 'static) -> Self {
        let input: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(BUFFER_BYTES, input));
        Gunzip { member: GzDecoder::new(input), is_at_end: false }
    }
}

impl Read for Gunzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_at_end && !buffer.is_empty() {
            match self.member.read(buffer)? {
                0 if has_another(self.member.get_mut())? => {
                    let input = std::mem::replace(self.member.get_mut(), Box::new(io::empty()));
                    self.member.reset(input);
                }
                0 => self.is_at_end = true,
                n => return Ok(n),
            }
        }
        Ok(0)
    }
}

/// Skips zeros. Returns whether a member follows.
fn has_another(input: &mut (dyn BufRead + Send)) -> io::Result<bool> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(zeros) {
            None if bytes.is_empty() => return Ok(false),
            None => input.consume(zeros),
            Some(0x1F) => {
                input.consume(zeros);
                return Ok(true);
            }
            Some(_) => return Err(io::Error::other("what follows is neither gzip data nor zeros")),
        }
    }
}
