"""SlowFast: a slow pathway that sees what is there, a fast and thin one that sees how it moves.

The networks of facebookresearch/SlowFast with the names of their parameters, and narrow ones for boards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from edgekit.errors import InputError
from edgekit.train.slowfast_blocks import Bottleneck, Fuse, Kernel, NonLocal, Pair, Stage, Stems
from edgekit.train.slowfast_roi import roi_align

SCALE = 16  # pixels a place of the RoI head's feature maps (DETECTION.SPATIAL_SCALE_FACTOR)
BINS = 7  # of each side of RoIAlign (DETECTION.ROI_XFORM_RESOLUTION)


@dataclass(frozen=True)
class SFConfig:
    """What makes one SlowFast; defaults are those of upstream's R50.

    Attributes:
        depth: blocks of res2, res3, res4 and res5.
        width: channels of the slow stem (RESNET.WIDTH_PER_GROUP).
        alpha: fast frames for each slow one.
        beta_inv: slow channels for each fast one.
        stems: kernels (T, H, W) of the slow and the fast stem.
        fusion_ratio: channels of a lateral connection for each fast channel.
        fusion_kernel: fast frames that it sees.
        timed: blocks of each stage that see more than one frame (RESNET.NUM_BLOCK_TEMP_KERNEL).
        nonlocals: blocks of res4 after which a non-local block follows, in the slow pathway.
        nonlocal_pool: kernel (T, H, W) in it.
        nonlocal_kind: "dot_product" or "softmax".
        head: "ava" (scores of each box, sigmoid) or "clip" (scores of the whole clip, softmax).
        dilated: res5 keeps the size of res4 and looks wider instead; the head "ava" needs it.
        aligned: RoIAlign's form (DETECTION.ALIGNED).
        classes: outputs.
        dropout: before the last layer, in training.
        frames: T, fast frames of a window.
        span: video frames that the window covers.
        size: height and width of the network's picture that an export takes by default.
        short_side: to which video is resized.
    """

    depth: tuple[int, int, int, int] = (3, 4, 6, 3)
    width: int = 64
    alpha: int = 4
    beta_inv: int = 8
    stems: tuple[Kernel, Kernel] = ((1, 7, 7), (5, 7, 7))
    fusion_ratio: int = 2
    fusion_kernel: int = 7
    timed: tuple[int, int, int, int] = (3, 4, 6, 3)
    nonlocals: tuple[int, ...] = ()
    nonlocal_pool: Kernel = (2, 2, 2)
    nonlocal_kind: str = "dot_product"
    head: str = "ava"
    dilated: bool = True
    aligned: bool = False
    classes: int = 80
    dropout: float = 0.5
    frames: int = 32
    span: int = 64
    size: tuple[int, int] = (256, 456)
    short_side: int = 256

    def __post_init__(self) -> None:
        if self.head not in ("ava", "clip"):
            raise InputError(f"the head {self.head!r} is neither 'ava' nor 'clip'.")
        if self.nonlocal_kind not in ("dot_product", "softmax"):
            raise InputError(
                f"the non-local kind {self.nonlocal_kind!r} is neither 'dot_product' nor 'softmax'."
            )
        if self.frames % self.alpha:
            raise InputError(f"{self.frames} frames are no multiple of alpha = {self.alpha}.")
        if self.width % self.beta_inv:
            raise InputError(f"the width {self.width} is no multiple of beta_inv = {self.beta_inv}.")
        if self.head == "ava" and not self.dilated:
            raise InputError("the head 'ava' needs a dilated res5 (maps of 1/16).")

    def widths(self, times: int) -> tuple[int, int]:
        """Channels of (slow, fast) of a layer `times` as wide as the stem."""
        return self.width * times, self.width * times // self.beta_inv

    @property
    def channels(self) -> tuple[int, int]:
        """Of the feature maps (slow, fast) that the head sees."""
        return self.widths(32)


_R101 = SFConfig(
    depth=(3, 4, 23, 3), fusion_kernel=5, nonlocals=(6, 13, 20)
)  # NONLOCAL.LOCATION of configs/AVA/c2/SLOWFAST_32x2_R101_50_50.yaml
_CLIP = replace(SFConfig(), head="clip", dilated=False, classes=400, size=(224, 224))
# Half as wide and shallow, on half the frames. The small stems spare the slowest layer: with 5×7×7 on four
# channels ONNX Runtime would spend most of its time there.
_BOARD = SFConfig(
    depth=(2, 2, 2, 2),
    timed=(2, 2, 2, 2),
    width=32,
    stems=((1, 5, 5), (3, 3, 3)),
    fusion_kernel=5,
    frames=16,
    size=(144, 256),
    short_side=144,
)
#: By name. Upstream's: configs/AVA/c2/SLOWFAST_32x2_R101_50_50.yaml (and its v2.1), SLOWFAST_64x2_R101_50_50,
#: SLOWFAST_32x2_R50, configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml (the one that aligns), and Kinetics'
#: SLOWFAST_8x8_R50, SLOWFAST_4x16_R50.
CONFIGS: dict[str, SFConfig] = {
    "ava-32x2-r101": _R101,
    "ava-64x2-r101": replace(_R101, frames=64, span=128),
    "ava-32x2-r50": SFConfig(),
    "ava-32x2-r50-short": SFConfig(aligned=True),
    "kinetics-8x8-r50": _CLIP,
    "kinetics-4x16-r50": replace(_CLIP, alpha=8, fusion_kernel=5),
    "board": _BOARD,
    "board-small": replace(_BOARD, width=24, beta_inv=6),
    "board-clip": replace(_BOARD, head="clip", classes=400),
}


def config_named(name: str) -> SFConfig:
    """The configuration `name`.

    Raises:
        InputError: there is none.
    """
    if name not in CONFIGS:
        raise InputError(f"there is no SlowFast configuration {name!r}; there are {', '.join(CONFIGS)}.")
    return CONFIGS[name]


class Head(nn.Module):
    """Dropout and one linear layer: float [N, slow + fast channels] → logits [N, classes]."""

    def __init__(self, inputs: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.dropout(x))


class SlowFast(nn.Module):
    """SlowFast with upstream's parameter names, initialised as upstream does.

    Args:
        config: a configuration or the name of one.
        classes: in place of the configuration's.
    """

    def __init__(self, config: SFConfig | str = "ava-32x2-r50", classes: int | None = None) -> None:
        super().__init__()
        made = config_named(config) if isinstance(config, str) else config
        self.config = replace(made, classes=classes) if classes else made
        c = self.config
        self.s1 = Stems(c.widths(1), c.stems)
        last = 1 if c.dilated else 2
        strides, holes = (1, 2, 2, last), (1, 1, 1, 3 - last)
        inputs = c.widths(1)
        for n in range(4):
            # the lateral connection comes before the stage: s1_fuse feeds s2
            extra = inputs[1] * c.fusion_ratio
            self.add_module(f"s{n + 1}_fuse", Fuse(inputs[1], extra, c.fusion_kernel, c.alpha))
            stage = Stage(
                (inputs[0] + extra, inputs[1]),
                c.widths(2**n),
                c.widths(4 * 2**n),
                depth=c.depth[n],
                frames=(1 if n < 2 else 3, 3),  # the paper's table 1
                timed=c.timed[n],
                stride=strides[n],
                hole=holes[n],
                nonlocals=c.nonlocals if n == 2 else (),
                pool=c.nonlocal_pool,
                kind=c.nonlocal_kind,
            )
            self.add_module(f"s{n + 2}", stage)
            inputs = c.widths(4 * 2**n)
        self.head = Head(sum(c.channels), c.classes, c.dropout)
        _initialise(self)

    def body(self, slow: Tensor, fast: Tensor) -> Pair:
        """Feature maps, averaged over time.

        Args:
            slow: float [B, 3, T/α, H, W], RGB minus .45, over .225.
            fast: float [B, 3, T, H, W].

        Returns:
            float [B, Cs, H/16, W/16] and [B, Cf, H/16, W/16], a side rounded up; 1/32 where not dilated.
        """
        slow, fast = self.s1(slow, fast)
        for n in range(1, 5):
            slow, fast = getattr(self, f"s{n}_fuse")(slow, fast)
            slow, fast = getattr(self, f"s{n + 1}")(slow, fast)
        return slow.mean(2), fast.mean(2)

    def rois(self, slow: Tensor, fast: Tensor, boxes: Tensor, clip: Tensor | None = None) -> Pair:
        """RoIAlign of both maps: float [N, Cs, 7, 7] and [N, Cf, 7, 7]."""
        made = [
            roi_align(
                maps,
                boxes,
                clip,
                output_size=BINS,
                spatial_scale=1 / SCALE,
                aligned=self.config.aligned,
            )
            for maps in (slow, fast)
        ]
        return made[0], made[1]

    def classify(self, slow: Tensor, fast: Tensor) -> Tensor:
        """Logits [N, classes] of RoIs (their largest value counts) or of whole maps (their mean counts).

        For whole clips upstream slides a window as large as the maps of 224×224 over larger ones, and takes
        the mean of the windows' scores. One mean over all is the same at 224×224.
        """
        if self.config.head == "ava":
            return self.head(torch.cat([slow.amax((2, 3)), fast.amax((2, 3))], 1))
        return self.head(torch.cat([slow.mean((2, 3)), fast.mean((2, 3))], 1))

    def activate(self, logits: Tensor) -> Tensor:
        """Scores of logits: sigmoid for the head "ava", softmax for "clip"."""
        return logits.sigmoid() if self.config.head == "ava" else logits.softmax(1)

    def logits(
        self, slow: Tensor, fast: Tensor, boxes: Tensor | None = None, clip: Tensor | None = None
    ) -> Tensor:
        """What a loss takes: float [N, classes], or [B, classes] of the head "clip".

        Args:
            slow, fast: as `body` takes them.
            boxes: float [N, 4], x1 y1 x2 y2 in pixels of the pictures; the head "ava" needs them.
            clip: int64 [N], which clip of the batch each box is of; by default the first.
        """
        maps = self.body(slow, fast)
        if self.config.head == "ava":
            if boxes is None:
                raise InputError("the head 'ava' needs boxes.")
            maps = self.rois(*maps, boxes, clip)
        return self.classify(*maps)

    def forward(
        self, slow: Tensor, fast: Tensor, boxes: Tensor | None = None, clip: Tensor | None = None
    ) -> Tensor:
        """Scores from 0 to 1 in place of `logits`."""
        return self.activate(self.logits(slow, fast, boxes, clip))


def _initialise(network: nn.Module) -> None:
    """He's rule for convolutions; each residual branch starts at zero (RESNET.ZERO_INIT_FINAL_BN)."""
    for part in network.modules():
        if isinstance(part, nn.Conv3d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.01)  # MODEL.FC_INIT_STD
            nn.init.zeros_(part.bias)
        elif isinstance(part, Bottleneck):
            nn.init.zeros_(part.c_bn.weight)
        elif isinstance(part, NonLocal):
            nn.init.zeros_(part.bn.weight)
