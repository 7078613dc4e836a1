"""What must stay unloaded, so that the program starts at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "sentence_transformers", "transformers", "faiss", "scipy", "sklearn")


def loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nimport json\nprint(json.dumps([name for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_help_loads_nothing_heavy_and_no_textual() -> None:
    code = "from assistant.cli import app\ntry:\n    app(['--help'])\nexcept SystemExit:\n    pass"
    modules = loaded_after(code)
    assert not modules & {*HEAVY, "textual", "numpy", "tantivy", "pydantic"}


@pytest.mark.slow
def test_ask_loads_nothing_heavy_before_its_first_search() -> None:
    code = (
        "from assistant.settings import load_settings\nfrom assistant.assembly import Assistant\n"
        "import assistant.answering.conversation, assistant.answering.printed, assistant.listing"
    )
    assert not loaded_after(code) & {*HEAVY, "textual"}


@pytest.mark.slow
def test_a_whole_answer_loads_neither_torch_nor_what_reports_home(debate_store: Path) -> None:
    code = f"""
from assistant.assembly import Assistant
from assistant.settings import Settings
*_, last = Assistant(Settings(store={str(debate_store)!r})).converse().ask("When was the treaty signed?")
assert last.answer.sentences
"""
    heavy = {*HEAVY, "textual", "openvino_telemetry", "openvino.tools.ovc"} - {"faiss"}
    script = f"import sys\n{code}\nimport json\nprint(json.dumps([name for name, module in sys.modules.items() if module]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(json.loads(done.stdout.splitlines()[-1])) & heavy


@pytest.mark.slow
def test_the_first_frame_loads_nothing_heavy() -> None:
    code = """
import asyncio
from assistant.tui.app import ChatApp
class Still(ChatApp):
    def _load_assistant(self): pass
async def main():
    async with Still({}).run_test() as pilot:
        await pilot.pause()
        assert pilot.app.query_one("#question").has_focus
asyncio.run(main())
"""
    assert not loaded_after(code) & {*HEAVY, "tantivy", "pydantic", "numpy", "tiktoken"}
