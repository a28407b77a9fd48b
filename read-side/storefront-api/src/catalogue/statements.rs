//! The statements behind lists, composed from `list.sql` and what was asked.
//!
//! Only words of this file reach a statement's text; everything a client sent travels as a
//! parameter. The number of different texts is small and fixed, so each connection keeps them
//! prepared.

use contracts::Category;
use tokio_postgres::types::ToSql;

use super::query::{Filters, ListQuery, Place, Sort, offset};
use super::search;

const LIST: &str = include_str!("list.sql");
const SEARCH: &str = include_str!("search.sql");
const COUNT: &str = include_str!("count.sql");
const KEYWORD: &str = include_str!("keyword.sql");
/// The pseudo-category that holds every item.
pub(crate) const ALL: &str = "ALL";

/// A statement's text with its parameters.
pub(crate) struct Statement {
    /// The text; the same for every question of the same form.
    pub(crate) text: String,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Statement {
    /// The parameters as the driver takes them.
    pub(crate) fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|it| &**it as &(dyn ToSql + Sync)).collect()
    }

    fn push(&mut self, parameter: impl ToSql + Sync + Send + 'static) -> usize {
        self.parameters.push(Box::new(parameter));
        self.parameters.len()
    }
}

/// Which column orders a list, and whether it falls.
struct Order {
    key: &'static str,
    falls: bool,
}

const fn order(sort: Sort) -> Order {
    let (key, falls) = match sort {
        Sort::Sales => ("sales", true),
        Sort::PriceHigh => ("price", true),
        Sort::PriceLow => ("price", false),
        Sort::DiscountHigh => ("discount_rate", true),
        Sort::DiscountLow => ("discount_rate", false),
        Sort::Reviews => ("review_count", true),
        Sort::Rating => ("rating", true),
        Sort::Newest => ("listed_position", true),
        Sort::Views => ("views", true),
    };
    Order { key, falls }
}

/// The name under which a list's category is stored.
pub(crate) fn category_name(category: Option<Category>) -> &'static str {
    category.map_or(ALL, Category::as_str)
}

/// The page that `query` asks for, and one row more, which tells whether there is a next page.
pub(crate) fn list(query: &ListQuery) -> Statement {
    let Order { key, falls } = order(query.sort);
    let (direction, beyond) = if falls { ("desc", "<") } else { ("asc", ">") };
    let mut statement = Statement { text: String::new(), parameters: Vec::new() };
    statement.push(category_name(query.filters.category));
    statement.push(i64::from(query.size) + 1);
    let skipped = match query.place {
        Place::Page(page) => offset(page, query.size),
        Place::After(_) => 0,
    };
    statement.push(skipped);
    let filters = conditions(&mut statement, &query.filters);
    let after = match query.place {
        Place::Page(_) => String::new(),
        Place::After(cursor) => {
            let key_at = statement.push(cursor.key);
            let id_at = statement.push(cursor.item_id);
            format!("\n  and  ({key}, item_id) {beyond} (${key_at}, ${id_at})")
        }
    };
    let template = if query.filters.are_a_search() { SEARCH } else { LIST };
    statement.text = template
        .replace("{key}", key)
        .replace("{direction}", direction)
        .replace("{filters}", &filters)
        .replace("{after}", &after);
    statement
}

/// How many items `filters` let through.
pub(crate) fn count(filters: &Filters) -> Statement {
    let mut statement = Statement { text: String::new(), parameters: Vec::new() };
    statement.push(category_name(filters.category));
    let conditions = conditions(&mut statement, filters);
    statement.text = COUNT.replace("{filters}", &conditions);
    statement
}

fn conditions(statement: &mut Statement, filters: &Filters) -> String {
    // The first, empty one stands for the condition that every statement has already.
    let mut conditions = vec![String::new()];
    match filters.on_sale {
        Some(true) => conditions.push("0 < discount_rate".to_owned()),
        Some(false) => conditions.push("discount_rate = 0".to_owned()),
        None => {}
    }
    if let Some(brand) = &filters.brand {
        let at = statement.push(brand.as_str().to_owned());
        conditions.push(format!("enterprise = ${at}"));
    }
    if let Some(min) = filters.price_min {
        let at = statement.push(min.amount());
        conditions.push(format!("${at} <= price"));
    }
    if let Some(max) = filters.price_max {
        let at = statement.push(max.amount());
        conditions.push(format!("price <= ${at}"));
    }
    if let Some(keyword) = &filters.keyword {
        let terms = search::terms(keyword);
        let grams_at = statement.push(search::grams(&terms));
        let patterns_at = statement.push(search::patterns(&terms));
        let placed = KEYWORD
            .replace("{grams}", &format!("${grams_at}"))
            .replace("{patterns}", &format!("${patterns_at}"));
        conditions.push(placed.trim_end().to_owned());
    }
    conditions.join("\n  and  ")
}
