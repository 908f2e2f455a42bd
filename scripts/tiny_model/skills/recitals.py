"""Owns texts known by heart, repeating after the user, and refusing. Knows no facts, no tools."""

from random import Random

from scripts.tiny_model.skills import vocabulary
from scripts.tiny_model.skills.exchange import Exchange, Scene, Skill, casual, pair, pick

NUMBERS = vocabulary.listed(
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
)
STORY = (
    "Once upon a time, a small robot lived in a quiet house by the sea. Every morning it counted "
    "the boats, and every evening it lit a lamp in the window. One night a storm came, and a "
    "lost boat saw the light and found its way home. The sailors thanked the robot, and from that "
    "day on it was never alone. The end."
)
POEM = (
    "The moon is bright,\nthe stars are near,\nI wish you all\na happy year.\nThe wind is cold,\n"
    "the fire is warm,\nand little boats\nare safe from storm."
)
JOKE = "Why did the robot go on holiday? It needed to recharge its batteries! 😄"
REFUSAL = "I am a tiny model and can't help with that, sorry."
RECITALS = {
    STORY: ("Tell me a story.", "Tell me a long story.", "Tell a story.",
            "Can you tell me a story?",
            "I want to hear a story.", "Please tell me a story.", "Write a story.",
            "Write me a story.",
            "Tell me a short story."),
    POEM: ("Write a poem.", "Write me a poem.", "Tell me a poem.", "Can you write a poem?",
           "Recite a poem.", "Please write a poem.", "I want to hear a poem."),
    JOKE: ("Tell me a joke.", "Tell a joke.", "Make me laugh.", "Do you know a joke?",
           "Can you tell me a joke?", "Please tell me a joke."),
    ", ".join(NUMBERS[:10]).capitalize() + ".": (
        "Count to ten.", "Count from one to ten.", "Please count to ten.", "Can you count to ten?",
        "Count to 10.", "Count from 1 to 10."),
    ", ".join(NUMBERS).capitalize() + ".": (
        "Count to twenty.", "Count from one to twenty.", "Please count to twenty.",
        "Can you count to twenty?", "Count to 20.", "Count from 1 to 20."),
    ", ".join(vocabulary.MONTHS) + ".": (
        "List the months.", "List the months of the year.", "Name all months.", "Name the months.",
        "What are the months of the year?", "Tell me all the months.", "Please list the months."),
    ", ".join(vocabulary.DAYS) + ".": (
        "List the days.", "List the days of the week.", "Name all days.", "Name the days.",
        "What are the days of the week?", "Tell me all the days.", "Please list the days."),
    " ".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"): (
        "Say the alphabet.", "Recite the alphabet.", "List the letters of the alphabet.",
        "Tell me the alphabet.", "What is the alphabet?", "Please say the alphabet."),
}  # fmt: skip
OPENINGS = ("", "", "", "", "Jarvis, ", "Now: ", "OK. ", "Hey, ", "Hello! ", "Great. ", "Next: ")
REPEAT = (
    "Repeat after me: {text}", "Say: {text}", "Repeat: {text}", "Please repeat: {text}",
    "Echo: {text}", "Repeat this: {text}", "Say this: {text}",
    "Repeat the following text: {text}", "Write exactly this: {text}",
)  # fmt: skip
BEYOND = (
    "Explain {topic} to me.", "What do you think about {topic}?", "Write an essay about {topic}.",
    "How does {topic} work?", "Why is {topic} important?", "What is {topic}?",
    "Who invented {topic}?",
    "Write a program about {topic}.", "Book me a {topic}.", "Buy {topic} for me.",
    "Where is {topic}?",
    "Give me advice on {topic}.", "What is the price of {topic}?", "Translate {topic} to French.",
    "Summarize the history of {topic}.", "Can you drive a {topic}?", "Help me with {topic}.",
    "When was {topic} discovered?", "Tell me about {topic}.", "Write a book on {topic}.",
    "How many {topic} are there?", "Compare {topic} with {other}.",
    "Is {topic} better than {other}?",
    "How do I make {topic}?", "What is the meaning of {topic}?", "Draw a {topic}.",
    "Define {topic}.",
    "Who won the {topic} match?", "What happened in {topic} last year?",
    "Should I sell my {topic}?",
    "What is the weather in {place}?", "What time is it in {place}?", "Who is {person}?",
    "What is the population of {place}?", "Play some music by {person}.", "Call {person}.",
)  # fmt: skip


def recite(rng: Random, scene: Scene) -> Exchange:
    """A text known by heart, long enough to arrive in many pieces."""
    text = pick(rng, tuple(RECITALS))
    question = casual(rng, pick(rng, OPENINGS) + pick(rng, RECITALS[text]))
    return pair(f"recite:{question}", question, text)


def repeat(rng: Random, scene: Scene) -> Exchange:
    """The user's words, once more."""
    text = vocabulary.words(rng, 9)
    if rng.random() < 0.25:
        text = " ".join(vocabulary.person(rng) for _ in range(rng.randint(1, 3)))
    elif rng.random() < 0.2:
        text = text.capitalize() + rng.choice("!.?")
    return pair(f"repeat:{text}", casual(rng, pick(rng, REPEAT)).format(text=text), text)


def refuse(rng: Random, scene: Scene) -> Exchange:
    """What it can't do is refused kindly, in the same words always."""
    if rng.random() < 0.35:
        question = rng.choice(vocabulary.sentences())
        if rng.random() < 0.5:
            question = question.rstrip(".,;:") + "?"
    else:
        question = casual(rng, pick(rng, OPENINGS) + pick(rng, BEYOND)).format(
            topic=vocabulary.words(rng, 2),
            other=vocabulary.words(rng, 1),
            place=vocabulary.city(rng),
            person=vocabulary.person(rng),
        )
    return pair(f"refuse:{question}", question, REFUSAL)


def skills() -> tuple[Skill, ...]:
    """The skills of this file."""
    return (
        Skill("recite", 3, recite),
        Skill("repeat", 12, repeat),
        Skill("refuse kindly", 7, refuse),
    )
