"""Samples for Prometheus: what a board shows at this moment, and nothing older."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

from edgekit.errors import InputError, MissingError
from edgekit.telemetry.sample import Event, Sample, boot_clock
from edgekit.telemetry.sampler import STALE, Sampler

#: Fields of a sample: metric, kind, label of a table's names ("" for one number), factor to its unit, help.
FIELDS = {
    "rails_mw": (
        "edgekit_rail_power_watts",
        "gauge",
        "rail",
        1e-3,
        "power of a rail",
    ),
    "temps_c": ("edgekit_temperature_celsius", "gauge", "zone", 1.0, "temperature of a zone"),
    "energy_mj": (
        "edgekit_meter_energy_joules",
        "counter",
        "meter",
        1e-3,
        "energy, counted by hardware",
    ),
    "oc_events": ("edgekit_overcurrent_events", "counter", "name", 1.0, "over-current events"),
    "gpu_load_pct": ("edgekit_gpu_load_percent", "gauge", "", 1.0, "load of the GPU"),
    "gpu_freq_khz": ("edgekit_gpu_frequency_hertz", "gauge", "", 1e3, "present clock of the GPU"),
    "cpu_load_pct": ("edgekit_cpu_load_percent", "gauge", "", 1.0, "load of all CPU cores together"),
    "ram_used_kb": ("edgekit_ram_used_bytes", "gauge", "", 1024.0, "memory in use"),
    "fan_pct": ("edgekit_fan_percent", "gauge", "", 1.0, "speed of the fan"),
}


class Exporter:
    """A collector of a sampler's figures.

    Figures are those of the newest sample. When it is older than three intervals they are left out, so that
    a graph shows a gap where nothing was measured; `edgekit_sample_age_seconds` goes on. Of an emulated
    board every figure has the label note="emulated".

    Args:
        sampler: whose samples; the exporter listens from now on.
        board: name of the machine.
    """

    def __init__(self, sampler: Sampler, board: str) -> None:
        self._sampler, self._board = sampler, board
        self._note = {"note": "emulated"} if sampler.emulated else {}
        self._joules: dict[str, float] = {}
        self._events: dict[str, float] = {}
        self._last: Sample | None = None
        self._lock = threading.Lock()
        sampler.add(self.take)

    def take(self, what: Sample | Event) -> None:
        """A listener: adds up energy and events."""
        with self._lock:
            if isinstance(what, Event):
                self._events[what.event] = self._events.get(what.event, 0.0) + 1
                return
            last, self._last = self._last, what
            if last is None or last.power_total_mw is None or what.power_total_mw is None:
                return
            step = what.t_boot_s - last.t_boot_s
            if last.power_total_name == what.power_total_name and step <= STALE * self._sampler.interval:
                name = str(what.power_total_name)
                joules = step * (last.power_total_mw + what.power_total_mw) / 2e3
                self._joules[name] = self._joules.get(name, 0.0) + joules

    def collect(self) -> Iterator[Any]:
        """The metrics of this moment, for a registry of prometheus_client."""
        with self._lock:
            sample, joules, events = self._last, dict(self._joules), dict(self._events)
        sampler = self._sampler
        age = None if sample is None else boot_clock() - sample.t_boot_s
        fresh = age is not None and age <= STALE * sampler.interval
        about = {
            "source": sample.source if sample else sampler.name,
            "sampler": sampler.name,
            "board": self._board,
            "emulated": str(sampler.emulated).lower(),
        }
        yield _metric("edgekit", "info", "what measures, on which machine", [(about, 1.0)])
        yield _metric("edgekit_sampling", "gauge", "1 while samples come, 0 in a gap", [({}, float(fresh))])
        if age is not None:
            yield _metric("edgekit_sample_age_seconds", "gauge", "age of the newest sample", [({}, age)])
        yield _metric("edgekit_samples", "counter", "samples since the start", [({}, sampler.count)])
        dropped = "readings left out as stale or repeated"
        yield _metric("edgekit_readings_dropped", "counter", dropped, [({}, sampler.dropped)])
        rows = [({"event": name}, count) for name, count in events.items()]
        yield _metric("edgekit_events", "counter", "gaps, throttling, changes of the total", rows)
        rows = [({"meter": name, **self._note}, value) for name, value in joules.items()]
        yield _metric("edgekit_energy_joules", "counter", "total power, summed up without its gaps", rows)
        if sample is not None and fresh:
            yield from self._figures(sample)

    def _figures(self, sample: Sample) -> Iterator[Any]:
        note = self._note
        if sample.power_total_mw is not None:
            labels = {"meter": str(sample.power_total_name), "kind": str(sample.power_total_kind), **note}
            total = [(labels, sample.power_total_mw / 1e3)]
            yield _metric("edgekit_power_watts", "gauge", "total power", total)
        for field, (metric, kind, label, factor, words) in FIELDS.items():
            value = getattr(sample, field)
            if label:
                rows = [({label: name, **note}, cell * factor) for name, cell in value.items()]
            else:
                rows = [] if value is None else [(note, value * factor)]
            yield _metric(metric, kind, words, rows)
        held = float(bool(sample.throttle))
        yield _metric("edgekit_throttled", "gauge", "1 while the clocks are held down", [(note, held)])
        reasons = [({"reason": words, **note}, 1.0) for words in sample.throttle]
        yield _metric("edgekit_throttle_reason", "gauge", "1 for each reason of this moment", reasons)
        mode = [] if sample.power_mode is None else [({"mode": sample.power_mode, **note}, 1.0)]
        yield _metric("edgekit_power_mode", "gauge", "1 for the present power mode", mode)


def _metric(name: str, kind: str, words: str, rows: list[tuple[dict[str, str], float]]) -> Any:
    from prometheus_client import Metric

    metric = Metric(name, words, kind)
    for labels, value in rows:
        metric.add_sample(name + {"counter": "_total", "info": "_info"}.get(kind, ""), labels, value)
    return metric


class Server:
    """Serves a sampler's figures at http://address:port/metrics until it is closed.

    Raises:
        InputError: the port is taken, or not to be had.
        MissingError: prometheus_client is not installed.
    """

    def __init__(self, sampler: Sampler, port: int, address: str = "127.0.0.1", *, board: str = "") -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError as error:
            raise MissingError(
                "prometheus-client is not installed; cure: pip install prometheus-client"
            ) from error
        registry = CollectorRegistry(auto_describe=False)
        exporter = Exporter(sampler, board)
        registry.register(exporter)
        try:
            self._server, self._thread = start_http_server(port, address, registry)
        except (OSError, OverflowError) as error:
            sampler.remove(exporter.take)
            why = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"--prometheus {port}: {address}:{port} cannot be served: {why}; choose another port."
            ) from error
        self._sampler, self._exporter = sampler, exporter
        self.url = f"http://{address}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop serving."""
        self._sampler.remove(self._exporter.take)
        self._server.shutdown()
        self._server.server_close()
        with suppress(RuntimeError):
            self._thread.join(2.0)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
