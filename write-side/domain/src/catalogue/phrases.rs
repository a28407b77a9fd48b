//! The phrase table: which words in a product's declared function put it on which shelf.
//!
//! Curated on 26,133 real declarations. One syllable proves nothing: 망간 is no liver, 시간 neither,
//! 성장 no bowel, 루테인지아잔틴 no cognition. So a phrase is either long enough to stand anywhere,
//! or it must begin a word, or it must not be part of a longer one that means something else.

use contracts::Category;

/// How a phrase is looked for. Texts are compared without punctuation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phrase {
    /// Anywhere, whatever the spacing; written without spaces.
    Anywhere(&'static str),
    /// At the beginning of a word; written with the spacing of the text.
    WordStart(&'static str),
    /// Anywhere, but not where it is the part of this longer phrase; both without spaces.
    Outside(&'static str, &'static str),
}

use Phrase::{Anywhere, Outside, WordStart};

/// The phrases of every category that has any, in the order the shop shows them.
pub(super) const TABLE: [(Category, &[Phrase]); 8] = [
    (
        Category::Eye,
        &[
            WordStart("눈 건강"),
            WordStart("눈건강"),
            WordStart("눈의 "),
            WordStart("건조한 눈"),
            Anywhere("시각적응"),
            Anywhere("황반색소"),
            Anywhere("시력"),
            Anywhere("망막"),
        ],
    ),
    (
        Category::Bone,
        &[
            WordStart("뼈의"),
            WordStart("뼈와"),
            WordStart("뼈를"),
            WordStart("뼈 형성"),
            WordStart("뼈형성"),
            WordStart("뼈 건강"),
            WordStart("뼈건강"),
            Anywhere("골다공증"),
            Anywhere("골밀도"),
            Anywhere("칼슘과인이흡수"),
            Anywhere("관절"),
            Anywhere("연골건강"),
        ],
    ),
    (
        Category::Brain,
        &[
            Anywhere("기억력"),
            Anywhere("인지력"),
            Anywhere("인지기능"),
            Anywhere("인지능력"),
            Anywhere("두뇌"),
            Anywhere("뇌건강"),
            Anywhere("뇌기능"),
        ],
    ),
    (
        Category::Intestine,
        &[
            WordStart("장 건강"),
            WordStart("장건강"),
            WordStart("장 기능"),
            WordStart("장내 "),
            WordStart("장 면역"),
            WordStart("장면역"),
            Anywhere("배변"),
            Anywhere("유산균"),
            Anywhere("프로바이오틱스"),
            Outside("유익균증식", "질내유익균증식"),
        ],
    ),
    (
        Category::Liver,
        &[
            WordStart("간 건강"),
            WordStart("간건강"),
            WordStart("간 기능"),
            WordStart("간기능"),
            WordStart("간을 보호"),
            WordStart("간 보호"),
            WordStart("간세포"),
            Anywhere("밀크씨슬"),
            Anywhere("밀크시슬"),
            Anywhere("실리마린"),
        ],
    ),
    (
        Category::Skin,
        // 피부와 점막을 형성하고 is what vitamin A is declared for, and it is the skin.
        &[Anywhere("피부")],
    ),
    (Category::Antioxidant, &[Anywhere("항산화"), Anywhere("유해산소")]),
    (
        Category::Fatigue,
        &[
            Outside("피로개선", "눈의피로개선"),
            Anywhere("피로회복"),
            Anywhere("혈행"),
            Anywhere("혈액흐름"),
            Anywhere("혈액순환"),
            Anywhere("혈소판응집"),
            Anywhere("지구력"),
            Anywhere("운동수행능력"),
        ],
    ),
];
