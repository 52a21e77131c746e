"""What every command refuses: exit code 2, one line that names the option and the value, nothing printed or written."""

import json
import shlex
import shutil
import subprocess
import sys

import pytest
from refusals import build_parser_once, check_refusal, make_wrong, refuse, state_of
from workplace import contents, obey_permissions, start
from wrong_command_lines import AS_PROCESSES, CASES, WITHOUT_PERMISSION

from rs_cae import __main__
from rs_cae.cli import main
from rs_cae.commands.sweeping.headlines import HEADLINES, OF_ANY_TEST
from rs_cae.modules import ReducerModule, principal


@pytest.fixture(scope="module")
def wrong(tested, tmp_path_factory):
    """The working folder of this module: a run, and everything that is wrong."""
    folder = tmp_path_factory.mktemp("wrong")
    make_wrong(folder, *tested)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "80")
        build_parser_once(patch)
        yield folder


@pytest.fixture(scope="module")
def started(wrong):
    """Processes of their own with wrong command lines, which run while the others are looked at."""
    command, streams = [sys.executable, "-m", "rs_cae"], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return {
        words: subprocess.Popen([*command, *shlex.split(words)], cwd=wrong, text=True, **streams)
        for words, _ in AS_PROCESSES
    }


def every():
    for command, cases in CASES.items():
        for words, expected in cases:
            line = f"{command} {words}".strip()
            yield pytest.param(shlex.split(line), expected, id=line or "nothing")


@pytest.mark.parametrize(("words", "expected"), every())
def test_one_clear_line(wrong, started, capsys, words, expected):
    refuse(words, expected, wrong, capsys)


@pytest.mark.parametrize(("words", "expected"), AS_PROCESSES)
def test_a_process_says_the_same(started, words, expected):
    printed, error = started[words].communicate(timeout=120)
    assert started[words].returncode == 2
    check_refusal(printed, error, expected)


def test_a_pca_that_wants_more_passes_than_epochs(wrong, capsys, monkeypatch):
    monkeypatch.setattr(principal, "WIDEST", 31)
    words = ["fit", "--config=tiny.yaml", "--model=PCAModule", "--trainer.max_epochs=4"]
    refuse(words, "--trainer.max_epochs 4: must be at least 5 for covariances of this size", wrong, capsys)


@pytest.mark.parametrize(("words", "expected"), WITHOUT_PERMISSION)
def test_what_may_not_be_read_or_written(wrong, tmp_path, words, expected):
    barred = [wrong / name for name in ("barred", "barred_run", "barred.txt", "barred.yaml")]
    modes, printed = [path.stat().st_mode for path in barred], tmp_path / "printed"

    def without_permission():
        obey_permissions()
        return main(shlex.split(words))

    try:
        for path in barred:
            path.chmod(0o555 if path.is_dir() else 0)
        before = state_of(wrong)
        process = start(without_permission, printed)
        process.join(60)
        assert state_of(wrong) == before
    finally:
        for path, mode in zip(barred, modes, strict=True):
            path.chmod(mode)
    assert process.exitcode == 2
    check_refusal("", printed.read_text(), expected)


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_an_interruption_is_one_line_and_leaves_what_was_there(wrong, tmp_path, monkeypatch, capsys, command):
    run_dir = shutil.copytree(wrong / "run", tmp_path / "run")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ReducerModule, f"{command.replace('validate', 'validation')}_step", interrupt)
    monkeypatch.setattr(sys, "argv", ["rs_cae", command, f"--run_dir={run_dir}", "--trainer.enable_progress_bar=false"])
    before = contents(run_dir)
    assert __main__.main() == 130
    assert capsys.readouterr().err == "interrupted\n"
    after = {name: content for name, content in contents(run_dir).items() if not name.startswith("logs/")}
    assert after.items() <= before.items()
    assert before.keys() - after.keys() <= {name for name in before if name.startswith("logs/")}


def test_what_a_sweep_can_compare_is_what_a_test_finds(asked_everything):
    found = set(json.loads((asked_everything[1] / "metrics.json").read_text()))
    known = OF_ANY_TEST.union(*HEADLINES.values())
    assert found <= known
    lacking = {name for name in known - found if not name.endswith("_early_minus_late")}
    assert lacking == {"explained_variance_100_pooled"}  # of a PCA of 100 components
