"""The house: how large it is, that nothing goes in circles, and that what is private to a library is left alone."""

import ast
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from .conftest import ROOT

MAX_FILES, MAX_LINES, MAX_LINES_OF_A_FILE, MAX_RAISES_IN_1000_LINES = 73, 9750, 400, 10
LISTED = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
# Links to other files are no files of their own: the code in the folders of models.
FOUND = [Path(name) for name in LISTED.split() if not name.startswith("tests/") and (ROOT / name).is_file()]
FILES = [path for path in FOUND if not (ROOT / path).is_symlink()]
SOURCES = {path: (ROOT / path).read_text() for path in FILES}
TREES = {path: ast.parse(source) for path, source in SOURCES.items()}


def test_no_file_is_long_and_there_are_not_many():
    lengths = {str(path): len(source.splitlines()) for path, source in SOURCES.items()}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES_OF_A_FILE} == {}
    assert len(lengths) <= MAX_FILES


def test_all_of_it_is_short_and_errors_are_raised_at_the_door():
    num_lines = sum(len(source.splitlines()) for source in SOURCES.values())
    raises = [node for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    assert num_lines <= MAX_LINES
    assert len(raises) <= MAX_RAISES_IN_1000_LINES * num_lines / 1000


def imports(path: Path) -> Iterator[Path]:
    """Files of ours that a module imports when it is imported itself, and not later or for its types alone."""
    waiting: list[ast.AST] = [TREES[path]]
    while waiting:
        node = waiting.pop()
        is_later = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if is_later or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.parent.parts[: len(path.parent.parts) - node.level + 1] if node.level else ()
            module = [*package, *(node.module or "").split(".")] if node.module else [*package]
            names = [module, *([*module, alias.name] for alias in node.names)]
        else:
            continue
        for name in names:
            # The demo's files are imported without their folder's name.
            found = (Path(*root, *name) for root in ((), ("space",)))
            yield from {file for base in found for file in (base.with_suffix(".py"), base / "__init__.py")} & {*FILES}


def test_imports_go_in_no_circles():
    list(TopologicalSorter({path: {*imports(path)} - {path} for path in FILES}).static_order())


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def test_nothing_private_of_a_library_is_used():
    """Each private name that is read somewhere is also defined somewhere, and none is imported from elsewhere."""
    defined, used = set(), {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                defined.add(node.id if isinstance(node, ast.Name) else node.attr)
            elif isinstance(node, ast.Attribute) and is_private(node.attr):
                used.setdefault(node.attr, set()).add(str(path))
            elif isinstance(node, ast.ImportFrom) and not node.level:
                parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                used.update({part: {str(path)} for part in parts if is_private(part)})
    assert {name: paths for name, paths in used.items() if name not in defined} == {}


def test_packages_alone_say_what_they_export():
    listing = [path for path, source in SOURCES.items() if "__all__" in source and path.name != "__init__.py"]
    assert listing == []
