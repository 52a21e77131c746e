"""The command line: Lightning's, with runs that live in one folder and one clear line for bad input."""

import signal
import sys
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import set_parsing_settings
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from rs_cae import processes
from rs_cae.callbacks import ANALYSES
from rs_cae.callbacks.wandb_logger import finish, run_of_agent
from rs_cae.commands import cache, perturb, predict, report, sweep, verify
from rs_cae.commands.checks import refuse_unfit_analyses, refuse_unfit_data, refuse_unfit_seed, refuse_unfit_trainer
from rs_cae.commands.joining import Joined, join_run
from rs_cae.commands.messages import constructor_problem, trainer_problem
from rs_cae.commands.notices import silence
from rs_cae.commands.parser import OneLineParser
from rs_cae.commands.provenance import attributes_of, identity_of
from rs_cae.commands.trainer import callbacks_of, devices_of, loggers_of, refuse_lone_artifact
from rs_cae.data import TrajectoryDataModule
from rs_cae.errors import InputError
from rs_cae.modules import ReducerModule
from rs_cae.run_folder import RunFolder, new_run_path

DEFAULT_MODEL = "rs_cae.modules.AutoencoderModule"
TRAINER_DEFAULTS = {"max_epochs": 40, "num_sanity_val_steps": 0, "enable_model_summary": False, "log_every_n_steps": 10}
OWN_COMMANDS = {
    **{"cache": cache.run, "verify": verify.run, "perturb": perturb.run, "report": report.run},
    "sweep": lambda words: sweep.run(words, RunCLI),
}
WANDB_HELP = "Log to Weights & Biases; offline without a key. True by default under `wandb agent`."
ARTIFACT_HELP = "Hand Weights & Biases the results, figures and report of the test as an artifact."
NOT_PART_OF_A_RUN = {
    *("config", "run_dir", "analyses", "report", "test_after", "wandb_artifact", "ckpt_path"),
    *("weights_only", "verbose", "return_predictions", "texts", "out"),
}


