//! What a keyword is compared with: the text in lower case, and its single characters and pairs.
//!
//! Korean has words of one syllable, so single characters are kept beside the pairs. An index over
//! them narrows the search; the text decides.

use std::collections::BTreeSet;

/// The text to search in and its grams, sorted and without blanks.
pub(super) fn terms(
    name: &str,
    enterprise: Option<&str>,
    main_function: Option<&str>,
) -> (String, Vec<String>) {
    let parts: Vec<&str> = [Some(name), enterprise, main_function].into_iter().flatten().collect();
    let text = parts.join("\n").to_lowercase();
    let mut grams = BTreeSet::new();
    let mut before: Option<char> = None;
    for sign in text.chars() {
        if sign.is_whitespace() {
            before = None;
            continue;
        }
        grams.insert(sign.to_string());
        if let Some(before) = before {
            grams.insert(String::from_iter([before, sign]));
        }
        before = Some(sign);
    }
    (text, grams.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grams_are_single_signs_and_neighbours_within_a_word() {
        let (text, grams) = terms("간 A1", None, Some("눈건강"));
        assert_eq!(text, "간 a1\n눈건강");
        assert_eq!(grams, ["1", "a", "a1", "간", "강", "건", "건강", "눈", "눈건"]);
    }
}
