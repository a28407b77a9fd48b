//! One row of the open data, from text to what the item aggregate takes.
//!
//! Real texts come with carriage returns, stray control characters and empty strings in place of
//! nothing: these are put right. What breaks a rule is refused, never cut.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use contracts::events::ItemDetails;
use contracts::text::TextRefusal;
use contracts::{Category, DiscountRate, ReportNo, Text, Won};
use domain::catalogue::{classify, demo_price};
use domain::item::ItemTerms;
use serde::Deserialize;

/// A row as it stands in the file. Names of the open data are accepted beside ours.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawRow {
    #[serde(alias = "STTEMNT_NO")]
    report_no: Option<String>,
    #[serde(alias = "PRDUCT")]
    product_name: Option<String>,
    #[serde(alias = "ENTRPS")]
    enterprise: Option<String>,
    #[serde(alias = "REGIST_DT")]
    registered_on: Option<String>,
    #[serde(alias = "DISTB_PD")]
    expiration: Option<String>,
    #[serde(alias = "SUNGSANG")]
    appearance: Option<String>,
    #[serde(alias = "SRV_USE")]
    serving_use: Option<String>,
    #[serde(alias = "PRSRV_PD")]
    storage: Option<String>,
    #[serde(alias = "INTAKE_HINT1")]
    intake_hint: Option<String>,
    #[serde(alias = "MAIN_FNCTN")]
    main_function: Option<String>,
    #[serde(alias = "BASE_STANDARD")]
    base_standard: Option<String>,
    thumbnail_url: Option<String>,
    description_image_url: Option<String>,
    /// Whole won.
    origin_price: Option<i64>,
    /// Tenths of a percent; none when the price is given without it.
    discount_rate_tenths: Option<u16>,
    /// `EYE`, `BONE`, …; told from the main function when absent.
    categories: Option<Vec<String>>,
}

/// A row that can be sent to its item.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) report_no: ReportNo,
    pub(super) details: Box<ItemDetails>,
    pub(super) terms: ItemTerms,
    /// A derived price is for new items only.
    pub(super) keep_price: bool,
}

/// Why a row was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowRefusal {
    #[error("the line is longer than {} bytes", super::source::LINE_BYTES_MAX)]
    LineTooLong,
    #[error("the line is not UTF-8")]
    NotUtf8,
    #[error("the row is not the JSON object that is expected: {0}")]
    BadJson(String),
    #[error("there is no report number")]
    ReportNoMissing,
    #[error("the report number is not 12 to 15 digits")]
    ReportNoMalformed,
    #[error("the report number stands in line {first_line} already")]
    Duplicate { first_line: u64 },
    #[error("there is no product name")]
    ProductNameMissing,
    #[error("{field} is longer than {limit} characters")]
    FieldTooLong { field: &'static str, limit: usize },
    #[error("registered_on is no date")]
    DateMalformed,
    #[error("there is no price; --demo-prices derives one")]
    PriceMissing,
    #[error("the price is negative or the discount above 100 percent")]
    PriceMalformed,
    #[error("there is no category {0}")]
    UnknownCategory(String),
    #[error("{sentence}")]
    Rule { code: &'static str, sentence: String },
    #[error("somebody else keeps changing the item")]
    Conflict,
    #[error("the file breaks off here: {0}")]
    CutShort(String),
}

impl RowRefusal {
    /// Stable name of the reason.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::LineTooLong => "import.line_too_long",
            Self::NotUtf8 => "import.not_utf8",
            Self::BadJson(_) => "import.bad_json",
            Self::ReportNoMissing => "import.report_no_missing",
            Self::ReportNoMalformed => "import.report_no_malformed",
            Self::Duplicate { .. } => "import.duplicate",
            Self::ProductNameMissing => "import.product_name_missing",
            Self::FieldTooLong { .. } => "import.field_too_long",
            Self::DateMalformed => "import.date_malformed",
            Self::PriceMissing => "import.price_missing",
            Self::PriceMalformed => "import.price_malformed",
            Self::UnknownCategory(_) => "import.unknown_category",
            Self::Rule { code, .. } => code,
            Self::Conflict => "import.conflict",
            Self::CutShort(_) => "import.cut_short",
        }
    }
}

impl RawRow {
    /// The number it names, well-formed or not, short enough for a report.
    pub(super) fn named_report_no(&self) -> Option<String> {
        self.report_no.as_ref().map(|raw| raw.chars().take(40).collect())
    }

