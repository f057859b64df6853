//! The node process.
/// x
pub(crate) fn main(args: Vec<std::ffi::OsString>) -> u8 {
    let _ = args;
    70
}
