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
from jaxlin import linear, losses, normalization
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
    """Images to learn from or to be judged by, on the device.

    Attributes:
      pixels: raw, shape ``(images, height, width, channels)``.
      labels: shape ``(images,)``.
      normalization: of a pixel, one mean and one scale a channel.
    """

    pixels: Array
    labels: Array
    normalization: Normalization


class Recipe(NamedTuple):
    """Settings of training; static in the compiled update.

    Attributes:
      learning_rate: the highest.
      weight_decay: of AdamW.
      dropout: share of features that are dropped.
      shift: by how many pixels images are shifted at most, in any direction.
      flips: whether half of them are mirrored.
      batch_size: images an update.
      epochs: how often each image is seen.
    """

    learning_rate: float
    weight_decay: float
    dropout: float
    shift: int
    flips: bool
    batch_size: int
    epochs: int


class State(NamedTuple):
    """State before the next update."""

    network: Network
    optimizer_state: PyTree


def images_of(rows: Any, labels: Any, image_shape: tuple[int, ...]) -> Images:
    """Flat rows as images, with the moments of their own pixels."""
    height, width, channels = (*image_shape, 1)[:3]
    pixels = np.asarray(rows).reshape(-1, height, width, channels)
    fitted = normalization.fit_standard(pixels.reshape(-1, channels))
    return Images(
        jnp.asarray(pixels),
        jnp.asarray(labels),
        Normalization(*map(jnp.asarray, fitted)),
    )


def init(
    key: Array,
    images: Images,
    *,
    num_classes: int,
    width: int,
    num_features: int,
) -> Network:
    """A network whose blocks have once, one and a half and three times ``width``."""
    blocks = ((width,), (3 * width // 2,), (3 * width, 3 * width))
    height, breadth, channels = images.pixels.shape[1:]
    body = convolutional.init(
        jax.random.fold_in(key, 0),
        image_shape=(height, breadth, channels),
        blocks=blocks,
        num_features=num_features,
    )
    head = linear.init(
        jax.random.fold_in(key, 1),
        num_classes=num_classes,
        num_features=num_features,
        stddev=1e-2,
    )
    return Network(body, head)


def trained(
    folder: RunFolder,
    name: str,
    key: Array,
    network: Network,
    images: Images,
    members: np.ndarray,
    recipe: Recipe,
) -> tuple[Network, np.ndarray]:
    """Trains to the end, or the rest of it if the folder holds a checkpoint.

    Args:
      folder: of the run; the state is saved after each epoch.
      name: of this network, in the file and in metrics.jsonl.
      key: orders images, alters them and drops features.
      network: at the start.
      images: to learn from.
      members: which of them.
      recipe: how.

    Returns:
      The network and the mean training loss of each epoch.

    Raises:
      KeyboardInterrupt: after the next checkpoint, if Ctrl-C was pressed.
    """
    path = folder.path / f"checkpoint-{name}.npz"
    state = State(network, _optimizer(recipe, 0.0).init(network))
    current: dict[str, Any] = {
        "state": state,
        "losses": np.zeros(recipe.epochs, np.float32),
    }
    done = 0
    if path.exists():
        done = checkpoint.load_metadata(path)["epochs"]
        current = checkpoint.load(path, like=current)
    folder.truncate_metrics(
        lambda record: record.get("network") != name or record["epoch"] <= done
    )
    with (
        interrupts.held_back() as stop_if_asked,
        progress(name, total=recipe.epochs, unit="epochs", done=done) as advance,
    ):
        for epoch in range(done, recipe.epochs):
            state, loss = _epoch(key, epoch, current["state"], images, members, recipe)
            current["state"], current["losses"][epoch] = state, loss
            folder.append_metrics({"network": name, "epoch": epoch + 1, "loss": loss})
            checkpoint.save(path, current, metadata={"epochs": epoch + 1})
            advance(1, f"loss {loss:.3f}")
            stop_if_asked()
    return current["state"].network, current["losses"]


@jax.jit
def features(body: convolutional.NetworkParams, images: Images) -> Array:
    """Features of all images, shape ``(images, features)``."""

    def one(pixels: Array) -> Array:
        return convolutional.apply(body, normalized(images.normalization, pixels))

    size = min(_IMAGES_AT_ONCE, len(images.pixels))
    return jax.lax.map(one, images.pixels, batch_size=size)


def normalized(fitted: Normalization, pixels: Array) -> Array:
    """One image, each channel of mean 0 and variance 1 over the training images."""
    of_row = jax.vmap(normalization.normalize, (None, 0))
    return jax.vmap(of_row, (None, 0))(fitted, pixels)


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


def _epoch(
    key: Array,
    epoch: int,
    state: State,
    images: Images,
    members: np.ndarray,
    recipe: Recipe,
) -> tuple[State, float]:
    """One epoch, batch by batch; the mean loss over its updates."""
    epoch_key = jax.random.fold_in(key, epoch)
    order = members[np.asarray(jax.random.permutation(epoch_key, len(members)))]
    number = len(members) // recipe.batch_size
    batches = order[: number * recipe.batch_size].reshape(number, recipe.batch_size)
    losses_of_updates = []
    for place, batch in enumerate(batches):
        state, loss = _update(
            epoch_key,
            state,
            images,
            jnp.asarray(batch, jnp.int32),
            jnp.int32(epoch * number + place),
            jnp.int32(recipe.epochs * number),
            recipe=recipe,
        )
        losses_of_updates.append(loss)
    return state, math.fsum(map(float, losses_of_updates)) / number


@functools.partial(jax.jit, static_argnames=("recipe",), donate_argnames=("state",))
def _update(key, state, images, batch, number, total, *, recipe):
    value, gradient = jax.value_and_grad(_loss)(
        state.network, jax.random.fold_in(key, number), images, batch, recipe
    )
    rate = recipe.learning_rate * one_cycle((number + 0.5) / total)
    updates, optimizer_state = _optimizer(recipe, rate).update(
        gradient, state.optimizer_state, state.network
    )
    network = optax.apply_updates(state.network, updates)
    return State(network, optimizer_state), value


def _loss(
    network: Network, key: Array, images: Images, batch: Array, recipe: Recipe
) -> Array:
    """Mean loss of a batch of altered images."""

    def one(key: Array, pixels: Array, label: Array) -> Array:
        image_key, drop_key = jax.random.split(key)
        image = normalized(images.normalization, pixels)
        image = augmented(image_key, image, shift=recipe.shift, flips=recipe.flips)
        made = convolutional.apply(network.body, image)
        kept = jax.random.bernoulli(drop_key, 1 - recipe.dropout, made.shape)
        made = jnp.where(kept, made / (1 - recipe.dropout), 0)
        return losses.softmax_cross_entropy(linear.scores(network.head, made), label)

    keys = jax.random.split(key, len(batch))
    return jnp.mean(jax.vmap(one)(keys, images.pixels[batch], images.labels[batch]))


def one_cycle(progress: Array) -> Array:
    """Share of the highest learning rate after a share of all updates."""
    rising = progress / _WARM_UP
    falling = (1 + jnp.cos(jnp.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2
    return jnp.where(progress < _WARM_UP, rising, falling)


def _optimizer(recipe: Recipe, rate: Any) -> optax.GradientTransformation:
    return optax.adamw(rate, weight_decay=recipe.weight_decay)
