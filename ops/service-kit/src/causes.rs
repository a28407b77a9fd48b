//! An error with all that caused it, in one line.

use std::error::Error;
use std::iter::successors;

/// `error` and its sources, outermost first: `listen on 127.0.0.1:80: Address already in use`.
pub fn with_causes(error: &dyn Error) -> String {
    sources(error).fold(error.to_string(), |line, source| line + ": " + &source.to_string())
}

/// What caused `error`, nearest first.
pub(crate) fn sources<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(error.source(), |&source| source.source())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("listen on {0}")]
    struct Listen(u16, #[source] io::Error);

    #[test]
    fn the_causes_follow_the_error() {
        let error = Listen(80, io::Error::from(io::ErrorKind::AddrInUse));
        assert_eq!(with_causes(&error), "listen on 80: address in use");
        assert_eq!(with_causes(&io::Error::other("alone")), "alone");
    }
}
