//! Reasons, gathered while an answer is made, and only when somebody asks for them.

use crate::truth::Truth;

/// One line, with the answer that it gives a reason for.
struct Note {
    truth: Truth,
    /// How many choices it lies within: see [`Trace::alternative`].
    depth: u32,
    text: String,
}

/// Collects notes, or nothing at all. The judgement never depends on it.
pub(crate) struct Trace {
    notes: Option<Vec<Note>>,
    scope: Vec<String>,
    depth: u32,
}

impl Trace {
    /// Collects nothing: no text is ever made.
    pub(crate) const fn off() -> Self {
        Self { notes: None, scope: Vec::new(), depth: 0 }
    }

    /// Collects.
    pub(crate) const fn on() -> Self {
        Self { notes: Some(Vec::new()), scope: Vec::new(), depth: 0 }
    }

    /// Adds a reason.
    pub(crate) fn add(&mut self, truth: Truth, text: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            let text = format!("{}: {}{}", truth.word(), self.scope.concat(), text());
            notes.push(Note { truth, depth: self.depth, text });
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

    /// Judges one of the things that a cell can mean. What led to its answer is kept when the whole is open,
    /// because then it may be the difference between the alternatives that opens it.
    pub(crate) fn alternative(&mut self, run: impl FnOnce(&mut Self) -> Truth) -> Truth {
        let start = self.notes.as_ref().map_or(0, Vec::len);
        self.depth += 1;
        let truth = run(self);
        let depth = self.depth;
        self.depth -= 1;
        if let Some(notes) = &mut self.notes {
            let mine = notes.split_off(start);
            notes.extend(mine.into_iter().filter(|note| is_cause(note, truth, depth)));
        }
        truth
    }

    /// Judges two things that are both needed (N14), and keeps the reasons of those that decide.
    pub(crate) fn both(
        &mut self,
        first: impl FnOnce(&mut Self) -> Truth,
        second: impl FnOnce(&mut Self) -> Truth,
    ) -> Truth {
        let start = self.notes.as_ref().map_or(0, Vec::len);
        let one = first(self);
        let middle = self.notes.as_ref().map_or(0, Vec::len);
        let two = second(self);
        let answer = one.and(two);
        if let Some(notes) = &mut self.notes {
            if !two.same(answer) {
                notes.truncate(middle);
            }
            if !one.same(answer) {
                notes.drain(start..middle);
            }
        }
        answer
    }

    /// The reasons for an answer: those that led to it, without repetition, the open ones first.
    pub(crate) fn reasons(self, answer: Truth) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        let notes: Vec<Note> =
            self.notes.into_iter().flatten().filter(|note| is_cause(note, answer, 0)).collect();
        let (same, others): (Vec<Note>, Vec<Note>) =
            notes.into_iter().partition(|note| note.truth.same(answer));
        for note in same.into_iter().chain(others) {
            if !lines.contains(&note.text) {
                lines.push(note.text);
            }
        }
        lines
    }
}

/// Whether a note led to an answer given at some depth.
fn is_cause(note: &Note, answer: Truth, depth: u32) -> bool {
    note.truth.same(answer) || matches!(answer, Truth::Open(_)) && note.depth > depth
}
