//! Guesses at passwords, spread over edges whose remote is well and whose store is not always: each answer comes as late as
//! the failures before it have it.
//!
//! - A refusal is as late as if all guesses had come to one edge, as long as the store is well; never later, unless the store
//!   lies; and never earlier than this edge's own count has it.
//! - A user who has not failed at an edge is accepted there at once and never delayed, whatever the store says.
//! - Without its store an edge answers as one without a fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};
use vouch::settings::kind::Kind;
use vouch::settings::penalty::Penalty;
use vouch::settings::protocol::Protocol;

use super::edges::{Edge, Ledgers, Site};
use super::store::Store;
use super::weather::{Mood, Weather};
use super::{DAY, FIRST_QUESTION, Key, NIGHT, With};
use crate::askers::Answer;
use crate::chance::Chance;
use crate::clients::cut;
use crate::paused;
use crate::trace::Trace;
use crate::world::World;

/// Each is such a day.
const SEEDS: u64 = 24;

/// The remote is called for so long at the most, and says what it says at once.
const AT_ONCE: Duration = Duration::from_millis(20);

/// A count of other edges is used for so long.
const COUNT_USED: Duration = Duration::from_secs(31);

/// The time of day is told in whole windows, and a mark is on its way for a moment.
const MOMENT: Duration = Duration::from_millis(100);

const USERS: [&str; 4] = ["u1@a.test", "u2@a.test", "u4@a.test", "u7@a.test"];

/// A login that is tried.
#[derive(Debug)]
struct Login {
    address: String,
    user: &'static str,
    password: String,
}

impl Login {
    /// Of somebody, as the day has it.
    fn any(chance: &Chance, number: u64) -> Self {
        let user = chance.one(&USERS);
        let (address, user, password) = match chance.among(0, 9) {
            // Guesses at any user, from one address.
            0..=3 => (
                format!("192.0.2.{}", chance.among(1, 2)),
                user,
                format!("guess-{number}"),
            ),
            // Guesses at one user, from everywhere.
            4 | 5 => (
                format!("198.51.{}.{}", chance.among(0, 255), chance.among(0, 255)),
                USERS[0],
                format!("guess-{number}"),
            ),
            // A telephone with an old password.
            6 => ("203.0.113.1".to_owned(), USERS[1], "old".to_owned()),
            // People, some of whom err.
            7 => (
                format!("203.0.113.{}", user.as_bytes()[1]),
                user,
                format!("typo-{number}"),
            ),
            _ => (
                format!("203.0.113.{}", user.as_bytes()[1]),
                user,
                "right".to_owned(),
            ),
        };
        Self {
            address,
            user,
            password,
        }
    }
}

impl Login {
    /// Its answer at an edge, over a connection of its own.
    async fn at(&self, edge: &Edge) -> Option<Answer> {
        let mut connection = edge.connect()?;
        let (address, response) = (
            &self.address,
            STANDARD.encode(format!("\0{}\0{}", self.user, self.password)),
        );
        let asked = format!(
            "VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tnologin\trip={address}\tresp={response}\n"
        );
        connection.write_all(asked.as_bytes()).await.ok()?;
        let mut input = Vec::new();
        loop {
            while let Some(reply) = cut(Protocol::Auth, &mut input) {
                match reply.split('\t').next() {
                    Some("OK") => return Some(Answer::Yes),
                    Some("FAIL") if reply.ends_with("\ttemp\tcode=temp_fail") => return Some(Answer::Later),
                    Some("FAIL") => return Some(Answer::No),
                    _ => {}
                }
            }
            connection
                .read_buf(&mut input)
                .await
                .ok()
                .filter(|read| *read > 0)?;
        }
    }
}

/// Failures of a client or a user at one edge, with their marks: what [`Penalty`] says of them, and no more.
type Table = Vec<(Instant, String)>;

/// A failure that all edges count.
struct Counted {
    whose: String,
    at: Instant,
    edge: usize,
    mark: String,
}

/// What is known of all failures.
struct Model {
    penalty: Penalty,
    weather: Arc<Weather>,
    /// Of each edge, by whose they are.
    own: Vec<BTreeMap<String, Table>>,
    all: Vec<Counted>,
    /// Refusals that are late by what other edges counted.
    late: u64,
}

impl Model {
    /// How late an answer is behind so many failures.
    fn late(&self, failures: usize) -> Duration {
        let after = self.penalty.after as usize;
        let more = failures.checked_sub(after).map(|more| more.min(20) as u32);
        more.map_or(Duration::ZERO, |more| {
            (self.penalty.delay * 2_u32.pow(more)).min(self.penalty.max_delay)
        })
    }

