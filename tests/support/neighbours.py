"""Secrets that lie over two neighbouring texts or in a pair of a list, and neighbours and pairs that are harmless."""

from collections.abc import Iterator
from random import Random
from typing import Any

from .leaks import PUBLIC_PART
from .secrets import FORMATS, WORDS, Item, chars, long_token, password, pem, pick

EACH = 40  # of a kind in each half

ANNOUNCED = {
    False: [
        ("my {} is", "{}"),
        ("What is your {}?", "{}"),
        ("The {}:", "{}"),
        ("Please send me the {}.", "`{}`"),
        ("Can you log in?\n\nMy {} is:", "{}\nand the user is ana"),
    ],
    True: [
        ("Here comes the {}:", '"{}"'),
        ("our new {} is ", "{} , does it work?"),
        ("Which {}?", "{}."),
        ("**{}:**", "{}"),
        ("I need your {}", " {}"),
    ],
}
SAID = {
    False: ["password", "db password", "api key", "access token"],
    True: ["Password", "admin passphrase", "client secret", "API key"],
}
PAIRS: dict[bool, list[Any]] = {
    False: [
        {"headers": [["Host", "a.example"], ["{name}", "{}"]]},
        {"request": {"headers": [{"name": "{name}", "value": "{}"}]}},
        {"rawHeaders": ["Accept", "*/*", "{name}", "{}"]},
        {"args": ["curl", "https://a.example", {"header": "{name}", "value": "{}"}]},
    ],
    True: [
        {"entries": [["{name}", "{}"], ["accept", "text/html"]]},
        {"env": [{"Name": "{name}", "Value": "{}"}]},
        {"metadata": [{"key": "{name}", "values": ["{}"]}]},
        {"turns": [{"role": "tool", "content": [{"type": "json", "data": ["{name}", "{}", "x-id", "7"]}]}]},
    ],
}
PAIRED = {
    False: ["x-api-key", "Authorization", "X-Auth-Token", "api_key"],
    True: ["X-Api-Key", "Proxy-Authorization", "access_token", "X-Client-Secret"],
}

DIALOGUES = """
My password is|wrong, the page says.
What is your password?|I don't remember.
The password:|must have 12 characters and a digit
Please send me the API key.|It is in the vault, see the README.
Which token?|The one of the tokenizer.
Where is the secret?|/run/secrets/db-password
I forgot my password.|Reset it then.
The api key is|stored in the keychain.
Here is the key:|value pairs are separated by commas
What is the access token?|A text that expires after 3600s.
How many tokens?|4096
The token is|[redacted: token]
my password is|[redacted: password]
The client secret:|${CLIENT_SECRET}
Use this API key:|<your key>
Authorization:|required for every route under /v1
Is there a password?|no
And the passphrase?|Ask Ana tomorrow at 10:30.
Show me the next page token|next page, please
The api key:|OPENAI_API_KEY
Set the password|os.environ["DB_PASSWORD"]
Is it the password?|yes, it is
What's the pwd?|/home/ana/projects
Which key opens it?|The small one.
The secret is|to let the dough rest for 24h
Who has the key?|Bo, in the kitchen
We rotate the api key|every 90 days
The password is|"password"
Open the door, key|board and mouse
My key is sk-|that's how it begins, isn't it?
it ended with the word conf|iguration-factory-bean-implementation
https://example.org/docs/getting-start|ed/with-the-quickest-of-all-ways
see src/agentic_flywheel/sessions/red|action/policy.py for more of it
commit 1f0e9d8c7b6a5f4e3d2c1b0a|9f8e7d6c5b4a39281706f5e4 is it
session_5b1f6c2e8d3a4c7f|9e0d1a2b3c4d5e6f was resumed
"""
LISTS: list[Any] = [
    ["password", "security", "login"],
    ["api_key", "rotation-policy"],
    ["token", "tokenizer", "north4field"],
    ["--password", "-"],
    ["secret", "garden"],
    [["Authorization", "required"], ["x-api-key", "string"]],
    [["password", "••••••••"], ["user", "ana"]],
    [["Content-Type", "application/json"], ["X-Request-Id", "5b1f6c2e8d3a4c7f9e0d1a2b3c4d5e6f"]],
    [{"name": "Authorization", "value": "Bearer {token}"}],
    [{"name": "X-Api-Key", "in": "header", "type": "apiKey"}],
    [{"key": "password", "value": "required"}, {"key": "password", "values": ["min:8", "max:64"]}],
    [{"Name": "Environment", "Value": "production-7"}],
    ["Set-Cookie", "Path", "HttpOnly"],
    ["user", "password", "remember_me"],
    ["next_token", "5b1f6c2e8d3a4c7f9e0d1a2b3c4d5e6f"],
    ["primary_key", "a1b2c3d4e5f6"],
    [["key", "value"], ["a1", "b2c3d4e5"]],
    ["password", None, "hunter", 7],
]


