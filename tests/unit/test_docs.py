"""What the documents say about options, commands, endpoints, files and versions is what there is.

What is in the database is compared in tests/integration/test_reference.py.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from docs.tools import diagrams, reference
from starlette.routing import Route

from pgbackfill import errors
from pgbackfill.cli.app import app
from pgbackfill.cli.main import EXIT_DEFECT
from pgbackfill.control.options import PacingOptions
from pgbackfill.database.reports import ACTIONS
from pgbackfill.http.app import create_app
from pgbackfill.jobs.failures import classify
from pgbackfill.settings import HttpSettings, Settings
from pgbackfill.settings_signals import SignalSettings
from pgbackfill.settings_sources import variables

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    # Not --quiet: it hides the warnings from --strict, too.
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        build, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, (
        f"`make docs` says the same; pages without a place go into nav of mkdocs.yml.\n{done.stderr}"
    )
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?([^\"'\s>]+)", page.read_text()
        )
        assert [each for each in loaded if re.match(r"(?:https?:)?//", each)] == [], page


def test_generated_pages_and_diagrams_are_what_make_generated_writes() -> None:
    made = reference.pages() | diagrams.diagrams()
    outdated = [path.name for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    assert outdated == [], "run `make generated`"


def test_what_has_no_words_is_refused() -> None:
    with pytest.raises(reference.NothingSaid, match="The option x has no words: give it a description"):
        reference.said(None, "The option x", "description")


def test_every_option_that_the_readme_names_is_one_with_that_default() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Options\n")[1].split("\n## ")[0]
    found = {}
    for names, defaults in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]+) \|", text, re.MULTILINE):
        each = re.findall(r"`(\w+)`", names)
        found |= dict(zip(each, defaults.split(", ") * (len(each) if "," not in defaults else 1), strict=True))
    assert found
    fields = PacingOptions.model_fields
    assert found == {name: "none" if fields[name].default is None else str(fields[name].default) for name in found}


def test_every_command_is_on_the_page_of_commands() -> None:
    text = read("command-line.md")
    commands = [name for name, _ in reference.walk(typer.main.get_command(app))]
    missing = [
        name for name in commands
        if not re.search(rf"^\|.*`(?:pgbackfill )?{name}\b", text, re.MULTILINE)
    ]  # fmt: skip
    assert missing == [], "add a row to the table of docs/command-line.md"


def test_every_exit_code_is_on_the_page_of_commands() -> None:
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    documented = set(re.findall(r"^\| (\d+) \|", read("command-line.md"), re.MULTILINE))
    assert documented == {str(code) for code in codes | {0, EXIT_DEFECT}}, "see Exit codes in docs/command-line.md"


def test_every_endpoint_is_on_the_page_of_http() -> None:
    application = create_app(None, HttpSettings())  # type: ignore[arg-type]
    routes = [route for route in application._app.routes if isinstance(route, Route)]  # type: ignore[attr-defined]
    actions = (*ACTIONS, "throttle", "unthrottle")
    served = {
        f"{method} {route.path.replace('{action}', action)}"
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        for action in (actions if "{action}" in route.path else ("",))
    }
    documented = set(re.findall(r"`((?:GET|POST) /[^`]*)`", read("reference/http.md")))
    assert documented == served, "see the table of docs/reference/http.md"


def test_every_alert_has_a_row_where_people_look_for_it() -> None:
    rules = (ROOT / "deploy/prometheus/rules/pgbackfill.yml").read_text(encoding="utf-8")
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert alerts
    for page in ("deploying.md", "runbook.md"):
        assert set(re.findall(r"^\| `(Pgbackfill\w+)` \|", read(page), re.MULTILINE)) == alerts, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_each_sqlstate_of_the_failure_table_means_what_its_row_says() -> None:
    text = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| ([^|]*\d[^|]*) \| ([^|]+) \|", text, re.MULTILINE)
    words = {
        "locked": "row_locked",
        "retry": "the same rows again",
        "slow": "quarantine",
        "poison": "bisect",
        "hold": "server_full",
        "disconnected": "disconnected",
        "fatal": "the job fails",
    }
    seen = set()
    for states, then in rows:
        for state in re.findall(r"\b(?=\w*\d)\w+\b", states):
            failure = classify(state if len(state) == 5 else state + "000")
            assert words[failure] in then, (state, failure)
            seen.add(str(failure))
    assert seen == set(words)


def test_the_pinned_versions_hold_no_address() -> None:
    pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in pinned if not re.fullmatch(r"[a-z0-9-]+==[^\s/]+( ; .+)?", line)] == []


def test_every_threshold_is_in_the_table_of_signals_with_its_defaults() -> None:
    text = (ROOT / "docs" / "signals.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([\d.]+) s \| ([^|]+) / ([^|]+) \|", text, re.MULTILINE)
    documented = {name: (float(interval), soft, hard) for name, interval, soft, hard in rows}

    def words(limit: float | None) -> str:
        if limit is None:
            return "none"
        return f"{limit / (1 << 30):g} GiB" if limit >= 1 << 30 else f"{limit:g}"

    for name, one in SignalSettings():
        assert documented[name] == (one.interval_s, words(one.soft), words(one.hard)), name


def printed_commands() -> list[tuple[str, str]]:
    """Page and command of every `pgbackfill …` that a page prints, in a line of its own or between backquotes."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^ *```sh\n(.*?)^ *```|((?:^    .*\n)+)", text, re.MULTILINE | re.DOTALL)
        typed = "\n".join("".join(parts) for parts in blocks)
        lines = re.findall(r"^ *(?:docker compose exec (?:-T )?pgbackfill )?pgbackfill ([a-z].*)$", typed, re.MULTILINE)
        spans = re.findall(r"`pgbackfill ([a-z][^`]*)`", text)
        found += [
            (str(page.relative_to(ROOT)), re.split(r"\s+#|\s+--? |\s*[|]", command)[0]) for command in lines + spans
        ]
    return found


def test_every_command_that_is_printed_exists_with_its_flags() -> None:
    commands = dict(reference.walk(typer.main.get_command(app)))
    flags = {
        name: {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help"}
        for name, command in commands.items()
    }
    found = printed_commands()
    assert len(found) > 60
    for page, command in found:
        words = command.replace("\\", " ").split()
        name = next((each for each in (" ".join(words[:2]), words[0]) if each in commands), None)
        if name is None and words[0] in {each.split()[0] for each in commands}:
            continue  # a group, such as `pgbackfill quarantine`
        assert name is not None, f"{page}: there is no command `pgbackfill {command}`"
        unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", command)) - flags[name]
        assert unknown == set(), f"{page}: `pgbackfill {command}`"


def test_every_setting_that_is_printed_exists() -> None:
    known = set(variables(Settings)) | {"PGBACKFILL_CONFIG", "PGBACKFILL_TEST_DSN", "PGBACKFILL_PORT"}
    for page in PAGES:
        for name in re.findall(r"\bPGBACKFILL_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8")):
            assert name in known or any(each.startswith(f"{name}__") for each in known), (page.name, name)
