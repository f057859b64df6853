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
mod neighbour;
mod sctp;
mod socket;
mod source_ports;

pub(crate) use self::{
    cause::{Cause, Peer, arrived, local, pending, queued},
    conversation::{Heard, NOT_OURS, Speech, Talk},
    dns::{Answer, Question, of_family},
    echo::{available as icmp_available, nonce as echo_nonce, request as echo_request},
    http::HttpAnswer,
    identity::{identified, source_seen},
    sctp::{Again, association, send_again_soon, stands as association_stands},
    socket::{connection, datagram, echo as echo_socket, send},
    source_ports::{PROBES, SourcePorts, TASKS},
};
