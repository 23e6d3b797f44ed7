//! In which order configurations are tried: all of a grid, drawn at random, or by a tree-structured Parzen estimator.
//!
//! The estimator (Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011; the crate `tpe`) looks at each
//! parameter by itself: it draws where the better tenth of what was tried is denser than the rest. Which value comes next depends
//! on the seed and on what came of those before, and on nothing else, so a sweep that is told its own past goes on as it would have.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tpe::TpeOptimizer;

use super::space::{Domain, Parameter};
use crate::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    Grid,
    Random,
    Bayes,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Method::Grid => "grid",
            Method::Random => "random",
            Method::Bayes => "bayes",
        }
    }
}

/// Configurations drawn at random before the estimator has something to go by.
const WARM_UP: usize = 10;

pub struct Sampler<'a> {
    parameters: &'a [Parameter],
    drawn: usize,
    kind: Kind,
}

enum Kind {
    Grid(Vec<Vec<String>>),
    Random(Box<StdRng>),
    Bayes(Box<Bayes>),
}

struct Bayes {
    rng: StdRng,
    estimators: Vec<TpeOptimizer>,
    /// Where the values of the present trial lie, each from 0 to 1, or up to the number of values.
    asked: Vec<f64>,
}

impl<'a> Sampler<'a> {
    /// `steps`: values that a grid has of a range.
    ///
    /// # Errors
    /// [`Error::Sweep`]: a parameter without values.
    pub fn new(method: Method, parameters: &'a [Parameter], seed: u64, steps: usize) -> Result<Self> {
        let rng = || StdRng::seed_from_u64(seed);
        let kind = match method {
            Method::Grid => Kind::Grid(parameters.iter().map(|parameter| parameter.steps(steps)).collect()),
            Method::Random => Kind::Random(Box::new(rng())),
            Method::Bayes => {
                let estimators = parameters.iter().map(estimator).collect::<Result<_>>()?;
                Kind::Bayes(Box::new(Bayes { rng: rng(), estimators, asked: Vec::new() }))
            }
        };
        Ok(Sampler { parameters, drawn: 0, kind })
    }

    /// How many there are at most.
    pub fn most(&self) -> Option<usize> {
        match &self.kind {
            Kind::Grid(values) => Some(values.iter().map(Vec::len).product()),
            _ => None,
        }
    }

    /// The next values, one for each parameter. None: a grid is at its end.
    pub fn ask(&mut self) -> Option<Vec<String>> {
        let number = self.drawn;
        self.drawn += 1;
        match &mut self.kind {
            Kind::Grid(values) => {
                // The last parameter changes fastest.
                let mut rest = number;
                let mut chosen: Vec<String> = Vec::with_capacity(values.len());
                for values in values.iter().rev() {
                    chosen.push(values[rest % values.len()].clone());
                    rest /= values.len();
                }
                chosen.reverse();
                (rest == 0).then_some(chosen)
            }
            Kind::Random(rng) => Some(self.parameters.iter().map(|parameter| parameter.at(rng.random())).collect()),
            Kind::Bayes(bayes) => {
                let Bayes { rng, estimators, asked } = &mut **bayes;
                asked.clear();
                let values = self.parameters.iter().zip(estimators).map(|(parameter, estimator)| {
                    let whole = width(parameter);
                    let place = match number < WARM_UP {
                        true => rng.random::<f64>() * whole,
                        // With finite places and scores there is no density that cannot be estimated.
                        false => estimator.ask(rng).unwrap_or(whole / 2.0),
                    };
                    asked.push(place);
                    parameter.at(place / whole)
                });
                Some(values.collect())
            }
        }
    }

    /// What came of the values that were asked for last: the less, the better.
    pub fn tell(&mut self, loss: f64) {
        if let Kind::Bayes(bayes) = &mut self.kind {
            for (estimator, place) in bayes.estimators.iter_mut().zip(&bayes.asked) {
                // A place that was asked for is in the range, and a loss is a number.
                let _ = estimator.tell(*place, loss);
            }
        }
    }
}

fn width(parameter: &Parameter) -> f64 {
    match &parameter.domain {
        Domain::Values(values) => values.len() as f64,
        Domain::Range { .. } => 1.0,
    }
}

fn estimator(parameter: &Parameter) -> Result<TpeOptimizer> {
    let bad = |error: tpe::range::RangeError| Error::Sweep { reason: format!("{}: {error}", parameter.key) };
    Ok(match &parameter.domain {
        Domain::Values(values) => {
            TpeOptimizer::new(tpe::histogram_estimator(), tpe::categorical_range(values.len()).map_err(bad)?)
        }
        Domain::Range { .. } => TpeOptimizer::new(tpe::parzen_estimator(), tpe::range(0.0, 1.0).map_err(bad)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Vec<Parameter> {
        let base = replay::config::load(None, &[]).unwrap();
        vec![
            Parameter::range("severity.high=0..100", &base).unwrap(),
            Parameter::grid("convergence.rule=window,timer,both", &base).unwrap(),
        ]
    }

    #[test]
    fn a_grid_has_every_pair_once() {
        let parameters = parameters();
        let mut sampler = Sampler::new(Method::Grid, &parameters, 1, 2).unwrap();
        assert_eq!(sampler.most(), Some(6));
        let all: Vec<String> = std::iter::from_fn(|| sampler.ask()).map(|values| values.join(" ")).collect();
        assert_eq!(all, ["0 window", "0 timer", "0 both", "100 window", "100 timer", "100 both"]);
    }

    /// The best is at 70 with timer.
    fn search(method: Method, seed: u64) -> Vec<(Vec<String>, f64)> {
        let parameters = parameters();
        let mut sampler = Sampler::new(method, &parameters, seed, 5).unwrap();
        let trial = |_| {
            let values = sampler.ask().unwrap();
            let high: f64 = values[0].parse().unwrap();
            let loss = (high - 70.0).abs() + if values[1] == "timer" { 0.0 } else { 20.0 };
            sampler.tell(loss);
            (values, loss)
        };
        (0..80).map(trial).collect()
    }

    #[test]
    fn a_seed_gives_the_same_values_and_another_gives_others() {
        for method in [Method::Random, Method::Bayes] {
            assert_eq!(search(method, 3), search(method, 3));
            assert_ne!(search(method, 3), search(method, 4));
        }
    }

    #[test]
    fn the_estimator_goes_where_it_was_good() {
        let late = |method| {
            let mut losses: Vec<f64> =
                (1..=5).flat_map(|seed| search(method, seed).split_off(40)).map(|(_, loss)| loss).collect();
            losses.sort_by(f64::total_cmp);
            losses[losses.len() / 2]
        };
        let (bayes, random) = (late(Method::Bayes), late(Method::Random));
        assert!(bayes < random / 2.0, "median loss of the second half: {bayes} by estimate, {random} at random");
    }
}
