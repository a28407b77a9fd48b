//! Turning a body's text and numbers into values with a rule, and telling every field that is wrong.

use std::fmt::Display;

use service_kit::problem::Problem;

/// Collects what is wrong with a body, so that a client learns all of it at once.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    wrong: Vec<Wrong>,
}

#[derive(Debug)]
struct Wrong {
    pointer: String,
    code: &'static str,
    detail: String,
}

impl Fields {
    /// The value, or `None` after noting that the field at `pointer` breaks its rule. The rule's
    /// sentence must not repeat the input, which may be personal.
    pub(crate) fn take<T, E: Display>(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(rule) => {
                self.refuse(pointer, code, rule.to_string());
                None
            }
        }
    }

    /// Notes that the field at `pointer` is wrong.
    pub(crate) fn refuse(
        &mut self,
        pointer: impl Into<String>,
        code: &'static str,
        detail: impl Into<String>,
    ) {
        self.wrong.push(Wrong { pointer: pointer.into(), code, detail: detail.into() });
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.wrong.is_empty()
    }

    /// 422 with every wrong field.
    pub(crate) fn problem(self) -> Problem {
        let all = Problem::unprocessable("request.invalid", "some fields break their rules");
        self.wrong.into_iter().fold(all, |problem, Wrong { pointer, code, detail }| {
            problem.with_field(pointer, code, detail)
        })
    }
}
