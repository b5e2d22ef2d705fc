"""What Prometheus gets, parsed by its own library from real HTTP answers; and the dashboard's queries."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from edgekit.errors import InputError
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.prometheus import Server
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import ProbeError, Sampler

DASHBOARD = Path(__file__).resolve().parents[2] / "setup/grafana.json"


class Meter:
    """A probe whose samples are as told; it can fall silent."""

    name, why, emulated, paced = "sysfs", "a test", False, False

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.silent = False

    def read(self) -> Sample:
        if self.silent:
            raise ProbeError("the bus hangs")
        return Sample(boot_clock(), wall_iso(), "sysfs", **self.fields)

    def close(self) -> None:
        pass


FULL: dict[str, Any] = {
    "power_total_mw": 5000.0,
    "power_total_name": "VDD_IN",
    "power_total_kind": "input",
    "rails_mw": {"VDD_IN": 5000.0, "VDD_SOC": 1250.0},
    "energy_mj": {"gpu0": 2_500_000.0},
    "temps_c": {"cpu": 48.5, "tj": 50.25},
    "gpu_load_pct": 36.0,
    "gpu_freq_khz": 624_750.0,
    "cpu_load_pct": 12.5,
    "ram_used_kb": 1024.0,
    "fan_pct": 30.0,
    "power_mode": '15W "quoted"',
    "oc_events": {"oc1": 3},
    "throttle": ("thermal",),
}


def scrape(server: Server) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """{metric: {labels: value}} as Prometheus understands it."""
    with urllib.request.urlopen(server.url, timeout=5) as answer:
        text = answer.read().decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse(text):
        assert family.documentation
        for one in family.samples:
            labels = tuple(sorted(one.labels.items()))
            assert labels not in found.setdefault(one.name, {})
            found[one.name][labels] = one.value
    return found


@pytest.fixture
def meter() -> Meter:
    return Meter(**FULL)


@pytest.fixture
def sampler(meter: Meter) -> Iterator[Sampler]:
    sampler = Sampler(meter, 0.1)
    yield sampler
    sampler.stop()


@pytest.fixture
def server(sampler: Sampler) -> Iterator[Server]:
    with Server(sampler, 0, board="Orin Nano, JetPack 6.2") as server:
        sampler.start()
        assert sampler.wait(2)
        yield server


def test_every_figure_in_its_unit(server: Server) -> None:
    got = scrape(server)
    assert got["edgekit_power_watts"] == {(("kind", "input"), ("meter", "VDD_IN")): 5.0}
    assert got["edgekit_rail_power_watts"] == {(("rail", "VDD_IN"),): 5.0, (("rail", "VDD_SOC"),): 1.25}
    assert got["edgekit_temperature_celsius"] == {(("zone", "cpu"),): 48.5, (("zone", "tj"),): 50.25}
    assert got["edgekit_meter_energy_joules_total"] == {(("meter", "gpu0"),): 2500.0}
    assert got["edgekit_overcurrent_events_total"] == {(("name", "oc1"),): 3}
    assert got["edgekit_gpu_load_percent"] == {(): 36}
    assert got["edgekit_gpu_frequency_hertz"] == {(): 624_750_000}
    assert got["edgekit_cpu_load_percent"] == {(): 12.5}
    assert got["edgekit_ram_used_bytes"] == {(): 1_048_576}
    assert got["edgekit_fan_percent"] == {(): 30}
    assert got["edgekit_power_mode"] == {(("mode", '15W "quoted"'),): 1}
    assert got["edgekit_throttled"] == {(): 1}
    assert got["edgekit_throttle_reason"] == {(("reason", "thermal"),): 1}
    assert got["edgekit_sampling"] == {(): 1}
    (info,) = got["edgekit_info"]
    about = {"board": "Orin Nano, JetPack 6.2", "emulated": "false", "sampler": "sysfs", "source": "sysfs"}
    assert dict(info) == about


def test_nothing_but_its_own_registry(server: Server) -> None:
    assert all(name.startswith("edgekit_") for name in scrape(server))


def test_energy_is_power_times_time(server: Server, sampler: Sampler) -> None:
    def energy() -> tuple[float, float]:
        last = sampler.latest
        assert last is not None
        (joules,) = scrape(server)["edgekit_energy_joules_total"].values()
        return last.t_boot_s, joules

    begin, before = energy()
    assert sampler.wait(10)
    end, after = energy()
    assert after - before == pytest.approx(
        5.0 * (end - begin), abs=5.0 * 0.21
    )  # the scrape is later by a sample
    assert after > before


def test_unknown_figures_are_absent(meter: Meter, server: Server, sampler: Sampler) -> None:
    meter.fields = {"cpu_load_pct": 1.0}
    assert sampler.wait(2)
    got = scrape(server)
    assert got["edgekit_cpu_load_percent"] == {(): 1.0}
    for name in (
        "edgekit_power_watts",
        "edgekit_gpu_load_percent",
        "edgekit_fan_percent",
        "edgekit_power_mode",
    ):
        assert name not in got
    assert got["edgekit_throttled"] == {(): 0}


def test_in_a_gap_no_figure_is_served_and_the_age_goes_on(
    meter: Meter, server: Server, sampler: Sampler
) -> None:
    joules = scrape(server)["edgekit_energy_joules_total"]
    meter.silent = True
    until = time.monotonic() + 5
    while "edgekit_events_total" not in scrape(server) and time.monotonic() < until:
        time.sleep(0.05)
    got = scrape(server)
    assert got["edgekit_sampling"] == {(): 0}
    assert got["edgekit_sample_age_seconds"][()] > 0.3
    assert got["edgekit_events_total"] == {(("event", "gap"),): 1}
    for name in ("edgekit_power_watts", "edgekit_temperature_celsius", "edgekit_throttled"):
        assert name not in got
    meter.silent = False
    assert sampler.wait(1, timeout=5)
    got = scrape(server)
    assert got["edgekit_power_watts"]
    (then,), (now,) = joules.values(), got["edgekit_energy_joules_total"].values()
    assert now - then < 5.0 * 0.4  # the gap counts nothing


def test_before_the_first_sample_there_is_no_figure(meter: Meter, sampler: Sampler) -> None:
    meter.silent = True
    with Server(sampler, 0) as server:
        sampler.start()
        got = scrape(server)
    assert got["edgekit_sampling"] == {(): 0}
    assert "edgekit_sample_age_seconds" not in got
    assert "edgekit_power_watts" not in got


def test_an_emulated_board_is_called_so_at_every_figure() -> None:
    with open_sampler("emulated:orin-nano", 0.1) as sampler, Server(sampler, 0) as server:
        assert sampler.wait(2)
        got = scrape(server)
    assert dict(next(iter(got["edgekit_info"])))["emulated"] == "true"
    bookkeeping = {"edgekit_info", "edgekit_sampling", "edgekit_sample_age_seconds", "edgekit_samples_total",
                   "edgekit_readings_dropped_total", "edgekit_events_total"}  # fmt: skip
    for name in got.keys() - bookkeeping:
        for labels in got[name]:
            assert dict(labels)["note"] == "emulated", name
    assert len(got.keys() - bookkeeping) > 8


def test_a_port_that_is_taken(sampler: Sampler) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"--prometheus {port}: .*in use; choose another port"):
            Server(sampler, port)
    for port in (70_000, -1):
        with pytest.raises(InputError, match=f"--prometheus {port}"):
            Server(sampler, port)
    with pytest.raises(InputError, match="cannot be served"):
        Server(sampler, 0, "no such host.invalid")


def test_the_port_is_free_after_closing(sampler: Sampler) -> None:
    with Server(sampler, 0) as server:
        port = int(server.url.rsplit(":", 1)[1].split("/")[0])
    with Server(sampler, port) as server:
        assert str(port) in server.url


# the dashboard


def expressions(board: dict[str, Any]) -> list[str]:
    found = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return found + [v["definition"] for v in board["templating"]["list"] if v["type"] == "query"]


def test_every_query_of_the_dashboard_asks_for_what_is_exported(meter: Meter, server: Server) -> None:
    board = json.loads(DASHBOARD.read_text())
    got = scrape(server)
    used: set[str] = set()
    for expression in expressions(board):
        names = re.findall(r"edgekit_\w+", expression)
        assert names, expression
        used.update(names)
        for name in names:
            assert name in got, expression
        for label in re.findall(r"\{(\w+)=~", expression):
            assert label == "instance"  # Prometheus itself adds it
    assert len(used) >= 12


def test_every_label_of_a_legend_is_exported(server: Server) -> None:
    got = scrape(server)
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            (name,) = re.findall(r"edgekit_\w+", target["expr"])
            labels = {label for labels in got[name] for label, _ in labels}
            shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            assert shown - {"instance", "note"} <= labels, target


def test_what_is_added_up_stays_marked_as_emulated() -> None:
    for expression in expressions(json.loads(DASHBOARD.read_text())):
        adds = re.match(r"(sum|max|min|avg|count)\b", expression)
        bookkeeping = "edgekit_sampling" in expression or "edgekit_sample_age" in expression
        if adds and not bookkeeping:
            assert expression.startswith(f"{adds[1]} by (note) ("), expression


def test_the_dashboard_fits_any_data_source_and_any_board() -> None:
    board = json.loads(DASHBOARD.read_text())
    variables = {v["name"]: v for v in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["instance"]["multi"]
    assert variables["instance"]["includeAll"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert 'instance=~"$instance"' in target["expr"]
