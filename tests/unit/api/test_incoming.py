"""The bodies of requests."""

from __future__ import annotations

import pytest

from treadle.api.incoming import Incoming
from treadle.intake.admission import DiskFull


async def test_there_is_no_file_of_a_body_where_its_job_would_be_refused(tmp_path):
    def refuse() -> None:
        raise DiskFull("the disk is full")

    async with Incoming(10, refuse, lambda: tmp_path / "body").body() as body:
        with pytest.raises(DiskFull):
            await body.to_file(b"a body")
        assert list(tmp_path.iterdir()) == []
