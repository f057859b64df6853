//! The built binary, used from outside as a person would.

mod binary;
mod compare;
mod contract;
mod flaky;
mod hostile;
mod image;
mod known;
mod kubectl;
mod leftovers;
mod limits;
mod mistakes;
mod records;
mod reports;
mod sctp;
mod terminal;
