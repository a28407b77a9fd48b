//! A keyword as the search index wants it: its terms, their grams, and the patterns that decide.
//!
//! Blanks separate terms and all terms must be found, each anywhere in the text. Grams are single
//! characters and pairs of neighbours in lower case, as the projector stores them.

use std::collections::BTreeSet;

use super::query::Term;

/// The terms of a keyword, in lower case; never empty, since a keyword has a character.
pub(crate) fn terms(keyword: &Term) -> Vec<String> {
    keyword.as_str().to_lowercase().split_whitespace().map(str::to_owned).collect()
}

/// The grams that every text with these terms has.
pub(crate) fn grams(terms: &[String]) -> Vec<String> {
    let mut grams = BTreeSet::new();
    for term in terms {
        let characters: Vec<char> = term.chars().collect();
        // The single characters of a longer term are in its pairs already.
        if let [only] = characters.as_slice() {
            grams.insert(only.to_string());
        }
        grams.extend(characters.windows(2).map(String::from_iter));
    }
    grams.into_iter().collect()
}

/// A `like` pattern per term, in which nothing of the term is a wildcard.
pub(crate) fn patterns(terms: &[String]) -> Vec<String> {
    terms.iter().map(|term| format!("%{}%", escaped(term))).collect()
}

fn escaped(term: &str) -> String {
    let mut literal = String::with_capacity(term.len());
    for character in term.chars() {
        if matches!(character, '%' | '_' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keyword: &str) -> Vec<String> {
        terms(&Term::parse("keyword", keyword).unwrap())
    }

    #[test]
    fn blanks_separate_terms() {
        assert_eq!(of("  홍삼  Gold "), ["홍삼", "gold"]);
        assert_eq!(of("간"), ["간"]);
    }

    #[test]
    fn a_term_of_one_syllable_has_a_gram_of_its_own() {
        assert_eq!(grams(&of("간")), ["간"]);
        assert_eq!(grams(&of("홍삼정 a")), ["a", "삼정", "홍삼"]);
    }

    #[test]
    fn a_wildcard_stands_for_itself() {
        assert_eq!(patterns(&of(r"100%_\")), [r"%100\%\_\\%"]);
    }
}
