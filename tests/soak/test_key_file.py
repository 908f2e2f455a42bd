"""The file of keys that comes and goes, as the server reads it."""

from pathlib import Path

from api.access.key_file import read_file
from soak.crowd_plan import KeyFile
from soak.key_file import write_keys


def test_the_server_reads_it_with_the_spare_key_and_without(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    keys = {"one": "sk-soak-one-0123456789", "two": "sk-soak-two-0123456789"}
    file = KeyFile(str(path), keys, "sk-soak-spare-0123456789")
    for with_spare, names in ((True, ["one", "two", "spare"]), (False, ["one", "two"])):
        write_keys(file, with_spare=with_spare)
        found = read_file(path)
        assert [each.name for each in found.given] == names
        assert path.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == [path]
