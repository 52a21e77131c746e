"""``rs_cae predict``: the latents of other texts, by the reducer of a run."""

from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser, Namespace
from lightning import Trainer

from rs_cae.callbacks import RunRecord
from rs_cae.callbacks.predictions import PredictionWriter
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.run_folder import RunFolder, refuse_unwritable
from rs_cae.stream.corpus import GivenTexts
from rs_cae.stream.outliers import OutlierRule


def add_options(parser: ArgumentParser) -> None:
    """Add what says of which texts latents are wanted, and where they go."""
    texts = "A text a line, of any length; by default the test corpus."
    parser.add_argument("--texts", type=str | None, default=None, help=texts)
    out = "A new .nc file; by default RUN_DIR/predictions/NAME.nc, in place of an earlier one."
    parser.add_argument("--out", type=str | None, default=None, help=out)


def prepare(options: Namespace, trainer: Trainer, data: TrajectoryDataModule) -> None:
    """Put the texts that are given in the place of the test corpus, and add what writes their latents.

    Args:
        options: Of the command.
        trainer: Has a ``RunRecord``, which knows the run.
        data: Of the run, nothing read yet.

    Raises:
        InputError: If the texts cannot be read, or the file cannot be written.
    """
    record = RunRecord.of(trainer)
    attributes, lines, name = record.attributes, None, "test"
    if options.texts is not None:
        given = GivenTexts.of_file("test", options.texts, "--texts")
        attributes, lines, name = {**attributes, "test_corpus": given.name}, np.array(given.lines), given.name
        data.origin = data.origin.reading(given)
        data.outlier_rule = OutlierRule(None, "report")  # that of the run is for its own corpora
    path = _file(options.out, record.folder, Path(name.removesuffix(".gz")).stem)
    trainer.callbacks.append(PredictionWriter(path, attributes, lines))  # type: ignore[attr-defined]


def _file(given: str | None, folder: RunFolder, name: str) -> Path:
    """Where the latents go.

    Raises:
        InputError: If it is no .nc file, is there already, or cannot be written.
    """
    if given is None:
        refuse_unwritable("--run_dir", folder.predictions)
        return folder.predictions / f"{name}.nc"
    path = Path(given)
    if path.suffix != ".nc":
        raise InputError("--out", given, "must be the path of a .nc file")
    if path.exists():
        raise InputError("--out", given, "is there already; name a new file")
    refuse_unwritable("--out", path.parent)
    return path