    /// Checks it whole.
    pub(super) fn check(self, demo_prices: bool) -> Result<Row, RowRefusal> {
        let report_no = self.report_no.as_deref().and_then(tidied);
        let report_no = report_no.ok_or(RowRefusal::ReportNoMissing)?;
        let report_no = ReportNo::try_from(report_no).ok().ok_or(RowRefusal::ReportNoMalformed)?;
        let product_name = text(self.product_name.as_deref(), "product_name")?
            .ok_or(RowRefusal::ProductNameMissing)?;
        let categories = match &self.categories {
            Some(names) => named_categories(names)?,
            None => classify(self.main_function.as_deref().unwrap_or_default()),
        };
        let (price, keep_price) = match self.price()? {
            Some(price) => (price, false),
            None if demo_prices => {
                let derived = demo_price(&report_no);
                ((derived.origin_price, derived.discount_rate), true)
            }
            None => return Err(RowRefusal::PriceMissing),
        };
        let details = Box::new(self.details(product_name)?);
        let terms = ItemTerms { origin_price: price.0, discount_rate: price.1, categories };
        Ok(Row { report_no, details, terms, keep_price })
    }

    fn price(&self) -> Result<Option<(Won, DiscountRate)>, RowRefusal> {
        let Some(origin_price) = self.origin_price else {
            return Ok(None);
        };
        let origin_price = Won::try_from(origin_price).ok();
        let discount = DiscountRate::try_from(self.discount_rate_tenths.unwrap_or(0)).ok();
        origin_price.zip(discount).map(Some).ok_or(RowRefusal::PriceMalformed)
    }

    fn details(&self, product_name: Text<300>) -> Result<ItemDetails, RowRefusal> {
        Ok(ItemDetails {
            product_name,
            enterprise: text(self.enterprise.as_deref(), "enterprise")?,
            registered_on: day(self.registered_on.as_deref())?,
            expiration: text(self.expiration.as_deref(), "expiration")?,
            appearance: text(self.appearance.as_deref(), "appearance")?,
            serving_use: text(self.serving_use.as_deref(), "serving_use")?,
            storage: text(self.storage.as_deref(), "storage")?,
            intake_hint: text(self.intake_hint.as_deref(), "intake_hint")?,
            main_function: text(self.main_function.as_deref(), "main_function")?,
            base_standard: text(self.base_standard.as_deref(), "base_standard")?,
            thumbnail_url: text(self.thumbnail_url.as_deref(), "thumbnail_url")?,
            description_image_url: text(
                self.description_image_url.as_deref(),
                "description_image_url",
            )?,
        })
    }
}

fn named_categories(names: &[String]) -> Result<BTreeSet<Category>, RowRefusal> {
    let category = |name: &String| {
        let short = || name.chars().take(40).collect();
        name.parse().ok().ok_or_else(|| RowRefusal::UnknownCategory(short()))
    };
    names.iter().map(category).collect()
}

/// A bounded text; nothing when the field holds nothing.
fn text<const MAX: usize>(
    raw: Option<&str>,
    field: &'static str,
) -> Result<Option<Text<MAX>>, RowRefusal> {
    let Some(tidy) = raw.and_then(tidied) else {
        return Ok(None);
    };
    match Text::parse(&tidy) {
        Ok(text) => Ok(Some(text)),
        Err(TextRefusal::TooLong(limit)) => Err(RowRefusal::FieldTooLong { field, limit }),
        // Tidied text is neither empty nor has it control characters left.
        Err(TextRefusal::Empty | TextRefusal::ControlCharacter) => Ok(None),
    }
}

/// Line ends as line feeds, other control characters as spaces, trimmed; `None` when nothing is left.
fn tidied(raw: &str) -> Option<String> {
    let unix = raw.replace("\r\n", "\n").replace('\r', "\n");
    let tidy = unix.replace(|sign: char| sign.is_control() && sign != '\n' && sign != '\t', " ");
    let tidy = tidy.trim();
    (!tidy.is_empty()).then(|| tidy.to_owned())
}

fn day(raw: Option<&str>) -> Result<Option<NaiveDate>, RowRefusal> {
    raw.and_then(tidied).map(|day| date(&day)).transpose()
}

/// `2015-05-22` or `20150522`, with or without a time behind it.
fn date(raw: &str) -> Result<NaiveDate, RowRefusal> {
    let day = raw.split([' ', 'T']).next().unwrap_or_default();
    NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .or_else(|_other_form| NaiveDate::parse_from_str(day, "%Y%m%d"))
        .ok()
        .ok_or(RowRefusal::DateMalformed)
}
