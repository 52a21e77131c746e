"""The page of benchmarks: what is written of scripts that end well, cannot run, or fail; and what they promise."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rs_cae.stream import TokenBatch, capture, find_hook_points
from rs_cae.teleportation import Teleports

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
sys.path.append(str(SCRIPTS))

import write_benchmarks as writer  # noqa: E402
from measure.stages import Stages, Work  # noqa: E402

PROMISED = {
    "capture": ["capture_over_bare", "ragged_speedup", "live_rss_growth_mb", "cached_gb_per_s"],
    "peers_capture": ["ours_over_bare", "nnsight_over_bare", "transformer_bridge_over_bare"],
    "layerwise": ["rss_over_weights", "bytes_read_over_weights"],
    "dynamics": [
        *("ksg_speedup", "ksg_paper_scale_seconds", "rotations_speedup"),
        *("streaming_over_numpy", "streaming_rss_growth_mb"),
    ],
    "reducers": [
        *("per_sublayer_speedup_128", "per_sublayer_speedup_512", "pca_speedup_incremental"),
        *("pca_over_covariance_eigh", "cae_step_over_bare"),
    ],
    "teleport": ["teleport_speedup_24", "teleport_speedup_100", "teleport_max_error"],
    "demo": ["demo_seconds"],
    "llama_8b": ["figures_1_to_4_seconds"],
}
TELEPORT = {
    "teleport_speedup_24": 27.24,
    "teleport_speedup_100": 41.4,
    "teleport_max_error": 5.69e-07,
    "teleport_peak_growth_mb": 1234.5,
}
DEMO = {"demo_seconds": 99, "fit_seconds": 1, "test_seconds": 98}


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Runs made-up scripts, by name what each does, and gives the exit code, the page and what was printed."""
    monkeypatch.setattr(writer, "machine", lambda: {"CPU": "an abacus", "date": "today"})

    def run(scripts, *words):
        folder, out = tmp_path / "scripts", tmp_path / "page.md"
        folder.mkdir()
        for name, code in scripts.items():
            (folder / f"{name}.py").write_text(code)
        code = writer.main([f"--scripts={folder}", f"--out={out}", *words])
        return code, out.read_text(), capsys.readouterr()

    return run


def saying(found, *lines):
    """A script that prints some lines and ends with these figures."""
    return "\n".join(f"print({line!r})" for line in [*lines, json.dumps(found)])


def section(page, name):
    return page.partition(f"## `{name}.py`")[2].partition("## ")[0]


def test_figures_stand_with_their_meaning_and_their_goal(bench):
    code, page, printed = bench({"teleport": f"{saying(TELEPORT, 'a table')}\nprint()"})
    assert code == 0
    assert "| CPU | an abacus |" in page
    assert (
        "| `teleport_speedup_24` | 27.2 | times | 16 layers of width 512, prompt of 24 tokens | at least 20: met |"
        in page
    )
    assert "| at least 60: **missed** |" in page
    assert "| `teleport_max_error` | 5.69e-07 | 1 |" in page
    assert "| `teleport_peak_growth_mb` | 1,234 | MB |" in page
    assert "full forward passes of copies" in section(page, "teleport")
    assert "A quick run" not in page
    assert "a table" in printed.out


def test_quick_is_handed_on_and_said(bench):
    given = f"import sys; assert sys.argv[1:] == ['--quick']\n{saying(TELEPORT)}"
    code, page, _ = bench({"teleport": given}, "--quick")
    assert code == 0
    assert "A quick run" in page


def test_a_script_that_fails_is_fatal_only_at_the_end(bench):
    scripts = {
        "teleport": "print('{\"teleport_speedup_24\": 1}'); raise SystemExit(3)",
        "demo": saying(DEMO),
        "layerwise": "print('no JSON')",
    }
    code, page, printed = bench(scripts)
    assert code == 1
    assert "**Failed**: the script ended with exit code 3." in section(page, "teleport")
    assert "| `" not in section(page, "teleport")
    assert "**Failed**: the script did not end with a line of JSON." in section(page, "layerwise")
    assert "| `demo_seconds` | 99 | s | both commands | at most 180: met |" in section(page, "demo")
    assert printed.err.splitlines() == [
        "layerwise.py did not end with a line of JSON",
        "teleport.py ended with exit code 3",
    ]


def test_a_script_that_cannot_run_here_has_one_line(bench):
    code, page, _ = bench({"teleport": saying({"notes": ["no such thing is installed"]})})
    assert code == 0
    assert section(page, "teleport").splitlines()[-1] == "Not run here: no such thing is installed."


def test_parts_that_need_more_are_said_to(bench):
    found = {"ours_over_bare": 1.0, "hidden_states_over_bare": 1.1, "notes": ["left out: nnsight"]}
    code, page, _ = bench({"peers_capture": saying(found)})
    assert code == 0
    assert "| `nnsight_over_bare` | needs nnsight |" in page
    assert "Left out: nnsight." in page


