"""The pages for people who come with a browser, and what lies at the host's root."""

from __future__ import annotations

from urllib.parse import quote

from flask import Blueprint, Response, render_template_string, request

from openeo_backend.api.access import backend, public
from openeo_backend.api.documents import document
from openeo_backend.api.urls import host_url, root_url
from openeo_backend.api.versions import versions
from openeo_backend.auth.bearer import offers_basic

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
@public
def home() -> Response:
    """A page for browsers; the API versions for everyone else."""
    response = landing_page() if wants_html() else well_known()
    response.vary.add("Accept")
    return response


@blueprint.get("/.well-known/openeo")
@blueprint.get("/openeo/.well-known/openeo", endpoint="well_known_below")
@public
def well_known() -> Response:
    """The API versions served."""
    return document(versions())


def wants_html() -> bool:
    """Whether the client prefers HTML to JSON; those who take anything get JSON."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def editor_url(root: str) -> str:
    """The openEO Web Editor, connected to the API at `root`."""
    return f"https://editor.openeo.org/?server={quote(root, safe='')}"


def landing_page() -> Response:
    settings = backend().settings
    root = f"{root_url()}/"
    html = render_template_string(
        _PAGE,
        title=settings.server.title,
        description=settings.server.description,
        host=host_url(),
        root=root,
        editor=editor_url(root),
        basic=offers_basic(settings),
        demo=settings.demo.enabled,
        collections=sorted(backend().catalog.ids()),
    )
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    response.vary.add("Accept")
    return response


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; color: #1c2733 }
pre { background: #f2f4f6; padding: 1rem; overflow-x: auto; border-radius: 4px }
a { color: #0b5cad }
li { margin: .2rem 0 }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p>{{ description }}</p>
<p>This is the address of an <a href="https://openeo.org">openEO</a> back-end. Programs talk to it; here is how
to start.</p>
<h2>Python</h2>
<pre>import openeo

connection = openeo.connect("{{ root }}")
{% if demo -%}
connection.authenticate_basic("demo", "demo")
{% elif basic -%}
connection.authenticate_basic("NAME", "PASSWORD")
{% endif -%}
print(connection.list_collection_ids())</pre>
<h2>In the browser</h2>
<p><a href="{{ editor }}">Open in the openEO Web Editor</a>, or enter <code>{{ root }}</code> as the server there.</p>
<h2>What is here</h2>
<ul>
<li><a href="{{ root }}collections">Collections</a>{% if collections %}: {{ collections | join(", ") }}{% endif %}</li>
<li><a href="{{ root }}processes">Processes</a></li>
<li><a href="{{ root }}file_formats">File formats</a></li>
<li><a href="{{ host }}/.well-known/openeo">API versions</a></li>
<li><a href="{{ root }}health">Health</a></li>
</ul>
</body>
</html>
"""
