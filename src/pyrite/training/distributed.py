"""Training on several machines: one process on each, which takes a share of every batch.

The engine is TensorFlow's collectives, which `tf.distribute.MultiWorkerMirroredStrategy` sets up. Keras 3 does not
train under that strategy itself (keras-team/keras#20585), so it connects the machines and sums up, and no more: every
process has plain variables of its own, which stay alike because all apply the same sums of gradients.
"""

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.errors import TrainingError
from pyrite.keras_backend import load_keras
from pyrite.recipe import Recipe
from pyrite.training.backend import copy_model
from pyrite.training.checkpoint import State
from pyrite.training.lessons import example_losses

TrainStep = Callable[..., tuple[float, float]]
"""Images and labels in, and weights of the images where they have some: see `batches.Batch`. The batch's mean loss and
accuracy out, whatever the images weigh; the network's weights change."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which of how many machines this is."""

    rank: int = 0
    """From 0, which is the chief: it alone writes."""
    size: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this is the machine that writes."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` things are this machine's; the shares of all differ by one at most."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def check(self, what: str, images: int) -> None:
        """Refuse to share fewer images than there are machines.

        Args:
            what: is shared: `A batch`.
            images: how many it has.

        Raises:
            TrainingError: a machine would go without.
        """
        if images < self.size:
            raise TrainingError(f"{what} has {images} images, too few for {self.size} machines.")


ALONE = Place()


class _Task(msgspec.Struct, frozen=True):
    type: str
    index: int


