"""The places in which people leave credentials: `leaks` puts every kind of secret into many of them.

A carrier of one half of the corpus is never used in the other, so that the half held out shows how the detector does
on sentences, files and objects that it was not tuned on.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from .secrets import ALNUM, FORMATS, WORDS, Item, aws_id, aws_secret, azure, chars, long_token, password, pem

Carried = str | dict[str, Any]

PER_KIND_AND_HALF = 6

PLAIN = [  # development half: the secret by its shape alone, no name beside it
    "Try this one: {} and tell me whether it works.",
    "I pasted {} into the form and got a 401",
    "```\n$ tool login\n> {}\nLogged in.\n```",
    '{{"items": [{{"id": 4, "note": "{}"}}]}}',
    "2026-11-05 12:00:01 DEBUG client sent '{}' in 34 ms",
    "C'est {}, mais garde-le pour toi.",
    "https://example.org/hook?x=1&k={}&y=2",
    "client = Client(\n    '{}',\n    timeout=3,\n)",
    {"note": "use {} from now on", "turn": 3},
    {"values": [{"first": None}, ["a", "{}"]]},
]
PLAIN_HELD_OUT = [
    "It is ({}).",
    "Ana wrote: «{}». Bo answered that it had expired.",
    "| staging | {} | Bo |\n| production | - | Ana |",
    "--- a/app.ini\n+++ b/app.ini\n-x = 1\n+x = {}\n",
    "curl -s https://api.example.org/v1/me -H 'X-Thing: {}' | jq .",
    'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\nValueError: bad input "{}"',
    "das hier:{}\nbitte morgen löschen 🙏",
    "docker run --rm -e THING={} image:1.2",
    {"turns": [{"role": "user", "parts": [{"text": "here you go\n{}\n"}]}]},
    {"env": {"THING": "{}"}},
]
NAMED = [  # development half: the secret is known by the name before it; {name} is written in the style of the place
    ("export {NAME}={}", "upper"),
    ("# .env\nDEBUG=1\n{NAME}={}\nPORT=8080\n", "upper"),
    ('{name} = "{}"', "snake"),
    ('config = {{"{name}": "{}", "port": 5432}}', "snake"),
    ("services:\n  app:\n    {name}: {}\n    replicas: 2", "snake"),
    ("The {words}: {}", "words"),
    ("client = connect(host, {name}='{}')", "snake"),
    ("const {name} = '{}';", "camel"),
    ('{{"data": "{{\\"{name}\\": \\"{}\\"}}"}}', "camel"),
    ("tool --{name} {} --verbose", "kebab"),
]
NAMED_HELD_OUT = [
    ("environment:\n  - {NAME}={}\n  - MODE=fast", "upper"),
    ('$env:{NAME} = "{}"', "upper"),
    ('resource "db" "main" {{\n  {name} = "{}"\n}}', "snake"),
    ("[service]\n{name}={}\nretries=3", "snake"),
    ("os.environ['{NAME}'] = '{}'", "upper"),
    ("My {words} is {} - can you check the rest?", "words"),
    ('<bean><property name="x"/><{name}>{}</{name}></bean>', "camel"),
    ("app.{name}={}\napp.port=80", "kebab"),
    ("tool login --{name}={} && tool run", "kebab"),
    ('"{name}" => "{}",', "snake"),
]
UNANNOUNCED = {  # passwords that only the reader's knowledge of the program or the language gives away: known misses
    False: [
        "mysql -u root -p{} shop",
        "docker login -u ana -p {}",
        "Password for ana: {}",
        "redis-cli -a {} ping",
        "requirepass {}",
    ],
    True: [
        "sshpass -p '{}' ssh ana@host",
        "> AUTH {}\nOK",
        "The password's {}",
        "contraseña: {}",
        "password:\n  {}",
    ],
}
NAMES = {
    "Password": ["db password", "password", "smtp password", "admin passwd", "passphrase", "user pwd"],
    "Service key": ["api key", "client secret", "access token", "acme api key", "auth token", "secret key"],
    "AWS secret key": ["aws secret access key", "secret access key", "aws secret key"],
}
KEYS = {  # names of object keys; the value is all secret
    False: [
        "password",
        "api_key",
        "dbPassword",
        "X-Api-Key",
        "refresh_token",
        "client_secret",
        "AWS_SECRET_ACCESS_KEY",
    ],
    True: ["passwd", "apiKey", "DB-PASSWORD", "accessToken", "pwd", "clientSecret", "openai_api_key", "signing_secret"],
}


PUBLIC_PART = re.compile(r"https://hooks\.slack\.com/services/\w+/\w+/|^[0-9]{10}:|^\w{3}8Q~|^sha256~")
"""Of a webhook the address, of a Telegram token the bot's number, of others what says their kind: they may stay."""


def styled(words: str, style: str) -> str:
    """A name as it is written in that style."""
    first, *rest = words.split()
    if style == "camel":
        return first + "".join(word.capitalize() for word in rest)
    if style == "upper":
        return "_".join([first, *rest]).upper()
    return {"snake": "_", "kebab": "-", "words": " "}[style].join([first, *rest])


