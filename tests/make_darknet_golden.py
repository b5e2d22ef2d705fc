"""Write tests/darknet_golden.npz: what OpenCV's own Darknet importer gives for the test networks.

OpenCV 5 dropped that importer; run this with opencv-python 4.x in an environment of its own:
    python tests/make_darknet_golden.py
The file holds, for each network, every fourth row of the output (OpenCV's form: boxes as fractions of the
input, class scores times objectness, set to 0 where they are not above its threshold of 0.2).
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import darknet_nets as nets
import numpy as np

NETWORKS = {
    "every_layer": (nets.every_layer(), 32, 48),
    "yolov3_spp": (nets.yolov3_spp(), 96, 96),
    "yolov3_tiny": (nets.yolov3_tiny(), 96, 128),
}
SEED = 7


def main() -> None:
    golden = {"opencv": np.array(cv2.__version__)}
    for name, (layers, height, width) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            cfg, weights = Path(folder) / "net.cfg", Path(folder) / "net.weights"
            cfg.write_text(nets.cfg_text(layers, height, width))
            nets.write_weights(weights, nets.random_weights(layers, SEED))
            net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
        net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        net.setInput(nets.picture(height, width)[None])
        outputs = net.forward(net.getUnconnectedOutLayersNames())
        golden[name] = np.concatenate([out.reshape(-1, out.shape[-1]) for out in outputs])[::4]
    np.savez_compressed(Path(__file__).with_name("darknet_golden.npz"), **golden)


if __name__ == "__main__":
    main()
