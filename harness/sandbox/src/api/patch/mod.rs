//! The four patch formats. Each takes the live object and the patch and gives the changed object.
//!
//! JSON merge patch and JSON patch know nothing of Kubernetes; strategic merge and apply know from [`schema`] which
//! lists are merged by key.

mod fields;
mod json;
mod managed;
mod schema;
mod strategic;

pub(crate) use self::{
    json::{json_patch, merge_patch},
    managed::{apply, track},
    strategic::strategic_merge,
};
