//! What `eval enforce` found, for people.

use std::collections::BTreeMap;

use eval::enforce::{Attack, Broken, Enforced, First, Found, Health, Kind, Life, Under};

use super::text::{NONE, clean, count, table};

/// Broken things shown of each run; JSON has all.
const SHOWN: usize = 4;
/// Of a line.
const WIDTH: usize = 78;

pub fn render(found: &Enforced) -> String {
    let machine = &found.machine;
    let mut out = format!("kernel {}, {} CPUs ({})\n", clean(&machine.kernel), machine.cpus, clean(&machine.cpu));
    if let Some(noise) = machine.noise() {
        out += &format!("A NOISY MACHINE: {noise}\n");
    }
    for life in &found.lives {
        out += &learned(life);
        out += &attacks(life, &found.policies);
        out += &benign(life, &found.policies);
    }
    out
}

fn learned(life: &Life) -> String {
    let from = match &life.learned.profile {
        Some(file) => format!("the profile {}", clean(&file.display().to_string())),
        None => {
            let seeds: Vec<String> = life.learned.seeds.iter().map(ToString::to_string).collect();
            let (events, seconds) = (count(life.learned.events), life.learned.seconds);
            format!("learned from {events} events in {seconds:.0} s of seeds {}", seeds.join(", "))
        }
    };
    let mut out = format!("\nthe life of {}: {from}\n", clean(&life.name));
    for written in life.written.iter().filter(|written| !written.not_locked.is_empty()) {
        let (image, trees) = (clean(&written.image), written.not_locked.join(", "));
        out += &wrapped(&format!("not locked when it was saved: {image}: {trees}"));
    }
    out
}

/// Policies beside each other in 80 columns.
const BESIDE: usize = 2;

fn attacks(life: &Life, kinds: &[Kind]) -> String {
    if life.attacks.is_empty() {
        return String::new();
    }
    let (tables, notes): (Vec<String>, Vec<String>) = kinds.chunks(BESIDE).map(|kinds| steps(life, kinds)).unzip();
    format!(
        "\nunder each policy the first refusal of a step, and told from the recording of a\n\
         run without policies: when after the step's first event. '-': nothing of it is\n\
         refused; 'gone': what it needs was not there. left: its events, of those without\n\
         the policy\n{}{}",
        tables.join("\n"),
        notes.concat()
    )
}

/// The steps under some policies, and notes on them.
fn steps(life: &Life, kinds: &[Kind]) -> (String, String) {
    let mut header = vec!["step"];
    for kind in kinds {
        header.extend([kind.name(), "told", "left"]);
    }
    let mut rows = Headed::default();
    let mut notes = String::new();
    let mut stopped: Vec<(usize, usize)> = vec![(0, 0); kinds.len()];
    let mut steps = 0;
    for attack in &life.attacks {
        let mut act = "";
        for step in &attack.steps {
            steps += 1;
            if std::mem::replace(&mut act, &step.act) != step.act {
                rows.head(format!("{}, seed {}: {}", clean(&attack.scenario), attack.seed, clean(&step.act)));
            }
            let mut row = vec![fit(&clean(&step.step), 22)];
            for (at, kind) in kinds.iter().enumerate() {
                let Some(found) = step.under.get(kind) else { continue };
                stopped[at].0 += usize::from(found.refused.is_some());
                stopped[at].1 += usize::from(found.told.is_some());
                let left = (step.events > 0).then(|| format!("{} %", found.events * 100 / step.events));
                let told = found.told.as_ref().map_or(NONE.to_owned(), after);
                row.extend([refused(found), told, left.unwrap_or_else(|| NONE.to_owned())]);
                notes += &why(attack, &step.step, *kind, found);
            }
            rows.row(row);
        }
    }
    rows.head(format!("of {steps} steps"));
    let mut sum = vec!["stopped".to_owned()];
    for (refused, told) in stopped {
        sum.extend([refused.to_string(), told.to_string(), String::new()]);
    }
    rows.row(sum);
    (rows.render(&header, 1), notes)
}

/// Rows of a table, with lines between them that begin a group.
#[derive(Default)]
struct Headed {
    rows: Vec<Vec<String>>,
    /// Before the row of that number.
    heads: Vec<(usize, String)>,
}

impl Headed {
    fn head(&mut self, line: String) {
        self.heads.push((self.rows.len(), line));
    }

    fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    fn render(&self, header: &[&str], left: usize) -> String {
        let text = table(header, &self.rows, left);
        let mut lines = text.lines();
        let mut out = lines.next().map(|line| format!("{line}\n")).unwrap_or_default();
        for (at, line) in lines.enumerate() {
            for (_, head) in self.heads.iter().filter(|(before, _)| *before == at) {
                out += &format!("{}\n", cut(head));
            }
            out += &format!("{line}\n");
        }
        out
    }
}

fn refused(found: &Found) -> String {
    match &found.refused {
        Some(first) => after(first),
        None if found.unreached => "gone".to_owned(),
        None => NONE.to_owned(),
    }
}

fn after(first: &First) -> String {
    match first.after_ms {
        ms if ms < 1.0 => "at once".to_owned(),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

/// By what rule a step was refused, and where the run and the recording differ.
fn why(attack: &Attack, step: &str, kind: Kind, found: &Found) -> String {
    let mut lines = Vec::new();
    if let Some(First { what, line, count: times, .. }) = &found.refused {
        let times = count(*times);
        lines.push(format!("{}/{step}, {}: {what} ({times}): {line}", attack.scenario, kind.name()));
    }
    if !found.agrees() {
        let told = match &found.told {
            Some(First { what, line, .. }) => format!("told that {what} is refused: {line}"),
            None => "told that nothing is".to_owned(),
        };
        lines.push(format!("{}/{step}, {}: differs: {told}", attack.scenario, kind.name()));
    }
    if let Some(failed) = &found.failed {
        lines.push(format!("{}/{step}, {}: the attacker's command failed: {failed}", attack.scenario, kind.name()));
    }
    lines.iter().map(|line| wrapped(&clean(line))).collect()
}

fn benign(life: &Life, kinds: &[Kind]) -> String {
    let header = ["policy", "requests", "failed", "checks", "failed", "log", "refused", "told"];
    let mut rows = Headed::default();
    let mut notes = String::new();
    let mut add = |what: &str, free: &Health, under: &BTreeMap<Kind, Under>| {
        rows.head(what.to_owned());
        rows.row(health("none", free, None));
        for (kind, under) in kinds.iter().filter_map(|kind| under.get_key_value(kind)) {
            rows.row(health(kind.name(), &under.health, Some(under)));
            notes += &broken(what, *kind, under);
        }
    };
    for run in &life.benign {
        add(&format!("ordinary life of seed {}", run.seed), &run.free, &run.under);
    }
    for run in &life.attacks {
        add(&format!("beside {}, seed {}", clean(&run.scenario), run.seed), &run.free, &run.under);
    }
    format!(
        "\nfailed: of the customers' requests, and of health checks; log: lines that tell\n\
         of something wrong; refused: calls or packets of ordinary life; told: events,\n\
         from the recording of the run without a policy\n{}{notes}",
        rows.render(&header, 1)
    )
}

fn health(policy: &str, health: &Health, under: Option<&Under>) -> Vec<String> {
    let refused = under.map_or(NONE.to_owned(), |under| count(under.refused));
    let told = under.map_or(NONE.to_owned(), |under| count(under.told));
    let mut row = vec![policy.to_owned()];
    row.extend([health.requests(), health.unanswered, health.activities, health.activities_failed].map(count));
    row.extend([count(health.log_lines()), refused, told]);
    row
}

fn broken(what: &str, kind: Kind, under: &Under) -> String {
    let mut out = String::new();
    if let Some(why) = &under.health.ended {
        out += &wrapped(&format!("{what}, {}: DID NOT COME TO ITS END: {}", kind.name(), clean(why)));
    }
    let mut list = |verb: &str, all: &[Broken]| {
        for each in all.iter().take(SHOWN) {
            let place = clean(replay::policy::names::short(&each.place));
            let line =
                format!("{what}, {}: {verb} {place}: {} ({})", kind.name(), clean(&each.what), count(each.count));
            out.push_str(&wrapped(&line));
        }
        if all.len() > SHOWN {
            out.push_str(&format!("  {what}, {}: {verb} {} more kinds\n", kind.name(), all.len() - SHOWN));
        }
    };
    list("refused", &under.broken);
    list("told", &under.told_broken);
    out
}

fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// Lines of at most [`WIDTH`], all but the first indented further.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split(' ') {
        let last = lines.last().map_or(0, |line| line.chars().count());
        if last + 1 + word.chars().count() > WIDTH && last > 1 {
            lines.push("     ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.iter().map(|line| format!("{}\n", cut(line))).collect()
}

fn cut(text: &str) -> String {
    fit(text, WIDTH)
}
