"""Corpora by name: made, chosen, searched together, renamed, deleted; what holds for one holds wherever it is used."""

from __future__ import annotations

import json
from pathlib import Path

import platformdirs
import pytest

from assistant.corpora import corpora_folder, create, delete, named_corpora, rename
from assistant.settings import BUNDLED_CORPUS, load_settings
from index.errors import SettingsError
from tests.conftest import Command

FERRY = "The ferry treaty was signed in Ulm in 1888. Huber doubts that it binds both towns."


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_, **__: tmp_path / "config")
    assert corpora_folder().is_relative_to(tmp_path)


@pytest.fixture
def ferries(tmp_path: Path) -> Path:
    folder = tmp_path / "ferries"
    folder.mkdir()
    (folder / "ferry.txt").write_text(FERRY)
    return folder


# -- names -----------------------------------------------------------------------------------------------------------------


def test_a_name_leads_to_its_sources_and_settings(ferries: Path, tmp_path: Path) -> None:
    empty, named = create("empty", None, {}), create("boats", ferries, {"passages": 5})
    assert empty.sources.is_dir() and not empty.is_elsewhere and named.is_elsewhere
    assert load_settings({"corpus": "boats"}).corpus == ferries.resolve()
    # However it is chosen.
    for told in ("boats", ferries, "ferries", "./ferries"):
        assert load_settings({"corpus": told}).passages == 5
    assert load_settings({"corpus": "boats", "passages": 7}).passages == 7
    assert load_settings({"corpus": "debate"}).corpus == BUNDLED_CORPUS and load_settings().passages == 10
    (tmp_path / "assistant.toml").write_text('corpus = "boats"\npassages = 12\nchunk_tokens = 150')
    settings = load_settings()
    assert (settings.corpus, settings.passages, settings.chunk_tokens) == (ferries.resolve(), 5, 150)
    assert load_settings({"corpus": "empty"}).passages == 12


def test_a_store_belongs_to_the_corpus_that_it_was_told_with(
    ferries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assistant.toml").write_text('store = "mine"')
    assert load_settings().store == tmp_path / "mine"
    # Another corpus would overwrite it.
    assert load_settings({"corpus": ferries}).store is None
    assert load_settings({"corpus": ferries, "store": Path("x")}).store == Path("x")
    monkeypatch.setenv("ASSISTANT_CORPUS", str(ferries))
    monkeypatch.setenv("ASSISTANT_STORE", "y")
    assert load_settings().store == Path("y")
    assert load_settings({"corpus": "debate"}).store is None


@pytest.mark.parametrize("name", ["", "Papers", "a b", "../x", ".deleted", "a/b", "debate", "x" * 65, "-x", "a.b"])
def test_what_cannot_be_a_name_is_refused_and_makes_nothing(name: str) -> None:
    with pytest.raises(SettingsError):
        create(name, None, {})
    assert not corpora_folder().exists()


def test_names_are_taken_once_and_so_are_folders(ferries: Path, tmp_path: Path) -> None:
    create("boats", ferries, {})
    for name, sources in (("boats", None), ("other", ferries), ("other", tmp_path / "nowhere")):
        with pytest.raises(SettingsError):
            create(name, sources, {})
    with pytest.raises(SettingsError, match="there are boats"):
        rename("ships", "other")
    assert [each.name for each in named_corpora()] == ["boats"]


def test_what_is_deleted_is_kept_and_a_folder_of_one_s_own_is_as_it_was(ferries: Path) -> None:
    (create("mine", None, {}).sources / "a.txt").write_text(FERRY)
    create("boats", ferries, {"passages": 5})
    assert (delete("mine") / "sources" / "a.txt").read_text() == FERRY
    assert (delete("boats") / "corpus.toml").is_file() and (ferries / "ferry.txt").read_text() == FERRY
    assert named_corpora() == [] and load_settings({"corpus": ferries}).passages == 10


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ("path = ", "not valid TOML"),
        ("colour = 'red'", "colour"),
        ("settings = 5", "settings"),
        ("[settings]\nstore = 'x'", "store"),
        ("[settings]\npasages = 5", "pasages"),
    ],
)
def test_a_file_that_tells_a_corpus_wrongly_is_named(told: str, what: str) -> None:
    file = create("boats", None, {}).file
    file.write_text(told)
    with pytest.raises(SettingsError, match=what) as caught:
        load_settings({"corpus": "boats"})
    assert "corpus.toml" in str(caught.value)


