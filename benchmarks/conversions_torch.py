"""Networks for conversions.py, as PyTorch saves them: `python conversions_torch.py FOLDER`.

It runs on the Python of the family torch. FOLDER/weights.npz holds kernels and biases of ResNet8.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class ResNet8(nn.Module):
    """(batch, 3, 32, 32) pixels 0 to 255 to ten scores; batch normalisation is folded already."""

    def __init__(self) -> None:
        super().__init__()
        self.first = convolution(3, 16, 3, 1)
        self.blocks = nn.ModuleList([Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)])
        self.head = nn.Linear(64, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(picture))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3))).softmax(-1)


class Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.one, self.two = convolution(before, after, 3, stride), convolution(after, after, 3, 1)
        self.past = convolution(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.two(torch.relu(self.one(x))) + self.past(x))


def convolution(before: int, after: int, size: int, stride: int) -> nn.Sequential:
    """Padded as TensorFlow does it: with a stride of 2 only behind the picture."""
    front, back = (0 if stride > 1 else size // 2), size // 2
    return nn.Sequential(
        nn.ZeroPad2d((front, back, front, back)), nn.Conv2d(before, after, size, stride)
    )


class Gru(nn.Module):
    """(batch, 32, 3) to 5 scores."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 32, batch_first=True, bidirectional=True)
        self.head = nn.Linear(64, 5)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(wave)[0][:, -1])


class Attention(nn.Module):
    """(batch, 32, 3) to 5 scores by one block of a Transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(32 * 32, 5)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embed(wave)).flatten(1))


def load(model: nn.Module, path: Path) -> None:
    """Kernels (out, height, width, in) and biases, in the order of the graph's operations."""
    with np.load(path) as held:
        arrays = [torch.from_numpy(held[name]) for name in held.files]
    # The shortcut of a block comes last in it, here and in the file.
    arrays = [one.permute(0, 3, 1, 2) if one.ndim == 4 else one for one in arrays]
    state = model.state_dict()
    model.load_state_dict(dict(zip(state, arrays, strict=True)))


def main() -> None:
    folder = Path(sys.argv[1])
    model = ResNet8().eval()
    load(model, folder / "weights.npz")
    example = (torch.zeros(2, 3, 32, 32),)
    torch.save(model.state_dict(), folder / "resnet8.pt")
    program = torch.export.export(model, example, dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, folder / "resnet8.pt2")
    torch.jit.save(torch.jit.trace(model, example), str(folder / "resnet8.ts"))
    torch.manual_seed(5)
    for name, net in {"gru": Gru(), "attention": Attention()}.items():
        torch.save(net.state_dict(), folder / f"torch-{name}.pt")


if __name__ == "__main__":
    main()
