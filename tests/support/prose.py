"""A thousand talks in real prose, the same wherever the interpreter's documentation is: a corpus to search in."""

import functools
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby
from typing import Any

from .passages import Passage, passages

TALKS = 1_000

SHORTEST = 1_850
"""Characters of passages in a talk; with its questions and as JSON it is then of 2 to 30 KB."""

LENGTHS = [SHORTEST] * 13 + [3_500] * 2 + [7_000, 12_000, 20_000]
"""How long the talks about one source get, drawn per source."""

ANSWER = 700
"""Characters of an answer after which the next passage begins a new one."""

PAIRS = 15
"""Most questions, each with its answer, of a talk: thirty turns."""

FIRST = datetime(2025, 1, 6, 8, tzinfo=UTC)
SPAN = timedelta(days=660)

OPENINGS = (
    "Hi. Can you tell me about {name}?",
    "I am looking at {name}. What should I know?",
    "Good morning! Today I would like to understand {name}.",
    "Somebody asked me about {name} and I had no good answer. Help?",
    "Let us talk about {source}. Where do I start?",
    "I need this for work: what is the story of {name}?",
    "Please explain {name} to me, plainly.",
    "I keep running into {name}. What is it for?",
)

QUESTIONS = (
    "And {name}?",
    "What does {name} do exactly?",
    "I did not get the part about {hint}.",
    "Go on.",
    "Is there more to say about {hint}?",
    "Why is that so?",
    "How would I use {name}?",
    "OK. And what about {hint}?",
    "Hm, {hint}, that was new to me. Can you expand?",
    "What happens next?",
    "Anything that I should be careful with?",
    "Could you put {name} in a few words?",
    "I have read something on {hint}. Is it true?",
    "Where does {name} come in?",
    "Thanks. One more thing: {hint}?",
    "Does this have to do with {hint}?",
    "So when would one need {name}?",
)

FRENCH_OPENINGS = (
    "Bonjour ! Peux-tu m'expliquer à quoi sert {name} ?",
    "J'ai une question à propos de {name}. Par où commencer ?",
    "On m'a demandé de présenter {source} à l'équipe. Tu m'aides ?",
)

FRENCH_QUESTIONS = (
    "D'accord. Et {name} ?",
    "Très bien, continue.",
    "Je n'ai pas tout compris : {hint} ?",
    "Qu'est-ce que ça change, {hint} ?",
    "Et après ?",
)

TITLES = (
    "{gist}",
    "{gist}",
    "{gist}",
    "{source}: {gist}",
    "all about {name}",
    "How does {name} work?",
    "Questions about {name}",
    "{source} ({hint})",
    "understanding {hint}",
)

FRENCH_TITLES = ("À propos de {name}", "{source}, à relire", "Mémo : {gist}", "Préparer la présentation sur {source}")

VAGUE_TITLES = (
    "New chat",
    "Quick question",
    "Follow-up",
    "Untitled",
    "Notes",
    "For Monday",
    "Python again",
    "To read later",
    "Where were we",
    "Talk with the assistant",
)

BACK_TITLES = ("Back to {source}", "{source}, once more", "Revisiting {name}", "Still on {hint}", "")

MOODS = ("work", "reading", "later", "idea", "course", "review", "important")

AREAS = {
    "async": "asyncio concurrent selectors",
    "data": "csv json pickle pickletools plistlib shelve sqlite3 dbm configparser tomllib marshal struct xml html",
    "files": "os shutil pathlib tempfile tarfile zipfile gzip bz2 lzma glob fnmatch filecmp io _pyio ntpath posixpath",
    "language": "types typing dataclasses enum abc functools itertools operator builtins collections _collections_abc",
    "maths": "_pydecimal decimal fractions numbers math statistics random heapq bisect colorsys",
    "network": "socket ssl http urllib ftplib smtplib imaplib poplib xmlrpc socketserver ipaddress telnetlib nntplib",
    "post": "email mailbox mailcap",
    "processes": "subprocess multiprocessing threading signal queue sched _threading_local",
    "testing": "unittest doctest pdb bdb trace traceback timeit cProfile profile pstats logging",
    "text": "string re difflib textwrap codecs encodings locale gettext unicodedata optparse argparse getopt",
    "tools": "ast dis tokenize inspect importlib pydoc symtable code cmd zipimport compileall py_compile",
}
"""The tag of an area, and the top modules that it is given to."""

LITTLE = "a an and are as at be by for from if in into is it its of on or than that the this to was with"


@dataclass(frozen=True, slots=True)
class Talk:
    """One session: what `save_session` would be given, and when it was. Absent texts are empty, as is absent `tags`."""

    session_id: str
    title: str
    summary: str
    tags: list[str]
    history: list[dict[str, Any]]
    said_at: datetime


@functools.cache
def talks() -> tuple[Talk, ...]:
    """The corpus: `TALKS` talks whose ids differ, most on passages of their own, the rest coming back to some of them.

    A talk depends on its own passages alone: what did not change between two versions of Python is the same in both.
    """
    own = list(_runs(passages()))
    by_chance = sorted(range(len(own)), key=lambda at: _chance("again", own[at][0]).random())
    returns = [_talk(_return(own, at), VAGUE_TITLES + BACK_TITLES * 4) for at in sorted(by_chance[: TALKS - len(own)])]
    return (*(_talk(run, ()) for run in own), *returns)


