//! Opens what the processes sealed, however slow the machine is.

use std::time::{Duration, Instant};

use contracts::UserId;
use contracts::personal::Sealed;
use serde::de::DeserializeOwned;
use service_kit::clock::{Clock as _, SystemClock};
use service_kit::vault::{Vault, VaultError};

/// Longest wait for a user's key, and the pause between two tries.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(30);
const OPEN_PAUSE: Duration = Duration::from_millis(200);

/// The value in clear; `None` for a user without a key. The audit's own connections may be slow on a
/// busy machine, which is no finding about the shop: a key that cannot be read is read again.
pub(super) async fn patiently_opened<T: DeserializeOwned>(
    vault: &Vault,
    user: UserId,
    stream: &str,
    field: &str,
    sealed: &Sealed<T>,
) -> Result<Option<T>, VaultError> {
    let begun = Instant::now();
    loop {
        match vault.open(user, stream, field, sealed).await {
            Err(VaultError::Keys(_)) if begun.elapsed() < OPEN_WAIT_MAX => {
                SystemClock.sleep(OPEN_PAUSE).await;
            }
            opened => return opened,
        }
    }
}
