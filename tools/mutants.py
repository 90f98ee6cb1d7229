"""Changes the guards in every small way, and asks their tests whether they notice.

The changes (mutants) are those of mutmut 3: a number by one, ``<`` to ``<=``, ``and`` to ``or``, a
text to another, an argument left out, a case dropped. mutmut's own runner switches between variants
of functions; here each mutant is a module of its own in a forked process, so that the defaults of
policies, tables, constants and properties are changed too. Left alone are docstrings, annotations,
type aliases and decorators.

A mutant that no test of ``tests/guards`` notices survives. It has to stand in
``tests/guards/survivors.toml`` with the reason why it may, and nothing else may stand there. Chance
has no part in it: the seeds of hypothesis are fixed, and an endless loop is ended by the CPU time
that it used.

    make mutants                                # all; compares survivors.toml and docs/mutants.md
    make mutants ARGS="-k 'breaker.py _order'"  # those with this in their name; see --help
    make mutants ARGS=--write                   # all; writes the tables of docs/mutants.md
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib.machinery
import importlib.util
import os
import re
import resource
import signal
import sys
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import httpx  # noqa: F401 - the tests import it: once before the forks is enough
import pytest
from hypothesis import HealthCheck, Phase, settings
from libcst import ClassDef, CSTNode, FunctionDef
from mutmut.mutation.file_mutation import create_mutations, deep_replace

ROOT = Path(__file__).parents[1]
GUARDS = ROOT / "src/firedoor/guards"
TESTS = [
    file
    for file in sorted((ROOT / "tests/guards").glob("test_*.py"))
    if "firedoor.guards" in file.read_text(encoding="utf-8")
]
SURVIVORS = ROOT / "tests/guards/survivors.toml"
PAGE = ROOT / "docs/mutants.md"
GENERATED_FROM = "## By module\n"
"""Heading of the page from which on it is written here."""
CPU_MAX_S = 40
"""All tests take about five seconds; a mutant that takes so much more never ends."""
PYTEST = ["-qx", "--disable-plugin-autoload", "-p", "pytest_timeout", "--timeout=0",
          "-p", "no:cacheprovider"]  # fmt: skip
QUIET = ["--assert=plain", "--tb=no", "-s", "-p", "no:unraisableexception"]
"""What nobody reads costs more than the tests."""
LOUD_MAX = 5
"""As many mutants are so few that somebody wants to see what pytest says."""
FAULT = 70
"""Exit code of a process in which this file failed."""
UNREACHABLE = "assert_never("
"""A line with this is for the type checker, which proves that it is never run."""

LIVED, DIED = "lived", "died"
_EXITS = {pytest.ExitCode.OK: LIVED, pytest.ExitCode.TESTS_FAILED: DIED,
          pytest.ExitCode.INTERRUPTED: DIED}  # fmt: skip
"""Interrupted: a module that cannot be imported. All else is a fault of this run."""


class Mutant(NamedTuple):
    """One small change."""

    name: str
    """``module.py where: line -> changed line``: what stands in survivors.toml."""
    module: str
    code: str
    """Of the whole module."""


class Reason(NamedTuple):
    """Why some mutants may live."""

    why: str
    mutants: tuple[str, ...]


# ------------------------------------------------------------------------------ making mutants


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a module that is another program than the module."""
    source = path.read_text(encoding="utf-8")
    # mutmut passes over what is decorated, and properties hold decisions.
    hidden = source.replace("    @property\n", "    # @property\n")
    module, mutations, *_ = create_mutations(str(path), hidden)
    parts = [str(module.code_for_node(statement)) for statement in module.body]
    tops = {
        id(node): index for index, statement in enumerate(module.body) for node in walk(statement)
    }
    seen = {ast.dump(ast.parse(source))}
    begin = hidden[: len(hidden) - len("".join(parts))]
    assert begin + "".join(parts) == hidden, f"{path.name} ends with a comment"
    named: Counter[str] = Counter()
    for mutation in mutations:
        index = tops[id(mutation.original_node)]
        top = module.body[index]
        if is_alias(parts[index], source):
            continue
        changed = deep_replace(top, mutation.original_node, mutation.mutated_node)
        text = "".join([begin, *parts[:index], module.code_for_node(changed), *parts[index + 1 :]])
        code = text.replace("    # @property\n", "    @property\n")
        tree, what = ast.dump(ast.parse(code)), change(source, code)
        if tree in seen or UNREACHABLE in what:
            continue
        seen.add(tree)
        place = where(top, mutation.contained_by_top_level_function)
        name = f"{path.name} {place}: {what}"
        named[name] += 1
        yield Mutant(name if named[name] == 1 else f"{name} #{named[name]}", path.name, code)


