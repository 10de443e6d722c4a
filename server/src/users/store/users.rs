//! Users in the store.

use ring::rand::{SecureRandom as _, SystemRandom};

use super::super::changed::Changed;
use super::super::error::UserError;
use super::super::json;
use super::super::names::{Email, Username, fold};
use super::super::rows::{Row, Tx, Work, hash, values};
use super::super::secret::{PasswordHash, SecretHash};
use super::super::session::SessionId;
use super::super::user::{Credential, NewUser, Profile, User, UserChange, UserFilter, UserStatus};
use super::sessions::end_all;
use super::{UserStore, each, has_admin, kept};
use crate::auth::{Grant, Role, UserId};

/// Grants that one user may have. All of them are looked through at every call of theirs.
pub const GRANTS: usize = 100;

/// The columns of a user, in the order of [`user`], and a statement that begins with them.
macro_rules! select_users {
    ($rest:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.status, u.grants, u.profile, u.version, u.created_ms, u.updated_ms ",
            $rest
        )
    };
}
pub(in super::super) use select_users;

/// How many columns [`user`] reads.
pub(in super::super) const USER_COLUMNS: usize = 9;

impl UserStore {
    /// Creates a user. With the hash of a setup token: the first administrator, if it is the one that was offered.
    ///
    /// # Errors
    /// [`UserError`]: `AlreadyExists`, `SetupToken`, `TooMany`.
    pub async fn create(
        &self,
        new: NewUser,
        now_ms: u64,
        setup: Option<&SecretHash>,
    ) -> Result<User, UserError> {
        let setup = setup.copied();
        let work: Work<User> = Box::new(move |tx| {
            Box::pin(async move {
                let mut grants = new.grants;
                if let Some(token) = setup {
                    take_setup(tx, &token).await?;
                    grants.push(Grant::everywhere(Role::Admin));
                }
                let user = User {
                    id: new_id()?,
                    username: new.username.as_str().to_owned(),
                    email: new
                        .email
                        .map_or_else(String::new, |email| email.as_str().to_owned()),
                    status: new.status,
                    grants: in_order(grants)?,
                    profile: new.profile,
                    version: 1,
                    created_ms: now_ms,
                    updated_ms: now_ms,
                };
                check_unique(tx, &user).await?;
                insert(tx, &user, new.password.as_ref()).await?;
                Ok(user)
            })
        });
        // Nobody can have a copy of somebody who was not there.
        self.0.rows.write(work).await
    }

