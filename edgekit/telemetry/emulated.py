"""An emulated board, so that power and heat can be learned without one: no figure of it is a measurement.

The model, in full:

* load: that of this machine's CPU (0 to 1), unless `load` says otherwise.
* power of each rail: idle + load × (full − idle) of `boards.BOARDS`; `power_mw`, where set, is the total.
* heat: all zones are equally warm; they go towards ambient + `WARM_K` × power / full power, as
  1 − exp(−t / `TAU_S`).
* throttling: at `HOT_C` the load is held at `HELD`, the GPU's clock at its lowest, the alert is raised, and
  the counter oc3 grows by one a second; all until it is `COOLER_K` cooler.
* fan: 0 % at 40 °C, 100 % at 90 °C. It cools nothing.
"""

from __future__ import annotations

import math
import threading

from edgekit.telemetry.boards import Board, BoardTree, find_board
from edgekit.telemetry.sample import Sample, boot_clock, total_of
from edgekit.telemetry.sampler import ProbeError
from edgekit.telemetry.scratch import scratch_folder
from edgekit.telemetry.sysfs import CpuLoad, SysfsProbe
from edgekit.telemetry.sysfs_find import INPUTS

WARM_K = 55.0
TAU_S = 20.0
HOT_C, COOLER_K = 97.0, 7.0
HELD = 0.2
AMBIENT_C = 25.0


def open_emulated(board: str = "orin-nano") -> EmulatedProbe:
    """A probe of an emulated board.

    Raises:
        InputError: no board of that name; the message lists those there are.
    """
    return EmulatedProbe(find_board(board))


class EmulatedProbe(SysfsProbe):
    """A `Probe` that writes a board's files into a folder of its own and reads them as if they were real.

    Attributes:
        load: 0 to 1, to say how busy the board is; None: as busy as this machine's CPU.
        power_mw: total power to show; None: what the model gives.
        ambient_c: room temperature; 60 and a full load soon throttle.
        tree: the files, for tests.
    """

    name, emulated = "emulated", True

    def __init__(self, board: Board) -> None:
        self.board = board
        self.load: float | None = None
        self.power_mw: float | None = None
        self.ambient_c = AMBIENT_C
        self._lock = threading.RLock()  # nothing may be written into the folder that `close` removes
        folder, self._remove = scratch_folder(self)
        self.tree = BoardTree(folder, board)
        super().__init__(folder, source=f"emulated {board.title} (sysfs)")
        self.why = f"emulated {board.title}, no measurement: a model driven by the load of this machine's CPU"
        self._busy = CpuLoad()
        self._idle_mw, self._full_mw = (self._total("idle_mw"), self._total("full_mw"))
        self._last_load = 0.0
        self._last_s = boot_clock()
        self._celsius = self.ambient_c + WARM_K * self._idle_mw / self._full_mw
        self._throttled, self._throttled_s = False, 0.0

    def _total(self, field: str) -> float:
        total, _, _ = total_of(
            {name: getattr(rail, field) for name, rail in self.board.rails.items()}, INPUTS
        )
        return float(total or 0.0)

    def read(self) -> Sample:
        """One reading, after the model has gone on to this moment."""
        with self._lock:
            if not self._remove.alive:
                raise ProbeError(f"the emulated {self.board.title} is closed")
            now = boot_clock()
            self.step(now - self._last_s)
            self._last_s = now
            return super().read()

    def step(self, seconds: float) -> None:
        """Let the model go on by so many seconds, and write what the meters would show then."""
        with self._lock:
            self._step(seconds)

    def _step(self, seconds: float) -> None:
        load = self._load_now()
        if self._throttled:
            load = min(load, HELD)
            self._throttled_s += seconds
        total = self._idle_mw + load * (self._full_mw - self._idle_mw)
        scale = 1.0 if self.power_mw is None else self.power_mw / total
        for name, rail in self.board.rails.items():
            self.tree.set_rail(name, (rail.idle_mw + load * (rail.full_mw - rail.idle_mw)) * scale)
        goal = self.ambient_c + WARM_K * total * scale / self._full_mw
        self._celsius = goal + (self._celsius - goal) * math.exp(-seconds / TAU_S)
        self._throttled = self._celsius >= (HOT_C - COOLER_K if self._throttled else HOT_C)
        low, high = self.board.gpu_khz
        self.tree.set_temps(self._celsius)
        self.tree.set_fan(min(100.0, max(0.0, 2.0 * (self._celsius - 40.0))))
        self.tree.set_gpu(100.0 * load, low if self._throttled else round(low + load * (high - low)))
        self.tree.set_throttled(self._throttled)
        self.tree.set_oc(3, int(self._throttled_s))

    def _load_now(self) -> float:
        if self.load is not None:
            return min(1.0, max(0.0, self.load))
        busy = self._busy.read()
        if busy is not None:
            self._last_load = busy / 100.0
        return self._last_load

    def close(self) -> None:
        """Remove the folder."""
        with self._lock:
            self._remove()
