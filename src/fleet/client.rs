//! The few commands that are sent to a store, by the crate `redis` over a stream of ours.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, ServerError,
    Value,
};
use tokio::sync::Notify;
use vouch_protocol::secret::Secret;

use super::bounded::Bounded;
use super::exchange::{Driver, Put, Write};
use super::key::Name;
use super::sign_in::{Identity, sign_in};
use super::wrong::{Step, Wrong};
use crate::wire::Stream;

/// Keeps a no out where the store has a yes whose probe began after the no's own: by the time for which the store still keeps
/// the yes, or by the seconds that both edges have written into their values. One of both is not enough: what was long on its
/// way is older than its times say, and clocks differ. ARGV: the value, for how many milliseconds to keep it, how many
/// milliseconds ago the probe of the no began.
const UNLESS_YES_IS_YOUNGER: &str = "\
local function second(v) \
local a, b, c, d = v:byte(5, 8) return ((a * 256 + b) * 256 + c) * 256 + d end \
local v = redis.call('GET', KEYS[1]) \
if v and #v == 12 then \
local k = v:byte(1) % 16 \
if k == 1 or k == 4 then \
local kept = {RETENTIONS} \
local left = redis.call('PTTL', KEYS[1]) \
if kept[v:byte(4) % 16 + 1] * 1000 - left <= tonumber(ARGV[3]) or second(v) >= second(ARGV[1]) then return 0 end \
end end \
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1";

/// Changes a record if it still ends as it did when it was read; one of another type is none. ARGV: the end that it had,
/// the record, for how many milliseconds to keep it.
const IF_UNCHANGED: &str = "\
local v = redis.pcall('GET', KEYS[1]) \
if type(v) ~= 'string' then v = '' end \
if v:sub(-16) ~= ARGV[1] then return 0 end \
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1";

/// The script, with the times that values are kept for.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    let retentions = super::finding::RETENTIONS.map(|seconds| seconds.to_string());
    UNLESS_YES_IS_YOUNGER.replace("RETENTIONS", &retentions.join(","))
});

/// The channel in which it is announced that something was purged. Of an unknown command a server repeats the arguments, and
/// the client ends a connection on which comes what is no text.
const CHANNEL: &str = "vouch1:purges";

/// All commands that are sent to a store, but those that it knows if it has let us in.
const COMMANDS: [&str; 9] = [
    "GET", "PTTL", "SET", "EVAL", "PFADD", "PFCOUNT", "PEXPIRE", "SETRANGE", "PUBLISH",
];

/// An open connection to a store. Its clones are the same one.
#[derive(Clone)]
pub(super) struct Connection(MultiplexedConnection);

