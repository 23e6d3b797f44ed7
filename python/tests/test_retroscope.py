"""The package on recordings that ship. Run by `./dev test`, in an environment that has the wheel, polars and pyarrow."""

import ast
import copy
import json
import os
import pickle
import pty
import select
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import polars as pl
import pyarrow as pa
import retroscope

sys.path.insert(0, str(Path(__file__).parent))
from comparing import PROGRAMS, ROOT, program, same_files  # noqa: E402


class Recordings(unittest.TestCase):
    def setUp(self) -> None:
        self.recording = retroscope.open_recording("xmrig")

    def test_manifest(self) -> None:
        recording = self.recording
        self.assertIn("xmrig", retroscope.shipped())
        self.assertEqual((recording.name, recording.state), ("xmrig", "complete"))
        self.assertEqual(recording.scenario["name"], "xmrig")
        self.assertLess(recording.started, recording.ended)
        self.assertEqual(sum(recording.rows.values()), sum(s["rows"] for s in recording.manifest["segments"]))
        self.assertIn("xmrig", repr(recording))
        self.assertEqual(pickle.loads(pickle.dumps(recording)).path, recording.path)

    def test_a_class_is_what_its_files_hold(self) -> None:
        table = self.recording.table("file")
        read = table.to_polars()
        files = pl.read_parquet(self.recording.path / "file/*.parquet")
        self.assertEqual(len(table), files.height)
        self.assertEqual(read.columns, table.columns)
        text = [name for name, kind in files.schema.items() if kind == pl.String]
        # A file of an older schema lacks the newest columns, which come as nulls.
        plain = read.with_columns(pl.col(text).cast(pl.String)).select(files.columns)
        self.assertTrue(plain.equals(files.cast(plain.schema)))
        # The same table once more, by another reader.
        arrow = pa.table(table)
        self.assertEqual(arrow.num_rows, files.height)
        self.assertIn("ns", arrow.schema.field("ts").metadata[b"doc"].decode())
        self.assertEqual(pa.schema(table), arrow.schema)

    def test_only_what_is_asked_for_in_the_order_asked_for(self) -> None:
        table = self.recording.table("process", ["pid", "ts"])
        self.assertEqual(table.to_arrow().column_names, ["pid", "ts"])
        with self.assertRaises(retroscope.InputError) as raised:
            self.recording.table("process", ["pid", "nonsense"])
        self.assertIn("nonsense", str(raised.exception))
        with self.assertRaises(retroscope.ConfigError) as raised:
            self.recording.table("proces")
        self.assertIn("process", raised.exception.hint)

    def test_tables_beside_the_events(self) -> None:
        labels = self.recording.table("labels").to_polars()
        self.assertTrue({"class", "cpu", "seq", "act"} <= set(labels.columns))
        self.assertGreater(labels.height, 0)
        self.assertEqual(retroscope.open_recording("webapp-1").table("labels", ["act"]).to_polars().shape, (0, 1))
        processes = self.recording.table("processes", ["exec_id", "exe"]).to_polars()
        self.assertEqual(processes.height, pl.read_parquet(self.recording.path / "processes.parquet").height)

    def test_events_in_order(self) -> None:
        table = self.recording.events()
        events = table.to_polars()
        self.assertEqual(events.height, sum(self.recording.rows.values()))
        self.assertEqual(events.height, len(table))
        order = events.select("ts", "cpu", "seq")
        self.assertTrue(order.equals(order.sort("ts", "cpu", "seq")))
        counts = dict(events.group_by(pl.col("class").cast(pl.String)).len().iter_rows())
        self.assertEqual(counts, {name: n for name, n in self.recording.rows.items() if n})
        some = self.recording.events(["process"]).to_polars()
        self.assertEqual(some.height, self.recording.rows["process"])

    def test_a_stream_outlives_the_objects_it_came_from(self) -> None:
        capsule_holder = retroscope.open_recording("xmrig").table("process", ["ts"])
        reader = pa.RecordBatchReader.from_stream(capsule_holder)
        del capsule_holder
        self.assertEqual(sum(batch.num_rows for batch in reader), self.recording.rows["process"])

    def test_errors_say_where_and_what_to_do(self) -> None:
        with self.assertRaises(retroscope.InputError) as raised:
            retroscope.open_recording("/nowhere/at/all")
        error = raised.exception
        self.assertEqual(error.path, Path("/nowhere/at/all"))
        self.assertIn("record", error.hint)
        self.assertEqual(error.__notes__, [f"hint: {error.hint}"])
        self.assertEqual(copy.copy(error).hint, pickle.loads(pickle.dumps(error)).hint)
        with self.assertRaises(TypeError):
            retroscope.open_recording(7)

    def test_a_damaged_file_is_an_error_of_the_reader(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            damaged = Path(folder) / "rec"
            subprocess.run(["cp", "-r", self.recording.path, damaged], check=True)
            segment = next(damaged.glob("file/*.parquet"))
            segment.write_bytes(segment.read_bytes()[:-100])
            table = retroscope.open_recording(damaged).table("file")
            with self.assertRaisesRegex(Exception, "datasets verify"):
                pa.table(table)
            with self.assertRaisesRegex(retroscope.InputError, "SHA-256"):
                retroscope.replay(damaged)


class Profiles(unittest.TestCase):
    def test_learned_saved_and_loaded(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            learned = retroscope.learn(["webapp-1"])
            saved, by_program = Path(folder) / "profile.json", Path(folder) / "program.json"
            learned.save(saved)
            program("learn", "webapp-1", "-o", by_program)
            self.assertEqual(saved.read_bytes(), by_program.read_bytes())
            loaded = retroscope.Profile.load(saved)
            self.assertEqual(loaded, learned)
            self.assertEqual(pickle.loads(pickle.dumps(learned)), learned)
            self.assertNotEqual(loaded, "profile")
        self.assertEqual(set(learned.locked), set(learned.images))
        self.assertIn(learned.images[0], learned.show())
        self.assertEqual(learned.show("no such image"), "")
        self.assertEqual(learned.report["recordings"][0]["name"], "webapp-1")
        self.assertIsNone(loaded.report)
        both = learned.merge(retroscope.learn("batch-1"))
        self.assertTrue(set(learned.images) < set(both.images))

    def test_mistakes(self) -> None:
        with self.assertRaises(retroscope.ConfigError):
            retroscope.learn([])
        with self.assertRaises(retroscope.ConfigError) as raised:
            retroscope.learn("webapp-1", config={"convergence": {"windov": 3}})
        self.assertIn("convergence.window", raised.exception.hint)
        with self.assertRaisesRegex(TypeError, "severity.high"):
            retroscope.learn("webapp-1", config={"severity.high": object()})
        with self.assertRaises(retroscope.InputError):
            retroscope.Profile.from_json("{}")
        with self.assertRaises(retroscope.OutputError):
            retroscope.Profile.from_json(retroscope.replay("batch-1").profile.to_json()).save("/nowhere/at/all.json")


class Replays(unittest.TestCase):
    def test_equals_the_program(self) -> None:
        """By itself, and against a profile that is only in memory."""
        life = retroscope.learn("webapp-1")
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            life.save(folder / "profile.json")
            for name, learn, args in [("own", None, []), ("life", life, ["--learn", folder / "profile.json"])]:
                config = {"severity": {"high": 55}, "convergence.window": 5.0, "network.resolvers": ["9.9.9.9"]}
                outcome = retroscope.replay("xmrig", learn, config, threads=2, output=folder / f"{name}-wheel")
                sets = ["severity.high=55", "convergence.window=5", 'network.resolvers=["9.9.9.9"]']
                args += [part for value in sets for part in ("--set", value)]
                program("xmrig", *args, "-o", folder / f"{name}-program")
                same_files(self, folder / f"{name}-wheel", folder / f"{name}-program")
                alerts = outcome.alerts.to_polars()
                self.assertTrue(alerts.equals(pl.read_parquet(folder / f"{name}-program/alerts.parquet")))
                self.assertEqual(len(outcome.alerts), alerts.height)
                self.assertEqual(outcome.run["config"]["severity"]["high"], 55)
                self.assertEqual({i["id"] for i in outcome.incidents}, set(alerts["incident"].unique()))
                self.assertEqual(outcome.profile, retroscope.Profile.load(folder / f"{name}-program"))

    def test_no_lock_is_held_while_it_works(self) -> None:
        """Another thread of Python goes on meanwhile."""
        turns, over = 0, threading.Event()
        worker = threading.Thread(target=lambda: (retroscope.replay("xmrig"), over.set()))
        worker.start()
        while not over.is_set():
            turns += 1
            over.wait(0.001)
        worker.join()
        self.assertGreater(turns, 3)

    def test_ctrl_c_ends_the_wait(self) -> None:
        script = (
            "import retroscope, threading, os, signal\n"
            "threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
            "try:\n"
            "    while True: retroscope.replay('xmrig')\n"
            "except KeyboardInterrupt: print('interrupted')\n"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
        self.assertEqual((done.returncode, done.stdout), (0, "interrupted\n"), done.stderr)

    def test_a_bar_is_drawn_where_it_is_asked_for_and_seen(self) -> None:
        for progress in (False, True):
            script = f"import retroscope; retroscope.replay('xmrig', progress={progress})"
            terminal, end = pty.openpty()
            try:
                subprocess.run([sys.executable, "-c", script], cwd=ROOT, stderr=end, check=True, timeout=120)
                drawn = bool(select.select([terminal], [], [], 0)[0])
            finally:
                os.close(end)
                os.close(terminal)
            self.assertEqual(drawn, progress)


class Sweeps(unittest.TestCase):
    def test_each_row_is_a_replay(self) -> None:
        """Over keys of every stage: what is shared between configurations changes nothing."""
        life = retroscope.learn("webapp-1")
        configs = [
            {},
            {"severity.medium": 10, "severity.high": 20},
            {"engines.weights.rules": 5.0},
            {"engines.weights": {"semantics": 0.0}},
            {"engines.statistics.half": 9.0},
            {"args.grammar.accept": 0.9, "args.grammar.reject": 0.95},
            {"args.canonical": False},
            {"convergence.after": "tune"},
        ]
        table = retroscope.sweep("xmrig", configs, learn=life).to_polars()
        self.assertEqual(table["config"].to_list(), list(range(len(configs))))
        self.assertEqual(table["severity.medium"].to_list(), [None, 10.0, *[None] * 6])
        self.assertEqual(table["convergence.after"].to_list(), [*[None] * 7, "tune"])
        for row, config in zip(table.iter_rows(named=True), configs):
            outcome = retroscope.replay("xmrig", life, config)
            alerts = outcome.alerts.to_polars()
            with self.subTest(config):
                for severity in ("critical", "high", "medium", "low"):
                    self.assertEqual(row[severity], alerts.filter(severity=severity).height, severity)
                self.assertEqual(row["deviations"], outcome.run["counts"]["deviations"])
                raised = [i for i in outcome.incidents if i["severity"] != "low"]
                self.assertEqual(row["incidents"], len(raised))
                acts = outcome.run["acts"]
                self.assertEqual(row["acts"], len(acts))
        self.assertGreater(table["found"][0], 0)
        self.assertGreater(table["medium"][1] + table["high"][1] + table["critical"][1],
                           table["medium"][0] + table["high"][0] + table["critical"][0])
        self.assertNotEqual(table.rows()[2], table.rows()[0])

    def test_a_baseline_that_is_a_recording(self) -> None:
        by_name = retroscope.sweep("xmrig", [{}, {"severity.high": 99, "severity.critical": 100}], learn="webapp-1").to_polars()
        self.assertGreater(by_name["found"][0], 0)
        alerts = retroscope.replay("xmrig", "webapp-1").alerts.to_polars()
        self.assertEqual(by_name["low"][0], alerts.filter(severity="low").height)

    def test_mistakes_come_before_the_work(self) -> None:
        with self.assertRaises(retroscope.ConfigError):
            retroscope.sweep("xmrig", [{}, {"severity.medium": "high"}])
        with self.assertRaises(retroscope.ConfigError):
            retroscope.sweep("xmrig", [{}], at="severe")
        with self.assertRaises(retroscope.ConfigError):
            retroscope.sweep("xmrig", [{}, {"model.batch": 3}])
        self.assertEqual(len(retroscope.sweep("xmrig", [])), 0)


class ObjectStorage(unittest.TestCase):
    """moto's S3, on loopback."""

    def setUp(self) -> None:
        packages = ROOT / ".cache/receivers"
        if not (packages / "moto").is_dir():
            self.skipTest("LEFT OUT: moto of setup/python/receivers.txt is not there; ./dev setup installs it")
        log = self.enterContext(tempfile.NamedTemporaryFile())
        script = [ROOT / ".venv/bin/python", ROOT / "datasets/tests/s3/server.py", log.name]
        env = os.environ | {"PYTHONPATH": str(packages), "PYTHONDONTWRITEBYTECODE": "1"}
        pipe = subprocess.PIPE
        server = subprocess.Popen(script, env=env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.enterContext(server)
        about = json.loads(server.stdout.readline())
        self.enterContext(
            mock.patch.dict(
                os.environ,
                AWS_ENDPOINT_URL=f"http://127.0.0.1:{about['port']}",
                AWS_ALLOW_HTTP="true",
                AWS_REGION="us-east-1",
                AWS_ACCESS_KEY_ID=about["owner"][0],
                AWS_SECRET_ACCESS_KEY=about["owner"][1],
            )
        )
        subprocess.run([PROGRAMS / "datasets", "copy", "webapp", "s3://rec/webapp"], cwd=ROOT, check=True, stdout=pipe)

    def test_a_recording_there_is_one(self) -> None:
        here, there = retroscope.open_recording("webapp"), retroscope.open_recording("s3://rec/webapp")
        self.assertEqual((there.rows, there.address), (here.rows, "s3://rec/webapp"))
        columns = ["ts", "path", "ret"]
        self.assertTrue(there.table("file", columns).to_polars().equals(here.table("file", columns).to_polars()))
        self.assertEqual(pickle.loads(pickle.dumps(there)).rows, here.rows)
        with self.assertRaises(retroscope.InputError) as raised:
            retroscope.open_recording("s3://rec/none")
        self.assertIn("s3://rec/none", str(raised.exception))


class Package(unittest.TestCase):
    def test_types_tell_of_all_there_is(self) -> None:
        """The stub and the compiled module name the same things with the same arguments."""
        folder = Path(retroscope.__file__).parent
        self.assertTrue((folder / "py.typed").is_file())
        tree = ast.parse((folder / "_native.pyi").read_text())
        native = retroscope._native
        stub = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        public = {name for name in dir(native) if not name.startswith("_")}
        self.assertEqual(public, set(stub))
        special = {"__arrow_c_stream__", "__arrow_c_schema__", "__len__"}
        for name, node in stub.items():
            self.assertTrue(ast.get_docstring(node), name)
            if isinstance(node, ast.ClassDef):
                members = {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
                there = {member for member in dir(getattr(native, name)) if not member.startswith("_")}
                self.assertEqual(there, members - special, name)
            else:
                asked = [arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]]
                told = getattr(native, name).__text_signature__.strip("()").split(", ")
                self.assertEqual(asked, [arg.split("=")[0] for arg in told if arg not in ("", "*")], name)

    def test_version(self) -> None:
        self.assertRegex(retroscope.__version__, r"^\d+\.\d+\.\d+$")


if __name__ == "__main__":
    unittest.main()
