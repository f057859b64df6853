//! The UDP question and answer: a padded request that carries a nonce, answered by a [`crate::Greeting`].
//!
//! The answer is never longer than the request, so that a server cannot be used to amplify traffic.

/// First bytes of every request.
pub const UDP_MAGIC: &[u8; 16] = b"verdikt-probe/1\n";

/// Length of a request: more than the longest greeting, less than any path's MTU.
pub const UDP_REQUEST_BYTES: usize = 512;

/// Length of a nonce in hexadecimal digits.
const NONCE_DIGITS: usize = 16;

/// A nonce as it stands in a request and in [`crate::Greeting::nonce`]: 16 lower-case hexadecimal digits.
pub fn nonce_text(nonce: u64) -> String {
    format!("{nonce:016x}")
}

/// A request: magic, nonce, zeros.
pub fn udp_request(nonce: u64) -> [u8; UDP_REQUEST_BYTES] {
    let mut request = [0; UDP_REQUEST_BYTES];
    let (magic, rest) = request.split_at_mut(UDP_MAGIC.len());
    magic.copy_from_slice(UDP_MAGIC);
    rest[..NONCE_DIGITS].copy_from_slice(nonce_text(nonce).as_bytes());
    request
}

/// The nonce of a request; `None` when this is no request of ours.
pub fn udp_nonce(request: &[u8]) -> Option<&str> {
    let digits = request.strip_prefix(UDP_MAGIC)?.get(..NONCE_DIGITS)?;
    let hexadecimal = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    digits.iter().all(hexadecimal).then(|| std::str::from_utf8(digits).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_round_trips() {
        assert_eq!(udp_nonce(&udp_request(0xabc)), Some("0000000000000abc"));
    }

    #[test]
    fn foreign_bytes_have_no_nonce() {
        let mut wrong = udp_request(1);
        wrong[20] = b'"';
        for request in [&b""[..], b"hello", UDP_MAGIC, &wrong, &udp_request(1)[..31]] {
            assert_eq!(udp_nonce(request), None);
        }
    }
}