class _Config(msgspec.Struct, frozen=True):
    """TensorFlow's own; it may hold more than this."""

    cluster: dict[str, tuple[str, ...]]
    task: _Task


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """Return this machine's place in `TF_CONFIG`, or `ALONE` without it.

    Raises:
        TrainingError: it is not valid, or names what synchronous training has no use for.
    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return ALONE
    try:
        config = msgspec.json.decode(text, type=_Config, strict=False)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise TrainingError(f"TF_CONFIG is not valid: {error}.") from None
    if unknown := sorted(set(config.cluster) - {"chief", "worker"}):
        raise TrainingError(
            f"TF_CONFIG has the job {unknown[0]!r}; training takes 'worker', and 'chief' for the first."
        )
    chiefs, workers = (config.cluster.get(job, ()) for job in ("chief", "worker"))
    if len(chiefs) > 1:
        raise TrainingError(f"TF_CONFIG names {len(chiefs)} chiefs; there is one.")
    addresses = (*chiefs, *workers)
    if twice := [address for i, address in enumerate(addresses) if address in addresses[:i]]:
        raise TrainingError(f"TF_CONFIG names {twice[0]} twice.")
    here = config.task
    if not 0 <= here.index < len(config.cluster.get(here.type, ())):
        raise TrainingError(f"TF_CONFIG says that this is {here.type} {here.index}, which its cluster does not have.")
    return Place(here.index + (len(chiefs) if here.type == "worker" else 0), len(addresses))


class Team:
    """A process's line to the others of its run. All must call the same methods in the same order."""

    def __init__(self, place: Place) -> None:
        """Meet the others, and wait for them.

        Raises:
            TrainingError: they cannot be met: another backend, more than one device, a port that is taken …
        """
        if load_keras().backend.backend() != "tensorflow":
            raise TrainingError("Training on several machines needs Keras's TensorFlow backend: unset KERAS_BACKEND.")
        import tensorflow as tf

        self.place = place
        options = tf.distribute.experimental.CommunicationOptions(
            implementation=tf.distribute.experimental.CommunicationImplementation.AUTO
        )
        try:
            with _interruptible():
                self._strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        except (RuntimeError, tf.errors.OpError) as error:
            raise TrainingError(
                f"The other machines of TF_CONFIG could not be reached: {error} Start the command on all of them, each "
                "in its own process, with its own place and a free port."
            ) from error
        if self._strategy.num_replicas_in_sync != place.size:
            raise TrainingError(
                "A process trains on one device, and this one sees several. Start one process for each, with a place "
                "of its own in TF_CONFIG, and show it its own with CUDA_VISIBLE_DEVICES."
            )

        def add_up(own: Any) -> Any:
            # A copy, since what is summed up has to lie on a device, which an argument does not yet.
            return tf.distribute.get_replica_context().all_reduce("SUM", tf.identity(own))

        self._totals = {
            dtype.name: tf.function(
                lambda values: self._strategy.run(add_up, (values,)),
                input_signature=[tf.TensorSpec([None], dtype)],
                autograph=False,
            )
            for dtype in (tf.int64, tf.float64)
        }

    def sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over all machines of arrays of one shape, of int64 or float64.

        Raises:
            TrainingError: a machine is lost.
        """
        with _losses_told():
            return np.asarray(self._totals[values.dtype.name](values.ravel())).reshape(values.shape)

    def any(self, here: bool) -> bool:
        """Return whether it is so on any machine."""
        return bool(self.sum(np.array([here], np.int64))[0])

    def joined(self, own: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """Return `count` values, of which `own` are this machine's share."""
        whole = np.zeros(count)
        whole[self.place.share(count)] = own
        return self.sum(whole)

    def from_chief(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return the chief's array, of the same shape and dtype as this one."""
        words = np.zeros(-(-value.nbytes // 8), np.int64)
        if self.place.is_chief:
            words.view(np.uint8)[: value.nbytes] = np.frombuffer(value.tobytes(), np.uint8)
        return np.frombuffer(self.sum(words).tobytes()[: value.nbytes], value.dtype).reshape(value.shape)

    def state_from_chief(self, state: State) -> State:
        """Return the chief's state, so that no rounding and no clock makes machines part."""
        content = msgspec.msgpack.encode(state)
        length = int(self.from_chief(np.array([len(content)]))[0])
        own = np.frombuffer(content if self.place.is_chief else bytes(length), np.uint8)
        return msgspec.msgpack.decode(self.from_chief(own).tobytes(), type=State)

    def start_alike(self, variables: Sequence[Any]) -> None:
        """Give all machines the chief's values of variables."""
        for variable in variables:
            variable.assign(self.from_chief(np.asarray(variable)))

    def check_alike(self, what: Mapping[str, str]) -> None:
        """Compare what has to be the same everywhere.

        Raises:
            TrainingError: it is not; on every machine, with the same words.
        """
        table = np.zeros((self.place.size, len(what)), np.int64)
        for i, text in enumerate(what.values()):
            table[self.place.rank, i] = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:7])
        for name, column in zip(what, self.sum(table).T, strict=True):
            if (others := np.flatnonzero(column != column[0])).size:
                raise TrainingError(
                    f"Machine {others[0] + 1} of {self.place.size} does not have the {name} that the first one has. "
                    "All must train by the same recipe on the same data, with the same version of Pyrite."
                )

    def prepare(self, model: Any, batch: int) -> Any:
        """Return a copy of a model that trains on shares of a batch as on the whole.

        Batch normalisation takes the statistics of the whole batch, and dropout draws for the whole batch.
        """
        keras = load_keras()
        whole_batch = _dropout_of_the_whole(self.place, batch)

        def copy(layer: Any) -> Any:
            config = layer.get_config()
            if isinstance(layer, keras.layers.BatchNormalization):
                return keras.layers.BatchNormalization.from_config({**config, "synchronized": True})
            return (whole_batch if type(layer) is keras.layers.Dropout else type(layer)).from_config(config)

        return copy_model(model, copy)

    def train_step(self, model: Any, recipe: Recipe, batch: int, sizes: Sequence[int] = ()) -> TrainStep:
        """Return what `train_on_batch` does, for this machine's share of each batch of so many images.

        `model` is one that `prepare` made, and compiled, with targets of so many classes. The step raises
        `TrainingError` where a machine is lost.
        """
        import tensorflow as tf

        crossentropy, compute = load_keras().losses.binary_crossentropy, example_losses(recipe, sizes)
        weights = [variable.value for variable in model.trainable_variables]

        def share(images: Any, answers: Any, *of_images: Any) -> Any:
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                losses = compute(answers, outputs)
                weighted = losses * tf.cast(of_images[0], losses.dtype) if of_images else losses
                weighted = tf.reduce_sum(weighted) / batch
            labels, logits = answers[:, :1], outputs[:, :1]
            told = crossentropy(labels, logits, from_logits=True, label_smoothing=recipe.label_smoothing)
            loss = tf.reduce_sum(told) / batch
            right = tf.reduce_sum(tf.cast((logits > 0) == (labels > 0.5), loss.dtype)) / batch
            own = [loss, right, *tape.gradient(weighted, weights)]
            return tf.distribute.get_replica_context().all_reduce("SUM", own)

        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def step(*of_batch: Any) -> Any:
            loss, right, *gradients = self._strategy.run(share, of_batch)
            model.optimizer.apply(gradients, model.trainable_variables)
            return loss, right

        def train(*of_batch: NDArray[Any]) -> tuple[float, float]:
            with _losses_told():
                loss, accuracy = step(*map(tf.constant, of_batch))
                return float(loss), float(accuracy)

        return train


def _dropout_of_the_whole(place: Place, batch: int) -> Any:
    """Return a layer class like Keras's `Dropout`, whose draws are those of one machine with the whole batch."""
    import tensorflow as tf

    keras = load_keras()

    class Dropout(keras.layers.Dropout):  # type: ignore[misc,name-defined]
        def call(self, inputs: Any, training: bool = False) -> Any:
            # Outside of the shared step, what comes in is the whole.
            if not training or tf.distribute.get_strategy().num_replicas_in_sync == 1:
                return super().call(inputs, training=training)
            drawn = super().call(tf.ones((batch, *inputs.shape[1:]), inputs.dtype), training=True)
            return inputs * drawn[place.share(batch)]

    return Dropout


@contextmanager
def _losses_told() -> Iterator[None]:
    """Raise `TrainingError` where the others do not answer."""
    import tensorflow as tf

    errors = tf.errors
    lost = (
        errors.AbortedError, errors.CancelledError, errors.DeadlineExceededError, errors.FailedPreconditionError,
        errors.InternalError, errors.UnavailableError, errors.UnknownError,
    )  # fmt: skip
    try:
        yield
    except lost as error:
        raise TrainingError(
            "Another machine of this run has stopped or does not answer. Fix that, then continue from the last "
            "checkpoint with --resume on all of them."
        ) from error


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process: TensorFlow waits for others outside of Python, which would hear of it too late."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
