//! A log that was set back: a failover to a copy that lacked the last events, or a restore to an
//! earlier moment. A process that lives on remembers events that the log does not hold, and the
//! stream may have grown since, to the remembered version or past it, with other events.
//!
//! Every use of a remembered state compares the last event it knows with the log: without the
//! comparison in `tails.sql` the tail is folded onto a history that never was (seen so), and without
//! the one in `append_events_after` and `append_pack_after` an equal number passes for an equal
//! history (seen so).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod support;

use std::sync::Arc;

use contracts::{CartKey, CartKind, ItemId, UserId};
use domain::Principal;
use domain::cart::{AddItem, Cart, CartCommand, CartRefusal};
use event_store::{CommandContext, DispatchError, Executor, PgEventStore, StoreSizes};
use service_kit::config::Secret;
use support::{PATIENT, metadata};
use testkit::TestDatabase;
use tokio::task::JoinSet;
use uuid::Uuid;

const KIM: UserId = UserId::new(Uuid::from_u128(1));
const KEPT: u128 = 1;
/// In the cart of the older log only.
const LOST: u128 = 2;
/// Put in after the log was set back.
const LATER: [u128; 3] = [3, 4, 5];

struct World {
    database: TestDatabase,
    store: Arc<PgEventStore>,
    /// Remembers what the log lost.
    here: Executor<Cart>,
}

impl World {
    async fn new(sizes: StoreSizes) -> Self {
        let database = TestDatabase::fresh().await;
        let store = PgEventStore::open(&Secret::new(database.url.clone()), sizes).unwrap();
        let here = Executor::new(Arc::clone(&store), PATIENT);
        Self { database, store, here }
    }

    /// Both ways on which appends reach the log: in packs, and each by itself.
    async fn both() -> [Self; 2] {
        let alone = StoreSizes { lanes: 0, ..StoreSizes::default() };
        [Self::new(StoreSizes::default()).await, Self::new(alone).await]
    }

    /// Fills `carts` with two lines, takes the log back to the first one, and puts `later` lines in
    /// from elsewhere.
    async fn set_back(&self, carts: &[Uuid], later: usize) {
        for cart in carts {
            dispatch(&self.here, *cart, add(KEPT)).await.unwrap();
            dispatch(&self.here, *cart, add(LOST)).await.unwrap();
        }
        // Positions are handed out again, too: a copy's counter is as old as the copy.
        let set_back = "alter table events disable trigger events_are_for_ever;
                        delete from events where sequence = 2;
                        alter table events enable trigger events_are_for_ever;
                        select setval('event_position', (select max(position) from events))";
        self.database.client().await.batch_execute(set_back).await.unwrap();
        let there = Executor::new(Arc::clone(&self.store), PATIENT);
        for cart in carts {
            for item in LATER.iter().take(later) {
                dispatch(&there, *cart, add(*item)).await.unwrap();
            }
        }
    }

    /// What the log has of `cart`, by a process that remembers nothing.
    async fn in_log(&self, cart: Uuid) -> (u64, Vec<u128>) {
        let loaded = Executor::<Cart>::new(Arc::clone(&self.store), PATIENT).load(cart).await;
        let loaded = loaded.unwrap();
        (loaded.version, items(&loaded.state))
    }
}

const fn key() -> CartKey {
    CartKey { user_id: KIM, kind: CartKind::OneOff }
}

fn add(item: u128) -> CartCommand {
    let item = AddItem {
        item_id: ItemId::new(Uuid::from_u128(item)),
        item_name: "홍삼".to_owned().try_into().unwrap(),
        quantity: 1.try_into().unwrap(),
        period: None,
        unit_price: 9_000.try_into().unwrap(),
        on_sale: true,
    };
    CartCommand::AddItem { by: Principal::System, cart: key(), item }
}

fn change_lost() -> CartCommand {
    CartCommand::ChangeQuantity {
        by: Principal::System,
        cart: key(),
        item_id: ItemId::new(Uuid::from_u128(LOST)),
        quantity: 7.try_into().unwrap(),
    }
}

async fn dispatch(
    executor: &Executor<Cart>,
    cart: Uuid,
    command: CartCommand,
) -> Result<(u64, Vec<u128>), DispatchError<CartRefusal>> {
    let recorded = executor.dispatch(cart, command, CommandContext::new(metadata())).await?;
    Ok((recorded.version, items(&recorded.state)))
}

fn items(cart: &Cart) -> Vec<u128> {
    cart.lines().iter().map(|line| line.item_id.uuid().as_u128()).collect()
}

fn carts(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::now_v7()).collect()
}

/// Today's answer without the proof: 200, and `CartQuantityChanged` for an item that the log never
/// held.
async fn a_lost_line_cannot_be_changed(later: usize) {
    for world in World::both().await {
        let cart = Uuid::now_v7();
        world.set_back(&[cart], later).await;

        let changed = dispatch(&world.here, cart, change_lost()).await;

        assert!(
            matches!(changed, Err(DispatchError::Refused(CartRefusal::NoSuchLine))),
            "{changed:?}"
        );
        assert_eq!(world.in_log(cart).await.0, 1 + later as u64);
    }
}

#[tokio::test]
async fn a_memory_that_the_log_lost_and_did_not_replace() {
    a_lost_line_cannot_be_changed(0).await;
}

#[tokio::test]
async fn a_memory_of_the_same_version_and_another_history() {
    a_lost_line_cannot_be_changed(1).await;
}

#[tokio::test]
async fn a_memory_that_the_log_has_grown_past() {
    a_lost_line_cannot_be_changed(2).await;
}

#[tokio::test]
async fn what_is_answered_from_memory_is_in_the_log() {
    for later in 0..=LATER.len() {
        for world in World::both().await {
            let cart = Uuid::now_v7();
            world.set_back(&[cart], later).await;

            let answered = world.here.load_at_least(cart, 1).await.unwrap();

            let expected = world.in_log(cart).await;
            assert_eq!((answered.version, items(&answered.state)), expected, "{later} later");
        }
    }
}

/// Commands that follow from an event come with its version and are caught up at once.
#[tokio::test]
async fn what_is_caught_up_is_in_the_log() {
    for world in World::both().await {
        let cart = Uuid::now_v7();
        world.set_back(&[cart], 2).await;

        let context = CommandContext::new(metadata()).knowing(3);
        let recorded = world.here.dispatch(cart, add(9), context).await.unwrap();

        assert_eq!((recorded.version, items(&recorded.state)), (4, vec![KEPT, 3, 4, 9]));
        assert_eq!(world.in_log(cart).await, (4, vec![KEPT, 3, 4, 9]));
    }
}

/// In a batch each command is proven by itself: half of the carts lost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_memories_of_which_half_are_in_the_log() {
    const EACH: usize = 30;
    for world in World::both().await {
        let (lost, intact) = (carts(EACH), carts(EACH));
        world.set_back(&lost, 1).await;
        for cart in &intact {
            dispatch(&world.here, *cart, add(KEPT)).await.unwrap();
            dispatch(&world.here, *cart, add(3)).await.unwrap();
        }

        let mut batch = JoinSet::new();
        for cart in lost.iter().chain(&intact).copied() {
            let here = world.here.clone();
            batch.spawn(async move { dispatch(&here, cart, add(9)).await });
        }

        for outcome in batch.join_all().await {
            assert_eq!(outcome.unwrap(), (3, vec![KEPT, 3, 9]));
        }
        for cart in lost.iter().chain(&intact) {
            assert_eq!(world.in_log(*cart).await, (3, vec![KEPT, 3, 9]));
        }
    }
}
