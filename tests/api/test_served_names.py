"""Which model names a request may use."""

import pytest

from api.served_names import ServedNames
from core.errors import ModelNotServed


@pytest.mark.parametrize("name", [None, "", "tiny", "gpt-4o", "small/one"])
def test_the_id_its_aliases_and_no_name_are_served(name: str | None) -> None:
    ServedNames("tiny", ("gpt-4o", "small/one")).check(name)


def test_a_star_accepts_any_name_and_is_not_listed() -> None:
    names = ServedNames("tiny", ("*", "other"))
    names.check("whatever")
    assert names.listed == ("tiny", "other")


def test_another_name_is_refused_with_those_that_are_served() -> None:
    with pytest.raises(ModelNotServed, match="'x' is not served here; served: tiny, other"):
        ServedNames("tiny", ("other",)).check("x")
