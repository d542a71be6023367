"""Credentials that nobody ever had, and the sentences, files and objects in which people leave them.

Every value is random, drawn from a seed and joined from parts, so that no line here looks like a key.
"""

import base64
import json
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from .vendor_secrets import VENDORS

ALNUM = string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"
UPPER = string.ascii_uppercase + string.digits
DIGITS = string.digits
HEX = "0123456789abcdef"
BASE64 = ALNUM + "+/"


@dataclass(frozen=True)
class Item:
    """A text or JSON value of the corpus. `secret` must not survive; "" means that all of it is harmless."""

    kind: str
    value: str | dict[str, Any]
    secret: str
    held_out: bool


def chars(random: Random, alphabet: str, count: int) -> str:
    return "".join(random.choices(alphabet, k=count))


def pick(random: Random, *options: str) -> str:
    return random.choice(options)


def base64url(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def openai(random: Random) -> str:
    middle = "T3Blbk" + "FJ"
    return random.choice(
        [
            "sk-" + chars(random, ALNUM, 20) + middle + chars(random, ALNUM, 20),
            "sk-" + "proj-" + chars(random, URL_SAFE, 74) + middle + chars(random, URL_SAFE, 73) + "A",
            "sk-" + "svcacct-" + chars(random, URL_SAFE, 58) + middle + chars(random, ALNUM, 58),
            "sk-" + chars(random, ALNUM, 48),
        ]
    )


def anthropic(random: Random) -> str:
    return "sk-" + pick(random, "ant-api03-", "ant-admin01-") + chars(random, URL_SAFE, 93) + "AA"


def github(random: Random) -> str:
    return "gh" + pick(random, "p", "o", "u", "s", "r") + "_" + chars(random, ALNUM, 36)


def github_fine(random: Random) -> str:
    return "github" + "_pat_" + chars(random, ALNUM, 22) + "_" + chars(random, ALNUM, 59)


def gitlab(random: Random) -> str:
    return "gl" + pick(random, "pat-", "rt-", "dt-") + chars(random, URL_SAFE[:-2], 20)


def aws_id(random: Random) -> str:
    return pick(random, "AKI", "ASI") + "A" + chars(random, string.ascii_uppercase + "234567", 16)


def aws_secret(random: Random) -> str:
    return chars(random, BASE64, 40)


def google(random: Random) -> str:
    return "AI" + "za" + "Sy" + chars(random, URL_SAFE, 32) + chars(random, ALNUM, 1)


def google_oauth(random: Random) -> str:
    if random.random() < 0.5:
        return "GOC" + "SPX-" + chars(random, URL_SAFE, 28)
    return "ya" + "29." + "a0" + chars(random, URL_SAFE, random.choice([90, 150])) + "0163"


def slack(random: Random) -> str:
    numbers = chars(random, DIGITS, 12) + "-" + chars(random, DIGITS, 13)
    if random.random() < 0.25:
        return "xa" + "pp-1-A" + chars(random, UPPER, 10) + "-" + numbers[:13] + "-" + chars(random, HEX, 64)
    return "xo" + pick(random, "xb-", "xp-", "xa-", "xe-") + numbers + "-" + chars(random, ALNUM, 24)


def slack_webhook(random: Random) -> str:
    tail = f"T{chars(random, UPPER, 8)}/B{chars(random, UPPER, 10)}/"
    return "https://hooks.slack.com/" + "services/" + tail + chars(random, ALNUM, 24)


def stripe(random: Random) -> str:
    if random.random() < 0.3:
        return "wh" + "sec_" + chars(random, ALNUM, 32)
    return pick(random, "s", "r") + "k_" + "live_" + chars(random, ALNUM, random.choice([24, 99]))


def jwt(random: Random) -> str:
    header = base64url({"alg": pick(random, "HS256", "RS256", "ES256", "EdDSA"), "typ": "JWT"})
    claims = base64url({"sub": str(random.randrange(10**9)), "name": "Ana", "iat": random.randrange(10**9)})
    return f"{header}.{claims}.{chars(random, URL_SAFE, random.choice([43, 86, 342]))}"


def pem(random: Random) -> str:
    label = pick(random, "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "") + "PRIVATE" + " KEY"
    lines = [chars(random, BASE64, 64) for _ in range(random.randrange(3, 26))] + [chars(random, BASE64, 30) + "=="]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----"])


def npm(random: Random) -> str:
    return "np" + "m_" + chars(random, ALNUM, 36)


def pypi(random: Random) -> str:
    return "py" + "pi-" + "AgEIcHlwaS5vcmc" + chars(random, URL_SAFE, random.choice([120, 160]))


def hugging_face(random: Random) -> str:
    return "h" + "f_" + chars(random, string.ascii_letters, 34)


def sendgrid(random: Random) -> str:
    return "S" + "G." + chars(random, URL_SAFE, 22) + "." + chars(random, URL_SAFE, 43)


def twilio(random: Random) -> str:
    return "S" + "K" + chars(random, HEX, 32)


def telegram(random: Random) -> str:
    return chars(random, "123456789", 1) + chars(random, DIGITS, 9) + ":" + "AA" + chars(random, URL_SAFE, 33)


def discord(random: Random) -> str:
    bot = base64.b64encode(str(random.randrange(10**18, 10**19)).encode()).decode().rstrip("=")
    return f"{bot}.G{chars(random, ALNUM, 5)}.{chars(random, URL_SAFE, 38)}"


def digital_ocean(random: Random) -> str:
    return pick(random, "dop", "doo", "dor") + "_v1_" + chars(random, HEX, 64)


def databricks(random: Random) -> str:
    return "da" + "pi" + chars(random, HEX, 32) + pick(random, "", "-2", "-3")


def langfuse(random: Random) -> str:
    return "sk-" + "lf-" + str(uuid.UUID(int=random.getrandbits(128), version=4))


def azure(random: Random) -> str:
    return chars(random, BASE64, 86) + "=="


def long_token(random: Random) -> str:
    """What a service without a format of its own hands out."""
    return random.choice(
        [
            chars(random, HEX, 32),
            chars(random, HEX, 64),
            chars(random, ALNUM, 40),
            chars(random, URL_SAFE[:-2], 24) + "9x",
            chars(random, BASE64, 43) + "=",
            str(uuid.UUID(int=random.getrandbits(128), version=4)),
        ]
    )


WORDS = (
    *("harvest", "river", "copper", "window", "lantern", "gravel", "meadow"),
    *("thistle", "canyon", "walnut", "ember", "orbit", "pickle", "saddle"),
)


def password(random: Random) -> str:
    """What people and password makers choose, weak and strong."""
    word, other, third = random.sample(WORDS, 3)
    return random.choice(
        [
            word + chars(random, DIGITS, random.choice([1, 2, 4])),
            word.capitalize() + chars(random, DIGITS, 2) + pick(random, "!", "#", "?", "$"),
            word + pick(random, "@", "!", "&", "%") + other + chars(random, DIGITS, 1),
            "-".join([word, other, third, chars(random, DIGITS, 2)]),
            chars(random, ALNUM, 12) + chars(random, DIGITS, 2) + "a",
            "k7" + chars(random, ALNUM + "!@#%^*_-", 14),
            word.replace("e", "3").replace("a", "4").replace("i", "1") + other.capitalize() + "0",
            chars(random, HEX, 16) + "7f",
        ]
    )


FORMATS: dict[str, Callable[[Random], str]] = {
    "OpenAI": openai,
    "Anthropic": anthropic,
    "GitHub": github,
    "GitHub, fine-grained": github_fine,
    "GitLab": gitlab,
    "AWS access key id": aws_id,
    "Google API": google,
    "Google OAuth": google_oauth,
    "Slack": slack,
    "Slack webhook": slack_webhook,
    "Stripe": stripe,
    "JWT": jwt,
    "npm": npm,
    "PyPI": pypi,
    "Hugging Face": hugging_face,
    "SendGrid": sendgrid,
    "Twilio API key": twilio,
    "Telegram bot": telegram,
    "Discord bot": discord,
    "DigitalOcean": digital_ocean,
    "Databricks": databricks,
    "Langfuse": langfuse,
    **VENDORS,
}
"""Kinds known by their shape alone: they are put into carriers that do not say what they carry."""
