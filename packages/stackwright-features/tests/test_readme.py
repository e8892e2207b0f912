from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"


def test_the_example_of_the_readme_runs(halves: Any) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"offline": halves.offline, "online": halves.online}
    exec(example, names)
    assert names["frame"].select(["price", "rooms", "area", "visits_1d"]).to_pylist() == [
        {"price": 250_000.0, "rooms": 3, "area": "north", "visits_1d": 0}
    ]
    assert names["row"].columns["rooms"].tolist() == [3.0]
    assert set(names["row"].watermarks) == {"details@1", "visits@1"}
