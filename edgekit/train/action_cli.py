"""`edgekit train | evaluate | infer | export actions`, as TAO's four. PyTorch is imported when they run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.train.action_help import commented, parameters
from edgekit.train.action_spec import Spec, as_written, read_spec, results_in, spec_from, values_given

#: Command: (what it does, sections of the spec that its --help lists, an example).
COMMANDS = {
    "train": (
        "train ActionRecognitionNet by an experiment spec, as TAO's action_recognition",
        ("model", "dataset", "train"),
        "edgekit train actions -e spec.yaml results_dir=out train.num_epochs=20 train.gpu_ids=[0,1]",
    ),
    "evaluate": (
        "accuracy of a trained ActionRecognitionNet, and its confusion matrix",
        ("evaluate",),
        "edgekit evaluate actions -e spec.yaml evaluate.checkpoint=out/train/ar_model_latest.pth",
    ),
    "infer": (
        "label the clips of a folder: lines `path [labels]`",
        ("inference",),
        "edgekit infer actions -e spec.yaml inference.checkpoint=out/train/ar_model_latest.pth "
        "inference.inference_dataset_dir=clips/walk",
    ),
    "export": (
        "a trained ActionRecognitionNet to ONNX",
        ("export",),
        "edgekit export actions -e spec.yaml export.checkpoint=out/train/ar_model_latest.pth",
    ),
}


def add_parser(kinds: Any, command: str) -> None:
    """Add `actions` to the kinds of `train`, `infer` or `export`."""
    _fill(kinds.add_parser("actions", **_texts(command)), command)


def add_infer_parser(subparsers: Any) -> None:
    """Add `infer`."""
    parser = subparsers.add_parser("infer", help="label clips with a trained checkpoint (extra [train])")
    add_parser(parser.add_subparsers(dest="kind", metavar="KIND", required=True), "infer")


def parser_for_evaluate(prog: str) -> argparse.ArgumentParser:
    """The parser of `edgekit evaluate actions`."""
    texts = _texts("evaluate")
    del texts["help"]
    parser = argparse.ArgumentParser(prog=f"{prog} actions", **texts)
    _fill(parser, "evaluate")
    return parser


def _texts(command: str) -> dict[str, Any]:
    words, sections, example = COMMANDS[command]
    rest = "" if command == "train" else "\nmodel, dataset and train: see `edgekit train actions --help`."
    return {
        "help": words,
        "description": f"{words[0].upper()}{words[1:]}.\nExample: {example}",
        "epilog": "parameters, with their defaults and what they may be ((*): unknown to TAO):\n"
        f"{parameters(*sections)}{rest}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _fill(parser: argparse.ArgumentParser, command: str) -> None:
    add = parser.add_argument
    add(
        "-e",
        "--experiment-spec",
        "--experiment_spec",
        "--experiment_spec_file",
        dest="spec",
        metavar="YAML",
        help="the spec; all commands may share one (missing: that of the checkpoint)",
    )
    add("overrides", nargs="*", metavar="key=value", help="settings over those of the spec")
    add("-r", "--results_dir", metavar="DIR", help="as results_dir=DIR (TAO 3 and 4)")
    add("-k", "--key", metavar="KEY", help="as encryption_key=KEY (TAO 3 and 4)")
    if command == "train":
        add(
            "--write-spec",
            metavar="FILE",
            help="write a spec with all parameters and comments (- prints it), and do nothing else",
        )
    parser.set_defaults(run=run, task=command)


def run(args: argparse.Namespace) -> int:
    """Any of the four: returns the exit code."""
    from edgekit.train.cli import need_torch

    overrides = list(args.overrides)
    overrides += [f"results_dir={args.results_dir}"] if args.results_dir else []
    overrides += [f"encryption_key={args.key}"] if args.key else []
    if getattr(args, "write_spec", None):
        given = as_written(args.spec, overrides, _say) if args.spec or overrides else None
        return _write(commented(given), args.write_spec)
    if args.spec is None and not overrides:
        raise InputError(
            "Give a spec: -e spec.yaml; `edgekit train actions --write-spec spec.yaml` makes one."
        )
    need_torch()
    base = args.spec or (None if args.task == "train" else spec_of_checkpoint(args.task, overrides))
    spec = read_spec(base, overrides, args.task, _say)
    return {"train": _train, "evaluate": _evaluate, "infer": _infer, "export": _export}[args.task](spec)


def spec_of_checkpoint(task: str, overrides: Sequence[str]) -> Spec | None:
    """The spec that a checkpoint was trained by, for a command without `-e`; None: it keeps none (TAO's).

    Raises:
        InputError: the overrides name no checkpoint, or it cannot be read.
    """
    from edgekit.train.action_weights import read_checkpoint

    section = "inference" if task == "infer" else task
    group = values_given(None, overrides).get(section)
    path = group.get("checkpoint") if isinstance(group, dict) else None
    if not isinstance(path, str):
        raise InputError(f"Give -e spec.yaml, or {section}.checkpoint=FILE.pth: it keeps its own spec.")
    values = read_checkpoint(path).spec
    return None if values is None else spec_from(values)


def _train(spec: Spec) -> int:
    from edgekit.train.actions import train_actions

    path = train_actions(spec, report=_say)
    _say(f"checkpoint: {path}\nexport it:  edgekit export actions export.checkpoint={path}")
    return 0


def _evaluate(spec: Spec) -> int:
    from edgekit.train.action_evaluate import evaluate_actions

    results_in(spec.evaluate.results_dir)  # or it is said before the work, not after it
    sys.stdout.write(f"{evaluate_actions(spec, report=_say)}\n")
    return 0


def _infer(spec: Spec) -> int:
    from edgekit.train.action_infer import infer_actions, line_of

    for path, labels in infer_actions(spec):
        sys.stdout.write(line_of(path, labels) + "\n")
        sys.stdout.flush()
    return 0


def _export(spec: Spec) -> int:
    from edgekit.train.action_export import export_actions

    path = export_actions(spec)
    sys.stdout.write(f"{path}: {path.stat().st_size / 1e6:.1f} MB\n")
    _say(f"run it:     edgekit run action --model {path} --source 0")
    return 0


def _write(text: str, file: str) -> int:
    from edgekit.files import atomic_write

    if file == "-":
        sys.stdout.write(text)
        return 0
    if Path(file).exists():
        raise InputError(f"{file} is there already; give another name, or remove it.")
    with atomic_write(file) as scratch:
        scratch.write_text(text, "utf-8")
    _say(f"{file}: set dataset.train_dataset_dir and results_dir, then: edgekit train actions -e {file}")
    return 0


def _say(line: str) -> None:
    """To the terminal, once, not from every process of a training on several GPUs."""
    if os.environ.get("LOCAL_RANK", "0") == "0":
        sys.stderr.write(line + "\n")
