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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use service_kit::config::Secret;
    use service_kit::pools::{self, PoolSettings};
    use tokio::sync::watch;

    use super::*;

    /// A window whose database does not exist: these tests build without one.
    fn window(cache: Switch) -> Window {
        let url = Secret::from("postgres://nobody@127.0.0.1:1/nothing");
        Window::new(pools::postgres(&url, &PoolSettings::named("test")).unwrap(), cache)
    }

    /// A thousand ask for one page that nobody has; the database is asked once.
    ///
    /// What prevents the rest is `try_get_with`: with `get` and `insert` in its place all of them
    /// build (seen: 130 before the first was done).
    #[tokio::test]
    async fn of_a_thousand_misses_of_one_page_one_builds() {
        let window = window(Switch::On);
        let builds = AtomicU32::new(0);
        let gate = watch::Sender::new(false);
        let ask = || {
            window.find(Question::Main, false, async {
                builds.fetch_add(1, Ordering::Relaxed);
                gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
                Ok(Some("{}".to_owned()))
            })
        };
        let asked = join_all((0..1_000).map(|_| ask()));
        let (answers, _) = tokio::join!(asked, async { gate.send_replace(true) });
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_some()));
        assert_eq!(builds.into_inner(), 1);
    }

    #[tokio::test]
    async fn a_failed_build_is_not_remembered() {
        let window = window(Switch::On);
        let failed = window.find(Question::Main, false, async { Err(ReadError::Silence) }).await;
        assert_eq!(failed.unwrap_err().status().as_u16(), 503);
        let built = window.find(Question::Main, false, async { Ok(Some("{}".to_owned())) }).await;
        assert!(built.unwrap().is_some());
    }

    #[tokio::test]
    async fn without_a_cache_everybody_builds() {
        let window = window(Switch::Off);
        let ask = |json: &'static str| {
            window.find(Question::Main, false, async move { Ok(Some(json.to_owned())) })
        };
        assert_eq!(ask("1").await.unwrap().unwrap().plain(), "1");
        assert_eq!(ask("2").await.unwrap().unwrap().plain(), "2");
    }
}
