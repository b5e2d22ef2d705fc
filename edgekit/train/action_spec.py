"""The experiment spec of action recognition: TAO's YAML, checked by name, as frozen dataclasses.

`read_spec` takes what TAO's ActionRecognitionNet takes: a YAML file and `key=value` overrides, in the layout
of its page and of TAO 5 and 6 (`model`, `dataset`, `train` …), and in that of TAO 3 and 4 (`model_config` …).
"""

# ruff: noqa: RUF009 (`setting` and `section` make dataclass fields)
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

from edgekit.errors import InputError, MissingError
from edgekit.files import atomic_write
from edgekit.train.action_fields import checked, nearest, section, setting
from edgekit.train.action_old import renamed
from edgekit.train.action_settle import settled
from edgekit.train.action_table import Dataset, Evaluate, Export, Inference, Model, Train

Report = Callable[[str], None]
T = TypeVar("T")

#: The tasks of a spec, and what each cannot do without.
NEEDED = {
    "train": ("dataset.train_dataset_dir",),
    "evaluate": ("evaluate.checkpoint", "evaluate.test_dataset_dir"),
    "inference": ("inference.checkpoint", "inference.inference_dataset_dir"),
    "export": ("export.checkpoint",),
}


@dataclass(frozen=True)
class Spec:
    """A whole experiment spec; `Spec()` holds the defaults."""

    results_dir: str = setting("/results", "folder of all results")
    encryption_key: str | None = setting(None, "of TAO's encrypted files, which cannot be read here")
    model: Model = section(Model, "the network")
    dataset: Dataset = section(Dataset, "the clips")
    train: Train = section(Train, "the training")
    evaluate: Evaluate = section(Evaluate, "the accuracy of a checkpoint")
    inference: Inference = section(Inference, "the labels of clips")
    export: Export = section(Export, "the ONNX file")
    model_name: str | None = setting(None, "of TAO's services; not used here")
    wandb: dict[str, object] | None = setting(None, "of Weights & Biases; not used here")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in the order of their numbers; empty where there is no label map."""
        labels = self.dataset.label_map or {}
        return tuple(sorted(labels, key=lambda name: labels[name]))

    def to_dict(self) -> dict[str, Any]:
        """Nested plain dicts, lists, text and numbers, as `spec_from` takes them."""
        found: dict[str, Any] = _plain(asdict(self))
        return found


def read_spec(
    path: Path | str | Spec | None,
    overrides: Sequence[str] = (),
    task: str = "train",
    report: Report = lambda line: None,
) -> Spec:
    """Read a spec, put the overrides over it, check every value, and fill in what follows from others.

    Args:
        path: YAML file, or a spec to change; None: the defaults.
        overrides: `key=value` each, the key dotted, the value as in YAML: "train.optim.lr=0.01",
            "train.gpu_ids=[0,1]".
        task: "train", "evaluate", "inference" or "export": what the spec is for. The parameters that this
            task needs must be there.
        report: is told, a line each, what was changed or is not used.

    Returns:
        The spec; its GPUs, shapes and folders of results agree (`action_settle.settled`).

    Raises:
        InputError: no such file, no YAML, an unknown parameter, or a value of a wrong type or out of range.
        MissingError: OmegaConf is not installed.
    """
    task = {"infer": "inference"}.get(task, task)
    if task not in NEEDED:
        raise InputError(f"There is no task {task!r} of a spec; there are {', '.join(NEEDED)}.")
    said: list[str] = []
    spec = settled(as_written(path, overrides, said.append), task, said.append)
    for name in NEEDED[task]:
        if value_of(spec, name) is None:
            raise InputError(f"{name} is not set; add it to the spec, or {name}=PATH to the command.")
    for line in dict.fromkeys(said):
        report(line)
    return spec


def as_written(
    path: Path | str | Spec | None, overrides: Sequence[str] = (), report: Report = lambda line: None
) -> Spec:
    """As `read_spec`, but nothing is filled in, and nothing need be there."""
    return spec_from(values_given(path, overrides, report))


def values_given(
    path: Path | str | Spec | None, overrides: Sequence[str] = (), report: Report = lambda line: None
) -> dict[str, Any]:
    """What a file and overrides say, under the names of today, not checked."""
    return _merged([renamed(part, report) for part in _parts(path, overrides)])


def spec_from(values: dict[str, Any]) -> Spec:
    """A spec of nested plain values, e.g. those of `Spec.to_dict`; what is missing has its default.

    Raises:
        InputError: an unknown parameter, or a value of a wrong type or out of range.
    """
    return _build(Spec, values, "")


def write_spec(spec: Spec, folder: Path | str) -> Path:
    """Write the spec as it counts, defaults and all, to experiment.yaml in `folder`, and return its path.

    Folders of results that follow from results_dir stay open, so that results_dir=DIR moves them all.

    Raises:
        InputError: the folder cannot be made or written.
    """
    conf = _omegaconf()
    path = results_in(folder) / "experiment.yaml"
    with atomic_write(path) as scratch:
        scratch.write_text(conf.to_yaml(conf.create(_open(spec))), "utf-8")
    return path


def results_in(folder: Path | str | None) -> Path:
    """A folder of results, made where it is missing.

    Raises:
        InputError: it cannot be made or written.
    """
    path = Path(str(folder)).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise InputError(
            f"Cannot write results into {path} ({error.strerror}); give another folder: results_dir=DIR."
        ) from None


def names(kind: type = Spec, where: str = "") -> Iterator[str]:
    """The dotted names of all parameters of a section, e.g. "train.optim.lr"."""
    for row in fields(kind):
        inner = row.metadata.get("section")
        if inner:
            yield from names(inner, f"{where}{row.name}.")
        else:
            yield where + row.name


def value_of(spec: Spec, name: str) -> Any:
    """The value of a dotted name."""
    found: Any = spec
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _build(kind: type[T], values: Any, where: str) -> T:
    """A section of checked values; `where`: its dotted name, with a dot at the end."""
    rows = {row.name: row for row in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise InputError(f"{where[:-1]} {values!r} must be a group of settings: {', '.join(rows)}.")
    built = {}
    for key, value in values.items():
        name = f"{where}{key}"
        if key not in rows:
            near = nearest(name, [where + row for row in rows], list(names()))
            cure = f"did you mean {near}? " if near else ""
            raise InputError(
                f"{name} is no parameter of a spec; {cure}{where[:-1] or 'it'} has {', '.join(rows)}."
            )
        inner = rows[key].metadata.get("section")
        if not inner:
            built[key] = checked(name, value, rows[key])
        elif value is not None:  # "train:" with nothing below it
            built[key] = _build(inner, value, f"{name}.")
    return kind(**built)


def _omegaconf() -> Any:
    try:
        from omegaconf import OmegaConf
    except ImportError:
        raise MissingError("Reading a spec needs OmegaConf: pip install 'edgekit[train]'.") from None
    return OmegaConf


def _parts(path: Path | str | Spec | None, overrides: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The YAML file, then each override, as nested dicts whose ${…} still stand."""
    conf = _omegaconf()
    from yaml import YAMLError  # OmegaConf brings it

    if isinstance(path, Spec):
        yield _open(path)
    elif path is not None:
        path = Path(path).expanduser()
        try:
            yield _group(conf.load(path), conf, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read as a spec: {error}.") from None
        except YAMLError as error:
            raise InputError(f"{path} is no YAML: {' '.join(str(error).split())}.") from None
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals or not key.strip("+ "):
            raise InputError(f"{override!r} is no override; write key=value, e.g. train.num_epochs=5.")
        try:
            yield _group(conf.from_dotlist([override.lstrip("+")]), conf, override)
        except YAMLError:
            raise InputError(f"The value of {override!r} is no YAML; quote it: 'key=\"value\"'.") from None


def _open(spec: Spec) -> dict[str, Any]:
    """A spec's values; folders that follow from results_dir are left open, so that it moves them all."""
    values = spec.to_dict()
    for task in NEEDED:
        if values[task]["results_dir"] == str(Path(spec.results_dir) / task):
            values[task]["results_dir"] = None
    return values


def _group(found: Any, conf: Any, what: str) -> dict[str, Any]:
    values = conf.to_container(found) if conf.is_dict(found) else None
    if values is None:
        raise InputError(f"{what} holds no settings; a spec is a YAML file with model, dataset, train ….")
    return dict(values)


def _merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All parts over each other, the later ones winning, with ${…} put in."""
    conf, whole = _omegaconf(), {"results_dir": Spec.results_dir}
    from omegaconf.errors import OmegaConfBaseException

    for part in parts:
        _lay(part, whole)
    try:
        return dict(conf.to_container(conf.create(whole), resolve=True))
    except (OmegaConfBaseException, ValueError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"The spec cannot be put together: {first}.") from None


def _lay(over: dict[str, Any], under: dict[str, Any]) -> None:
    """Put values over others: groups are joined, anything else is replaced, and so is what was no group."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay(value, under[key])
        else:
            under[key] = value


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
