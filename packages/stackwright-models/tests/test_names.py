"""What the package exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stackwright_models


@pytest.mark.parametrize("name", stackwright_models.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(stackwright_models, name))
    assert name in dir(stackwright_models)


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = stackwright_models.nothing


def test_importing_the_package_imports_no_library() -> None:
    code = "import sys, stackwright_models; print({'sklearn', 'lightgbm', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
