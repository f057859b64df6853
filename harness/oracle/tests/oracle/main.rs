//! Tests of the oracle: one module per group of statements, then the oracle against a second, naive one.

mod common;
mod defaults;
mod dns;
mod hosts;
mod ipblock;
mod isolation;
mod naive;
mod planning;
mod ports;
mod property;
mod reasons;
mod rules;
mod selectors;
mod services;
mod speed;
mod topics;
