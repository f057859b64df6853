//! Network namespaces for a test.

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::{getgid, getuid},
};

use crate::netlink::{self, LINK, Route};

/// Enters a user namespace, in which namespaces for networks can be made. Only before there are threads.
pub(crate) fn enter() -> Result<(), String> {
    let (uid, gid) = (getuid(), getgid());
    let inside = unshare(CloneFlags::CLONE_NEWUSER).and_then(|()| {
        let write = |file: &str, text: String| fs::write(format!("/proc/self/{file}"), text);
        write("setgroups", "deny".into())
            .and_then(|()| write("uid_map", format!("0 {uid} 1")))
            .and_then(|()| write("gid_map", format!("0 {gid} 1")))
            .map_err(|_| nix::errno::Errno::EPERM)
    });
    // Root can do without.
    let possible = unshare(CloneFlags::CLONE_NEWNET);
    match (inside, possible) {
        (_, Ok(())) => Ok(()),
        (Err(e), _) | (_, Err(e)) => Err(format!("no network namespaces here: {e}")),
    }
}

/// A client and a router namespace; the calling thread is in the client's from then on.
pub(crate) struct Lab {
    router: File,
}

impl Lab {
    /// Makes the namespaces.
    pub(crate) fn new() -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let router = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
            // Otherwise a few ICMP errors use up what is sent to one host in several seconds.
            fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0")?;
            fs::write("/proc/sys/net/ipv6/icmp/ratelimit", "0")?;
            netlink::up(1)?;
            File::open("/proc/thread-self/ns/net")
        });
        let lab = Self { router: router.join().expect("the router's thread")? };
        netlink::up(1)?;
        netlink::veth(lab.router.as_raw_fd())?;
        for (ip, bits) in [("10.0.0.2", 24), ("10.0.0.22", 24), ("fd00::2", 64)] {
            netlink::address(LINK, address(ip), bits)?;
        }
        netlink::up(LINK)?;
        wait_for_local_route("fd000000000000000000000000000002")?;
        lab.in_router(|| {
            for (ip, bits) in [("10.0.0.1", 24), ("fd00::1", 64)] {
                netlink::address(LINK, address(ip), bits)?;
            }
            netlink::up(LINK)?;
            wait_for_local_route("fd000000000000000000000000000001")?;
            for (third, kind) in [(1, Route::Blackhole), (2, Route::Prohibit), (3, Route::Unreachable)] {
                netlink::add_route(address(&format!("10.9.{third}.0")), 24, kind, None)?;
                netlink::add_route(address(&format!("fd00:9:{third}::")), 48, kind, None)?;
            }
            Ok(())
        })?;
        netlink::add_route(address("10.9.0.0"), 16, Route::Unicast, Some(address("10.0.0.1")))?;
        netlink::add_route(address("fd00:9::"), 32, Route::Unicast, Some(address("fd00::1")))?;
        Ok(lab)
    }

    /// Runs something in the router's namespace.
    pub(crate) fn in_router<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.router, CloneFlags::CLONE_NEWNET)?;
                work()
            });
            inside.join().expect("a thread in the router")
        })
    }
}

/// The kernel adds the local route of an IPv6 address some time after the address; until then packets to it
/// leave over the link.
fn wait_for_local_route(address: &str) -> io::Result<()> {
    let wanted = format!("{address} 80 ");
    let end = Instant::now() + Duration::from_secs(10);
    while !fs::read_to_string("/proc/thread-self/net/ipv6_route")?
        .lines()
        .any(|line| line.starts_with(&wanted))
    {
        if Instant::now() > end {
            return Err(io::Error::other("an IPv6 address did not get its route"));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Parses an address of the tests.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
