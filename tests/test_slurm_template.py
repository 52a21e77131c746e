"""The SLURM template: what it starts, where it goes on, and that two nodes capture and fit with it."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from workplace import make_workplace, wait_for

from rs_cae.cli import main
from rs_cae.stream.cache import read_manifest

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "scripts" / "slurm" / "rs_cae.sbatch"
SRUN = """#!/usr/bin/env bash
tasks=$SLURM_NTASKS
while [[ $1 == --* ]]; do
    [[ $1 != --ntasks=* ]] || tasks=${1#*=}
    shift
done
for ((task = 0; task < tasks; task++)); do
    SLURM_PROCID=$task SLURM_NODEID=$task SLURM_LOCALID=0 SLURM_NTASKS=$tasks "$@" & pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
exit ${code:-0}
"""
"""Every task of a step, on this machine."""

SCONTROL = """#!/usr/bin/env bash
[[ $1 != show ]] || printf 'localhost\\nnowhere\\n'
echo "$@" >>scontrol
"""
STUB = """#!/usr/bin/env bash
printf '%q ' "$@" "threads=$OMP_NUM_THREADS" "slurm=${SLURM_PROCID:-none}" "job=${SLURM_JOB_ID:-none}" >>started-$$
exec """
"""In the interpreter's place."""


class Cluster:
    """A folder from which jobs are submitted.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder):
        self.folder = folder
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.write("srun", SRUN)
        self.write("scontrol", SCONTROL)
        self.interpreter()

    def write(self, name, text):
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def interpreter(self, then="true"):
        self.write("python", STUB + then)

    def submit(self, *words, nodes=2, **variables):
        """A job that runs."""
        own = {name: text for name, text in os.environ.items() if not name.startswith(("SLURM_", "OMP_"))}
        job = {"SLURM_JOB_ID": "41", "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_NTASKS": str(nodes)}
        job |= {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_SUBMIT_DIR": str(self.folder)}
        path = {"PATH": f"{self.programs}:{os.environ['PATH']}", "PYTHON": str(self.programs / "python")}
        environment = {**own, **job, **path, **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(["bash", TEMPLATE, *words], env=environment, cwd="/", **pipes)

    def run(self, *words, **variables):
        """What a job printed, if it ended well."""
        job = self.submit(*words, **variables)
        printed, _ = job.communicate(timeout=300)
        assert job.returncode == 0, printed
        return printed

    def started(self):
        """The words and the environment of each interpreter that was started since this was last asked."""
        found = []
        for path in sorted(self.folder.glob("started-*")):
            found.append(shlex.split(path.read_text()))
            path.unlink()
        return found


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def test_it_is_bash():
    assert subprocess.run(["bash", "-n", TEMPLATE], check=False).returncode == 0


def test_the_fit_of_its_head_is_one(monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = [line.lstrip("# ") for line in TEMPLATE.read_text().split("#SBATCH")[0].replace("\\\n", "").splitlines()]
    (fit,) = (line.partition(" fit ")[2] for line in lines if line.startswith("sbatch") and " fit " in line)
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *(word for word in shlex.split(fit) if word != "#"), "--print_config"])
    assert stopped.value.code == 0


def test_one_torchrun_a_node_and_all_of_them_meet_on_the_first(cluster):
    cluster.run("cache", "--data.cache_dir=a b", SLURM_GPUS_ON_NODE="4", SLURM_CPUS_PER_TASK="16")
    started = sorted(cluster.started(), key=lambda words: words[-2])
    assert [words[-2:] for words in started] == [["slurm=0", "job=41"], ["slurm=1", "job=41"]]
    one, other = (words[:-2] for words in started)
    assert one == other
    assert one[:2] == ["-m", "torch.distributed.run"]
    assert {"--nnodes=2", "--nproc-per-node=4", "--rdzv-endpoint=localhost:20041", "--rdzv-id=41"} < set(one)
    assert one[-5:] == ["-m", "rs_cae", "cache", "--data.cache_dir=a b", "threads=4"]
    cluster.run("test", nodes=1, PROCESSES_PER_NODE="3", MASTER_PORT="99")
    (words,) = cluster.started()
    assert {"--nnodes=1", "--nproc-per-node=3", "--rdzv-endpoint=localhost:99", "threads=1"} < set(words)


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ([], "runs/slurm-41"),
        (["--run_dir=runs/mine"], "runs/mine"),
        (["--run_dir", "runs/other one", "--test_after", "true"], "runs/other one"),
    ],
)
def test_a_fit_goes_on_where_it_was(cluster, given, folder):
    cluster.run("fit", "--model.bottleneck=3", *given, nodes=1)
    (words,) = cluster.started()
    wanted = given or [f"--run_dir={folder}"]
    assert words[words.index("fit") :][:-3] == ["fit", "--model.bottleneck=3", *wanted]
    last = cluster.folder / folder / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    cluster.run("fit", *given, nodes=1)
    (words,) = cluster.started()
    assert words[words.index("fit") :][:-3] == ["fit", *wanted, f"--ckpt_path={folder}/checkpoints/last.ckpt"]
    cluster.run("fit", *given, "--ckpt_path", "mine.ckpt", nodes=1)
    (words,) = cluster.started()
    assert words[words.index("fit") :][:-3] == ["fit", *given, "--ckpt_path", "mine.ckpt", *wanted[len(given) :]]
    cluster.run("cache", *given, nodes=1)
    assert "ckpt" not in str(cluster.started())


def test_an_agent_for_each_task_knows_nothing_of_the_others(cluster):
    cluster.run("agent", "me/rs_cae/abc", SLURM_GPUS_ON_NODE="4", SLURM_CPUS_PER_TASK="8")
    alone = ["-m", "wandb", "agent", "me/rs_cae/abc", "threads=8", "slurm=none", "job=none"]
    assert cluster.started() == [alone, alone]


def test_what_has_one_process_gets_one(cluster):
    cluster.run("perturb", "--prompt", "A cat's")
    expected = ["-m", "rs_cae", "perturb", "--prompt", "A cat's", "threads=1", "slurm=none", "job=none"]
    assert cluster.started() == [expected]


def test_a_job_ends_as_what_it_runs(cluster):
    cluster.interpreter(then="false")
    job = cluster.submit("test")
    job.communicate(timeout=60)
    assert job.returncode == 1
    job = cluster.submit()
    assert "what is to be run" in job.communicate(timeout=60)[0]
    assert job.returncode


def test_before_the_time_is_up_it_is_queued_again(cluster):
    cluster.interpreter(then="sleep 1")
    job = cluster.submit("test", nodes=1)
    wait_for(lambda: list(cluster.folder.glob("started-*")))
    job.send_signal(signal.SIGUSR1)
    job.communicate(timeout=60)
    assert job.returncode == 0
    assert (cluster.folder / "scontrol").read_text().splitlines()[1:] == ["requeue 41"]


@pytest.mark.slow
def test_two_nodes_capture_fit_and_go_on(cluster):
    place = make_workplace(cluster.folder)
    variables = {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}
    cluster.run("cache", *place.options("--data.cache_dir=trajectories"), **variables)
    manifests = [read_manifest(cluster.folder / "trajectories" / role) for role in ("train", "test")]
    assert [manifest.samples for manifest in manifests] == [44, 14]
    assert all(manifest.complete for manifest in manifests)
    cached = place.options("--data.source=cached", "--data.cache_dir=trajectories", "--data.batch_size=16")
    quick = ["--trainer.enable_progress_bar=false", "--analyses=[explained_variance]", "--report=false"]
    fit = ["fit", *cached, *quick, "--test_after=true"]
    first = cluster.run(*fit, "--trainer.max_epochs=1", **variables)
    again = cluster.run(*fit, "--trainer.max_epochs=2", **variables)
    assert "last.ckpt" in again
    assert "last.ckpt" not in first
    run_dir = cluster.folder / "runs" / "slurm-41"
    assert "explained_variance_pooled" in json.loads((run_dir / "metrics.json").read_text())
    epochs = [(run_dir / f"logs/fit/version_{number}/metrics.csv").read_text() for number in (0, 1)]
    assert [text.splitlines()[1].split(",")[0] for text in epochs] == ["0", "1"]
