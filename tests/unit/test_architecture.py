"""The rules of the house: who may import whom, what lies where, and that the documents tell of today."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import treadle
from treadle import Settings
from treadle.cli import cli
from treadle.extend.loader import Plugins
from treadle.interface import hookspecs
from treadle.interface.service import ServiceFile
from treadle_spool import folder, identity, quarantine

ROOT = Path(__file__).parents[2]
ENGINE, SPOOL, PLUGINS = ROOT / "engine", ROOT / "spool", ROOT / "plugins"
ROOMS = {"engine", "plugins", "spool", "tests", "contrib"}
PAPERS = {f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")}
DOORS = PAPERS | {"LICENSE", "Makefile", "pyproject.toml"}
DOTFILES = {".ci", ".editorconfig", ".gitignore", ".pre-commit-config.yaml"}

LAYERS = (
    {"support"},
    {"interface"},
    {"watch", "extend"},
    {"intake"},
    {"dispatch", "api"},
    {"operate"},
    {"engine"},
    {"server"},
    {"cli", "testing"},
)
"""The packages and modules of `treadle`, lowest first; each imports from itself and the layers below."""


def modules(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*.py")) if "template" not in path.parts]


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, path)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            named = [each.value for each in node.args[:1] if isinstance(each, ast.Constant)]
            yield from (name for name in named if not name.startswith("."))


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that an import names; a relative one is resolved from its file."""
    if node.level == 0:
        return node.module or ""
    room = next(room for room in (ENGINE, SPOOL, PLUGINS, ROOT) if path.is_relative_to(room))
    package = path.relative_to(room).parts[: -node.level]
    return ".".join((*package, *filter(None, [node.module])))


def reaches(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def plugin_packages() -> list[str]:
    return sorted(path.name for path in PLUGINS.iterdir() if (path / "__init__.py").exists())


def tracked() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return listing.stdout.split()


@pytest.mark.parametrize("path", modules(SPOOL), ids=str)
def test_the_spool_imports_neither_engine_nor_plugins(path):
    forbidden = ["treadle", *plugin_packages()]
    assert [name for name in imports(path) if any(reaches(name, each) for each in forbidden)] == []


@pytest.mark.parametrize("path", modules(ENGINE), ids=str)
def test_the_engine_imports_no_plugin(path):
    assert [name for name in imports(path) if any(reaches(name, each) for each in plugin_packages())] == []


@pytest.mark.parametrize("path", modules(PLUGINS), ids=str)
def test_a_plugin_imports_treadle_s_public_names_only(path):
    found = [name for name in imports(path) if reaches(name, "treadle") or reaches(name, "treadle_spool")]
    public = {"treadle", *(f"treadle.{name}" for name in treadle.__all__)}
    assert set(found) <= public


@pytest.mark.parametrize("path", modules(PLUGINS / "treadle_python" / "treadle_inside"), ids=str)
def test_what_runs_in_a_service_s_interpreter_needs_the_standard_library_only(path):
    ours = "treadle_python.treadle_inside"
    assert {
        name.split(".")[0] for name in imports(path) if not reaches(name, ours)
    } <= sys.stdlib_module_names


def texts(path: Path) -> Iterator[str]:
    """Yield the text constants of a module, without its docstrings."""
    tree = ast.parse(path.read_text())
    documents = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documents:
            yield node.value


FILES = {
    folder.JOB,
    folder.ATTEMPT,
    folder.STATUS,
    folder.RESULT,
    folder.INTERIM,
    folder.STDOUT,
    folder.STDERR,
}
FILES |= {identity.IDENTITY, identity.LOCK, quarantine.REASON_SUFFIX}


@pytest.mark.parametrize(
    "path",
    [path for path in modules(ENGINE) + modules(PLUGINS) if "treadle_inside" not in path.parts],
    ids=str,
)
def test_only_the_spool_names_its_files(path):
    assert [text for text in texts(path) if any(name in text for name in FILES)] == []


LIMITS = {ENGINE: 250, SPOOL: 250, PLUGINS: 250, ROOT / "contrib": 250, ROOT / "tests": 500}
"""Lines of a file, by room."""
FUNCTION, CLASS = 40, 200


@pytest.mark.parametrize("room", LIMITS, ids=lambda room: room.name)
def test_a_file_a_class_and_a_function_have_one_concept(room):
    """A length is a hint: what is longer has a second concept that wants a name."""
    long = []
    for path in modules(room):
        source = path.read_text()
        if source.count("\n") > LIMITS[room]:
            long.append(f"{path}: {source.count(chr(10))} lines")
        for node in ast.walk(ast.parse(source)):
            kinds = {ast.FunctionDef: FUNCTION, ast.AsyncFunctionDef: FUNCTION, ast.ClassDef: CLASS}
            if (most := kinds.get(type(node))) and node.end_lineno - node.lineno >= most:
                long.append(f"{path}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines")
    assert long == []


def part_of(path: Path) -> str:
    """Return which package or module of `treadle` a file of the engine belongs to; `__init__` is the door."""
    return path.relative_to(ENGINE / "treadle").parts[0].removesuffix(".py")


def parts_imported(path: Path) -> set[str]:
    names = {name for name in imports(path) if reaches(name, "treadle")}
    return {name.split(".")[1] if "." in name else "__init__" for name in names} - {part_of(path)}


@pytest.mark.parametrize("path", modules(ENGINE), ids=str)
def test_a_part_of_the_engine_imports_only_from_the_layers_below_its_own(path):
    part = part_of(path)
    if part == "__init__":
        return  # the door shows the public names of all
    (level,) = (number for number, layer in enumerate(LAYERS) if part in layer)
    below = set().union(*LAYERS[:level])
    assert parts_imported(path) - below == set()


@pytest.mark.parametrize("path", modules(ENGINE / "treadle" / "api"), ids=str)
def test_the_api_takes_nothing_from_the_drop_folder(path):
    assert [name for name in imports(path) if reaches(name, "treadle.intake.drop")] == []


def test_every_part_of_the_engine_has_its_layer():
    assert {part_of(path) for path in modules(ENGINE)} == {"__init__"}.union(*LAYERS)


def test_the_top_level_holds_the_rooms_and_no_others():
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} == ROOMS | DOORS
    assert {name for name in top if name.startswith(".")} <= DOTFILES


