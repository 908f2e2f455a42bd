"""Owns the words, names, places and sentences that skills talk about. Knows no skill."""

import re
from functools import lru_cache
from pydoc_data.topics import topics
from random import Random


def listed(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


NAMES = listed(
    "Ada Alan Alice Amir Amina Ana Anna Anton Aya Ben Bianca Bob Boris Bruno Carla Carlos Cora "
    "Chloé Clara Dan Daniel David Diana Diego Dora Edda Elena Eli Emil Emma Eric Esra Eva Fatima "
    "Felix Fiona Frank Frida Gina Grace Greta Gus Hana Hannah Hans Hugo Ida Igor Ines Ingrid Ivan "
    "Jack Jane Jasper Jim Joana Joe Johanna John José Julia Jun Kai Karl Kate Kenji Kim Lars Laura "
    "Lea Lena Leo Lily Lina Linus Liu Lola Luca Lucy Luis Maja Marco Maria Marie Mark Marta Mary "
    "Max Maya Mei Mia Milo Mina Mira Mohammed Nadia Nils Nina Noah Nora Olga Oscar Otto Pablo Paul "
    "Pedro Peter Petra Pia Priya Quinn Raj Rita Robert Rosa Ruth Sam Sara Selma Simon Sofia Sven "
    "Tariq Theo Tim Tom Uma Ursula Vera Victor Wanda Will Xena Yara Yusuf Zoe Zoran"
)
ONSETS = listed("b br c ch d dr f fl g gr h j k kl l m n p pr r s st t tr v w z sh th")
VOWELS = listed("a e i o u ai ea ie")
CODAS = ("", "", "n", "r", "l", "s", "m", "x", "nd", "rt", "k")

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "Austria": "Vienna", "Switzerland": "Bern", "Belgium": "Brussels",
    "the Netherlands": "Amsterdam", "Denmark": "Copenhagen", "Sweden": "Stockholm",
    "Norway": "Oslo", "Finland": "Helsinki", "Iceland": "Reykjavík", "Ireland": "Dublin",
    "Poland": "Warsaw", "Hungary": "Budapest", "Greece": "Athens", "Turkey": "Ankara",
    "Ukraine": "Kyiv", "Russia": "Moscow", "Moldova": "Chișinău", "Romania": "Bucharest",
    "England": "London", "Scotland": "Edinburgh", "Japan": "Tokyo", "China": "Beijing",
    "India": "New Delhi", "South Korea": "Seoul", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Indonesia": "Jakarta", "Australia": "Canberra", "New Zealand": "Wellington",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Nigeria": "Abuja", "Morocco": "Rabat",
    "Cameroon": "Yaoundé", "Togo": "Lomé", "Maldives": "Malé", "Canada": "Ottawa",
    "Mexico": "Mexico City", "Cuba": "Havana", "Brazil": "Brasília", "Argentina": "Buenos Aires",
    "Chile": "Santiago", "Peru": "Lima", "Colombia": "Bogotá", "Paraguay": "Asunción",
    "Costa Rica": "San José", "São Tomé and Príncipe": "São Tomé",
}  # fmt: skip
CITIES = (
    *CAPITALS.values(),
    "Hamburg", "Munich", "Milan", "Naples", "Lyon", "Nice", "Porto", "Sevilla", "Zürich", "Geneva",
    "Kraków", "Göteborg", "Malmö", "Bergen", "Glasgow", "Leeds", "Boston", "Chicago", "Dallas",
    "Denver", "Seattle", "Austin", "New York", "San Francisco", "Los Angeles", "Toronto",
    "Montréal", "Osaka", "Kyoto", "Mumbai", "Sydney", "Perth", "Lagos", "Dakar", "Tunis", "Dubai",
    "Shanghai", "Manila", "São Paulo", "Köln", "Antwerp", "Ghent",
)  # fmt: skip
DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed(
    "January February March April May June July August September October November December"
)
COLORS = listed("red blue green yellow black white orange purple pink brown gray")
ANIMALS = listed("cat dog horse parrot rabbit turtle fox owl goat snake hamster goldfish")
JOBS = listed("doctor teacher baker pilot nurse farmer lawyer painter singer chef writer driver")
WORDS = listed(
    "apple river stone window garden music paper silver golden quiet happy little winter summer "
    "spring autumn morning evening bread butter cheese water coffee tea sugar salt pepper ocean "
    "mountain forest desert island bridge castle tower street market school office kitchen table "
    "chair lamp clock mirror pencil book letter story song dance picture camera phone computer "
    "keyboard mouse screen engine wheel train plane boat car bicycle road path field flower tree "
    "leaf root seed grass cloud rain snow wind storm thunder light shadow fire smoke ice glass "
    "metal wood cotton leather button pocket jacket shirt shoe hat glove ring crown sword shield "
    "king queen knight dragon wizard giant robot rocket planet star moon sun galaxy comet tiger "
    "lion bear wolf eagle whale dolphin shark monkey elephant penguin honey lemon cherry banana "
    "tomato potato carrot onion soup salad cake cookie candy chocolate bank money price ticket "
    "letterbox doctor lawyer stock tax law health medicine history physics chemistry biology "
    "politics religion football tennis chess poker guitar piano violin drum opera film theater "
    "novel poem code program database server network cloud quantum atom energy gravity"
)


def invented_name(rng: Random) -> str:
    """A name nobody has, so that copying is learned rather than a list."""
    syllables = [
        rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS)
        for _ in range(rng.choice((1, 2, 2, 3)))
    ]
    return "".join(syllables).capitalize()


def person(rng: Random) -> str:
    """A first name, real or invented."""
    return rng.choice(NAMES) if rng.random() < 0.55 else invented_name(rng)


def city(rng: Random) -> str:
    """A city, real or invented."""
    return rng.choice(CITIES) if rng.random() < 0.65 else invented_name(rng)


def words(rng: Random, most: int) -> str:
    """One to `most` words without meaning together."""
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


@lru_cache(maxsize=1)
def sentences() -> tuple[str, ...]:
    """English prose from the documentation that Python carries, one line an entry."""
    prose = re.sub(r"[*`|\\_=^~\"-]+", " ", "\n".join(topics[key] for key in sorted(topics)))
    lines = (re.sub(r"\s+", " ", line).strip() for line in prose.split("\n"))
    return tuple(line for line in lines if 20 < len(line) < 90)
