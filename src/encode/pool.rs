/*!
The encoders that nobody uses at the moment.

An encoder that has been used knows many pretokens already, so the next text takes one from here, and gives it
back. Nobody waits: if no encoder is idle, or another thread is holding the lock, the text gets a new encoder.
That also holds in a process that was forked while another thread held the lock, where the lock stays held for
ever.
*/

use super::encoder::Encoder;
use super::rules::Rules;
use std::sync::{Mutex, TryLockError};

/// Idle encoders of one tokenizer and one choice of special tokens.
pub(crate) struct EncoderPool {
    max_idle: usize,
    #[allow(clippy::vec_box)]
    // Taking an encoder must not move it: a short text takes a third of a microsecond in all.
    idle: Mutex<Vec<Box<Encoder>>>,
}

impl EncoderPool {
    /// An empty pool, which keeps at most `max_idle` encoders.
    pub fn new(max_idle: usize) -> Self {
        EncoderPool { max_idle, idle: Mutex::default() }
    }

    /// An empty pool of the same size.
    pub fn emptied(&self) -> Self {
        EncoderPool::new(self.max_idle)
    }

    /// Takes an idle encoder, or makes one by `rules`. Nobody else uses it until it is given back.
    pub fn take(&self, rules: Rules<'_>) -> Box<Encoder> {
        let idle = match self.idle.try_lock() {
            Ok(mut idle) => idle.pop(),
            Err(TryLockError::Poisoned(idle)) => idle.into_inner().pop(),
            Err(TryLockError::WouldBlock) => None,
        };
        idle.unwrap_or_else(|| Box::new(Encoder::new(rules)))
    }

    /// Gives an encoder back. It is dropped if the pool is full or another thread holds the lock.
    pub fn give_back(&self, encoder: Box<Encoder>) {
        let mut idle = match self.idle.try_lock() {
            Ok(idle) => idle,
            Err(TryLockError::Poisoned(idle)) => idle.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if idle.len() < self.max_idle {
            idle.push(encoder);
        }
    }
}
