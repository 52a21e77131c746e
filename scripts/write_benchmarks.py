"""Run every script of ``scripts/bench/`` and write what they find into ``docs/benchmarks.md``.

    python scripts/write_benchmarks.py [--quick] [--only NAME ...] [--out FILE]

One script after the other, each a process of its own whose tables are shown as they come. The page is made of the last
line of each, as ``scripts/bench/measure/figures.py`` describes it. A script that says that it cannot run here has one
line in the page. If one fails, or lacks a figure for no known reason, the page says so, has what the others found, and
the exit code is 1. With ``--only``, the page is printed unless ``--out`` is given.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "scripts" / "bench"))

from measure.figures import BENCHES, Bench, Figure  # noqa: E402

PAGE = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("torch", "lightning", "transformers", "numpy", "scikit-learn", "numba")
BESIDE_FIGURES = ("notes", "stages", "reduced")

OPENING = """# Benchmarks

Written by `make bench`, which runs every script of `scripts/bench/`; do not edit by hand. `make bench QUICK=1` runs
less of each, and `python scripts/write_benchmarks.py --only NAME` one alone; `NAME.py` says how it measures.

Ways to the same result are timed in turn, round by round, in one process; ratios are taken within a round, and medians
of both are given. Seconds hold for this machine alone, ratios less so. Goals were set beforehand.
"""

QUICK = """
**A quick run**: fewer rounds and less data than `make bench` takes, so noisier, and small where size matters. Not to be
quoted.
"""


class Outcome(NamedTuple):
    """What came of a script.

    Attributes:
        name: Of the script.
        seconds: That it took.
        found: Its last line; empty if it failed.
        problem: Why it failed; empty if it did not.
    """

    name: str
    seconds: float
    found: dict[str, Any]
    problem: str = ""


def run_script(path: Path, quick: bool) -> Outcome:
    """Run a script, show what it prints, and keep the last line."""
    began, last = time.perf_counter(), ""
    words = [sys.executable, "-u", str(path), *(["--quick"] if quick else [])]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    seconds = time.perf_counter() - began
    if process.returncode:
        return Outcome(path.stem, seconds, {}, f"ended with exit code {process.returncode}")
    try:
        found = json.loads(last)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return Outcome(path.stem, seconds, {}, "did not end with a line of JSON")
    return Outcome(path.stem, seconds, found, problem_with(path.stem, found))


def problem_with(name: str, found: dict[str, Any]) -> str:
    """What is wrong with a script's last line; empty if nothing is."""
    if name not in BENCHES:
        return "is not described in scripts/bench/measure/figures.py"
    described, figures = BENCHES[name].figures, figures_in(found)
    unknown = [figure for figure in figures if figure not in described]
    missing = [figure for figure, about in described.items() if figure not in found and not about.needs]
    if unknown:
        return f"gives figures that are not described: {', '.join(unknown)}"
    if missing and figures:
        return f"lacks {', '.join(missing)}"
    return "" if figures or found.get("notes") else "gives neither figures nor a reason"


def figures_in(found: dict[str, Any]) -> dict[str, float]:
    """Figures alone."""
    return {name: value for name, value in found.items() if name not in BESIDE_FIGURES}


