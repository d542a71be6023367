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
    Framework("claude_agent", "claude-agent-sdk", ("claude_agent_sdk",)),
    Framework("pydantic_ai", "pydantic-ai-slim", ("pydantic_ai",)),
    Framework(
        "openai_agents",
        "openai-agents",
        ("agents", "openai"),
        ("cryptography", "httpx", "inline-snapshot"),  # the wrapper that seals, and what the owner's tests import
    ),
    Framework("agent_framework", "agent-framework-core", ("agent_framework",)),
    Framework("langgraph", "langgraph-checkpoint", ("langgraph",), ("langgraph", "langgraph-checkpoint-conformance")),
    Framework("google_adk", "google-adk", ("google.adk",)),
    Framework("strands", "strands-agents", ("strands",), ("boto3", "moto")),  # its own tests import them
)
