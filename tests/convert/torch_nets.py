"""Small PyTorch networks for the conversion tests, and the files that they are converted from.

    python torch_nets.py FOLDER

writes them; it runs on the Python of the family `torch`, so it imports nothing of the tests.
"""

import os
import sys
import zipfile
from pathlib import Path

import torch
from torch import nn


class Images(nn.Module):
    """(batch, 3, 12, 12) to 4 scores."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(8 * 36, 4)

    def forward(self, image):
        return self.head(self.body(image).flatten(1))


class Signal(nn.Module):
    """(batch, 2, 64) to 3 scores."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv1d(2, 8, 5, stride=2)
        self.head = nn.Linear(8, 3)

    def forward(self, signal):
        return self.head(torch.relu(self.body(signal)).mean(-1)).softmax(-1)


class Recurrent(nn.Module):
    """(batch, 6, 3) to 4 scores by a bidirectional GRU."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 4)

    def forward(self, signal):
        steps, _ = self.gru(signal)
        return self.head(steps[:, -1])


class Attention(nn.Module):
    """(batch, 10, 3) to 4 scores by a Transformer encoder."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, signal):
        return self.head(self.encoder(self.embed(signal)).mean(1))


class Two(nn.Module):
    """(batch, 2, 32) and (batch, 5) to scores and features, under names."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv1d(2, 8, 3)
        self.side = nn.Linear(5, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, signal, age):
        features = torch.relu(self.body(signal)).mean(-1) + self.side(age)
        return {"score": self.head(features), "feature": features}


class Values(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return torch.linalg.svdvals(self.fc(x).reshape(-1, 2, 2))


class Unsupported(nn.Module):
    """Its `head` uses an operation that neither ONNX nor TFLite has."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = Values()

    def forward(self, x):
        return self.head(self.body(x))


class Inner(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        x = self.fc(x)
        if self.how == "branches" and x.sum() > 0:
            return -x
        if self.how == "wrong shape":
            return x.reshape(-1, 3)
        return x.reshape(2, 4) if self.how == "batch of two" else x


class Odd(nn.Module):
    """Its `inner` does what cannot be converted."""

    def __init__(self, how=""):
        super().__init__()
        self.inner = Inner(how)

    def forward(self, x):
        return self.inner(x)


class Runs:
    """Unpickled, writes a file: what a malicious model does."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def branches():
    return Odd("branches")


def wrong_shape():
    return Odd("wrong shape")


def batch_of_two():
    return Odd("batch of two")


def fails():
    raise ValueError("the corpus is not there")


def no_module():
    return 3


SHAPES = {
    Images: {"image": (3, 12, 12)},
    Signal: {"signal": (2, 64)},
    Recurrent: {"signal": (6, 3)},
    Attention: {"signal": (10, 3)},
    Two: {"signal": (2, 32), "age": (5,)},
    Unsupported: {"x": (4,)},
    Odd: {"x": (4,)},
}


def example(kind, batch):
    return tuple(torch.randn(batch, *shape) for shape in SHAPES[kind].values())


def write(folder):
    torch.manual_seed(1)
    torch.backends.mha.set_fastpath_enabled(False)
    for kind, shapes in SHAPES.items():
        name, module = kind.__name__, kind().eval()
        torch.save(module.state_dict(), folder / f"{name}.pt")
        script = torch.jit.trace(module, example(kind, 2), check_trace=False, strict=False)
        torch.jit.save(script, str(folder / f"{name}.ts"))
        axes = ({0: torch.export.Dim("batch")},) * len(shapes)
        program = torch.export.export(module, example(kind, 2), dynamic_shapes=axes)
        torch.export.save(program, folder / f"{name}.pt2")
    write_odd(folder)


def write_odd(folder):
    signal = Signal().eval()
    state = torch.load(folder / "Signal.pt")
    signal.load_state_dict(state)
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped}, folder / "checkpoint.ckpt")
    torch.save({**state, "head.weight": torch.zeros(5, 8)}, folder / "shape.pt")
    renamed = {name.replace("body", "trunk"): tensor for name, tensor in state.items()}
    torch.save(renamed, folder / "keys.pt")
    bad = state["body.bias"].clone()
    bad[2] = torch.nan
    torch.save({**state, "body.bias": bad}, folder / "nan.pt")
    torch.save(signal, folder / "whole.pt")
    torch.save({"weights": Runs(folder / "ran-pickle")}, folder / "runs.pt")
    (folder / "noise.pt").write_bytes(b"\x80\x02no pickle at all")
    program = torch.export.export(signal, example(Signal, 1))
    torch.export.save(program, folder / "fixed.pt2")
    training = torch.export.export(Images().train(), example(Images, 1))
    torch.export.save(training, folder / "train.pt2")
    poison(folder)


def poison(folder):
    """Exported programs that would run code when torch.export.load reads or calls them."""
    pickled = folder / "inputs.pickle"
    torch.save(((Runs(folder / "ran-inputs"),), {}), pickled)
    graph = "models/model.json"
    size = f"__import__('os').mkdir('{folder}/ran-size')".encode()
    operator = b"torch.serialization.os.getcwd"
    dynamic, fixed = folder / "Signal.pt2", folder / "fixed.pt2"
    with zipfile.ZipFile(dynamic) as archive:
        text = next(archive.read(name) for name in archive.namelist() if name.endswith(graph))
    symbol = text[text.index(b'"Symbol(') :].partition(b'"}')[0].partition(b'",')[0][1:]
    changes = {
        "inputs": (fixed, "data/sample_inputs/model.pt", None, pickled.read_bytes()),
        "weights": (fixed, "model_weights_config.json", b'pickle": false', b'pickle": true'),
        "size": (dynamic, graph, symbol, size),
        "operator": (fixed, graph, b"torch.ops.aten.relu.default", operator),
        "guard": (fixed, graph, b'"guards_code": []', b'"guards_code": ["exit(3) or 1"]'),
    }
    for name, (source, part, old, new) in changes.items():
        with (
            zipfile.ZipFile(source) as archive,
            zipfile.ZipFile(folder / f"poison-{name}.pt2", "w") as made,
        ):
            for entry in archive.namelist():
                data = archive.read(entry)
                if entry.endswith(part):
                    assert old is None or old in data, (name, old)
                    data = new if old is None else data.replace(old, new)
                made.writestr(entry, data)


if __name__ == "__main__":
    sys.modules["torch_nets"] = sys.modules["__main__"]
    for item in list(vars().values()):
        if isinstance(item, type) and item.__module__ == "__main__":
            item.__module__ = "torch_nets"
    torch.set_num_threads(1)
    write(Path(sys.argv[1]))
