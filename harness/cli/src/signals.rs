//! Interrupts: the first asks the run to stop and clean up, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use verdikt_model::ExitCode;

/// Watches SIGINT, SIGTERM and SIGHUP. Calls `first` at the first of them; at the second prints `left` and exits.
pub(crate) fn watch(
    first: impl FnOnce() + Send + 'static,
    left: impl Fn() -> String + Send + 'static,
) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let mut first = Some(first);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            match first.take() {
                Some(first) => first(),
                None => {
                    eprintln!("{}", left());
                    std::process::exit(i32::from(u8::from(ExitCode::Interrupted)));
                }
            }
        }
    });
    Ok(())
}
