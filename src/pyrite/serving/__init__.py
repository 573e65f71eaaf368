"""Serving: detections over HTTP, for programs and for a page."""

from pyrite.serving.app import create_app
from pyrite.serving.keys import make_key
from pyrite.serving.run import is_open, serve
from pyrite.serving.settings import Settings, load_settings

__all__ = ["Settings", "create_app", "is_open", "load_settings", "make_key", "serve"]
