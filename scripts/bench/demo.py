"""What a newcomer waits for: the two commands of ``make demo``, in a fresh folder, with nothing cached.

    python scripts/bench/demo.py [--quick]

``fit`` on the demo's configuration, then ``test`` with all of its questions, figures and the report, each a process of
its own. Corpora, fonts and compiled code are cached in folders of their own, which are empty at the start.

Last line: JSON with demo_seconds, the wall time of both commands, fit_seconds and test_seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FEWER = {
    "fit": ["--data.n_train=400", "--trainer.max_epochs=4"],
    "test": ["--data.n_test=100", "--perturbation.texts=10", "--dynamics.mi_units=32", "--curvature.draws=200"],
}


def seconds_of(command: str, run: Path, words: list[str], caches: Path) -> float:
    """Run a command of ``rs_cae`` on a run's folder; its wall time."""
    fresh = {"XDG_CACHE_HOME": str(caches), "NUMBA_CACHE_DIR": str(caches / "numba"), "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    given = [sys.executable, "-m", "rs_cae", command, f"--run_dir={run}", *words, "--trainer.enable_progress_bar=false"]
    subprocess.run(given, cwd=run.parent, env=os.environ | fresh, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer texts, epochs and draws, under a minute")
    quick = parser.parse_args().quick
    fewer = FEWER if quick else {"fit": [], "test": []}
    with tempfile.TemporaryDirectory() as folder:
        run, caches = Path(folder) / "run", Path(folder) / "caches"
        fit = seconds_of("fit", run, [f"--config={ROOT / 'configs' / 'demo.yaml'}", *fewer["fit"]], caches)
        test = seconds_of("test", run, fewer["test"], caches)
        if not (run / "report.html").is_file():
            raise SystemExit("the test has left no report")
    print(f"\nfit {fit:.1f} s, test {test:.1f} s, together {fit + test:.1f} s")
    figures = {"demo_seconds": fit + test, "fit_seconds": fit, "test_seconds": test}
    print(json.dumps({name: round(value, 2) for name, value in figures.items()} | ({"reduced": True} if quick else {})))


if __name__ == "__main__":
    main()
