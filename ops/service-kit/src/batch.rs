//! Questions that arrive together are asked together: one statement, each its own answer.
//!
//! While one batch is under way, the next one gathers, so that a batch is as large as the load is
//! high: a lone question goes at once and alone, and nobody waits for company. When a batch fails,
//! each of its questions is asked by itself, so that company never decides an answer. For questions
//! that may be repeated.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, mpsc, oneshot};

/// Turns of the runtime that may bring nothing before a batch leaves.
const IDLE_TURNS_MAX: u32 = 2;
/// Questions that may wait; who comes later waits for a place.
const QUEUE_MAX: usize = 4_096;

type Asking<V, E> = Pin<Box<dyn Future<Output = Result<Vec<V>, E>> + Send>>;
type Ask<K, V, E> = Arc<dyn Fn(Vec<K>) -> Asking<V, E> + Send + Sync>;

/// What limits the batches of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSizes {
    /// Batches under way at once.
    pub lanes: usize,
    /// Questions in one batch at most.
    pub batch_max: usize,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum BatchError<E: std::error::Error + 'static> {
    /// What it was asked with said so.
    #[error(transparent)]
    Asked(#[from] E),
    /// The runtime goes down, or another number of answers came than questions were asked.
    #[error("a question was left without answer")]
    Unanswered,
}

struct Ticket<K, V, E: std::error::Error + 'static> {
    question: K,
    answer: oneshot::Sender<Result<V, BatchError<E>>>,
}

/// Asks in batches. Its tasks start with the first question and end with the last clone.
pub struct Batcher<K, V, E: std::error::Error + 'static> {
    ask: Ask<K, V, E>,
    sizes: BatchSizes,
    queue: Arc<OnceLock<mpsc::Sender<Ticket<K, V, E>>>>,
}

impl<K, V, E: std::error::Error + 'static> Clone for Batcher<K, V, E> {
    fn clone(&self) -> Self {
        Self { ask: Arc::clone(&self.ask), sizes: self.sizes, queue: Arc::clone(&self.queue) }
    }
}

impl<K, V, E: std::error::Error + 'static> fmt::Debug for Batcher<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

impl<K, V, E> Batcher<K, V, E>
where
    K: Clone + Send + 'static,
    V: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    /// Batches for `ask`, which answers its questions in their order and ends by itself.
    pub fn new<F>(sizes: BatchSizes, ask: impl Fn(Vec<K>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Vec<V>, E>> + Send + 'static,
    {
        let ask: Ask<K, V, E> = Arc::new(move |questions| Box::pin(ask(questions)));
        Self { ask, sizes, queue: Arc::default() }
    }

    /// The answer to `question`.
    ///
    /// # Errors
    /// [`BatchError`]; the failure of another question is none.
    pub async fn ask(&self, question: K) -> Result<V, BatchError<E>> {
        let queue = self.queue.get_or_init(|| self.start());
        let (answer, answered) = oneshot::channel();
        let sent = queue.send(Ticket { question, answer }).await;
        sent.map_err(|_gone| BatchError::Unanswered)?;
        answered.await.unwrap_or(Err(BatchError::Unanswered))
    }

    fn start(&self) -> mpsc::Sender<Ticket<K, V, E>> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..self.sizes.lanes.max(1) {
            let (ask, receiver) = (Arc::clone(&self.ask), Arc::clone(&receiver));
            tokio::spawn(run_lane(ask, receiver, self.sizes.batch_max.max(1)));
        }
        sender
    }
}

async fn run_lane<K, V, E>(
    ask: Ask<K, V, E>,
    queue: Arc<Mutex<mpsc::Receiver<Ticket<K, V, E>>>>,
    batch_max: usize,
) where
    K: Clone + Send + 'static,
    V: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    let mut tickets = Vec::new();
    // One lane waits at the queue, the others at this lock.
    while gather(&mut *queue.lock().await, &mut tickets, batch_max).await {
        let batch = std::mem::take(&mut tickets);
        let questions: Vec<K> = batch.iter().map(|ticket| ticket.question.clone()).collect();
        match ask(questions).await {
            Ok(answers) => settle(batch, answers),
            Err(error) => match <[_; 1]>::try_from(batch) {
                Ok([ticket]) => give(ticket, Err(BatchError::Asked(error))),
                Err(batch) => each_alone(&ask, batch),
            },
        }
    }
}

/// Takes what waits in `queue`, `max` at most; `false` when nothing will come any more.
///
/// Lets the tasks that are ready to run bring theirs, as long as each turn of the runtime brings
/// one: those who were answered together ask again within microseconds of each other, and leaving
/// with the first of them would spend a call on one and let the rest wait for it. No clock is
/// involved: who comes alone waits for two turns.
pub async fn gather<T>(queue: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, max: usize) -> bool {
    if queue.recv_many(batch, max).await == 0 {
        return false;
    }
    let mut idle_turns = 0;
    while idle_turns < IDLE_TURNS_MAX && batch.len() < max {
        tokio::task::yield_now().await;
        idle_turns += 1;
        while batch.len() < max
            && let Ok(item) = queue.try_recv()
        {
            batch.push(item);
            idle_turns = 0;
        }
    }
    true
}

