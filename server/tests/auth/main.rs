//! Signing in, as services and callers meet it: the real service over the real store, in memory and in PostgreSQL.

mod alike;
mod guessing;
mod keys;
mod life;
mod server;
mod servers;
mod setup;
