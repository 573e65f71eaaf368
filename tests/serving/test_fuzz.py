"""The whole API under schemathesis: what it makes up from the OpenAPI document, valid and not, within a budget."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import schemathesis
from asking import Server
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.schemas import APIOperation

_OF_IMAGES = ("/v1/explain", "/v1/history", "/v1/thumbnail")


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_finds_a_failure(serve: Callable[..., AbstractContextManager[Server]], mode: GenerationMode) -> None:
    with serve(max_files=3, queue=8) as server:
        schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
        # More files than allowed are a body that is too large.
        schema.config.checks.negative_data_rejection.expected_statuses += ["413"]
        operations = [result.ok() for result in schema.get_all_operations()]
        assert len(operations) == 10
        for operation in operations:
            # Those that only tell something take nothing that could be wrong.
            if mode is GenerationMode.POSITIVE or operation.method == "post":
                fuzz(operation, mode)


def beyond_schemas(case: schemathesis.Case) -> list[str]:
    """Return the checks of a request that no schema can tell to be valid or not."""
    if isinstance(case.body, dict) and "client_id" in case.body:
        # There are to be as many as files; and in a form, a number and a list of one text are the same.
        return ["positive_data_acceptance", "negative_data_rejection"]
    # No schema can say that bytes are an image, and what is none has no explanation, no history and no picture.
    return ["positive_data_acceptance"] if case.operation.path in _OF_IMAGES else []


def fuzz(operation: APIOperation, mode: GenerationMode) -> None:
    @given(operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=60,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(timeout=30, excluded_checks=CHECKS.get_by_names(beyond_schemas(case)))

    ask()
