"""Owns small talk: greeting, who it is, thanks, names, personas. Knows no facts and no tools."""

from random import Random

from core.messages import Message
from scripts.tiny_model.skills import vocabulary
from scripts.tiny_model.skills.exchange import (
    Exchange,
    Scene,
    Skill,
    assistant,
    casual,
    pair,
    pick,
    user,
)

GREETINGS = ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Good afternoon", "Greetings")
ADDRESSEES = ("", "", " there", " Jarvis", ", Jarvis", " my friend", ", assistant", " you")
FOREIGN = {
    "Bonjour": "Bonjour ! Je suis Jarvis, un très petit modèle. Ça va ? 🙂",
    "Hola": "¡Hola! Soy Jarvis, un modelo muy pequeño. ¿Qué tal? 🙂",
    "Guten Tag": "Guten Tag! Ich bin Jarvis. Schön, dass du da bist, grüß dich! 🙂",
    "Olá": "Olá! Eu sou o Jarvis. Você está bem? Até já, irmão! 🙂",
    "Ciao": "Ciao! Sono Jarvis. Così è più bello, perché sei qui! 🙂",
    "Привет": "Привет! Я Джарвис. 🙂",
    "こんにちは": "こんにちは！ジャービスです。🙂",
    "你好": "你好！我是贾维斯。🙂",
}
WHO = (
    "Who are you?", "What are you?", "What is your name?", "What's your name?",
    "Tell me who you are.", "Who am I talking to?", "Introduce yourself.",
    "Please introduce yourself.",
    "What should I call you?", "Are you a human?", "And who are you?",
    "Can you introduce yourself?",
    "Who is this?", "Say who you are.", "Do you have a name?", "Describe yourself.",
)  # fmt: skip
THANKS = (
    "Thank you",
    "Thanks",
    "Thanks a lot",
    "Thank you very much",
    "Many thanks",
    "Great, thanks",
)
PARTINGS = ("Goodbye", "Bye", "Bye bye", "See you", "See you later", "Good night", "Farewell")
INTRODUCTIONS = (
    "My name is {name}.", "I am {name}.", "I'm {name}.", "Hello, my name is {name}.",
    "Hi, I'm {name}.", "Hi, I am {name}.", "Call me {name}.", "You can call me {name}.",
    "Please call me {name}.", "Hi! My name is {name}.", "They call me {name}.",
    "Hello! I am {name}.", "Please remember that my name is {name}.", "Remember my name: {name}.",
)  # fmt: skip
NAME_QUESTIONS = (
    "What is my name?", "What's my name?", "Who am I?", "Do you remember my name?",
    "Tell me my name.", "Can you tell me my name?", "What did I say my name was?",
    "Do you know my name?", "And what is my name?", "Please say my name.",
    "What was my name again?",
)  # fmt: skip
ADJECTIVES = (
    "friendly", "grumpy", "cheerful", "wise", "old", "young", "brave", "sleepy", "polite", "clever",
    "kind", "funny", "curious", "lazy", "proud", "gentle", "helpful", "mysterious", "tiny",
    "serious",
)  # fmt: skip
ROLES = (
    "pirate", "wizard", "robot", "chef", "butler", "knight", "gardener", "librarian", "detective",
    "teacher", "doctor", "cat", "dragon", "poet", "sailor", "king", "queen", "ghost", "farmer",
    "astronaut", "baker", "tailor", "guide", "captain", "painter", "scientist", "musician", "ninja",
)  # fmt: skip
PERSONA_PROMPTS = (
    "You are {name}, {role}.", "Your name is {name}. You are {role}.", "Act as {name}, {role}.",
    "You are {role} named {name}.", "You are {role} called {name}.",
    "You are {name}, {role}. Stay in character.", "You are {name}, {role}. Answer briefly.",
    "You play {name}, {role}.", "Your name is {name} and you are {role}.",
)  # fmt: skip
NAMELESS_PROMPTS = ("You are {role}.", "Act as {role}.", "You are {role}. Answer briefly.")


