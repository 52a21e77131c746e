"""A sweep file whose runs are a stub's, which stands in for the interpreter and behaves as it is told."""

import contextlib
import json
import sys
from pathlib import Path

import yaml

from rs_cae.cli import main

STUB = """#!{python} -SE
import json, os, pathlib, signal, sys, time
began = time.monotonic()
command, words = sys.argv[3], sys.argv[4:]
given = dict(word.partition("=")[::2] for word in words if "=" in word)
with open("{log}", "a") as log:
    log.write(json.dumps([command, words, os.environ.get("OMP_NUM_THREADS")]) + "\\n")
behaviour = json.loads(pathlib.Path("{behaviour}").read_text())
todo = behaviour.get(command if command == "cache" else given["--model.bottleneck"], "")
if command == "cache":
    pathlib.Path(given["--data.cache_dir"]).mkdir(exist_ok=True)
    if todo == "fail":
        sys.exit("error: no such model")
    sys.exit()
folder = pathlib.Path(given["--run_dir"])
assert not folder.exists(), "the folder was left as it was"
folder.mkdir()
(folder / "run.json").write_text("{{}}")
if todo == "fail":
    print("epoch 3\\repoch 4\\rerror: --x y: a reason\\nwandb: synced", file=sys.stderr)
    sys.exit(2)
if todo == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if todo == "wait":
    time.sleep(60)
end = time.monotonic() + 30
while todo == "meet" and time.monotonic() < end and len(pathlib.Path("{log}").read_text().splitlines()) < 2:
    time.sleep(0.01)
time.sleep(0 if todo == "meet" else float(todo or 0))
value = float(given["--model.bottleneck"]) / 100
line = {{"value": value, "low": value - 0.1, "high": None if value == 0.04 else value + 0.1, "unit": "1"}}
(folder / "metrics.json").write_text(json.dumps({{"explained_variance_pooled": line}}))
with open("{log}-spans", "a") as log:
    log.write(json.dumps([began, time.monotonic()]) + "\\n")
"""
FILE = {
    "method": "grid",
    "metric": {"name": "test/explained_variance_pooled", "goal": "maximize"},
    "parameters": {"model.bottleneck": {"values": [1, 2, 4]}},
    "command": ["python", "-m", "rs_cae", "fit", "--test_after", "true", "${args}"],
}
NAMES = [f"model.bottleneck-{value}" for value in (1, 2, 4)]


class Stubbed:
    """A folder with a sweep file whose runs are a stub's.

    Attributes:
        file: The sweep.
        out: Its folder.
    """

    def __init__(self, folder):
        self.file, self.out = folder / "sweep.yaml", folder / "out"
        self.log, self.behaviour = folder / "log", folder / "behaviour.json"
        self.program = folder / "python"
        self.program.write_text(STUB.format(python=sys.executable, log=self.log, behaviour=self.behaviour))
        self.program.chmod(0o755)
        self.write()
        self.behave()

    def write(self, **changed):
        self.file.write_text(yaml.safe_dump({**FILE, **changed}))

    def behave(self, **of_bottleneck):
        self.behaviour.write_text(json.dumps({name.strip("_"): do for name, do in of_bottleneck.items()}))

    def sweep(self, *words):
        return main(["sweep", str(self.file), "--out", str(self.out), *words])

    def started(self):
        """What was started since this was last asked: command, words and threads of each."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def spans(self):
        """When each run began and ended."""
        return [json.loads(line) for line in Path(f"{self.log}-spans").read_text().splitlines()]

    def bottlenecks(self):
        words = [word for _, words, *_ in self.started() for word in words]
        return [word.partition("=")[2] for word in words if word.startswith("--model.bottleneck=")]


def running(program):
    """The processes of a program."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(program).encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