@pytest.mark.parametrize(
    ("name", "found", "problem"),
    [
        ("demo", {"demo_seconds": 99, "fit_seconds": 1}, "lacks test_seconds"),
        ("demo", DEMO | {"naps": 2}, "gives figures that are not described: naps"),
        ("demo", {}, "gives neither figures nor a reason"),
        ("naps", {"naps": 2}, "is not described in scripts/bench/measure/figures.py"),
        ("demo", [1], "did not end with a line of JSON"),
    ],
)
def test_what_is_not_as_described_fails(bench, name, found, problem):
    code, page, _ = bench({name: saying(found)})
    assert code == 1
    assert f"**Failed**: the script {problem}." in page


def test_goals_of_less_than_the_whole_have_no_verdict(bench):
    stages = [{"stage": "capture | all", "seconds": "1.0"}, {"stage": "teleports", "seconds": "2.0"}]
    figures = dict.fromkeys(writer.BENCHES["llama_8b"].figures, 0.5)
    code, page, _ = bench({"llama_8b": saying(figures | {"reduced": True, "stages": stages, "notes": ["no GPU"]})})
    assert code == 0
    assert "| at most 60 at full size |" in page
    assert ": met" not in page
    assert "| stage | seconds |\n| --- | --- |\n| capture \\| all | 1.0 |\n| teleports | 2.0 |\n" in page


def test_one_alone_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(writer, "PAGE", tmp_path / "page.md")
    (tmp_path / "demo.py").write_text(saying(DEMO))
    (tmp_path / "teleport.py").write_text("raise SystemExit(1)")
    monkeypatch.setattr(writer, "machine", dict)
    assert writer.main([f"--scripts={tmp_path}", "--only", "demo"]) == 0
    assert "## `demo.py`" in capsys.readouterr().out
    assert not (tmp_path / "page.md").exists()
    with pytest.raises(SystemExit):
        writer.main([f"--scripts={tmp_path}", "--only", "naps"])
    assert "--only naps: no such script" in capsys.readouterr().err


def test_the_machine_is_described():
    about = writer.machine()
    assert about["versions"].startswith(f"Python {sys.version.split()[0]}, torch {torch.__version__}")
    assert all(about.values())


def test_every_script_is_described_and_takes_quick():
    scripts = {path.stem: path.read_text() for path in (SCRIPTS / "bench").glob("*.py")}
    assert scripts.keys() == writer.BENCHES.keys()
    for name, bench in writer.BENCHES.items():
        assert '"--quick"' in scripts[name]
        assert bench.compares.endswith(".")
        assert set(PROMISED[name]) <= bench.figures.keys()
        assert all(figure.meaning and figure.unit for figure in bench.figures.values())


def test_work_is_what_torch_counts(tiny_llama):
    """Torch counts products of matrices; of fused attention it knows nothing on a CPU."""
    model, ids, rows = deepcopy(tiny_llama), torch.arange(36).reshape(3, 12), torch.arange(3)
    layers, width = model.config.num_hidden_layers, model.config.hidden_size
    work, batch = Work(model), TokenBatch(ids, torch.ones_like(ids), rows, torch.full((3,), 11), rows, rows)
    with FlopCounterMode(display=False) as counted:
        capture(model, batch)
    assert work.flops == counted.get_total_flops() + layers * 4 * 3 * 12 * 12 * width
    assert work.tokens == 36
    teleports = Teleports(model, find_hook_points(model))
    assert teleports.way == "prefix kept"
    work.flops = work.tokens = 0
    with FlopCounterMode(display=False) as counted:
        teleports.of(ids[0]).teleport(2, torch.randn(7, width), 3)
    prefix, control, points = layers * 11 * 11, layers * 12, 2 * 7 * 12  # points run in the last two layers alone
    assert work.flops == counted.get_total_flops() + 4 * (prefix + control + points) * width
    assert work.tokens == 11 + 1 + 7


def test_stages_have_their_own_share():
    stages = Stages(torch.device("cpu"), ceiling=1e3)
    with stages.stage("idle"):
        held = torch.ones(50_000_000)
        del held
    with stages.stage("not counted", counted=False) as second:
        pass
    second.seconds, second.flops, second.tokens = 2.0, 1000, 50
    first, last = stages.rows()
    assert (first["stage"], first["tokens a second"], first["TFLOP/s"]) == ("idle", "", "")
    assert last["stage"] == "not counted (not in the total)"
    assert (last["seconds"], last["tokens a second"], last["share of the ceiling"]) == ("2.0", "25", "0.50")
    assert stages.all[0].peak_gb > second.peak_gb + 0.15


@pytest.mark.slow
def test_llama_8b_runs_where_there_is_little():
    words = [
        sys.executable,
        str(SCRIPTS / "bench" / "llama_8b.py"),
        "--quick",
        "--layers=2",
        "--width=64",
        "--texts=20",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert writer.problem_with("llama_8b", found) == ""
    assert writer.figures_in(found).keys() == writer.BENCHES["llama_8b"].figures.keys()
    assert all(value > 0 for value in writer.figures_in(found).values())
    assert found["reduced"]
    assert "2 layers of width 64, 20 test and 80 train texts" in found["notes"][0]
    assert len(found["stages"]) == 11
    counted = [float(row["seconds"]) for row in found["stages"] if "not in the total" not in row["stage"]]
    assert abs(sum(counted) - found["figures_1_to_4_seconds"]) < 0.6
