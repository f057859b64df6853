//! Talking to a server on one socket, and what is heard there; for probes as for tasks that go on.
//!
//! ```text
//! Probe ──► socket ──► Talk: says what the probe asks ──► Heard: an answer, a refusal (cause), oddities
//! ```

mod cause;
mod conversation;
mod dns;
mod echo;
mod http;
mod identity;
mod socket;
mod source_ports;

pub(crate) use self::{
    cause::{Cause, arrived, local, pending, queued},
    conversation::{Heard, NOT_OURS, Speech, Talk},
    dns::{Answer, Question, of_family},
    echo::{available as icmp_available, nonce as echo_nonce, request as echo_request},
    http::HttpAnswer,
    identity::{identified, source_seen},
    socket::{datagram, echo as echo_socket, send, stream},
    source_ports::{PROBES, SourcePorts, TASKS},
};
