"""The published report as a plain Keras script: the baseline of `training.py`.

Unpacks an archive of class folders, trains ResNet50 with `image_dataset_from_directory` on 70% of it,
stops early by another 20%, and judges the last 10% with scikit-learn. Nothing in it is Pyrite's.
"""

import argparse
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import classification_report, confusion_matrix


def main() -> None:
    """Run the job."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(arguments.archive) as archive:
            archive.extractall(folder)
        train, rest = keras.utils.image_dataset_from_directory(
            folder,
            label_mode="binary",
            class_names=["REAL", "FAKE"],
            image_size=(32, 32),
            batch_size=arguments.batch_size,
            validation_split=0.3,
            subset="both",
            seed=0,
        )
        batches = len(rest)
        validation, test = rest.take(2 * batches // 3).cache(), rest.skip(2 * batches // 3).cache()
        model = build()
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), "binary_crossentropy", metrics=["accuracy"]
        )
        stop = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
        model.fit(train.cache(), validation_data=validation, epochs=arguments.epochs, callbacks=[stop], verbose=0)
        truth, called = [], []
        for images, labels in test:
            truth.append(labels.numpy()[:, 0])
            called.append(model.predict_on_batch(images)[:, 0] > 0.5)
        print(classification_report(np.concatenate(truth), np.concatenate(called), zero_division=0))
        print(confusion_matrix(np.concatenate(truth), np.concatenate(called)))


def build() -> keras.Model:
    """Return the report's network, with its flips and its scaling."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.RandomFlip("horizontal_and_vertical"),
            keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3)),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


if __name__ == "__main__":
    main()
