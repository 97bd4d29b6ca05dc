"""Training the convolutional network, epoch by epoch, and its head by proof.

AdamW with a learning rate that rises for a fifth of the updates and falls along a
cosine; images are flipped and shifted, features dropped out. One compiled update serves
the whole sample, halves and quarters; what does not fill a batch waits for the next
order, which is drawn anew each epoch. Updates are called from Python: as the body of a
compiled loop, convolutions on a CPU take many times as long.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import interrupts
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder
from experiments.error_decomposition.config import Config
from jaxlin import data, linear, losses, normalization
from jaxlin.features import convolutional
from jaxlin.io import checkpoint
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.typing import Array, PyTree

_WARM_UP = 0.2
# Images whose features are computed at once.
_IMAGES_AT_ONCE = 128


class Network(NamedTuple):
    """A body that makes features and a linear head on them."""

    body: convolutional.NetworkParams
    head: Params


class Images(NamedTuple):
    """Raw images on the device, their labels, and a mean and scale of each channel."""

    pixels: Array
    labels: Array
    normalization: Normalization


class State(NamedTuple):
    """State before the next update."""

    network: Network
    optimizer_state: PyTree


def pixels_of(dataset: data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images with a channel axis."""
    assert dataset.image_shape is not None
    shape = (-1, *(*dataset.image_shape, 1)[:3])
    return dataset.train.features.reshape(shape), dataset.test.features.reshape(shape)


def images_of(dataset: data.Dataset) -> tuple[Images, Images]:
    """Training and test examples, with the moments of training pixels."""
    train, test = pixels_of(dataset)
    fitted = normalization.fit_standard(train.reshape(-1, train.shape[-1]))
    moments = Normalization(*map(jnp.asarray, fitted))
    return (
        Images(jnp.asarray(train), jnp.asarray(dataset.train.labels), moments),
        Images(jnp.asarray(test), jnp.asarray(dataset.test.labels), moments),
    )


