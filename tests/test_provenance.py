"""Of which commit the code is: what git says of a checkout, and nothing where there is none or git does not answer."""

import json
import os
import shutil
import subprocess
import time

import pytest
import xarray as xr
from compared import attributes_of
from workplace import quietly

from rs_cae.cli import main
from rs_cae.commands import provenance
from rs_cae.commands.provenance import git_commit
from rs_cae.commands.sweeping.written import _shared_attributes
from rs_cae.stream.cache import read_manifest


def git(folder, *words):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *own, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package in a checkout of its own."""
    folder = tmp_path / "checkout" / "some_package"
    folder.mkdir(parents=True)
    (folder / "code.py").write_text("1")
    (folder.parent / "README.md").write_text("1")
    (folder.parent / ".gitignore").write_text("*.pyc")
    git(folder.parent, "init")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "first")
    return folder


def asked(package):
    git_commit.cache_clear()
    return git_commit(package)


@pytest.fixture(autouse=True)
def _ask_anew():
    yield
    git_commit.cache_clear()


def test_a_clean_checkout_has_a_commit_and_a_changed_one_is_dirty(package):
    commit = git(package, "rev-parse", "HEAD")
    assert asked(package) == commit
    (package.parent / "results.nc").write_text("what runs write beside the package does not change it")
    (package / "code.pyc").write_text("nor does what is ignored")
    assert asked(package) == commit
    (package / "more.py").write_text("1")
    assert asked(package) == f"{commit}-dirty"
    (package / "more.py").unlink()
    (package.parent / "README.md").write_text("2")
    assert asked(package) == f"{commit}-dirty"
    git(package, "commit", "--all", "-m", "second")
    assert asked(package) == git(package, "rev-parse", "HEAD") != commit
    (package / "code.py").write_text("2")
    assert git_commit(package) == git(package, "rev-parse", "HEAD")  # what is loaded is what was there


def test_it_is_the_packages_own_checkout(package, tmp_path, monkeypatch):
    installed = package.parent / "venv" / "some_package"
    shutil.copytree(package, installed)
    assert asked(installed) == "unknown"
    assert asked(tmp_path / "nowhere" / "some_package") == "unknown"
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # of a hook in which rs_cae runs, say
    assert len(asked(package)) == 40


def test_a_checkout_without_a_commit_has_none(package):
    shutil.rmtree(package.parent / ".git")
    git(package.parent, "init")
    assert asked(package) == "unknown"


@pytest.mark.parametrize(
    "program", [None, "echo '# branch.oid abc'; exit 1", "sleep 60 & sleep 60", "echo", "printf '\\377'"]
)
def test_a_git_that_is_missing_fails_hangs_or_babbles_does_not_matter(package, program, tmp_path, monkeypatch):
    if program is not None:
        (tmp_path / "git").write_text(f"#!/bin/bash\nPATH={os.environ['PATH']}\n{program}\n")
        (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    began = time.monotonic()
    assert asked(package) == "unknown"
    assert time.monotonic() - began < 10


def test_perturb_names_the_seeds_of_the_fit_as_well(tested, tmp_path, monkeypatch):
    monkeypatch.setattr("rs_cae.commands.perturb.write_report", lambda *_: [])
    _, run_dir = tested
    words = ["--grid=3", "--bootstrap=39", "--steps=2", "--layers=0", "--seed=3", f"--out={tmp_path / 'out'}"]
    code, printed = quietly(lambda: main(["perturb", f"--run_dir={run_dir}", *words]))
    assert code == 0, printed
    with xr.open_dataset(tmp_path / "out" / "perturbation.nc", engine="h5netcdf") as found:
        seeds = json.loads(found.attrs["seeds"])
        assert seeds == {"seed_everything": 0, "model.seed": None, "data.seed": 0, "perturb.seed": 3}
        assert found.attrs["git_commit"] == git_commit()
    assert attributes_of(run_dir)["perturbation"]["git_commit"] == git_commit()


def test_a_cache_names_the_commit_and_its_seed(cache):
    for role in ("train", "test"):
        manifest = read_manifest(cache / role)
        assert manifest.origin["git_commit"] == git_commit()
        assert "seed" in str(manifest.identity)


def test_a_run_without_a_seed_says_so():
    data = {"model": "m", "random_init": False, "shuffle_tokens": False, "train_corpus": "a", "test_corpus": "b"}
    for seed, expected in ((3, 3), (False, "none")):  # a file of results takes no truth values
        assert provenance.attributes_of({"data": data}, {"model": "r", "seed_everything": seed})["seed"] == expected


def test_a_sweep_names_run_by_run_what_its_runs_do_not_share(tmp_path):
    for name, commit in {"a": "1", "b": "2"}.items():
        (tmp_path / name / "results").mkdir(parents=True)
        dataset = xr.Dataset(attrs={"git_commit": commit, "seeds": "{}", "settings": name, "seed": 0})
        dataset.to_netcdf(tmp_path / name / "results" / "latent.nc", engine="h5netcdf")
    found = _shared_attributes([tmp_path / "a", tmp_path / "b"])
    by_run = {name: json.loads(found.pop(f"{name}_by_run")) for name in ("git_commit", "versions")}
    assert by_run == {"git_commit": {"a": "1", "b": "2"}, "versions": {"a": None, "b": None}}
    assert found == {"seeds": "{}", "seed": 0}
    assert _shared_attributes([tmp_path / "a"])["git_commit"] == "1"
    assert _shared_attributes([]) == {}
