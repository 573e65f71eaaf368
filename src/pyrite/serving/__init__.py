"""Serving: detections over HTTP, for programs and for a page."""

from pyrite.serving.app import create_app
from pyrite.serving.keys import make_key
from pyrite.serving.page import write_page
from pyrite.serving.server import is_open, serve
from pyrite.serving.settings import ServerSettings, load_settings

__all__ = ["ServerSettings", "create_app", "is_open", "load_settings", "make_key", "serve", "write_page"]
