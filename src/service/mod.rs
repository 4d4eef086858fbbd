//! What an init system and the kernel give us: sockets, signals, descriptors.

pub mod activation;
pub mod bind;
pub mod dovecot;
pub mod limits;
pub mod signals;
pub mod user;
