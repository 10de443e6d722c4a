//! The suite, and who is held to it.

use crate::subject::{Stores, server};
use crate::{admins, events, keys, names, sessions};

#[tokio::test(flavor = "multi_thread")]
async fn users_in_memory_conform() {
    conformance(async || Stores::in_memory().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_in_sqlite_conform() {
    conformance(async || Stores::in_file().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_in_postgres_conform() {
    let Some(server) = server() else { return };
    conformance(async || Stores::in_database(server).await).await;
}

async fn conformance(fresh: impl AsyncFn() -> Stores) {
    names::of_many_who_want_one_name_one_gets_it(fresh().await).await;
    names::an_address_is_unique_whatever_its_case(fresh().await).await;
    names::a_name_that_was_given_up_is_free(fresh().await).await;
    names::users_are_found_by_name_and_by_address(fresh().await).await;
    names::users_are_listed_by_name_in_pages(fresh().await).await;
    names::of_many_who_change_one_version_one_does(fresh().await).await;
    names::a_change_that_changes_nothing_makes_no_version(fresh().await).await;
    names::what_is_said_about_a_user_comes_back(fresh().await).await;
    admins::the_last_administrator_stays(fresh().await).await;
    admins::of_two_administrators_who_leave_together_one_stays(fresh().await).await;
    admins::the_setup_token_makes_one_administrator(fresh().await).await;
    admins::the_epoch_moves_when_something_is_taken_away(fresh().await).await;
    admins::users_without_a_role_are_counted_as_far_as_is_asked(fresh().await).await;
    admins::what_has_changed_is_told_by_who_and_which(fresh().await).await;
    sessions::a_refresh_token_is_exchanged_once(fresh().await).await;
    sessions::of_many_who_exchange_one_token_one_wins_and_the_session_ends(fresh().await).await;
    sessions::a_session_ends_with_its_time_and_with_its_user(fresh().await).await;
    sessions::a_password_ends_all_sessions_but_one(fresh().await).await;
    sessions::a_password_that_was_changed_begins_no_session(fresh().await).await;
    sessions::with_one_session_too_many_the_oldest_ends(fresh().await).await;
    sessions::who_is_deleted_leaves_no_row(fresh().await).await;
    keys::a_key_is_good_until_it_ends(fresh().await).await;
    keys::keys_are_bounded_and_their_names_unique(fresh().await).await;
    keys::of_servers_that_come_together_one_adds_the_signing_key(fresh().await).await;
    events::events_come_back_in_their_order(fresh().await).await;
    events::whoever_read_up_to_an_event_missed_none_before_it(fresh().await).await;
    events::events_that_are_too_old_go(fresh().await).await;
}
