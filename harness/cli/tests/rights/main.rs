//! verdikt behind an API server that lets it do just so much: with the rights of `doctor --print-rbac` and no others,
//! with fewer, with none, with credentials that are not accepted, and behind certificates that are not trusted.

#[expect(dead_code, reason = "it is shared with tests that need more of it")]
#[path = "../outside/binary.rs"]
mod binary;
mod credentials;
mod head;
mod lab;
mod least;
mod proxy;
mod refused;
mod role;