def test_every_plugin_of_ours_comes_through_the_entry_points_and_is_in_the_wheel():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    announced = set(project["project"]["entry-points"]["treadle"].values())
    packaged = {Path(each).name for each in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    assert announced <= set(plugin_packages()) <= packaged


@pytest.mark.parametrize("path", [path for room in sorted(ROOMS) for path in modules(ROOT / room)], ids=str)
def test_every_exception_to_the_linter_or_the_types_has_a_reason(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := re.search(r"\s\s#\s(noqa|type:\signore)\S*(.*)", line):
            assert re.search(r":\s*[A-Z]|\[", found[0]), f"line {number} names no rule"
            assert (
                re.search(r"#\s+\S", found[2].lstrip("]")) or "re.compile" in line or "re.search" in line
            ), f"line {number} gives no reason"


def test_every_hook_is_documented():
    page = (PLUGINS / "README.md").read_text()
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "treadle_spec")]
    assert len(hooks) > 8
    for name in hooks:
        arguments = getattr(hookspecs, name).__code__
        signature = ", ".join(arguments.co_varnames[: arguments.co_argcount])
        assert f"`{name}({signature})`" in page


def test_every_key_of_treadle_toml_is_documented():
    rows = re.findall(r"^\|([^|]+)\|", (ROOT / "README.md").read_text(), re.MULTILINE)
    documented = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    keys = set(ServiceFile.__struct_fields__) | Plugins(Settings()).options.keys
    assert keys - documented == set()


def test_every_command_has_help_and_the_changelog_names_it():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    context = cli.make_context("treadle", [], resilient_parsing=True)
    for name in cli.list_commands(context):
        assert cli.get_command(context, name).help
        assert f"`{name}`" in changelog or f"`treadle {name}`" in changelog


PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "engine/README.md", "spool/FORMAT.md"]
PAGES += [f"{room}/README.md" for room in ("plugins", "contrib", "tests", "engine/decisions")]
PAGES += [str(path.relative_to(ROOT)) for path in sorted((ENGINE / "decisions").glob("0*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_link_in_the_documents_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), target