impl Connection {
    /// Introduces us over a stream, and what then reads and writes it. Whatever is announced is noted in `announced`, once
    /// [`Connection::hear`] has asked for that.
    ///
    /// # Errors
    /// The store refuses us, or speaks another protocol.
    pub(super) async fn open(
        stream: Stream,
        user: Option<&str>,
        password: Option<&Secret<[u8]>>,
        announced: Arc<Notify>,
    ) -> Result<(Self, Driver), Wrong> {
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            // The words of the message are of no matter: a store is not believed, but read.
            if push.kind == PushKind::Message {
                announced.notify_one();
            }
            Ok::<(), Infallible>(())
        });
        let (connection, driver) = start(stream, (ProtocolVersion::RESP3, config), user, password).await?;
        Ok((Self(connection), driver))
    }

    /// Whether it has the commands that are sent to it: whoever may use them, their names without arguments are refused for
    /// the want of those.
    ///
    /// # Errors
    /// It lacks one; or the store's.
    pub(super) async fn knows_commands(&mut self) -> Result<(), Wrong> {
        let tried = COMMANDS.map(|command| {
            let mut connection = self.0.clone();
            async move {
                let tried: Result<Value, _> = redis::cmd(command).query_async(&mut connection).await;
                match tried {
                    Ok(_) => Ok(()),
                    Err(error) => match said(&error) {
                        Some(said) if is_unknown(&said) => Err(Wrong::Lacks(command)),
                        Some(_) => Ok(()),
                        None => Err(wrong(Step::Read, &error)),
                    },
                }
            }
        });
        try_join_all(tried).await.map(drop)
    }

    /// Has what other edges announce noted from now on.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn hear(&mut self) -> Result<(), Wrong> {
        let heard = self.0.subscribe(CHANNEL).await;
        heard.map_err(|error| wrong(Step::Announce, &error))
    }

    /// Announces to all edges that there is something to be read.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn announce(&mut self) -> Result<(), Wrong> {
        let mut announce = redis::cmd("PUBLISH");
        let announced: Result<Value, _> = announce.arg(CHANNEL).arg("").query_async(&mut self.0).await;
        announced.map(drop).map_err(|error| wrong(Step::Announce, &error))
    }

    /// Whether it is a store at all, and one that keeps what it is given: it tells that to anybody.
    ///
    /// # Errors
    /// It is a replica, a Sentinel or part of a cluster; or the store's.
    pub(super) async fn is_store(&mut self) -> Result<(), Wrong> {
        let about: Result<HashMap<String, Value>, _> = redis::cmd("HELLO").query_async(&mut self.0).await;
        let about = about.map_err(|error| wrong(Step::SignIn, &error))?;
        let is = |name, word: &str| match about.get(name) {
            Some(Value::BulkString(said)) => said == word.as_bytes(),
            Some(Value::SimpleString(said)) => said == word,
            _ => false,
        };
        match () {
            () if is("mode", "sentinel") => Err(Wrong::Sentinel),
            () if is("mode", "cluster") => Err(Wrong::Cluster),
            () if is("role", "replica") || is("role", "slave") => Err(Wrong::Replica),
            () => Ok(()),
        }
    }

    /// A value, and for how many milliseconds more it is kept.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn get(&mut self, name: &Name) -> Result<Option<(Vec<u8>, i64)>, Wrong> {
        let mut look = redis::pipe();
        look.get(name.bytes()).pttl(name.bytes());
        let looked: Result<(Option<Vec<u8>>, i64), _> = look.query_async(&mut self.0).await;
        match looked {
            Ok((value, left)) => Ok(value.map(|value| (value, left))),
            // A list or the like, which is not ours.
            Err(error) if said(&error).is_some_and(|error| error.code() == "WRONGTYPE") => Ok(None),
            Err(error) => Err(wrong(Step::Read, &error)),
        }
    }

    /// Writes values, in this order.
    ///
    /// # Errors
    /// The first; the others may be written.
    pub(super) async fn write(&mut self, values: &[Write]) -> Result<(), Wrong> {
        let mut write = redis::pipe();
        for Write {
            name,
            value,
            kept,
            gives_way,
        } in values
        {
            let kept = kept.as_millis() as u64;
            match gives_way {
                None => write
                    .cmd("SET")
                    .arg(name.bytes())
                    .arg(value)
                    .arg("PX")
                    .arg(kept)
                    .ignore(),
                Some(age) => write
                    .cmd("EVAL")
                    .arg(&*SCRIPT)
                    .arg(1)
                    .arg(name.bytes())
                    .arg(value)
                    .arg(kept)
                    .arg(age.as_millis() as u64)
                    .ignore(),
            };
        }
        let written: Result<(), _> = write.query_async(&mut self.0).await;
        written.map_err(|error| wrong(Step::Write, &error))
    }

    /// Takes what only one may have, for so long; `false` where another has it.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn claim(&mut self, name: &Name, time: Duration) -> Result<bool, Wrong> {
        let lease = [name.bytes(), &b"r"[..]].concat();
        let mut claim = redis::cmd("SET");
        claim
            .arg(lease)
            .arg("")
            .arg("NX")
            .arg("PX")
            .arg(time.as_millis() as u64);
        let claimed: Result<Option<String>, _> = claim.query_async(&mut self.0).await;
        let claimed = claimed.map_err(|error| wrong(Step::Write, &error))?;
        Ok(claimed.is_some())
    }

    /// Puts marks into their counts, in which equal ones count once.
    ///
    /// # Errors
    /// The first; the others may be put in.
    pub(super) async fn put(&mut self, marks: &[Put]) -> Result<(), Wrong> {
        let mut put = redis::pipe();
        for Put { name, mark, kept } in marks {
            put.cmd("PFADD").arg(name).arg(mark).ignore();
            put.cmd("PEXPIRE").arg(name).arg(kept.as_millis() as u64).ignore();
        }
        let done: Result<(), _> = put.query_async(&mut self.0).await;
        done.map_err(|error| wrong(Step::Put, &error))
    }

    /// Writes a part of a value from this byte on, and has the whole kept for so long.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn tell(
        &mut self,
        name: &Name,
        from: usize,
        part: &[u8],
        kept: Duration,
    ) -> Result<(), Wrong> {
        let mut tell = redis::pipe();
        tell.cmd("SETRANGE")
            .arg(name.bytes())
            .arg(from)
            .arg(part)
            .ignore();
        tell.cmd("PEXPIRE")
            .arg(name.bytes())
            .arg(kept.as_millis() as u64)
            .ignore();
        let told: Result<(), _> = tell.query_async(&mut self.0).await;
        told.map_err(|error| wrong(Step::Tell, &error))
    }

    /// How many different marks were put into these counts together.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn count(&mut self, names: &[String; 2]) -> Result<u64, Wrong> {
        let mut count = redis::cmd("PFCOUNT");
        let counted: Result<u64, _> = count.arg(names).query_async(&mut self.0).await;
        counted.map_err(|error| wrong(Step::Count, &error))
    }

    /// Replaces the record that ends so by this one, to be kept for so long; `false` where another is there by now.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn replace(
        &mut self,
        name: &Name,
        end: &[u8],
        record: &[u8],
        kept: Duration,
    ) -> Result<bool, Wrong> {
        let mut replace = redis::cmd("EVAL");
        replace.arg(IF_UNCHANGED).arg(1).arg(name.bytes());
        replace.arg(end).arg(record).arg(kept.as_millis() as u64);
        let replaced: Result<i64, _> = replace.query_async(&mut self.0).await;
        Ok(replaced.map_err(|error| wrong(Step::Write, &error))? == 1)
    }
}