    /// A cheap look before a costly hash; only [`create`](Self::create) decides.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn is_taken(
        &self,
        username: &Username,
        email: Option<&Email>,
    ) -> Result<bool, UserError> {
        let sql = "SELECT id FROM amadeus_users WHERE folded = $1 OR email_folded = $2 LIMIT 1";
        let email = email.map(Email::folded);
        let values = values![username.folded(), email.as_deref()];
        Ok(!self.0.rows.read(sql, values).await?.is_empty())
    }

    /// Whether at least so many users have no role. Looks at as many entries of an index, and locks nothing, so of many
    /// who ask at once some may come too late.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn are_without_role(&self, many: usize) -> Result<bool, UserError> {
        let sql = "SELECT id FROM amadeus_users WHERE roles = ',' LIMIT 1 OFFSET $1";
        let before = many.saturating_sub(1);
        let found = self.0.rows.read(sql, values![before]).await?;
        Ok(many == 0 || !found.is_empty())
    }

    /// A user, from the cache if there is one.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn user(&self, id: &UserId) -> Result<Option<User>, UserError> {
        self.0.copies.user(&self.0.rows, id).await
    }

    /// A user by name, whatever its case; from the cache if there is one.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn user_by_username(&self, username: &str) -> Result<Option<User>, UserError> {
        self.0
            .copies
            .user_by_name(&self.0.rows, &fold(username))
            .await
    }

    /// A user by name or e-mail address, and by what they prove who they are.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn credential(&self, name_or_email: &str) -> Result<Option<Credential>, UserError> {
        let sql = if name_or_email.contains('@') {
            select_users!(", u.password FROM amadeus_users u WHERE u.email_folded = $1")
        } else {
            select_users!(", u.password FROM amadeus_users u WHERE u.folded = $1")
        };
        self.one_credential(sql, &fold(name_or_email)).await
    }

    /// A user, and by what they prove who they are.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn credential_of(&self, id: &UserId) -> Result<Option<Credential>, UserError> {
        let sql = select_users!(", u.password FROM amadeus_users u WHERE u.id = $1");
        self.one_credential(sql, &id.0).await
    }

    async fn one_credential(
        &self,
        sql: &'static str,
        value: &str,
    ) -> Result<Option<Credential>, UserError> {
        let rows = self.0.rows.read(sql, values![value]).await?;
        let credential = |row: &Row| {
            Ok(Credential {
                user: user(row, 0)?,
                password: row.maybe_text(USER_COLUMNS)?.map(PasswordHash::new),
            })
        };
        rows.first().map(credential).transpose()
    }

    /// Changes the name, the address or the status. Who is disabled has no session left.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, `VersionMismatch`, `AlreadyExists`, `LastAdmin`.
    pub async fn update(
        &self,
        id: &UserId,
        expected: Option<u64>,
        change: UserChange,
        now_ms: u64,
    ) -> Result<User, UserError> {
        self.edit(id, expected, now_ms, move |user| {
            if let Some(username) = change.username {
                user.username = username.as_str().to_owned();
            }
            if let Some(email) = change.email {
                user.email = email.map_or_else(String::new, |email| email.as_str().to_owned());
            }
            user.status = change.status.unwrap_or(user.status);
            Ok(())
        })
        .await
    }

    /// Changes what is said about a user.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, `VersionMismatch`.
    pub async fn update_profile(
        &self,
        id: &UserId,
        expected: Option<u64>,
        profile: Profile,
        now_ms: u64,
    ) -> Result<User, UserError> {
        self.edit(id, expected, now_ms, move |user| {
            user.profile = profile;
            Ok(())
        })
        .await
    }

    /// Gives a role. Who has it already keeps it.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, `VersionMismatch`, `TooMany`.
    pub async fn assign_role(
        &self,
        id: &UserId,
        expected: Option<u64>,
        grant: Grant,
        now_ms: u64,
    ) -> Result<User, UserError> {
        self.edit(id, expected, now_ms, move |user| {
            let mut grants = std::mem::take(&mut user.grants);
            grants.push(grant);
            user.grants = in_order(grants)?;
            Ok(())
        })
        .await
    }

    /// Takes a role away.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, also of the role; `VersionMismatch`, `LastAdmin`.
    pub async fn remove_role(
        &self,
        id: &UserId,
        expected: Option<u64>,
        grant: Grant,
        now_ms: u64,
    ) -> Result<User, UserError> {
        self.edit(id, expected, now_ms, move |user| {
            let place = user.grants.iter().position(|held| *held == grant);
            let missing = || {
                UserError::NotFound(format!(
                    "the role {} of {}",
                    grant.role.name(),
                    user.username
                ))
            };
            let place = place.ok_or_else(missing)?;
            user.grants.remove(place);
            Ok(())
        })
        .await
    }

    /// Deletes a user, with all sessions and keys. Returns who it was.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`, `VersionMismatch`, `LastAdmin`.
    pub async fn delete(&self, id: &UserId, expected: Option<u64>) -> Result<User, UserError> {
        let who = id.clone();
        let work: Work<User> = Box::new(move |tx| {
            Box::pin(async move {
                let user = standing(tx, &who, expected).await?;
                if user.is_active_admin() {
                    check_another_admin(tx, &user.id).await?;
                }
                // Sessions and keys go with their user: the schema says so.
                tx.run(
                    "DELETE FROM amadeus_users WHERE id = $1",
                    values![&*user.id.0],
                )
                .await?;
                tx.move_epoch(&Changed::User(user.id.clone())).await?;
                Ok(user)
            })
        });
        self.change(id, work).await
    }

    /// Sets a password, and ends all sessions but one. Returns how many were ended.
    ///
    /// # Errors
    /// [`UserError`]: `NotFound`.
    pub async fn set_password(
        &self,
        id: &UserId,
        password: PasswordHash,
        keep: Option<&SessionId>,
        now_ms: u64,
    ) -> Result<u32, UserError> {
        let (who, keep) = (id.clone(), keep.cloned());
        let work: Work<u32> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE amadeus_users SET password = $2, version = version + 1, updated_ms = $3 WHERE id = $1";
                let changed = tx
                    .run(sql, values![&*who.0, password.expose(), now_ms])
                    .await?;
                if changed == 0 {
                    return Err(no_user(&who));
                }
                let ended = end_all(tx, &who, keep.as_ref(), now_ms).await?;
                tx.move_epoch(&Changed::User(who)).await?;
                Ok(ended)
            })
        });
        self.change(id, work).await
    }

    /// Replaces the hash of a password by another one of the same password, if it still stands. Nobody notices: whoever is
    /// signed in stays so, and the version stays. Whether it still stood.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn replace_hash(
        &self,
        id: &UserId,
        before: &PasswordHash,
        after: PasswordHash,
    ) -> Result<bool, UserError> {
        let (who, before) = (id.clone(), before.clone());
        let work: Work<bool> = Box::new(move |tx| {
            Box::pin(async move {
                let sql = "UPDATE amadeus_users SET password = $3 WHERE id = $1 AND password = $2";
                let values = values![&*who.0, before.expose(), after.expose()];
                Ok(tx.run(sql, values).await? > 0)
            })
        });
        self.0.rows.write(work).await
    }

    /// Users by name, after the name `after`; and how many there are on all pages together.
    ///
    /// # Errors
    /// [`UserError`].
    pub async fn list(
        &self,
        filter: &UserFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<User>, u32), UserError> {
        let from = fold(&filter.prefix);
        // Names are of ASCII, and none of it comes behind this.
        let until = format!("{from}\u{7f}");
        let status = filter.status.map_or("", UserStatus::name);
        let role = filter
            .role
            .map_or_else(|| "%".to_owned(), |role| format!("%,{},%", role.name()));
        let matching = values![from, until, status, role];
        let sql = "SELECT COUNT(*) FROM amadeus_users u WHERE u.folded >= $1 AND u.folded < $2 \
            AND ($3 = '' OR u.status = $3) AND u.roles LIKE $4";
        let counted = self.0.rows.read(sql, matching.clone()).await?;
        let total = counted.first().map(|row| row.number(0)).transpose()?;
        let sql = select_users!(
            "FROM amadeus_users u WHERE u.folded >= $1 AND u.folded < $2 \
            AND ($3 = '' OR u.status = $3) AND u.roles LIKE $4 AND u.folded > $5 ORDER BY u.folded LIMIT $6"
        );
        let mut of_page = matching;
        of_page.extend(values![fold(after.unwrap_or_default()), limit]);
        let rows = self.0.rows.read(sql, of_page).await?;
        let users = each(&rows, |row| user(row, 0))?;
        Ok((
            users,
            u32::try_from(total.unwrap_or_default()).unwrap_or(u32::MAX),
        ))
    }

    /// Changes a user by a function, and does what follows from the change.
    async fn edit(
        &self,
        id: &UserId,
        expected: Option<u64>,
        now_ms: u64,
        edit: impl FnOnce(&mut User) -> Result<(), UserError> + Send + 'static,
    ) -> Result<User, UserError> {
        let who = id.clone();
        let work: Work<User> = Box::new(move |tx| {
            Box::pin(async move {
                let before = standing(tx, &who, expected).await?;
                let mut after = before.clone();
                edit(&mut after)?;
                if after == before {
                    return Ok(before);
                }
                after.version += 1;
                after.updated_ms = now_ms;
                put(tx, &before, &after).await?;
                Ok(after)
            })
        });
        self.change(id, work).await
    }
}

