"""Names the frameworks that have an adapter: how each is installed beside us, imported and tested."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTEGRATIONS = ROOT / "src" / "agentic_flywheel" / "integrations"


@dataclass(frozen=True)
class Framework:
    """A framework; `name` is that of its adapter's module, of its tests and (with dashes) of its extra."""

    name: str
    distribution: str
    version: str
    """The version that CI tries: a later one must not break a change of ours. `--newest` tries that."""
    modules: tuple[str, ...]
    """What importing the adapter imports, and nothing else of ours may."""
    needs: tuple[str, ...] = ()
    """What its tests need beside the extra: the owner's kit, other stores to stand beside."""

    @property
    def extra(self) -> str:
        return self.name.replace("_", "-")

    @property
    def sources(self) -> list[Path]:
        """The files of the adapter."""
        return sorted([*INTEGRATIONS.glob(f"{self.name}*.py"), *INTEGRATIONS.glob(f"{self.name}/*.py")])

    @property
    def tests(self) -> list[Path]:
        return sorted(Path(__file__).parent.glob(f"test_{self.name}*.py"))


LINEUP = (
    Framework("claude_agent", "claude-agent-sdk", "0.2.189", ("claude_agent_sdk",)),
    Framework("pydantic_ai", "pydantic-ai-slim", "2.68.0", ("pydantic_ai",)),
    Framework(
        "openai_agents",
        "openai-agents",
        "0.24.0",
        ("agents", "openai"),
        ("cryptography", "httpx", "inline-snapshot"),  # the wrapper that seals, and what the owner's tests import
    ),
    Framework("agent_framework", "agent-framework-core", "1.23.0", ("agent_framework",)),
    Framework(
        "langgraph", "langgraph-checkpoint", "4.3.2", ("langgraph",), ("langgraph", "langgraph-checkpoint-conformance")
    ),
    Framework("google_adk", "google-adk", "2.13.0", ("google.adk",)),
    Framework("strands", "strands-agents", "1.62.0", ("strands",), ("boto3", "moto")),  # its own tests import them
)
