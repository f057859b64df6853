//! The API server: Kubernetes' API over loopback HTTP, on objects in memory.
//!
//! ```text
//! HTTP ──► server ──► rest ──► decode ──► lifecycle (defaults, validate, patch) ──► store
//!                      │                                                             │ changes
//!                      ├──► watching ◄──────────────────────────────────────────────┤
//!                      └──► exec, logs ──► node ◄── controllers (pods, sync, …) ◄───┘
//! ```
//!
//! What a real cluster has and this one has not: other kinds than those in [`kinds`], RBAC (the token may do
//! everything), image pulls (one from a registry in the domain `invalid` fails), restarts, attach and port-forward, exec over SPDY (kubectl before 1.31), paged lists (`limit` is ignored, which the
//! API allows), OpenAPI schemas (`kubectl explain`).

pub(crate) mod cluster;
pub(crate) mod controllers;
mod decode;
mod defaults;
mod discovery;
mod exec;
pub(crate) mod kinds;
mod lifecycle;
pub(crate) mod limits;
mod logs;
pub(crate) mod node_api;
pub(crate) mod object;
mod openapi;
mod patch;
mod protobuf;
mod query;
mod render;
mod rest;
mod reviews;
mod selector;
pub(crate) mod server;
mod status;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod validate;
mod watching;
