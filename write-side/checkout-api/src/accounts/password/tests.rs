//! The rule, the hash, its threads, and the places of its queue.

use std::fs;

use super::threads::THREAD_NAME;
use super::*;

fn password() -> Password {
    Password::parse("correct-horse-1!").unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_rule_asks_for_length_a_letter_a_digit_and_a_sign() {
    for good in
        ["correct-horse-1!", "비밀번호입니다-1", "a1!aaaaa", &format!("a1!{}", "x".repeat(61))]
    {
        assert!(Password::parse(good).is_ok(), "{good}");
    }
    let long = format!("a1!{}", "x".repeat(62));
    for weak in ["", "a1!", "aaaaaaa!", "1111111!", "aaaaaaa1", "a1!aaaa\0", "a1!aaaa\n", &long] {
        assert_eq!(Password::parse(weak).unwrap_err(), WeakPassword, "{weak:?}");
    }
}

#[tokio::test]
async fn a_hash_knows_its_password_and_no_other() {
    let hashes = PasswordHashes::new(2).await.unwrap();
    let stored = hashes.hash(hashes.enter(None).unwrap(), password()).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
    let is_right = async |raw: &str, stored: Option<&str>| {
        let place = hashes.enter(None).unwrap();
        hashes.is_right(place, Secret::from(raw), stored.map(str::to_owned)).await.unwrap()
    };
    assert!(is_right("correct-horse-1!", Some(&stored)).await);
    assert!(!is_right("correct-horse-2!", Some(&stored)).await);
    assert!(!is_right(&"x".repeat(100_000), Some(&stored)).await);
    assert!(!is_right("", Some(&stored)).await);
    assert!(!is_right("correct-horse-1!", None).await);
}

/// On the blocking threads of the runtime, which have nice 0, wrong passwords without end raised the
/// p99 of a product page from 2 to 28 ms.
#[tokio::test]
async fn a_hash_is_made_by_a_thread_of_the_lowest_priority() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    hashes.hash(hashes.enter(None).unwrap(), password()).await.unwrap();
    // Here and nowhere else is hashed: with one turn there is one thread.
    let here = hashes.threads.run(|| fs::read_to_string("/proc/thread-self/stat").unwrap());
    let stat = here.await.unwrap();
    let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
    assert_eq!(name, THREAD_NAME);
    // `man 5 proc_pid_stat`: nice is the 19th field, the 17th after the name.
    assert_eq!(fields.split_whitespace().nth(16), Some("19"), "{stat}");
    // The threads that answer shoppers keep theirs.
    let own = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let own_nice = own.rsplit_once(')').unwrap().1.split_whitespace().nth(16);
    assert_ne!(own_nice, Some("19"), "{own}");
}

#[tokio::test]
async fn a_panic_leaves_the_thread_and_its_turn() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    let panicked: Option<()> = hashes.threads.run(|| panic!("as a test wants it")).await;
    assert_eq!(panicked, None);
    hashes.hash(hashes.enter(None).unwrap(), password()).await.unwrap();
}

#[tokio::test]
async fn a_request_without_a_place_is_refused() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    let _all = hashes.places.try_acquire_many(u32::try_from(PLACES_PER_TURN).unwrap()).unwrap();
    assert!(matches!(hashes.enter(None), Err(HashError::Busy)));
}

/// One address took all places, and every other was refused with 503.
#[tokio::test]
async fn an_address_has_two_places_and_leaves_the_others_to_others() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    let flood: Vec<_> = (0..100).map(|_| hashes.enter(Some(address("203.0.113.7")))).collect();
    assert_eq!(flood.iter().filter(|place| place.is_ok()).count(), PLACES_PER_ADDRESS);
    assert!(
        flood
            .iter()
            .filter_map(|it| it.as_ref().err())
            .all(|error| { matches!(error, HashError::AddressBusy) })
    );
    hashes.enter(Some(address("203.0.113.8"))).unwrap();
    drop(flood);
    hashes.enter(Some(address("203.0.113.7"))).unwrap();
}

#[tokio::test]
async fn a_site_with_many_addresses_leaves_places_too() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    let flood: Vec<_> =
        (0..100).map(|it| hashes.enter(Some(address(&format!("2001:db8:0:{it:x}::1"))))).collect();
    assert_eq!(flood.iter().filter(|place| place.is_ok()).count(), PLACES_PER_NETWORK);
    hashes.enter(Some(address("2001:db8:1::1"))).unwrap();
}

/// With the three seconds of before, clients were hashed for that had left.
#[tokio::test]
async fn a_turn_is_waited_for_a_second_at_most() {
    let hashes = PasswordHashes::new(1).await.unwrap();
    let _busy = hashes.turns.try_acquire().unwrap();
    let begun = std::time::Instant::now();
    let refused = hashes.hash(hashes.enter(None).unwrap(), password()).await;
    assert!(matches!(refused, Err(HashError::Busy)));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
