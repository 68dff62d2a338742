"""The environments of the peers: made once, each with the versions that its list in peers/ pins."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / "build" / "bench-envs"

#: Implementation: its environment, and the function that turn.py calls.
PEERS = {
    "odc": ("odc", "odc_script:run"),
    "stackstac": ("stackstac", "stackstac_script:run"),
    "opd-own": ("opd", "opd:run_own"),
    "opd-good": ("opd", "opd:run_good"),
    "titiler": ("titiler", ""),
}


#: What whoever reads blocks once sets for GDAL; one thread for each of those that compute.
GDAL = {"GDAL_CACHEMAX": "64", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "OMP_NUM_THREADS": "1"}


def variables(**more: str) -> dict[str, str]:
    """The environment variables of a peer or the floor."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **GDAL, **more}


def python(name: str) -> Path:
    """The interpreter of an environment, which is made if it is absent or its list has changed.

    :raises RuntimeError: where its packages cannot be installed.
    """
    listed = HERE / "peers" / f"{name}.txt"
    folder = FOLDER / name
    mark, wanted = folder / "made-from", hashlib.sha256(listed.read_bytes()).hexdigest()
    if not mark.exists() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "-r", listed]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the environment {name} cannot be made: {done.stderr[-500:]}")
        mark.write_text(wanted)
    return folder / "bin" / "python"
