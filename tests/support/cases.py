"""One request for each operation of the OpenAPI document, as its examples say.

Rule of this file: everything is taken from the document, so that a new route is in here by itself.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from callmarket.bridge.server.http_app import document
from callmarket.bridge.server.openapi.document import operations


@dataclass(frozen=True)
class Case:
    """A request that works, given a key that may make it and the things that it is about."""

    operation_id: str
    method: str
    path: str
    template: str
    public: bool
    said: dict[str, Any]

    @property
    def changes(self) -> bool:
        """Whether it is more than a question."""
        return self.method != "GET"

    @property
    def body(self) -> dict[str, Any]:
        """What goes with the request, as an argument for a client."""
        content = self.said.get("requestBody", {}).get("content", {})
        return {"json": content["application/json"]["example"]} if content else {}

    def at(self, **values: Any) -> str:
        """Its path with these values instead of the document's."""
        return _path(self.template, self.said, values)


def _path(template: str, said: dict[str, Any], values: dict[str, Any]) -> str:
    parameters = said.get("parameters", ())
    path = {one["name"]: values.get(one["name"], one["example"]) for one in parameters if one["in"] == "path"}
    query = "&".join(
        f"{one['name']}={values.get(one['name'], one['example'])}"
        for one in parameters
        if one["in"] == "query" and one["required"]
    )
    return template.format(**path) + (f"?{query}" if query else "")


CASES = [
    Case(said["operationId"], method, _path(path, said, {}), path, said.get("security") == [], said)
    for method, path, said in operations(document().tree)
]
BY_ID = {case.operation_id: case for case in CASES}


def each(*wanted: Case) -> Any:
    """A parametrisation by operation."""
    return pytest.mark.parametrize("case", wanted, ids=[case.operation_id for case in wanted])