/// Puts a changed user in its place, if it may be so.
async fn put(tx: &mut Tx, before: &User, after: &User) -> Result<(), UserError> {
    check_unique(tx, after).await?;
    if before.is_active_admin() && !after.is_active_admin() {
        check_another_admin(tx, &after.id).await?;
    }
    let sql = "UPDATE amadeus_users SET username = $2, folded = $3, email = $4, email_folded = $5, status = $6, \
        grants = $7, roles = $8, is_admin = $9, profile = $10, version = $11, updated_ms = $12 WHERE id = $1";
    let values = values![
        &*after.id.0,
        &*after.username,
        fold(&after.username),
        &*after.email,
        email_folded(after).as_deref(),
        after.status.name(),
        json::grants(&after.grants),
        roles(after),
        is_admin(after),
        json::profile(&after.profile),
        after.version,
        after.updated_ms,
    ];
    tx.run(sql, values).await?;
    if after.status == UserStatus::Disabled && before.status == UserStatus::Active {
        end_all(tx, &after.id, None, after.updated_ms).await?;
    }
    // By the name records say who it was.
    let remembered = |user: &User| (user.username.clone(), user.status, user.grants.clone());
    if remembered(before) != remembered(after) {
        tx.move_epoch(&Changed::User(after.id.clone())).await?;
    }
    Ok(())
}

async fn insert(
    tx: &mut Tx,
    user: &User,
    password: Option<&PasswordHash>,
) -> Result<(), UserError> {
    let sql = "INSERT INTO amadeus_users (id, username, folded, email, email_folded, status, password, grants, roles, \
        is_admin, profile, version, created_ms, updated_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    let values = values![
        &*user.id.0,
        &*user.username,
        fold(&user.username),
        &*user.email,
        email_folded(user).as_deref(),
        user.status.name(),
        password.map(PasswordHash::expose),
        json::grants(&user.grants),
        roles(user),
        is_admin(user),
        json::profile(&user.profile),
        user.version,
        user.created_ms,
        user.updated_ms,
    ];
    tx.run(sql, values).await.map(drop)
}

