//! The little netlink that the sandbox needs: links, addresses, routes, neighbours, tracked connections, and batches of
//! nf_tables.
//!
//! A netlink socket belongs to the network namespace of the thread that made it, for good: make it there, then use
//! it from anywhere.

mod conntrack;
mod expr;
mod nft;
mod route;

pub(crate) use conntrack::Conntrack;
pub(crate) use expr::{Expr, Hook, Verdict};
pub(crate) use nft::{Batch, Element, Nft};
pub(crate) use route::{Link, Route, Via, any};

/// Converts a netlink error, whose `Display` is already a sentence with the kernel's own words.
fn failed(what: String, error: &netlink_socket2::ReplyError) -> std::io::Error {
    let code = error.as_io_error();
    match code.raw_os_error() {
        // Keep the code: callers tell limits and missing features by it.
        Some(number) => crate::node::errors::with_code(number, format!("{what}: {error}")),
        None => std::io::Error::other(format!("{what}: {error}")),
    }
}
