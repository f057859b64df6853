//! Reasons, gathered while an answer is made, and only when somebody asks for them.

use crate::truth::Truth;

/// One line, with the answer that it gives a reason for.
struct Note {
    truth: Truth,
    /// One of several things that the cell can mean: kept when the answer is open, since their difference opens it.
    alternative: bool,
    text: String,
}

/// Collects notes, or nothing at all. The judgement never depends on it.
pub(crate) struct Trace {
    notes: Option<Vec<Note>>,
    scope: Vec<String>,
    alternatives: u32,
}

impl Trace {
    /// Collects nothing: no text is ever made.
    pub(crate) const fn off() -> Self {
        Self { notes: None, scope: Vec::new(), alternatives: 0 }
    }

    /// Collects.
    pub(crate) const fn on() -> Self {
        Self { notes: Some(Vec::new()), scope: Vec::new(), alternatives: 0 }
    }

    /// Adds a reason.
    pub(crate) fn add(&mut self, truth: Truth, text: impl FnOnce() -> String) {
        let alternative = self.alternatives > 0;
        if let Some(notes) = &mut self.notes {
            let scope = self.scope.concat();
            notes.push(Note { truth, alternative, text: format!("{}: {scope}{}", truth.word(), text()) });
        }
    }

    /// Runs something whose reasons all begin with `prefix`.
    pub(crate) fn scoped<T>(
        &mut self,
        prefix: impl FnOnce() -> String,
        run: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let on = self.notes.is_some();
        if on {
            self.scope.push(prefix());
        }
        let out = run(self);
        if on {
            self.scope.pop();
        }
        out
    }

    /// Runs something that judges one of several things that the cell can mean, when `several` says that there are.
    pub(crate) fn alternative<T>(&mut self, several: bool, run: impl FnOnce(&mut Self) -> T) -> T {
        self.alternatives += u32::from(several);
        let out = run(self);
        self.alternatives -= u32::from(several);
        out
    }

    /// The reasons for an answer: those that led to it, without repetition, the open ones first.
    pub(crate) fn reasons(self, answer: Truth) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let notes = self.notes.unwrap_or_default();
        let open = matches!(answer, Truth::Open(_));
        let causes = notes.iter().filter(|n| n.truth.same(answer));
        let differences = notes.iter().filter(|n| open && n.alternative && !n.truth.same(answer));
        for note in causes.chain(differences) {
            if !lines.contains(&note.text) {
                lines.push(note.text.clone());
            }
        }
        lines
    }
}
