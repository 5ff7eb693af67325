//! The mistakes of a configuration, so that all of them can be reported at once.

use std::fmt;

/// A variable without the space around it, if there is anything else in it.
pub fn given(variable: Option<String>) -> Option<String> {
    variable.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Every mistake in the configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigErrors(mistakes) = self;
        let plural = if mistakes.len() == 1 { "" } else { "s" };
        write!(f, "{} mistake{plural} in the configuration:", mistakes.len())?;
        mistakes.iter().try_for_each(|mistake| write!(f, "\n- {mistake}"))
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ErrorCollector> for ConfigErrors {
    fn from(ErrorCollector(mistakes): ErrorCollector) -> ConfigErrors {
        ConfigErrors(mistakes)
    }
}

/// Gathers mistakes, so that they can be reported all at once.
#[derive(Debug, Default)]
pub struct ErrorCollector(Vec<String>);

impl ErrorCollector {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more mistake: where it is, and what is wrong there.
    pub fn add(&mut self, place: impl fmt::Display, problem: impl fmt::Display) {
        self.0.push(format!("{place}: {problem}"));
    }

    /// The value, or nothing and one more mistake.
    pub fn collect<T, E: fmt::Display>(
        &mut self,
        place: impl fmt::Display,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|problem| self.add(place, problem)).ok()
    }
}
