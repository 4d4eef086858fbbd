//! What an init system and the kernel give us: sockets, signals, descriptors.

pub mod activation;
pub mod dovecot;
pub mod limits;
pub mod signals;
