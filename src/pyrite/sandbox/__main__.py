"""The other side of `Process`: calls what it is sent, one after the other, until nobody is there any more."""

import os
import pickle
import signal
import sys

from pyrite.errors import PyriteError
from pyrite.sandbox.kernel import confine

_GRACE = 5.0  # seconds after which it ends by itself, where whoever should have killed it is no more


def _serve() -> None:
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a decoder prints is no answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It ends with whoever asks it.
    if "--confined" in sys.argv:
        confine()
    while size := int.from_bytes(requests.read(8)):
        function, arguments, seconds = pickle.loads(requests.read(size))
        answer: tuple[bool, object]
        _alarm(seconds + _GRACE)
        try:
            answer = True, function(*arguments)
        except PyriteError as error:  # Any other ends the process, and the call with it.
            answer = False, error
        _alarm(0)
        data = pickle.dumps(answer)
        answers.write(len(data).to_bytes(8) + data)
        answers.flush()


def _alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):  # Which Windows has not.
        signal.setitimer(signal.ITIMER_REAL, seconds)


_serve()
