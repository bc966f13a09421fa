"""`dataRef`: a file of a data pool as the input of a job."""

from __future__ import annotations

import pytest

from tests.acceptance.server import EXAMPLES


@pytest.fixture
def server(serve, tmp_path):
    pool = tmp_path / "pools" / "pool"
    pool.mkdir(parents=True)
    (pool / "values").write_text('{"values": [20, 22]}')
    (tmp_path / "secret").write_text('{"values": [1]}')
    (pool / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "pools" / "elsewhere").symlink_to(pool)
    return serve(EXAMPLES / "sum", "--data-pools", tmp_path / "pools")


def ask(server, pool: str, file: str):
    return server.ask(
        "POST", "/", b'{"dataRef": {"dataPoolId": "%s", "fileId": "%s"}}' % (pool.encode(), file.encode())
    )


def test_a_file_of_a_pool_is_the_input(server):
    answer = ask(server, "pool", "values")
    assert answer.status == 201
    assert server.result(answer.json["id"])["result"] == {"sum": 42}


@pytest.mark.parametrize(("pool", "file"), [("pool", "link"), ("elsewhere", "values"), ("pool", "none")])
def test_no_link_is_followed_out_of_a_pool(server, pool, file):
    answer = ask(server, pool, file)
    assert answer.status == 400
    assert answer.json["path"].startswith("$.dataRef")