/// Asks each question by itself, without keeping the next batch waiting.
fn each_alone<K, V, E>(ask: &Ask<K, V, E>, batch: Vec<Ticket<K, V, E>>)
where
    K: Send + 'static,
    V: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    for Ticket { question, answer } in batch {
        let asking = ask(vec![question]);
        tokio::spawn(async move {
            let answered = match asking.await {
                Ok(mut answers) => answers.pop().ok_or(BatchError::Unanswered),
                Err(error) => Err(BatchError::Asked(error)),
            };
            // As in `give`.
            drop(answer.send(answered));
        });
    }
}

fn settle<K, V, E: std::error::Error>(batch: Vec<Ticket<K, V, E>>, answers: Vec<V>) {
    let is_whole = batch.len() == answers.len();
    let mut answers = answers.into_iter();
    for ticket in batch {
        // Whose answer is missing cannot be told: none is given to the wrong one.
        let answer = answers.next().filter(|_| is_whole).ok_or(BatchError::Unanswered);
        give(ticket, answer);
    }
}

fn give<K, V, E: std::error::Error>(ticket: Ticket<K, V, E>, answer: Result<V, BatchError<E>>) {
    // Nobody listens any more when the asker was stopped.
    drop(ticket.answer.send(answer));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use tokio::sync::Semaphore;

    use super::*;

    #[derive(Debug, thiserror::Error, PartialEq, Eq)]
    #[error("there is no answer to {0}")]
    struct NoAnswer(u32);

    type Seen = Arc<StdMutex<Vec<Vec<u32>>>>;

    /// Doubles numbers and refuses batches that hold 13; each batch waits for a permit of `door`.
    fn doubling(sizes: BatchSizes, door: &Arc<Semaphore>) -> (Batcher<u32, u32, NoAnswer>, Seen) {
        let (seen, door) = (Seen::default(), Arc::clone(door));
        let noted = Arc::clone(&seen);
        let batcher = Batcher::new(sizes, move |questions: Vec<u32>| {
            let (noted, door) = (Arc::clone(&noted), Arc::clone(&door));
            async move {
                noted.lock().unwrap().push(questions.clone());
                door.acquire().await.unwrap().forget();
                if questions.contains(&13) {
                    return Err(NoAnswer(13));
                }
                Ok(questions.iter().map(|number| number * 2).collect())
            }
        });
        (batcher, seen)
    }

    const ONE_LANE: BatchSizes = BatchSizes { lanes: 1, batch_max: 4 };

    async fn ask_all(
        batcher: &Batcher<u32, u32, NoAnswer>,
        numbers: impl IntoIterator<Item = u32>,
    ) -> Vec<Result<u32, BatchError<NoAnswer>>> {
        futures_util::future::join_all(numbers.into_iter().map(|number| batcher.ask(number))).await
    }

    #[tokio::test]
    async fn a_lone_question_goes_alone_and_a_crowd_in_batches() {
        let (batcher, seen) = doubling(ONE_LANE, &Arc::new(Semaphore::new(100)));
        assert_eq!(batcher.ask(1).await.unwrap(), 2);
        let answers = ask_all(&batcher, 2..=9).await;
        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(*seen.lock().unwrap(), [vec![1], vec![2, 3, 4, 5], vec![6, 7, 8, 9]]);
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_under_way_goes_with_the_next() {
        let door = Arc::new(Semaphore::new(0));
        let (batcher, seen) = doubling(ONE_LANE, &door);
        let first = tokio::spawn({
            let batcher = batcher.clone();
            async move { batcher.ask(1).await.unwrap() }
        });
        while seen.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let others = ask_all(&batcher, [2, 3]);
        door.add_permits(2);
        assert_eq!(others.await.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [4, 6]);
        assert_eq!(first.await.unwrap(), 2);
        assert_eq!(*seen.lock().unwrap(), [vec![1], vec![2, 3]]);
    }

    #[tokio::test]
    async fn a_failure_is_nobody_elses() {
        let (batcher, _seen) = doubling(ONE_LANE, &Arc::new(Semaphore::new(100)));
        let mut answers = ask_all(&batcher, [1, 13, 3]).await.into_iter();
        assert_eq!(answers.next().unwrap().unwrap(), 2);
        assert!(matches!(answers.next().unwrap(), Err(BatchError::Asked(NoAnswer(13)))));
        assert_eq!(answers.next().unwrap().unwrap(), 6);
        assert!(matches!(batcher.ask(13).await, Err(BatchError::Asked(NoAnswer(13)))));
    }

    #[tokio::test]
    async fn a_wrong_number_of_answers_is_given_to_nobody() {
        let batcher = Batcher::new(ONE_LANE, |_two: Vec<u32>| async { Ok::<_, NoAnswer>(vec![7]) });
        let (first, second) = tokio::join!(batcher.ask(1), batcher.ask(2));
        assert!(matches!(first, Err(BatchError::Unanswered)));
        assert!(matches!(second, Err(BatchError::Unanswered)));
    }

    #[tokio::test]
    async fn lanes_run_side_by_side() {
        let door = Arc::new(Semaphore::new(0));
        let (batcher, seen) = doubling(BatchSizes { lanes: 2, batch_max: 1 }, &door);
        let both = tokio::spawn({
            let batcher = batcher.clone();
            async move { ask_all(&batcher, [1, 2]).await }
        });
        while seen.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        door.add_permits(2);
        let answers: Vec<u32> = both.await.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [2, 4]);
    }
}
