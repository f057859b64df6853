//! How long verdikt waits for an API server. `docs/api-courtesy.md` says what that comes to.

use std::time::Duration;

/// Limits of everything that waits for the API server or, through it, for an agent. The default is for every cluster;
/// tests are less patient.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// One call: all its requests, and the pauses between them. A request without an answer is given up after half
    /// of it, which is longer than the 10 s that the API server gives an admission webhook.
    pub call: Duration,
    /// The first call, which tells a wrong address from a bad moment.
    pub connect: Duration,
    /// How long an exec may take to become a stream: all its requests, and the pauses.
    pub open: Duration,
    /// An agent's first answer.
    pub hello: Duration,
    /// What a batch of probes may take beyond the time that its probes need.
    pub answer: Duration,
    /// How long an agent without a session is tried again.
    pub lost: Duration,
    /// A watch; then it is begun anew with a list, whether it told something or not.
    pub watch: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            connect: Duration::from_secs(10),
            open: Duration::from_secs(20),
            hello: Duration::from_secs(15),
            answer: Duration::from_secs(20),
            lost: Duration::from_secs(60),
            watch: Duration::from_secs(10),
        }
    }
}
