"""The golden vectors: read by tests and documentation, written anew only by hand, when the protocol changes.

python -m tests.frames.golden
"""

import json
from pathlib import Path

from .examples import CLUSTER, KEY, SESSION, examples

FILE = Path(__file__).with_name("golden.json")


def load() -> dict[str, dict[str, str]]:
    """Plaintext and frame of each example, in hexadecimal, by its title."""
    vectors: dict[str, dict[str, str]] = json.loads(FILE.read_text())["vectors"]
    return vectors


def write() -> None:
    """Make what the code gives today the expectation."""
    vectors = {
        example.title: {"plaintext": example.sealed_body.hex(), "frame": example.frame.hex()} for example in examples()
    }
    text = {"cluster": CLUSTER, "key": KEY.hex(), "session": f"{SESSION:016x}", "vectors": vectors}
    FILE.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    write()
