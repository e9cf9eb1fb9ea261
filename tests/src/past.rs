//! `Past`: a store with a random history of bars and its model, for tests of long reads.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use barkeeper::{MergeOptions, SealOptions, Store};
use barkeeper_records::{
    AdjustmentTag, Bar, BarRun, Batch, FixedClock, InstrumentId, Interval, MarketTrade, OnConflict,
    Operation, SeriesKey, Tick,
};
use tempfile::TempDir;

use crate::folder::{clock, options, scratch, turn};
use crate::market::Market;
use crate::model::Model;
use crate::rng::Rng;
use crate::workload::Workload;

/// A store with a random past, and what it must hold.
pub struct Past {
    /// Where it stands.
    pub dir: TempDir,
    /// Its clock.
    pub clock: Arc<FixedClock>,
    /// The store.
    pub store: Store,
    /// What it must hold.
    pub model: Model,
    /// What happens in it.
    pub market: Market,
}

impl Past {
    /// A new store in a folder of its own.
    pub fn new(market: Market) -> Self {
        let (dir, clock) = (scratch(), clock());
        let store = Store::create(dir.path(), options(&clock)).unwrap();
        Self { dir, clock, store, model: Model::default(), market }
    }

    /// Commits a random batch.
    pub fn commit(&mut self, seed: u64) {
        let now = turn(&self.clock, 3);
        let batch = Workload::new(self.market.clone(), seed).batch(&self.model);
        let expected = self.model.apply(&batch, now);
        assert_eq!(self.store.commit(batch).is_ok(), expected.is_ok(), "the store and the model disagree");
    }

    /// Seals a random part.
    pub fn seal(&mut self, rng: &mut Rng) {
        let before = rng.chance(50).then(|| Market::day(rng.below(self.market.days)).label());
        let interval = rng.chance(30).then(|| rng.pick(&self.market.kinds).0);
        self.store.seal(&SealOptions { interval, before }, &mut |_, _| {}).unwrap();
        self.model.fold(turn(&self.clock, 0));
    }

    /// Merges all segments of each kind of bars.
    pub fn merge(&mut self) {
        self.store.merge(&MergeOptions { interval: None, whole: true }, &mut |_, _| {}).unwrap();
        self.model.fold(turn(&self.clock, 0));
    }

    /// Imports bars; what differs is replaced.
    pub fn import(&mut self, runs: &[(SeriesKey, Vec<Bar>)]) {
        let now = turn(&self.clock, 3);
        let born = runs.iter().map(|(series, bars)| BarRun::new(*series, bars.clone()).unwrap()).collect();
        self.store.import_bars(born, Vec::new(), OnConflict::Replace).unwrap();
        self.model.import(runs, OnConflict::Replace, now).unwrap();
    }

    /// Imports ticks and market trades; what differs is replaced.
    pub fn import_events(
        &mut self,
        ticks: Vec<(InstrumentId, Tick)>,
        trades: Vec<(InstrumentId, MarketTrade)>,
    ) {
        let on_conflict = OnConflict::Replace;
        let now = turn(&self.clock, 3);
        self.store.import_ticks(ticks.clone(), Vec::new(), on_conflict).unwrap();
        self.model.apply(&Batch::new().with(Operation::PutTicks { ticks, on_conflict }), now).unwrap();
        let now = turn(&self.clock, 3);
        self.store.import_market_trades(trades.clone(), Vec::new(), on_conflict).unwrap();
        self.model
            .apply(&Batch::new().with(Operation::PutMarketTrades { trades, on_conflict }), now)
            .unwrap();
    }

    /// Commits, seals and imports: hot and sealed rows, corrections and removals over each other.
    pub fn live(&mut self, rng: &mut Rng, steps: usize) {
        for _ in 0..steps {
            match rng.below(12) {
                0 => self.seal(rng),
                1 => {
                    let mut workload = Workload::new(self.market.clone(), rng.bits());
                    let runs: Vec<_> = (0..rng.within(1, 6)).map(|_| workload.run(40)).collect();
                    self.import(&runs);
                }
                2 if rng.chance(30) => self.merge(),
                _ => self.commit(rng.bits()),
            }
        }
    }

    /// More than 20,000 bars, which go straight to segments.
    pub fn bulk(&mut self, interval: Interval, variant: usize) {
        let bars = |instrument: &InstrumentId| {
            let series = SeriesKey { interval, adjustment: AdjustmentTag::Raw, instrument: *instrument };
            let moment = |number| {
                if interval.is_daily_or_longer() {
                    Market::moment(interval, number, 0)
                } else {
                    Market::moment(interval, 25 + number / 40, number % 40)
                }
            };
            let bars = (0..310).map(|number| Market::bar(&series, moment(number), variant)).collect();
            (series, BarRun::new(series, bars).unwrap().bars().to_vec())
        };
        let runs: Vec<_> = self.market.instruments.iter().map(bars).collect();
        self.import(&runs);
    }
}
