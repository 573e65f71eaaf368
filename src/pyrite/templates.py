"""What pages are rendered with."""

import jinja2


def page_environment(*packages: str) -> jinja2.Environment:
    """Return what renders the templates of these packages, of which the first that has one gives it.

    Values are escaped for HTML, and a name that nobody gave is an error.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template_source(pages: jinja2.Environment, name: str) -> str:
    """Return a file beside the templates as it is."""
    assert pages.loader is not None
    return pages.loader.get_source(pages, name)[0]