def machine() -> dict[str, str]:
    """What ran the scripts, which versions and which commit, and when."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    now = datetime.datetime.now(datetime.UTC)
    return {
        "CPU": f"{cpu_model()}, {cores} cores, {torch.get_num_threads()} threads of PyTorch",
        "memory": f"{memory:.0f} GB",
        "GPU": ", ".join(gpus) or "none",
        "busy before": f"load average {os.getloadavg()[0]:.1f}",
        "versions": ", ".join([f"Python {platform.python_version()}", *map(version_of, PACKAGES)]),
        "commit": commit(),
        "date": f"{now:%Y-%m-%d %H:%M} UTC",
    }


def cpu_model() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version_of(package: str) -> str:
    """Name and version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def commit() -> str:
    """Of the repository, and whether its files differ from it; other than the page itself, which is written anew."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=no").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "not known"
    others = [line for line in changed if line[3:] != str(PAGE.relative_to(ROOT))]
    return head + (", with changes" if others else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def page(about: dict[str, str], outcomes: list[Outcome], quick: bool) -> str:
    """The whole page."""
    parts = [OPENING + (QUICK if quick else ""), table(["", ""], [list(line) for line in about.items()])]
    return "\n".join([*parts, *map(section, outcomes)])


def section(outcome: Outcome) -> str:
    """What a script found, in words and as tables."""
    bench, found = BENCHES.get(outcome.name, Bench("", {})), outcome.found
    notes = [str(note) for note in found.get("notes", [])]
    parts = [f"## `{outcome.name}.py`\n"]
    if bench.compares:
        parts.append(f"{bench.compares}\n")
    if outcome.problem:
        parts.append(f"**Failed**: the script {outcome.problem}.\n")
    if not figures_in(found):
        return "\n".join(parts if outcome.problem else [*parts, f"Not run here: {'; '.join(notes)}.\n"])
    parts += [f"{note[:1].upper()}{note[1:]}.\n" for note in notes]
    parts.append(table(["figure", "value", "unit", "what it is", "goal"], figure_rows(bench, found)))
    if found.get("stages"):
        columns = list(found["stages"][0])
        parts.append(table(columns, [[str(stage[name]) for name in columns] for stage in found["stages"]]))
    parts.append(f"The script took {outcome.seconds:.0f} s.\n")
    return "\n".join(parts)


def figure_rows(bench: Bench, found: dict[str, Any]) -> list[list[str]]:
    """A row for each figure: those that are described first, in order."""
    rows = []
    for name in [*bench.figures, *(name for name in figures_in(found) if name not in bench.figures)]:
        figure = bench.figures.get(name, Figure("", ""))
        value = in_digits(found[name]) if name in found else f"needs {figure.needs}" if figure.needs else "missing"
        rows.append([f"`{name}`", value, figure.unit, figure.meaning, verdict(figure, found, name)])
    return rows


def verdict(figure: Figure, found: dict[str, Any], name: str) -> str:
    """The goal, and whether it is met where it applies."""
    if figure.goal is None:
        return ""
    goal = f"{figure.goal.sense} {figure.goal.bound:g}"
    if found.get("reduced"):
        return f"{goal} at full size"
    if name not in found:
        return goal
    return f"{goal}: {'met' if figure.goal.met(found[name]) else '**missed**'}"


def in_digits(value: float) -> str:
    """Three digits that count, or whole thousands."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Of Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def chosen(folder: Path, only: list[str] | None) -> list[Path]:
    """The scripts that are to run, in the order of their descriptions."""
    order = list(BENCHES)
    paths = sorted(folder.glob("*.py"), key=lambda path: (order.index(path.stem) if path.stem in order else 99, path))
    return [path for path in paths if only is None or path.stem in only]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of each, under a minute")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these scripts alone")
    parser.add_argument("--out", type=Path, help="the page; by default docs/benchmarks.md")
    parser.add_argument("--scripts", type=Path, default=ROOT / "scripts" / "bench", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    scripts = chosen(given.scripts, given.only)
    unknown = set(given.only or []) - {path.stem for path in scripts}
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: no such script in {given.scripts}")
    about, outcomes = machine(), []
    for path in scripts:
        print(f"\n== {path.name}", flush=True)
        outcomes.append(run_script(path, given.quick))
    written = page(about, outcomes, given.quick)
    out = given.out or (None if given.only else PAGE)
    if out is None:
        print(f"\n{written}")
    else:
        out.write_text(written)
        print(f"\npage: {out}")
    failed = [outcome for outcome in outcomes if outcome.problem]
    for outcome in failed:
        print(f"{outcome.name}.py {outcome.problem}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
