"""Owns the texts that are sent: words drawn by a seed, so that no two rounds or clients share one.

Common words with a token of their own in most vocabularies: a word is about a token.
"""

import random

_TEXT = (
    "about above after again against all also always another any are around as at away back "
    "base be because been before below between body both but by call can case change check "
    "class clear close code come complete context control copy could current data day default "
    "did different directory do does done down each end error even event ever every example "
    "exception fact false field file find first follow for form found from full function "
    "general get give given go good group had hand has have header help here high hold host how "
    "if import in index information input instance into is it item just keep key kind know "
    "large last later left length less level library like line list little local long look loop "
    "made make many map match may mean message method mode module more most much must name need "
    "never new next no none not note nothing now number object of off on once one only open "
    "operation option or order other our out output over own package page parent part pass path "
    "place platform point position possible process program property provide public question "
    "range rather read reason record reference remove report request result return right root "
    "round run safe same say section see self send sequence server set several should show side "
    "signal simple since single size so some source space special start state step still stop "
    "string such support system table take test text than that the their them then there these "
    "they thing this those through time to together total true try turn two type under until up "
    "update upon use user value variable version very wait was way we well were what when where "
    "which while who will with within without word work world would write year you your "
)
_WORDS = tuple(_TEXT.split())


def words(count: int, *seed: object) -> str:
    """`count` words. The same seed gives the same text; another differs from its first words on."""
    generator = random.Random("/".join(map(str, seed)))
    return " ".join(generator.choices(_WORDS, k=count))
