//! In the place of the client where vouch is built without the feature `fleet`: there is no connection, and no configuration
//! that asks for one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use vouch_protocol::secret::Secret;

use super::exchange::{Driver, Put, Write};
use super::key::Name;
use super::wrong::{Step, Wrong};
use crate::wire::Stream;

#[derive(Clone)]
pub(super) struct Connection(Infallible);

impl Connection {
    pub(super) async fn open(
        _: Stream,
        _: Option<&str>,
        _: Option<&Secret<[u8]>>,
        _: Arc<Notify>,
    ) -> Result<(Self, Driver), Wrong> {
        Err(Wrong::Strange(Step::SignIn))
    }

    pub(super) async fn knows_commands(&mut self) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn announce(&mut self) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn hear(&mut self) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn is_store(&mut self) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn get(&mut self, _: &Name) -> Result<Option<(Vec<u8>, i64)>, Wrong> {
        match self.0 {}
    }

    pub(super) async fn write(&mut self, _: &[Write]) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn put(&mut self, _: &[Put]) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn tell(&mut self, _: &Name, _: usize, _: &[u8], _: Duration) -> Result<(), Wrong> {
        match self.0 {}
    }

    pub(super) async fn count(&mut self, _: &[String; 2]) -> Result<u64, Wrong> {
        match self.0 {}
    }

    pub(super) async fn replace(&mut self, _: &Name, _: &[u8], _: &[u8], _: Duration) -> Result<bool, Wrong> {
        match self.0 {}
    }

    pub(super) async fn claim(&mut self, _: &Name, _: Duration) -> Result<bool, Wrong> {
        match self.0 {}
    }
}

pub(super) async fn primary(
    _: Stream,
    _: &str,
    _: Option<&str>,
    _: Option<&Secret<[u8]>>,
) -> Result<Option<(String, u16)>, Wrong> {
    Err(Wrong::Strange(Step::Primary))
}
