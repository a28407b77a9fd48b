//! What may be asked of the catalogue, as types: what reaches a statement has passed its rule.

use contracts::{Category, Won};
use poem_openapi::Enum;
use service_kit::problem::Problem;

use super::Cursor;

/// Items a page when nothing is asked for.
pub(crate) const PAGE_SIZE_DEFAULT: u16 = 20;
/// Most items a page. A card has about 400 bytes, so the longest page is about 40 KiB.
pub(crate) const PAGE_SIZE_MAX: u16 = 100;
/// Longest keyword and brand, in characters. The longest brand in the catalogue has 40.
pub(crate) const TERM_CHARS_MAX: usize = 50;
/// Most items that numbered pages lead to: a page costs what lies before it. A cursor leads on.
const PAGED_ITEMS_MAX: i64 = 10_000;

/// In which order a list comes; ties are broken by the item's id, so that pages are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Sort {
    /// Most pieces sold first.
    Sales,
    /// Dearest first, after discount.
    PriceHigh,
    /// Cheapest first, after discount.
    PriceLow,
    /// Highest discount rate first.
    DiscountHigh,
    /// Lowest discount rate first.
    DiscountLow,
    /// Most reviews first.
    Reviews,
    /// Best rated first.
    Rating,
    /// Newest in the catalogue first.
    Newest,
    /// Most visited first.
    Views,
}

#[cfg(test)]
impl Sort {
    /// Every order.
    pub(crate) const ALL: [Self; 9] = [
        Self::Sales,
        Self::PriceHigh,
        Self::PriceLow,
        Self::DiscountHigh,
        Self::DiscountLow,
        Self::Reviews,
        Self::Rating,
        Self::Newest,
        Self::Views,
    ];
}

/// The nine categories as an API names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename = "Category", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum CategoryName {
    /// 눈.
    Eye,
    /// 뼈,골다공증.
    Bone,
    /// 두뇌.
    Brain,
    /// 배변,장,유산균.
    Intestine,
    /// 간.
    Liver,
    /// 피부.
    Skin,
    /// 항산화.
    Antioxidant,
    /// 피로,혈액순환.
    Fatigue,
    /// 기타.
    Etc,
}

impl From<CategoryName> for Category {
    fn from(name: CategoryName) -> Self {
        match name {
            CategoryName::Eye => Self::Eye,
            CategoryName::Bone => Self::Bone,
            CategoryName::Brain => Self::Brain,
            CategoryName::Intestine => Self::Intestine,
            CategoryName::Liver => Self::Liver,
            CategoryName::Skin => Self::Skin,
            CategoryName::Antioxidant => Self::Antioxidant,
            CategoryName::Fatigue => Self::Fatigue,
            CategoryName::Etc => Self::Etc,
        }
    }
}

/// A word to look for: 1 to [`TERM_CHARS_MAX`] characters, none of them a control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Term(String);

impl Term {
    /// Checks the value of parameter `name`.
    ///
    /// # Errors
    /// 400 when nothing is left after trimming, it is too long, or holds a control character.
    pub(crate) fn parse(name: &'static str, raw: &str) -> Result<Self, Problem> {
        let term = raw.trim();
        let fits = (1..=TERM_CHARS_MAX).contains(&term.chars().count());
        if !fits || term.chars().any(char::is_control) {
            let expected = format!("expected 1 to {TERM_CHARS_MAX} characters");
            return Err(malformed(name, expected));
        }
        Ok(Self(term.to_owned()))
    }

    /// The word.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which items a list holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Filters {
    /// Only this category; every one when absent.
    pub(crate) category: Option<Category>,
    /// Only items with a discount, or only items without.
    pub(crate) on_sale: Option<bool>,
    /// Only items whose text has this in it.
    pub(crate) keyword: Option<Term>,
    /// Only items of this enterprise.
    pub(crate) brand: Option<Term>,
    /// Only items that cost at least this.
    pub(crate) price_min: Option<Won>,
    /// Only items that cost at most this.
    pub(crate) price_max: Option<Won>,
}

