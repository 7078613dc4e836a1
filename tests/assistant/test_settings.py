from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from assistant.corpora import create
from assistant.settings import BUNDLED_CORPUS, Settings, load_settings
from index.errors import SettingsError


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_, **__: tmp_path / "config")
    for name in ("ASSISTANT_PASSAGES", "ASSISTANT_STORE"):
        monkeypatch.delenv(name, raising=False)


def test_the_later_place_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().passages == 10
    (tmp_path / "assistant.toml").write_text("passages = 5\nchunk_tokens = 100")
    assert load_settings().passages == 5
    monkeypatch.setenv("ASSISTANT_PASSAGES", "6")
    assert load_settings().passages == 6
    settings = load_settings({"passages": 7, "store": None})
    assert (settings.passages, settings.chunk_tokens, settings.store) == (7, 100, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("passagges = 5", "there is no setting passagges"),
        ("passages = 0", "passages is not usable"),
        ("passages = 'many'", "passages is not usable"),
        ("passages = ", "not valid TOML"),
    ],
)
def test_unknown_keys_and_impossible_values_are_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "assistant.toml").write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        load_settings()


def test_an_unknown_variable_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSISTANT_PASAGES", "5")
    with pytest.raises(SettingsError, match="ASSISTANT_PASAGES"):
        load_settings()


def test_a_path_in_a_file_counts_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "assistant.toml").write_text('corpus = "papers"')
    assert load_settings().corpus == tmp_path / "papers"


def test_each_corpus_has_its_own_store_and_added_sources(tmp_path: Path) -> None:
    own = Settings(corpus=tmp_path / "mine").for_index()
    assert (own.store, own.added) == (tmp_path / "mine/.index", tmp_path / "mine/added")
    shipped = Settings().for_index()
    assert shipped.corpus == BUNDLED_CORPUS and shipped.store != own.store


def test_an_installed_package_keeps_nothing_in_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.settings._HOME", tmp_path / "site-packages")
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: tmp_path / "data")
    settings = Settings().for_index()
    assert (settings.store, settings.added) == (tmp_path / "data/index", tmp_path / "data/added")


def test_an_index_on_a_server_is_named_where_a_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = "milvus+tls://db.example.org:443/team"
    (tmp_path / "assistant.toml").write_text(f'store = "{address}"')
    in_file = load_settings()
    (tmp_path / "assistant.toml").unlink()
    monkeypatch.setenv("ASSISTANT_STORE", address)
    for settings in (in_file, load_settings(), load_settings({"store": address})):
        assert settings.is_shared and str(settings.for_index().engine) == address
        # What is built beside it, such as files that were removed, still has a folder.
        assert settings.for_index().store == Settings().for_index().store
        assert settings.model_dump(mode="json")["store"] == address
    assert not load_settings({"store": "milvus"}).is_shared
    with pytest.raises(
        SettingsError, match=r"ASSISTANT_STORE: store: milvus://…@db/team is no address .*write milvus://HOST:19530/NAME"
    ):
        monkeypatch.setenv("ASSISTANT_STORE", "milvus://user:secret@db/team")
        load_settings()


def test_a_named_corpus_may_have_its_index_on_a_server_and_in_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    create("team", tmp_path / "sources", {"store": "milvus://127.0.0.1/team"})
    assert str(load_settings({"corpus": "team"}).for_index().engine) == "milvus://127.0.0.1:19530/team"
    assert not load_settings({"corpus": "team", "store": tmp_path}).is_shared
    create("other", tmp_path, {"store": str(tmp_path)})
    with pytest.raises(SettingsError, match="store is a folder"):
        load_settings({"corpus": "other"})
