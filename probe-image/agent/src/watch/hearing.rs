//! What is heard, as an end of an attempt.

use verdikt_protocol::ProbeVerdict;

use crate::talk::{Cause, Heard, identified};

/// How an attempt ended: the verdict, and its cause; of an answer, who gave it.
pub(super) type End = (ProbeVerdict, Option<String>);

/// What follows from what was heard.
pub(super) enum Follows {
    /// Wait on.
    Nothing,
    /// Wait on; silence is not silence any more.
    Oddity(String),
    /// Wait for other events.
    Asked,
    /// It is over.
    End(End),
}

impl Follows {
    /// From what was heard on an attempt of its own.
    pub(super) fn from(heard: Heard, expect: &[String]) -> Self {
        match heard {
            Heard::Nothing => Self::Nothing,
            Heard::Odd(why) => Self::Oddity(why),
            Heard::Asked => Self::Asked,
            Heard::Greeting(greeting) => Self::End(of_identity(&greeting.id, expect)),
            Heard::Http(answer) => {
                Self::End(answer.id.map_or((ProbeVerdict::Allowed, None), |id| of_identity(&id, expect)))
            }
            Heard::Echo | Heard::Answers(_) => Self::End((ProbeVerdict::Allowed, None)),
            Heard::Rejected(why) | Heard::Filtered(why) => Self::End((ProbeVerdict::Rejected, Some(why))),
            Heard::Failed(why) => Self::End((ProbeVerdict::Error, Some(why))),
        }
    }
}

/// Allowed, or an error because somebody else has answered.
pub(super) fn of_identity(id: &str, expect: &[String]) -> End {
    match identified(id, expect) {
        Ok(()) => (ProbeVerdict::Allowed, Some(id.to_owned())),
        Err(why) => (ProbeVerdict::Error, Some(why)),
    }
}

/// How an attempt ended that could not even be begun.
pub(super) fn of_cause(cause: Cause) -> End {
    match cause {
        Cause::Rejected(why) | Cause::Filtered(why) => (ProbeVerdict::Rejected, Some(why)),
        Cause::Failed(why) => (ProbeVerdict::Error, Some(why)),
        Cause::Nothing | Cause::GaveUp => (ProbeVerdict::Dropped, None),
    }
}
