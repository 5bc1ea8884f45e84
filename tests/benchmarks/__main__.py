"""List the benchmarks: `make bench`, or `python tests/benchmarks`. Each is one command and prints a table."""

import ast
from pathlib import Path

HERE = Path(__file__).resolve().parent

for file in sorted(HERE.glob("*.py")):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    # A file without a main part is shared by the others.
    if file.name != "__main__.py" and any(isinstance(node, ast.If) for node in tree.body):
        summary = (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")
        print(f"python tests/benchmarks/{file.name}\n    {summary}")