def walk(node: CSTNode) -> Iterator[CSTNode]:
    """Yield a node of the syntax tree and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def is_alias(statement: str, source: str) -> bool:
    """Return whether a statement at the top of a module is for the type checker alone."""
    node = ast.parse(statement).body[:1]
    if not node or not isinstance(node[0], ast.Assign):
        return False
    value, target = node[0].value, ast.unparse(node[0].targets[0])
    kind = value.value if isinstance(value, ast.Subscript) else None
    kind = value.func if isinstance(value, ast.Call) else kind
    union = isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)
    typing = isinstance(kind, ast.Name) and kind.id in {"Literal", "Callable", "TypeVar", "tuple"}
    return (union or typing) and f"get_args({target})" not in source


def where(top: CSTNode, inner: CSTNode | None) -> str:
    """Return the function, method or class that is changed."""
    names = [node.name.value for node in (top, inner) if isinstance(node, ClassDef | FunctionDef)]
    return ".".join(dict.fromkeys(names)) or "module"


def change(before: str, after: str) -> str:
    """Return the lines that differ: what they were, and what they are."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0))[2:]
    gone = [line[1:].split("  # ")[0].strip() for line in lines if line[0] == "-"]
    come = [line[1:].split("  # ")[0].strip() for line in lines if line[0] == "+"]
    return f"{' / '.join(gone)} -> {' / '.join(come) or 'nothing'}"


def unchanged(modules: set[str]) -> list[Mutant]:
    """Return the modules as they are, in the guise of mutants: all of these have to live."""
    sources = {name: (GUARDS / name).read_text(encoding="utf-8") for name in sorted(modules)}
    return [Mutant(f"{name}: nothing", name, source) for name, source in sources.items()]


# ----------------------------------------------------------------------------- running the tests


class Variant(importlib.machinery.SourceFileLoader):
    """Loads a module from other source than its file has."""

    def __init__(self, name: str, path: Path, code: str) -> None:
        """Take the source."""
        super().__init__(name, str(path))
        self._variant = code

    def get_code(self, fullname: str) -> CodeType:
        """Return the module, compiled."""
        assert fullname == self.name
        return compile(self._variant, self.path, "exec", dont_inherit=True)

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Return itself for its own module."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self)


def attempt(mutant: Mutant, *, loud: bool) -> int:
    """Run the tests on a mutant, the likeliest first; return pytest's exit code."""
    name = f"firedoor.guards.{Path(mutant.module).stem}"
    assert name not in sys.modules, f"{name} was imported before it was changed"
    sys.meta_path.insert(0, Variant(name, GUARDS / mutant.module, mutant.code))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    arguments = PYTEST if loud else PYTEST + QUIET
    if not loud:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    likely = [str(file) for file in TESTS if is_likely(file, mutant)]
    for files in (likely, [str(file) for file in TESTS if str(file) not in likely]):
        if files and (code := pytest.main([*arguments, *files])):
            return int(code)
    return 0


def is_likely(tests: Path, mutant: Mutant) -> bool:
    """Return whether this file of tests is so likely to notice that it should be run first."""
    declared = "Policy" in mutant.name or mutant.module == "order.py"
    return ("policies" if declared else Path(mutant.module).stem) in tests.stem


