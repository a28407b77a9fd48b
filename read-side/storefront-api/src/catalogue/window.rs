//! The shop window: finished bodies, kept for a moment, built once however many ask at once.
//!
//! The key of an entry is the whole question, size included. What isn't worth keeping, and whatever
//! must be at least as new as the client's own write, goes to the database; the latter's answer
//! then replaces the one that is kept.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use moka::future::Cache;
use service_kit::problem::Problem;
use uuid::Uuid;

use super::query::ListQuery;
use super::store::Store;
use crate::config::Switch;
use crate::http::Finished;
use crate::metrics;
use crate::read_error::{ReadError, bounded};

/// How long a body is kept. A changed price must be visible within a second on every node, and no
/// node hears of the change yet; at the size planned for, a second still spares most questions.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Most bytes kept: about three thousand pages.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What an absent item costs to remember, in bytes.
const ABSENT_WEIGHT: u32 = 128;

/// What a kept body answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    List(ListQuery),
    Main,
    Detail(Uuid),
    Categories,
}

impl Question {
    /// The label in metrics.
    fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Main => "main",
            Self::Detail(_) => "detail",
            Self::Categories => "categories",
        }
    }
}

/// An answer, or that there is none: unknown ids are remembered, too.
type Kept = Option<Arc<Finished>>;

/// The shop window. Clones share the cache.
#[derive(Clone)]
pub(crate) struct Window {
    store: Store,
    kept: Option<Cache<Question, Kept>>,
}

impl Window {
    /// A window over the read models behind `pool`.
    pub(crate) fn new(pool: Pool, cache: Switch) -> Self {
        let kept = match cache {
            Switch::Off => None,
            Switch::On => Some(
                Cache::builder()
                    .max_capacity(KEPT_BYTES_MAX)
                    .weigher(|_: &Question, kept: &Kept| {
                        kept.as_ref().map_or(ABSENT_WEIGHT, |body| body.weight())
                    })
                    .time_to_live(KEPT_FOR)
                    .build(),
            ),
        };
        Self { store: Store::new(pool), kept }
    }

    /// The body of one list page. `is_urgent`: not out of the cache.
    pub(crate) async fn list(
        &self,
        query: ListQuery,
        is_urgent: bool,
    ) -> Result<Arc<Finished>, Problem> {
        let asked = query.clone();
        let build = async { Box::pin(bounded(self.store.list(asked))).await };
        if !query.is_cached() {
            metrics::built("list_uncached");
            return Ok(Arc::new(Finished::new(build.await?)));
        }
        self.present(Question::List(query), is_urgent, build).await
    }

    /// The body of the main page.
    pub(crate) async fn main_page(&self, is_urgent: bool) -> Result<Arc<Finished>, Problem> {
        self.present(Question::Main, is_urgent, async {
            Box::pin(bounded(self.store.main_page())).await
        })
        .await
    }

    /// The body of the categories.
    pub(crate) async fn categories(&self, is_urgent: bool) -> Result<Arc<Finished>, Problem> {
        self.present(Question::Categories, is_urgent, async {
            Box::pin(bounded(self.store.categories())).await
        })
        .await
    }

    /// The body of one product page, or `None` when there is no such item.
    pub(crate) async fn detail(&self, item_id: Uuid, is_urgent: bool) -> Result<Kept, Problem> {
        self.find(Question::Detail(item_id), is_urgent, async {
            Box::pin(bounded(self.store.detail(item_id))).await
        })
        .await
    }

    async fn present(
        &self,
        question: Question,
        is_urgent: bool,
        build: impl Future<Output = Result<String, ReadError>>,
    ) -> Result<Arc<Finished>, Problem> {
        let found = self.find(question, is_urgent, async { build.await.map(Some) }).await?;
        // `build` always answers, so what is found is there.
        found.ok_or_else(Problem::internal_unexplained)
    }

    /// The kept answer, or the one that `build` finds; of many that ask at once, one builds.
    async fn find(
        &self,
        question: Question,
        is_urgent: bool,
        build: impl Future<Output = Result<Option<String>, ReadError>>,
    ) -> Result<Kept, Problem> {
        let kind = question.kind();
        let build = async move {
            metrics::built(kind);
            let built = build.await.map_err(Problem::from)?;
            Ok::<Kept, Problem>(built.map(|json| Arc::new(Finished::new(json))))
        };
        let Some(kept) = &self.kept else {
            return build.await;
        };
        if is_urgent {
            let fresh = build.await?;
            kept.insert(question, fresh.clone()).await;
            return Ok(fresh);
        }
        kept.try_get_with(question, build).await.map_err(|refused| Problem::clone(&refused))
    }
}
