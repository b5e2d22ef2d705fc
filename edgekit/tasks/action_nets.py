"""A network of action recognition as TAO exports it: its streams, its classes, and what it notes of itself.

`input_rgb` is float32 [N, 3, D, H, W] (3d) or [N, 3·D, H, W] (2d: the same memory), `input_of` the same with
2 channels, u and v; a joint network has both. `fc_pred`, [N, classes], are logits. TAO's own files note
nothing: then names are given, or they are class0, class1 …, and pixels are (x / 255 - .5) / .5, as in
NVIDIA's stand-alone sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, TensorSpec
from edgekit.errors import InputError
from edgekit.ops.resize import CROPS
from edgekit.tasks.net_notes import Noted

#: The inputs: name, channels.
INPUTS = {"input_rgb": 3, "input_of": 2}
FORM = "input_rgb [N, 3, D, H, W] or [N, 3·D, H, W], input_of with 2 for 3, and fc_pred [N, classes]"
#: What a network looks at.
SUBJECTS = ("picture", "person")
#: The method of optical flow where a model notes none.
FLOW = "dis"


@dataclass(frozen=True)
class Stream:
    """One input of the network.

    Attributes:
        name: of the input.
        channels: 3, or 2 of optical flow.
        length: frames of a window (D).
        size: (height, width).
        flat: channels and frames share an axis (2d).
    """

    name: str
    channels: int
    length: int
    size: tuple[int, int]
    flat: bool

    def shape_of(self, rows: int) -> tuple[int, ...]:
        """The input's shape for so many clips."""
        frames = (self.channels * self.length,) if self.flat else (self.channels, self.length)
        return (rows, *frames, *self.size)

    def shaped(self, clips: NDArray[np.float32]) -> NDArray[np.float32]:
        """Clips [N, C, D, H, W] as the input has them; no copy."""
        return clips.reshape(self.shape_of(len(clips)))


@dataclass(frozen=True)
class Notes:
    """What a model says of itself (its ONNX metadata), or what was given instead.

    Attributes:
        names: of the classes.
        sample_rate: a window has every so many-th frame.
        stride: frames from one window to the next.
        threshold: lowest score that is shown.
        mean, std: of R, G, B / 255; of_mean, of_std: of u, v / 255.
        crop: one of `edgekit.ops.resize.CROPS`; smaller_edge: the short side before "center" cuts.
        per: one of `SUBJECTS`.
        person_margin: see `edgekit.tasks.action_people.square_of`.
        flow: a method of `edgekit.ops.flow.open_flow`.
    """

    names: tuple[str, ...]
    sample_rate: int
    stride: int
    threshold: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    of_mean: tuple[float, ...]
    of_std: tuple[float, ...]
    crop: str
    smaller_edge: int
    per: str
    person_margin: float
    flow: str


