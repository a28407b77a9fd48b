//! Given, when, then: what the user decides.

use contracts::Claim;
use contracts::events::Role;

use super::{
    CLAIM_DISPLAY_NAME, CLAIM_EMAIL, CLAIM_PHONE, RegisterUser, UniquePhone, User, UserCommand,
    UserRefusal,
};
use crate::fixtures::{kim, minute, sealed, when};
use crate::kernel::EventSourced;

fn register(email_digest: &str, phone: Option<UniquePhone>) -> UserCommand {
    UserCommand::RegisterUser(Box::new(RegisterUser {
        user_id: kim(),
        email: sealed("e-mail"),
        email_digest: email_digest.to_owned(),
        display_name: sealed("name"),
        display_name_digest: "name digest".to_owned(),
        phone,
        role: Role::User,
        at: minute(0),
    }))
}

fn take(kind: &'static str, name: &str) -> Claim {
    Claim::Take { kind, name: name.to_owned() }
}

#[test]
fn signing_up_claims_the_names_that_are_ones_own() {
    let mut user = User::default();
    let phone = UniquePhone { sealed: sealed("phone"), digest: "phone digest".to_owned() };
    let events = when(&mut user, register("e-mail digest", Some(phone)));
    assert_eq!(
        User::claims(&events[0]),
        [
            take(CLAIM_EMAIL, "e-mail digest"),
            take(CLAIM_DISPLAY_NAME, "name digest"),
            take(CLAIM_PHONE, "phone digest"),
        ]
    );
    assert_eq!(user.registered().unwrap().role, Role::User);
    let without = User::default().decide(register("e-mail digest", None)).unwrap();
    assert_eq!(User::claims(&without[0]).len(), 2);
}

#[test]
fn the_same_sign_up_again_is_no_second_one() {
    let mut user = User::default();
    when(&mut user, register("e-mail digest", None));
    assert_eq!(user.decide(register("e-mail digest", None)), Ok(vec![]));
    assert_eq!(user.decide(register("another", None)), Err(UserRefusal::AlreadyRegistered));
}
