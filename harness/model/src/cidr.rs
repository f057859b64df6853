//! Blocks of addresses as text: what an API server takes and not every reader understands alike.

use ipnet::{IpNet, Ipv4Net};

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

/// Whether readers are known to take a CIDR in different ways: for leading zeros, or because it is an IPv6 form of IPv4
/// addresses (`::ffff:198.51.100.0/120`), which some match with these addresses and some with none.
pub fn is_doubtful(cidr: &str) -> bool {
    has_leading_zeros(cidr) || cidr.parse().is_ok_and(|net| mapped(&net).is_some())
}

/// The IPv4 block that an IPv6 form of one stands for.
fn mapped(net: &IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return None };
    let bits = v6.prefix_len().checked_sub(96)?;
    Some(Ipv4Net::new(v6.addr().to_ipv4_mapped()?, bits).ok()?.into())
}

/// What a CIDR may mean: the usual reading first; with leading zeros also the octal one, and of an IPv6 form of IPv4
/// addresses also these. Empty for what is no CIDR.
pub fn readings(cidr: &str) -> Vec<IpNet> {
    let usual: Option<IpNet> = cidr.parse().ok();
    let octal = octal(cidr).and_then(|text| text.parse().ok());
    let mapped = usual.as_ref().and_then(mapped);
    let mut found: Vec<IpNet> = usual.into_iter().chain(octal).chain(mapped).collect();
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
    fn ipv6_forms_of_ipv4_blocks_have_two_readings() {
        assert_eq!(read("::ffff:198.51.100.0/120"), "::ffff:198.51.100.0/120 or 198.51.100.0/24");
        assert_eq!(read("::ffff:0:0/96"), "::ffff:0.0.0.0/96 or 0.0.0.0/0");
        assert!(is_doubtful("::ffff:0:0/96") && !is_doubtful("::/0") && !is_doubtful("2001:db8::/96"));
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
