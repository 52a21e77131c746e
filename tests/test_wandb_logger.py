"""Whether Weights & Biases is online, what its runs are called, and what is done where its server does not take all."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import wandb
import xarray as xr
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from made_up_results import latent_of

from rs_cae.callbacks import RunRecord, WandbResults
from rs_cae.callbacks.wandb_logger import has_key, is_reachable, wandb_logger
from rs_cae.results import Headline
from rs_cae.run_folder import RunFolder


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch, tmp_path):
    for name in ("API_KEY", "MODE", "PROJECT", "NAME", "BASE_URL", "DATA_DIR"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch):
    """One that answers nothing but 404."""
    handler = type("Handler", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None})
    with HTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=[0.02])
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.server_port}")
        yield listening
        listening.shutdown()
        thread.join()


@pytest.fixture
def nowhere(monkeypatch):
    """A server that is not there."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def mode_of(logger):
    return logger._wandb_init["mode"]


@pytest.mark.parametrize(
    ("variables", "netrc", "expected"),
    [
        ({}, None, False),
        ({"WANDB_API_KEY": "x"}, None, True),
        ({}, "machine api.wandb.ai login user password x", True),
        ({}, "machine github.com login user password x", False),
        ({}, "not a netrc", False),
        ({"WANDB_BASE_URL": "https://wandb.here:8080"}, "machine wandb.here login user password x", True),
        ({"WANDB_BASE_URL": "https://wandb.here:8080"}, "machine api.wandb.ai login user password x", False),
    ],
)
def test_a_key_is_one_of_the_server(variables, netrc, expected, monkeypatch, tmp_path):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if netrc:
        (tmp_path / "netrc").write_text(netrc)
    assert has_key() == expected


def test_a_server_is_reachable_whatever_it_answers(server):
    assert is_reachable()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "no address"])
def test_a_server_that_is_not_there(address, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", address)
    assert not is_reachable()


def test_with_a_key_and_a_server_it_is_online(server, monkeypatch, tmp_path):
    assert mode_of(wandb_logger(tmp_path)) == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert mode_of(wandb_logger(tmp_path)) == "online"
    monkeypatch.setenv("RANK", "1")  # logs nothing, so need not ask
    assert mode_of(wandb_logger(tmp_path)) == "offline"


def test_with_a_key_and_no_server_it_is_offline_and_says_so(nowhere, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert mode_of(wandb_logger(tmp_path)) == "offline"
    assert capsys.readouterr().err == "http://127.0.0.1:9 does not answer: Weights & Biases is kept offline\n"


@pytest.mark.parametrize("mode", ["online", "offline", "disabled"])
def test_what_the_environment_says_comes_first(mode, nowhere, monkeypatch, tmp_path):
    for name, value in {"MODE": mode, "PROJECT": "mine", "NAME": "this"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = wandb_logger(tmp_path / "run-7", "fit")
    assert mode_of(logger) is None  # so that W&B looks there itself
    assert (logger.name, logger._name) == ("mine", "this")
    assert os.environ["WANDB_MODE"] == mode


def test_a_run_is_called_like_its_folder_and_uploads_no_model(tmp_path):
    logger = wandb_logger(tmp_path / "run-7", "test")
    assert (logger.name, logger._name, logger._wandb_init["job_type"]) == ("rs_cae", "run-7", "test")
    assert logger.save_dir == str(tmp_path / "run-7")
    assert logger._log_model is False


class Taken:
    """A run that keeps what it is given."""

    def __init__(self, folder, fails=()):
        self.id, self.dir, self.fails = "run1", str(folder / "files"), fails
        self.kept, self.summary, self.logged, self.metrics, self.artifacts, self.staged = {}, {}, {}, {}, [], set()
        self.config = SimpleNamespace(update=lambda values, **_: self.kept.update(values))

    def define_metric(self, name, **how):
        self.metrics[name] = how

    def log(self, values):
        if self.fails and any(name.startswith(self.fails) for name in values):
            raise wandb.errors.CommError("no answer\nat all")
        self.staged.add(os.environ.get("WANDB_DATA_DIR"))
        self.logged |= values

    def log_artifact(self, artifact):
        self.artifacts.append(artifact)


def hand_over(folder, run, artifact=False, zero=True):
    """What the end of a test gives a run."""
    record = RunRecord(RunFolder(folder), {"seed": 0, "versions": '{"torch": "2"}', "settings": "{}"})
    latent = latent_of()
    record.add_variables("latent", xr.Dataset({**latent.data_vars}, latent.coords))
    record.add_headline("explained_variance_pooled", Headline(0.5, "1", 0.4, float("nan"), 0.0, None, "Half."))
    record.add_attribute("truncated_texts", 2)
    results = WandbResults(RunFolder(folder), {"model": {"init_args": {"bottleneck": 2}}}, artifact)
    loggers = [CSVLogger(folder), WandbLogger(experiment=run), WandbLogger(experiment=run)]
    trainer = SimpleNamespace(callbacks=[record, results], loggers=loggers, is_global_zero=zero)
    results.setup(trainer, None, "test")
    results.on_test_end(trainer, None)


def test_two_loggers_of_one_run_hand_over_once(tmp_path):
    run = Taken(tmp_path)
    hand_over(tmp_path, run)
    assert run.kept == {
        "model": {"init_args": {"bottleneck": 2}},
        "provenance": {"seed": 0, "versions": {"torch": "2"}, "truncated_texts": 2},
    }
    numbers = {"": 0.5, "_low": 0.4, "_null": 0.0}
    names = ("test/explained_variance", "test/explained_variance_pooled")
    assert run.summary == {f"{name}{end}": number for name in names for end, number in numbers.items()}
    assert {name for name in run.logged if name.startswith("tables/")} == {
        f"tables/{name}" for name in ("headlines", "by_sublayer", "by_transition")
    }
    assert "curves/latent/layer_distance" in run.logged
    assert "curves/latent/r2" not in run.logged  # neither interval nor null
    assert run.staged == {None, str(tmp_path.resolve())}
    assert "WANDB_DATA_DIR" not in os.environ
    assert run.artifacts == []


def test_copies_lie_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", "elsewhere")
    run = Taken(tmp_path)
    hand_over(tmp_path, run)
    assert run.staged == {"elsewhere"}
    assert os.environ["WANDB_DATA_DIR"] == "elsewhere"


def test_what_the_server_does_not_take_is_said_and_ends_nothing(tmp_path, capsys):
    run = Taken(tmp_path, fails=("tables/",))
    hand_over(tmp_path, run, artifact=True)
    assert run.summary["test/explained_variance"] == 0.5
    assert run.artifacts == []
    said = f"Weights & Biases has not taken all that {tmp_path} holds: no answer at all\n"
    assert capsys.readouterr().err == said
    assert "WANDB_DATA_DIR" not in os.environ


def test_processes_but_the_first_hand_over_nothing(tmp_path):
    run = Taken(tmp_path)
    hand_over(tmp_path, run, zero=False)
    assert (run.kept, run.summary, run.logged, run.metrics) == ({}, {}, {}, {})
