"""Networks to train, of PyTorch and Keras: `python training_nets.py torch|keras FOLDER`.

It runs on the Python of a family, so it imports nothing of the tests. `dead` networks have
channels that do nothing: without them the network must give what it gave.
"""

import sys
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import nn
except ImportError:
    torch = None

if torch:

    class Chain(nn.Module):
        """(batch, 3, 8, 8) to 4 scores."""

        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 16, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(16)
            self.deep = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
            self.wide = nn.Conv2d(16, 24, 1)
            self.drop = nn.Dropout(0.1)
            self.head = nn.Linear(24 * 16, 4)

        def forward(self, image):
            x = torch.relu(self.norm(self.first(image)))
            x = torch.relu(self.wide(self.deep(x)))
            return self.head(self.drop(nn.functional.max_pool2d(x, 2).flatten(1)))

    class Residual(nn.Module):
        """Two branches that join: both must lose the same channels. Gives probabilities."""

        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.inner = nn.Conv2d(16, 16, 3, padding=1)
            self.head = nn.Linear(16 * 16, 4)

        def forward(self, image):
            x = torch.relu(self.stem(image))
            x = torch.relu(x + self.inner(x))
            x = nn.functional.avg_pool2d(x, 2)
            return self.head(x.flatten(1)).softmax(-1)

    class Scalar(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(192, 1)

        def forward(self, image):
            return self.head(image.flatten(1))


def write_torch(folder):
    torch.set_num_threads(1)
    torch.manual_seed(2)
    for kind in (Chain, Residual, Scalar):
        net = kind()
        if kind is not Scalar:
            learn(net, folder)
        torch.save(net.eval().state_dict(), folder / f"{kind.__name__}.pt")
        if kind is Residual:
            axes = ({0: torch.export.Dim("batch")},)
            program = torch.export.export(net, (torch.randn(2, 3, 8, 8),), dynamic_shapes=axes)
            torch.export.save(program, folder / "Residual.pt2")
        if kind is Chain:
            torch.save(uneven(net), folder / "uneven.pt")
            kill(net)
            torch.save(net.state_dict(), folder / "dead.pt")


def learn(net, folder):
    data = np.load(folder / "train-nchw.npz")["image"], np.load(folder / "answers.npz")["labels"]
    images, labels = map(torch.from_numpy, data)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for rows in torch.arange(len(labels)).repeat(8).split(32):
        scores = net(images[rows])
        scores = scores.log() if isinstance(net, Residual) else scores
        loss = nn.functional.cross_entropy(scores, labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def uneven(net):
    """The same function with channels of very different ranges (Nagel et al., 1906.04721)."""
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    scale = 10 ** torch.linspace(-2, 2, 16)
    state["norm.weight"] *= scale
    state["norm.bias"] *= scale
    state["deep.weight"] /= scale.reshape(-1, 1, 1, 1)
    return state


@(torch.no_grad() if torch else lambda made: made)
def kill(net):
    """Every other channel becomes nothing, with all that belongs to it."""
    for each in (net.first.weight, net.norm.weight, net.norm.bias, net.norm.running_mean):
        each[1::2] = 0
    net.deep.weight[1::2] = 0
    net.wide.weight[:, 1::2] = 0
    net.wide.weight[::2] = 0
    net.wide.bias[::2] = 0
    net.head.weight.reshape(4, 24, 16)[:, ::2] = 0


def write_keras(folder):
    import keras
    from keras import layers

    keras.utils.set_random_seed(2)
    image = keras.Input((8, 8, 3), name="image")
    chain = [
        layers.Conv2D(16, 3, padding="same", use_bias=False, name="first"),
        layers.BatchNormalization(name="norm"),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, padding="same", use_bias=False),
        layers.Conv2D(24, 1, activation="relu", name="wide"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.1),
        layers.Dense(4, activation="softmax"),
    ]
    net = keras.Sequential([image, *chain])
    data = np.load(folder / "train-nhwc.npz")["image"], np.load(folder / "answers.npz")["labels"]
    net.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    net.fit(*data, batch_size=32, epochs=6, verbose=0)
    net.save(folder / "chain.keras")
    for name, step in (("first", 1), ("norm", 1), ("wide", 0)):
        weights = net.get_layer(name).get_weights()
        for each in weights:
            each[..., step::2] = 0
        net.get_layer(name).set_weights(weights)
    net.save(folder / "dead.keras")
    stem = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    joined = layers.Add(name="join")([stem, layers.Conv2D(8, 3, padding="same")(stem)])
    scores = layers.Dense(4)(layers.Flatten()(joined))
    keras.Model(image, scores).save(folder / "residual.keras")


if __name__ == "__main__":
    {"torch": write_torch, "keras": write_keras}[sys.argv[1]](Path(sys.argv[2]))
