//! Places where a test may let the worker die: compiled in with the feature `failpoints` alone,
//! nothing otherwise.
//!
//! There is one between every two effects of carrying an outbox row and of reacting to an event, so
//! that a death at each of them can be tried: [`Point::ALL`] is the whole list, and
//! `tests/failpoints.rs` goes through it. `FAILPOINTS=relay::after_outcome=abort` in the environment
//! of the `worker` ends the process there at once, without unwinding or flushing, as `kill -9`
//! would. `name=return` stops whoever comes there for ever, and [`died`] tells a test to take the
//! rest of the worker away. Several are separated by semicolons.

#[cfg(feature = "failpoints")]
use std::sync::atomic::{AtomicU64, Ordering};

/// Declares the points with their names, so that none can be missing in the list.
macro_rules! points {
    ($($(#[$about:meta])* $point:ident = $name:literal,)*) => {
        /// A place between two effects.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$about])* $point,)*
        }

        #[cfg(feature = "failpoints")]
        impl Point {
            /// Every place there is.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            /// The name under which it is set.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }

            /// How often anybody has come there since the process began.
            pub fn hits(self) -> u64 {
                HITS.get(self as usize).map_or(0, |hits| hits.load(Ordering::SeqCst))
            }
        }

        #[cfg(feature = "failpoints")]
        static HITS: [AtomicU64; Point::ALL.len()] =
            [const { AtomicU64::new(0) }; Point::ALL.len()];
    };
}

points! {
    /// A row is leased to us, and nothing was done about it.
    AfterClaim = "relay::after_claim",
    /// The row says what is about to be sent.
    AfterRequest = "relay::after_request",
    /// The gateway has answered a call, and nothing is written down: the worst moment.
    AfterAnswer = "relay::after_answer",
    /// The gateway has answered a question, and nothing is written down.
    AfterLookUp = "relay::after_look_up",
    /// It was decided to put the row off.
    BeforePutOff = "relay::before_put_off",
    /// The row was put off.
    AfterPutOff = "relay::after_put_off",
    /// The row holds what came of it, and the recurring key is kept.
    AfterOutcome = "relay::after_outcome",
    /// The aggregate was told.
    AfterTelling = "relay::after_telling",
    /// The row has left the outbox.
    AfterFinish = "relay::after_finish",
    /// A reaction has sent one command of an event's.
    AfterCommand = "reactions::after_command",
    /// A reaction has handled an event, and its checkpoint does not say so.
    BeforeCheckpoint = "reactions::before_checkpoint",
    /// The checkpoint says so.
    AfterCheckpoint = "reactions::after_checkpoint",
    /// A reaction has written its rows and moved its checkpoint, and committed neither.
    BeforeFoldCommit = "reactions::before_fold_commit",
    /// Both are committed.
    AfterFoldCommit = "reactions::after_fold_commit",
}

#[cfg(feature = "failpoints")]
static DIED: tokio::sync::Notify = tokio::sync::Notify::const_new();

/// Goes on unless `point` is set; then whoever is here stays for ever.
#[cfg(feature = "failpoints")]
pub(crate) async fn reach(point: Point) {
    if let Some(hits) = HITS.get(point as usize) {
        hits.fetch_add(1, Ordering::SeqCst);
    }
    if fail::eval(point.name(), |_argument| ()).is_some() {
        DIED.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Nothing: this build has no points.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn reach(_point: Point) -> std::future::Ready<()> {
    std::future::ready(())
}

/// Ends when somebody was stopped at a point.
#[cfg(feature = "failpoints")]
pub async fn died() {
    DIED.notified().await;
}

/// Sets the points that `script` names; for `main` and for tests.
///
/// # Errors
/// An entry that is not `name=action`, or a name that is no point's.
#[cfg(feature = "failpoints")]
pub fn configure(script: &str) -> Result<(), String> {
    for entry in script.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, action) = entry.split_once('=').ok_or_else(|| format!("{entry}: no action"))?;
        if !Point::ALL.iter().any(|point| point.name() == name) {
            return Err(format!("{name}: no such failpoint"));
        }
        match action {
            "abort" => fail::cfg_callback(name, || std::process::abort())?,
            other => fail::cfg(name, other)?,
        }
    }
    Ok(())
}
