"""Write the JSON Schemas of what Pyrite writes, and the OpenAPI document of its server, to a folder; `make docs` does.

python scripts/schemas.py docs/schemas
"""

import json
import sys
from pathlib import Path

from starlette.testclient import TestClient

from pyrite.json_schema import schemas
from pyrite.serving import ServerSettings, create_app


def documents() -> dict[str, str]:
    """Return the content of each file by its name."""
    server = TestClient(create_app(ServerSettings()), base_url="http://127.0.0.1")
    found = {**schemas(), "openapi": server.get("/openapi.json").json()}
    return {f"{name}.json": json.dumps(one, indent=1, ensure_ascii=False) + "\n" for name, one in found.items()}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (folder / name).write_text(text, "utf-8")