    /// The failures that one edge has counted itself.
    fn here(&self, edge: usize, whose: &str) -> usize {
        let is_remembered = |(at, _): &&(Instant, String)| at.elapsed() < self.penalty.forget;
        self.own[edge]
            .get(whose)
            .map_or(0, |table| table.iter().filter(is_remembered).count())
    }

    /// At the least and at the most so many were counted over all edges when this one was asked `then`.
    fn elsewhere(&self, edge: usize, whose: &str, then: Instant) -> (usize, usize) {
        let (mut least, mut most) = (BTreeSet::new(), BTreeSet::new());
        for one in self.all.iter().filter(|one| one.whose == whose) {
            if one.at.elapsed() < self.penalty.forget + COUNT_USED {
                most.insert(&one.mark);
            }
            let is_counted = || {
                let calms = self.weather.calms([one.edge, edge]);
                let now = Instant::now();
                calms.iter().any(|(from, until)| *from <= one.at && now <= *until)
            };
            if one.at + self.penalty.forget / 2 > then + MOMENT && is_counted() {
                least.insert(&one.mark);
            }
        }
        let is_untrue = self.weather.was_untrue(edge, then - COUNT_USED);
        (least.len(), if is_untrue { usize::MAX } else { most.len() })
    }

    /// Counts a refusal of what was asked then: it is counted before it is answered.
    fn fail(&mut self, edge: usize, login: &Login, hint: &str, at: Instant) {
        let Login {
            address,
            user,
            password,
        } = login;
        let most = (self.penalty.after + 2).max(self.penalty.refuse_after.unwrap_or(0)) as usize;
        for whose in [address.as_str(), user] {
            let table = self.own[edge].entry(whose.to_owned()).or_default();
            table.retain(|(at, _)| at.elapsed() < self.penalty.forget);
            let mark = format!("{user} {password}");
            if table.iter().any(|(_, known)| *known == mark) {
                continue;
            }
            if table.len() >= most {
                table.remove(0);
            }
            table.push((at, mark));
            self.all.push(Counted {
                whose: whose.to_owned(),
                at,
                edge,
                mark: format!("{user} {hint}"),
            });
        }
    }

    /// What an answer must be that an edge has given after so long to what was asked `then`; what is wrong with it.
    fn check(
        &mut self,
        edge: usize,
        login: &Login,
        then: Instant,
        (answer, took, patience): (Answer, Duration, Duration),
    ) -> Result<(), String> {
        let (client, user) = (self.here(edge, &login.address), self.here(edge, login.user));
        let of_client = self.elsewhere(edge, &login.address, then);
        let of_user = self.elsewhere(edge, login.user, then);
        let refuse_after = self.penalty.refuse_after.map_or(usize::MAX, |most| most as usize);
        let (least, most, is_right) = match answer {
            Answer::Yes if client == 0 => (0, 0, login.password == "right"),
            Answer::Yes => (client, client.max(of_client.1), login.password == "right"),
            Answer::No => {
                let own = client.max(user);
                let least = own.max(of_client.0).max(of_user.0);
                self.late += u64::from(self.late(least) > self.late(own));
                (
                    least,
                    own.max(of_client.1).max(of_user.1),
                    login.password != "right",
                )
            }
            Answer::Later => {
                let may_be = client > 0 && client.max(of_client.1) >= refuse_after;
                (0, usize::MAX, may_be)
            }
        };
        let waits = if answer == Answer::No {
            patience
        } else {
            Duration::ZERO
        };
        let (least, most) = (self.late(least), self.late(most) + waits + AT_ONCE);
        let must_wait = client >= refuse_after && answer != Answer::Later;
        if is_right && !must_wait && (least..=most).contains(&took) {
            return Ok(());
        }
        Err(format!(
            "{login:?} at edge {edge}: {answer:?} after {took:?}, to be {least:?} to {most:?}; failures {client} and {user} here, \
             {of_client:?} and {of_user:?} at all"
        ))
    }
}

/// What was answered, and after how long.
type Answers = Vec<(Answer, Duration)>;