/// Uses up the setup token, if it is the one that was offered and there is no administrator yet.
async fn take_setup(tx: &mut Tx, token: &SecretHash) -> Result<(), UserError> {
    let offered = tx
        .one(
            "SELECT setup FROM amadeus_user_state WHERE setup IS NOT NULL",
            Vec::new(),
        )
        .await?;
    let offered = offered.map(|row| hash(&row, 0)).transpose()?;
    if offered.as_ref() != Some(token) || has_admin(tx).await? {
        return Err(UserError::SetupToken);
    }
    tx.run("UPDATE amadeus_user_state SET setup = NULL", Vec::new())
        .await
        .map(drop)
}

/// The user as it stands, if it is of the version that was expected.
async fn standing(tx: &mut Tx, id: &UserId, expected: Option<u64>) -> Result<User, UserError> {
    let sql = select_users!("FROM amadeus_users u WHERE u.id = $1");
    let row = tx.one(sql, values![&*id.0]).await?;
    let user = user(&row.ok_or_else(|| no_user(id))?, 0)?;
    match expected {
        Some(expected) if expected != user.version => Err(UserError::VersionMismatch {
            expected,
            actual: user.version,
        }),
        _ => Ok(user),
    }
}

/// Refuses a name or an address that somebody else has.
async fn check_unique(tx: &mut Tx, user: &User) -> Result<(), UserError> {
    let taken = |field, value: &str| {
        let value = value.to_owned();
        Err(UserError::AlreadyExists { field, value })
    };
    let sql = "SELECT id FROM amadeus_users WHERE folded = $1 AND id <> $2";
    if tx
        .one(sql, values![fold(&user.username), &*user.id.0])
        .await?
        .is_some()
    {
        return taken("username", &user.username);
    }
    let sql = "SELECT id FROM amadeus_users WHERE email_folded = $1 AND id <> $2";
    if !user.email.is_empty()
        && tx
            .one(sql, values![fold(&user.email), &*user.id.0])
            .await?
            .is_some()
    {
        return taken("email", &user.email);
    }
    Ok(())
}

/// Refuses where nobody else may do everything, and sign in.
async fn check_another_admin(tx: &mut Tx, but: &UserId) -> Result<(), UserError> {
    let sql = "SELECT id FROM amadeus_users WHERE is_admin = 1 AND status = 'active' AND id <> $1 LIMIT 1";
    match tx.one(sql, values![&*but.0]).await? {
        Some(_) => Ok(()),
        None => Err(UserError::LastAdmin),
    }
}

/// Grants as they are kept: each once, in their order.
fn in_order(mut grants: Vec<Grant>) -> Result<Vec<Grant>, UserError> {
    grants.sort();
    grants.dedup();
    if grants.len() > GRANTS {
        let count = grants.len();
        return Err(UserError::TooMany(format!(
            "{count} grants, at most {GRANTS} are allowed"
        )));
    }
    Ok(grants)
}

fn email_folded(user: &User) -> Option<String> {
    (!user.email.is_empty()).then(|| fold(&user.email))
}

/// The names of all roles, each between commas.
fn roles(user: &User) -> String {
    let mut roles: Vec<Role> = user.grants.iter().map(|grant| grant.role).collect();
    roles.sort();
    roles.dedup();
    roles
        .iter()
        .fold(",".to_owned(), |all, role| format!("{all}{},", role.name()))
}

fn is_admin(user: &User) -> u64 {
    u64::from(user.grants.contains(&Grant::everywhere(Role::Admin)))
}

pub(super) fn no_user(id: &UserId) -> UserError {
    UserError::NotFound(format!("the user {id}"))
}

/// A user in the columns from `first` on.
pub(in super::super) fn user(row: &Row, first: usize) -> Result<User, UserError> {
    let status = row.text(first + 3)?;
    Ok(User {
        id: UserId(row.text(first)?.into()),
        username: row.text(first + 1)?,
        email: row.text(first + 2)?,
        status: kept("a status", UserStatus::of_name(&status).ok_or(status))?,
        grants: kept(
            "the grants of a user",
            json::grants_of(&row.text(first + 4)?),
        )?,
        profile: kept(
            "the profile of a user",
            json::profile_of(&row.text(first + 5)?),
        )?,
        version: row.number(first + 6)?,
        created_ms: row.number(first + 7)?,
        updated_ms: row.number(first + 8)?,
    })
}

/// An identity that no other user has.
fn new_id() -> Result<UserId, UserError> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| UserError::Unavailable("the system gives no random bytes".into()))?;
    Ok(UserId(
        format!("{:032x}", u128::from_be_bytes(bytes)).into(),
    ))
}
