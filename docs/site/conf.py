"""How Sphinx builds the site. Nothing is fetched, by the build or by the pages."""

from importlib.metadata import version as installed

project = "stackwright"
version = release = installed("stackwright")
copyright = "the stackwright authors, Apache 2.0"  # noqa: A001 -- Sphinx's name

root_doc = "docs/index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "__init__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

suppress_warnings = ["ref.python"]  # a name that two modules offer is one thing all the same

html_theme = "furo"
html_title = f"stackwright {release}"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_search_summary = False  # it would fetch each page found, which browsers refuse without a server
