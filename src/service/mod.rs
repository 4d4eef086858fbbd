//! What an init system and the kernel give us, sockets, signals, descriptors; and what
//! we give up.

pub mod activation;
pub mod bind;
pub mod bound_path;
pub mod dovecot;
pub mod folder_lock;
pub mod landlock;
pub mod limits;
pub mod notify;
pub mod privilege;
pub mod signals;
pub mod user;
