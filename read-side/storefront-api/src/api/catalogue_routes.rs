//! The shop window's operations; open to everybody.

use std::net::IpAddr;
use std::sync::Arc;

use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};
use service_kit::http::{ClientAddress, Limit};
use service_kit::problem::Problem;
use uuid::Uuid;

use super::Tag;
use super::models::{CategoryList, ItemDetail, ItemPage, MainPage};
use crate::catalogue::{CategoryName, Filters, ListQuery, Question, Sort, Term, Window};
use crate::freshness;
use crate::http::{Catalogue, Conditions};
use crate::state::State;

/// Lists, main page, product page and categories.
pub(crate) struct CatalogueApi {
    window: Window,
    searches: Arc<Limit<IpAddr>>,
}

impl CatalogueApi {
    /// The operations over `state`.
    pub(crate) fn new(state: &State) -> Self {
        Self { window: state.window.clone(), searches: Arc::clone(&state.searches) }
    }

    /// The page for a `question` that always has an answer.
    async fn page<T>(
        &self,
        question: Question,
        token: Option<&str>,
        request: &Request,
    ) -> Result<Catalogue<T>, Problem> {
        let shown = self.window.show(question, freshness::asked_for(token)?).await?;
        let page = shown.ok_or_else(Problem::internal_unexplained)?;
        Ok(Catalogue::new(page, &Conditions::of(request)))
    }
}

#[OpenApi(tag = "Tag::Catalogue")]
impl CatalogueApi {
    /// Items of the shop window, in any order, page by page.
    ///
    /// Give either `page` or `cursor`. A page past the end is empty and has the true totals.
    #[oai(path = "/api/items", method = "get", operation_id = "listItems")]
    #[expect(clippy::too_many_arguments, reason = "each is one documented parameter")]
    async fn list(
        &self,
        request: &Request,
        /// Only this category.
        category: Query<Option<CategoryName>>,
        /// Only items with this in their name, enterprise or main function; 1 to 50 characters.
        #[oai(validator(max_length = 200))]
        keyword: Query<Option<String>>,
        /// Only items of exactly this enterprise; 1 to 50 characters.
        #[oai(validator(max_length = 200))]
        brand: Query<Option<String>>,
        /// Only items with a discount, or only items without.
        #[oai(name = "onSale")]
        on_sale: Query<Option<bool>>,
        /// Only items that cost at least this many won.
        #[oai(name = "minPrice")]
        min_price: Query<Option<i64>>,
        /// Only items that cost at most this many won.
        #[oai(name = "maxPrice")]
        max_price: Query<Option<i64>>,
        /// In which order.
        #[oai(default = "default_sort")]
        sort: Query<Sort>,
        /// Which page, from 1; pages lead to the first 10,000 items, `cursor` leads on.
        page: Query<Option<u32>>,
        /// How many items a page, 1 to 100; 20 when absent.
        size: Query<Option<u16>>,
        /// The `next` of the page before.
        cursor: Query<Option<String>>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<Catalogue<ItemPage>, Problem> {
        let term = |name, raw: Option<String>| raw.map(|it| Term::parse(name, &it)).transpose();
        let filters = Filters {
            category: category.0.map(Into::into),
            on_sale: on_sale.0,
            keyword: term("keyword", keyword.0)?,
            brand: term("brand", brand.0)?,
            ..Filters::default()
        }
        .with_prices(min_price.0, max_price.0)?;
        let query = ListQuery::new(filters, sort.0, page.0, cursor.0.as_deref(), size.0)?;
        if query.filters.keyword.is_some() {
            self.searches.check_address(ClientAddress::of(request).0)?;
        }
        self.page(Question::List(query), min_event_position.0.as_deref(), request).await
    }

    /// The main page: nine by discount, nine by sales, the nine newest.
    #[oai(path = "/api/items/main", method = "get", operation_id = "mainPage")]
    async fn main(
        &self,
        request: &Request,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<Catalogue<MainPage>, Problem> {
        self.page(Question::Main, min_event_position.0.as_deref(), request).await
    }

    /// One item, with everything known about it; also when it is no longer sold.
    #[oai(path = "/api/items/:item_id", method = "get", operation_id = "itemDetail")]
    async fn detail(
        &self,
        request: &Request,
        /// The item's id.
        item_id: Path<Uuid>,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<Catalogue<ItemDetail>, Problem> {
        let asked = freshness::asked_for(min_event_position.0.as_deref())?;
        let shown = self.window.show(Question::Detail(item_id.0), asked).await?;
        let page = shown.ok_or_else(|| Problem::not_found("item.not_found", "no such item"))?;
        Ok(Catalogue::new(page, &Conditions::of(request)))
    }

    /// The nine categories with their Korean labels and how many items each has.
    #[oai(path = "/api/categories", method = "get", operation_id = "listCategories")]
    async fn categories(
        &self,
        request: &Request,
        /// Wait until this event is visible.
        #[oai(name = "Min-Event-Position")]
        min_event_position: Header<Option<String>>,
    ) -> Result<Catalogue<CategoryList>, Problem> {
        self.page(Question::Categories, min_event_position.0.as_deref(), request).await
    }
}

fn default_sort() -> Sort {
    Sort::Sales
}
