//! What can be wrong before or during a measurement, with the remedy and the exit code.

use crate::exit::Exit;

/// A refusal: where, what, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum Failure {
    /// The command line, or a file that it names, is wrong.
    #[error("{place}: {problem}; {remedy}")]
    Usage { place: String, problem: String, remedy: String },
    /// This kernel or machine lacks what is asked for.
    #[error("{place}: {problem}; {remedy}")]
    Untestable { place: String, problem: String, remedy: String },
}

impl Failure {
    pub(super) fn usage(
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Failure {
        Failure::Usage { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }

    pub(super) fn untestable(
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Failure {
        Failure::Untestable { place: place.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

/// The exit code that belongs to an error of this module; [`Exit::Internal`] for any other.
pub fn exit_of(error: &anyhow::Error) -> Exit {
    match error.downcast_ref() {
        Some(Failure::Usage { .. }) => Exit::Usage,
        Some(Failure::Untestable { .. }) => Exit::Untestable,
        None => Exit::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_exit_code_survives_context() {
        let refused: anyhow::Result<()> =
            Err(Failure::untestable("--procfile x", "not here", "try maps").into());
        let error = refused.context("while starting").unwrap_err();
        assert_eq!(exit_of(&error), Exit::Untestable);
        assert_eq!(exit_of(&anyhow::anyhow!("other")), Exit::Internal);
    }
}
