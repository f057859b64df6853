//! Blocks of addresses as text: what an API server takes and not every reader understands alike.

use ipnet::IpNet;

/// Whether a number in an IPv4 CIDR has a zero in front: `198.051.100.000/24`. API servers take it with a warning; readers
/// take it as decimal, as octal, or not at all (<https://pkg.go.dev/k8s.io/utils/net#ParseCIDRSloppy>). Groups of IPv6
/// addresses may have zeros in front.
pub fn has_leading_zeros(cidr: &str) -> bool {
    octal(cidr).is_some()
}

/// What a CIDR with leading zeros means to a reader that takes these numbers as octal: its text, which need not be a CIDR;
/// `None` for one without leading zeros.
fn octal(cidr: &str) -> Option<String> {
    let (address, bits) = cidr.split_once('/')?;
    let is_padded = |number: &&str| number.len() > 1 && number.starts_with('0');
    let parts: Vec<&str> = address.split('.').collect();
    let dotted = parts.len() == 4 && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let padded = is_padded(&bits) || (dotted && parts.iter().any(is_padded));
    let read = |number: &str| match is_padded(&number) {
        true => u32::from_str_radix(number, 8).map_or_else(|_| number.to_owned(), |n| n.to_string()),
        false => number.to_owned(),
    };
    let address =
        if dotted { parts.into_iter().map(read).collect::<Vec<_>>().join(".") } else { address.into() };
    padded.then(|| format!("{address}/{}", read(bits)))
}

/// What a CIDR may mean: the usual reading first; with leading zeros also the octal one. Empty for what is no CIDR.
pub fn readings(cidr: &str) -> Vec<IpNet> {
    let other = octal(cidr).and_then(|text| text.parse().ok());
    let mut found: Vec<IpNet> = cidr.parse().ok().into_iter().chain(other).collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cidr: &str) -> String {
        readings(cidr).iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }

    #[test]
    fn leading_zeros_have_two_readings() {
        assert_eq!(read("198.051.100.000/24"), "198.51.100.0/24 or 198.41.100.0/24");
        assert_eq!(read("010.0.0.0/8"), "10.0.0.0/8 or 8.0.0.0/8");
        // No octal numbers: only one reading is left, and a reader may refuse it.
        assert_eq!(read("198.089.100.0/24"), "198.89.100.0/24");
        for cidr in ["198.051.100.000/24", "010.0.0.0/8", "198.089.100.0/24", "10.0.0.00/8"] {
            assert!(has_leading_zeros(cidr), "{cidr}");
        }
    }

    #[test]
    fn other_blocks_have_one_reading() {
        for (cidr, want) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.3/8", "10.1.2.3/8"),
            ("2001:0db8::/32", "2001:db8::/32"),
            ("10.0.0.0", ""),
            ("10.0.0/8", ""),
            ("nonsense/8", ""),
        ] {
            assert_eq!(read(cidr), want);
            assert!(!has_leading_zeros(cidr), "{cidr}");
        }
    }
}
