//! Which of many configurations are worth having, and which one is taken.

use super::log::Trial;
use super::metrics::Metrics;
use super::space::Parameter;

/// Those that no other dominates: of equals the one with the lowest number. In order of false alerts.
pub fn pareto<'a>(trials: &[&'a Trial]) -> Vec<&'a Trial> {
    let known: Vec<(&'a Trial, &'a Metrics)> =
        trials.iter().filter_map(|trial| Some((*trial, trial.metrics.as_ref()?))).collect();
    let same = |a: &Metrics, b: &Metrics| (a.found, a.false_alerts) == (b.found, b.false_alerts);
    let beaten = |trial: &Trial, metrics: &Metrics| {
        known
            .iter()
            .any(|(other, theirs)| theirs.dominates(metrics) || (same(theirs, metrics) && other.number < trial.number))
    };
    let mut front: Vec<&Trial> =
        known.iter().filter(|(trial, metrics)| !beaten(trial, metrics)).map(|(trial, _)| *trial).collect();
    front.sort_by_key(|trial| trial.metrics.as_ref().map(|metrics| (metrics.false_alerts, metrics.found)));
    front
}

/// The one of least loss; of equals the one nearest to `first`, which no data speaks against, then the one that came first.
pub fn choose<'a>(trials: &[&'a Trial], parameters: &[Parameter], first: &Trial, miss_cost: f64) -> Option<&'a Trial> {
    let distance = |trial: &Trial| -> f64 {
        let pairs = parameters.iter().zip(trial.values.iter().zip(&first.values));
        pairs.map(|(parameter, (a, b))| parameter.distance(a, b)).sum()
    };
    let cost = |trial: &Trial| Some((trial.metrics.as_ref()?.loss(miss_cost), distance(trial), trial.number));
    let all = trials.iter().filter_map(|trial| Some((cost(trial)?, *trial)));
    let least = all.min_by(|((a, da, na), _), ((b, db, nb), _)| a.total_cmp(b).then(da.total_cmp(db)).then(na.cmp(nb)));
    least.map(|(_, trial)| trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: usize, value: &str, found: u64, false_alerts: u64) -> Trial {
        let metrics = Metrics { acts: 5, found, false_alerts, ..Metrics::default() };
        Trial { number, values: vec![value.to_owned()], metrics: Some(metrics), refused: None }
    }

    #[test]
    fn the_front_has_what_nothing_is_better_than_and_the_nearest_of_equals_is_taken() {
        let base = replay::config::load(None, &[]).unwrap();
        let parameters = [Parameter::range("severity.high=0..100", &base).unwrap()];
        let all = [
            trial(0, "60", 3, 2),
            trial(1, "10", 5, 9),
            trial(2, "90", 3, 1),
            trial(3, "70", 3, 1),
            trial(4, "20", 4, 9),
            Trial { number: 5, values: vec!["1".to_owned()], metrics: None, refused: Some("order".to_owned()) },
        ];
        let all: Vec<&Trial> = all.iter().collect();
        let numbers = |front: Vec<&Trial>| front.iter().map(|trial| trial.number).collect::<Vec<_>>();
        assert_eq!(numbers(pareto(&all)), [2, 1]);
        assert_eq!(choose(&all, &parameters, all[0], 1.0).unwrap().number, 3, "as good as the other, and nearer");
        assert_eq!(choose(&all, &parameters, all[0], 10.0).unwrap().number, 1);
    }
}
