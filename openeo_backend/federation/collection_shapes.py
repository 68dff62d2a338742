"""What STAC says about the members of a collection; in its words, as rules are tried without network."""

from __future__ import annotations

from jsonschema import Draft7Validator

_LINKS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["rel", "href"],
        "properties": {name: {"type": "string", "minLength": 1} for name in ("rel", "href", "type", "title")},
    },
}

COLLECTION = Draft7Validator(
    {
        "type": "object",
        "required": ["stac_version", "type", "id", "description", "license", "extent", "links"],
        "properties": {
            "type": {"const": "Collection"},
            **{name: {"type": "string", "minLength": 1} for name in ("id", "description", "title")},
            "license": {"type": "string", "pattern": r"^[\w\-.+]+$"},
            "keywords": {"type": "array", "items": {"type": "string"}},
            "stac_extensions": {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
            "providers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "url": {"type": "string"},
                        "roles": {
                            "type": "array",
                            "items": {"enum": ["producer", "licensor", "processor", "host"]},
                        },
                    },
                },
            },
            "links": _LINKS,
            "extent": {
                "type": "object",
                "required": ["spatial", "temporal"],
                "properties": {
                    "spatial": {
                        "type": "object",
                        "required": ["bbox"],
                        "properties": {
                            "bbox": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "items": {"type": "number"},
                                    "oneOf": [{"minItems": n, "maxItems": n} for n in (4, 6)],
                                },
                            }
                        },
                    },
                    "temporal": {
                        "type": "object",
                        "required": ["interval"],
                        "properties": {
                            "interval": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "minItems": 2,
                                    "maxItems": 2,
                                    "items": {
                                        "type": ["string", "null"],
                                        "pattern": r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|[Zz])$",
                                    },
                                },
                            }
                        },
                    },
                },
            },
        },
    }
)

_EXTENT = {"type": "array", "minItems": 2, "maxItems": 2}
DIMENSION = Draft7Validator(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string"}},
        "allOf": [
            {
                "if": {"properties": {"type": {"const": "spatial"}, "axis": {"enum": ["x", "y"]}}},
                "then": {
                    "required": ["axis", "extent"],
                    "properties": {"extent": {**_EXTENT, "items": {"type": "number"}}},
                },
            },
            {
                "if": {"properties": {"type": {"const": "temporal"}}},
                "then": {
                    "required": ["extent"],
                    "properties": {"extent": {**_EXTENT, "items": {"type": ["string", "null"]}}},
                },
            },
            {
                "if": {"properties": {"type": {"const": "bands"}}},
                "then": {
                    "required": ["values"],
                    "properties": {"values": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
                },
            },
        ],
    }
)
