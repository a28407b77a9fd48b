//! One build at a time, newer bodies only, and old ones while there is no database.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use testkit::eventually;

use super::*;

const PAGE: &str = "main";

fn shelf() -> Shelf<&'static str> {
    Shelf::new()
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of what a build answers")]
fn built(json: &str, position: i64) -> Result<Built, ReadError> {
    Ok(Built { json: Some(json.to_owned()), position: Position::new(position) })
}

fn shown(kept: &Kept) -> String {
    String::from_utf8(kept.body.as_ref().unwrap().plain().to_vec()).unwrap()
}

/// Builds that count themselves and wait at a gate.
#[derive(Clone)]
struct Site {
    begun: Arc<AtomicU32>,
    gate: watch::Sender<bool>,
}

impl Site {
    fn closed() -> Self {
        Self { begun: Arc::default(), gate: watch::Sender::new(false) }
    }

    fn open(&self) {
        self.gate.send_replace(true);
    }

    fn builds(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The n-th build shows position n.
    fn build(&self) -> impl Future<Output = Result<Built, ReadError>> + Send + use<> {
        let site = self.clone();
        async move {
            let number = site.begun.fetch_add(1, Ordering::Relaxed) + 1;
            site.gate.subscribe().wait_for(|is_open| *is_open).await.unwrap();
            built(&number.to_string(), i64::from(number))
        }
    }
}

/// What prevents the rest is the look for a build under way in `join`: without it all of them build.
#[tokio::test]
async fn of_a_thousand_misses_of_one_page_one_builds_with_a_position_or_without() {
    for position in [None, Some(Position::new(1))] {
        let shelf = shelf();
        let site = Site::closed();
        let asked = join_all((0..1_000).map(|_| shelf.find(PAGE, position, || site.build())));
        let (answers, ()) = tokio::join!(asked, async { site.open() });
        assert!(answers.iter().all(|answer| shown(answer.as_ref().unwrap()) == "1"));
        assert_eq!(site.builds(), 1, "{position:?}");
    }
}

#[tokio::test]
async fn a_kept_body_answers_whoever_asks_for_no_more_than_it_shows() {
    let shelf = shelf();
    shelf.find(PAGE, None, || async { built("kept", 5) }).await.unwrap();
    for (position, answer) in [(4, "kept"), (5, "kept"), (6, "newer")] {
        let position = Some(Position::new(position));
        let found = shelf.find(PAGE, position, || async { built("newer", 6) }).await.unwrap();
        assert_eq!(shown(&found), answer, "{position:?}");
    }
}

/// A build that began before the client's write is under way when the client asks for its write, and
/// ends last of all that are under way.
///
/// What prevents the rest is the look for a build under way in `join`. Seen to fail without it: the
/// second build begins beside the first and ends before it, and the older body is kept last.
#[tokio::test]
async fn an_older_build_never_replaces_a_newer_body() {
    let shelf = shelf();
    let (first, others) = (Site::closed(), Site::closed());
    let begun = Arc::new(AtomicU32::new(0));
    let build = || {
        let number = begun.fetch_add(1, Ordering::Relaxed) + 1;
        let gate = if number == 1 { first.gate.subscribe() } else { others.gate.subscribe() };
        async move {
            gate.clone().wait_for(|is_open| *is_open).await.unwrap();
            built(&number.to_string(), i64::from(number))
        }
    };
    let older = shelf.find(PAGE, None, build);
    let newer = shelf.find(PAGE, Some(Position::new(2)), build);
    let (older, newer, ()) = tokio::join!(older, newer, async {
        others.open();
        // Whatever may end now ends: tasks of this runtime take turns with this one.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        first.open();
    });
    assert_eq!(shown(&older.unwrap()), "1");
    assert_eq!(shown(&newer.unwrap()), "2");
    assert_eq!(shown(&shelf.fresh(&PAGE, None).await.unwrap()), "2");
    assert_eq!(begun.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_build_ends_although_its_client_has_left() {
    let shelf = shelf();
    let site = Site::closed();
    // Asked once and dropped.
    assert!(shelf.find(PAGE, None, || site.build()).now_or_never().is_none());
    site.open();
    let found = || async { shelf.fresh(&PAGE, None).await };
    assert_eq!(shown(&eventually(Duration::from_secs(30), found).await), "1");
}

#[tokio::test]
async fn a_failed_build_is_not_remembered() {
    let shelf = shelf();
    let failed = shelf.find(PAGE, None, || async { Err(ReadError::Silence) }).await;
    assert_eq!(failed.unwrap_err().status().as_u16(), 503);
    let found = shelf.find(PAGE, None, || async { built("built", 1) }).await;
    assert_eq!(shown(&found.unwrap()), "built");
}

#[tokio::test]
async fn a_build_that_panics_is_a_fault_and_blocks_nobody() {
    async fn panics() -> Result<Built, ReadError> {
        panic!("as a test wants it")
    }
    let shelf = shelf();
    let failed = shelf.find(PAGE, None, panics).await;
    assert_eq!(failed.unwrap_err().status().as_u16(), 500);
    let found = shelf.find(PAGE, None, || async { built("built", 1) }).await;
    assert_eq!(shown(&found.unwrap()), "built");
}

/// Old enough that the database is asked.
async fn aged(shelf: &Shelf<&'static str>) {
    shelf.find(PAGE, None, || async { built("old", 1) }).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn an_old_body_is_shown_while_the_database_is_away_and_it_is_tried_now_and_then() {
    let shelf = shelf();
    aged(&shelf).await;
    let tries = Arc::new(AtomicU32::new(0));
    let away = || {
        tries.fetch_add(1, Ordering::Relaxed);
        async { Err(ReadError::Silence) }
    };
    for _ in 0..1_000 {
        let found = shelf.find(PAGE, None, away).await.unwrap();
        assert_eq!((shown(&found), found.age().unwrap().as_secs()), ("old".to_owned(), 30));
    }
    assert_eq!(tries.load(Ordering::Relaxed), 1);

    tokio::time::advance(RETRY_PAUSE).await;
    // Whoever finds out that the database is back is shown what is true now.
    let found = shelf.find(PAGE, None, || async { built("new", 2) }).await.unwrap();
    assert_eq!(shown(&found), "new");
}

/// Seen to fail: the old body was shown, however long the database had been back, to the very one
/// who had changed the price.
#[tokio::test(start_paused = true)]
async fn whoever_knows_of_a_newer_event_is_not_shown_the_old_body_without_a_try() {
    let shelf = shelf();
    aged(&shelf).await;
    shelf.find(PAGE, None, || async { Err(ReadError::Silence) }).await.unwrap();
    let found = shelf.find(PAGE, Some(Position::new(2)), || async { built("new", 2) }).await;
    assert_eq!(shown(&found.unwrap()), "new");
}

/// Of one slow question nothing follows for the others.
#[tokio::test(start_paused = true)]
async fn a_slow_question_leaves_the_others_fresh() {
    let shelf = shelf();
    aged(&shelf).await;
    shelf.find("slow", None, || async { built("old", 1) }).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    shelf.find("slow", None, std::future::pending).await.unwrap();
    let found = shelf.find(PAGE, None, || async { built("new", 2) }).await;
    assert_eq!(shown(&found.unwrap()), "new");
}

#[tokio::test(start_paused = true)]
async fn an_old_body_is_shown_soon_while_the_database_is_silent() {
    let shelf = shelf();
    aged(&shelf).await;
    let started = Instant::now();
    let found = shelf.find(PAGE, None, std::future::pending).await.unwrap();
    assert_eq!(shown(&found), "old");
    assert!(started.elapsed() <= REFRESH_WAIT_MAX);
    let found = shelf.find(PAGE, None, std::future::pending).await.unwrap();
    assert_eq!(shown(&found), "old");
    assert!(started.elapsed() <= REFRESH_WAIT_MAX, "only the first one waits");
}

/// An answer that is wrong for another reason than the database's absence is not papered over.
#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_is_told_although_there_is_an_old_body() {
    let shelf = shelf();
    aged(&shelf).await;
    let fault = || async {
        Err(serde_json::from_str::<u8>("no document").map_err(ReadError::from).unwrap_err())
    };
    assert_eq!(shelf.find(PAGE, None, fault).await.unwrap_err().status().as_u16(), 500);
}
