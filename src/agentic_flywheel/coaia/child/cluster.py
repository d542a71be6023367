"""A Redis Cluster behind the methods of the plain client: it knows which node has a key, and tries nothing twice.

redis-py's own cluster client (4.3, which coaiapy pins) bounds no call: it tries a dead node for 3 s and a frozen one
for 25, loses a connection with each pipeline that fails, does not start without the node that the URL names, and asks
one node only what all must be asked. The child imports this file if it is told of a cluster.
"""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.client import Pipeline
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from redis_errors import words_of

REDIRECTIONS = 5
"""Nodes asked for one command at the most; two are enough while slots move."""

_REDIRECTION = re.compile(r"(MOVED|ASK) \d+ (.*):(\d+)")
"""How a node names another one (Redis Cluster specification, "Redirection and resharding")."""

_NOT_SERVED = "CLUSTERDOWN Hash slot not served"

Command = tuple[tuple[Any, ...], dict[str, Any]]
Slots = list[tuple[int, int, redis.Redis]]


class Cluster(redis.Redis):
    """Each command goes to the node that has its key. After a failure it is learnt anew which that is.

    Its dicts and lists are replaced, never changed, since every call has a thread of its own.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._nodes: dict[tuple[str, int], redis.Redis] = {}
        self._slots: Slots = []

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """The answer of the node that has the key, or of where that node sends us while the key moves."""
        node, asking = self._owner(args), False
        for _ in range(REDIRECTIONS):
            try:
                with self._trying(node):
                    return (_asking if asking else redis.Redis.execute_command)(node, *args, **options)
            except redis.ResponseError as exc:
                redirection = _REDIRECTION.fullmatch(words_of(exc))
                asking = redirection is not None and redirection[1] == "ASK"
                if not asking:
                    self._slots = []
                if redirection is None:
                    raise
                node = self._node(redirection[2], int(redirection[3]), node)
        raise redis.ResponseError(_NOT_SERVED)

    def together(self, commands: list[Command]) -> list[Any]:
        """The answers, refusals among them; each node is sent its commands at once, those for one key in order."""
        answers: list[Any] = [None] * len(commands)
        places: dict[redis.Redis, list[int]] = {}
        for place, (args, _) in enumerate(commands):
            places.setdefault(self._owner(args), []).append(place)
        for node, mine in places.items():
            with self._trying(node):
                said = _at_once(node, [commands[place] for place in mine])
            for place, answer in zip(mine, said, strict=True):
                answers[place] = answer
                if isinstance(answer, redis.ResponseError) and _REDIRECTION.fullmatch(words_of(answer)):
                    args, options = commands[place]
                    try:
                        answers[place] = self.execute_command(*args, **options)
                    except redis.ResponseError as exc:
                        answers[place] = exc
        return answers

    def pipeline(self, transaction: bool = False, shard_hint: None = None) -> "Batch":  # noqa: ARG002, FBT001, FBT002
        """Commands to be sent together."""
        return Batch(self)

    def scan(self, cursor: int | str = 0, *args: Any, **options: Any) -> tuple[int, list[str]]:
        """Some keys of one node after another; the cursor tells which node, and where there."""
        there, number = divmod(int(cursor), REDIS_CLUSTER_HASH_SLOTS)
        owners = self._owners()
        if number >= len(owners):  # there were more of them
            return 0, []
        node: Any = owners[number]
        with self._trying(node):
            there, keys = node.scan(there, *args, **options)
        if there == 0:
            number = (number + 1) % len(owners)
        return there * REDIS_CLUSTER_HASH_SLOTS + number, keys

    def dbsize(self) -> int:
        """How many keys all nodes have."""
        return sum(self._of_all(lambda node: node.dbsize()))

    def time(self) -> tuple[int, int]:
        """The latest of the nodes' times."""
        return max(self._of_all(lambda node: node.time()))

    def info(self, section: str | None = None) -> dict[str, dict[str, Any]]:
        """What each node says of itself, by its number."""
        answers = self._of_all(lambda node: node.info(section))
        return {str(number): answer for number, answer in enumerate(answers)}

    def _of_all(self, question: Callable[[redis.Redis], Any]) -> list[Any]:
        answers = []
        for node in self._owners():
            with self._trying(node):
                answers.append(question(node))
        return answers

    def _owners(self) -> list[redis.Redis]:
        return list(dict.fromkeys(node for _, _, node in self._slots or self._learn()))

    def _owner(self, args: tuple[Any, ...]) -> redis.Redis:
        slot = key_slot(self.get_encoder().encode(args[3] if args[0] == "EVAL" else args[1]))
        for first, last, node in self._slots or self._learn():
            if first <= slot <= last:
                return node
        self._slots = []
        raise redis.ResponseError(_NOT_SERVED)

    def _learn(self) -> Slots:
        """Ask the first node that answers who has which slots."""
        for node in self._nodes.values():
            with suppress(redis.ConnectionError), self._trying(node):  # a silent one has taken all the time there is
                if slots := self._learn_from(node):
                    return slots
        return self._learn_from(redis.Redis(connection_pool=self.connection_pool))

    def _learn_from(self, node: redis.Redis) -> Slots:
        rows = sorted(node.execute_command("CLUSTER SLOTS"), key=lambda row: row[0])
        slots = [(first, last, self._node(owner[0], owner[1], node)) for first, last, owner, *_ in rows]
        self._slots = slots
        return slots

    def _node(self, host: str | None, port: int, told_by: redis.Redis) -> redis.Redis:
        """The client of a node; one that does not know its own address is named without a host."""
        pool: Any = self.connection_pool
        address = host or told_by.connection_pool.connection_kwargs["host"], port
        node = self._nodes.get(address)
        if node is None:
            options = pool.connection_kwargs | {"host": address[0], "port": port}
            node = redis.Redis(
                connection_pool=redis.ConnectionPool(pool.connection_class, pool.max_connections, **options)
            )
            self._nodes = {**self._nodes, address: node}
        return node

    @contextmanager
    def _trying(self, node: redis.Redis) -> Iterator[None]:
        """Forget a node that fails: the others, asked first, tell whether it is still one of them."""
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError):
            self._nodes = {address: other for address, other in self._nodes.items() if other is not node}
            self._slots = []
            raise


class Batch(Pipeline):
    """Commands that are sent together, as the plain client's pipeline without a transaction."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction=False, shard_hint=None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002  as redis-py has it
        """The answers, in order; a refusal among them unless it is to be raised."""
        commands = self.command_stack
        self.reset()
        answers = self._cluster.together(commands)
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers


def _asking(node: redis.Redis, *args: Any, **options: Any) -> Any:  # noqa: ANN401
    """The answer of a node that is just being given the key."""
    _, answer = _at_once(node, [(("ASKING",), {}), (args, options)])
    if isinstance(answer, Exception):
        raise answer
    return answer


def _at_once(node: redis.Redis, commands: list[Command]) -> list[Any]:
    with node.pipeline(transaction=False) as pipe:
        for args, options in commands:
            pipe.execute_command(*args, **options)
        return pipe.execute(raise_on_error=False)  # an error it raises repeats the command, the value with it
