"""TrtPose's decoding once more: float64, plain loops, nothing of the kit's."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

Peak = tuple[float, float]


def mirrored(index: int, size: int) -> int:
    if index < 0:
        return -index
    return 2 * (size - 1) - index if index >= size else index


def find(grid: np.ndarray, threshold: float, window: int, most: int = 100) -> list[tuple[int, int]]:
    """Peaks of one map, row by row."""
    height, width, reach = *grid.shape, window // 2
    found = []
    for y in range(height):
        for x in range(width):
            if not grid[y, x] >= np.float32(threshold):
                continue
            rows = range(max(0, y - reach), min(height, y + reach + 1))
            columns = range(max(0, x - reach), min(width, x + reach + 1))
            highest = max(grid[v, u] for v in rows for u in columns)
            if grid[y, x] >= highest:
                found.append((y, x))
    return found[:most]


def around(grid: np.ndarray, peak: tuple[int, int], window: int) -> list[tuple[int, int, float]]:
    """Row, column and weight of each pixel of the window around a peak; past a border they are mirrored."""
    height, width, reach = *grid.shape, window // 2
    return [
        (v, u, float(grid[mirrored(v, height), mirrored(u, width)]))
        for v in range(peak[0] - reach, peak[0] + reach + 1)
        for u in range(peak[1] - reach, peak[1] + reach + 1)
    ]


def refine(grid: np.ndarray, peak: tuple[int, int], window: int) -> Peak:
    """Weighted mean of the window around a peak, as fractions of height and width; NaN without weight."""
    total = sum_y = sum_x = 0.0
    for v, u, weight in around(grid, peak, window):
        total += weight
        sum_y += weight * v
        sum_x += weight * u
    if total == 0:
        return np.nan, np.nan
    return (sum_y / total + 0.5) / grid.shape[0], (sum_x / total + 0.5) / grid.shape[1]


def score(field_y: np.ndarray, field_x: np.ndarray, a: Peak, b: Peak, samples: int) -> float:
    """Mean of the field along the way from `a` to `b`."""
    height, width = field_y.shape
    ay, ax, by, bx = a[0] * height, a[1] * width, b[0] * height, b[1] * width
    length = np.hypot(by - ay, bx - ax) + 1e-5
    total = 0.0
    for step in range(samples):
        part = step / (samples - 1)
        y, x = int(ay + part * (by - ay)), int(ax + part * (bx - ax))
        if 0 <= y < height and 0 <= x < width:
            total += float(field_y[y, x]) * (by - ay) / length + float(field_x[y, x]) * (bx - ax) / length
    return total / samples


def cheapest(cost: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The assignment of least cost, by shortest augmenting paths (rows ≤ columns, or turned around)."""
    rows, columns = len(cost), len(cost[0]) if cost else 0
    if not rows or not columns:
        return []
    if rows > columns:
        turned = [[cost[r][c] for r in range(rows)] for c in range(columns)]
        return sorted((r, c) for c, r in cheapest(turned))
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        slack, came, done = [float("inf")] * (columns + 1), [0] * (columns + 1), [False] * (columns + 1)
        while owner[column]:
            done[column] = True
            here, step, after = owner[column], float("inf"), 0
            for c in range(1, columns + 1):
                if not done[c]:
                    reduced = cost[here - 1][c - 1] - row_price[here] - column_price[c]
                    if reduced < slack[c]:
                        slack[c], came[c] = reduced, column
                    if slack[c] < step:
                        step, after = slack[c], c
            for c in range(columns + 1):
                if done[c]:
                    row_price[owner[c]] += step
                    column_price[c] -= step
                else:
                    slack[c] -= step
            column = after
        while column:
            owner[column] = owner[came[column]]
            column = came[column]
    return sorted((owner[c] - 1, c - 1) for c in range(1, columns + 1) if owner[c])


def connect(
    counts: Sequence[int], joined: Sequence[dict[int, int]], links: Sequence[Sequence[int]], most: int
) -> list[dict[int, int]]:
    """People as {part: number of its peak}; `joined[link]` maps peaks of its first part to its second's."""
    back = [{b: a for a, b in pairs.items()} for pairs in joined]
    taken: set[tuple[int, int]] = set()
    people: list[dict[int, int]] = []
    for part, count in enumerate(counts):
        for number in range(count):
            if (part, number) in taken or len(people) >= most:
                continue
            person: dict[int, int] = {}
            queue = deque([(part, number)])
            while queue:
                c, i = queue.popleft()
                if (c, i) in taken:
                    continue
                taken.add((c, i))
                person[c] = i
                for k, (_, _, a, b) in enumerate(links):
                    if a == c and i in joined[k]:
                        queue.append((b, joined[k][i]))
                    if b == c and i in back[k]:
                        queue.append((a, back[k][i]))
            people.append(person)
    return people


def parse(
    cmap: np.ndarray,
    paf: np.ndarray,
    links: Sequence[Sequence[int]],
    *,
    cmap_threshold: float = 0.1,
    link_threshold: float = 0.1,
    window: int = 5,
    samples: int = 7,
    max_parts: int = 100,
    max_people: int = 100,
) -> np.ndarray:
    """float64 [N, K, 3]: x, y, score of each person's keypoints."""
    peaks = [find(grid, cmap_threshold, window, max_parts) for grid in cmap]
    places = [[refine(grid, peak, window) for peak in some] for grid, some in zip(cmap, peaks, strict=True)]
    joined = []
    for y, x, a, b in links:
        scores = [[score(paf[y], paf[x], one, other, samples) for other in places[b]] for one in places[a]]
        chosen = cheapest([[-value for value in row] for row in scores])
        joined.append({i: j for i, j in chosen if scores[i][j] > link_threshold})
    people = connect([len(some) for some in peaks], joined, links, max_people)
    result = np.zeros((len(people), len(cmap), 3))
    for row, person in zip(result, people, strict=True):
        for c, i in person.items():
            row[c] = places[c][i][1], places[c][i][0], cmap[c][peaks[c][i]]
    return result
