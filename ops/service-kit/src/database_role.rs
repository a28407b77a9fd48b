//! The role that a process logs in with: never one that could change the log.
//!
//! The append-only trigger and the grants bind every role but the owner of `events` and superusers,
//! so a process that logs in as one of them has no protection left.

use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::config::Secret;
use crate::pools::{self, PoolError, PoolSettings};
use crate::shutdown::Shutdown;

/// Pause before an unavailable database is asked again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Who this session is, and whether it could change the log.
const ROLE: &str = "select current_user::text, r.rolsuper or coalesce( \
     (select pg_has_role(c.relowner, 'member') from pg_class c \
      where c.oid = to_regclass('public.events')), false) \
     from pg_roles r where r.rolname = current_user";

/// Why a process does not go on with its login.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// The URL cannot be read.
    #[error("set up connections")]
    Pool(#[from] PoolError),
    /// It could change the log.
    #[error(
        "DATABASE_URL logs in as {user}, a superuser or an owner of the log; \
         expected the login of this process (ops/runbooks/database-roles.md)"
    )]
    OwnsLog {
        /// The login role.
        user: String,
    },
}

/// Refuses a login that could change the log, as soon as the database can be asked, unless the
/// process `may_own_database`. Returns at `shutdown`.
///
/// # Errors
/// [`RoleError`]; an unavailable database is none.
pub async fn refuse_owner(
    may_own_database: bool,
    url: Secret,
    shutdown: Shutdown,
) -> Result<(), RoleError> {
    if may_own_database {
        return Ok(());
    }
    let settings = PoolSettings { size_max: 1, ..PoolSettings::named("role-check") };
    let pool = pools::postgres(&url, &settings)?;
    while !shutdown.is_requested() {
        if let Ok(client) = pool.get().await
            && let Ok(row) = client.query_one(ROLE, &[]).await
        {
            let (user, owns_log): (String, bool) = (row.get(0), row.get(1));
            return if owns_log { Err(RoleError::OwnsLog { user }) } else { Ok(()) };
        }
        tokio::select! {
            () = shutdown.requested() => {}
            () = SystemClock.sleep(RETRY_PAUSE) => {}
        }
    }
    Ok(())
}
