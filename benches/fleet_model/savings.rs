//! How many questions a fleet saves its remotes: a model.
//!
//! Questions about one recipient come at random moments (a Poisson process), and each goes to any of the edges. How often
//! each recipient is asked about follows Zipf's law. A recipient that was found `refresh` ago is asked again at its next
//! question, in the background until it is `positive` old. Edges alone do so each for itself; those of a fleet all see when
//! one of them has asked last. Recipients exist, the remote answers at once, and no memory is too small.

/// The exponent of Zipf's law: the recipient of rank n is asked about n^-0.8 times as often as the first.
const EXPONENT: f64 = 0.8;

/// Ranks that are reckoned one by one. Those behind them are taken together where they differ by less than a hundredth.
const EXACT: u64 = 1000;

/// A site. Times are in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) edges: f64,
    pub(crate) recipients: u64,
    /// Questions of all edges a second.
    pub(crate) questions: f64,
    /// `cache.ttl.refresh` and `cache.ttl.positive`.
    pub(crate) refresh: f64,
    pub(crate) positive: f64,
}

/// What the edges do a second, all of them together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rates {
    /// Probes of the remotes.
    pub(crate) probes: f64,
    /// Those for which a client waits.
    pub(crate) waits: f64,
    /// Look-ups in the store.
    pub(crate) looks: f64,
}

impl Site {
    /// Of edges that share nothing.
    pub(crate) fn alone(&self) -> Rates {
        let one = Self {
            questions: self.questions / self.edges,
            edges: 1.0,
            ..*self
        };
        let rates = one.fleet();
        Rates {
            probes: rates.probes * self.edges,
            waits: rates.waits * self.edges,
            looks: 0.0,
        }
    }

    /// Of a fleet.
    pub(crate) fn fleet(&self) -> Rates {
        let mut sum = Rates::default();
        self.each(|rate, recipients| {
            // From one probe to the next: until it is due, and then until somebody asks.
            let probes = recipients * rate / (1.0 + rate * self.refresh);
            // Each other edge takes it from the store at its first question until the next is due.
            let takes = -(-rate * self.refresh / self.edges).exp_m1();
            sum.probes += probes;
            sum.waits += probes * (-rate * (self.positive - self.refresh)).exp();
            sum.looks += probes * (1.0 + (self.edges - 1.0) * takes);
        });
        sum
    }

    /// The recipients that one edge is asked about within so many seconds.
    pub(crate) fn seen_by_one(&self, within: f64) -> f64 {
        self.seen(self.edges, within)
    }

    /// The recipients that any edge is asked about within so many seconds.
    pub(crate) fn seen_by_all(&self, within: f64) -> f64 {
        self.seen(1.0, within)
    }

    fn seen(&self, share: f64, within: f64) -> f64 {
        let mut sum = 0.0;
        self.each(|rate, recipients| sum += recipients * -(-rate / share * within).exp_m1());
        sum
    }

    /// Calls `add` with the questions a second about one recipient, and the recipients that are asked about so often.
    fn each(&self, mut add: impl FnMut(f64, f64)) {
        let weight = |rank: f64| rank.powf(-EXPONENT);
        let mut all = 0.0;
        ranks(self.recipients, |rank, many| all += many * weight(rank));
        ranks(self.recipients, |rank, many| {
            add(self.questions * weight(rank) / all, many);
        });
    }
}

/// Calls `add` with each rank, or with the middle of some that are much alike, and how many these are.
fn ranks(recipients: u64, mut add: impl FnMut(f64, f64)) {
    let mut first = 1;
    while first <= recipients {
        let last = if first <= EXACT {
            first
        } else {
            recipients.min(first + first / 100)
        };
        add((first as f64 * last as f64).sqrt(), (last - first + 1) as f64);
        first = last + 1;
    }
}
