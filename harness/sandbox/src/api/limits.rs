//! How much clients may ask for at a time. All of them are far above what verdikt and `kubectl` need.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::status::ApiError;

/// Most requests at a time, as in a real API server. One counts until its answer has been read.
const REQUESTS: usize = 400;

/// Most watches, and most logs that are followed, at a time.
const WATCHES: usize = 512;

/// Most KiB of answers that nobody has read yet.
const ANSWERS: u32 = 256 << 10;

/// Most bytes that an object may have as JSON: as much as a request can bring.
pub(super) const OBJECT: usize = super::decode::BODY_LIMIT;

/// Places that are taken and given back.
pub(crate) struct Limits {
    requests: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Limits {
    /// All places are free.
    pub(super) fn new() -> Self {
        let places = |most| Arc::new(Semaphore::new(most));
        Self { requests: places(REQUESTS), watches: places(WATCHES), answers: places(ANSWERS as usize) }
    }

    /// A place for a request.
    ///
    /// # Errors
    /// 429 when all are taken.
    pub(super) fn request(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        take(&self.requests, "requests", REQUESTS)
    }

    /// Room for an answer of so many bytes until it has been read. One that is larger than all of it has room when it is the
    /// only one.
    ///
    /// # Errors
    /// 429 when answers that nobody reads take it.
    pub(super) fn answer(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(ANSWERS).min(ANSWERS);
        Arc::clone(&self.answers).try_acquire_many_owned(kib).map_err(|_| {
            ApiError::too_many(format!(
                "{} MiB of answers have not been read yet; try again later",
                ANSWERS >> 10
            ))
        })
    }

    /// A place for a watch.
    ///
    /// # Errors
    /// 429 when all are taken.
    pub(super) fn watch(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        take(&self.watches, "watches", WATCHES)
    }
}

fn take(places: &Arc<Semaphore>, what: &str, most: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    Arc::clone(places)
        .try_acquire_owned()
        .map_err(|_| ApiError::too_many(format!("there are {most} {what} already; try again later")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_the_last() {
        let limits = Limits::new();
        let mut held: Vec<_> = (0..WATCHES).map(|_| limits.watch().unwrap()).collect();
        assert_eq!(limits.watch().unwrap_err().code(), 429);
        assert!(limits.request().is_ok());
        held.pop();
        assert!(limits.watch().is_ok());
    }

    #[test]
    fn answers_that_nobody_reads_have_a_limit_in_bytes() {
        let limits = Limits::new();
        let held: Vec<_> = (0..25).map(|_| limits.answer(10 << 20).unwrap()).collect();
        assert_eq!(limits.answer(10 << 20).unwrap_err().code(), 429);
        assert!(limits.answer(1 << 20).is_ok());
        drop(held);
        assert!(limits.answer(usize::MAX).is_ok());
    }
}