def _chance(purpose: str, passage: Passage) -> random.Random:
    return random.Random(f"{purpose}/{passage.source}/{passage.name}/{passage.text}")


def _runs(texts: Iterable[Passage]) -> Iterator[list[Passage]]:
    """Passages in runs, each enough for a talk and on one source, but that sources too short for a talk share some."""
    short: list[Passage] = []
    for source, group in groupby(texts, key=lambda passage: passage.source):
        run = list(group)
        if _size(run) < SHORTEST:
            short += run
        else:
            yield from _split(run, random.Random(source).choice(LENGTHS))
    yield from _split(short, SHORTEST)


def _split(texts: list[Passage], enough: int) -> Iterator[list[Passage]]:
    run: list[Passage] = []
    for at, passage in enumerate(texts):
        run.append(passage)
        by_chance = _chance("last", passage).random() < 0.6  # whatever went before, so that a change stays local
        if _size(run) >= enough and by_chance and _size(texts[at + 1 :]) >= SHORTEST:
            yield run
            run = []
    yield run


def _size(texts: Iterable[Passage]) -> int:
    return sum(len(passage.text) for passage in texts)


def _return(own: Sequence[list[Passage]], at: int) -> list[Passage]:
    """Some passages of a run and of its neighbours, in another order."""
    first = own[at][0]
    rng = _chance("return", first)
    near = [passage for run in own[max(0, at - 2) : at + 3] for passage in run if passage is not first]
    rng.shuffle(near)
    enough = rng.choice((SHORTEST, SHORTEST, 3_000, 6_000))
    near = [first, *near]
    sizes = accumulate(len(passage.text) for passage in near)
    return [passage for passage, size in zip(near, sizes, strict=True) if size - len(passage.text) < enough]


def _talk(run: list[Passage], titles: Sequence[str]) -> Talk:
    rng = _chance(f"talk {bool(titles)}", run[0])
    said_at = FIRST + timedelta(minutes=rng.randrange(SPAN // timedelta(minutes=1)))
    session_id = _id(rng, run[0].source, said_at)
    french = rng.random() < 0.07
    titles = titles or (FRENCH_TITLES if french else rng.choices((TITLES, VAGUE_TITLES, ("",)), (62, 20, 18))[0])
    subject = rng.choice((run[0], rng.choice(run)))
    openings, questions = (FRENCH_OPENINGS, FRENCH_QUESTIONS) if french else (OPENINGS, QUESTIONS)
    history: list[dict[str, Any]] = []
    for answer in _answers(run):
        question = _filled(rng, rng.choice(questions if history else openings), answer[0])
        history.append({"role": "user", "content": question})
        history.append({"role": "assistant", "content": "\n\n".join(passage.text for passage in answer)})
    return Talk(
        session_id=session_id,
        title=_filled(rng, rng.choice(titles), subject),
        summary=" ".join(_sentence(passage) for passage in run[:: len(run) // 2]) if rng.random() < 0.34 else "",
        tags=_tags(rng, subject) if rng.random() < 0.55 else [],
        history=history,
        said_at=said_at,
    )


def _answers(run: list[Passage]) -> list[list[Passage]]:
    """The run cut into two to `PAIRS` answers."""
    enough = max(ANSWER, _size(run) / PAIRS)
    answers: list[list[Passage]] = [[]]
    for passage in run:
        if _size(answers[-1]) >= enough:
            answers.append([])
        answers[-1].append(passage)
    return answers


def _filled(rng: random.Random, template: str, about: Passage) -> str:
    """The template with what the passage is about, as somebody would say who has just read it."""
    name = rng.choice((about.name, about.name.rpartition(".")[2])) or about.source
    words = [word for word in _sentence(about).split() if word.isalpha() and word.lower() not in LITTLE.split()]
    start = rng.randrange(max(1, len(words) - 2))
    hint = " ".join(words[start : start + rng.choice((1, 2, 3))]).lower() or name
    gist = _sentence(about).split()[: rng.choice((5, 6, 7, 9))]
    while len(gist) > 1 and gist[-1].lower() in LITTLE.split():
        gist.pop()
    return template.format(name=name, source=about.source, hint=hint, gist=" ".join(gist).rstrip(".,:;"))


def _sentence(passage: Passage) -> str:
    return re.split(r"(?<=[.!?:]) ", passage.text, maxsplit=1)[0]


def _tags(rng: random.Random, subject: Passage) -> list[str]:
    top = subject.source.partition(".")[0]
    tags = [area for area, sources in AREAS.items() if top in sources.split()]
    return [*tags, *rng.sample((top.strip("_"), *MOODS), rng.choice((1, 1, 2)))]


def _id(rng: random.Random, source: str, said_at: datetime) -> str:
    """Half of the ids are random, as programs make them, half are a person's."""
    digits = f"{rng.getrandbits(128):032x}"
    slug = re.sub(r"[^a-z0-9]+", "-", source.lower()).strip("-")
    return rng.choice(
        (
            f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}",
            f"chat_{digits[:12]}",
            f"{slug}-{digits[:4]}",
            f"{said_at:%Y-%m-%d}-{slug}-{digits[:2]}",
        )
    )
