//! The shop window: finished bodies off the shelf, or built from the database.
//!
//! The key of a body is the whole question, size included.

use std::sync::Arc;
use std::time::Duration;

use contracts::Position;
use service_kit::problem::Problem;
use tokio::time::Instant;
use uuid::Uuid;

use super::query::ListQuery;
use super::shelf::{Built, Kept, Shelf};
use super::store::Store;
use super::{DETAIL_PROJECTIONS, LIST_PROJECTIONS};
use crate::config::Switch;
use crate::freshness::{Freshness, LookOut};
use crate::http::Finished;
use crate::metrics;
use crate::read_error::{ReadError, bounded};

/// What a body answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// One page of a list.
    List(ListQuery),
    /// The main page.
    Main,
    /// The product page of this item.
    Detail(Uuid),
    /// The categories.
    Categories,
}

impl Question {
    /// The label in metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::List(query) if query.filters.are_free() => "search",
            Self::List(_) => "list",
            Self::Main => "main",
            Self::Detail(_) => "detail",
            Self::Categories => "categories",
        }
    }

    /// The projections that the answer shows.
    pub(crate) fn projections(&self) -> &'static [&'static str] {
        match self {
            Self::List(_) | Self::Main | Self::Categories => &LIST_PROJECTIONS,
            Self::Detail(_) => &DETAIL_PROJECTIONS,
        }
    }
}

/// A body with what is to be said of it.
#[derive(Debug)]
pub(crate) struct Page {
    /// The body.
    pub(crate) body: Arc<Finished>,
    /// Whether it shows what the client asked for.
    pub(crate) freshness: Freshness,
    /// How old it is, when it is shown because the database is out of reach.
    pub(crate) age: Option<Duration>,
}

/// The shop window. Clones share the shelf.
#[derive(Clone)]
pub(crate) struct Window {
    store: Store,
    look_out: LookOut,
    shelf: Option<Shelf<Question>>,
}

impl Window {
    /// A window over the read models of `store`.
    pub(crate) fn new(store: Store, look_out: LookOut, cache: Switch) -> Self {
        let shelf = match cache {
            Switch::Off => None,
            Switch::On => Some(Shelf::new()),
        };
        Self { store, look_out, shelf }
    }

    /// The page that answers `question`, after a wait for the event at `asked`; `None` when there is
    /// no such item.
    pub(crate) async fn show(
        &self,
        question: Question,
        asked: Option<Position>,
    ) -> Result<Option<Page>, Problem> {
        let kept = self.find(question, asked).await?;
        let freshness = if kept.shows(asked) { Freshness::Fresh } else { Freshness::Lagging };
        let age = kept.age().filter(|_| self.shelf.is_some());
        if age.is_some() {
            metrics::stale();
        }
        Ok(kept.body.map(|body| Page { body, freshness, age }))
    }

    async fn find(&self, question: Question, asked: Option<Position>) -> Result<Kept, Problem> {
        let Some(shelf) = &self.shelf else {
            self.look_out.wait_for(asked, question.projections()).await;
            let begun_at = Instant::now();
            return Ok(Kept::new(self.build(question).await?, begun_at));
        };
        if let Some(kept) = shelf.fresh(&question, asked).await {
            return Ok(kept);
        }
        let freshness = self.look_out.wait_for(asked, question.projections()).await;
        // Whoever is answered as lagging gets what there is.
        let position = asked.filter(|_| freshness == Freshness::Fresh);
        let window = self.clone();
        let key = question.clone();
        shelf
            .find(key, position, move || {
                let window = window.clone();
                let question = question.clone();
                async move { window.build(question).await }
            })
            .await
    }

    async fn build(&self, question: Question) -> Result<Built, ReadError> {
        metrics::built(question.kind());
        Box::pin(bounded(self.store.build(question))).await
    }
}
