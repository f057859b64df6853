//! The handle with which a run is stopped.

use tokio_util::sync::CancellationToken;

/// Stops a run from outside: scenarios end where they are, and what was made is removed.
#[derive(Debug, Clone, Default)]
pub struct Stop(CancellationToken);

impl Stop {
    /// A handle that has not been used.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop. Asking again changes nothing.
    pub fn stop(&self) {
        self.0.cancel();
    }

    /// Whether the run was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until the run is asked to stop.
    pub async fn stopped(&self) {
        self.0.cancelled().await;
    }

    /// What this gives; `None` when the run is asked to stop before.
    pub(crate) async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.stopped() => None,
        }
    }
}
