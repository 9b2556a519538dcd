"""The manual page l2sync.toml(5) tells of every key there is, and of no other, with the default that it has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from l2sync.agent.config import ClusterSection, LogSection, NodeSection, TreeSection
from l2sync.cli.template import configuration_text

PAGE = (Path(__file__).parents[2] / "docs" / "l2sync.toml.5").read_text()
SECTIONS = {"[cluster]": ClusterSection, "[node]": NodeSection, "[log]": LogSection, "[[tree]]": TreeSection}


def documented(section: str) -> dict[str, str]:
    """Each key of a section as the page has it, and what stands beside it."""
    (text,) = re.findall(rf"^\.SS {re.escape(section)}\n(.*?)(?=^\.S[SH])", PAGE, re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"^\.TP\n\.B (\w+) \\fR(.*)$", text, re.MULTILINE))


def default(told: str) -> object:
    """The default that the page names; NODEFAULT for what is required."""
    if told.endswith(", required"):
        return msgspec.NODEFAULT
    value = told.partition("default ")[2].replace("\\(dq", '"')
    return tomllib.loads("it = " + re.sub(r'^("[^"]*"|\S+?),.*', r"\1", value))["it"]


def test_the_page_has_every_section_and_no_other() -> None:
    assert re.findall(r"^\.SS (.*)$", PAGE, re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_with_its_default(section: str) -> None:
    there_are = {field.name: field.default for field in msgspec.structs.fields(SECTIONS[section])}
    told = {key: default(text) for key, text in documented(section).items()}
    assert {key: list(value) if isinstance(value, tuple) else value for key, value in there_are.items()} == told


@pytest.mark.parametrize("section", SECTIONS)
def test_what_init_writes_has_every_key(section: str) -> None:
    text = configuration_text("c", "/k", "eth0", None, [("t", "/t")])
    (part,) = re.findall(rf"^{re.escape(section)}\n(.*?)(?=^\[|\Z)", text, re.DOTALL | re.MULTILINE)
    written = re.findall(r"^#?(\w+) = ", part, re.MULTILINE)
    assert sorted(written) == sorted(field.name for field in msgspec.structs.fields(SECTIONS[section]))
