from pathlib import Path

import pytest

from tests.roads.town import build_tiles


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiles of the invented town; nobody changes them."""
    return build_tiles(tmp_path_factory.mktemp("town"))
