"""The planning of make.py, without recording."""

import json
import tempfile
import unittest
from pathlib import Path

import make

SPLITS = {"train": {"seeds": [1, 2]}, "validation": {"seeds": [11]}, "test": {"seeds": [21]}, "unseen": ["new"]}
LIFE = {"name": "life", "benign": True, "duration_s": 100, "definition": "aa"}
THEFT = {"name": "theft", "benign": False, "duration_s": 60, "definition": "bb"}
NEW = {"name": "new", "benign": True, "duration_s": 10, "definition": "cc"}


class Plan(unittest.TestCase):
    def names(self, full):
        return [(name, seed, split) for name, _, seed, split in make.plan([LIFE, THEFT, NEW], SPLITS, full)]

    def test_each_once(self):
        self.assertEqual(self.names(False), [("life", 1, "train"), ("theft", 21, "test"), ("new", 21, "test")])

    def test_every_seed_of_every_split(self):
        full = self.names(True)
        self.assertEqual([name for name, _, _ in full[:4]], ["life-1", "life-2", "life-11", "life-21"])
        self.assertEqual(full[-1], ("new-21", 21, "test"))
        self.assertEqual(len(full), 4 + 4 + 1)


class Made(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.into = Path(self.folder.name)

    def write(self, **changes):
        scenario = {"name": "life", "seed": 1, "definition": "aa", **changes}
        (self.into / "life").mkdir(exist_ok=True)
        state = scenario.pop("state", "complete")
        (self.into / "life/manifest.json").write_text(json.dumps({"state": state, "scenario": scenario}))
        return make.is_made(self.into / "life", LIFE, 1)

    def test_only_what_is_whole_and_the_same_is_kept(self):
        self.assertFalse(make.is_made(self.into / "life", LIFE, 1))
        self.assertTrue(self.write())
        for changes in ({"seed": 2}, {"definition": "ab"}, {"state": "recording"}, {"name": "other"}):
            self.assertFalse(self.write(**changes), changes)
        (self.into / "life/manifest.json").write_text("{")
        self.assertFalse(make.is_made(self.into / "life", LIFE, 1))

    def test_sums_are_what_sha256sum_reads(self):
        self.write()
        line = make.sums(self.into, ["life"])
        self.assertRegex(line, r"\A[0-9a-f]{64}  life/manifest\.json\n\Z")


if __name__ == "__main__":
    unittest.main()
