//! What the programs about the wire share: a load that costs little to make, the servers that it is put on, each a process of
//! its own, and the rounds in which they take turns.
//!
//! [`load`] keeps calls in flight over connections that [`frames`] speaks, with the [`headers`] of a call, some of them in
//! the code of [`huffman`]; a [`way`] leads there, maybe through [`tls`], and shows which of the [`people`] calls;
//! [`servers`] starts Amadeus, etcd, and the [`ready_made`] tonic server; [`rounds`] asks one after the other and tells what
//! each did in a second, and in a second of its processor; [`graph`] and [`etcd`] have what is asked.

#![allow(dead_code, reason = "each program here uses a part of it")]

pub mod etcd;
pub mod frames;
pub mod graph;
pub mod headers;
pub mod huffman;
pub mod load;
pub mod people;
pub mod ready_made;
pub mod rounds;
pub mod servers;
pub mod tls;
pub mod way;
