//! Tasks that go on: attempts again and again, a connection that is held, a transfer.
//!
//! The runner begins a group of them with [`crate::Request::Begin`], looks at it with [`crate::Request::Look`] as often
//! as it likes and ends it with [`crate::Request::End`]. All times are microseconds of the pod's `CLOCK_MONOTONIC`, so
//! that times of several processes of one pod can be compared; [`crate::Reply::Report`] also tells that clock's time now,
//! from which the runner finds its distance to its own.

use serde::{Deserialize, Serialize};

use crate::{Probe, ProbeVerdict};

/// Most tasks in one group.
pub const MAX_TASKS: usize = 256;

/// Id of the group that `verdikt-probe serve --first …` began with its first instruction.
pub const FIRST_GROUP: u64 = 0;

/// Most runs that one task keeps; what comes after is added to the last one.
pub const MAX_RUNS: usize = 512;

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Where to and how; its `n` tells the task within its group.
    pub probe: Probe,
    /// What to do there.
    pub work: Work,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Work {
    /// An attempt every `interval_us`, each on a new socket with a source port of its own. An attempt that hears
    /// nothing for `patience_ms` counts as dropped.
    Sample {
        /// From the start of one attempt to the start of the next.
        interval_us: u32,
        /// How long one attempt waits.
        patience_ms: u32,
    },
    /// One connection (TCP, SCTP) or one socket with one source port (UDP), with a question on it every `interval_us`.
    /// A question that is not answered within `patience_ms` counts as dropped, also if its answer comes later.
    Hold {
        /// From one question to the next.
        interval_us: u32,
        /// How long one question waits.
        patience_ms: u32,
    },
    /// So many bytes there and back on one connection, in full segments.
    Transfer {
        /// How many.
        bytes: u64,
        /// Without progress for so long, the transfer has stalled.
        patience_ms: u32,
    },
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReport {
    /// Of which task.
    pub n: u32,
    /// When it began.
    pub began_us: u64,
    /// What became of its attempts or questions, in the order in which they were begun, equal neighbours together. Those
    /// still waiting are not in it. A transfer has one run, whose `count` is 1, once it is over.
    pub runs: Vec<Run>,
    /// Bytes that came back, for a transfer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// The source port, for a held connection that stands or stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port: Option<u16>,
}

/// Attempts one after another with the same end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// When the first of them was begun (its first packet was sent).
    pub first_us: u64,
    /// When the last of them was begun; for a transfer, when it was over.
    pub last_us: u64,
    /// How many they are.
    pub count: u32,
    /// How they ended. A held connection that was reset or closed is `rejected`, and has no further runs.
    pub verdict: ProbeVerdict,
    /// Cause of a refusal or an error, of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whose server answered: on a held connection, where those of one run are all of one server, and a transfer. A sample
    /// does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
