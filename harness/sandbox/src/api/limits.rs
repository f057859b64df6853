//! How much clients may ask for at a time. All of them are far above what verdikt and `kubectl` need.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::status::ApiError;

/// Most requests at a time, as in a real API server. One counts until its answer has been read.
const REQUESTS: usize = 400;

/// Most watches, and most logs that are followed, at a time.
const WATCHES: usize = 512;

/// Most bytes that an object may have as JSON: as much as a request can bring.
pub(super) const OBJECT: usize = super::decode::BODY_LIMIT;

/// Places that are taken and given back.
pub(crate) struct Limits {
    requests: Arc<Semaphore>,
    watches: Arc<Semaphore>,
}

impl Limits {
    /// All places are free.
    pub(super) fn new() -> Self {
        Self { requests: Arc::new(Semaphore::new(REQUESTS)), watches: Arc::new(Semaphore::new(WATCHES)) }
    }

    /// A place for a request.
    ///
    /// # Errors
    /// 429 when all are taken.
    pub(super) fn request(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        take(&self.requests, "requests", REQUESTS)
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
}