class Net:
    """The engine with its streams by their channels' kind.

    Attributes:
        engine: closed by who opened it.
        streams: those the network has, "rgb" and "of".
        output: name of the one with the logits.
        classes: how many, or None where the file does not say.
        rows: its fixed batch, or None; limit: rows of a call at most, or None.

    Raises:
        InputError: the tensors are not those of such a network.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.streams = {name.removeprefix("input_"): one for name, one in _streams(engine.inputs).items()}
        self.output, self.classes = _scores(engine.outputs)
        lead = engine.inputs[0]
        self.rows, self.limit = lead.shape[0], lead.batch_limit

    def __call__(self, clips: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """Probabilities, float32 [N, classes]: the softmax of the logits.

        Args:
            clips: for each stream float32 [N, C, D, H, W].

        Raises:
            InputError: the network gave something that is no number.
        """
        feeds = {self.streams[kind].name: self.streams[kind].shaped(clip) for kind, clip in clips.items()}
        return self.shares(self.engine(feeds)[self.output])

    def shares(self, given: NDArray[np.floating]) -> NDArray[np.float32]:
        """The softmax of logits [N, classes].

        Raises:
            InputError: one is no number.
        """
        logits = np.asarray(given, np.float64)
        if not np.isfinite(logits).all():
            raise InputError(
                f"{self.output} holds what is no number; in fp16 a network may overflow: try fp32."
            )
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def is_action(inputs: tuple[TensorSpec, ...]) -> bool:
    """Whether these are inputs of such a network, by their names."""
    return bool(inputs) and {spec.name for spec in inputs} <= set(INPUTS)


def read_notes(metadata: Mapping[str, str], net: Net, given: Mapping[str, Any]) -> Notes:
    """Settings as given, else as the model notes them, else TAO's.

    Raises:
        InputError: a note cannot be read, or a setting does not fit the network.
    """
    noted = Noted(metadata, given)
    pick = noted.pick
    names = tuple(map(str, pick("names", ())))
    if not names:
        names = tuple(f"class{number}" for number in range(net.classes or 0))
    if not names or (net.classes is not None and len(names) != net.classes):
        raise InputError(f"the network has {net.classes or 'some'} classes and {len(names)} names; give all.")
    found = Notes(
        names,
        int(pick("sample_rate", 1)),
        int(pick("stride", 1)),
        float(pick("threshold", 0.3)),
        noted.channels("mean", 0.5),
        noted.channels("std", 0.5),
        noted.channels("of_mean", 0.5, 2),
        noted.channels("of_std", 0.5, 2),
        _one_of("crop", pick("crop", "resize"), CROPS),
        int(pick("smaller_edge", 256)),
        _one_of("per", pick("per", "picture"), SUBJECTS),
        float(pick("person_margin", 0.3)),
        str(pick("flow", FLOW, _method)),
    )
    if found.sample_rate < 1:
        raise InputError(f"sample_rate={found.sample_rate} is no step; give 1 frame or more.")
    if min(found.std + found.of_std) <= 0:
        raise InputError(f"std={found.std}, of_std={found.of_std}: they must be over 0.")
    if not 0 <= found.person_margin <= 10:
        raise InputError(f"person_margin={found.person_margin} is not between 0 and 10.")
    height, width = next(iter(net.streams.values())).size
    if found.crop == "center" and found.smaller_edge < max(height, width):
        raise InputError(f"smaller_edge={found.smaller_edge} is less than the network's {width}×{height}.")
    return found


def read_labels(labels: str | Path) -> tuple[str, ...]:
    """Names of classes: a file with one a line, or "walk,sits,squat", in the order of the outputs.

    Raises:
        InputError: the file cannot be read, or there is no name, or one stands there twice.
    """
    text = str(labels)
    if isinstance(labels, Path) or "," not in text:
        try:
            text = Path(labels).expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"the labels {labels} cannot be read: {why}; give a file, or a,b,c.") from error
    names = tuple(name.strip() for name in text.replace(",", "\n").splitlines() if name.strip())
    if not names or len(set(names)) < len(names):
        raise InputError(
            f"the labels {labels} name {'a class twice' if names else 'no class'}; write each once."
        )
    return names


def _streams(inputs: tuple[TensorSpec, ...]) -> dict[str, Stream]:
    listed = ", ".join(map(str, inputs)) or "none"
    if not is_action(inputs):
        raise InputError(f"the network's inputs are {listed}; one of action recognition has {FORM}.")
    found = {}
    for spec in sorted(inputs, key=lambda one: one.name, reverse=True):  # rgb before of
        if spec.dtype != np.float32 or len(spec.shape) not in (4, 5):
            raise InputError(f"the network's input is {spec}; one of action recognition has {FORM}, float32.")
        channels, rest = INPUTS[spec.name], [n for n in spec.shape[1:] if n is not None]
        if len(rest) < len(spec.shape) - 1:
            raise InputError(f"input {spec} is open in more than its batch; export it with fixed sizes.")
        flat = len(rest) == 3
        length, odd = divmod(rest[0], channels) if flat else (rest[1], rest[0] - channels)
        if odd:
            raise InputError(f"input {spec} does not have {channels} channels a frame; the form is {FORM}.")
        found[spec.name] = Stream(spec.name, channels, length, (rest[-2], rest[-1]), flat)
    if len({(one.size, one.flat) for one in found.values()}) > 1:
        raise InputError(f"the inputs {listed} do not belong together; export the model again.")
    return found


def _scores(outputs: tuple[TensorSpec, ...]) -> tuple[str, int | None]:
    flat = [spec for spec in outputs if len(spec.shape) == 2]
    named = [spec for spec in flat if spec.name == "fc_pred"] or flat
    if len(named) != 1:
        listed = ", ".join(map(str, outputs)) or "none"
        raise InputError(f"no one output [N, classes] among {listed}; one of action recognition has {FORM}.")
    return named[0].name, named[0].shape[1]


def _method(value: Any) -> Any:
    """The method that a note of flow tells: a word, or the method with its scaling."""
    return value.get("method", FLOW) if isinstance(value, dict) else str(value).split()[0]


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise InputError(f"{name}={value!r} is unknown; give one of {', '.join(known)}.")
    return value
