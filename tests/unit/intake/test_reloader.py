"""When the reloader takes in what is different on the disk."""

from __future__ import annotations

import asyncio

import pytest

REPLACING = 0.28
"""Seconds in which a project is not there: less than between two looks."""


@pytest.fixture
def changes(harness):
    """Listen to what an engine's reloader tells."""

    def listen(engine):
        told = []
        engine.gateway.reloader.listen(told.append)
        return told

    harness.service("other")
    return listen


async def test_a_project_that_is_being_written_is_not_read(harness, changes):
    toml = harness.service() / "treadle.toml"
    whole = toml.read_text()
    async with harness.engine() as engine:
        told = changes(engine)
        for number in range(30):
            toml.write_text("[" * number)
            await asyncio.sleep(0.05)
        toml.write_text(whole)
        await asyncio.sleep(0.7)
        assert told == []


async def test_a_project_that_is_replaced_is_not_removed_meanwhile(harness, changes, tmp_path):
    project = harness.service()
    async with harness.engine() as engine:
        told = changes(engine)
        for _ in range(3):
            project.rename(tmp_path / "aside")
            await asyncio.sleep(REPLACING)
            (tmp_path / "aside").rename(project)
            await asyncio.sleep(0.8)
        assert told == []
