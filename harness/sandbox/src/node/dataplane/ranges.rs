//! Address ranges of an ipBlock: its CIDR without its exceptions.

use std::net::IpAddr;

use ipnet::IpNet;

/// A range of addresses of one family, both ends included.
pub(super) type Range = (IpAddr, IpAddr);

/// The ranges of a block. Exceptions of the other family have no effect; host bits are ignored.
pub(super) fn block(cidr: &str, except: &[String]) -> Result<Vec<Range>, String> {
    let parse = |text: &str| text.parse::<IpNet>().map_err(|error| format!("`{text}` is no CIDR: {error}"));
    let net = parse(cidr)?;
    let mut holes = except.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    holes.retain(|hole| hole.addr().is_ipv4() == net.addr().is_ipv4());
    let v6 = net.addr().is_ipv6();
    let bounds = |net: &IpNet| (number(net.network()), number(net.broadcast()));
    let (mut low, high) = bounds(&net);
    let mut holes: Vec<(u128, u128)> = holes.iter().map(bounds).collect();
    holes.sort_unstable();
    let mut ranges = vec![];
    let mut open = true;
    for (from, to) in holes {
        if to < low || from > high {
            continue;
        }
        if from > low {
            ranges.push((address(low, v6), address(from - 1, v6)));
        }
        if to >= high {
            open = false;
            break;
        }
        low = to + 1;
    }
    if open {
        ranges.push((address(low, v6), address(high, v6)));
    }
    Ok(ranges)
}

/// Whether an address lies in a range of its family.
pub(super) fn contains(ranges: &[Range], ip: IpAddr) -> bool {
    ranges.iter().any(|(low, high)| low.is_ipv4() == ip.is_ipv4() && *low <= ip && ip <= *high)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(number.into()) } else { IpAddr::V4((number as u32).into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(cidr: &str, except: &[&str]) -> Vec<String> {
        let except: Vec<String> = except.iter().map(ToString::to_string).collect();
        block(cidr, &except).unwrap().iter().map(|(low, high)| format!("{low}-{high}")).collect()
    }

    #[test]
    fn holes_are_cut_out() {
        assert_eq!(text("10.0.0.0/8", &[]), ["10.0.0.0-10.255.255.255"]);
        assert_eq!(text("10.0.0.0/30", &["10.0.0.0/31"]), ["10.0.0.2-10.0.0.3"]);
        assert_eq!(text("10.0.0.0/30", &["10.0.0.2/31"]), ["10.0.0.0-10.0.0.1"]);
        assert_eq!(
            text("10.0.0.0/29", &["10.0.0.2/31", "10.0.0.5/32", "10.0.0.4/31"]),
            ["10.0.0.0-10.0.0.1", "10.0.0.6-10.0.0.7"]
        );
        assert!(text("10.0.0.0/30", &["10.0.0.0/30"]).is_empty());
        assert!(text("10.0.0.0/30", &["10.0.0.0/8"]).is_empty());
        assert_eq!(text("0.0.0.0/0", &["255.255.255.255/32"]), ["0.0.0.0-255.255.255.254"]);
        assert_eq!(text("::/0", &["8000::/1"]), ["::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        assert_eq!(text("fd00::1/128", &[]), ["fd00::1-fd00::1"]);
        assert!(block("10.0.0.0", &[]).is_err());
    }
}