def init(key: Array, config: Config, images: Images, num_classes: int) -> State:
    """A network whose blocks have once, one and a half and three times the width."""
    width, features = config.width, config.network_features
    height, breadth, channels = images.pixels.shape[1:]
    body = convolutional.init(
        jax.random.fold_in(key, 0),
        image_shape=(height, breadth, channels),
        blocks=((width,), (3 * width // 2,), (3 * width, 3 * width)),
        num_features=features,
    )
    head = linear.init(
        jax.random.fold_in(key, 1),
        num_classes=num_classes,
        num_features=features,
        stddev=1e-2,
    )
    network = Network(body, head)
    return State(network, _optimizer(config, 0.0).init(network))


def trained(
    folder: RunFolder,
    name: str,
    config: Config,
    key: Array,
    images: Images,
    num_classes: int,
    members: np.ndarray,
) -> tuple[Network, np.ndarray]:
    """Trains to the end, or the rest of it if the folder holds a checkpoint.

    The state is saved after each epoch, and Ctrl-C is obeyed then.

    Args:
      folder: of the run.
      name: of this network and its checkpoint.
      config: how.
      key: initialises, orders images, alters them and drops features.
      images: of which it learns from the ``members``.
      num_classes: C.
      members: indices.

    Returns:
      The network and the mean training loss of each epoch.
    """
    path = folder.path / f"checkpoint-{name}.npz"
    start_key, key = (jax.random.fold_in(key, purpose) for purpose in range(2))
    state = init(start_key, config, images, num_classes)
    history, done = np.zeros(config.epochs, np.float32), 0
    if path.exists():
        done = checkpoint.load_metadata(path)["epochs"]
        state, history = checkpoint.load(path, like=(state, history))
    with (
        interrupts.held_back() as stop_if_asked,
        progress(name, total=config.epochs, unit="epochs", done=done) as advance,
    ):
        for epoch in range(done, config.epochs):
            state, loss = one_epoch(key, epoch, state, images, members, config)
            history[epoch] = loss
            checkpoint.save(path, (state, history), metadata={"epochs": epoch + 1})
            advance(1, f"loss {loss:.3f}")
            stop_if_asked()
    return state.network, history


@jax.jit
def features(body: convolutional.NetworkParams, images: Images) -> Array:
    """Features of all images, shape ``(images, features)``."""

    def one(pixels: Array) -> Array:
        return convolutional.apply(body, normalized(images.normalization, pixels))

    size = min(_IMAGES_AT_ONCE, len(images.pixels))
    return jax.lax.map(one, images.pixels, batch_size=size)


def normalized(fitted: Normalization, pixels: Array) -> Array:
    """One image, each channel of mean 0 and variance 1 over the training images."""
    of_row = functools.partial(jax.vmap, in_axes=(None, 0))
    return of_row(of_row(normalization.normalize))(fitted, pixels)


def augmented(key: Array, image: Array, *, shift: int, flips: bool) -> Array:
    """One image, moved and perhaps mirrored; what comes in from outside is 0."""
    move_key, flip_key = jax.random.split(key)
    if shift:
        around = ((shift, shift), (shift, shift), (0, 0))
        top, left = jax.random.randint(move_key, (2,), 0, 2 * shift + 1)
        image = jax.lax.dynamic_slice(
            jnp.pad(image, around), (top, left, 0), image.shape
        )
    if flips:
        image = jnp.where(jax.random.bernoulli(flip_key), image[:, ::-1], image)
    return image


def one_epoch(
    key: Array,
    epoch: int,
    state: State,
    images: Images,
    members: np.ndarray,
    config: Config,
) -> tuple[State, float]:
    """One epoch, batch by batch; the mean loss over its updates."""
    key = jax.random.fold_in(key, epoch)
    order = members[np.asarray(jax.random.permutation(key, len(members)))]
    number = len(members) // config.batch_size
    total, losses_of_updates = jnp.int32(config.epochs * number), []
    batches = order[: number * config.batch_size].reshape(number, config.batch_size)
    for place, batch in enumerate(batches.astype(np.int32)):
        step = jnp.int32(epoch * number + place)
        state, loss = _update(key, state, images, batch, step, total, config=config)
        losses_of_updates.append(loss)
    return state, math.fsum(map(float, losses_of_updates)) / number


@functools.partial(jax.jit, static_argnames=("config",), donate_argnames=("state",))
def _update(key, state, images, batch, number, total, *, config):
    value, gradient = jax.value_and_grad(_loss)(
        state.network, jax.random.fold_in(key, number), images, batch, config
    )
    rate = config.learning_rate * one_cycle((number + 0.5) / total)
    updates, optimizer_state = _optimizer(config, rate).update(
        gradient, state.optimizer_state, state.network
    )
    network = optax.apply_updates(state.network, updates)
    return State(network, optimizer_state), value


def _loss(
    network: Network, key: Array, images: Images, batch: Array, config: Config
) -> Array:
    """Mean loss of a batch of altered images."""

    def one(key: Array, pixels: Array, label: Array) -> Array:
        image_key, drop_key = jax.random.split(key)
        image = normalized(images.normalization, pixels)
        image = augmented(image_key, image, shift=config.shift, flips=config.flips)
        made = convolutional.apply(network.body, image)
        kept = jax.random.bernoulli(drop_key, 1 - config.dropout, made.shape)
        made = jnp.where(kept, made / (1 - config.dropout), 0)
        return losses.softmax_cross_entropy(linear.scores(network.head, made), label)

    keys = jax.random.split(key, len(batch))
    return jnp.mean(jax.vmap(one)(keys, images.pixels[batch], images.labels[batch]))


def one_cycle(progress: Array) -> Array:
    """Share of the highest learning rate after a share of all updates."""
    rising = progress / _WARM_UP
    falling = (1 + jnp.cos(jnp.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2
    return jnp.where(progress < _WARM_UP, rising, falling)


def _optimizer(config: Config, rate: Any) -> optax.GradientTransformation:
    return optax.adamw(rate, weight_decay=config.weight_decay)
