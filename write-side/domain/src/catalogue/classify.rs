//! On which shelves a product stands, told from its declared function by the phrase table.

use std::collections::BTreeSet;

use contracts::Category;

use super::phrases::{Phrase, TABLE};

/// The categories that `main_function` speaks of; ETC alone when it speaks of none.
pub fn classify(main_function: &str) -> BTreeSet<Category> {
    let text = Normalised::of(main_function);
    let categories: BTreeSet<Category> = TABLE
        .iter()
        .filter(|(_, phrases)| phrases.iter().any(|phrase| text.has(*phrase)))
        .map(|(category, _)| *category)
        .collect();
    if categories.is_empty() {
        return BTreeSet::from([Category::Etc]);
    }
    categories
}

/// A text without punctuation, in the two spellings that phrases are looked for in.
struct Normalised {
    /// Every word with one space before it, one more at the end.
    words: String,
    /// Without any space: what is written apart in one declaration is together in another.
    squeezed: String,
}

impl Normalised {
    fn of(text: &str) -> Self {
        let mut words = String::with_capacity(text.len() + 2);
        let mut squeezed = String::with_capacity(text.len());
        let mut in_word = false;
        words.push(' ');
        for sign in text.chars() {
            // A circled or bracketed number is `alphanumeric` to Unicode and punctuation to us.
            let is_letter = sign.is_alphabetic() || sign.is_ascii_digit();
            if is_letter {
                words.push(sign);
                squeezed.push(sign);
            } else if in_word {
                words.push(' ');
            }
            in_word = is_letter;
        }
        if in_word {
            words.push(' ');
        }
        Self { words, squeezed }
    }

    fn has(&self, phrase: Phrase) -> bool {
        match phrase {
            Phrase::Anywhere(phrase) => self.squeezed.contains(phrase),
            Phrase::WordStart(phrase) => self
                .words
                .match_indices(phrase)
                .any(|(at, _)| self.words.get(..at).is_some_and(|before| before.ends_with(' '))),
            Phrase::Outside(phrase, longer) => {
                let all = self.squeezed.matches(phrase).count();
                self.squeezed.matches(longer).count() < all
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::Category::{
        Antioxidant, Bone, Brain, Etc, Eye, Fatigue, Intestine, Liver, Skin,
    };

    use super::*;

    #[track_caller]
    fn shelves(main_function: &str, expected: &[Category]) {
        let expected: BTreeSet<Category> = expected.iter().copied().collect();
        assert_eq!(classify(main_function), expected, "{main_function}");
    }

    #[test]
    fn each_category_is_found_by_what_declarations_really_say() {
        shelves("건조한 눈을 개선하여 눈 건강에 도움을 줄 수 있음", &[Eye]);
        shelves("어두운 곳에서 시각 적응을 위해 필요", &[Eye]);
        shelves("칼슘과 인이 흡수되고 이용되는데 필요", &[Bone]);
        shelves("골다공증발생 위험 감소에 도움을 줌", &[Bone]);
        shelves("노화로 인해 저하된 인지력 개선에 도움을 줄 수 있음", &[Brain]);
        shelves("기억력 개선에 도움을 줄 수 있음", &[Brain]);
        shelves("유산균 증식 및 유해균 억제･배변활동 원활･장 건강에 도움", &[Intestine]);
        shelves("[밀크씨슬추출물] 간 건강에 도움을 줄 수 있음", &[Liver]);
        shelves("알코올성 손상으로부터 간을 보호하는데 도움", &[Liver]);
        shelves("피부보습에 도움을 줄 수 있음", &[Skin]);
        shelves("유해산소로부터 세포를 보호하는데 필요", &[Antioxidant]);
        shelves("혈행 개선에 도움을 줄 수 있음", &[Fatigue]);
        shelves("정상적인 면역기능에 필요", &[Etc]);
        shelves("", &[Etc]);
    }

    #[test]
    fn one_syllable_proves_nothing() {
        shelves("망간 : 에너지 이용에 필요", &[Etc]);
        shelves("[망간] 건강한 생활", &[Etc]);
        shelves("일정 시간 건강 상태를 확인할 것", &[Etc]);
        shelves("장시간건강", &[Etc]);
        shelves("어린이의 성장 발달에 필요", &[Etc]);
        shelves("성장 건강에 필요", &[Etc]);
        shelves("위장 건강", &[Etc]);
        shelves("눈꽃 모양의 분말", &[Etc]);
    }

    #[test]
    fn a_word_inside_another_is_another_word() {
        shelves("루테인지아잔틴복합추출물", &[Etc]);
        shelves("눈의 피로 개선에 도움을 줄 수 있음", &[Eye]);
        shelves("눈의 피로 개선, 피로 개선에 도움을 줄 수 있음", &[Eye, Fatigue]);
        shelves("질내 유익균 증식 및 유해균 억제", &[Etc]);
        shelves("장내 유익균 증식", &[Intestine]);
    }

    #[test]
    fn spacing_and_marks_do_not_matter() {
        shelves("①간건강②배변 활동", &[Liver, Intestine]);
        shelves("(국문)간\n건강에 도움", &[Liver]);
        shelves("기 억 력", &[Brain]);
        shelves("면역력 증진·피로개선·혈소판 응집억제를 통한 혈액흐름", &[Fatigue]);
    }

    #[test]
    fn a_product_may_stand_on_several_shelves_and_etc_stands_alone() {
        shelves("항산화에 도움, 피부 건강에 도움, 뼈의 형성에 필요", &[Antioxidant, Skin, Bone]);
        assert!(!classify("피부, 면역").contains(&Etc));
    }

    /// A phrase with a space in it would never be found in a text without any.
    #[test]
    fn phrases_are_written_as_they_are_looked_for() {
        for (category, phrases) in TABLE {
            assert!(!phrases.is_empty() && category != Etc);
            for phrase in phrases {
                let squeezed = match phrase {
                    Phrase::WordStart(_) => continue,
                    Phrase::Anywhere(phrase) => phrase,
                    Phrase::Outside(phrase, longer) => {
                        assert!(longer.contains(phrase) && longer != phrase, "{longer}");
                        longer
                    }
                };
                assert!(!squeezed.contains(' '), "{squeezed}");
                assert!(1 < squeezed.chars().count(), "{squeezed}");
            }
        }
    }
}
