"""The results of all kernels as text of at most 100 columns."""

import textwrap

WIDTH = 100
MARKS = {"ok": "ok", "wrong": "WRONG", "skipped": "skipped"}


def matrix(results):
    parts = [kinds(results), hooks(results), times(results)]
    remarks = notes(results)
    return "\n\n".join(part for part in [parts[0], remarks, *parts[1:]] if part)


def grid(rows):
    """Left-aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def kinds(results):
    """A row per event kind, a column per kernel."""
    marks = {}
    for column, result in enumerate(results):
        for kind in result["report"]["kinds"] if result["report"] else []:
            row = marks.setdefault((kind["class"], kind["op"]), ["-"] * len(results))
            row[column] = MARKS[kind["result"]]
    header = ["class", "event", *(result["name"] for result in results)]
    return grid([header, *([*kind, *row] for kind, row in marks.items())])


def notes(results):
    """What was wrong or skipped, and where; one note for all kernels that have it in common."""
    where = {}
    for result in results:
        for note in remarks(result):
            where.setdefault(note, []).append(result["name"])
    lines = [f"{', '.join(names)}: {note}" for note, names in where.items()]
    return "\n".join(wrap(line) for line in lines)


def remarks(result):
    if result["note"]:
        yield result["note"]
    if result["error"]:
        yield result["error"]
    report = result["report"] or {"cases": [], "accounting": []}
    for case in report["cases"]:
        if case["note"]:
            yield f"{MARKS[case['result']]} {case['case']} ({', '.join(case['kinds'])}): {case['note']}"
    yield from report["accounting"]


def hooks(results):
    """Class, kernels, hooks: a line for each set of kernels that uses the same ones."""
    used = {}
    for result in results:
        for name, places in (result["report"] or {"hooks": {}})["hooks"].items():
            used.setdefault(name, {}).setdefault(", ".join(places), []).append(result["name"])
    lines = []
    everywhere = [result["name"] for result in results if result["report"]]
    for name, sets in used.items():
        for places, kernels in sets.items():
            where = "all" if kernels == everywhere else ", ".join(kernels)
            lines.append(wrap(f"{name} ({where}): {places}"))
    return "\n".join(["hooks", *lines]) if lines else ""


def times(results):
    def seconds(value):
        return "-" if value is None else f"{value:.1f}"

    rows = [["kernel", "release", "boot s", "selftest s", "total s"]]
    for result in results:
        report = result["report"] or {"kernel": "-", "seconds": None}
        rows.append([
            result["name"], report["kernel"], seconds(result["boot_seconds"]), seconds(report["seconds"]),
            seconds(result["total_seconds"]),
        ])  # fmt: skip
    return grid(rows)


def wrap(line):
    return textwrap.fill(line, WIDTH, subsequent_indent="  ", break_on_hyphens=False)
