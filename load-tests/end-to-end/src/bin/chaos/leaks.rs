//! Whether anything that may never be written down was: every byte that any process put out is
//! searched for every secret, token and personal datum that the run planted.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Failure;

/// Bytes of a planted value that are looked up at every place of a log; shorter values are not
/// planted, since they would be found by accident.
const PREFIX: usize = 8;
/// Findings told; all are counted.
const SHOWN_MAX: usize = 10;
/// Bytes shown before a finding, so that the line can be recognised.
const SHOWN_BEFORE: usize = 160;

/// Values to search for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Planted(Arc<Mutex<Vec<String>>>);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Leaks {
    /// How often a planted value stands in a log.
    pub(crate) count: u64,
    /// The first of them: file and what stands before the value, never the value.
    pub(crate) first: Vec<String>,
    /// How many bytes were searched.
    pub(crate) bytes: u64,
    /// For how many values.
    pub(crate) values: usize,
}

impl Planted {
    /// Adds a value.
    pub(crate) fn plant(&self, value: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(value.to_owned());
    }

    /// Searches every file in `folder`.
    pub(crate) fn search(&self, folder: &Path) -> Result<Leaks, Failure> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut by_prefix: HashMap<[u8; PREFIX], Vec<&[u8]>> = HashMap::new();
        for value in &values {
            if let Some(prefix) = value.as_bytes().first_chunk::<PREFIX>() {
                by_prefix.entry(*prefix).or_default().push(value.as_bytes());
            }
        }
        let mut leaks = Leaks { values: values.len(), ..Leaks::default() };
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            search_in(&std::fs::read(&path)?, &name, &by_prefix, &mut leaks);
        }
        Ok(leaks)
    }
}

fn search_in(
    text: &[u8],
    name: &str,
    by_prefix: &HashMap<[u8; PREFIX], Vec<&[u8]>>,
    leaks: &mut Leaks,
) {
    leaks.bytes += text.len() as u64;
    for (place, window) in text.windows(PREFIX).enumerate() {
        let Some(candidates) = window.first_chunk::<PREFIX>().and_then(|it| by_prefix.get(it))
        else {
            continue;
        };
        let rest = text.get(place..).unwrap_or_default();
        if !candidates.iter().any(|value| rest.starts_with(value)) {
            continue;
        }
        leaks.count += 1;
        if leaks.first.len() < SHOWN_MAX {
            let before = text.get(place.saturating_sub(SHOWN_BEFORE)..place).unwrap_or_default();
            let before = String::from_utf8_lossy(before).into_owned();
            leaks.first.push(format!("{name} at byte {place}, after: {before}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_value_is_found_wherever_it_stands_and_never_repeated() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "x{\"name\":\"수취인 7\"}수취인 7").unwrap();
        std::fs::write(folder.path().join("b.log"), "nothing of note").unwrap();
        let planted = Planted::default();
        planted.plant("수취인 7");
        planted.plant("secret-token");

        let leaks = planted.search(folder.path()).unwrap();

        assert_eq!(leaks.count, 2);
        assert!(leaks.first.iter().all(|line| line.starts_with("a.log")), "{:?}", leaks.first);
    }
}
