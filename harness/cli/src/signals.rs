//! Interrupts: the first asks the run to stop and clean up, the second ends the process at once.

use tokio::signal::unix::{SignalKind, signal};
use verdikt_model::ExitCode;
use verdikt_runner::Stop;

use crate::{
    failure::{Failure, Outcome},
    terminal,
};

/// A verb that an interrupt ends at once: dropping it removes what it has made.
pub(crate) async fn interruptible(verb: impl Future<Output = Outcome>) -> Outcome {
    let stop = Stop::new();
    let stopper = stop.clone();
    watch(move || stopper.stop(), || "stopped at once".to_owned())?;
    tokio::select! {
        outcome = verb => outcome,
        () = stop.stopped() => Ok(ExitCode::Interrupted),
    }
}

/// Watches SIGINT, SIGTERM and SIGHUP. Calls `first` at the first of them; at the second prints `left` and exits.
pub(crate) fn watch(
    first: impl FnOnce() + Send + 'static,
    left: impl Fn() -> String + Send + 'static,
) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|e| Failure::setup(format!("cannot watch for signals: {e}")));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
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
                    terminal::say(&left());
                    std::process::exit(i32::from(u8::from(ExitCode::Interrupted)));
                }
            }
        }
    });
    Ok(())
}
