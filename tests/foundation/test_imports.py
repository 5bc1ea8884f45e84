"""What importing costs, and what each environment can import."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import kftext
from blocked_imports import blocked_modules, run_with_extras

PACKAGE = Path(kftext.__file__).parent
HEAVY = (
    *("tensorflow", "tensorflow_text", "tensorflow_hub", "keras", "tf_keras", "numba", "llvmlite"),
    *("kfp", "kfp_kubernetes", "kserve", "scipy", "matplotlib", "gensim", "jinja2", "mpi4py"),
)


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PACKAGES = sorted(module_name(file) for file in PACKAGE.rglob("__init__.py"))
COMPONENTS = sorted(module_name(file) for file in PACKAGE.rglob("component.py"))

IMPORT_EACH = """
import importlib, json, sys
blame = {}
for name in sys.argv[2:]:
    before = set(sys.modules)
    importlib.import_module(name)
    new = {module.partition(".")[0] for module in set(sys.modules) - before}
    blame[name] = sorted(new & set(json.loads(sys.argv[1])))
print(json.dumps(blame))
"""


def test_importing_any_package_pulls_in_nothing_heavy():
    assert "kftext.storage" in PACKAGES
    command = [sys.executable, "-c", IMPORT_EACH, json.dumps(HEAVY), *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert {name: heavy for name, heavy in json.loads(done.stdout).items() if heavy} == {}


def test_that_test_can_fail():
    """A module that is heavy is found by it."""
    command = [sys.executable, "-c", IMPORT_EACH, json.dumps(HEAVY), "scipy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert json.loads(done.stdout) == {"scipy": ["scipy"]}


def imports(file: Path) -> set[str]:
    """Return the top-level modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_kfp_is_imported_in_component_files_only():
    users = {
        file.name for file in PACKAGE.rglob("*.py") if imports(file) & {"kfp", "kfp_kubernetes"}
    }
    assert users == {"component.py"}


def test_the_package_does_not_know_its_pipelines_and_tests():
    for file in PACKAGE.rglob("*.py"):
        assert not imports(file) & {"pipelines", "tests", "runner"}, file


def test_numba_and_tensorflow_never_meet_in_one_file():
    for file in PACKAGE.rglob("*.py"):
        assert len(imports(file) & {"numba", "tensorflow"}) < 2, file


COMPILE = """
import importlib
from kfp import compiler
from kfp.dsl.base_component import BaseComponent
for name in {names!r}:
    module = importlib.import_module(name)
    found = [value for value in vars(module).values() if isinstance(value, BaseComponent)]
    for component in found:
        compiler.Compiler().compile(component, {folder!r} + "/" + component.name + ".yaml")
        print(name)
"""


def test_components_compile_with_the_pipelines_extra_alone(tmp_path: Path):
    code = COMPILE.format(names=COMPONENTS, folder=str(tmp_path))
    done = run_with_extras(code, ["pipelines"])
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == set(COMPONENTS)
    assert len(list(tmp_path.glob("*.yaml"))) >= len(COMPONENTS)


def test_packages_import_with_the_base_package_alone():
    code = f"import importlib\nfor name in {PACKAGES!r}: importlib.import_module(name)"
    done = run_with_extras(code, [])
    assert done.returncode == 0, done.stderr


def test_what_is_blocked():
    without = blocked_modules(["pipelines"])
    assert {"numba", "kserve", "scipy", "matplotlib", "pytest", "moto"} <= without
    assert not without & {"kfp", "minio", "pydantic", "numpy", "kftext", "yaml", "urllib3"}
    assert "kfp" in blocked_modules([])
    assert "numba" not in blocked_modules(["blazingtext"])
    done = run_with_extras("import numba", ["pipelines"])
    assert done.returncode == 1
    assert "blocked: numba" in done.stderr
