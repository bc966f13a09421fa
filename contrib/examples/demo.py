"""`make demo`: serves the examples, runs a job over HTTP and one from the drop folder, and stops again."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent
TREADLE = Path(sys.executable).with_name("treadle")


def main() -> None:
    """Show Treadle at work, and fail if a result is not what it should be."""
    with tempfile.TemporaryDirectory(prefix="treadle-demo-") as folder:
        spool = Path(folder) / "spool"
        with served(spool) as url:
            over_http(url)
            by_dropping_a_file(spool)
        say("The server has stopped. That was the demo.")


@contextmanager
def served(spool: Path) -> Iterator[str]:
    """Serve the examples on a free port, and stop at the end."""
    command = [TREADLE, "serve", "--services", EXAMPLES, "--spool", spool, "--port", "0"]
    say("$ treadle serve --services contrib/examples")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            say("  " + line.rstrip())
            if line.startswith("Serving at "):
                url = line.removeprefix("Serving at ").strip()
            if line.startswith("Spool: "):
                break
        try:
            yield url
        finally:
            server.terminate()


def over_http(url: str) -> None:
    """Submit a job over HTTP, and watch its interim results."""
    base = f"{url}/services/interim"
    say(f"\nA job over HTTP: POST {base}")
    job = ask("POST", base, {"data": {"values": [1, 2, 39]}, "params": {"delay": 0.4}})
    say(f"  accepted as {job['id']}, {job['status']}")
    while not job["endedAt"]:
        job = ask("GET", f"{base}/{job['id']}?wait=0.5")
        interim = ask("GET", f"{base}/{job['id']}/interim-results")
        say(f"  {job['status']}, interim results: {json.dumps(interim)}")
    expect(ask("GET", f"{base}/{job['id']}/result"))


def by_dropping_a_file(spool: Path) -> None:
    """Drop a job's file into the spool, and read its result there."""
    say(f"\nA job by dropping a file: {spool}/drop/mine.json")
    payload = json.dumps({"values": [20, 22]})
    submit = [TREADLE, "submit", "--spool", spool, "--service", "sum", "--name", "mine", "--data", payload]
    subprocess.run(submit, check=True)
    subprocess.run([TREADLE, "wait", "mine", "--spool", spool], check=True)
    say(f"  {spool}/done/mine/result.json:")
    expect(json.loads((spool / "done" / "mine" / "result.json").read_bytes()))


def ask(method: str, url: str, body: Any = None) -> Any:
    """Send a request and return the answer's JSON."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as answer:
        return json.load(answer)


def expect(result: Any) -> None:
    """Show a result; exit with an error if it is not the expected one."""
    say(f"  result: {json.dumps(result)}")
    if result["result"] != {"sum": 42}:
        sys.exit("That is not the result that was expected.")


def say(text: str) -> None:
    """Tell what happens."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