def test_further_corpora_are_told_in_every_way(ferries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create("boats", ferries, {})
    (tmp_path / "assistant.toml").write_text('also = ["boats", "papers/mine"]')
    assert load_settings().also == ("boats", str(tmp_path / "papers/mine"))
    monkeypatch.setenv("ASSISTANT_ALSO", "boats, more")
    assert load_settings().also == ("boats", "more")
    assert load_settings({"also": ["x"]}).also == ("x",)


def test_a_word_is_a_name_and_a_path_a_folder(ferries: Path, tmp_path: Path) -> None:
    named = create("ferries", None, {})
    assert load_settings({"corpus": "ferries"}).corpus == named.sources
    assert load_settings({"corpus": "./ferries"}).corpus == Path("ferries")
    assert load_settings({"corpus": Path("ferries")}).corpus == Path("ferries")


def test_the_store_of_one_settings_file_is_not_taken_for_the_corpus_of_another(ferries: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "assistant.toml").write_text(f'corpus = "{tmp_path}/a"\nstore = "{tmp_path}/idx-a"')
    assert load_settings().store == tmp_path / "idx-a"
    (tmp_path / "assistant.toml").write_text('corpus = "ferries"')
    assert load_settings().store is None
    (tmp_path / "assistant.toml").write_text('corpus = "a/../a"\npassages = 9')
    assert load_settings().store == tmp_path / "idx-a"


def test_a_broken_corpus_stops_no_other_and_can_be_deleted(ferries: Path) -> None:
    broken, sound = create("broken", None, {}), create("boats", ferries, {"passages": 5})
    broken.file.write_text("path = ")
    assert load_settings({"corpus": "boats"}).passages == 5 and load_settings().corpus == BUNDLED_CORPUS
    assert named_corpora() == [sound]
    with pytest.raises(SettingsError, match=r"corpus\.toml"):
        load_settings({"corpus": "broken"})
    assert (delete("broken") / "corpus.toml").is_file()


# -- as a person uses them -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_corpora_are_made_used_searched_together_renamed_and_deleted(command: Command, corpus: Path, ferries: Path) -> None:
    assert "nothing-like-it" in command("corpus", "use", "nothing-like-it").stderr
    assert command("corpus", "create", "rivers", corpus, "--set", "passages=4").returncode == 0
    assert command("corpus", "create", "boats").returncode == 0
    assert "added/ferry.txt" in command("add", "--corpus", "boats", ferries / "ferry.txt").stdout
    assert "has no index yet" in command("ask", "Who signed?", "--corpus", "boats", "--also", "rivers").stderr
    command("index", "--corpus", "rivers")
    listed = {each["name"]: each for each in json.loads(command("corpus", "list", "--json").stdout)["corpora"]}
    assert set(listed) == {"debate", "rivers", "boats"} and listed["debate"]["in_use"]
    assert (listed["rivers"]["documents"], listed["rivers"]["settings"], listed["boats"]["documents"]) == (2, {"passages": 4}, 1)

    assert command("corpus", "use", "boats").returncode == 0
    assert "Ulm" in command("ask", "Where was the ferry treaty signed?").stdout
    told = json.loads(command("ask", "Where was the river treaty signed?", "--also", "rivers", "--json").stdout)
    assert told["citations"][0]["document"] == "rivers:rivers.md" and "Basel" in told["sentences"][0]["text"]
    found = json.loads(command("search", "treaty", "--also", "rivers", "--json").stdout)["passages"]
    assert {each["document"] for each in found} >= {"added/ferry.txt", "rivers:rivers.md"}
    found = json.loads(command("search", "treaty source:rivers:", "--also", "rivers", "--json").stdout)["passages"]
    assert found and all(each["document"].startswith("rivers:") for each in found)
    # What is in use may stand among what is searched as well; what does not exist is told.
    assert command("ask", "Where was the ferry treaty signed?", "--also", "boats", "--also", "rivers").returncode == 0
    assert "there is no corpus ships" in command("ask", "Who?", "--also", "ships").stderr

    assert command("corpus", "rename", "boats", "ferries").returncode == 0
    assert "added/ferry.txt" in command("sources").stdout
    done = command("corpus", "delete", "ferries")
    assert "its files lie in" in done.stdout and "debate is in use again" in done.stdout
    assert "ferries" not in command("corpus", "list").stdout
    assert command("corpus", "delete", "rivers").returncode == 0 and (corpus / "rivers.md").is_file()


@pytest.mark.slow
def test_the_settings_follow_a_name_and_only_that_name(command: Command, ferries: Path) -> None:
    for name in ("one", "two"):
        command("corpus", "create", name)
    command("corpus", "use", "two")
    file = next(ferries.parent.glob("home/.config/*/assistant.toml"))
    file.write_text(f'{file.read_text()}\nstore = "elsewhere"\n')
    assert command("corpus", "rename", "one", "three").returncode == 0 and 'corpus = "two"' in file.read_text()
    assert command("corpus", "rename", "two", "four").returncode == 0
    assert 'corpus = "four"' in file.read_text() and "elsewhere" in file.read_text()
    # Another corpus would overwrite the index of the first.
    command("corpus", "use", "three")
    assert 'corpus = "three"' in file.read_text() and "elsewhere" not in file.read_text()
    assert command("corpus", "delete", "four").returncode == 0 and 'corpus = "three"' in file.read_text()
    assert "debate is in use again" in command("corpus", "delete", "three").stdout and "corpus" not in file.read_text()
    misspelt = command("add", "--corpus", "thre", ferries / "ferry.txt")
    assert misspelt.returncode == 1 and "there is no corpus thre" in misspelt.stderr


@pytest.mark.slow
def test_a_corpus_has_suites_of_its_own(command: Command, corpus: Path, tmp_path: Path) -> None:
    command("corpus", "create", "rivers", corpus)
    folder = Path(json.loads(command("corpus", "list", "--json").stdout)["corpora"][1]["suites_folder"]) / "basics"
    folder.mkdir(parents=True)
    (folder / "suite.toml").write_text('title = "What everyone should know"\n')
    case = {
        "id": "q1", "question": "Where was the river treaty signed?", "answerable": True, "answers": ["Basel"],
        "evidence": [[{"document": "rivers.md", "quote": "signed in Basel"}]],
    }  # fmt: skip
    (folder / "gold.dev.jsonl").write_text(json.dumps(case) + "\n")
    assert "rivers.basics" in command("corpus", "list").stdout and "rivers.basics" in command("eval", "list").stdout
    told = json.loads(command("eval", "rivers.basics", "--json").stdout)
    assert told["suite"] == "rivers.basics" and told["cases"] == 1 and told["complete"]
