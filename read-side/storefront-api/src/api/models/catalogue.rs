//! What the shop window shows. The bodies are put together from stored JSON; these types say what
//! is in them, and a test compares the two.

use chrono::NaiveDate;
use poem_openapi::Object;
use uuid::Uuid;

use crate::catalogue::CategoryName;

/// Which page of how many.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct PageInfo {
    /// The page, from 1; absent behind a cursor.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) page: Option<u32>,
    /// How many a page.
    pub(crate) size: u16,
    /// How many in all.
    pub(crate) total_elements: i64,
    /// How many pages in all; 0 when there is nothing.
    pub(crate) total_pages: i64,
}

impl PageInfo {
    /// The place of `page` among `total_elements` of which `size` are on a page.
    pub(crate) fn of_page(page: u32, size: u16, total_elements: i64) -> Self {
        let per_page = i64::from(size.max(1));
        let total_pages = (total_elements.max(0) + per_page - 1) / per_page;
        Self { page: Some(page), size, total_elements, total_pages }
    }
}

/// One page of a list.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct ItemPage {
    /// The items in the order asked for.
    pub(crate) items: Vec<ItemCard>,
    /// Which page this is, of how many.
    pub(crate) page_info: PageInfo,
    /// Hand it back as `cursor` to go on behind this page; absent at the end.
    pub(crate) next: Option<String>,
}

/// An item as lists show it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct ItemCard {
    /// The item's id.
    pub(crate) item_id: Uuid,
    /// Its name.
    pub(crate) name: String,
    /// Who makes it.
    pub(crate) enterprise: Option<String>,
    /// The picture in lists.
    pub(crate) thumbnail_url: Option<String>,
    /// Price before discount, in won.
    pub(crate) origin_price: i64,
    /// Discount in percent, with one decimal.
    pub(crate) discount_rate: f64,
    /// Price after discount, in won: what is paid.
    pub(crate) price: i64,
    /// What it is good for.
    pub(crate) categories: Vec<CategoryName>,
    /// Pieces sold.
    pub(crate) sales: i64,
    /// How many reviews it has.
    pub(crate) review_count: i64,
    /// Stars on average, 0 without reviews.
    pub(crate) rating: f64,
    /// When it was registered with the ministry.
    pub(crate) registered_on: Option<NaiveDate>,
}

/// The main page.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct MainPage {
    /// The nine with the highest discount.
    pub(crate) by_discount: Vec<ItemCard>,
    /// The nine that were sold most.
    pub(crate) by_sales: Vec<ItemCard>,
    /// The nine newest.
    pub(crate) newest: Vec<ItemCard>,
}

/// One item with everything known about it.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct ItemDetail {
    /// The item's id.
    pub(crate) item_id: Uuid,
    /// Its public registration number.
    pub(crate) report_no: String,
    /// Its name.
    pub(crate) name: String,
    /// Who makes it.
    pub(crate) enterprise: Option<String>,
    /// When it was registered with the ministry.
    pub(crate) registered_on: Option<NaiveDate>,
    /// How long it keeps.
    pub(crate) expiration: Option<String>,
    /// What it looks like.
    pub(crate) appearance: Option<String>,
    /// How it is taken.
    pub(crate) serving_use: Option<String>,
    /// How it is kept.
    pub(crate) storage: Option<String>,
    /// Who should be careful.
    pub(crate) intake_hint: Option<String>,
    /// What it is good for.
    pub(crate) main_function: Option<String>,
    /// What it was measured against.
    pub(crate) base_standard: Option<String>,
    /// The picture in lists.
    pub(crate) thumbnail_url: Option<String>,
    /// The picture on the product page.
    pub(crate) description_image_url: Option<String>,
    /// Price before discount, in won.
    pub(crate) origin_price: i64,
    /// Discount in percent, with one decimal.
    pub(crate) discount_rate: f64,
    /// Price after discount, in won: what is paid.
    pub(crate) price: i64,
    /// Whether it can be bought; a withdrawn item cannot.
    pub(crate) on_sale: bool,
    /// Where it is shown.
    pub(crate) categories: Vec<CategoryName>,
}

/// The categories of the shop window.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase", example)]
pub(crate) struct CategoryList {
    /// All nine, in the order the shop shows them.
    pub(crate) categories: Vec<CategoryEntry>,
    /// Items in all; an item in two categories counts once.
    pub(crate) item_count: i64,
    /// Of these, with a discount.
    pub(crate) on_sale_count: i64,
}

/// One category.
#[derive(Debug, Object)]
#[oai(rename_all = "camelCase")]
pub(crate) struct CategoryEntry {
    /// The name that lists are asked for by.
    pub(crate) name: CategoryName,
    /// The Korean label.
    pub(crate) label: String,
    /// Items in it.
    pub(crate) item_count: i64,
    /// Of these, with a discount.
    pub(crate) on_sale_count: i64,
}
