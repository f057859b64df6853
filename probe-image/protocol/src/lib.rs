//! Wire types between runner and agent: JSON lines, one message a line, UTF-8, LF.
//!
//! The runner execs `verdikt-probe agent` once in each source pod and keeps the session. It writes [`Request`]s
//! to stdin and reads [`Reply`]s from stdout; many batches may be in flight. Every batch ends with
//! [`Reply::Done`], which carries the number of results, so that a truncated stream is noticed. End of stdin
//! ends the agent, but a runner says [`Request::Quit`]: on older exec protocols closing stdin closes everything.

mod datagram;
mod watch;

use std::net::IpAddr;

pub use datagram::{UDP_MAGIC, UDP_REQUEST_BYTES, nonce_text, udp_nonce, udp_request};
use serde::{Deserialize, Serialize};
pub use watch::{FIRST_GROUP, MAX_RUNS, MAX_TASKS, Run, Task, TaskReport, Work};

/// Version of this protocol; both sides must agree.
pub const VERSION: u32 = 3;

/// Most probes in one batch. A line stays below 1 MiB.
pub const MAX_BATCH: usize = 1024;

/// Environment variable that holds the identity with which the servers answer.
pub const IDENTITY_VARIABLE: &str = "VERDIKT_IDENTITY";

/// Environment variable that names another file than `/etc/resolv.conf`.
pub const RESOLV_CONF_VARIABLE: &str = "VERDIKT_RESOLV_CONF";

/// What a probe says whose connection stood, and on which no server spoke. The same servers are behind a pod's other ports.
pub const CONNECTED_UNANSWERED: &str = "connected, but no answer came on the connection";

/// What the runner asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Request {
    /// Who are you, what can you do? Answered by [`Reply::Hello`].
    Hello {
        /// [`VERSION`] of the runner.
        version: u32,
    },
    /// Probe all of these, at once.
    Probe {
        /// Chosen by the runner, unique in the session.
        batch: u64,
        /// Milliseconds after which silence means dropped.
        deadline_ms: u32,
        /// The probes, at most [`MAX_BATCH`].
        probes: Vec<Probe>,
    },
    /// Begin tasks that go on until [`Request::End`], or the end of the session. Not answered; a group that cannot be
    /// begun is told by [`Reply::Refused`].
    Begin {
        /// Chosen by the runner, unique in the session; not [`FIRST_GROUP`].
        group: u64,
        /// At most [`MAX_TASKS`].
        tasks: Vec<Task>,
    },
    /// How does a group stand? Answered by [`Reply::Report`]. [`FIRST_GROUP`] is asked of the pod's servers.
    Look {
        /// Which.
        group: u64,
    },
    /// End a group. Answered by [`Reply::Report`], for the last time.
    End {
        /// Which.
        group: u64,
    },
    /// Have the pod's servers end with exit code 0, so that the pod completes. Answered by [`Reply::Finishing`].
    Finish,
    /// Do the pod's servers live? They are asked themselves, over their control socket, by the loop that answers probes.
    /// Answered by [`Reply::Alive`] in any case: after `patience_ms` the agent says that they do not.
    Alive {
        /// Chosen by the runner, unique in the session.
        question: u64,
        /// How long they may take, in milliseconds.
        patience_ms: u32,
    },
    /// End the session.
    Quit,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Chosen by the runner, unique in the batch.
    pub n: u32,
    /// Address, or name to be resolved in the pod.
    pub to: Target,
    /// Port, 1–65535.
    pub port: u16,
    /// Transport.
    pub transport: Transport,
    /// Address to send from, where the source has several; otherwise the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Identities of which the answer must carry one. Empty: any identity of a verdikt server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
    /// When set, the probe is a DNS query (A and AAAA) for this name, sent to `to` over `transport`; an answer
    /// with a matching id is the proof, whatever its response code, and `expect` is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// When set, the probe is one HTTP/1.1 request over TCP. Any answer in HTTP is `allowed`, with its status; one whose
    /// header `x-verdikt-id` names another identity than those in `expect` is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpRequest>,
}

/// An HTTP request without a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// `GET`
    pub method: String,
    /// `/path`
    pub path: String,
    /// Value of the header `host`.
    pub host: String,
}

/// Where a probe goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// This address.
    Ip(IpAddr),
    /// This name, resolved by the pod's own resolver to an address of the given family.
    Name {
        /// Fully qualified name.
        name: String,
        /// 4 or 6.
        family: u8,
    },
}