class RunCLI(LightningCLI):
    """``fit`` starts a run in a folder of its own; ``validate``, ``test`` and ``predict`` join it.

    Args:
        joined: The run and the checkpoint that the command line refers to.
        arguments: The command line, completed by the joined run's configuration.
    """

    def __init__(self, joined: Joined, arguments: list[str]) -> None:
        self.joined = joined
        self.folder: RunFolder
        super().__init__(
            ReducerModule,
            TrajectoryDataModule,
            save_config_callback=None,
            trainer_defaults=dict(TRAINER_DEFAULTS),
            seed_everything_default=0,
            parser_class=OneLineParser,
            parser_kwargs={name: {"parser_mode": "omegaconf+"} for name in self.subcommands()},
            subclass_mode_model=True,
            auto_configure_optimizers=False,
            args=arguments,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The trainer's methods that are commands, with the arguments that are no options."""
        every = LightningCLI.subcommands()
        return {name: every[name] for name in ("fit", "validate", "test", "predict")}

    def setup_parser(self, *arguments: Any, **keywords: Any) -> None:
        """Add what only single commands have."""
        super().setup_parser(*arguments, **keywords)
        self.parser.epilog = f"Also, each with its own --help: {', '.join(OWN_COMMANDS)}."
        for name, parser in self._subcommand_parsers.items():
            own = {"fit": {}, "predict": {"return_predictions": False}}.get(name, {"verbose": name != "test"})
            parser.set_defaults(weights_only=True, **own)
        predict.add_options(self._subcommand_parsers["predict"])
        self._subcommand_parsers["fit"].add_argument(
            "--test_after", type=bool, default=False, help="Run test on the best checkpoint when the fit has ended."
        )
        for name in ("fit", "test"):
            self._subcommand_parsers[name].add_argument(
                "--wandb_artifact", type=bool, default=False, help=ARTIFACT_HELP
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what all commands share."""
        parser.add_argument("--run_dir", type=str | None, default=None, help="Holds everything that the run writes.")
        parser.add_argument(
            "--analyses",
            type=list[str],
            default=list(ANALYSES),
            help="What a test asks; all by default, though not all of it depends on the reducer.",
        )
        parser.add_argument("--report", type=bool, default=True, help="End a test with figures and report.html.")
        parser.add_argument("--wandb", type=bool, default=run_of_agent() is not None, help=WANDB_HELP)
        for name, analysis in ANALYSES.items():
            parser.add_lightning_class_args(analysis, name)
        parser.set_defaults({"model": {"class_path": DEFAULT_MODEL}})
        for name in ("width", "sublayers"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Instead of letting the checkpoint overrule the options silently, refuse options that it contradicts."""
        options = self.config[self.config.subcommand]
        refuse_unfit_seed(options.seed_everything)
        self.joined.refuse_conflict(options.model)

    def before_instantiate_classes(self) -> None:
        """Find the run's folder and make sure that this run may write there."""
        options = self.config[self.subcommand]
        for name in options.analyses:
            if name not in ANALYSES:
                raise InputError("--analyses", name, f"expected some of {', '.join(ANALYSES)}")
        refuse_lone_artifact(options)
        self.identity = identity_of(options)
        given = Path(options.run_dir) if options.run_dir else None
        self.folder = RunFolder(given or self.joined.folder or new_run_path(options.model.class_path, run_of_agent()))
        if processes.launched_rank() == 0:
            self.folder.check(self.identity)

    def instantiate_classes(self) -> None:
        """Instantiate, and turn what the constructors find wrong into input errors."""
        try:
            super().instantiate_classes()
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(*constructor_problem(str(error))) from error
        self.joined.refuse_other_shape(self.datamodule)
        refuse_unfit_analyses(self.trainer, self.datamodule.layout)

    def instantiate_trainer(self, **keywords: Any) -> Trainer:
        """Add the loggers, the checkpoints and the record of the run."""
        settings = self._get(self.config_init, "trainer")
        options = self.config[self.subcommand]
        loggers = loggers_of(settings.get("logger"), self.folder, self.subcommand, options.wandb)
        config = yaml.safe_load(self._run_config())
        attributes = attributes_of(config, self.identity)
        self.trainer_defaults["callbacks"] = callbacks_of(self.folder, config, attributes, options)
        keywords |= devices_of(settings)
        try:
            where = str(self.folder.path)
            trainer: Any = super().instantiate_trainer(logger=loggers, default_root_dir=where, **keywords)
        except (MisconfigurationException, ImportError, RuntimeError, TypeError, ValueError) as error:
            given = {**settings.as_dict(), **keywords}
            raise InputError(*trainer_problem(str(error), given)) from error
        left_out = [kind for name, kind in ANALYSES.items() if name not in options.analyses]
        trainer.callbacks = [callback for callback in trainer.callbacks if type(callback) not in left_out]
        return trainer

    def before_fit(self) -> None:
        """Read the corpora, so that whatever is wrong with them is said before anything is written."""
        refuse_unfit_trainer(self.trainer, self.model)
        stages = ["fit", "test"] if self.config.fit.test_after else ["fit"]
        self._begin(stages)

    def before_validate(self) -> None:
        """Read the corpora."""
        self._begin(["validate"])

    def before_test(self) -> None:
        """Read the corpora."""
        self._begin(["test"])

    def before_predict(self) -> None:
        """Read the texts of which latents are wanted."""
        predict.prepare(self.config.predict, self.trainer, self.datamodule)
        self._begin(["predict"])

    def after_fit(self) -> None:
        """Say where the run lies, and test it if asked to."""
        best = Path(self.trainer.strategy.broadcast(str(self.folder.checkpoints / "best.ckpt")))
        if self.config.fit.test_after:
            self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, weights_only=True, verbose=False)
        elif self.trainer.is_global_zero:
            print(f"best checkpoint: {best}\ntest it: python -m rs_cae test --run_dir {self.folder.path}")

    def _begin(self, stages: list[str]) -> None:
        for stage in stages:
            self.datamodule.setup(stage)
        refuse_unfit_data(self.model, self.trainer, self.datamodule, stages)
        self.datamodule.origin.device = self.trainer.strategy.root_device
        self.datamodule.origin.verify()
        if self.trainer.is_global_zero:
            if self.subcommand == "fit" or not self.folder.identity_file.is_file():
                self.folder.create(self.identity, self._run_config())
                self.folder.forget_results()
            print(self.datamodule.describe())

    def _run_config(self) -> str:
        """The options by which any command can join this run, as YAML."""
        parser = self._parser(self.subcommand)
        content = yaml.safe_load(parser.dump(self.config[self.subcommand], skip_none=False))
        return yaml.safe_dump({k: v for k, v in content.items() if k not in NOT_PART_OF_A_RUN}, sort_keys=False)


def main(arguments: list[str]) -> int:
    """Run a command line.

    Returns:
        0; 2 after bad input, which is told in one line; 1 where the model's states are not finite, or what was to be
        verified does not hold; 130 after Ctrl-C.
    """
    silence()
    set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
    OneLineParser.typed = arguments
    code = 1
    try:
        done = _run(arguments)
        processes.leave()
        code = done
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except PermissionError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        code = 2
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr)
    except RuntimeError as error:
        if not processes.lost_another(error):
            raise
        print("error: another process of this run has ended", file=sys.stderr)
    finally:
        finish(code)
    return code


def _run(arguments: list[str]) -> int:
    command = arguments[0] if arguments else ""
    if command in OWN_COMMANDS:
        if command != "cache" and (count := processes.launched_count()) > 1:
            raise InputError("rs_cae", command, f"is of one process, but torchrun has started {count}: leave it out")
        return OWN_COMMANDS[command](arguments[1:])
    if not command.startswith("-") and command not in RunCLI.subcommands():
        every = ", ".join([*RunCLI.subcommands(), *OWN_COMMANDS])
        raise InputError("rs_cae", command, f"expected a command, one of {every}")
    try:
        RunCLI(*join_run(arguments))
    except SystemExit as left:
        if isinstance(left.__context__, KeyboardInterrupt):  # of which the trainer, once interrupted, takes no other
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from None
        raise
    return 0