async fn day(seed: u64, with: With, key: &Path, trace: &Trace) -> Result<(Answers, u64), String> {
    let (plan, began) = (Chance::new(seed ^ (1 << 45)), Instant::now());
    let many = plan.among(2, 4) as usize;
    let weather = Arc::new(match with {
        With::Unreached(mood) => Weather::always(mood, began, began + DAY + NIGHT),
        _ => Weather::of(&plan, began, DAY, many),
    });
    let clocks = vec![0; many];
    let worlds = World::for_guesses(seed, trace, many);
    worlds[0].note(|| format!("the store of the fleet: {}", weather.told(began)));
    let store = Arc::new(Store::new(
        weather.clone(),
        Chance::new(seed),
        &worlds,
        clocks.clone(),
    ));
    let used = (!matches!(with, With::Nothing)).then(|| store.clone());
    let mut site = Site::new(seed, used, key.to_path_buf(), clocks.clone());
    let logins = Chance::new(seed ^ (1 << 46));
    let penalty = Penalty {
        after: 2,
        forget: Duration::from_secs(logins.one(&[60, 600])),
        refuse_after: logins.coin().then_some(8),
        ..Penalty::default()
    };
    site.penalty = Some(penalty.clone());
    let (patience, site) = (site.keys.patience, Arc::new(site));
    let ledgers = Ledgers::new(None, &worlds, &clocks);
    let start = |(number, world)| Edge::start(world, number, &site, &ledgers, &Arc::default());
    let edges: Vec<_> = worlds.iter().enumerate().map(start).collect();
    sleep(FIRST_QUESTION).await;
    let mut model = Model {
        penalty,
        weather,
        own: vec![BTreeMap::new(); many],
        all: Vec::new(),
        late: 0,
    };
    let mut answers = Answers::new();
    while began.elapsed() < DAY {
        let edge = logins.among(0, many as u64 - 1) as usize;
        let login = Login::any(&logins, answers.len() as u64);
        let asked = Instant::now();
        let answer = login.at(&edges[edge]).await;
        let (answer, took) = (answer.ok_or("no answer")?, asked.elapsed());
        worlds[edge].note(|| format!("{login:?}: {answer:?} after {took:?}"));
        answers.push((answer, took));
        if matches!(with, With::AStore) {
            model.check(edge, &login, asked, (answer, took, patience))?;
        }
        if answer == Answer::No {
            let hint = edges[edge].hint(&login.password);
            model.fail(edge, &login, &hint, asked);
        }
        let pause = logins.one(&[logins.ms(1, 500), logins.ms(100, 5000), logins.ms(1000, 30_000)]);
        sleep(pause).await;
    }
    edges.iter().for_each(|edge| edge.stop());
    Ok((answers, model.late))
}

fn play(seed: u64, with: With, key: &Path, trace: &Trace) -> Result<(Answers, u64), String> {
    let _log = trace.takes_the_log();
    paused::run(day(seed, with, key, trace))
}

// Fills COUNT_USED.
#[test]
fn guesses_over_edges_are_counted_as_at_one_and_nobody_else_is_late() {
    let (key, mut sum, mut all) = (Key::new(), 0, 0);
    let wanted = std::env::var("VOUCH_GUESSES").ok();
    let wanted = wanted.and_then(|seed| seed.parse::<u64>().ok());
    for seed in wanted.map_or(1..=SEEDS, |seed| seed..=seed) {
        let trace = wanted.map_or(Trace::Nowhere, |_| Trace::Told);
        match play(seed, With::AStore, &key.path(), &trace) {
            Ok((answers, late)) => (sum, all) = (sum + late, all + answers.len()),
            Err(why) => panic!("seed {seed}: {why}\nVOUCH_GUESSES={seed} tells every event"),
        }
    }
    eprintln!("{SEEDS} seeds: {all} logins, {sum} of them late by what other edges counted");
    assert!(wanted.is_some() || sum > 4 * SEEDS, "{sum}");
}

#[test]
fn guesses_at_an_edge_without_its_store_are_counted_as_without_a_fleet() {
    let key = Key::new();
    for seed in 1..=2 {
        let answers = |with| play(seed, with, &key.path(), &Trace::Nowhere).map(|(answers, _)| answers);
        let alone = answers(With::Nothing);
        assert!(alone.as_ref().is_ok_and(|alone| alone.len() > 50));
        for mood in [Mood::Ends, Mood::Deaf, Mood::Hangs, Mood::NoRight] {
            assert_eq!(answers(With::Unreached(mood)), alone, "seed {seed}, {mood:?}");
        }
    }
}

impl World {
    /// A remote that is always there and fails nobody, as so many edges meet it, and of which they remember nothing.
    fn for_guesses(seed: u64, trace: &Trace, many: usize) -> Vec<Arc<Self>> {
        let edge = |number: usize| {
            let mut world = Self::new(seed, trace.clone());
            (world.rate, world.outage) = (0, None);
            world.directory.kind = world.chance.one(&[Kind::Imap, Kind::Smtp]);
            world.directory.cache.entries = 0;
            world.set_turns(BTreeMap::new());
            world.peers.edge = Some(number);
            Arc::new(world)
        };
        (0..many).map(edge).collect()
    }
}