/// Transport of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
    /// ICMP or ICMPv6 echo; the port is not looked at. The proof is the nonce that comes back: an echo has no identity.
    Icmp,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reply {
    /// Answer to [`Request::Hello`].
    Hello {
        /// [`VERSION`] of the agent.
        version: u32,
        /// Identity of this pod.
        identity: String,
        /// Whether SCTP sockets can be made here; otherwise the reason why not.
        sctp: Result<(), String>,
        /// Whether it may send ICMP echo requests here; otherwise the reason why not.
        icmp: Result<(), String>,
        /// Name servers of this pod.
        nameservers: Vec<IpAddr>,
    },
    /// Some results of a batch.
    Results {
        /// Of which batch.
        batch: u64,
        /// The results, in the order in which they came about.
        results: Vec<ProbeResult>,
    },
    /// A batch is finished.
    Done {
        /// Which batch.
        batch: u64,
        /// How many results it had in all.
        count: u32,
    },
    /// Answer to [`Request::Look`] and [`Request::End`].
    Report {
        /// Of which group.
        group: u64,
        /// The pod's `CLOCK_MONOTONIC` at this answer.
        now_us: u64,
        /// Its tasks, in the order of their `n`; or why there is nothing to tell.
        tasks: Result<Vec<TaskReport>, String>,
    },
    /// Answer to [`Request::Finish`].
    Finishing {
        /// Why the servers could not be asked.
        done: Result<(), String>,
    },
    /// Answer to [`Request::Alive`].
    Alive {
        /// To which question.
        question: u64,
        /// Where the pod's servers listen; or why nobody can tell that they live.
        servers: Result<Serving, String>,
    },
    /// A request that could not be understood.
    Refused {
        /// What is wrong with it.
        why: String,
    },
}

/// Ports on which a pod's servers listen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// TCP, with those that speak HTTP.
    pub tcp: Vec<u16>,
    /// UDP.
    pub udp: Vec<u16>,
    /// SCTP.
    pub sctp: Vec<u16>,
}

impl Serving {
    /// The ports of these and of those.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.tcp.extend(other.tcp);
        self.udp.extend(other.udp);
        self.sctp.extend(other.sctp);
        self
    }

    /// Whether there is a listener for this transport and port.
    pub fn listens(&self, transport: Transport, port: u16) -> bool {
        match transport {
            Transport::Tcp => self.tcp.contains(&port),
            Transport::Udp => self.udp.contains(&port),
            Transport::Sctp => self.sctp.contains(&port),
            // The kernel answers.
            Transport::Icmp => true,
        }
    }
}

/// Result of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// Of which probe.
    pub n: u32,
    /// What was observed.
    pub verdict: ProbeVerdict,
    /// Microseconds from the first packet of the deciding socket to its answer, and the time that it took to resolve
    /// the name, if there is one; 0 without an answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rtt_us: u32,
    /// Sockets used.
    pub sockets: u8,
    /// Cause of a refusal or an error, such as `connection refused` or `answered by y/b, not x/a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The client's address as the server saw it, where it is another than the one the probe was sent from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Status of an HTTP answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// What a probe observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeVerdict {
    /// An identified answer came.
    Allowed,
    /// Silence on at least two independent sockets until the deadline.
    Dropped,
    /// RST (TCP), ABORT (SCTP), ICMP unreachable or prohibited, or EPERM on two sockets.
    Rejected,
    /// Nothing was proved.
    Error,
}

/// Greeting of a TCP or SCTP server, sent at once on accept as one JSON line; and answer of a UDP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Identity of the pod that answers.
    pub id: String,
    /// Address and port of the client as the server saw them.
    pub client: String,
    /// Nonce of the request that this answers; empty for TCP and SCTP.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_one_short_line() {
        let request = Request::Probe {
            batch: 1,
            deadline_ms: 300,
            probes: vec![Probe {
                n: 0,
                to: Target::Ip("10.0.0.1".parse().unwrap()),
                port: 80,
                transport: Transport::Tcp,
                from: None,
                expect: vec!["x/a".into()],
                query: None,
                http: None,
            }],
        };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(
            line,
            r#"{"op":"probe","batch":1,"deadlineMs":300,"probes":[{"n":0,"to":{"ip":"10.0.0.1"},"port":80,"transport":"tcp","expect":["x/a"]}]}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }
}
