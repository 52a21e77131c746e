"""What every command refuses: exit code 2, one line that names the option and the value, nothing printed or written."""

import shlex
import subprocess
import sys

import pytest
from refusals import build_parser_once, check_refusal, make_wrong, refuse
from wrong_command_lines import AS_PROCESSES, CASES

from rs_cae.modules import principal


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
