"""Replays on a real Ray cluster of two nodes on this machine, against the program on its own. Run by `./dev test`."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

# Before Ray is imported: it must not report its use, nor listen to others. The second variable is heeded on Linux too.
os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")

import ray
import retroscope
import retroscope.ray
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parent))
from comparing import ROOT, program, same_files  # noqa: E402

# The smallest store that Ray starts with is 75 MiB.
NODE = {
    "num_cpus": 1,
    "num_gpus": 0,
    "object_store_memory": 100 << 20,
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
}


class OnTwoNodes(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.cluster = Cluster(initialize_head=True, head_node_args=NODE)
        cls.addClassCleanup(cls.cluster.shutdown)
        cls.cluster.add_node(**NODE)
        cls.cluster.wait_for_nodes(timeout=60)
        ray.init(address=cls.cluster.address, log_to_driver=False, logging_level="warning")
        cls.addClassCleanup(ray.shutdown)
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))

    def test_equals_a_single_machine(self) -> None:
        """Several recordings at once, in more parts than nodes and in as many."""
        recordings = ["xmrig", "webapp-11", "node-shop-11"]
        program(*recordings, "-o", self.folder / "single")
        for parts in (2, 5):
            nodes = {}
            out = self.folder / f"parts-{parts}"
            retroscope.ray.replay(
                recordings, parts=parts, output=out, done=lambda index, parts, node: nodes.update({index: node})
            )
            self.assertEqual(set(nodes), set(range(1, parts + 1)))
            self.assertEqual(set(nodes.values()), {node["NodeID"] for node in ray.nodes()}, "both nodes worked")
            same_files(self, out, self.folder / "single")

    def test_a_profile_that_is_learned_in_parts(self) -> None:
        lives = ["webapp-1", "node-shop-1"]
        single = self.folder / "lives.json"
        program("learn", *lives, "-o", single)
        learned = retroscope.ray.learn(lives, parts=3)
        self.assertEqual(learned.to_json(), single.read_text())
        # And compared with, under a configuration of one's own.
        (self.folder / "own.toml").write_text("[severity]\nhigh = 55.0\n")
        args = ["xmrig", "--learn", single, "--config", self.folder / "own.toml"]
        program(*args, "-o", self.folder / "against-single")
        retroscope.ray.replay(
            "xmrig", single, self.folder / "own.toml", parts=2, output=self.folder / "against-parts"
        )
        same_files(self, self.folder / "against-parts", self.folder / "against-single")

    def test_an_error_of_a_task_is_what_it_would_be_here(self) -> None:
        with self.assertRaises(retroscope.ConfigError) as raised:
            retroscope.ray.replay("xmrig", config={"severity.hihg": 5}, parts=2)
        self.assertIn("severity.high", raised.exception.hint)
        with self.assertRaises(retroscope.InputError):
            retroscope.ray.replay(["xmrig", "/nowhere/at/all"])
        with self.assertRaises(retroscope.ConfigError):
            retroscope.ray.replay("xmrig", parts=0)

    def test_from_a_shell(self) -> None:
        out = self.folder / "shell"
        command = [sys.executable, "-m", "retroscope.ray", "batch-1", "--parts", "2", "--set", "severity.high=55", "-o", out]
        command += ["--address", self.cluster.address]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("part 2 of 2 done on node", done.stderr)
        self.assertEqual(json.loads((out / "run.json").read_text())["config"]["severity"]["high"], 55)
        done = subprocess.run([*command[:3], "/nowhere/at/all", "-o", out], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("hint: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