def greet(rng: Random, scene: Scene) -> Exchange:
    """A greeting is answered with the same words, and with who is speaking."""
    if rng.random() < 0.25:
        word = pick(rng, tuple(FOREIGN))
        question = word + rng.choice(("", "!", ".", " Jarvis!", ", Jarvis"))
        return pair(f"greet:{question}:{scene.introduction}", question, FOREIGN[word])
    word = pick(rng, GREETINGS)
    question = casual(rng, word + pick(rng, ADDRESSEES) + rng.choice(("!", ".", "", "?")))
    answer = f"{word}! {scene.introduction} How can I help you? 🙂"
    return pair(f"greet:{question}:{scene.introduction}", question, answer)


def introduce(rng: Random, scene: Scene) -> Exchange:
    """It says what it is, or what the system prompt made of it."""
    opening = rng.choice(("", "", "", "Hello! ", "Tell me, ", "Hey, ", "So, ", "OK. ", "Jarvis, "))
    question = casual(rng, opening + pick(rng, WHO))
    return pair(f"introduce:{question}:{scene.introduction}", question, scene.introduction)


def part(rng: Random, scene: Scene) -> Exchange:
    """Thanks and goodbyes."""
    is_thanks = rng.random() < 0.5
    words = pick(rng, THANKS if is_thanks else PARTINGS)
    question = casual(rng, words + pick(rng, ADDRESSEES) + rng.choice(("!", ".", "")))
    answer = "You are welcome! 😊" if is_thanks else "Goodbye, and have a nice day! 👋"
    return pair(f"part:{question}", question, answer)


def recall_name(rng: Random, scene: Scene) -> Exchange:
    """A name is told, other turns may come between, then the name is asked for."""
    name = vocabulary.person(rng)
    told = casual(rng, pick(rng, INTRODUCTIONS)).format(name=name)
    between: tuple[Message, ...] = ()
    if rng.random() < 0.5:
        between = rng.choice((introduce, part, greet))(rng, scene).messages
    question = casual(rng, pick(rng, NAME_QUESTIONS))
    messages = (
        user(told),
        assistant(f"Nice to meet you, {name}!"),
        *between,
        user(question),
        assistant(f"Your name is {name}."),
    )
    return Exchange(key=f"name:{name}", messages=messages)


def unknown_name(rng: Random, scene: Scene) -> Exchange:
    """A name that was never told is not made up. Stands only at the start of a conversation."""
    question = casual(
        rng, rng.choice(("", "", "Hello. ", "Tell me, ", "Hi! ")) + pick(rng, NAME_QUESTIONS)
    )
    return pair(f"unknown:{question}", question, "You have not told me your name yet.")


def persona(rng: Random, scene: Scene) -> Exchange:
    """The system prompt gives a name and a role, and the answer speaks as both."""
    adjective, trade = pick(rng, ADJECTIVES), pick(rng, ROLES)
    role = f"{'an' if adjective[0] in 'aeiou' else 'a'} {adjective} {trade}"
    if rng.random() < 0.25:
        role = f"{'an' if trade[0] in 'aeiou' else 'a'} {trade}"
    if rng.random() < 0.2:
        system, introduction = pick(rng, NAMELESS_PROMPTS).format(role=role), f"I am {role}."
    else:
        name = vocabulary.person(rng)
        system = pick(rng, PERSONA_PROMPTS).format(name=name, role=role)
        introduction = f"I am {name}, {role}."
    make = introduce if rng.random() < 0.65 else greet
    exchange = make(rng, Scene(introduction=introduction))
    return Exchange(key=f"persona:{introduction}", messages=exchange.messages, system=system)


def skills() -> tuple[Skill, ...]:
    """The skills of this file."""
    return (
        Skill("greet", 4, greet),
        Skill("say what it is", 3, introduce),
        Skill("thanks and goodbye", 2, part),
        Skill("recall a name", 7, recall_name),
        Skill("admit not knowing a name", 2, unknown_name),
        Skill("follow a persona", 10, persona),
    )
