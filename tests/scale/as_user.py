"""`openeo-backend run` for a user: python as_user.py USER GRAPH -o FOLDER --config FILE."""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from pathlib import Path

from openeo_backend.run.engine import Engine
from openeo_backend.run.execute import execute
from openeo_backend.run.request import RunRequest
from openeo_backend.settings import read_with_origins


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("user")
    parser.add_argument("graph", type=Path)
    parser.add_argument("-o", type=Path, dest="folder")
    parser.add_argument("--config", type=Path)
    given = parser.parse_args()
    settings, _ = read_with_origins(given.config, {})
    process = json.loads(given.graph.read_text())
    request = RunRequest(id=uuid.uuid4().hex, process=process, folder=given.folder, user=given.user)
    outcome = execute(request, Engine.open(settings), lambda event: None)
    if outcome.error is not None:
        sys.stderr.write(f"{outcome.error['code']}: {outcome.error['message']}\n")
        return 1
    (given.folder / "metadata.json").write_text(json.dumps({"usage": outcome.usage}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
