"""Tests of the parts that need no VM: python3 -m unittest discover record/kernels"""

import contextlib
import io
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import fetch
import initramfs
import table
import vm

REPORT = {
    "ok": False,
    "kernel": "5.10.0",
    "seconds": 3.25,
    "accounting": [],
    "kinds": [{"class": "file", "op": "open", "result": "wrong", "notes": []}],
    "cases": [{"case": "open", "kinds": ["file.open"], "result": "wrong", "note": "row.ret: expected 3, found 4"}],
    "hooks": {"file": ["tp_btf/sys_exit"]},
}


FURTHER = {
    "ok": True,
    "kernel": "5.10.0",
    "seconds": 1.0,
    "accounting": [],
    "kinds": [{"class": "lsm", "op": "run", "result": "skipped", "notes": []}],
    "cases": [{"case": "a program", "kinds": ["lsm.run"], "result": "skipped", "note": "no BPF LSM"}],
    "hooks": {},
}


def result(name, report, error=None):
    return {"name": name, "note": None, "boot_seconds": 1.0, "total_seconds": 2.0, "report": report, "error": error, "console": ""}


class Output(unittest.TestCase):
    def test_a_complete_output_is_the_report(self):
        text = f"booted\nexit 1\n{json.dumps(REPORT)}\nand exit 0\n{json.dumps(FURTHER)}\ncomplete\n"
        report, error = vm.parse(text)
        self.assertIsNone(error)
        self.assertEqual((report["ok"], report["seconds"]), (False, 4.25))
        self.assertEqual([kind["class"] for kind in report["kinds"]], ["file", "lsm"])
        self.assertEqual(report["hooks"], REPORT["hooks"] | FURTHER["hooks"])

    def test_anything_less_is_an_error_that_says_how_far_it_came(self):
        for text, error in [
            ("", "did not boot"),
            ("booted\n", "did not finish"),
            ('booted\nexit 1\n{"ok": fal', "did not finish"),
            ("booted\nexit 3\n\nand exit 0\n{}\ncomplete\n", "record selftest gave no report and ended with exit 3"),
            ("booted\nexit 0\n{}\nand exit 3\n\ncomplete\n", "enforce selftest gave no report and ended with exit 3"),
        ]:
            report, found = vm.parse(text)
            self.assertIsNone(report)
            self.assertIn(error, found)


class Boots(unittest.TestCase):
    """With a program in QEMU's place that panics, as an emulated kernel now and then does, a given number of times."""

    QEMU = """#!/bin/sh
for argument; do case $argument in file:*) file=${argument#file:}; case $file in *console) console=$file;; esac;; esac; done
echo . >>boots
if [ "$(wc -l <boots)" -le "$PANICS" ]; then echo 'Kernel panic' >"$console"; exit; fi
cat report >"$file"
"""

    def boots(self, panics):
        with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
            Path("qemu-system-x86_64").write_text(self.QEMU)
            text = json.dumps(FURTHER)
            Path("report").write_text(f"booted\nexit 0\n{text}\nand exit 0\n{text}\ncomplete\n")
            Path("qemu-system-x86_64").chmod(0o755)
            changed = {"PATH": f"{directory}:{os.environ['PATH']}", "PANICS": str(panics)}
            with mock.patch.dict(os.environ, changed), contextlib.redirect_stderr(io.StringIO()) as said:
                return *vm.run("6.12", "vmlinuz", b"", directory, 10, "tcg"), said.getvalue()

    def test_a_kernel_that_panics_before_init_boots_again(self):
        run, boots, said = self.boots(panics=1)
        self.assertEqual((run.report["ok"], run.error, boots), (True, None, 2))
        self.assertIn("Kernel panic", said)
        self.assertIn("boot 1 of 3 of 6.12", said)

    def test_one_that_always_does_is_given_up(self):
        run, boots, _ = self.boots(panics=9)
        self.assertIsNone(run.report)
        self.assertEqual((run.console, boots), ("Kernel panic", vm.BOOTS))
        self.assertIn("did not boot", run.error)

    def test_one_boot_is_enough_where_init_ran(self):
        self.assertEqual(self.boots(panics=0)[1:], (1, ""))


class Table(unittest.TestCase):
    def test_every_difference_is_shown_with_its_kernel(self):
        right = REPORT | {"kinds": [REPORT["kinds"][0] | {"result": "ok"}], "cases": [], "hooks": {"file": ["fentry/x"]}}
        lines = table.matrix([result("a", REPORT), result("b", right), result("c", None, "it did not finish")]).splitlines()
        self.assertIn("file   open   WRONG  ok  -", lines)
        self.assertIn("a: WRONG open (file.open): row.ret: expected 3, found 4", lines)
        self.assertIn("c: it did not finish", lines)
        self.assertIn("file (a): tp_btf/sys_exit", lines)
        self.assertIn("file (b): fentry/x", lines)

    def test_what_all_kernels_have_in_common_is_said_once(self):
        text = table.matrix([result("a", REPORT), result("b", REPORT)])
        self.assertIn("file (all): tp_btf/sys_exit", text)
        self.assertEqual(text.count("expected 3"), 1)


class Initramfs(unittest.TestCase):
    def test_cpio_unpacks_it(self):
        archive = initramfs.Archive()
        archive.file("a/b/odd", b"12345", 0o755)
        archive.file("a/empty", b"", 0o644)
        with tempfile.TemporaryDirectory() as directory:
            packed = Path(directory) / "packed"
            packed.write_bytes(archive.bytes())
            # busybox reads "newc" as the kernel does.
            with packed.open("rb") as file:
                subprocess.run(["busybox", "cpio", "-i"], cwd=directory, stdin=file, check=True, capture_output=True)
            self.assertEqual((Path(directory) / "a/b/odd").read_bytes(), b"12345")
            self.assertEqual((Path(directory) / "a/b/odd").stat().st_mode & 0o777, 0o755)
            self.assertEqual((Path(directory) / "a/empty").read_bytes(), b"")

    def test_modules_come_after_what_they_need(self):
        with tempfile.TemporaryDirectory() as directory:
            for name, depends in [("top", "mid"), ("mid", "low_one"), ("low-one", ""), ("other", "")]:
                (Path(directory) / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0")
            found = initramfs.modules(Path(directory), ["top", "low-one", "built_in"])
            self.assertEqual(list(found), ["low-one.ko", "mid.ko", "top.ko"])


class Versions(unittest.TestCase):
    def test_versions_compare_as_dpkg_does(self):
        self.assertEqual(fetch.compare_versions("6.12.95-1~bpo12+1", "6.12.95-1"), -1)
        self.assertEqual(fetch.compare_versions("6.12.117-1", "6.12.95-1"), 1)
        self.assertEqual(fetch.compare_versions("6.1", "6.1"), 0)


if __name__ == "__main__":
    unittest.main()
