"""Experiments and what each asks: ``python -m experiments``."""

import ast
from pathlib import Path


def table(folder: Path = Path(__file__).parent) -> str:
    """One line per experiment: its command and the first line of its docstring."""
    # A package with a ``__main__``, or a file that runs when it is the program.
    files = []
    for path in folder.glob("*/__main__.py"):
        package = path.with_name("__init__.py")
        files.append(package if package.exists() else path)
    files += [
        path
        for path in folder.glob("[a-z]*.py")
        if 'if __name__ == "__main__"' in path.read_text()
    ]
    commands = {}
    for path in files:
        name = path.parent.name if path.name.startswith("__") else path.stem
        about = ast.get_docstring(ast.parse(path.read_text())) or ""
        commands[f"python -m experiments.{name}"] = about.partition("\n")[0]
    width = max(map(len, commands)) + 2
    return "\n".join(f"{name:<{width}}{commands[name]}" for name in sorted(commands))


if __name__ == "__main__":
    print(table())
    print("\n--help after a command lists its settings.")
