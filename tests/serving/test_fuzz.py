"""The whole API under schemathesis: what it makes up from the OpenAPI document, valid and not, within a budget."""

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def api_schema(client: TestClient) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", client.app)


schema = schemathesis.pytest.from_fixture("api_schema")


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_finds_a_failure(case: schemathesis.Case, client: TestClient) -> None:
    response = case.call(session=client)
    case.validate_response(response)