def filled(carrier: Carried, secret: str, words: str = "", style: str = "snake") -> Carried:
    """The carrier with the secret in it; inside JSON text it is escaped as JSON."""
    if isinstance(carrier, dict):
        return json.loads(json.dumps(carrier).replace("{}", json.dumps(secret)[1:-1]))
    if carrier.startswith("{{"):
        secret = json.dumps(secret)[1:-1]
    name = styled(words, style) if words else ""
    return carrier.format(secret, name=name, NAME=name, words=name)


def with_user(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    scheme, secret = random.choice(["postgresql", "redis", "https", "amqp", "mongodb+srv"]), chars(random, ALNUM, 9)
    secret = random.choice([secret + "3", random.choice(WORDS), secret + "%40" + "1", "p!" + secret])
    url = f"{scheme}://ana:{secret}@db.example.org:5432/app"
    if held_out:
        return random.choice([f"git clone {url}", {"env": {"X": url}}, f'dsn "{url}?ssl=1"', f"failed: {url}."]), secret
    return random.choice(
        [f"DATABASE_URL={url}", f"connect to {url}, please", {"url": url}, f"redis_url: '{url}'"]
    ), secret


def bearer(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    secret = long_token(random)
    if held_out:
        return random.choice(
            [
                f"curl -H 'Authorization: Bearer {secret}' https://a.example",
                {"headers": {"authorization": "Bearer " + secret}},
            ]
        ), secret
    return random.choice(
        [
            f"GET / HTTP/1.1\nHost: a.example\nAuthorization: Bearer {secret}\nAccept: */*",
            f'headers = {{"Authorization": "Bearer {secret}"}}',
            {"request": {"headers": {"Authorization": f"Bearer {secret}"}}},
        ]
    ), secret


def basic(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    secret = base64.b64encode(f"{random.choice(WORDS)}:{password(random)}".encode()).decode()
    if held_out:
        return random.choice(
            [f"< authorization: Basic {secret}\n< accept: */*", f'h.set("Authorization", "Basic {secret}")']
        ), secret
    return random.choice([f"Proxy-Authorization: Basic {secret}", f'-H "Authorization: Basic {secret}"']), secret


def azure_string(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    secret = azure(random)
    whole = f"DefaultEndpointsProtocol=https;AccountName=ours;AccountKey={secret};EndpointSuffix=core.windows.net"
    if held_out:
        return random.choice([{"storage": {"value": whole}}, f"az upload --connection '{whole}'"]), secret
    return random.choice([f"AZURE_STORAGE={whole}", {"connection_string": whole}]), secret


def private_key(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    key = pem(random)
    body = key.split("\n")[1]
    escaped = key.replace("\n", "\\n")
    indented = key.replace("\n", "\n    ")
    if held_out:
        return random.choice(
            [f"key: |\n    {indented}\nnext: 1", {"sa": {"private_key": key + "\n"}}, f"KEY='{escaped}'"]
        ), body
    return random.choice(
        [f"Here:\n{key}\nthanks", json.dumps({"k": key, "n": 1}), {"pem": key}, f"cat id\n{key}"]
    ), body


def aws_pair(random: Random, *, held_out: bool) -> tuple[Carried, str]:
    key_id, secret = aws_id(random), aws_secret(random)
    if held_out:
        return random.choice([f"{key_id}:{secret}", f"id {key_id}\nsecret {secret}"]), secret
    return random.choice([f"{key_id} / {secret}", {"aws": f"{key_id},{secret}"}]), secret


SHAPED: dict[str, Callable[..., tuple[Carried, str]]] = {
    "URL with password": with_user,
    "Bearer header": bearer,
    "Basic header": basic,
    "Azure storage key": azure_string,
    "Private key (PEM)": private_key,
    "AWS secret key": aws_pair,
}


def leaks(seed: int) -> Iterator[Item]:
    """Every kind of secret, in carriers of both halves."""
    random = Random(seed)
    for held_out in (False, True):
        for kind, make in FORMATS.items():
            for carrier in random.sample(PLAIN_HELD_OUT if held_out else PLAIN, PER_KIND_AND_HALF):
                secret = make(random)
                yield Item(kind, filled(carrier, secret), PUBLIC_PART.sub("", secret), held_out)
        for kind, shape in SHAPED.items():
            for _ in range(PER_KIND_AND_HALF):
                yield Item(kind, *shape(random, held_out=held_out), held_out)
        for kind, names in NAMES.items():
            make = {"Password": password, "Service key": long_token, "AWS secret key": aws_secret}[kind]
            for carrier, style in NAMED_HELD_OUT if held_out else NAMED:
                for _ in range(1 if kind.startswith("AWS") else 4):
                    secret = make(random)
                    yield Item(kind, filled(carrier, secret, random.choice(names), style), secret, held_out)
        for carrier in UNANNOUNCED[held_out]:
            secret = password(random)
            yield Item("Password that nothing announces", filled(carrier, secret), secret, held_out)
        for key in KEYS[held_out]:
            for make in (password, long_token):
                secret = make(random)
                yield Item("Credential key of an object", {"db": {"port": 1, key: secret}}, secret, held_out)
