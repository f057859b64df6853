//! The whole server over HTTP, with a node that only pretends.

mod apply;
mod ends;
mod exec;
mod fake;
mod namespaces;
mod objects;
mod pods;
mod profile;
mod services;
mod watches;