def begin(mutant: Mutant, *, loud: bool) -> int:
    """Start a process for a mutant and return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = FAULT
    try:
        code = attempt(mutant, loud=loud)
    except BaseException:  # noqa: BLE001 - the end of a process of its own
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def run(
    mutants: Sequence[Mutant], jobs: int, *, loud: bool = False
) -> Iterator[tuple[Mutant, str]]:
    """Yield what became of each mutant, as they end.

    Raises:
        SystemExit: pytest could not do its work.
    """
    under_way: dict[int, Mutant] = {}
    left = iter(mutants)
    while True:
        while len(under_way) < max(1, jobs) and (mutant := next(left, None)):
            under_way[begin(mutant, loud=loud)] = mutant
        if not under_way:
            return
        pid, status = os.wait()
        mutant = under_way.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        if code in {-signal.SIGXCPU, -signal.SIGKILL}:
            yield mutant, DIED
        elif code in _EXITS:
            yield mutant, _EXITS[pytest.ExitCode(code)]
        else:
            raise SystemExit(f"pytest ended with {code} on {mutant.name}")


# ------------------------------------------------------------------------------------ the verdict


def reasons() -> list[Reason]:
    """Return what survivors.toml says."""
    told = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))
    return [Reason(entry["why"], tuple(entry["mutants"])) for entry in told["reason"]]


def judge(lived: set[str], known: Sequence[Reason]) -> list[str]:
    """Return what is wrong: survivors that nobody explained, explanations without a survivor."""
    listed = Counter(name for reason in known for name in reason.mutants)
    wrong = [
        f"lives, and no test says why it may not:\n    {n}" for n in sorted(lived - set(listed))
    ]
    wrong += [f"is listed, but does not live:\n    {n}" for n in sorted(set(listed) - lived)]
    return wrong + [
        f"is listed more than once:\n    {n}" for n, times in listed.items() if times > 1
    ]


def tables(results: Sequence[tuple[Mutant, str]], known: Sequence[Reason]) -> str:
    """Return the generated part of the page."""
    counts = Counter((mutant.module, fate) for mutant, fate in results)
    modules = sorted({mutant.module for mutant, _ in results})
    lines = ["| module | mutants | killed | live |", "|---|---:|---:|---:|"]
    for module in [*modules, ""]:
        died, lived = (
            sum(n for (name, got), n in counts.items() if got == fate and name.startswith(module))
            for fate in (DIED, LIVED)
        )
        name = f"`{module}`" if module else "together"
        lines.append(f"| {name} | {died + lived} | {died} | {lived} |")
    lines += ["", "## Why the rest live", ""]
    for reason in known:
        lines += [f"**{len(reason.mutants)}**: {reason.why}", ""]
        lines += [f"* `` {name} ``" for name in reason.mutants]
        lines.append("")
    return "\n".join([GENERATED_FROM, *lines])


def main() -> None:
    """Run, and exit with 1 if something has to be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("-k", metavar="PATTERN", help="only mutants in whose name this is found")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--list", action="store_true", help="print the names, and run nothing")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/mutants.md")
    options = parser.parse_args()
    os.chdir(ROOT)
    settings.register_profile(
        "mutants", derandomize=True, database=None, deadline=None, report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    settings.load_profile("mutants")
    gc.freeze()  # what is loaded so far is not looked through again by every child
    every = [mutant for path in sorted(GUARDS.glob("*.py")) for mutant in mutants_of(path)]
    chosen = [mutant for mutant in every if re.search(options.k or "", mutant.name)]
    if options.list:
        print(*(mutant.name for mutant in chosen), sep="\n")
        return
    begin_s = time.perf_counter()
    for same, fate in run(unchanged({mutant.module for mutant in chosen}), options.jobs):
        if fate != LIVED:
            sys.exit(f"the tests fail though nothing is changed ({same.module}): mend that first")
    results = []
    for done, result in enumerate(run(chosen, options.jobs, loud=len(chosen) <= LOUD_MAX), 1):
        results.append(result)
        if result[1] == LIVED or done % 100 == 0 or options.k:
            print(f"{done}/{len(chosen)} {result[1]}: {result[0].name}", flush=True)
    known = reasons()
    if options.k:
        known = [
            Reason(r.why, tuple(n for n in r.mutants if re.search(options.k, n))) for r in known
        ]
    wrong = judge({mutant.name for mutant, fate in results if fate == LIVED}, known)
    print(f"{len(results)} mutants in {time.perf_counter() - begin_s:.0f} s")
    if not options.k and not wrong:
        wrong = compare(tables(results, known), write=options.write)
    if wrong:
        sys.exit("\n".join(wrong))


def compare(made: str, *, write: bool) -> list[str]:
    """Return what is wrong with the page, or write it."""
    page = PAGE.read_text(encoding="utf-8")
    told, _, _ = page.partition(GENERATED_FROM)
    if page == told + made:
        return []
    if not write:
        return [f"{PAGE.name} has other figures: make mutants ARGS=--write"]
    PAGE.write_text(told + made, encoding="utf-8")
    return []


if __name__ == "__main__":
    main()