impl Filters {
    /// Reads the price bounds; each may stand alone.
    ///
    /// # Errors
    /// 400 for a negative bound, or a lower bound above the upper.
    pub(crate) fn with_prices(self, min: Option<i64>, max: Option<i64>) -> Result<Self, Problem> {
        let bound = |name, amount: Option<i64>| match amount.map(Won::try_from).transpose() {
            Ok(bound) => Ok(bound),
            Err(negative) => Err(malformed(name, negative.to_string())),
        };
        let (price_min, price_max) = (bound("minPrice", min)?, bound("maxPrice", max)?);
        if let (Some(min), Some(max)) = (price_min, price_max)
            && max < min
        {
            return Err(malformed("minPrice", "the lower bound is above the upper"));
        }
        Ok(Self { price_min, price_max, ..self })
    }

    /// Whether these are more than a category and its offers, so that totals must be counted.
    pub(crate) fn are_free(&self) -> bool {
        self.are_a_search() || self.price_min.is_some() || self.price_max.is_some()
    }

    /// Whether something is searched for, so that matches are few.
    pub(crate) fn are_a_search(&self) -> bool {
        self.keyword.is_some() || self.brand.is_some()
    }
}

/// Where in a list the answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// At this page, from 1.
    Page(u32),
    /// Behind the item that the cursor names.
    After(Cursor),
}

/// One question for a list; as the key of a kept body it is the whole question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListQuery {
    /// Which items.
    pub(crate) filters: Filters,
    /// In which order.
    pub(crate) sort: Sort,
    /// From where.
    pub(crate) place: Place,
    /// How many at most, 1 to [`PAGE_SIZE_MAX`].
    pub(crate) size: u16,
}

impl ListQuery {
    /// Puts the parts together.
    ///
    /// # Errors
    /// 400 for a size or page out of range or too far away, page and cursor at once, or a cursor of
    /// another list.
    pub(crate) fn new(
        filters: Filters,
        sort: Sort,
        page: Option<u32>,
        cursor: Option<&str>,
        size: Option<u16>,
    ) -> Result<Self, Problem> {
        let size = page_size(size)?;
        let place = match (page, cursor) {
            (Some(_), Some(_)) => {
                return Err(malformed("cursor", "give either a page or a cursor, not both"));
            }
            (None, Some(token)) => match Cursor::read(token, &filters, sort) {
                Some(cursor) => Place::After(cursor),
                None => return Err(malformed("cursor", "not a cursor of this list")),
            },
            (page, None) => Place::Page(near(page_number(page)?, size)?),
        };
        Ok(Self { filters, sort, place, size })
    }
}

/// The page, when it ends within [`PAGED_ITEMS_MAX`].
fn near(page: u32, size: u16) -> Result<u32, Problem> {
    if PAGED_ITEMS_MAX < offset(page, size) + i64::from(size) {
        let expected = format!(
            "pages lead to the first {PAGED_ITEMS_MAX} items; `next` of a page leads on from there"
        );
        return Err(malformed("page", expected));
    }
    Ok(page)
}

/// The page, 1 when absent.
///
/// # Errors
/// 400 for page 0.
pub(crate) fn page_number(page: Option<u32>) -> Result<u32, Problem> {
    match page {
        Some(0) => Err(malformed("page", "pages are counted from 1")),
        Some(page) => Ok(page),
        None => Ok(1),
    }
}

/// The size of a page, [`PAGE_SIZE_DEFAULT`] when absent.
///
/// # Errors
/// 400 outside 1 to [`PAGE_SIZE_MAX`].
pub(crate) fn page_size(size: Option<u16>) -> Result<u16, Problem> {
    let size = size.unwrap_or(PAGE_SIZE_DEFAULT);
    if !(1..=PAGE_SIZE_MAX).contains(&size) {
        return Err(malformed("size", format!("expected 1 to {PAGE_SIZE_MAX}")));
    }
    Ok(size)
}

/// Rows that stand before `page`.
pub(crate) fn offset(page: u32, size: u16) -> i64 {
    i64::from(page.saturating_sub(1)) * i64::from(size)
}

fn malformed(name: &'static str, expected: impl Into<String>) -> Problem {
    Problem::bad_request("request.malformed_parameter", "a parameter cannot be used").with_field(
        name,
        "parameter.malformed",
        expected,
    )
}
