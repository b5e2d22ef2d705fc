"""The options that both tasks of windows share."""

from __future__ import annotations

import argparse

import pytest

from edgekit.errors import InputError
from edgekit.run_cli import _common
from edgekit.run_windowed import COLD, add_windowed, windowed_settings
from edgekit.tasks import windowed


def asked(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    _common(parser)
    add_windowed(parser, stride=2)
    return parser.parse_args(words)


def test_what_is_not_asked_for_is_left_to_the_model() -> None:
    kept = {"detector": "edgekit-person", "tracker": "bytetrack", "tracking": {}, "cold": "wait"}
    assert windowed_settings(asked()) == kept | {
        "threshold": None,
        "stride": None,
        "wait": None,
        "ops": "auto",
    }
    assert windowed.COLD == COLD


def test_what_is_asked_for_is_what_the_task_gets() -> None:
    words = "--detector d.onnx --tracker deepsort --appearance a.onnx --threshold .5 --every 3 --cold pad"
    assert windowed_settings(asked(*words.split(), "--no-wait", "--ops", "host")) == {
        "detector": "d.onnx",
        "tracker": "deepsort",
        "tracking": {"appearance": "a.onnx"},
        "threshold": 0.5,
        "stride": 3,
        "cold": "pad",
        "wait": False,
        "ops": "host",
    }


def test_an_appearance_takes_deepsort() -> None:
    with pytest.raises(InputError, match="--appearance is of --tracker deepsort; this one is bytetrack"):
        windowed_settings(asked("--appearance", "a.onnx"))
