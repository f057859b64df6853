//! The node process: networks, pods, dataplane and name server of the sandbox.
//!
//! ```text
//!            ┌ AddPod, DeletePod, Exec ─► pool ─► podnet, process        (threads that change namespaces)
//! channel ─► │ Sync ─► follow, a thread ─► nf_tables of each node, zone of the name server
//!            └ ConnectLoop ─► connect_loop
//! reaper: processes that end ─┐
//! output: pods that are ready ┴─► channel
//! ```
//!
//! Everything is synchronous and on threads, but for the name server. The process is PID 1 of its PID namespace and
//! ends with the connection; the kernel then takes all the rest along.

mod connect_loop;
mod dataplane;
mod dns;
mod enter;
mod errors;
mod fabric;
mod follow;
mod netlink;
mod netns;
mod output;
mod podnet;
mod pods;
mod pool;
mod process;
mod serve;

pub(crate) use errors::{explained, explained_file};
pub(crate) use serve::{Node, main};
