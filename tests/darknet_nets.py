"""Darknet networks for the tests: cfg texts written here, random weights, and a float64 forward pass.

The forward pass follows Darknet's C sources layer by layer in plain NumPy. It shares nothing with
edgekit.darknet: it reads its own list of layers, not the cfg, and draws the weights as it goes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

ANCHORS = [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]


def conv(filters, size=1, stride=1, norm=1, activation="leaky", **more):
    return (
        "convolutional",
        {"batch_normalize": norm, "filters": filters, "size": size, "stride": stride, "pad": 1}
        | {"activation": activation}
        | more,
    )


def yolo(mask, classes=80, anchors=ANCHORS, **more):
    return "yolo", {"mask": mask, "anchors": anchors, "classes": classes, "num": len(anchors) // 2} | more


def route(*layers, **more):
    return "route", {"layers": list(layers)} | more


def pool(size, stride, **more):
    return "maxpool", {"size": size, "stride": stride} | more


SHORTCUT = ("shortcut", {"from": -3, "activation": "linear"})
UPSAMPLE = ("upsample", {"stride": 2})


def every_layer():
    """A small two-headed network with each layer and activation that is supported (32 × 48 input)."""
    return [
        conv(8, 3),
        conv(16, 3, 2),
        conv(8, 1, activation="mish"),
        conv(16, 3, activation="swish"),
        SHORTCUT,
        pool(2, 2),
        conv(16, 3, groups=4, activation="relu"),
        route(-1, groups=2, group_id=1),  # the second half of the channels, as in v4-tiny
        conv(12, 3, activation="logistic"),
        pool(2, 1),  # v3-tiny: pads below and to the right only
        pool(5, 1),
        route(-2),
        pool(3, 1),
        route(-1, -3),
        ("dropout", {"probability": 0.5}),
        conv(21, 1, norm=0, activation="linear"),
        yolo([1, 2, 4], classes=2, scale_x_y=1.05),
        route(-4),
        conv(8, 1),
        UPSAMPLE,
        route(-1, 4),
        conv(14, 1, norm=0, activation="linear"),
        yolo([0, 3], classes=2),
    ]


def yolov3_spp():
    """YOLOv3-SPP: Darknet-53, a pyramid of three poolings, three heads (Redmon's yolov3-spp)."""
    layers = [conv(32, 3)]
    for filters, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        layers.append(conv(filters, 3, 2))
        for _ in range(repeats):
            layers += [conv(filters // 2), conv(filters, 3), SHORTCUT]
    layers += [conv(512), conv(1024, 3), conv(512)]
    layers += [pool(5, 1), route(-2), pool(9, 1), route(-4), pool(13, 1), route(-1, -3, -5, -6)]
    layers += [conv(512), conv(1024, 3), conv(512), conv(1024, 3)]
    layers += [conv(255, norm=0, activation="linear"), yolo([6, 7, 8])]
    for filters, skip, mask in ((256, 61, [3, 4, 5]), (128, 36, [0, 1, 2])):
        layers += [route(-4), conv(filters), UPSAMPLE, route(-1, skip)]
        layers += [conv(filters), conv(2 * filters, 3)] * 3
        layers += [conv(255, norm=0, activation="linear"), yolo(mask)]
    return layers


def yolov3_tiny():
    """YOLOv3-tiny: seven convolutions with poolings between, the last of stride 1; two heads."""
    anchors = [10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319]
    layers = []
    for filters in (16, 32, 64, 128, 256):
        layers += [conv(filters, 3), pool(2, 2)]
    layers += [conv(512, 3), pool(2, 1), conv(1024, 3), conv(256), conv(512, 3)]
    layers += [conv(255, norm=0, activation="linear"), yolo([3, 4, 5], anchors=anchors)]
    layers += [route(-4), conv(128), UPSAMPLE, route(-1, 8), conv(256, 3)]
    return [*layers, conv(255, norm=0, activation="linear"), yolo([0, 1, 2], anchors=anchors)]


def cfg_text(layers, height, width):
    """The cfg file of `layers`, with a comment and blanks as real ones have them."""
    lines = ["[net]", "# Testing", "batch=1", f"width={width}", f"height = {height}", "channels=3", ""]
    for kind, options in layers:
        lines.append(f"[{kind}]")
        for key, value in options.items():
            lines.append(f"{key} = {', '.join(map(str, value)) if isinstance(value, list) else value}")
        lines.append("")
    return "\n".join(lines)


def random_weights(layers, seed):
    """One dict of arrays for each convolution, sized so that activations keep their scale."""
    random = np.random.RandomState(seed)  # its stream is frozen, so that the golden file stays right
    channels, drawn = [], []
    last = 3
    for kind, options in layers:
        if kind == "convolutional":
            filters, size = options["filters"], options["size"]
            fan = last // options.get("groups", 1)
            kernel = random.standard_normal((filters, fan, size, size)) * np.sqrt(1.5 / (fan * size * size))
            one = {"bias": random.standard_normal(filters) * 0.2, "kernel": kernel.astype(np.float32)}
            if options["batch_normalize"]:
                one["scale"] = random.uniform(0.6, 1.0, filters)
                one["mean"] = random.standard_normal(filters) * 0.1
                one["variance"] = random.uniform(0.8, 1.5, filters)
            drawn.append({key: value.astype(np.float32) for key, value in one.items()})
            last = filters
        elif kind == "route":
            picked = [channels[i] for i in options["layers"]]
            last = sum(picked) // options.get("groups", 1)
        channels.append(last)
    return drawn


def write_weights(path: Path, drawn, version=(0, 2, 0)):
    """A `.weights` file as Darknet's save_weights writes it."""
    with open(path, "wb") as file:
        np.array(version, "<i4").tofile(file)
        wide = version[0] * 10 + version[1] >= 2
        np.array([32013312], "<i8" if wide else "<i4").tofile(file)
        for one in drawn:
            for key in ("bias", "scale", "mean", "variance", "kernel"):
                if key in one:
                    one[key].astype("<f4").tofile(file)


def _conv(x, one, options):
    size, stride, groups = options["size"], options["stride"], options.get("groups", 1)
    pad = size // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))[:, ::stride, ::stride]
    parts = []
    for window, kernel in zip(np.split(windows, groups), np.split(one["kernel"], groups), strict=True):
        parts.append(np.tensordot(kernel.astype(np.float64), window, ([1, 2, 3], [0, 3, 4])))
    out = np.concatenate(parts)

    def column(key):
        return one[key].astype(np.float64)[:, None, None]

    if "scale" in one:
        out = (out - column("mean")) / np.sqrt(column("variance") + 0.00001) * column("scale")
    return out + column("bias")


def _pool(x, size, stride):
    """As maxpool_layer.c: size − 1 of padding in all, of which (size − 1) // 2 before."""
    before = (size - 1) // 2
    out = [(side - 1) // stride + 1 for side in x.shape[1:]]
    y = np.full((len(x), *out), -np.inf)
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * stride - before, j * stride - before
            window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
            y[:, i, j] = window.max((1, 2))
    return y


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "linear": lambda x: x,
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "relu": lambda x: np.maximum(x, 0),
    "logistic": sigmoid,
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
}


def _decode(x, options, height, width):
    """get_yolo_box, one anchor and one cell at a time: rows of cx, cy, w, h (pixels), objectness, classes."""
    _, rows, columns = x.shape
    entries = 5 + options["classes"]
    grow = options.get("scale_x_y", 1.0)
    found = []
    for j in range(rows):
        for i in range(columns):
            for n, anchor in enumerate(options["mask"]):
                t = x[n * entries : (n + 1) * entries, j, i]
                a, b = options["anchors"][2 * anchor : 2 * anchor + 2]
                bx = (i + sigmoid(t[0]) * grow - (grow - 1) / 2) / columns
                by = (j + sigmoid(t[1]) * grow - (grow - 1) / 2) / rows
                box = [bx * width, by * height, np.exp(t[2]) * a, np.exp(t[3]) * b]
                found.append(np.concatenate([box, sigmoid(t[4:])]))
    return np.array(found)


def forward(layers, drawn, image):
    """float64 [rows, 5 + classes] of `image` [3, H, W]."""
    height, width = image.shape[1:]
    done, heads, x, drawn = [], [], image.astype(np.float64), list(drawn)
    for kind, options in layers:
        if kind == "convolutional":
            x = ACTIVATIONS[options["activation"]](_conv(x, drawn.pop(0), options))
        elif kind == "maxpool":
            x = _pool(x, options["size"], options["stride"])
        elif kind == "shortcut":
            x = x + done[options["from"]]
        elif kind == "upsample":
            x = x.repeat(2, 1).repeat(2, 2)
        elif kind == "route":
            x = np.concatenate([done[i] for i in options["layers"]])
            if "groups" in options:
                x = np.split(x, options["groups"])[options["group_id"]]
        elif kind == "yolo":
            heads.append(_decode(x, options, height, width))
        done.append(x)
    return np.concatenate(heads)


def picture(height, width, seed=5):
    return np.random.RandomState(seed).rand(3, height, width).astype(np.float32)
