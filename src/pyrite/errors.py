"""Every error that Pyrite raises on purpose.

```
PyriteError
├── ImageError          one file cannot be judged; a batch goes on without it
├── DatasetError        a dataset cannot be read or understood
├── RecipeError         a recipe, or a setting of one, is not valid
├── TrainingError       a run cannot start, or cannot go on
│   └── Interrupted     a run was asked to stop, and saved what it had
├── ExportError         the exported model does not do what the trained one does
├── DecoderError        an autoencoder cannot be loaded, or is none
├── BundleError         a bundle is missing, damaged or not understood
├── EvaluationError     there is nothing that could be measured
├── ScanError           a scan cannot start, or cannot go on
├── SettingsError       a setting of the server is not valid
└── MissingExtraError   an optional dependency is not installed
```

Each message is a sentence for a person that says what to do next where that is known.
"""

from importlib.util import find_spec


class PyriteError(Exception):
    """The root: catch this to catch them all."""


class ImageError(PyriteError):
    """One image that cannot be judged.

    `code` is stable and machine-readable (`not_found`, `empty`, `unsupported_format`, …);
    the message is for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        # Errors cross process borders, and the default would lose the second argument.
        return type(self), (self.code, str(self))


class DatasetError(PyriteError):
    """A dataset that cannot be read or understood."""


class RecipeError(PyriteError):
    """A recipe, or a setting of one, that is not valid."""


class TrainingError(PyriteError):
    """A training run that cannot start, or cannot go on."""


class Interrupted(TrainingError):  # noqa: N818 - nothing went wrong
    """A training run that was asked to stop, and saved what it had."""


class ExportError(PyriteError):
    """An exported model that does not do what the trained one does."""


class DecoderError(PyriteError):
    """An autoencoder that cannot be loaded or made, or a file that is none."""


class BundleError(PyriteError):
    """A bundle that is missing, damaged or not understood."""


class EvaluationError(PyriteError):
    """An evaluation with nothing to measure."""


class ScanError(PyriteError):
    """A scan that cannot start, or cannot go on."""


class SettingsError(PyriteError):
    """A setting of the server that is unknown or not valid."""


class MissingExtraError(PyriteError):
    """An optional dependency that is not installed."""


def require(extra: str, *modules: str) -> None:
    """Raise `MissingExtraError` unless every one of `modules` can be imported.

    Looks modules up without importing them, so that a missing extra is told at once.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"This needs {', '.join(missing)}, which is not installed. Install it with: pip install 'pyrite[{extra}]'"
        )


def in_one_line(error: BaseException, most: int | None = None) -> str:
    """Return what an error of another library says without its line breaks, cut off after `most` characters."""
    return " ".join(str(error).split())[:most]
