//! What every reporter is.

use verdikt_model::Event;

/// Takes the events of one run, in order, then the end.
pub trait Reporter {
    /// Takes one event.
    ///
    /// # Errors
    /// When what it writes to fails. A closed pipe is no failure.
    fn event(&mut self, event: &Event) -> std::io::Result<()>;

    /// Called once, after the last event. A run that was cut short may not have sent [`Event::RunFinished`].
    ///
    /// # Errors
    /// As for [`Self::event`].
    fn finish(&mut self) -> std::io::Result<()>;
}
