//! Who may run a process.

use std::time::Duration;

use service_kit::config::Secret;
use service_kit::database_role::{RoleError, refuse_owner};
use service_kit::shutdown;
use testkit::{Login, TestDatabase, free_port};

#[tokio::test]
async fn a_login_that_could_change_the_log_is_refused() {
    let database = TestDatabase::fresh().await;
    let check = async |may_own: bool, url: String| {
        let (_trigger, shutdown) = shutdown::pair();
        refuse_owner(may_own, Secret::new(url), shutdown).await
    };
    for owner in [database.url.clone(), database.url_as(Login::Migrator)] {
        let refused = check(false, owner.clone()).await;
        assert!(matches!(refused, Err(RoleError::OwnsLog { .. })), "{refused:?}");
        check(true, owner).await.unwrap();
    }
    for login in [Login::Writer, Login::Worker, Login::Projector, Login::Reader] {
        check(false, database.url_as(login)).await.unwrap();
    }
}

#[tokio::test]
async fn an_unavailable_database_is_waited_for_until_shutdown() {
    let url = Secret::new(format!("postgres://anyone@127.0.0.1:{}/none", free_port()));
    let (trigger, shutdown) = shutdown::pair();
    let check = tokio::spawn(refuse_owner(false, url, shutdown));
    trigger.trigger();
    let ended = tokio::time::timeout(Duration::from_secs(10), check).await.unwrap();
    ended.unwrap().unwrap();
}
