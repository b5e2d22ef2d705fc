"""The `edgekit` command: thin. Each subcommand lives in the module it belongs to.

Exit codes: 0 done; 1 failed; 2 a bad file or setting; 3 this machine lacks something;
4 done, but the source was damaged and the results hold what could be read; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pkgutil import resolve_name

from edgekit import __version__
from edgekit.errors import EdgekitError

#: name: (function that adds the parser, one line of help). Its module is imported only when it is used.
COMMANDS = {
    "doctor": ("edgekit.doctor:add_parser", "what this machine has, what is missing, and the cure"),
    "selftest": ("edgekit.selftest:add_parser", "try everything this machine can do; one file to send"),
    "sources": ("edgekit.sources_cli:add_parser", "what can be opened here: cameras, streams, files"),
    "models": ("edgekit.models.cli:add_parser", "the shelf: list, fetch, add and verify models"),
    "build": ("edgekit.engine.build_cli:add_parser", "build a TensorRT plan from ONNX"),
    "run": ("edgekit.run_cli:add_parser", "run a task on a file, folder, camera or stream"),
    "bench": ("edgekit.bench.cli:add_parser", "time a model's stages on this machine"),
    "log": ("edgekit.telemetry.log_cli:add_parser", "log power, heat and load, also of a command"),
    "report": ("edgekit.report.cli:add_parser", "runs and logs as one page"),
    "power": (
        "edgekit.telemetry.power_cli:add_parser",
        "power mode, clocks and fan, and the commands that change them",
    ),
    "prepare": ("edgekit.prepare.cli:add_parser", "make a data set of your own videos (AVA's layout)"),
    "label": ("edgekit.label.cli:add_parser", "label your own pictures with poses (COCO keypoints)"),
    "train": ("edgekit.train.cli:add_train_parser", "train a model (extra [train])"),
    "evaluate": (
        "edgekit.evaluate.cli:add_parser",
        "score a model against labelled pictures, clips or tracks",
    ),
    "infer": ("edgekit.train.action_cli:add_infer_parser", "label clips with a trained checkpoint"),
    "validate": (
        "edgekit.evaluate.validate_cli:add_parser",
        "AlphaPose's accuracy over back ends and precisions",
    ),
    "export": ("edgekit.export_cli:add_parser", "write a trained or Darknet model as ONNX"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="edgekit", description=__doc__.splitlines()[0])
    parser.description = "TensorRT engines, YOLO, pose and actions on a Jetson, or on a laptop without one."
    parser.epilog = "Exit codes: " + __doc__.split("Exit codes: ")[1].strip().replace("\n", " ")
    parser.add_argument("--version", action="version", version=f"edgekit {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in given if not word.startswith("-")), None)
    for name, (adder, words) in COMMANDS.items():
        if name == chosen:
            resolve_name(adder)(subparsers)
        else:
            subparsers.add_parser(name, help=words)
    args = parser.parse_args(given)
    try:
        return int(args.run(args))
    except EdgekitError as error:
        if args.debug:
            raise
        sys.stderr.write(f"edgekit: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("edgekit: interrupted\n")
        return 130
    except BrokenPipeError:  # `edgekit models | head`
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
