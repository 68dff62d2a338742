"""What all sections of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of settings; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