/// The primary of that name that a Sentinel knows, if it knows one: its host and its port.
///
/// # Errors
/// The Sentinel's.
pub(super) async fn primary(
    stream: Stream,
    name: &str,
    user: Option<&str>,
    password: Option<&Secret<[u8]>>,
) -> Result<Option<(String, u16)>, Wrong> {
    let (mut connection, mut driver) = start(
        stream,
        (ProtocolVersion::RESP2, AsyncConnectionConfig::new()),
        user,
        password,
    )
    .await?;
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let mut asked = pin!(ask.query_async(&mut connection));
    let answer = tokio::select! {
        biased;
        answer = &mut asked => answer,
        () = &mut driver => asked.await,
    };
    answer.map_err(|error| wrong(Step::Primary, &error))
}

/// Introduces us over a stream, with a password where one is given, and what then reads and writes it.
async fn start(
    mut stream: Stream,
    (protocol, config): (ProtocolVersion, AsyncConnectionConfig),
    user: Option<&str>,
    password: Option<&Secret<[u8]>>,
) -> Result<(MultiplexedConnection, Driver), Wrong> {
    if let Some(password) = password {
        sign_in(&mut stream, Identity { user, password }).await?;
    }
    let info = RedisConnectionInfo::default()
        .set_protocol(protocol)
        .set_skip_set_lib_name();
    let config = config.set_response_timeout(None);
    let stream = Bounded::new(stream);
    let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (connection, driver) = opened.map_err(|error| wrong(Step::SignIn, &error))?;
    Ok((connection, Box::pin(driver)))
}

/// Whether it is that of a command which the server does not have.
fn is_unknown(error: &ServerError) -> bool {
    error
        .details()
        .is_some_and(|it| it.starts_with("unknown command"))
}

/// The first error that the store has answered with.
fn said(error: &RedisError) -> Option<ServerError> {
    let errors = error.clone().into_server_errors()?;
    errors.first().map(|(_, error)| error.clone())
}

/// What went wrong, in no word of the store's.
fn wrong(step: Step, error: &RedisError) -> Wrong {
    match said(error) {
        Some(error) => Wrong::by_code(step, error.code(), error.details().unwrap_or_default()),
        None if error.is_io_error() || error.is_connection_dropped() => Wrong::Ended,
        None => Wrong::Strange(step),
    }
}
