"""The planning and checking of make.py, without recording."""

import json
import tempfile
import threading
import time
import unittest
from pathlib import Path

import make

SPLITS = {
    "train": {"seeds": [1, 2]},
    "validation": {"seeds": [11]},
    "test": {"seeds": [21, 22]},
    "unseen": ["new"],
}


def scenario(name, benign, benign_s, duration_s, services=("app",)):
    shown = {"name": name, "benign": benign, "benign_s": benign_s, "duration_s": duration_s, "definition": "aa"}
    return {**shown, "services": list(services)}


LIFE = scenario("life", True, 200, 200)
BASE = scenario("webapp", True, 90, 90)
THEFT = scenario("theft", False, 45, 60)
LONG = scenario("web-shell", False, 190, 240)
NEW = scenario("new", True, 10, 10)


class Plan(unittest.TestCase):
    def test_the_reduced_set_has_each_scenario_and_lives_to_learn_from(self):
        runs = make.plan([LIFE, BASE, THEFT, LONG, NEW], SPLITS, full=False)
        expected = [
            ("life-1", "train", 150, 150),
            ("life-11", "validation", 100, 100),
            ("life-21", "test", 100, 100),
            # Its own length is short enough.
            ("webapp-1", "train", None, 90),
            ("webapp-2", "train", None, 90),
            ("webapp-11", "validation", None, 90),
            ("webapp-21", "test", None, 90),
            ("theft-21", "test", None, 60),
            ("web-shell-21", "test", 60, 110),
            ("web-shell-life-1", "train", 120, 120),
            ("new-21", "test", None, 10),
        ]
        self.assertEqual([(run.name, run.split, run.benign, run.seconds) for run in runs], expected)

    def test_every_seed_of_every_split(self):
        runs = make.plan([LIFE, THEFT, NEW], SPLITS, full=True)
        names = [run.name for run in runs]
        self.assertEqual(names[:5], ["life-1", "life-2", "life-11", "life-21", "life-22"])
        self.assertEqual(names[-2:], ["new-21", "new-22"])
        self.assertEqual(len(names), 5 + 5 + 2)
        self.assertTrue(all(run.benign is None and run.attack for run in runs))

    def test_the_shipped_splits_give_names_that_are_all_different(self):
        splits = make.tomllib.loads((make.HERE / "splits.toml").read_text())
        runs = make.plan([LIFE, BASE, THEFT, LONG, NEW], splits, full=False)
        self.assertEqual(len({run.name for run in runs}), len(runs))


class Made(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.into = Path(self.folder.name)

    def write(self, run, **changes):
        shown = {"name": run.scenario["name"], "seed": 1, "definition": "aa", "benign_s": 150, "steps": [], **changes}
        (self.into / run.name).mkdir(exist_ok=True)
        state = shown.pop("state", "complete")
        (self.into / run.name / "manifest.json").write_text(json.dumps({"state": state, "scenario": shown}))
        return make.is_made(self.into / run.name, run)

    def test_only_what_is_whole_and_the_same_is_kept(self):
        run = make.Run(LIFE, 1, "train", 150)
        self.assertFalse(make.is_made(self.into / run.name, run))
        self.assertTrue(self.write(run))
        for changes in (
            {"seed": 2},
            {"definition": "ab"},
            {"state": "recording"},
            {"name": "other"},
            {"benign_s": 90},
            {"steps": [{"act": "a"}]},
        ):
            self.assertFalse(self.write(run, **changes), changes)
        (self.into / run.name / "manifest.json").write_text("{")
        self.assertFalse(make.is_made(self.into / run.name, run))

    def test_a_life_of_an_attack_has_no_steps(self):
        attack, life = make.Run(THEFT, 1, "train", 150), make.Run(THEFT, 1, "train", 150, attack=False)
        self.assertEqual((self.write(attack), self.write(life)), (False, True))
        self.assertTrue(self.write(attack, steps=[{"act": "a"}]))

    def test_sums_are_what_sha256sum_reads(self):
        self.write(make.Run(LIFE, 1, "train", 150))
        line = make.sums(self.into, ["life-1"])
        self.assertRegex(line, r"\A[0-9a-f]{64}  life-1/manifest\.json\n\Z")


class Contents(unittest.TestCase):
    def test_containers_of_others_are_named(self):
        own = scenario("web-shell", False, 45, 60, ("blog", "agent"))
        names = ["retroscope-web-shell-blog", "retroscope-web-shell-agent-2", "retroscope-web-shell-quiet-blog", None]
        found = make.strangers([{"name": name, "id": "c0ffee"} for name in names], own)
        self.assertEqual(found, ["retroscope-web-shell-quiet-blog", "c0ffee"])

    def test_what_is_lost_is_counted(self):
        account = {"dropped": {"ring_full": 2, "write_failed": 1}, "sampled_out": 4}
        self.assertEqual(make.lost({"accounting": {"cpus": [{"classes": {"file": account, "dns": account}}]}}), 14)


class Turns(unittest.TestCase):
    def test_no_two_runs_of_a_scenario_at_once(self):
        runs = [make.Run(LIFE, seed, "train") for seed in (1, 2, 3)] + [make.Run(THEFT, seed, "train") for seed in (1, 2)]
        running, most, begun, turn = set(), [0], [], threading.Condition()

        def work(run):
            with turn:
                self.assertNotIn(run.scenario["name"], running)
                running.add(run.scenario["name"])
                most[0] = max(most[0], len(running))
                begun.append(run.name)
            time.sleep(0.02)
            with turn:
                running.discard(run.scenario["name"])

        make.in_turns(runs, 3, work, turn, lambda: False)
        self.assertEqual((sorted(begun), most[0]), (sorted(run.name for run in runs), 2))

    def test_none_begins_once_it_is_stopped(self):
        begun = []
        make.in_turns([make.Run(LIFE, 1, "train")], 2, begun.append, threading.Condition(), lambda: True)
        self.assertEqual(begun, [])


if __name__ == "__main__":
    unittest.main()
