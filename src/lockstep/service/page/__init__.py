"""The page for a person, at ``GET /``: static files that hold no data and load nothing from elsewhere.

``index.html`` answers ``/``, every other file its own name. The page asks ``/openapi.json`` what a row is and ``/card``
what the model is, then ``/predict`` and ``/explain``; it has no other way to know anything.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
INDEX = "index.html"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",  # its icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
)
"""Sent with every file of the page."""

_found = {
    f"/{'' if path.name == INDEX else path.name}": path for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES
}
FILES = {name: path.read_bytes() for name, path in _found.items()}
"""The bytes of each file by the path that it answers."""
KINDS = {name: f"{TYPES[path.suffix]}; charset=utf-8".encode() for name, path in _found.items()}
"""Their content types."""