def talk(*texts: str, blocks: bool = False) -> dict[str, Any]:
    """Texts as the turns of a history, or as the blocks of one turn."""
    if blocks:
        return {"history": [{"role": "user", "content": [{"type": "text", "text": text} for text in texts]}]}
    roles = ("user", "assistant")
    return {"history": [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]}


def cut(random: Random, secret: str) -> tuple[str, str]:
    place = round(len(secret) * random.uniform(0.3, 0.7))
    return secret[:place], secret[place:]


def filled(pattern: Any, name: str, secret: str) -> Any:
    if isinstance(pattern, str):
        return pattern.replace("{name}", name).replace("{}", secret)
    if isinstance(pattern, list):
        return [filled(each, name, secret) for each in pattern]
    return {key: filled(value, name, secret) for key, value in pattern.items()}


def over_seams(seed: int) -> Iterator[Item]:
    """Secrets that no text alone shows, and those of pairs."""
    random = Random(seed)
    for held_out in (False, True):
        before, after = ("Look, ", ", but it fails") if held_out else ("The key: it is ", " and nothing else")
        for blocks in (False, True):
            kind = f"key cut over two {'blocks' if blocks else 'turns'}"
            for make in random.sample([*FORMATS.values()], EACH):
                secret = make(random)
                first, second = cut(random, secret)
                yield Item(
                    kind, talk(before + first, second + after, blocks=blocks), PUBLIC_PART.sub("", secret), held_out
                )
        for _ in range(EACH // 4):
            key = pem(random)
            first, second = cut(random, key)
            value = talk("Now:\n" + first, second + "\nthanks", blocks=held_out)
            yield Item("private key (PEM) cut in two", value, key.split("\n")[-2], held_out)
        for _ in range(EACH):
            name, (asks, answers) = random.choice(SAID[held_out]), random.choice(ANNOUNCED[held_out])
            secret = password(random) if "pass" in name.lower() else long_token(random)
            value = talk(asks.format(name), answers.format(secret), blocks=random.random() < 0.3)
            yield Item("value alone, named in the text before", value, secret, held_out)
        for _ in range(EACH):
            name, secret = random.choice(PAIRED[held_out]), long_token(random)
            said = pick(random, "Bearer ", "") + secret if "Authorization" in name else secret
            yield Item("header pair", filled(random.choice(PAIRS[held_out]), name, said), secret, held_out)


def harmless_neighbours(seed: int) -> Iterator[Item]:
    """Neighbouring texts and pairs that speak of credentials, or only look as if."""
    random = Random(seed)
    for position, line in enumerate(DIALOGUES.strip().splitlines()):
        for blocks in (False, True):
            yield Item(
                "neighbours that hold no credential", talk(*line.split("|"), blocks=blocks), "", position % 2 == 1
            )
    for position, value in enumerate(LISTS):
        yield Item("pairs and lists that hold no credential", {"data": value}, "", position % 2 == 1)
    for held_out in (False, True):
        for _ in range(EACH):
            texts = [" ".join(random.choices(WORDS, k=random.randrange(1, 9))) for _ in range(4)]
            texts[random.randrange(4)] += f" {chars(random, '0123456789abcdef', 40)}"
            yield Item("neighbours that hold no credential", talk(*texts), "", held_out)
