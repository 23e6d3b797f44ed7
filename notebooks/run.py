#!/usr/bin/env python3
"""Execute the code cells of notebooks as plain Python, so that a test needs no Jupyter.

usage: notebooks/run.py [NOTEBOOK ...]      default: every notebook beside this file

Fails (exit 1) if a cell raises, or if a notebook carries outputs, which would tell of the machine it ran on.
"""

import ast
import json
import os
import sys
from pathlib import Path


def run(path: Path) -> None:
    """Run the cells in one namespace, in the notebook's folder; print the value a cell ends with, as Jupyter does."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        where = f"{path.name}: cell {cell['id']}"
        if cell["outputs"] or cell["execution_count"] is not None:
            raise SystemExit(f"error: {where}: has outputs\nhint: clear all outputs before saving")
        tree = ast.parse("".join(cell["source"]), where)
        last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, where, "exec"), names)
        if last is not None:
            value = eval(compile(last, where, "eval"), names)
            if value is not None:
                print(value)


def main() -> None:
    here = Path(__file__).resolve().parent
    notebooks = [Path(name).resolve() for name in sys.argv[1:]] or sorted(here.glob("*.ipynb"))
    for notebook in notebooks:
        os.chdir(notebook.parent)
        run(notebook)
        print(f"ok: {notebook.name}", file=sys.stderr)


if __name__ == "__main__":
    main()
