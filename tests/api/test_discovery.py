"""The documents that clients read first."""

from __future__ import annotations

from flask.testing import FlaskClient

ROOT = "/openeo/1.2"


def test_the_capabilities_exist(client: FlaskClient) -> None:
    response = client.get(f"{ROOT}/")
    assert response.status_code == 200
    assert response.json["api_version"] == "1.2.0"
    print(response.json)
