//! Finds variables that were meant to be known ones: a typo must not silently mean the default.

use super::{ConfigError, Tables, table};

/// Letters that may be wrong, missing or too many in a name that was meant to be a known one.
const EDITS_MAX: usize = 2;

/// Refuses every one of `names` that is unknown but within [`EDITS_MAX`] edits of a known one.
///
/// # Errors
/// Names each of them and the variable that was meant.
pub fn refuse_misspelt(
    tables: Tables,
    names: impl IntoIterator<Item = String>,
) -> Result<(), ConfigError> {
    let known: Vec<String> = table::rows(tables)
        .flat_map(|variable| {
            let file = variable.shape.is_secret().then(|| variable.file_name());
            std::iter::once(variable.name.to_owned()).chain(file)
        })
        .collect();
    let faults = names
        .into_iter()
        .filter(|name| !known.contains(name))
        .filter_map(|name| {
            let meant = known.iter().find(|known| are_near(known, &name))?;
            Some(ConfigError::Misspelt { meant: meant.clone(), name })
        })
        .collect();
    ConfigError::refuse(faults)
}

/// Whether at most [`EDITS_MAX`] letters have to be replaced, added or removed.
fn are_near(left: &str, right: &str) -> bool {
    if EDITS_MAX < left.len().abs_diff(right.len()) {
        return false;
    }
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(letter != other);
            let changed = (above[column + 1] + 1).min(current[column] + 1);
            current.push(replaced.min(changed));
        }
        above = current;
    }
    above.last().is_some_and(|edits| *edits <= EDITS_MAX)
}
