//! What the sandbox needs of this machine.

use std::{fs, time::Instant};

use verdikt_sandbox::Profile;

use super::check::Check;
use crate::target;

/// Everything. The last check does it all: it starts a sandbox and connects to it, as a run does.
pub(super) async fn machine() -> Vec<Check> {
    let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".into());
    let mut checks = vec![Check::ok("kernel", kernel), user_namespaces(read)];
    checks.push(match std::net::UdpSocket::bind("[::1]:0") {
        Ok(_) => Check::ok("IPv6", "there"),
        Err(e) => Check::missing("IPv6", format!("no IPv6 socket on this machine: {e}"))
            .mend("boot without ipv6.disable=1 to probe IPv6 cells"),
    });
    checks.push(match verdikt_probe::sctp_available() {
        Ok(()) => Check::ok("SCTP", "there"),
        Err(why) => Check::missing("SCTP", format!("{why}; SCTP cells are skipped"))
            .mend("load the kernel module sctp, if this kernel has it"),
    });
    let started = Instant::now();
    checks.push(match target::connect_sandbox(Profile::default()).await {
        Ok(connected) => {
            connected.close().await;
            Check::ok("sandbox", format!("starts and stops ({} ms)", started.elapsed().as_millis()))
        }
        Err(failure) => {
            let mend = match failure.help.as_slice() {
                [] => "see above".to_owned(),
                help => help.join(" "),
            };
            Check::failed("sandbox", failure.message)
                .mend(format!("{mend}; or use a real cluster with --context"))
        }
    });
    checks
}

fn user_namespaces(read: impl Fn(&str) -> Option<String>) -> Check {
    let root = nix::unistd::Uid::effective().is_root();
    let off = |path: &str, value: &str| read(path).as_deref() == Some(value);
    let problem = if off("/proc/sys/user/max_user_namespaces", "0") {
        Some(("user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"))
    } else if off("/proc/sys/kernel/unprivileged_userns_clone", "0") && !root {
        Some(("kernel.unprivileged_userns_clone is 0", "sysctl -w kernel.unprivileged_userns_clone=1"))
    } else if off("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") && !root {
        Some((
            "kernel.apparmor_restrict_unprivileged_userns is 1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for verdikt",
        ))
    } else {
        None
    };
    let Some((found, mend)) = problem else { return Check::ok("user namespaces", "allowed") };
    // Root gets on without; whether this is fatal the sandbox's own start shows.
    let judge = if root { Check::missing } else { Check::failed };
    judge("user namespaces", found.into()).mend(format!("{mend} (as root), or run verdikt as root"))
}
